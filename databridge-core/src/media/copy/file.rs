//! One file: read once, hashed and written on the way.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::media::checksum::{Hasher, Sha256};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{Folder, RelPath, Stat};

use super::Shape;
use super::attributes;
use super::error::Error;
use super::journal::Done;
use super::names::Kind;
use super::pace::Pace;
use super::session::Session;
use super::site::Site;

/// Read and written at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// From this size on a file is flushed by itself as soon as it is written.
const LARGE_BYTES: u64 = 8 << 20;
/// Zeros are left out of a sparse file in pieces of this size.
const HOLE_BYTES: usize = 64 << 10;
/// How often a long write looks whether the copy is still its own.
const LOOK: Duration = Duration::from_secs(1);
/// How often a name is cleared when something stands in the way.
const TRIES: usize = 4;

/// Which files are flushed one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// The large ones; one `syncfs(2)` follows for the rest.
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
    /// The source's root; for a single file its parent.
    source: Folder,
}

/// A source file, open, with what was known of it at that moment.
struct Source {
    path: PathBuf,
    file: File,
    stat: Stat,
    /// It takes up fewer blocks than its length asks for (`st_blocks` counts 512
    /// bytes), so it has holes.
    sparse: bool,
}

impl<'a> Copier<'a> {
    /// Opens the source's root.
    pub fn new(session: &'a Session<'a>, pace: &'a Pace, flush: Flush) -> Result<Self, Error> {
        let plan = session.plan;
        let root = match plan.shape {
            Shape::Tree => plan.source.as_path(),
            Shape::File => match plan.source.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            },
        };
        let source = Folder::open(root).map_err(Error::of_source)?;
        Ok(Self { session, pace, flush, source })
    }

    /// Copies one file, and says what the journal is to remember. Nothing of it
    /// is open any more then.
    pub fn copy(
        &self,
        path: &RelPath,
        size_bytes: u64,
        sha256: Sha256,
        buffer: &mut Vec<u8>,
        monitor: &dyn Monitor,
    ) -> Result<Done, Error> {
        let mut source = self.open_source(path)?;
        let differs = |found| Error::SourceDiffers {
            path: source.path.clone(),
            expected_bytes: size_bytes,
            expected: sha256,
            found,
        };
        if source.stat.size_bytes != size_bytes {
            return Err(differs(None));
        }
        let site = &self.session.site;
        let name = site.own(Kind::Partial).join(path.as_str());
        let mut target = create(site, &name)?;
        let found = self.pour(&mut source, &mut target, &name, size_bytes, buffer, monitor)?;
        let after = Stat::of(&source.file).map_err(|error| Error::at(&source.path, error))?;
        if !after.is_unchanged_since(&source.stat) {
            return Err(Error::SourceChanged { path: source.path });
        }
        if found != sha256 {
            return Err(Error::SourceDiffers {
                path: source.path,
                expected_bytes: size_bytes,
                expected: sha256,
                found: Some(found),
            });
        }
        let flushed = self.flush == Flush::Each || size_bytes >= LARGE_BYTES;
        let from =
            attributes::Origin { file: &source.file, stat: &source.stat, path: &source.path };
        let inode = attributes::settle(self.session, from, &target, &name, flushed)?;
        Ok(Done { path: path.clone(), size_bytes, sha256, inode, flushed })
    }

    fn open_source(&self, path: &RelPath) -> Result<Source, Error> {
        let file = self.source.open_file(path).map_err(Error::of_source)?;
        let path = self.source.path().join(path.as_str());
        let stat = Stat::of(&file).map_err(|error| Error::at(&path, error))?;
        let blocks = rustix::fs::fstat(&file).map_err(|errno| Error::at(&path, errno))?.st_blocks;
        let sparse = u64::try_from(blocks).unwrap_or(0).saturating_mul(512) < stat.size_bytes;
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
        Ok(Source { path, file, stat, sparse })
    }

    /// Reads to the end, writes and hashes.
    fn pour(
        &self,
        source: &mut Source,
        target: &mut File,
        name: &Path,
        size_bytes: u64,
        buffer: &mut Vec<u8>,
        monitor: &dyn Monitor,
    ) -> Result<Sha256, Error> {
        let site = &self.session.site;
        if source.sparse {
            target.set_len(size_bytes).map_err(|error| site.blame(name, error))?;
        } else {
            reserve(target, size_bytes).map_err(|errno| site.blame(name, errno))?;
        }
        buffer.resize(BUFFER_BYTES, 0);
        let mut hash = Hasher::new(&[]);
        let (mut done, mut looked) = (0u64, Instant::now());
        loop {
            let count =
                fill(&mut source.file, buffer).map_err(|error| Error::at(&source.path, error))?;
            let chunk = &buffer[..count];
            done += count as u64;
            if done > size_bytes || (count < BUFFER_BYTES && done < size_bytes) {
                return Err(Error::SourceChanged { path: source.path.clone() });
            }
            self.pace.spend(count as u64, monitor)?;
            hash.update(chunk);
            put(target, chunk, source.sparse).map_err(|error| site.blame(name, error))?;
            monitor.on(Progress::Bytes(count as u64));
            if looked.elapsed() >= LOOK {
                site.check_partial()?;
                looked = Instant::now();
            }
            if count < BUFFER_BYTES {
                break;
            }
        }
        Ok(hash.finish().sha256())
    }
}

/// Creates a new inode. What stands in the way (a fenced worker's last call may
/// have put it there) is unlinked.
fn create(site: &Site, name: &Path) -> Result<File, Error> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    for _ in 0..TRIES {
        match site.open(name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok(File::from(file)),
            Err(Errno::EXIST) => match site.unlink(name) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(site.blame(name, errno)),
            },
            Err(errno) => return Err(site.blame(name, errno)),
        }
    }
    Err(Error::at(site.path(name), Errno::EXIST))
}

/// Sets the blocks aside, so that a full disk shows at once. The length stays, so
/// that an unfinished file looks unfinished.
fn reserve(target: &File, size_bytes: u64) -> Result<(), Errno> {
    if size_bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(target, FallocateFlags::KEEP_SIZE, 0, size_bytes) {
        Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS | Errno::STALE)) => {
            Err(errno)
        }
        // Where it is not known, writing will show.
        _ => Ok(()),
    }
}

/// Fills the buffer as far as the file goes.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes a chunk; in a sparse file its zeros are skipped.
fn put(target: &mut File, chunk: &[u8], sparse: bool) -> std::io::Result<()> {
    if !sparse {
        return target.write_all(chunk);
    }
    for piece in chunk.chunks(HOLE_BYTES) {
        if piece.iter().all(|&byte| byte == 0) {
            std::io::Seek::seek_relative(target, piece.len() as i64)?;
        } else {
            target.write_all(piece)?;
        }
    }
    Ok(())
}
