//! A tree against a list, as long as it takes.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::Serialize;

use super::check::{self, Checked, Reading};
use super::list::{Format, List};
use super::state::State;
use super::{Difference, Error, What};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::Worth;
use crate::media::throttle::Throttle;

/// The longest nap between two looks at the clock and the wish to stop.
const NAP: Duration = Duration::from_millis(100);

/// How a tree is verified.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Files at a time, as in [`checksum::Options`](crate::media::checksum::Options::jobs).
    pub jobs: Option<NonZeroUsize>,
    /// Read past the page cache where the file system allows that, after it was
    /// dropped where not.
    pub from_device: bool,
    /// Bytes in a second at most.
    pub limit_bytes_per_second: Option<u64>,
    /// Where to go on from, and what to tell the next run.
    pub state: Option<&'a State>,
    /// When to stop, undecided.
    pub deadline: Option<Instant>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            jobs: None,
            from_device: true,
            limit_bytes_per_second: None,
            state: None,
            deadline: None,
        }
    }
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The list's format.
    pub format: Format,
    /// Nothing differs, everything was looked at, and nothing was unproven.
    pub verified: bool,
    /// Everything was looked at.
    pub complete: bool,
    /// Files that were read and are right.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that an earlier run, in the state, had read and found right.
    pub remembered_files: u64,
    /// Files of the list that are neither among these nor among the differences: what
    /// is left for the next run.
    pub left_files: u64,
    /// What reading from the device was worth, at worst; nothing where nothing was
    /// read so.
    pub worth: Option<Worth>,
    /// What is missing, extra or different, sorted by path.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether something is wrong, and not merely without proof.
    pub fn differs(&self) -> bool {
        self.differences.iter().any(|difference| difference.what != What::Unproven)
    }
}

impl List {
    /// Compares a tree with this list. A run that is cancelled, or meets its deadline,
    /// answers with what it found until then: `complete` is false.
    ///
    /// `own` is the path of the list itself in the tree, which no list lists.
    ///
    /// # Errors
    /// What cannot be read; a file that somebody writes to meanwhile.
    pub fn verify(
        &self,
        root: &Path,
        own: Option<&Path>,
        options: Options<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Report, Error> {
        let ignore = ignore_of(root, &self.ignore)?;
        let wanted = self.wanted(Some(&ignore));
        let reading =
            Reading { jobs: options.jobs, from_device: options.from_device, state: options.state };
        let watch = Watch {
            monitor,
            deadline: options.deadline,
            throttle: Throttle::new(options.limit_bytes_per_second),
        };
        let mut checked = Checked::default();
        let done = check::run(root, &wanted, reading, &watch, &mut checked);
        options.state.map_or(Ok(()), State::close)?;
        let complete = match done {
            Ok(()) => true,
            Err(Error::Cancelled) => false,
            Err(error) => return Err(error),
        };
        let mut differences = checked.differences;
        differences.retain(|difference| {
            !(matches!(difference.what, What::Extra { .. })
                && own.is_some_and(|own| Path::new(&difference.path) == own))
        });
        let listed = differences.iter().filter(|d| !matches!(d.what, What::Extra { .. })).count();
        let seen = checked.files + checked.remembered + listed as u64;
        differences.extend(self.flaws.iter().cloned());
        differences.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Report {
            format: self.format,
            verified: complete && differences.is_empty(),
            complete,
            files: checked.files,
            bytes: checked.bytes,
            remembered_files: checked.remembered,
            left_files: if complete { 0 } else { (self.files.len() as u64).saturating_sub(seen) },
            worth: checked.worth,
            differences,
        })
    }
}

/// The patterns as one matcher.
pub(super) fn ignore_of(root: &Path, patterns: &[String]) -> Result<Gitignore, Error> {
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        // A pattern that is none ignores nothing: then more is told, not less.
        let _ = builder.add_line(None, pattern);
    }
    builder.build().map_err(|_| Error::Layout {
        path: root.to_owned(),
        reason: "its patterns of what to ignore cannot be read",
    })
}

/// Passes progress on, not faster than asked and not longer than wanted.
struct Watch<'a> {
    monitor: &'a dyn Monitor,
    deadline: Option<Instant>,
    throttle: Throttle,
}

impl Monitor for Watch<'_> {
    fn on(&self, progress: Progress<'_>) {
        self.monitor.on(progress);
        if let Progress::Bytes(bytes) = progress {
            let Some(ticket) = self.throttle.take(bytes) else { return };
            while !self.cancelled() {
                let wait = self.throttle.wait(ticket);
                if wait.is_zero() {
                    return;
                }
                std::thread::sleep(wait.min(NAP));
            }
        }
    }
    fn wants_total(&self) -> bool {
        self.monitor.wants_total()
    }
    fn throttle(&self) -> Option<&Throttle> {
        self.monitor.throttle()
    }
    fn cancelled(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline) || self.monitor.cancelled()
    }
}
