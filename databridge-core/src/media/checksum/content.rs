//! The content of one open file, hashed as fast as the machine goes.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::mpsc;

use rustix::io::Errno;

use super::{Algorithm, Digests, Error, Hasher, Shelf};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{self, Aligned, DeviceFile, Medium, Nearest, Stat, Worth};

/// Read at a time by who also hashes: it stays in the processor's cache.
const BUFFER_BYTES: usize = 256 * 1024;
/// From this size on a second thread reads ahead of the one that hashes.
pub(super) const LARGE_BYTES: u64 = 4 << 20;
/// What that one reads at a time, and how many of them it may be ahead.
const AHEAD_BYTES: usize = 2 << 20;
const AHEAD: usize = 3;

/// Opens a file once more by its name.
pub(super) type Again<'a> = &'a (dyn Fn() -> Result<File, Errno> + Sync);

/// What is known of a file that is open.
#[derive(Clone, Copy)]
pub(super) struct Opened<'a> {
    /// Its path, for messages.
    pub path: &'a dyn Fn() -> PathBuf,
    /// Opens it once more.
    pub again: Again<'a>,
}

/// Where a file's bytes come from.
enum Bytes {
    /// From wherever the system has them.
    Any(Nearest<File>),
    /// From the device.
    Device(DeviceFile),
}

/// An open file. Where its server says that it knows the open file no more (`ESTALE`),
/// it is opened once more and read on.
struct Source<'a> {
    bytes: Bytes,
    before: Stat,
    again: Option<Again<'a>>,
}

impl Source<'_> {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        loop {
            let read = match &mut self.bytes {
                Bytes::Device(file) => file.read(offset, u64::MAX, buffer),
                Bytes::Any(file) => file.read(buffer, buffer.len(), offset),
            };
            match (read, self.again.take_if(|_| read == Err(Errno::STALE))) {
                (Err(Errno::STALE), Some(again)) => self.replace(again()?)?,
                (read, _) => return read,
            }
        }
    }

    /// Goes on with the same file by another handle; by that of another file not.
    fn replace(&mut self, file: File) -> Result<(), Errno> {
        let now = Stat::from(rustix::fs::fstat(&file)?);
        if now.ino != self.before.ino || !now.is_unchanged_since(&self.before) {
            return Err(Errno::STALE);
        }
        self.bytes = match &self.bytes {
            Bytes::Any(_) => Bytes::Any(Nearest::as_it_comes(file)),
            Bytes::Device(old) => Bytes::Device(DeviceFile::new(file, old.medium())),
        };
        Ok(())
    }
}

impl AsFd for Source<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.bytes {
            Bytes::Any(file) => file.as_fd(),
            Bytes::Device(file) => file.as_fd(),
        }
    }
}

/// What reading a file found.
#[derive(Debug)]
pub(crate) struct Content {
    /// Facts, the same before and after.
    pub stat: Stat,
    /// Digests of all of it.
    pub digests: Digests,
    /// What the reading was worth, where the device was asked.
    pub worth: Option<Worth>,
}

/// Memory of one thread that reads.
pub(crate) struct Scratch<'s> {
    small: Aligned,
    large: &'s Shelf,
}

impl<'s> Scratch<'s> {
    /// For files of any size; for large ones there is a shelf for all threads.
    pub fn new(large: &'s Shelf) -> Self {
        Self { small: Aligned::new(BUFFER_BYTES), large }
    }
}

/// Reads a file to its end and makes sure that nobody wrote meanwhile. `device`
/// says on what it stands, if its bytes must come from there.
///
/// # Errors
/// [`Error::SourceChanged`], [`Error::Cancelled`], what the system says.
pub(super) fn hash(
    file: File,
    before: Stat,
    device: Option<Medium>,
    algorithms: &[Algorithm],
    scratch: &mut Scratch<'_>,
    Opened { path, again }: Opened<'_>,
    monitor: &dyn Monitor,
) -> Result<Content, Error> {
    let is_large = before.size_bytes >= LARGE_BYTES;
    let examine =
        |file: &File| Stat::of(file).map_err(|e| storage::Error::io("examine", path(), e));
    // Who waits for buffers reads it as it is when there are some.
    let (mut set, before) = match is_large {
        true => (Some(scratch.large.take(monitor)?), examine(&file)?),
        false => (None, before),
    };
    let bytes = match device {
        Some(medium) => {
            let file = DeviceFile::new(file, medium);
            file.forget();
            Bytes::Device(file)
        }
        None if is_large => {
            let medium = Medium::of(&file);
            Bytes::Any(Nearest::new(file, medium))
        }
        None => Bytes::Any(Nearest::as_it_comes(file)),
    };
    let mut source = Source { bytes, before, again: Some(again) };
    let mut hasher = Hasher::new(algorithms);
    let fail = |halt| match halt {
        Halt::Cancelled => Error::Cancelled,
        Halt::Changed => Error::SourceChanged { path: path() },
        Halt::Thread(source) => Error::Thread { source },
        Halt::Errno(errno) => storage::Error::io("read", path(), errno).into(),
    };
    match &mut set {
        Some(set) => ahead(&mut source, before.size_bytes, &mut hasher, &mut set.buffers, monitor),
        None => inline(&mut source, before.size_bytes, &mut hasher, &mut scratch.small, monitor),
    }
    .map_err(fail)?;
    let stat = Stat::of(&source).map_err(|error| storage::Error::io("examine", path(), error))?;
    if !stat.is_unchanged_since(&before) {
        return Err(fail(Halt::Changed));
    }
    let worth = match &source.bytes {
        Bytes::Device(file) => Some(file.worth()),
        Bytes::Any(_) => None,
    };
    Ok(Content { stat, digests: hasher.finish(), worth })
}

/// Why a read ended early.
enum Halt {
    Cancelled,
    Changed,
    Thread(std::io::Error),
    Errno(Errno),
}

/// Reads the piece at `offset` of a file of `size_bytes`.
fn piece(
    source: &mut Source<'_>,
    buffer: &mut Aligned,
    offset: u64,
    size_bytes: u64,
    monitor: &dyn Monitor,
) -> Result<usize, Halt> {
    if monitor.cancelled() {
        return Err(Halt::Cancelled);
    }
    match source.read_at(buffer, offset).map_err(Halt::Errno)? {
        0 => Err(Halt::Changed),
        count if offset + count as u64 > size_bytes => Err(Halt::Changed),
        count => Ok(count),
    }
}

fn inline(
    source: &mut Source<'_>,
    size_bytes: u64,
    hasher: &mut Hasher,
    buffer: &mut Aligned,
    monitor: &dyn Monitor,
) -> Result<(), Halt> {
    let mut offset = 0;
    while offset < size_bytes {
        let count = piece(source, buffer, offset, size_bytes, monitor)?;
        hasher.update(&buffer[..count]);
        monitor.on(Progress::Bytes(count as u64));
        offset += count as u64;
    }
    Ok(())
}

/// Hashes here what a second thread reads.
fn ahead(
    source: &mut Source<'_>,
    size_bytes: u64,
    hasher: &mut Hasher,
    buffers: &mut Vec<Aligned>,
    monitor: &dyn Monitor,
) -> Result<(), Halt> {
    buffers.resize_with(AHEAD, || Aligned::new(AHEAD_BYTES));
    let (fill, empty) = mpsc::channel::<Aligned>();
    let (give, full) = mpsc::channel::<Result<(Aligned, usize), Halt>>();
    for buffer in buffers.drain(..) {
        // Its receiver is right here.
        let _ = fill.send(buffer);
    }
    std::thread::scope(|scope| {
        let read = move || {
            let mut offset = 0;
            while offset < size_bytes {
                let Ok(mut buffer) = empty.recv() else { break };
                let read = piece(source, &mut buffer, offset, size_bytes, monitor);
                offset += *read.as_ref().unwrap_or(&0) as u64;
                let is_last = read.is_err();
                if give.send(read.map(|count| (buffer, count))).is_err() || is_last {
                    break;
                }
            }
            empty.try_iter().collect::<Vec<_>>()
        };
        let reader = std::thread::Builder::new().name("databridge-read".into());
        let reader = reader.spawn_scoped(scope, read).map_err(Halt::Thread)?;
        for piece in full {
            let (buffer, count) = piece?;
            hasher.update(&buffer[..count]);
            monitor.on(Progress::Bytes(count as u64));
            if let Err(back) = fill.send(buffer) {
                buffers.push(back.0);
            }
        }
        // For the next file.
        buffers.extend(reader.join().into_iter().flatten());
        Ok(())
    })
}
