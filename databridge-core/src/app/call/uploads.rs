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

/// Files that the daemon's host has already.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddFrom {
    /// `TRF-00042`.
    pub code: String,
    /// A file, or a folder whose content is meant, by its absolute path on the daemon's
    /// host, below one of `uploads.add_roots`.
    pub from: String,
}
