//! How a long operation reports and is stopped.

use crate::base::cancel::Cancel;

/// What a long operation says while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// How much there is to do in all.
    Total {
        /// Files.
        files: u64,
        /// Bytes.
        bytes: u64,
    },
    /// More bytes are done (not a running sum).
    Bytes(u64),
    /// This file, named relative to its root, is done.
    File(&'a str),
}

/// Listens to a long operation and may stop it. Called from worker threads.
pub trait Monitor: Sync {
    /// Something was done.
    fn on(&self, _progress: Progress<'_>) {}
    /// Whether [`Progress::Total`] is worth a look at every file before the first is
    /// read. Who says no may be told no total.
    fn wants_total(&self) -> bool {
        true
    }
    /// Asked at least every few megabytes; `true` ends the operation with its
    /// module's `Cancelled` error.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody listens and nobody stops.
impl Monitor for () {
    fn wants_total(&self) -> bool {
        false
    }
}

impl Monitor for Cancel {
    fn wants_total(&self) -> bool {
        false
    }
    fn cancelled(&self) -> bool {
        self.is_cancelled()
    }
}
