//! What a delivery consists of, and the one digest that stands for all of it.

use serde::{Deserialize, Serialize};

use super::checksum::Sha256;
use super::storage::RelPath;

/// One thing in a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// A regular file.
    File {
        /// Relative to the delivery's root.
        path: RelPath,
        /// Length.
        size_bytes: u64,
        /// Digest of the content.
        sha256: Sha256,
    },
    /// A folder with nothing in it (others are implied by their files).
    EmptyDir {
        /// Relative to the delivery's root.
        path: RelPath,
    },
}

impl Entry {
    /// Relative to the delivery's root.
    pub fn path(&self) -> &RelPath {
        match self {
            Self::File { path, .. } | Self::EmptyDir { path } => path,
        }
    }
}

/// Entries sorted by path (bytewise), each path once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Manifest {
    entries: Vec<Entry>,
}

impl Manifest {
    /// The entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
