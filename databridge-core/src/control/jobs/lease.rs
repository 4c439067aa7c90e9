//! The right to do one job for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::base::id::{JobId, OrgId};
use crate::media::monitor::{Monitor, Progress};

/// What a worker holds.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The tenant.
    pub org: OrgId,
    /// Which handler.
    pub kind: String,
    /// About what.
    pub subject_id: Uuid,
    /// What the handler needs to know.
    pub payload: Value,
    /// Grows with every lease of this job; every write of the worker checks it.
    pub epoch: i64,
    /// How many times the job was taken up, this time included.
    pub attempts: i64,
}

/// What a job tells while it works, and how it learns that it must stop.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    stop: Cancel,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    files: AtomicU64,
    bytes: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
}

impl Watch {
    /// Asks the job to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// `{files, bytes, total_files, total_bytes}`.
    pub fn progress(&self) -> Value {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        serde_json::json!({
            "files": read(&self.counts.files),
            "bytes": read(&self.counts.bytes),
            "total_files": read(&self.counts.total_files),
            "total_bytes": read(&self.counts.total_bytes),
        })
    }
}

impl Monitor for Watch {
    fn on(&self, progress: Progress<'_>) {
        match progress {
            Progress::Total { files, bytes } => {
                self.counts.total_files.store(files, Ordering::Relaxed);
                self.counts.total_bytes.store(bytes, Ordering::Relaxed);
            }
            Progress::Bytes(n) => {
                self.counts.bytes.fetch_add(n, Ordering::Relaxed);
            }
            Progress::File(_) => {
                self.counts.files.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.is_cancelled()
    }
}
