//! What the workers of one process did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// By kind and outcome.
type Counts = BTreeMap<(String, &'static str), (u64, u64)>;

/// Counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

/// One line of the count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tallied {
    /// The kind of job.
    pub kind: String,
    /// `done`, `failed`, `put_back`.
    pub outcome: &'static str,
    /// Attempts.
    pub jobs: u64,
    /// Bytes that they moved.
    pub bytes: u64,
}

impl Tally {
    pub(super) fn add(&self, kind: &str, outcome: &'static str, bytes: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((kind.to_owned(), outcome)).or_default();
        count.0 += 1;
        count.1 = count.1.saturating_add(bytes);
    }

    /// The count so far.
    pub fn read(&self) -> Vec<Tallied> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .iter()
            .map(|((kind, outcome), (jobs, bytes))| Tallied {
                kind: kind.clone(),
                outcome,
                jobs: *jobs,
                bytes: *bytes,
            })
            .collect()
    }
}
