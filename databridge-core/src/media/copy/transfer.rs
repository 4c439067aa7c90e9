//! Filling the partial folder.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::base::steps;
use crate::media::checksum::{Algorithm, Digests, Sha256};
use crate::media::manifest::Entry;
use crate::media::monitor::{Monitor, Phase, Progress};

use super::attributes::{self, Lost};
use super::behind::{Ahead, Behind};
use super::error::Error;
use super::file::{
    BUFFERS_BYTES, Copied, Copier, DIRECT_BYTES, LONG, LONG_JOBS_MAX, SHORT, SHORT_JOBS_MAX, Wanted,
};
use super::journal::{Done, Mark};
use super::known::Knowns;
use super::lanes::Lanes;
use super::links::{self, Links};
use super::listing::{self, Listing};
use super::names::Kind;
use super::pace::Pace;
use super::pool;
use super::session::Session;
use super::site::Standing;
use super::source::Facts;
use super::stream::{Scratch, Sizes, join};
use super::{HardLinks, Plan};
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
    /// Names in the source of a file that an earlier name there stands for: hard
    /// links. By a manifest only those that were written now are known.
    pub shared_files: u64,
    /// Of them, those that are hard links at the destination too.
    pub linked_files: u64,
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
    Ok(fill(plan, &Filling::default(), monitor)?.done)
}

/// How the partial folder is to be filled.
#[derive(Debug, Default)]
pub(super) struct Filling<'a> {
    /// What the source's files were when they were listed, in the order of the
    /// manifest's entries. The manifest then holds no digests yet.
    pub listed: Option<&'a [Facts]>,
    /// Which of them are names of one file, if they were listed.
    pub links: Option<&'a Links>,
    /// What somebody's list knows of them.
    pub known: Option<&'a Knowns<'a>>,
    /// Digests besides the SHA-256.
    pub algorithms: &'a [Algorithm],
    /// Whether files are read back while they, or others, are written.
    pub overlap: bool,
}

/// What came of filling it.
#[derive(Debug)]
pub(super) struct Filled {
    pub done: Transferred,
    /// What each file was found to be, in the order of the manifest's entries, if that
    /// was not known or more was asked for.
    pub found: Vec<Option<Found>>,
    /// What was read back meanwhile of short files.
    pub ahead: Ahead,
}

impl Filling<'_> {
    fn wants_finds(&self) -> bool {
        self.listed.is_some() || !self.algorithms.is_empty()
    }

    /// # Errors
    /// [`Error::SourceUnlike`] if the list knows the file as another.
    fn check(&self, plan: &Plan, at: usize, found: &Found) -> Result<(), Error> {
        let entry = &plan.manifest.entries()[at];
        match (self.known, &found.more.digests) {
            (Some(known), Some(digests)) => known
                .check(at, entry.size_bytes(), digests, || plan.source.join(entry.path().as_str())),
            _ => Ok(()),
        }
    }
}

/// What a file was found to be when it was read.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub sha256: Sha256,
    pub more: More,
}

/// What a manifest does not hold of it.
#[derive(Debug, Clone)]
pub(super) struct More {
    pub digests: Option<Box<Digests>>,
    pub cloned: bool,
}

impl From<&Done> for Found {
    fn from(done: &Done) -> Self {
        let digests = done.digests.clone().map(Box::new);
        Self { sha256: done.sha256, more: More { digests, cloned: done.cloned } }
    }
}

/// As [`transfer`], and says more of it.
///
/// Step: `copy.window_read_back` after a file that was read back on the way.
///
/// # Errors
/// Also [`Error::ReadBackMismatch`].
pub(super) fn fill(
    plan: &Plan,
    filling: &Filling<'_>,
    monitor: &dyn Monitor,
) -> Result<Filled, Error> {
    let start = Instant::now();
    let session = Session::open(plan, true)?;
    let entries = plan.manifest.entries();
    let links = links_of(plan, filling)?;
    // Further names take no work where they stay what they are.
    let own = |at: usize| plan.policy.hard_links != HardLinks::Keep || links.first(at).is_none();
    let size = |at: usize| if own(at) { entries[at].size_bytes() } else { 0 };
    let total = |files: &[usize]| files.iter().map(|&at| size(at)).sum::<u64>();
    let is_file = |at: &usize| matches!(entries[*at], Entry::File { .. });
    let files: Vec<usize> = (0..entries.len()).filter(is_file).collect();
    monitor.on(Progress::Phase(Phase::Copy));
    monitor.on(Progress::Total { files: files.len() as u64, bytes: total(&files) });
    let (kept, missing) = match session.standing {
        Standing::Published => (files, Vec::new()),
        Standing::Partial => clean(&session, filling, &links, files)?,
    };
    let mut found = vec![None; if filling.wants_finds() { entries.len() } else { 0 }];
    for &at in &kept {
        if let Some(place) = found.get_mut(at) {
            *place = session.record.done.get(entries[at].path()).map(Found::from);
            place.as_ref().map_or(Ok(()), |found| filling.check(plan, at, found))?;
        }
        monitor.on(Progress::Kept(size(at)));
        monitor.on(Progress::File(entries[at].path().as_str()));
    }
    let (missing_files, missing_bytes) = (missing.len() as u64, total(&missing));
    let (mut cloned_files, mut shared_files) = (0, links.len());
    let mut ahead = Ahead::default();
    if session.standing == Standing::Partial {
        make_dirs(&session)?;
        let worker = Worker::new(&session, filling, &links, found);
        let first = missing.into_iter().filter(|&at| own(at)).collect();
        ahead = worker.write(first, monitor)?;
        cloned_files = worker.cloned.into_inner();
        if filling.links.is_none() && plan.policy.hard_links == HardLinks::Copy {
            let shared = worker.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
            shared_files = Links::of(shared).len();
        }
        found = worker.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let late = worker.late.into_inner().unwrap_or_else(PoisonError::into_inner);
        flush(&session, &kept, &late)?;
    }
    steps::reach("copy.flushed");
    let done = Transferred {
        files: missing_files,
        bytes: missing_bytes,
        kept_files: kept.len() as u64,
        kept_bytes: total(&kept),
        cloned_files,
        shared_files,
        linked_files: if plan.policy.hard_links == HardLinks::Keep { links.len() } else { 0 },
        lost_attributes: session.losses.told(),
        took: start.elapsed(),
    };
    Ok(Filled { done, found, ahead })
}

/// Which names of the source are of one file, as far as that is known or the policy
/// wants to know.
fn links_of<'a>(plan: &Plan, filling: &Filling<'a>) -> Result<Cow<'a, Links>, Error> {
    match (filling.links, plan.policy.hard_links) {
        (Some(links), _) => Ok(Cow::Borrowed(links)),
        (None, HardLinks::Keep) => Links::of_source(plan).map(Cow::Owned),
        (None, HardLinks::Copy | HardLinks::Refuse) => Ok(Cow::default()),
    }
}

/// Removes what is neither kept nor a folder of the manifest, and sorts the
/// files into those kept and those to be written.
fn clean(
    session: &Session<'_>,
    filling: &Filling<'_>,
    links: &Links,
    files: Vec<usize>,
) -> Result<(Vec<usize>, Vec<usize>), Error> {
    let listing = session.listing()?;
    let entries = session.plan.manifest.entries();
    let alone = |at| is_kept(session, &listing, filling, at);
    let (kept, missing): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|&at| match session.plan.policy.hard_links {
            HardLinks::Keep => is_kept_whole(&listing, links, at, alone),
            // A file that an earlier life linked to another has to be its own now.
            _ => alone(at) && listing.file(at).is_some_and(|stood| stood.links.get() == 1),
        });
    let expected = listing::dirs(&session.plan.manifest);
    let root = session.site.own(Kind::Partial);
    let settle = |path: &Path, done: Result<(), Errno>| match done {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => session.site.check_partial(),
        Err(errno) => Err(session.site.blame(&root.join(path), errno)),
    };
    session.set_mode(&root, 0o700)?;
    for dir in &listing.dirs {
        // A policy may have made it read-only in an earlier life.
        session.set_mode(&root.join(dir), 0o700)?;
    }
    let odd = missing.iter().filter(|&&at| listing.file(at).is_some());
    let odd = odd.map(|&at| entries[at].path().to_path());
    let extras = listing.extras.keys().chain(&listing.specials).map(PathBuf::as_path);
    for path in odd.chain(extras) {
        settle(path, session.site.unlink(&root.join(path)))?;
    }
    for path in listing.dirs.iter().rev().filter(|dir| !expected.contains(dir.as_path())) {
        settle(path, session.site.remove_dir(&root.join(path)))?;
    }
    Ok((kept, missing))
}

/// Whether all names of a file are kept, as names of one file: else it is written anew
/// with all of them.
fn is_kept_whole(
    listing: &Listing<'_>,
    links: &Links,
    at: usize,
    alone: impl Fn(usize) -> bool,
) -> bool {
    let first = links.first(at).unwrap_or(at);
    let inode = |at: usize| listing.file(at).map(|stood| stood.facts.ino());
    let names = 1 + links.others(first).count();
    let counted = |at: usize| listing.file(at).map(|stood| stood.links.get() as usize);
    counted(first) == Some(names)
        && alone(first)
        && links.others(first).all(|other| inode(other) == inode(first) && alone(other))
}

/// Whether a file needs no writing: the inode that its mark tells of stands there, and
/// holds what is wanted.
fn is_kept(session: &Session<'_>, listing: &Listing<'_>, filling: &Filling<'_>, at: usize) -> bool {
    let entry = &session.plan.manifest.entries()[at];
    let Entry::File { path, size_bytes, sha256 } = entry else { return false };
    let (Some(stood), Some(done)) = (listing.file(at), session.record.done.get(path)) else {
        return false;
    };
    let wanted = match filling.listed {
        // It was read when it was what it is now.
        Some(listed) => listed.get(at).copied() == done.source,
        None => done.sha256 == *sha256,
    };
    let digests = filling.algorithms.iter().all(|&algorithm| {
        done.digests.as_ref().is_some_and(|digests| digests.get(algorithm).is_some())
    });
    let found = (stood.facts.ino(), stood.facts.size_bytes());
    wanted && digests && done.size_bytes == *size_bytes && found == (done.inode, *size_bytes)
}

/// Makes the folders, those above before those below.
fn make_dirs(session: &Session<'_>) -> Result<(), Error> {
    let root = session.site.own(Kind::Partial);
    for dir in listing::dirs(&session.plan.manifest) {
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
    links: &'a Links,
    medium: Medium,
    found: Mutex<Vec<Option<Found>>>,
    /// Of the files written, those with several names in the source.
    shared: Mutex<Vec<(u64, u64, u32)>>,
    /// Files that are still to be flushed.
    late: Mutex<Vec<usize>>,
    cloned: AtomicU64,
    /// Bytes written since the last checkpoint.
    unflushed: AtomicU64,
    /// Bytes flushed that the journal on the device does not know of.
    unsynced: AtomicU64,
    /// Reads short files back meanwhile.
    behind: Option<Behind<'a>>,
    lanes: Arc<Lanes>,
}

impl<'a> Worker<'a> {
    fn new(
        session: &'a Session<'a>,
        filling: &'a Filling<'a>,
        links: &'a Links,
        found: Vec<Option<Found>>,
    ) -> Self {
        let medium = Medium::of(session.site.parent());
        let lanes = Lanes::of(session.site.parent(), session.plan.policy.jobs);
        Self {
            session,
            filling,
            links,
            medium,
            found: Mutex::new(found),
            shared: Mutex::default(),
            late: Mutex::default(),
            cloned: AtomicU64::new(0),
            unflushed: AtomicU64::new(0),
            unsynced: AtomicU64::new(0),
            // What has heads to move, or is far away, had better do one thing at a time.
            behind: (filling.overlap && medium == Medium::Disk && lanes.is_quick())
                .then(|| Behind::new(session, medium)),
            lanes,
        }
    }

    /// Copies the missing files, several at a time: the long ones first, so that
    /// the last worker is not left with one of them.
    fn write(&self, missing: Vec<usize>, monitor: &dyn Monitor) -> Result<Ahead, Error> {
        let plan = self.session.plan;
        let pace = Pace::new(plan.policy.limit_bytes_per_second);
        let filling = self.filling;
        let copier = Copier::new(self.session, &pace, filling.algorithms, filling.overlap)?;
        let entries = plan.manifest.entries();
        let is_long = |at: &usize| entries[*at].size_bytes() >= DIRECT_BYTES;
        let (long, short): (Vec<_>, Vec<_>) = missing.into_iter().partition(is_long);
        let lanes = &self.lanes;
        let one = |sizes: Sizes| {
            let copier = &copier;
            move |&at: &usize, scratch: &mut Scratch, watch: &dyn Monitor| {
                self.one(copier, at, sizes, scratch, watch)
            }
        };
        let scratch = Scratch::default;
        let jobs = lanes.width().min(LONG_JOBS_MAX).min(long.len()).max(1);
        let sizes = LONG.shared_by(jobs, BUFFERS_BYTES);
        pool::each(Some(&**lanes), jobs, 1, &long, monitor, scratch, one(sizes))?;
        let jobs = lanes.short_width().min(SHORT_JOBS_MAX);
        let write = || pool::each(None, jobs, STRIDE, &short, monitor, scratch, one(SHORT));
        let Some(behind) = &self.behind else { return write().map(|()| Ahead::default()) };
        std::thread::scope(|scope| {
            let writing = behind.writing();
            let builder = std::thread::Builder::new();
            let follower = builder.spawn_scoped(scope, || behind.follow(monitor));
            let written = write();
            drop(writing);
            // Without a thread for it all is read at the end.
            let ahead = follower.map_or_else(|_| Ok(Ahead::default()), join);
            match (written, ahead) {
                // The writers stopped because of it.
                (Err(Error::Cancelled), Err(error)) => Err(error),
                (written, ahead) => written.and(ahead),
            }
        })
    }

    fn one(
        &self,
        copier: &Copier<'_>,
        at: usize,
        sizes: Sizes,
        scratch: &mut Scratch,
        watch: &dyn Monitor,
    ) -> Result<(), Error> {
        self.behind.as_ref().map_or(Ok(()), Behind::check)?;
        let entries = self.session.plan.manifest.entries();
        let Entry::File { path, size_bytes, sha256 } = &entries[at] else { return Ok(()) };
        let listed = self.filling.listed.and_then(|listed| listed.get(at));
        let sha256 = self.filling.listed.is_none().then_some(*sha256);
        let others = self.others(at)?;
        let names: Vec<_> = others.iter().map(|&other| entries[other].path()).collect();
        let wanted = Wanted { path, size_bytes: *size_bytes, sha256, listed, others: &names };
        let Copied { done, returned, source } = copier.copy(wanted, sizes, scratch, watch)?;
        if let Some(name) = u32::try_from(at).ok().and_then(|at| links::name(&source, at)) {
            lock(&self.shared).push(name);
        }
        for &at in others.iter().chain([&at]) {
            self.filling.check(self.session.plan, at, &Found::from(&done))?;
            if let Some(place) = lock(&self.found).get_mut(at) {
                *place = Some(Found::from(&done));
            }
        }
        self.cloned.fetch_add(u64::from(done.cloned), Ordering::Relaxed);
        let (journal, flushed, wrote) = (&self.session.journal, done.flushed, done.sha256);
        for &name in &names {
            journal.append(&Mark::Done(Done { path: name.clone(), ..done.clone() }))?;
        }
        journal.append(&Mark::Done(done))?;
        if let Some(returned) = returned {
            journal.append(&Mark::ReadBack(returned))?;
            steps::reach("copy.window_read_back");
            watch.on(Progress::Ahead(*size_bytes));
        }
        if !flushed {
            lock(&self.late).push(at);
            if let Some(behind) = &self.behind {
                behind.add(at, wrote, *size_bytes);
            }
            self.checkpoint(*size_bytes)?;
        } else if count(&self.unsynced, *size_bytes, JOURNAL_BYTES) {
            journal.sync()?;
        }
        steps::reach("copy.file_written");
        for name in names.into_iter().chain([path]) {
            watch.on(Progress::File(name.as_str()));
        }
        Ok(())
    }

    /// The further names that a file is to have.
    ///
    /// # Errors
    /// [`Error::SourceDiffers`] where the manifest says that they are not of one file.
    fn others(&self, at: usize) -> Result<Vec<usize>, Error> {
        if self.session.plan.policy.hard_links != HardLinks::Keep {
            return Ok(Vec::new());
        }
        let entries = self.session.plan.manifest.entries();
        let others: Vec<_> = self.links.others(at).collect();
        for &other in &others {
            match (&entries[at], &entries[other]) {
                (
                    Entry::File { size_bytes, sha256, .. },
                    Entry::File { path, size_bytes: expected_bytes, sha256: expected },
                ) if (size_bytes, sha256) != (expected_bytes, expected) => {
                    let path = self.session.plan.source.join(path);
                    let (expected_bytes, expected) = (*expected_bytes, *expected);
                    let found = Some(*sha256);
                    return Err(Error::SourceDiffers { path, expected_bytes, expected, found });
                }
                _ => {}
            }
        }
        Ok(others)
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
    let dirs = listing::dirs(&session.plan.manifest);
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
