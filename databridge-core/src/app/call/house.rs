//! What follows deliveries, and what is removed after them.

use serde::{Deserialize, Serialize};

/// A hook of a transfer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TransferHook {
    /// `TRF-00042`.
    pub code: String,
    /// What the hook is called.
    pub hook: String,
}
