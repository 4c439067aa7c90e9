//! How a tree, or another manifest, differs from a manifest.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use ignore::gitignore::Gitignore;
use serde::{Deserialize, Serialize};

use super::list::{self, Known, List};
use super::state::State;
use super::{Entry, Error, Manifest};
use crate::media::checksum::{self, Algorithm, Desk, Feed, Scratch, Sha256, Shelf};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{self, Folder, Kind, RelPath, Worth, escape};
use crate::media::walk::{self, Names, Place};

/// One path that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Relative to the root. What stands in a tree may bear any name, so it is escaped
    /// for display.
    pub path: String,
    /// How it differs.
    #[serde(flatten)]
    pub what: What,
}

/// How a path differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "difference", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// It should be there.
    Missing,
    /// It should not be there.
    Extra {
        /// What stands there.
        found: Kind,
    },
    /// Something of another kind stands there.
    Kind {
        /// What should.
        expected: Kind,
        /// What does.
        found: Kind,
    },
    /// The file has another length.
    Size {
        /// As it should be.
        expected_bytes: u64,
        /// As it is.
        found_bytes: u64,
    },
    /// The file has another content of the same length.
    Content {
        /// As it should be.
        expected: Sha256,
        /// As it is.
        found: Sha256,
    },
    /// Another digest than SHA-256 differs.
    Digest {
        /// Which one.
        algorithm: Algorithm,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
    },
    /// The list has no digest of it that we can compute.
    Unproven,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.what {
            What::Missing => f.write_str("missing"),
            What::Extra { found } => write!(f, "extra {found}"),
            What::Kind { expected, found } => write!(f, "{found}, expected {expected}"),
            What::Size { expected_bytes, found_bytes } => {
                write!(f, "{found_bytes} bytes, expected {expected_bytes}")
            }
            What::Content { expected, found } => write!(f, "sha256 {found}, expected {expected}"),
            What::Digest { algorithm, expected, found } => {
                write!(f, "{algorithm} {found}, expected {expected}")
            }
            What::Unproven => f.write_str("the list has nothing to compare it with"),
        }
    }
}

/// A file that should be there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub path: &'a RelPath,
    pub size_bytes: Option<u64>,
    pub sha256: Option<Sha256>,
    pub others: &'a [(Algorithm, String)],
}

impl<'a> From<&'a Known> for Expected<'a> {
    fn from(known: &'a Known) -> Self {
        let Known { path, size_bytes, sha256, others } = known;
        Self { path, size_bytes: *size_bytes, sha256: *sha256, others }
    }
}

impl Expected<'_> {
    /// Everything that is expected of it, as one number: what was verified against
    /// something else was not verified.
    fn fingerprint(&self) -> u64 {
        let text = format!("{:?} {:?} {:?}", self.size_bytes, self.sha256, self.others);
        xxhash_rust::xxh3::xxh3_64(text.as_bytes())
    }

    fn difference(&self, what: What) -> Difference {
        Difference { path: self.path.to_string(), what }
    }
}

/// What a tree should be.
pub(super) struct Wanted<'a> {
    /// Sorted by path.
    pub files: Vec<Expected<'a>>,
    /// Sorted; `None` where nothing is known of empty folders.
    pub empty_dirs: Option<Vec<&'a RelPath>>,
    /// What may stand there besides.
    pub ignore: Option<&'a Gitignore>,
}

impl Manifest {
    /// How `other` differs from this one, which says how it should be; sorted by path.
    pub fn diff(&self, other: &Self) -> Vec<Difference> {
        let mut found: HashMap<_, _> =
            other.entries().iter().map(|entry| (entry.path(), entry)).collect();
        let mut differences = Vec::new();
        for entry in self.entries() {
            let what = match found.remove(entry.path()) {
                None => Some(What::Missing),
                Some(other) => entry.differs_from(other),
            };
            let path = entry.path().to_string();
            differences.extend(what.map(|what| Difference { path, what }));
        }
        differences.extend(found.into_values().map(|extra| Difference {
            path: extra.path().to_string(),
            what: What::Extra { found: extra.kind() },
        }));
        differences.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        differences
    }

    /// Reads the whole tree, `jobs` files at a time (`None`: as suits the machine), and
    /// tells every difference, sorted by path: also links, special files and names
    /// that no manifest would admit. An empty list means that the tree is the
    /// manifest's.
    ///
    /// Errors: what cannot be read, a file that changed meanwhile, cancellation.
    pub fn check_tree(
        &self,
        root: &Path,
        jobs: Option<NonZeroUsize>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Difference>, Error> {
        let list = List::from(self);
        whole(root, &list.wanted(None), jobs, monitor)
    }
}

impl Entry {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::File { .. } => Kind::File,
            Self::EmptyDir { .. } => Kind::Dir,
        }
    }

    fn differs_from(&self, found: &Self) -> Option<What> {
        match (self, found) {
            (
                Self::File { size_bytes: expected_bytes, sha256: expected, .. },
                Self::File { size_bytes: found_bytes, sha256: found, .. },
            ) => {
                let (expected_bytes, found_bytes) = (*expected_bytes, *found_bytes);
                if expected_bytes != found_bytes {
                    return Some(What::Size { expected_bytes, found_bytes });
                }
                (expected != found).then_some(What::Content { expected: *expected, found: *found })
            }
            (Self::EmptyDir { .. }, Self::EmptyDir { .. }) => None,
            (expected, found) => {
                Some(What::Kind { expected: expected.kind(), found: found.kind() })
            }
        }
    }
}

impl List {
    pub(super) fn wanted<'a>(&'a self, ignore: Option<&'a Gitignore>) -> Wanted<'a> {
        let files = self.files.iter().map(Expected::from).collect();
        let empty_dirs = self.knows_dirs.then(|| self.empty_dirs.iter().collect());
        Wanted { files, empty_dirs, ignore }
    }
}

/// How a tree is read.
#[derive(Clone, Copy, Default)]
pub(super) struct Reading<'a> {
    pub jobs: Option<NonZeroUsize>,
    pub from_device: bool,
    pub state: Option<&'a State>,
}

/// What a check has come to so far.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub differences: Vec<Difference>,
    /// Files read, and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// Files that the state vouches for.
    pub remembered: u64,
    /// What reading from the device was worth, at worst.
    pub worth: Option<Worth>,
}

/// Reads the whole tree and tells every difference, sorted by path.
pub(super) fn whole(
    root: &Path,
    wanted: &Wanted<'_>,
    jobs: Option<NonZeroUsize>,
    monitor: &dyn Monitor,
) -> Result<Vec<Difference>, Error> {
    let mut checked = Checked::default();
    run(root, wanted, Reading { jobs, ..Reading::default() }, monitor, &mut checked)?;
    Ok(checked.differences)
}

/// What is to be done with one path.
enum Task {
    /// Compare what stands there with the file of this number.
    Compare(usize, Kind),
    /// The file of this number was not met.
    Missed(usize),
    /// Nothing was expected here.
    Extra(Kind),
}

/// What came of it.
enum Outcome {
    Differs(Difference),
    Read { bytes: u64, worth: Option<Worth> },
    Remembered,
    Nothing,
}

/// Compares a tree with what it should be; `checked` holds what was found also where
/// it ends early. The tree is walked in the order of the list, so that neither is
/// searched in.
pub(super) fn run(
    root: &Path,
    wanted: &Wanted<'_>,
    reading: Reading<'_>,
    monitor: &dyn Monitor,
    checked: &mut Checked,
) -> Result<(), Error> {
    let folder = Folder::open(root)?;
    checksum::announce(&folder, monitor)?;
    if reading.from_device {
        // What is dirty would be answered from memory.
        rustix::fs::syncfs(&folder).map_err(|e| storage::Error::io("flush", root, e))?;
    }
    let files = &wanted.files;
    let met = AtomicUsize::new(0);
    let found_dirs = Mutex::new(Vec::new());
    let produce = |feed: &mut Feed<'_, Task>| {
        Ok(walk::sorted(&folder, Names::Any, |place, name, kind| {
            let path = place.relative(name);
            let at = |at: usize| files.get(at).map(|file| file.path.as_str().as_bytes().cmp(&path));
            while at(met.load(Relaxed)) == Some(Ordering::Less) {
                feed.push(place, b"", Task::Missed(met.fetch_add(1, Relaxed)));
            }
            if at(met.load(Relaxed)) == Some(Ordering::Equal) {
                return feed.push(place, name, Task::Compare(met.fetch_add(1, Relaxed), kind));
            }
            if kind == Kind::Dir {
                found_dirs.lock().unwrap_or_else(PoisonError::into_inner).push(path);
                return true;
            }
            feed.push(place, name, Task::Extra(kind))
        })?)
    };
    let (threads, shelf) = Shelf::of(&folder, reading.jobs);
    let work = |scratch: &mut Scratch<'_>,
                desk: &mut Desk<Outcome>,
                place: &Arc<Place>,
                name: &[u8],
                task: &Task| {
        Ok(match task {
            Task::Compare(at, Kind::File) => {
                compare(&files[*at], place, name, reading, scratch, &mut || desk.flush(), monitor)?
            }
            Task::Compare(at, found) => {
                let what = What::Kind { expected: Kind::File, found: *found };
                Outcome::Differs(files[*at].difference(what))
            }
            Task::Missed(at) => missed(&folder, files[*at].path, Kind::File)?,
            Task::Extra(found) => extra(wanted, &place.relative(name), *found),
        })
    };
    let take = |outcome: Option<Outcome>| {
        match outcome {
            Some(outcome) => checked.add(outcome),
            None => reading.state.map_or(Ok(()), State::flush)?,
        }
        Ok(())
    };
    let done = checksum::run(threads, produce, || Scratch::new(&shelf), work, take);
    if done.is_ok() {
        for file in &files[met.into_inner().min(files.len())..] {
            checked.add(missed(&folder, file.path, Kind::File)?);
        }
        let found_dirs = found_dirs.into_inner().unwrap_or_else(PoisonError::into_inner);
        check_dirs(&folder, wanted, &found_dirs, checked)?;
    }
    checked.differences.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(done?)
}

impl Checked {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Differs(difference) => self.differences.push(difference),
            Outcome::Read { bytes, worth } => {
                self.files += 1;
                self.bytes += bytes;
                self.worth = self.worth.into_iter().chain(worth).min();
            }
            Outcome::Remembered => self.remembered += 1,
            Outcome::Nothing => {}
        }
    }
}

/// Reads a file that is where it should be.
fn compare(
    file: &Expected<'_>,
    place: &Place,
    name: &[u8],
    reading: Reading<'_>,
    scratch: &mut Scratch<'_>,
    before_long: &mut dyn FnMut(),
    monitor: &dyn Monitor,
) -> Result<Outcome, checksum::Error> {
    if file.size_bytes.is_some() || reading.state.is_some() {
        let stat = place.stat(name)?;
        if let Some(expected_bytes) = file.size_bytes.filter(|size| *size != stat.size_bytes) {
            let found_bytes = stat.size_bytes;
            return Ok(Outcome::Differs(
                file.difference(What::Size { expected_bytes, found_bytes }),
            ));
        }
        if reading.state.is_some_and(|state| state.knows(file.path, file.fingerprint(), &stat)) {
            monitor.on(Progress::Bytes(stat.size_bytes));
            monitor.on(Progress::File(file.path.as_str()));
            return Ok(Outcome::Remembered);
        }
    }
    let algorithms: Vec<_> = file.others.iter().map(|(algorithm, _)| *algorithm).collect();
    let from_device = reading.from_device;
    let read =
        checksum::of_place(place, name, from_device, &algorithms, scratch, before_long, monitor)?;
    monitor.on(Progress::File(file.path.as_str()));
    let bytes = read.stat.size_bytes;
    let what = list::check(file.size_bytes, file.sha256, file.others, bytes, &read.digests);
    if let Some(what) = what {
        return Ok(Outcome::Differs(file.difference(what)));
    }
    if let Some(state) = reading.state {
        state.keep(file.path, file.fingerprint(), &read.stat)?;
    }
    Ok(Outcome::Read { bytes, worth: read.worth })
}

/// What stands at a path that the walk did not meet: nothing, or a folder.
fn missed(folder: &Folder, path: &RelPath, expected: Kind) -> Result<Outcome, checksum::Error> {
    let what = match folder.stat(path) {
        Ok(stat) if stat.kind == expected => return Ok(Outcome::Nothing),
        Ok(stat) => What::Kind { expected, found: stat.kind },
        Err(
            storage::Error::NotFound { .. }
            | storage::Error::NotAFolder { .. }
            | storage::Error::Link { .. },
        ) => What::Missing,
        Err(error) => return Err(error.into()),
    };
    Ok(Outcome::Differs(Difference { path: path.to_string(), what }))
}

fn extra(wanted: &Wanted<'_>, path: &[u8], found: Kind) -> Outcome {
    let as_path = Path::new(OsStr::from_bytes(path));
    let is_ignored = |ignore: &Gitignore| {
        ignore.matched_path_or_any_parents(as_path, found == Kind::Dir).is_ignore()
    };
    // One that should be a folder is told as that.
    let is_dir = |dirs: &Vec<&RelPath>| dirs.iter().any(|dir| dir.as_str().as_bytes() == path);
    if wanted.ignore.is_some_and(is_ignored) || wanted.empty_dirs.as_ref().is_some_and(is_dir) {
        return Outcome::Nothing;
    }
    Outcome::Differs(Difference { path: escape(path), what: What::Extra { found } })
}

/// Empty folders: those that should be there, and those that should not, unless
/// something expected should be in them: then that is missing, and said.
fn check_dirs(
    folder: &Folder,
    wanted: &Wanted<'_>,
    found: &[Vec<u8>],
    checked: &mut Checked,
) -> Result<(), Error> {
    let Some(dirs) = &wanted.empty_dirs else { return Ok(()) };
    for dir in dirs {
        checked.add(missed(folder, dir, Kind::Dir)?);
    }
    for path in found {
        let inside = [path, &b"/"[..]].concat();
        let has_below = |at: Option<&[u8]>| at.is_some_and(|next| next.starts_with(&inside));
        let at = wanted.files.partition_point(|file| file.path.as_str().as_bytes() < &inside[..]);
        let is_known = dirs.iter().any(|dir| {
            let dir = dir.as_str().as_bytes();
            dir == path || dir.starts_with(&inside)
        });
        if !is_known && !has_below(wanted.files.get(at).map(|file| file.path.as_str().as_bytes())) {
            let is_file = wanted.files.iter().any(|file| file.path.as_str().as_bytes() == path);
            if !is_file {
                checked.add(extra(wanted, path, Kind::Dir));
            }
        }
    }
    Ok(())
}
