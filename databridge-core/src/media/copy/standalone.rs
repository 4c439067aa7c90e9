//! A whole copy in one call, where no store watches over it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use uuid::{Builder, Uuid};

use crate::media::checksum::{self, Algorithm, Digests, Sha256};
use crate::media::manifest::{self, Entry, List, Manifest};
use crate::media::monitor::{Monitor, Phase, Progress};
use crate::media::storage::RelPath;

use super::error::Error;
use super::known::Knowns;
use super::prepare::{create_parent, refuse_inside_source};
use super::read_back::verify_rest;
use super::site::Site;
use super::stream::join;
use super::survey::{Survey, compare, complete};
use super::transfer::{Filled, Filling, Found, More, fill, seconds};
use super::{
    Attempt, Plan, Policy, Prepared, Published, ReadBack, Shape, Transferred, abort, finish,
    prepare, publish, verify,
};

/// What may be chosen for a stand-alone copy.
#[derive(Debug, Clone)]
pub struct Options {
    /// Modes, times, limits.
    pub policy: Policy,
    /// Whether to go on from what an interrupted copy to the same path left, and
    /// to leave what is done if this one fails. Else it begins anew, and a
    /// failure leaves nothing.
    pub resume: bool,
    /// What the source must be; `None`: what it is found to be while it is copied.
    pub manifest: Option<Manifest>,
    /// The same by a list: only the files that it names are copied. Where it has other
    /// digests than SHA-256, they are made and compared in the same read.
    pub known: Option<List>,
    /// Digests of each file besides the SHA-256, made in the same read.
    pub algorithms: Vec<Algorithm>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            resume: true,
            manifest: None,
            known: None,
            algorithms: Vec::new(),
        }
    }
}

/// A file that was copied and read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedFile {
    /// Relative to the copy's root; for a single file its name at the source.
    pub path: RelPath,
    /// Length.
    pub size_bytes: u64,
    /// Digest of what was read and of what was read back.
    pub sha256: Sha256,
    /// All digests of what was read, if more than the SHA-256 were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digests: Option<Box<Digests>>,
    /// It shares the source's blocks (a reflink).
    pub cloned: bool,
}

/// How fast it went, in bytes a second; zero where nothing was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rates {
    /// Read, hashed, written and flushed; and read back where that was overlapped.
    pub transfer: u64,
    /// Read back after that.
    pub read_back: u64,
}

impl Rates {
    /// From what was done in which time.
    pub(in crate::media) fn of(transferred: &Transferred, read_back: &ReadBack) -> Self {
        Self {
            transfer: rate(transferred.bytes, transferred.took),
            read_back: rate(read_back.bytes - read_back.overlapped_bytes, read_back.took),
        }
    }
}

/// A name that is not UTF-8 is no reason to lose a report.
fn shown<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// What a whole copy did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The final path.
    #[serde(serialize_with = "shown")]
    pub destination: PathBuf,
    /// Whether a folder or a file stands there.
    pub shape: Shape,
    /// The manifest digest.
    pub manifest_digest: Sha256,
    /// Every file.
    pub files: Vec<CopiedFile>,
    /// Their bytes.
    pub bytes: u64,
    /// How it began.
    pub prepared: Prepared,
    /// What was written.
    pub transferred: Transferred,
    /// What was read back, and what that is worth.
    pub read_back: ReadBack,
    /// How fast the two were.
    pub bytes_per_second: Rates,
    /// How it appeared.
    pub published: Published,
    /// How long all of it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

/// Copies a folder, or a single file, to the final path `destination`, which must
/// not exist: the content of `source` appears there whole, or nothing does.
///
/// The source is read once. Without a manifest it is listed first, every file is
/// held against that listing before and after it is read, and the whole against a
/// new listing before anything is published. What an interrupted copy had written
/// of a source file is kept if that still has the inode, length, mtime and ctime
/// that it had when it was read; the written file is read back in any case. Long
/// files are read back while they are written.
///
/// # Errors
/// As the phases that it goes through ([`prepare`] to [`finish`]);
/// [`Error::SourceMoved`]; [`Error::Busy`] while another such copy to the same
/// path runs.
pub fn tree(
    source: &Path,
    destination: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let start = Instant::now();
    let source = source.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::SourceMissing { path: source.to_owned() },
        _ => Error::at(source, error),
    })?;
    let shape = if source.is_dir() { Shape::Tree } else { Shape::File };
    let mut plan = Plan {
        attempt: Attempt { id: attempt_id(destination)?, epoch: 0 },
        source,
        destination: destination.to_owned(),
        shape,
        manifest: Manifest::default(),
        policy: options.policy.clone(),
    };
    refuse_inside_source(&plan)?;
    create_parent(&plan)?;
    let site = Site::new(&plan)?;
    let _lock = Lock::take(&site)?;
    let left = site.siblings()?;
    if left.is_empty() && site.stat(site.final_name())?.is_some() {
        // Before everything is read for nothing.
        return Err(Error::DestinationExists { path: site.final_path() });
    }
    let latest = left.iter().filter(|sibling| sibling.attempt == plan.attempt.id);
    plan.attempt.epoch = site.next_epoch(latest.map(|sibling| sibling.epoch).max())?;
    let (given, known) = expected(options, &plan)?;
    let survey = match given {
        Some(manifest) => {
            plan.manifest = manifest;
            None
        }
        None => Some(Survey::of(&plan.source, plan.shape, known)?),
    };
    let knowns = match (known, &survey) {
        (Some(list), Some(survey)) => Some(Knowns::of(list, &survey.outline, &plan.source)?),
        _ => None,
    };
    if !options.resume {
        abort(&plan)?;
    }
    let mut algorithms = options.algorithms.clone();
    algorithms.extend(knowns.iter().flat_map(Knowns::algorithms));
    algorithms.sort_unstable();
    algorithms.dedup();
    let done = run(&mut plan, survey, known.zip(knowns.as_ref()), &algorithms, monitor);
    if done.is_err() && !options.resume {
        abort(&plan)?;
    }
    let (prepared, transferred, read_back, published, more) = done?;
    let rates = Rates::of(&transferred, &read_back);
    Ok(Report {
        destination: site.final_path(),
        shape,
        manifest_digest: plan.manifest.digest(),
        bytes: plan.manifest.total_bytes(),
        files: copied(&plan.manifest, more),
        prepared,
        transferred,
        read_back,
        bytes_per_second: rates,
        published,
        took: start.elapsed(),
    })
}

/// What the source must be: a manifest, or a list that makes none.
fn expected<'a>(
    options: &'a Options,
    plan: &Plan,
) -> Result<(Option<Manifest>, Option<&'a List>), Error> {
    let Some(list) = options.known.as_ref().filter(|_| options.manifest.is_none()) else {
        return Ok((options.manifest.clone(), None));
    };
    match list.to_manifest(&plan.source) {
        Ok(manifest) => Ok((Some(manifest), None)),
        Err(manifest::Error::NoSha256 { .. }) => Ok((None, Some(list))),
        Err(error) => Err(Error::of_manifest(error)),
    }
}

fn rate(bytes: u64, took: Duration) -> u64 {
    let nanos = took.as_nanos().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

type Done = (Prepared, Transferred, ReadBack, Published, Vec<Option<More>>);

fn run(
    plan: &mut Plan,
    survey: Option<Survey>,
    known: Option<(&List, &Knowns<'_>)>,
    algorithms: &[Algorithm],
    monitor: &dyn Monitor,
) -> Result<Done, Error> {
    let (list, known) = known.unzip();
    let survey = survey.map(|survey| {
        plan.manifest = survey.outline;
        (survey.facts, survey.links)
    });
    let (facts, links) = survey.unzip();
    let mut prepared = prepare(plan)?;
    let links = links.as_ref();
    let mut filling = Filling { algorithms, overlap: true, listed: None, links, known };
    if prepared.adopting {
        // Everything is written, so the source has to be read for its own sake.
        if facts.is_some() {
            plan.manifest = describe(plan, known, monitor)?;
        }
        let Filled { done: transferred, found, .. } = fill(plan, &filling, monitor)?;
        let read_back = verify(plan, monitor)?;
        let published = publish(plan, monitor)?;
        finish(plan)?;
        return Ok((prepared, transferred, read_back, published, kept(found)));
    }
    filling.listed = facts.as_deref();
    let Filled { done: transferred, found, ahead } = fill(plan, &filling, monitor)?;
    (prepared.kept_files, prepared.kept_bytes) = (transferred.kept_files, transferred.kept_bytes);
    if facts.is_some() {
        complete(plan, &found)?;
    }
    // The manifest holds the digests now.
    let more = kept(found);
    let plan: &Plan = plan;
    // Everything of the source was read. What it is now is seen beside the read-back.
    let (read_back, compared) = std::thread::scope(|scope| {
        let look = || facts.as_ref().map_or(Ok(()), |facts| compare(plan, facts, list));
        let looking = std::thread::Builder::new().spawn_scoped(scope, look);
        let read_back = verify_rest(plan, &ahead, monitor);
        (read_back, looking.map_or_else(|_| look(), join))
    });
    let read_back = read_back?;
    compared?;
    let published = publish(plan, monitor)?;
    finish(plan)?;
    Ok((prepared, transferred, read_back, published, more))
}

/// What is kept of it to the end.
fn kept(found: Vec<Option<Found>>) -> Vec<Option<More>> {
    let mut more: Vec<_> = found.into_iter().map(|found| found.map(|found| found.more)).collect();
    // They were collected in place, and the room that they left is for the read-back.
    more.shrink_to_fit();
    more
}

pub(super) fn copied(manifest: &Manifest, mut more: Vec<Option<More>>) -> Vec<CopiedFile> {
    let files = manifest.entries().iter().enumerate().filter_map(|(at, entry)| match entry {
        Entry::File { path, size_bytes, sha256 } => {
            let more = more.get_mut(at).and_then(Option::take);
            Some(CopiedFile {
                path: path.clone(),
                size_bytes: *size_bytes,
                sha256: *sha256,
                cloned: more.as_ref().is_some_and(|more| more.cloned),
                digests: more.and_then(|more| more.digests),
            })
        }
        Entry::EmptyDir { .. } => None,
    });
    files.collect()
}

/// The manifest of the source as it stands, by a reading of its own.
fn describe(
    plan: &Plan,
    known: Option<&Knowns<'_>>,
    monitor: &dyn Monitor,
) -> Result<Manifest, Error> {
    monitor.on(Progress::Phase(Phase::Describe));
    let failed = |error: checksum::Error| Error::of_manifest(error.into());
    let algorithms: Vec<_> = known.into_iter().flat_map(Knowns::algorithms).collect();
    let mut read = BTreeMap::new();
    if plan.shape == Shape::Tree {
        let jobs = plan.policy.jobs;
        let options = checksum::Options { algorithms: &algorithms, jobs, cache: None };
        checksum::each(&plan.source, options, monitor, |found| {
            read.extend(found.map(|found| (found.path, found.digest)));
            Ok(())
        })
        .map_err(failed)?;
    } else if let Some(entry) = plan.manifest.entries().first() {
        let digest = checksum::file(&plan.source, &algorithms, monitor).map_err(failed)?;
        read.insert(entry.path().clone(), digest);
    }
    let entries = plan.manifest.entries().iter().enumerate().map(|(at, entry)| match entry {
        Entry::EmptyDir { .. } => Ok(entry.clone()),
        Entry::File { path, .. } => {
            let whole = || plan.source.join(path.as_str());
            let digest = read.remove(path).ok_or_else(|| Error::SourceChanged { path: whole() })?;
            if let Some(known) = known {
                known.check(at, digest.size_bytes, &digest.digests, whole)?;
            }
            let (size_bytes, sha256) = (digest.size_bytes, digest.digests.sha256());
            Ok(Entry::File { path: path.clone(), size_bytes, sha256 })
        }
    });
    let entries = entries.collect::<Result<_, Error>>()?;
    Manifest::from_entries(entries).map_err(Error::of_manifest)
}

/// All stand-alone copies to one final path are lives of one attempt: each takes
/// up what the last one left. (A version 8 UUID, RFC 9562: made of a SHA-256.)
pub(super) fn attempt_id(destination: &Path) -> Result<Uuid, Error> {
    let (_, name) = super::site::split(destination)?;
    let digest = Sha256::of(&[b"databridge copy\0", name.as_bytes()].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.0[..16]);
    Ok(Builder::from_custom_bytes(bytes).into_uuid())
}

/// Keeps a second stand-alone copy to the same path out, as long as it lives.
#[derive(Debug)]
pub(super) struct Lock<'a> {
    site: &'a Site,
    file: File,
}

impl<'a> Lock<'a> {
    pub(super) fn take(site: &'a Site) -> Result<Self, Error> {
        let name = site.lock();
        let at = |errno| Error::at(site.path(&name), errno);
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE;
            let file = site.open(&name, flags, Mode::RUSR | Mode::WUSR).map_err(at)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(Error::Busy { path: site.final_path() }),
                // No locks there: the epochs still keep two copies apart.
                Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => {}
                Err(errno) => return Err(at(errno)),
            }
            // Its last holder may have removed it between our opening and locking.
            let locked = rustix::fs::fstat(&file).map_err(at)?.st_ino;
            if site.stat(&name)?.is_some_and(|stat| stat.ino == locked) {
                return Ok(Self { site, file: File::from(file) });
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // While it is still held, so that nobody locks a file that is going.
        let _ = self.site.unlink(&self.site.lock());
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}
