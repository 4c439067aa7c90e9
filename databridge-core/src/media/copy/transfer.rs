//! Filling the partial folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::base::steps;
use crate::media::checksum::{Algorithm, Digests, Sha256};
use crate::media::manifest::Entry;
use crate::media::monitor::{Monitor, Phase, Progress};

use super::Plan;
use super::attributes::{self, Lost};
use super::error::Error;
use super::file::{Copier, DIRECT_BYTES, LONG, LONG_JOBS_MAX, SHORT, SHORT_JOBS_MAX, Wanted};
use super::journal::{Done, Mark};
use super::lanes::Lanes;
use super::listing::{Expected, Listing};
use super::names::Kind;
use super::pace::Pace;
use super::pool;
use super::session::Session;
use super::site::Standing;
use super::source::Facts;
use super::stream::{Scratch, Sizes};
use crate::media::storage::Medium;

/// Up to this many files and folders are flushed one by one; more by one
/// `syncfs(2)`, which also waits for everybody else's writes.
const FLUSH_SINGLY_MAX: usize = 32;

/// After so much the file system is flushed and the journal says so: no power cut
/// costs more than that.
const CHECKPOINT_BYTES: u64 = 4 << 30;
/// After so much of files that were flushed singly the journal is, too.
const JOURNAL_BYTES: u64 = 256 << 20;
/// Neighbours that one worker takes at a time among small files.
const STRIDE: usize = 32;

/// What a transfer did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Transferred {
    /// Files written.
    pub files: u64,
    /// Bytes read from the source and written.
    pub bytes: u64,
    /// Files that an earlier life had written.
    pub kept_files: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Of the files written, those that share the source's blocks.
    pub cloned_files: u64,
    /// Attributes of what was written now that the destination did not take.
    pub lost_attributes: Lost,
    /// How long it took, flushing included.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

pub(super) fn seconds<S: serde::Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(took.as_secs_f64())
}

/// Writes what is still missing into the partial folder, and flushes it all to
/// the device. Files that the journal says are written are kept if they are
/// still the same inode with the right length (their content is the read-back's
/// business); everything else is removed first and written as new inodes. After
/// an error call it again, or [`super::prepare`] with the next epoch, to go on.
///
/// Nothing is read back here: under a store the read-back is a stage of its own,
/// whose worker trusts no other. [`super::tree()`] overlaps the two.
///
/// Steps: `copy.file_written` after each file, `copy.flushed`.
///
/// # Errors
/// [`Error::SourceMissing`], [`Error::SourceChanged`], [`Error::SourceDiffers`],
/// [`Error::NoSpace`], [`Error::Fenced`], [`Error::Cancelled`], or what the system
/// said.
pub fn transfer(plan: &Plan, monitor: &dyn Monitor) -> Result<Transferred, Error> {
    Ok(fill(plan, &Filling::default(), monitor)?.0)
}

/// How the partial folder is to be filled.
#[derive(Debug, Default)]
pub(super) struct Filling<'a> {
    /// What the source's files were when they were listed, in the order of the
    /// manifest's entries. The manifest then holds no digests yet.
    pub listed: Option<&'a [Facts]>,
    /// Digests besides the SHA-256.
    pub algorithms: &'a [Algorithm],
    /// Whether long files are read back while they are written.
    pub overlap: bool,
}

impl Filling<'_> {
    fn wants_finds(&self) -> bool {
        self.listed.is_some() || !self.algorithms.is_empty()
    }
}

/// What a file was found to be when it was read.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub sha256: Sha256,
    pub digests: Option<Box<Digests>>,
    pub cloned: bool,
}

impl From<&Done> for Found {
    fn from(done: &Done) -> Self {
        let digests = done.digests.clone().map(Box::new);
        Self { sha256: done.sha256, digests, cloned: done.cloned }
    }
}

/// As [`transfer`]. Says also what each file was found to be, in the order of the
/// manifest's entries, if that was not known or more was asked for.
///
/// Step: `copy.window_read_back` after a file that was read back on the way.
///
/// # Errors
/// Also [`Error::ReadBackMismatch`].
pub(super) fn fill(
    plan: &Plan,
    filling: &Filling<'_>,
    monitor: &dyn Monitor,
) -> Result<(Transferred, Vec<Option<Found>>), Error> {
    let start = Instant::now();
    let session = Session::open(plan, true)?;
    let entries = plan.manifest.entries();
    let total = |files: &[usize]| files.iter().map(|&at| size_of(&entries[at])).sum::<u64>();
    let is_file = |at: &usize| matches!(entries[*at], Entry::File { .. });
    let files: Vec<usize> = (0..entries.len()).filter(is_file).collect();
    monitor.on(Progress::Phase(Phase::Copy));
    monitor.on(Progress::Total { files: files.len() as u64, bytes: total(&files) });
    let (kept, missing) = match session.standing {
        Standing::Published => (files, Vec::new()),
        Standing::Partial => clean(&session, filling, files)?,
    };
    let mut found = vec![None; if filling.wants_finds() { entries.len() } else { 0 }];
    for &at in &kept {
        if let Some(place) = found.get_mut(at) {
            *place = session.record.done.get(entries[at].path()).map(Found::from);
        }
        monitor.on(Progress::Kept(size_of(&entries[at])));
        monitor.on(Progress::File(entries[at].path().as_str()));
    }
    let mut cloned_files = 0;
    if session.standing == Standing::Partial {
        make_dirs(&session)?;
        let worker = Worker::new(&session, filling, found);
        worker.write(&missing, monitor)?;
        cloned_files = worker.cloned.into_inner();
        found = worker.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let late = worker.late.into_inner().unwrap_or_else(PoisonError::into_inner);
        flush(&session, &kept, &late)?;
    }
    steps::reach("copy.flushed");
    let transferred = Transferred {
        files: missing.len() as u64,
        bytes: total(&missing),
        kept_files: kept.len() as u64,
        kept_bytes: total(&kept),
        cloned_files,
        lost_attributes: session.losses.told(),
        took: start.elapsed(),
    };
    Ok((transferred, found))
}

fn size_of(entry: &Entry) -> u64 {
    match entry {
        Entry::File { size_bytes, .. } => *size_bytes,
        Entry::EmptyDir { .. } => 0,
    }
}

/// Removes what is neither kept nor a folder of the manifest, and sorts the
/// files into those kept and those to be written.
fn clean(
    session: &Session<'_>,
    filling: &Filling<'_>,
    files: Vec<usize>,
) -> Result<(Vec<usize>, Vec<usize>), Error> {
    let listing = session.listing()?;
    let entries = session.plan.manifest.entries();
    let (kept, missing): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|&at| is_kept(session, &listing, &entries[at], filling, at).is_some());
    let names: BTreeSet<&Path> =
        kept.iter().map(|&at| Path::new(entries[at].path().as_str())).collect();
    let expected = Expected::of(&session.plan.manifest);
    let root = session.site.own(Kind::Partial);
    let settle = |path: &PathBuf, done: Result<(), Errno>| match done {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => session.site.check_partial(),
        Err(errno) => Err(session.site.blame(&root.join(path), errno)),
    };
    session.set_mode(&root, 0o700)?;
    for dir in &listing.dirs {
        // A policy may have made it read-only in an earlier life.
        session.set_mode(&root.join(dir), 0o700)?;
    }
    for path in listing.files.keys().filter(|path| !names.contains(path.as_path())) {
        settle(path, session.site.unlink(&root.join(path)))?;
    }
    for path in &listing.specials {
        settle(path, session.site.unlink(&root.join(path)))?;
    }
    for path in listing.dirs.iter().rev().filter(|dir| !expected.dirs.contains(dir.as_path())) {
        settle(path, session.site.remove_dir(&root.join(path)))?;
    }
    Ok((kept, missing))
}

/// The mark of a file that needs no writing: the inode that it tells of stands
/// there, and holds what is wanted.
fn is_kept<'a>(
    session: &'a Session<'_>,
    listing: &Listing,
    entry: &Entry,
    filling: &Filling<'_>,
    at: usize,
) -> Option<&'a Done> {
    let Entry::File { path, size_bytes, sha256 } = entry else { return None };
    let found = listing.files.get(Path::new(path.as_str()))?;
    let done = session.record.done.get(path)?;
    let wanted = match filling.listed {
        // It was read when it was what it is now.
        Some(listed) => listed.get(at).copied() == done.source,
        None => done.sha256 == *sha256,
    };
    let digests = filling.algorithms.iter().all(|&algorithm| {
        done.digests.as_ref().is_some_and(|digests| digests.get(algorithm).is_some())
    });
    let same =
        (done.size_bytes, found.ino, found.size_bytes) == (*size_bytes, done.inode, *size_bytes);
    (wanted && digests && same).then_some(done)
}

/// Makes the folders, those above before those below.
fn make_dirs(session: &Session<'_>) -> Result<(), Error> {
    let root = session.site.own(Kind::Partial);
    for dir in Expected::of(&session.plan.manifest).dirs {
        match session.site.make_dir(&root.join(dir)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(session.site.blame(&root.join(dir), errno)),
        }
    }
    Ok(())
}

/// What the workers that write share.
struct Worker<'a> {
    session: &'a Session<'a>,
    filling: &'a Filling<'a>,
    medium: Medium,
    found: Mutex<Vec<Option<Found>>>,
    /// Files that are still to be flushed.
    late: Mutex<Vec<usize>>,
    cloned: AtomicU64,
    /// Bytes written since the last checkpoint.
    unflushed: AtomicU64,
    /// Bytes flushed that the journal on the device does not know of.
    unsynced: AtomicU64,
}

impl<'a> Worker<'a> {
    fn new(session: &'a Session<'a>, filling: &'a Filling<'a>, found: Vec<Option<Found>>) -> Self {
        Self {
            session,
            filling,
            medium: Medium::of(session.site.parent()),
            found: Mutex::new(found),
            late: Mutex::default(),
            cloned: AtomicU64::new(0),
            unflushed: AtomicU64::new(0),
            unsynced: AtomicU64::new(0),
        }
    }

    /// Copies the missing files, several at a time: the long ones first, so that
    /// the last worker is not left with one of them.
    fn write(&self, missing: &[usize], monitor: &dyn Monitor) -> Result<(), Error> {
        let plan = self.session.plan;
        let pace = Pace::new(plan.policy.limit_bytes_per_second);
        let filling = self.filling;
        let copier = Copier::new(self.session, &pace, filling.algorithms, filling.overlap)?;
        let entries = plan.manifest.entries();
        let is_long = |at: &usize| size_of(&entries[*at]) >= DIRECT_BYTES;
        let (long, short): (Vec<_>, Vec<_>) = missing.iter().copied().partition(is_long);
        let lanes = Lanes::of(self.session.site.parent(), plan.policy.jobs);
        let one = |sizes: Sizes| {
            let copier = &copier;
            move |&at: &usize, scratch: &mut Scratch, watch: &dyn Monitor| {
                self.one(copier, at, sizes, scratch, watch)
            }
        };
        let jobs = lanes.width();
        let lanes = Some(&*lanes);
        pool::each(lanes, jobs.min(LONG_JOBS_MAX), 1, &long, monitor, Scratch::default, one(LONG))?;
        let jobs = jobs.min(SHORT_JOBS_MAX);
        pool::each(lanes, jobs, STRIDE, &short, monitor, Scratch::default, one(SHORT))
    }

    fn one(
        &self,
        copier: &Copier<'_>,
        at: usize,
        sizes: Sizes,
        scratch: &mut Scratch,
        watch: &dyn Monitor,
    ) -> Result<(), Error> {
        let entry = &self.session.plan.manifest.entries()[at];
        let Entry::File { path, size_bytes, sha256 } = entry else { return Ok(()) };
        let listed = self.filling.listed.and_then(|listed| listed.get(at));
        let sha256 = self.filling.listed.is_none().then_some(*sha256);
        let wanted = Wanted { path, size_bytes: *size_bytes, sha256, listed };
        let (done, returned) = copier.copy(wanted, sizes, scratch, watch)?;
        if let Some(place) = lock(&self.found).get_mut(at) {
            *place = Some(Found::from(&done));
        }
        self.cloned.fetch_add(u64::from(done.cloned), Ordering::Relaxed);
        let (journal, flushed) = (&self.session.journal, done.flushed);
        journal.append(&Mark::Done(done))?;
        if let Some(returned) = returned {
            journal.append(&Mark::ReadBack(returned))?;
            steps::reach("copy.window_read_back");
            watch.on(Progress::Ahead(*size_bytes));
        }
        if !flushed {
            lock(&self.late).push(at);
            self.checkpoint(*size_bytes)?;
        } else if count(&self.unsynced, *size_bytes, JOURNAL_BYTES) {
            journal.sync()?;
        }
        steps::reach("copy.file_written");
        watch.on(Progress::File(path.as_str()));
        Ok(())
    }

    /// Counts what was written, and flushes it once it is enough.
    fn checkpoint(&self, written: u64) -> Result<(), Error> {
        if !self.medium.flushes_whole() || !count(&self.unflushed, written, CHECKPOINT_BYTES) {
            return Ok(());
        }
        let site = &self.session.site;
        self.session.journal.checkpoint(|| {
            rustix::fs::syncfs(site.parent()).map_err(|errno| Error::at(site.final_path(), errno))
        })
    }
}

/// Adds to what was counted; `true`, and from the start again, once it is enough.
fn count(counter: &AtomicU64, bytes: u64, enough: u64) -> bool {
    let whole = counter.fetch_add(bytes, Ordering::Relaxed) + bytes >= enough;
    if whole {
        counter.store(0, Ordering::Relaxed);
    }
    whole
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the folders their mode and brings everything to the device: `late` are the
/// files just written that are not there yet.
fn flush(session: &Session<'_>, kept: &[usize], late: &[usize]) -> Result<(), Error> {
    let site = &session.site;
    let root = site.own(Kind::Partial);
    let entries = session.plan.manifest.entries();
    let dirs = Expected::of(&session.plan.manifest).dirs;
    attributes::settle_dirs(session)?;
    let unsure = kept.iter().filter(|&&at| {
        let done = session.record.done.get(entries[at].path());
        done.is_none_or(|done| !done.flushed)
    });
    let files: Vec<&Entry> = unsure.chain(late).map(|&at| &entries[at]).collect();
    if Medium::of(site.parent()).flushes_whole() && files.len() + dirs.len() > FLUSH_SINGLY_MAX {
        rustix::fs::syncfs(site.parent()).map_err(|errno| site.blame(&root, errno))?;
        site.check_partial()?;
    } else {
        for entry in files {
            let path = session.at(entry);
            let file = site.open(&path, OFlags::RDONLY, Mode::empty());
            let file = File::from(file.map_err(|errno| site.blame(&path, errno))?);
            file.sync_all().map_err(|error| site.blame(&path, error))?;
        }
        for dir in dirs.into_iter().rev().chain([Path::new("")]) {
            session.flush_dir(&root.join(dir))?;
        }
    }
    session.journal.append(&Mark::Flushed)?;
    session.journal.sync()
}
