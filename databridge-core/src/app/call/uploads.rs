//! The fields of calls on uploads that come in pieces.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One upload of a transfer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadName {
    /// `TRF-00042`.
    pub code: String,
    /// Which.
    pub id: Uuid,
}

/// Whether to do it, or to say what would be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Only says what would be removed.
    #[serde(default)]
    pub dry_run: bool,
}
