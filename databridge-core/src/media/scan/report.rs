//! What a scan of a tree came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::engines::Bench;
use super::memory::Source;
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
    /// The worst of those files' that no policy lets pass, where one lets any
    /// pass; else that is `verdict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisive: Option<Verdict>,
    /// Files that the policy lets pass although they are not clean, for each of
    /// its reasons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<String, u64>,
    /// Files whose verdict was taken over from an earlier scan of the same content
    /// under the same signatures, rules and policy: from which, and how many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken_over: BTreeMap<String, u64>,
    /// Files that this scan had looked at before it was interrupted.
    #[serde(default)]
    pub resumed: u64,
    /// Why files are not scanned, and how many for each reason.
    pub reasons: BTreeMap<Reason, u64>,
    /// Who looked. An engine whose signatures changed in mid-scan stands here
    /// twice, as it began and as it ended.
    pub engines: Vec<EngineInfo>,
    /// What their word was worth.
    pub policy: Policy,
    /// Bytes that the verdicts cover.
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
    /// Of a scan that begins.
    pub(super) fn begin(bench: &Bench) -> Self {
        let now = Timestamp::now();
        Self {
            verdict: bench.baseline(),
            files: Vec::new(),
            not_named: 0,
            counts: Counts::default(),
            decisive: None,
            accepted: BTreeMap::new(),
            taken_over: BTreeMap::new(),
            resumed: 0,
            reasons: BTreeMap::new(),
            engines: bench.engines.clone(),
            policy: bench.policy.clone(),
            bytes: 0,
            changed: Vec::new(),
            started_at: now,
            finished_at: now,
        }
    }

    /// Ends it, with the engines as they are by now.
    pub(super) fn end(&mut self, engines: Vec<EngineInfo>) {
        let changed: Vec<_> = engines.into_iter().filter(|e| !self.engines.contains(e)).collect();
        self.engines.extend(changed);
        if self.accepted.is_empty() {
            self.decisive = None;
        }
        self.finished_at = Timestamp::now();
    }

    /// What must be decided on: the worst verdict that no policy covers.
    pub fn decisive(&self) -> &Verdict {
        self.decisive.as_ref().unwrap_or(&self.verdict)
    }

    /// Whether the tree may go on without anybody's decision.
    pub fn passes(&self) -> bool {
        self.decisive().is_clean() && self.changed.is_empty()
    }

    /// Enters one file's verdict.
    pub(super) fn enter(&mut self, file: FileVerdict, source: Option<Source>) {
        match source {
            Some(Source::ThisScan) => self.resumed += 1,
            Some(Source::Earlier(from)) => *self.taken_over.entry(from).or_default() += 1,
            None => {}
        }
        let decisive = self.decisive.get_or_insert(Verdict::Clean);
        match &file.accepted {
            Some(why) => *self.accepted.entry(why.clone()).or_default() += 1,
            None if file.verdict > *decisive => *decisive = file.verdict.clone(),
            None => {}
        }
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

/// One engine as a monitoring system sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Standing {
    /// Who it is and what it knows.
    pub engine: EngineInfo,
    /// How old its signatures are; `None` where it does not say.
    pub signature_age_seconds: Option<u64>,
    /// How far it reads, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<String>,
    /// Whether the policy believes it when it finds nothing.
    pub is_fresh: bool,
}
