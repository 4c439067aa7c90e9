//! How a long operation reports, is slowed, is held and is stopped.

mod gate;
mod meter;

pub use gate::Gate;
pub use meter::{Meter, Part, Snapshot};

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::throttle::Throttle;
use crate::base::cancel::Cancel;

/// What a long operation says while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// What is done from now on; [`Progress::Total`] follows.
    Phase(Phase),
    /// How much there is to do in all.
    Total {
        /// Files.
        files: u64,
        /// Bytes.
        bytes: u64,
    },
    /// More bytes are done (not a running sum).
    Bytes(u64),
    /// More bytes need no work: an earlier life did them.
    Kept(u64),
    /// So many bytes of a later phase are done already, beside this one.
    Ahead(u64),
    /// This file, named relative to its root, is done.
    File(&'a str),
    /// So much of a long file that is under way is done: a running sum, beside
    /// [`Progress::Bytes`], which counts the same bytes.
    Part {
        /// Relative to its root.
        path: &'a str,
        /// Done so far.
        bytes: u64,
        /// Its length.
        size_bytes: u64,
    },
}

/// One pass over the bytes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// The source is read to learn what it is.
    Describe,
    /// The source is read and written to the destination.
    Copy,
    /// The destination is read back and compared.
    ReadBack,
}

/// Listens to a long operation and may slow, hold and stop it. Called from worker
/// threads.
pub trait Monitor: Sync {
    /// Something was done.
    fn on(&self, _progress: Progress<'_>) {}
    /// Whether [`Progress::Total`] is worth a look at every file before the first is
    /// read. Who says no may be told no total.
    fn wants_total(&self) -> bool {
        true
    }
    /// Asked at least every few megabytes; `true` ends the operation with its
    /// module's `Cancelled` error. An answer may be long in coming: an operation
    /// that is held waits for it (see [`Gate`]), with all that it has open.
    fn cancelled(&self) -> bool {
        false
    }
    /// Whether an answer to [`Monitor::cancelled`] would be waited for: who has
    /// something that others need lets go of it meanwhile.
    fn held(&self) -> bool {
        false
    }
    /// What a copy shares with the others of its host: it waits for its turn there
    /// too.
    fn throttle(&self) -> Option<&Throttle> {
        None
    }
}

/// Tells of one long file, besides passing everything on.
pub(crate) struct OfFile<'a> {
    monitor: &'a dyn Monitor,
    path: &'a str,
    size_bytes: u64,
    done: AtomicU64,
}

impl<'a> OfFile<'a> {
    /// A file shorter than this is done before anybody looks.
    const LONG_BYTES: u64 = 16 << 20;

    pub fn new(monitor: &'a dyn Monitor, path: &'a str, size_bytes: u64) -> Self {
        Self { monitor, path, size_bytes, done: AtomicU64::new(0) }
    }
}

impl Monitor for OfFile<'_> {
    fn on(&self, progress: Progress<'_>) {
        self.monitor.on(progress);
        if let Progress::Bytes(count) = progress
            && self.size_bytes >= Self::LONG_BYTES
        {
            let bytes = self.done.fetch_add(count, Ordering::Relaxed) + count;
            let (path, size_bytes) = (self.path, self.size_bytes);
            self.monitor.on(Progress::Part { path, bytes, size_bytes });
        }
    }
    fn wants_total(&self) -> bool {
        self.monitor.wants_total()
    }
    fn cancelled(&self) -> bool {
        self.monitor.cancelled()
    }
    fn held(&self) -> bool {
        self.monitor.held()
    }
    fn throttle(&self) -> Option<&Throttle> {
        self.monitor.throttle()
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

/// Passes on who asks to stop, and none of the progress.
#[cfg(feature = "cloud")]
pub(crate) struct Quiet<'a>(pub &'a dyn Monitor);

#[cfg(feature = "cloud")]
impl Monitor for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
    fn held(&self) -> bool {
        self.0.held()
    }
    fn throttle(&self) -> Option<&Throttle> {
        self.0.throttle()
    }
}
