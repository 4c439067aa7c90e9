//! The fields of calls on places and paths.

use serde::{Deserialize, Serialize};

use crate::media::mounts::System;

/// A transfer, and who asks where it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Where {
    /// `TRF-00042`.
    pub code: String,
    /// What the asking client runs on: `linux`, `windows` or `macos`.
    pub system: System,
}

/// A path, and between which systems.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PathTranslate {
    /// Absolute, as `from` writes it.
    pub path: String,
    /// Whose path it is.
    pub from: System,
    /// Who is to be told.
    pub to: System,
}
