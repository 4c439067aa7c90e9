//! Scanning that never calls unscanned clean.
//!
//! Several engines look at a file that is read once: an antivirus (clamd or clamscan), YARA
//! rules, and checks of what the content is against what the name says. Only an
//! antivirus can say [`Verdict::Clean`], and only within what it is known to
//! read; all else that finds nothing is [`Verdict::NotScanned`] with a
//! [`Reason`]. While the engines look, every file is digested again, so that a
//! verdict belongs to exactly the content that was approved.

mod accept;
mod change;
#[cfg(feature = "clamav")]
mod clamd;
#[cfg(feature = "clamav")]
mod clamscan;
mod content;
mod engines;
mod error;
mod looks;
mod members;
mod memory;
#[cfg(feature = "clamav")]
mod probe;
mod quarantine;
#[cfg(feature = "clamav")]
mod reply;
mod report;
#[cfg(feature = "yara")]
mod rules;
mod scanner;
mod settings;
mod tally;
mod tree;
mod verdict;

use std::path::Path;

pub use self::accept::Accept;
#[cfg(feature = "clamav")]
pub use self::clamd::Client as ClamdClient;
#[cfg(feature = "clamav")]
pub use self::clamscan::Client as ClamscanClient;
pub use self::content::{
    Content, Limits as ArchiveLimits, Policy as ContentPolicy, Rule as ContentRule,
};
pub use self::engines::Engines;
pub use self::error::Error;
pub use self::members::Members;
pub use self::memory::{Memory, Recalled, Source};
pub use self::quarantine::{Evidence, Quarantined, quarantine, release};
pub use self::report::{Counts, Report, Standing};
#[cfg(feature = "yara")]
pub use self::rules::Rules;
pub use self::scanner::{HEAD_BYTES, Look, Opened, Scanner, Subject};
pub use self::settings::{Choice, Clamd, ClamdAddress, Clamscan, Engine, Policy, Settings};
pub use self::tree::Files;
pub use self::verdict::{EngineInfo, FileVerdict, Finding, Reason, Said, Verdict};
use super::monitor::Monitor;

/// Scans files below `root`, in parallel, by engines opened for this one scan;
/// [`Engines`] keeps them open for several.
///
/// # Errors
/// An engine that was asked for is not there, `root` cannot be opened, or the
/// scan was cancelled. Trouble with one file is that file's verdict.
pub fn tree(
    root: &Path,
    files: Files<'_>,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    Engines::open(settings)?.tree(root, files, monitor)
}

#[cfg(test)]
mod tests;
