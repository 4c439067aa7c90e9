//! Verdicts from before: of this scan, taken up again after a kill, and of
//! earlier ones of the same content.

use super::{FileVerdict, Finding, Reason, Verdict};
use crate::media::checksum::Sha256;
use crate::media::storage::RelPath;

/// Where a scan keeps what it has found out, file by file. Called from several
/// threads at once.
pub trait Memory: Sync {
    /// A scan begins. Only verdicts of the same `basis` may be recalled: it covers
    /// engines, their signatures, rules and policy.
    fn begin(&self, _basis: Sha256) {}

    /// What was said about this content under this name.
    fn recall(&self, _path: &RelPath, _sha256: Sha256) -> Option<Recalled> {
        None
    }

    /// Something was found out that will still hold later; `from` is the
    /// [`Source::Earlier`] that it was taken over from.
    fn learn(&self, _file: &FileVerdict, _from: Option<&str>) {}
}

/// Nothing is kept.
impl Memory for () {}

/// What was said about a file before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// All of it. What it adds up to is judged anew, as signatures age.
    pub findings: Vec<Finding>,
    /// When it was said.
    pub source: Source,
}

/// When something was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In this very scan, before it was interrupted: the file is not read again.
    ThisScan,
    /// In an earlier one, by this name; the file is digested, so that it is known
    /// to be the same, and not shown to the engines.
    Earlier(String),
}

/// Whether asking again would bring up the same.
pub(super) fn lasts(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| {
        !matches!(
            finding.verdict,
            Verdict::Error { .. } | Verdict::NotScanned { reason: Reason::TimedOut }
        )
    })
}
