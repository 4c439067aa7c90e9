//! Filling the partial folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::base::steps;
use crate::media::manifest::Entry;
use crate::media::monitor::{Monitor, Phase, Progress};

use super::Plan;
use super::error::Error;
use super::file::{Copier, Flush};
use super::journal::Mark;
use super::listing::{Expected, Listing};
use super::names::Kind;
use super::pace::Pace;
use super::pool;
use super::session::Session;
use super::site::Standing;
use crate::media::storage::Medium;

/// Up to this many files and folders are flushed one by one; more by one
/// `syncfs(2)`, which also waits for everybody else's writes.
const FLUSH_SINGLY_MAX: usize = 32;

/// What a transfer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Transferred {
    /// Files written.
    pub files: u64,
    /// Bytes read from the source and written.
    pub bytes: u64,
    /// Files that an earlier life had written.
    pub kept_files: u64,
    /// Their bytes.
    pub kept_bytes: u64,
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
/// Steps: `copy.file_written` after each file, `copy.flushed`.
///
/// # Errors
/// [`Error::SourceMissing`], [`Error::SourceChanged`], [`Error::SourceDiffers`],
/// [`Error::NoSpace`], [`Error::Fenced`], [`Error::Cancelled`], or what the system
/// said.
pub fn transfer(plan: &Plan, monitor: &dyn Monitor) -> Result<Transferred, Error> {
    let start = Instant::now();
    let session = Session::open(plan)?;
    let total = |entries: &[&Entry]| entries.iter().map(|entry| size_of(entry)).sum::<u64>();
    let files: Vec<&Entry> =
        plan.manifest.entries().iter().filter(|e| matches!(e, Entry::File { .. })).collect();
    monitor.on(Progress::Phase(Phase::Copy));
    monitor.on(Progress::Total { files: files.len() as u64, bytes: total(&files) });
    let (kept, missing) = match session.standing {
        Standing::Published => (files, Vec::new()),
        Standing::Partial => clean(&session, files)?,
    };
    for entry in &kept {
        monitor.on(Progress::Kept(size_of(entry)));
        monitor.on(Progress::File(entry.path().as_str()));
    }
    if session.standing == Standing::Partial {
        make_dirs(&session)?;
        write(&session, &missing, monitor)?;
        flush(&session, &kept, &missing)?;
    }
    steps::reach("copy.flushed");
    Ok(Transferred {
        files: missing.len() as u64,
        bytes: total(&missing),
        kept_files: kept.len() as u64,
        kept_bytes: total(&kept),
        took: start.elapsed(),
    })
}

fn size_of(entry: &Entry) -> u64 {
    match entry {
        Entry::File { size_bytes, .. } => *size_bytes,
        Entry::EmptyDir { .. } => 0,
    }
}

/// Removes what is neither kept nor a folder of the manifest, and sorts the
/// files into those kept and those to be written.
fn clean<'a>(
    session: &Session<'_>,
    files: Vec<&'a Entry>,
) -> Result<(Vec<&'a Entry>, Vec<&'a Entry>), Error> {
    let listing = session.listing()?;
    let (kept, missing): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|entry| is_kept(session, &listing, entry));
    let names: BTreeSet<&Path> = kept.iter().map(|e| Path::new(e.path().as_str())).collect();
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

fn is_kept(session: &Session<'_>, listing: &Listing, entry: &Entry) -> bool {
    let Entry::File { path, size_bytes, sha256 } = entry else { return false };
    let found = listing.files.get(Path::new(path.as_str()));
    session.record.done.get(path).zip(found).is_some_and(|(done, found)| {
        (done.size_bytes, done.sha256) == (*size_bytes, *sha256)
            && (found.ino, found.size_bytes) == (done.inode, *size_bytes)
    })
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

/// Copies the missing files, several at a time.
fn write(session: &Session<'_>, missing: &[&Entry], monitor: &dyn Monitor) -> Result<(), Error> {
    let policy = session.plan.policy;
    let pace = Pace::new(policy.limit_bytes_per_second);
    let flush =
        if Medium::of(session.site.parent()).flushes_whole() { Flush::Large } else { Flush::Each };
    let copier = Copier::new(session, &pace, flush)?;
    let work = |entry: &&Entry, buffer: &mut Vec<u8>, watch: &dyn Monitor| {
        let Entry::File { path, size_bytes, sha256 } = entry else { return Ok(()) };
        let done = copier.copy(path, *size_bytes, *sha256, buffer, watch)?;
        let flushed = done.flushed;
        session.journal.append(&Mark::Done(done))?;
        if flushed {
            session.journal.sync()?;
        }
        steps::reach("copy.file_written");
        watch.on(Progress::File(path.as_str()));
        Ok(())
    };
    pool::each(policy.jobs, missing, monitor, Vec::new, work)
}

/// Gives the folders their mode and brings everything to the device.
fn flush(session: &Session<'_>, kept: &[&Entry], missing: &[&Entry]) -> Result<(), Error> {
    let site = &session.site;
    let root = site.own(Kind::Partial);
    let dirs = Expected::of(&session.plan.manifest).dirs;
    let mode = session.plan.policy.dir_mode | 0o500;
    for dir in dirs.iter().rev() {
        session.set_mode(&root.join(dir), mode)?;
    }
    if Medium::of(site.parent()).flushes_whole()
        && kept.len() + missing.len() + dirs.len() > FLUSH_SINGLY_MAX
    {
        rustix::fs::syncfs(site.parent()).map_err(|errno| site.blame(&root, errno))?;
        site.check_partial()?;
    } else {
        for entry in kept.iter().chain(missing) {
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
