//! What a scan of a tree came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EngineInfo, FileVerdict, Policy, Reason, Verdict};
use crate::base::clock::Timestamp;
use crate::media::manifest::Difference;

/// A report names every file that is suspicious, infected or in error, but of
/// those that are merely not scanned only so many.
const NOT_SCANNED_NAMED: usize = 1000;

/// How many files of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Clean.
    pub clean: u64,
    /// Not scanned.
    pub not_scanned: u64,
    /// Suspicious.
    pub suspicious: u64,
    /// In error.
    pub error: u64,
    /// Infected.
    pub infected: u64,
}

/// What a scan of a tree came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worst of all files'.
    pub verdict: Verdict,
    /// The files that are not clean, sorted by path.
    pub files: Vec<FileVerdict>,
    /// Files that are not scanned and beyond the number that `files` names.
    pub not_named: u64,
    /// How many files of each kind.
    pub counts: Counts,
    /// Why files are not scanned, and how many for each reason.
    pub reasons: BTreeMap<Reason, u64>,
    /// Who looked.
    pub engines: Vec<EngineInfo>,
    /// What their word was worth.
    pub policy: Policy,
    /// Bytes read.
    pub bytes: u64,
    /// How the tree differs from the manifest, sorted by path. Where it does,
    /// approvals of that manifest do not cover what was scanned.
    pub changed: Vec<Difference>,
    /// When the scan began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl Report {
    /// Whether the tree may go on without anybody's decision.
    pub fn passes(&self) -> bool {
        self.verdict.is_clean() && self.changed.is_empty()
    }

    /// Enters one file's verdict.
    pub(super) fn enter(&mut self, file: FileVerdict) {
        let count = match &file.verdict {
            Verdict::Clean => &mut self.counts.clean,
            Verdict::NotScanned { reason } => {
                *self.reasons.entry(*reason).or_default() += 1;
                &mut self.counts.not_scanned
            }
            Verdict::Suspicious { .. } => &mut self.counts.suspicious,
            Verdict::Error { .. } => &mut self.counts.error,
            Verdict::Infected { .. } => &mut self.counts.infected,
        };
        *count += 1;
        self.bytes += file.size_bytes.unwrap_or(0);
        if file.verdict > self.verdict {
            self.verdict = file.verdict.clone();
        }
        match file.verdict {
            Verdict::Clean => {}
            Verdict::NotScanned { .. } if self.counts.not_scanned > NOT_SCANNED_NAMED as u64 => {
                self.not_named += 1;
            }
            _ => self.files.push(file),
        }
    }
}
