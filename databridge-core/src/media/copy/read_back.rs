//! Reading a written copy back, from the device and not from memory.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::Serialize;

use crate::base::steps;
use crate::media::checksum::{Hasher, Sha256};
use crate::media::manifest::Entry;
use crate::media::monitor::{Monitor, OfFile, Phase, Progress};
use crate::media::storage::{Aligned, Medium, RelPath, Worth};

use super::behind::Ahead;
use super::error::Error;
use super::file::{BUFFERS_BYTES, DIRECT_BYTES};
use super::journal::{Mark, Verified};
use super::lanes::Lanes;
use super::links::Links;
use super::listing::Listing;
use super::names::Kind;
use super::pool;
use super::session::Session;
use super::site::Standing;
use super::source::Facts;
use super::transfer::seconds;
use super::{HardLinks, Plan, Shape};

/// Read at a time, of files of this length and more.
const LONG_BYTES: usize = 4 << 20;
/// Read at a time, of shorter files.
const SHORT_BYTES: usize = DIRECT_BYTES as usize;
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
    verify_rest(plan, &Ahead::default(), monitor)
}

/// As [`verify`], when this process has read some of it back a moment ago.
pub(super) fn verify_rest(
    plan: &Plan,
    ahead: &Ahead,
    monitor: &dyn Monitor,
) -> Result<ReadBack, Error> {
    read_back(&Session::open(plan, false)?, ahead, monitor)
}

/// As [`verify_rest`], of a session already open.
pub(super) fn read_back(
    session: &Session<'_>,
    ahead: &Ahead,
    monitor: &dyn Monitor,
) -> Result<ReadBack, Error> {
    let start = Instant::now();
    let listing = session.listing()?;
    let facts = listing.digest();
    if let Err(error) = listing.check() {
        return Err(fail(session, facts, false, error)?);
    }
    let entries = session.plan.manifest.entries();
    let aliases = aliases(session, &listing);
    let is_read = |at: &usize| listing.file(*at).is_some() && aliases.first(*at).is_none();
    let files: Vec<usize> = (0..entries.len()).filter(is_read).collect();
    let bytes = files.iter().map(|&at| entries[at].size_bytes()).sum();
    let count = files.len() as u64 + aliases.len();
    monitor.on(Progress::Phase(Phase::ReadBack));
    monitor.on(Progress::Total { files: count, bytes });
    let reader = Reader {
        session,
        listing: &listing,
        aliases: &aliases,
        ahead,
        medium: Medium::of(session.site.parent()),
        flushed: session.record.flushed && session.standing == Standing::Partial,
        outcome: Mutex::default(),
    };
    reader.read(files, monitor)?;
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
    Ok(ReadBack { files: count, bytes, overlapped_bytes, worth, worths, took: start.elapsed() })
}

/// What a failed read-back means. In the partial folder it is `error`. At the
/// final path, where an earlier life had published the copy: if nobody touched
/// it since and it is held against what it was held against then, the storage
/// damaged it, and it is taken back out of sight to be mended (`mendable`); else it
/// is somebody else's by now, or another copy than the one that is wanted, and stays.
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
    let published = session.record.publishing.map(|identity| (identity.facts, identity.manifest));
    if !mendable || published != Some((facts, Some(session.plan.manifest.digest()))) {
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

/// Which files of the manifest stand there as names of one file, where the policy
/// wants them so and the manifest says the same of them: these are read once.
fn aliases(session: &Session<'_>, listing: &Listing<'_>) -> Links {
    let mut links = Links::default();
    if session.plan.policy.hard_links == HardLinks::Keep {
        let names = (0..).zip(listing.standing()).filter_map(|(at, (_, stood))| {
            let stood = stood.filter(|stood| stood.links.get() > 1)?;
            Some((0, stood.facts.ino(), at))
        });
        links = Links::of(names.collect());
    }
    let entries = session.plan.manifest.entries();
    links.retain(|first, other| match (&entries[first], &entries[other]) {
        (
            Entry::File { size_bytes, sha256, .. },
            Entry::File { size_bytes: other_bytes, sha256: other, .. },
        ) => (size_bytes, sha256) == (other_bytes, other),
        _ => false,
    });
    links
}

/// A file of the manifest, as it stands.
struct Content<'a> {
    path: &'a RelPath,
    size_bytes: u64,
    sha256: Sha256,
    stood: Facts,
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
    listing: &'a Listing<'a>,
    aliases: &'a Links,
    ahead: &'a Ahead,
    medium: Medium,
    /// All of them are on the device.
    flushed: bool,
    outcome: Mutex<Outcome>,
}

impl Reader<'_> {
    /// The long ones, then the short ones.
    fn read(&self, files: Vec<usize>, monitor: &dyn Monitor) -> Result<(), Error> {
        let (plan, wanted) = (self.session.plan, self.session.plan.policy.jobs);
        let is_long = |at: &usize| plan.manifest.entries()[*at].size_bytes() >= DIRECT_BYTES;
        let (long, short): (Vec<_>, Vec<_>) = files.into_iter().partition(is_long);
        let work =
            |at: &usize, buffer: &mut Aligned, watch: &dyn Monitor| self.one(*at, buffer, watch);
        let lanes = Lanes::of(self.session.site.parent(), wanted);
        let jobs = lanes.width().min(BUFFERS_BYTES / LONG_BYTES);
        pool::each(Some(&*lanes), jobs, 1, &long, monitor, || Aligned::new(LONG_BYTES), work)?;
        let jobs = lanes.short_width().min(BUFFERS_BYTES / SHORT_BYTES);
        pool::each(None, jobs, STRIDE, &short, monitor, || Aligned::new(SHORT_BYTES), work)
    }

    fn one(&self, at: usize, buffer: &mut Aligned, watch: &dyn Monitor) -> Result<(), Error> {
        let entries = self.session.plan.manifest.entries();
        let (Entry::File { path, size_bytes, sha256 }, Some(stood)) =
            (&entries[at], self.listing.file(at))
        else {
            return Ok(());
        };
        let (size_bytes, sha256, stood) = (*size_bytes, *sha256, stood.facts);
        let file = &Content { path, size_bytes, sha256, stood };
        let known = self.known(at, file);
        let (right, worth) = match known {
            Some(worth) => {
                watch.on(Progress::Kept(file.size_bytes));
                (true, worth)
            }
            None if file.stood.size_bytes() != file.size_bytes => (false, Worth::Memory),
            None => self.compare(file, buffer, watch)?,
        };
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.overlapped_bytes += if right && known.is_some() { size_bytes } else { 0 };
        for name in self.aliases.others(at).chain([at]).map(|name| entries[name].path()) {
            if right {
                outcome.worths.add(worth);
            } else {
                outcome.damaged.push(name.clone());
            }
            watch.on(Progress::File(name.as_str()));
        }
        Ok(())
    }

    /// What it was worth that this process read the file back while it wrote it, if
    /// it did and nothing has happened to the file since.
    fn known(&self, at: usize, file: &Content<'_>) -> Option<Worth> {
        if !self.flushed {
            return None;
        }
        let Some(returned) = self.session.record.returned.get(file.path) else {
            return self.ahead.of(at, file.sha256, file.stood);
        };
        let same = (returned.sha256, returned.facts) == (file.sha256, file.stood);
        same.then_some(returned.worth)
    }

    /// Whether the device gives what is wanted, and what that is worth.
    fn compare(
        &self,
        file: &Content<'_>,
        buffer: &mut Aligned,
        watch: &dyn Monitor,
    ) -> Result<(bool, Worth), Error> {
        let (session, site) = (self.session, &self.session.site);
        let watch = &OfFile::new(watch, file.path.as_str(), file.size_bytes);
        let place = site.entry(session.standing, session.plan.shape, file.path.as_str());
        let mut read = || {
            let mut device = site.device(&place, self.medium)?;
            if !self.flushed {
                device.flush()?;
            }
            device.forget();
            let mut hash = Hasher::new(&[]);
            let (mut at, mut reopened) = (0, false);
            while at < file.size_bytes {
                if watch.cancelled() {
                    return Err(Halt::Cancelled);
                }
                let count = match device.read(at, file.size_bytes, buffer) {
                    // The server lost its handle: the same file by its name, once.
                    Err(Errno::STALE) if !reopened => {
                        device = site.device(&place, self.medium)?;
                        if Facts::from(&device.stat()?) != file.stood {
                            return Ok((false, device.worth()));
                        }
                        reopened = true;
                        continue;
                    }
                    read => read?,
                };
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
