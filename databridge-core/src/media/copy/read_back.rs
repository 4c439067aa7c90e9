//! Reading a written copy back, from the device and not from memory.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::base::steps;
use crate::media::checksum::{Hasher, Sha256};
use crate::media::manifest::Entry;
use crate::media::monitor::{Monitor, Phase, Progress};
use crate::media::storage::{Aligned, DeviceFile, Medium, RelPath, Worth};

use super::error::{Discrepancy, Error};
use super::journal::{Mark, Verified};

use super::names::Kind;
use super::pool;
use super::session::Session;
use super::site::Standing;
use super::transfer::seconds;
use super::{Plan, Shape};

/// Read at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// What a read-back found to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReadBack {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What it proves: the weakest of its files.
    pub worth: Worth,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

/// Reads every file of the copy back and compares it with the manifest, and the
/// listing too: nothing may be missing, too many or of another type.
///
/// Where the file system takes it, files are read by `O_DIRECT`; else they are
/// flushed and dropped from the page cache first. Call it after
/// [`super::transfer`], each time.
///
/// Step: `copy.read_back`.
///
/// # Errors
/// [`Error::ReadBackMismatch`] and [`Error::PartialDiffers`], after which
/// [`super::transfer`] writes anew what is wrong; [`Error::DestinationExists`] if
/// the copy had been published and somebody changed it there since;
/// [`Error::Fenced`], [`Error::Cancelled`], or what the system said.
pub fn verify(plan: &Plan, monitor: &dyn Monitor) -> Result<ReadBack, Error> {
    read_back(&Session::open(plan)?, monitor)
}

/// As [`verify`], of a session already open.
pub(super) fn read_back(session: &Session<'_>, monitor: &dyn Monitor) -> Result<ReadBack, Error> {
    let start = Instant::now();
    let listing = session.listing()?;
    let facts = listing.digest();
    if let Err(error) = listing.check(&session.plan.manifest) {
        let missing = matches!(error, Error::PartialDiffers { what: Discrepancy::Missing, .. });
        return Err(fail(session, facts, missing, error)?);
    }
    let files: Vec<_> = session.plan.manifest.entries().iter().filter_map(Content::of).collect();
    let bytes = files.iter().map(|file| file.size_bytes).sum();
    monitor.on(Progress::Phase(Phase::ReadBack));
    monitor.on(Progress::Total { files: files.len() as u64, bytes });
    let medium = Medium::of(session.site.parent());
    let worth = Mutex::new(medium.worth(true));
    let damaged = Mutex::new(Vec::new());
    let work = |file: &Content<'_>, buffer: &mut Aligned, watch: &dyn Monitor| {
        let place = session.site.entry(session.standing, session.plan.shape, file.path.as_str());
        let (found, worth_here) =
            Reader { session, place: &place, medium, watch }.digest(buffer)?;
        if found != (file.size_bytes, file.sha256) {
            damaged.lock().unwrap_or_else(PoisonError::into_inner).push(file.path.clone());
        }
        let mut worst = worth.lock().unwrap_or_else(PoisonError::into_inner);
        *worst = worth_here.min(*worst);
        watch.on(Progress::File(file.path.as_str()));
        Ok(())
    };
    pool::each(session.plan.policy.jobs, &files, monitor, || Aligned::new(BUFFER_BYTES), work)?;
    let damaged = damaged.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(first) = damaged.iter().min() {
        let error = Error::ReadBackMismatch { path: first.to_string(), others: damaged.len() - 1 };
        for path in damaged {
            session.journal.append(&Mark::Withdrawn { path })?;
        }
        session.journal.sync()?;
        return Err(fail(session, facts, true, error)?);
    }
    let worth = worth.into_inner().unwrap_or_else(PoisonError::into_inner);
    session.journal.append(&Mark::Verified(Verified { facts, worth }))?;
    session.journal.sync()?;
    steps::reach("copy.read_back");
    Ok(ReadBack { files: files.len() as u64, bytes, worth, took: start.elapsed() })
}

/// What a failed read-back means. In the partial folder it is `error`. At the
/// final path, where an earlier life had published the copy: if nobody touched
/// it since, the storage damaged it, and it is taken back out of sight to be
/// mended; else it is somebody else's by now and stays.
fn fail(
    session: &Session<'_>,
    facts: Sha256,
    mendable: bool,
    error: Error,
) -> Result<Error, Error> {
    let site = &session.site;
    if session.standing == Standing::Partial {
        return Ok(error);
    }
    if !mendable || session.record.publishing.map(|identity| identity.facts) != Some(facts) {
        return Ok(Error::DestinationExists { path: site.final_path() });
    }
    if session.plan.shape == Shape::File {
        let partial = site.own(Kind::Partial);
        match site.make_dir(&partial) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::at(site.path(&partial), errno)),
        }
    }
    site.rename_checked(site.final_name(), &session.publishable(), || Ok(()))?;
    site.flush()?;
    Ok(error)
}

/// A file of the manifest.
struct Content<'a> {
    path: &'a RelPath,
    size_bytes: u64,
    sha256: Sha256,
}

impl<'a> Content<'a> {
    fn of(entry: &'a Entry) -> Option<Self> {
        match entry {
            Entry::File { path, size_bytes, sha256 } => {
                Some(Self { path, size_bytes: *size_bytes, sha256: *sha256 })
            }
            Entry::EmptyDir { .. } => None,
        }
    }
}

/// Why a read ended early.
enum Halt {
    Cancelled,
    Errno(Errno),
}

impl From<Errno> for Halt {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// Reads one file.
struct Reader<'a> {
    session: &'a Session<'a>,
    place: &'a Path,
    medium: Medium,
    watch: &'a dyn Monitor,
}

impl Reader<'_> {
    /// Length and digest of what the device gives, and what that is worth.
    fn digest(&self, buffer: &mut Aligned) -> Result<((u64, Sha256), Worth), Error> {
        let blame = |halt| match halt {
            Halt::Cancelled => Error::Cancelled,
            Halt::Errno(errno) => self.session.site.blame(self.place, errno),
        };
        let plain = self.open().map_err(blame)?;
        if self.medium != Medium::Memory {
            rustix::fs::fdatasync(&plain).map_err(|errno| blame(errno.into()))?;
        }
        let mut file = DeviceFile::new(plain, self.medium);
        let found = self.read(&mut file, buffer).map_err(blame)?;
        Ok((found, file.worth()))
    }

    fn open(&self) -> Result<OwnedFd, Halt> {
        Ok(self.session.site.open(self.place, OFlags::RDONLY, Mode::empty())?)
    }

    /// From the start to the end.
    fn read(&self, file: &mut DeviceFile, buffer: &mut Aligned) -> Result<(u64, Sha256), Halt> {
        let mut hash = Hasher::new(&[]);
        let mut total = 0u64;
        loop {
            if self.watch.cancelled() {
                return Err(Halt::Cancelled);
            }
            let count = file.read_at(buffer.as_mut(), total)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer.as_slice()[..count]);
            total += count as u64;
            self.watch.on(Progress::Bytes(count as u64));
            // Where the file ends within a block, so does a direct read.
            if count % DeviceFile::ALIGN_BYTES != 0 && self.ends_at(file, total) {
                break;
            }
        }
        Ok((total, hash.finish().sha256()))
    }

    fn ends_at(&self, file: &DeviceFile, offset: u64) -> bool {
        rustix::fs::fstat(file).is_ok_and(|stat| u64::try_from(stat.st_size) == Ok(offset))
    }
}
