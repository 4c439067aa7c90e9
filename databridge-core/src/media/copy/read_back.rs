//! Reading a written copy back, from the device and not from memory.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::Serialize;

use crate::base::steps;
use crate::media::checksum::{Hasher, Sha256};
use crate::media::manifest::Entry;
use crate::media::monitor::{Monitor, Phase, Progress};
use crate::media::storage::{Aligned, Medium, RelPath, Stat, Worth};

use super::error::{Discrepancy, Error};
use super::file::{BUFFERS_BYTES, DIRECT_BYTES};
use super::journal::{Mark, Verified};
use super::lanes::Lanes;
use super::listing::Listing;
use super::names::Kind;
use super::pool;
use super::session::Session;
use super::site::Standing;
use super::source::Facts;
use super::transfer::seconds;
use super::{Plan, Shape};

/// Read at a time, of files of this length and more.
const LONG_BYTES: usize = 4 << 20;
/// Read at a time, of shorter files.
const SHORT_BYTES: usize = DIRECT_BYTES as usize;
/// Short files read at a time unless the policy says: each is one request that the
/// device answers when it likes, so that many are to be under way.
const SHORT_JOBS: usize = 16;
/// Neighbours that one worker takes at a time among short files.
const STRIDE: usize = 8;

/// What a read-back found to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReadBack {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Of them, those that this process had read back while it wrote.
    pub overlapped_bytes: u64,
    /// What it proves: the weakest of its files.
    pub worth: Worth,
    /// Of how many files it proves what.
    pub worths: Worths,
    /// How long it took, without what was overlapped.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

/// How many files were read back in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Worths {
    /// [`Worth::Direct`].
    pub direct: u64,
    /// [`Worth::Dropped`].
    pub dropped: u64,
    /// [`Worth::Server`].
    pub server: u64,
    /// [`Worth::Memory`].
    pub memory: u64,
}

impl Worths {
    fn add(&mut self, worth: Worth) {
        *match worth {
            Worth::Direct => &mut self.direct,
            Worth::Dropped => &mut self.dropped,
            Worth::Server => &mut self.server,
            Worth::Memory => &mut self.memory,
        } += 1;
    }

    /// The weakest among them.
    fn weakest(&self) -> Option<Worth> {
        let counts = [
            (self.memory, Worth::Memory),
            (self.server, Worth::Server),
            (self.dropped, Worth::Dropped),
            (self.direct, Worth::Direct),
        ];
        counts.into_iter().find(|(count, _)| *count > 0).map(|(_, worth)| worth)
    }
}

/// Reads every file of the copy back and compares it with the manifest, and the
/// listing too: nothing may be missing, too many or of another type.
///
/// Where the file system takes it, files are read by `O_DIRECT`; else they are
/// flushed and dropped from the page cache first. What this very process read back
/// while it wrote is not read again if its facts are still the same. Call it after
/// [`super::transfer`], each time.
///
/// What that is worth: the bytes were flushed (the device said so) and then asked
/// of the device, past the host's memory. A device may answer from a cache of its
/// own, so it is the way there and back that is proved, and not the medium itself.
///
/// Step: `copy.read_back`.
///
/// # Errors
/// [`Error::ReadBackMismatch`] and [`Error::PartialDiffers`], after which
/// [`super::transfer`] writes anew what is wrong; [`Error::DestinationExists`] if
/// the copy had been published and somebody changed it there since;
/// [`Error::Fenced`], [`Error::Cancelled`], or what the system said.
pub fn verify(plan: &Plan, monitor: &dyn Monitor) -> Result<ReadBack, Error> {
    read_back(&Session::open(plan, false)?, monitor)
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
    let files = Content::all(session, &listing);
    let bytes = files.iter().map(|file| file.size_bytes).sum();
    monitor.on(Progress::Phase(Phase::ReadBack));
    monitor.on(Progress::Total { files: files.len() as u64, bytes });
    let reader = Reader {
        session,
        medium: Medium::of(session.site.parent()),
        flushed: session.record.flushed && session.standing == Standing::Partial,
        outcome: Mutex::default(),
    };
    reader.read(&files, monitor)?;
    let Outcome { damaged, worths, overlapped_bytes } =
        reader.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(first) = damaged.iter().min() {
        let error = Error::ReadBackMismatch { path: first.to_string(), others: damaged.len() - 1 };
        for path in damaged {
            session.journal.append(&Mark::Withdrawn { path })?;
        }
        session.journal.sync()?;
        return Err(fail(session, facts, true, error)?);
    }
    let worth = worths.weakest().unwrap_or(reader.medium.worth(true));
    session.journal.append(&Mark::Verified(Verified { facts, worth }))?;
    session.journal.sync()?;
    steps::reach("copy.read_back");
    let files = files.len() as u64;
    Ok(ReadBack { files, bytes, overlapped_bytes, worth, worths, took: start.elapsed() })
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

/// A file of the manifest, as it stands.
struct Content<'a> {
    path: &'a RelPath,
    size_bytes: u64,
    sha256: Sha256,
    stat: Stat,
}

impl<'a> Content<'a> {
    fn all(session: &Session<'a>, listing: &Listing) -> Vec<Self> {
        let entries = session.plan.manifest.entries().iter();
        let found = entries.filter_map(|entry| match entry {
            Entry::File { path, size_bytes, sha256 } => {
                let stat = *listing.files.get(Path::new(path.as_str()))?;
                Some(Self { path, size_bytes: *size_bytes, sha256: *sha256, stat })
            }
            Entry::EmptyDir { .. } => None,
        });
        found.collect()
    }
}

/// What came out so far.
#[derive(Debug, Default)]
struct Outcome {
    damaged: Vec<RelPath>,
    worths: Worths,
    overlapped_bytes: u64,
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

/// Reads files; shared by its workers.
struct Reader<'a> {
    session: &'a Session<'a>,
    medium: Medium,
    /// All of them are on the device.
    flushed: bool,
    outcome: Mutex<Outcome>,
}

impl Reader<'_> {
    /// The long ones, then the short ones.
    fn read(&self, files: &[Content<'_>], monitor: &dyn Monitor) -> Result<(), Error> {
        let wanted = self.session.plan.policy.jobs;
        let (long, short): (Vec<_>, Vec<_>) =
            files.iter().partition(|file| file.size_bytes >= DIRECT_BYTES);
        let work = |file: &&Content<'_>, buffer: &mut Aligned, watch: &dyn Monitor| {
            self.one(file, buffer, watch)
        };
        let lanes = Lanes::of(self.session.site.parent(), wanted);
        let jobs = lanes.width().min(BUFFERS_BYTES / LONG_BYTES);
        pool::each(Some(&*lanes), jobs, 1, &long, monitor, || Aligned::new(LONG_BYTES), work)?;
        let short_jobs = wanted.unwrap_or(SHORT_JOBS).clamp(1, BUFFERS_BYTES / SHORT_BYTES);
        pool::each(None, short_jobs, STRIDE, &short, monitor, || Aligned::new(SHORT_BYTES), work)
    }

    fn one(
        &self,
        file: &Content<'_>,
        buffer: &mut Aligned,
        watch: &dyn Monitor,
    ) -> Result<(), Error> {
        let known = self.known(file);
        let (right, worth) = match known {
            Some(worth) => {
                watch.on(Progress::Kept(file.size_bytes));
                (true, worth)
            }
            None if file.stat.size_bytes != file.size_bytes => (false, Worth::Memory),
            None => self.compare(file, buffer, watch)?,
        };
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if right {
            outcome.worths.add(worth);
            outcome.overlapped_bytes += if known.is_some() { file.size_bytes } else { 0 };
        } else {
            outcome.damaged.push(file.path.clone());
        }
        drop(outcome);
        watch.on(Progress::File(file.path.as_str()));
        Ok(())
    }

    /// What it was worth that this process read the file back while it wrote it, if
    /// it did and nothing has happened to the file since.
    fn known(&self, file: &Content<'_>) -> Option<Worth> {
        let returned = self.session.record.returned.get(file.path)?;
        let same = (returned.sha256, returned.facts) == (file.sha256, Facts::from(&file.stat));
        (same && self.flushed).then_some(returned.worth)
    }

    /// Whether the device gives what is wanted, and what that is worth.
    fn compare(
        &self,
        file: &Content<'_>,
        buffer: &mut Aligned,
        watch: &dyn Monitor,
    ) -> Result<(bool, Worth), Error> {
        let (session, site) = (self.session, &self.session.site);
        let place = site.entry(session.standing, session.plan.shape, file.path.as_str());
        let mut read = || {
            let mut device = site.device(&place, self.medium)?;
            if !self.flushed {
                device.flush()?;
            }
            device.forget();
            let mut hash = Hasher::new(&[]);
            let mut at = 0;
            while at < file.size_bytes {
                if watch.cancelled() {
                    return Err(Halt::Cancelled);
                }
                let count = device.read(at, file.size_bytes, buffer)?;
                if count == 0 {
                    break;
                }
                hash.update(&buffer[..count]);
                at += count as u64;
                watch.on(Progress::Bytes(count as u64));
            }
            let right = at == file.size_bytes && hash.finish().sha256() == file.sha256;
            Ok((right, device.worth()))
        };
        read().map_err(|halt| match halt {
            Halt::Cancelled => Error::Cancelled,
            Halt::Errno(errno) => site.blame(&place, errno),
        })
    }
}
