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
    /// Asked at least every few megabytes; `true` ends the operation with its
    /// module's `Cancelled` error.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody listens and nobody stops.
impl Monitor for () {}

impl Monitor for Cancel {
    fn cancelled(&self) -> bool {
        self.is_cancelled()
    }
}

/// Passes on who asks to stop, and none of the progress.
#[cfg(feature = "cloud")]
pub(crate) struct Quiet<'a>(pub &'a dyn Monitor);

#[cfg(feature = "cloud")]
impl Monitor for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}
