//! What is decided where a scan leaves it open.

use serde::{Deserialize, Serialize};

/// A decision on a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decision {
    /// Lets an undecided scan pass.
    Accept,
    /// Gives it back to its artist.
    SendBack,
    /// Declares a finding wrong (admin).
    Release,
    /// Goes on without a scan (admin).
    OverrideScan,
}
