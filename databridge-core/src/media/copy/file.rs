//! One file: read once, hashed and written on the way.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::media::checksum::{Algorithm, Digests, Sha256};
use crate::media::monitor::{Monitor, OfFile};
use crate::media::storage::{Folder, Kind, Medium, RelPath, Stat};

use super::Shape;
use super::attributes;
use super::error::Error;
use super::journal::{Done, Returned};
use super::links;
use super::names;
use super::pace::Pace;
use super::session::Session;
use super::source::{Facts, Source};
use super::stream::{Scratch, Sizes, Stream};
use super::target::Target;

/// From this length on a file is written past the page cache.
pub const DIRECT_BYTES: u64 = 1 << 20;
/// A shorter file is not asked for holes: it would save less than it costs.
const SPARSE_BYTES: u64 = 64 << 10;
/// From this length on a file is flushed by itself in any case: by the time that the
/// rest is, much else may be waiting.
const FLUSH_BYTES: u64 = 64 << 20;
/// A shorter file is not worth a clone.
const CLONE_BYTES: u64 = 64 << 10;

/// What all buffers of a copy take up at most.
pub const BUFFERS_BYTES: usize = 64 << 20;
/// How long files are cut: into blocks of one huge page each.
pub const LONG: Sizes = Sizes::of(2 << 20, DIRECT_BYTES);
/// How short ones are: in one piece.
pub const SHORT: Sizes = Sizes::of(DIRECT_BYTES as usize, DIRECT_BYTES);
/// Workers on long files, whatever the policy says: so many keep within the
/// memory that a copy may take.
pub const LONG_JOBS_MAX: usize = BUFFERS_BYTES / (Sizes::BLOCKS * LONG.block_bytes);
/// The same for short ones.
pub const SHORT_JOBS_MAX: usize = BUFFERS_BYTES / SHORT.block_bytes;

/// Which files are flushed one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// The large ones, and those read back on the way; one `syncfs(2)` follows for
    /// the rest.
    Large,
    /// All, where `syncfs(2)` promises nothing.
    Each,
}

/// Copies files of one plan; shared by its workers.
#[derive(Debug)]
pub struct Copier<'a> {
    session: &'a Session<'a>,
    pace: &'a Pace,
    flush: Flush,
    medium: Medium,
    algorithms: &'a [Algorithm],
    /// Whether long files are read back while they are written.
    overlap: bool,
    /// The source's root; for a single file its parent.
    source: Folder,
    /// The partial folder, below the parent.
    partial: PathBuf,
    /// The two file systems share blocks, as far as it was tried.
    clones: AtomicBool,
}

/// A file that is to be copied.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub path: &'a RelPath,
    pub size_bytes: u64,
    /// What it must be, if that is known beforehand.
    pub sha256: Option<Sha256>,
    /// What it was when the source was listed, if it was.
    pub listed: Option<&'a Facts>,
    /// Further names that it is to have.
    pub others: &'a [&'a RelPath],
}

/// A file that was copied.
#[derive(Debug)]
pub struct Copied {
    /// What the journal is to remember.
    pub done: Done,
    /// Of what was read back on the way.
    pub returned: Option<Returned>,
    /// What the source was after its last byte.
    pub source: Stat,
}

impl<'a> Copier<'a> {
    /// Opens the source's root.
    pub fn new(
        session: &'a Session<'a>,
        pace: &'a Pace,
        algorithms: &'a [Algorithm],
        overlap: bool,
    ) -> Result<Self, Error> {
        let plan = session.plan;
        let root = match plan.shape {
            Shape::Tree => plan.source.as_path(),
            Shape::File => match plan.source.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            },
        };
        let source = Folder::open(root).map_err(Error::of_source)?;
        let medium = Medium::of(session.site.parent());
        Ok(Self {
            session,
            pace,
            flush: if medium.flushes_whole() { Flush::Large } else { Flush::Each },
            medium,
            algorithms,
            // What is only in memory is read back from there, now or later.
            overlap: overlap && medium != Medium::Memory,
            source,
            partial: session.site.own(names::Kind::Partial),
            clones: AtomicBool::new(true),
        })
    }

    /// Copies one file. Nothing of it is open any more then. Its further names are made
    /// before anything is written to it, since they change what is remembered of it.
    pub fn copy(
        &self,
        wanted: Wanted<'_>,
        sizes: Sizes,
        scratch: &mut Scratch,
        monitor: &dyn Monitor,
    ) -> Result<Copied, Error> {
        let source = self.open_source(wanted)?;
        let monitor = &OfFile::new(monitor, wanted.path.as_str(), wanted.size_bytes);
        let (site, name) = (&self.session.site, self.partial.join(wanted.path.as_str()));
        let blame = |errno| site.blame(&name, errno);
        let mut target = Target::create(site, &name)?;
        for other in wanted.others {
            links::link(site, &name, &self.partial.join(other))?;
        }
        let stream = Stream {
            site,
            name: &name,
            source: &source,
            size_bytes: wanted.size_bytes,
            algorithms: self.algorithms,
            sizes,
            pace: self.pace,
            monitor,
        };
        let cloned = self.clone(wanted, &source, &target).map_err(blame)?;
        let overlap = self.overlap && !cloned && wanted.size_bytes >= sizes.overlap_bytes;
        let flushed = overlap || self.flush == Flush::Each || wanted.size_bytes >= FLUSH_BYTES;
        let settle = |target: &Target, digests: &Digests| {
            let stat = source.settled(wanted.listed)?;
            check(&source, wanted, digests)?;
            let from = attributes::Origin { file: source.file(), stat: &stat, path: &source.path };
            let inode = attributes::settle(self.session, from, target.file(), &name, flushed)?;
            Ok::<_, Error>((stat, inode))
        };
        if !cloned {
            make_room(&source, &mut target, wanted.size_bytes, sizes, overlap).map_err(blame)?;
        }
        let (digests, (stat, inode), returned) = if overlap {
            let device = site.device(&name, self.medium).map_err(blame)?;
            let mut settled = None;
            let (digests, back) =
                stream.pour_and_return(&mut target, device, scratch, |target, digests| {
                    settled = Some(settle(target, digests)?);
                    Ok(())
                })?;
            let settled = settled.ok_or(Error::Cancelled)?;
            let found = (back.sha256, back.stat.size_bytes, back.stat.ino);
            if found != (digests.sha256(), wanted.size_bytes, settled.1) {
                let path = wanted.path.to_string();
                return Err(Error::ReadBackMismatch { path, others: 0 });
            }
            let facts = Facts::from(&back.stat);
            let returned = Returned::new(wanted.path.clone(), back.sha256, facts, back.worth);
            (digests, settled, Some(returned))
        } else {
            let digests =
                if cloned { stream.hash(scratch)? } else { stream.pour(&mut target, scratch)? };
            let settled = settle(&target, &digests)?;
            (digests, settled, None)
        };
        let done = Done {
            path: wanted.path.clone(),
            size_bytes: wanted.size_bytes,
            sha256: digests.sha256(),
            inode,
            flushed,
            source: Some(Facts::from(&stat)),
            digests: (!self.algorithms.is_empty()).then_some(digests),
            cloned,
        };
        Ok(Copied { done, returned, source: stat })
    }

    fn open_source<'b>(&'b self, wanted: Wanted<'b>) -> Result<Source<'b>, Error> {
        let file = self.source.open_any(wanted.path).map_err(Error::of_source)?;
        let path = self.source.path().join(wanted.path.as_str());
        let (folder, name) = (&self.source, wanted.path);
        let again = OnceLock::new();
        let mut source = Source { path, folder, name, file, again, before: None, sparse: false };
        if wanted.listed.is_some() && wanted.size_bytes < SPARSE_BYTES {
            return Ok(source);
        }
        let facts = rustix::fs::fstat(&source.file);
        let facts = facts.map_err(|errno| Error::at(&source.path, errno))?;
        // They are counted in 512 bytes.
        let blocks = u64::try_from(facts.st_blocks).unwrap_or(0);
        let stat = Stat::from(facts);
        if stat.kind != Kind::File {
            return Err(source.changed());
        }
        if stat.size_bytes != wanted.size_bytes {
            return Err(match wanted.sha256 {
                Some(_) => differs(&source, wanted, None),
                None => source.changed(),
            });
        }
        source.sparse =
            stat.size_bytes >= SPARSE_BYTES && blocks.saturating_mul(512) < stat.size_bytes;
        source.before = Some(stat);
        Ok(source)
    }

    /// Lets the target share the source's blocks, if both stand where that is known.
    fn clone(
        &self,
        wanted: Wanted<'_>,
        source: &Source<'_>,
        target: &Target,
    ) -> Result<bool, Errno> {
        if wanted.size_bytes < CLONE_BYTES || !self.clones.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let cloned = target.clone_from(&source.file)?;
        if !cloned {
            self.clones.store(false, Ordering::Relaxed);
        }
        Ok(cloned)
    }
}

/// Sets room aside for what is to be written, and chooses the way to write it.
fn make_room(
    source: &Source<'_>,
    target: &mut Target,
    size_bytes: u64,
    sizes: Sizes,
    sized: bool,
) -> Result<(), Errno> {
    if source.sparse {
        target.set_len(size_bytes)?;
    } else if size_bytes >= sizes.direct_bytes {
        target.reserve(size_bytes, sized)?;
    }
    if size_bytes >= sizes.direct_bytes {
        target.go_direct();
    }
    Ok(())
}

fn check(source: &Source<'_>, wanted: Wanted<'_>, digests: &Digests) -> Result<(), Error> {
    match wanted.sha256 {
        Some(sha256) if sha256 != digests.sha256() => {
            Err(differs(source, wanted, Some(digests.sha256())))
        }
        _ => Ok(()),
    }
}

fn differs(source: &Source<'_>, wanted: Wanted<'_>, found: Option<Sha256>) -> Error {
    Error::SourceDiffers {
        path: source.path.clone(),
        expected_bytes: wanted.size_bytes,
        expected: wanted.sha256.unwrap_or(Sha256([0; 32])),
        found,
    }
}

#[cfg(test)]
mod tests;
