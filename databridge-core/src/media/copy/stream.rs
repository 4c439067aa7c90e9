//! The bytes of one file on their way: read once, hashed, written, and in a long
//! file read back behind the writer.
//!
//! A file of one block goes through in turn. A longer one is a chain of threads
//! that hand each other blocks of [`Sizes::block_bytes`]: this one reads and
//! hashes, a second writes. Where the read-back is to be overlapped, a third
//! follows the writer in windows of [`Sizes::window_bytes`]: it waits until a
//! window is written, has it flushed to the device (`fdatasync`), and reads it from
//! there. So what it reads was durable before, as if the whole file had been
//! flushed first. The last window waits until mode and times are set and all of it
//! is flushed, since these change the facts that the journal remembers.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::media::checksum::{Algorithm, Digests, Hasher, Sha256};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{Aligned, DeviceFile, Stat, Worth};

use super::error::Error;
use super::pace::Pace;
use super::site::Site;
use super::source::Source;
use super::target::Target;

/// Read, hashed and accounted for at a time: it stays in the processor's cache.
const PIECE_BYTES: usize = 256 << 10;
/// How often a long write looks whether the copy is still its own.
const LOOK: Duration = Duration::from_secs(1);
/// Blocks of one file on their way from reader to writer.
const BLOCKS: usize = 3;

static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];

/// Into what a file is cut. A worker holds [`Scratch::BLOCKS_MAX`] blocks.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Written by one call; a multiple of the alignment.
    pub block_bytes: usize,
    /// Read back at a time behind the writer; a multiple of the block.
    pub window_bytes: u64,
    /// From this length on the read-back is overlapped, if it is to be.
    pub overlap_bytes: u64,
    /// From this length on a file is written past the page cache.
    pub direct_bytes: u64,
}

/// Buffers of one worker, kept from file to file.
#[derive(Debug, Default)]
pub struct Scratch {
    blocks: Vec<Aligned>,
}

impl Scratch {
    /// Three on their way to the device, one on its way back.
    pub const BLOCKS_MAX: usize = BLOCKS + 1;

    fn take(&mut self, bytes: usize) -> Aligned {
        self.blocks.pop().filter(|one| one.len() == bytes).unwrap_or_else(|| Aligned::new(bytes))
    }
}

/// One file to be poured from its source into its target.
pub struct Stream<'a> {
    pub site: &'a Site,
    /// The target, below the parent.
    pub name: &'a Path,
    pub source: &'a Source<'a>,
    pub size_bytes: u64,
    pub algorithms: &'a [Algorithm],
    pub sizes: Sizes,
    pub pace: &'a Pace,
    pub monitor: &'a dyn Monitor,
}

/// What was read back behind the writer.
#[derive(Debug, Clone, Copy)]
pub struct Back {
    pub sha256: Sha256,
    /// After the last byte was read.
    pub stat: Stat,
    pub worth: Worth,
}

/// Where blocks go that were read.
trait Sink {
    /// An empty block; `None` if nothing goes on any more.
    fn block(&mut self) -> Option<Aligned>;
    /// `len` bytes that belong at `at`; `None` as above.
    fn put(&mut self, block: Aligned, at: u64, len: usize) -> Option<()>;
    /// Nothing but zeros stands before `to`.
    fn skip(&mut self, to: u64) -> Option<()>;
}

/// Writes at once.
struct InTurn<'a> {
    /// `None` for a clone, which is there already.
    target: Option<&'a mut Target>,
    block: Option<Aligned>,
    failure: Result<(), Errno>,
}

impl Sink for InTurn<'_> {
    fn block(&mut self) -> Option<Aligned> {
        self.block.take()
    }
    fn put(&mut self, block: Aligned, at: u64, len: usize) -> Option<()> {
        self.failure = match &mut self.target {
            Some(target) => target.put(&block[..len], at),
            None => Ok(()),
        };
        self.block = Some(block);
        self.failure.ok()
    }
    fn skip(&mut self, _: u64) -> Option<()> {
        Some(())
    }
}

/// Hands on to the writer's thread.
struct Chain {
    empty: Receiver<Aligned>,
    full: SyncSender<Step>,
}

enum Step {
    Data { block: Aligned, at: u64, len: usize },
    Hole { to: u64 },
}

impl Sink for Chain {
    fn block(&mut self) -> Option<Aligned> {
        self.empty.recv().ok()
    }
    fn put(&mut self, block: Aligned, at: u64, len: usize) -> Option<()> {
        self.full.send(Step::Data { block, at, len }).ok()
    }
    fn skip(&mut self, to: u64) -> Option<()> {
        self.full.send(Step::Hole { to }).ok()
    }
}

impl Stream<'_> {
    /// Only reads and hashes.
    pub fn hash(&self, scratch: &mut Scratch) -> Result<Digests, Error> {
        self.in_turn(None, scratch)
    }

    /// Reads, hashes and writes.
    pub fn pour(&self, target: &mut Target, scratch: &mut Scratch) -> Result<Digests, Error> {
        if self.size_bytes <= self.sizes.block_bytes as u64 {
            return self.in_turn(Some(target), scratch);
        }
        self.chain(target, scratch, &Tide::default())
    }

    /// Reads, hashes, writes and reads back. `settle` is called when all is written.
    pub fn pour_and_return(
        &self,
        target: &mut Target,
        mut device: DeviceFile,
        scratch: &mut Scratch,
        settle: impl FnOnce(&Target, &Digests) -> Result<(), Error>,
    ) -> Result<(Digests, Back), Error> {
        let tide = Tide::default();
        let mut back = scratch.take(self.sizes.block_bytes);
        std::thread::scope(|scope| {
            let follower = scope
                .spawn(|| self.follow(&mut device, &tide, &mut back).inspect_err(|_| tide.stop()));
            let poured = self.chain(target, scratch, &tide).and_then(|digests| {
                settle(target, &digests)?;
                Ok(digests)
            });
            tide.end(poured.is_ok());
            match (join(follower), poured) {
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
                (Ok(Some(back)), Ok(digests)) => Ok((digests, back)),
                (Ok(None), Ok(_)) => Err(Error::Cancelled),
            }
        })
        .inspect(|_| scratch.blocks.push(back))
    }

    fn blame(&self, errno: Errno) -> Error {
        self.site.blame(self.name, errno)
    }

    fn in_turn(
        &self,
        target: Option<&mut Target>,
        scratch: &mut Scratch,
    ) -> Result<Digests, Error> {
        let block = Some(scratch.take(self.sizes.block_bytes));
        let mut sink = InTurn { target, block, failure: Ok(()) };
        let read = self.read(&mut sink);
        scratch.blocks.extend(sink.block);
        sink.failure.map_err(|errno| self.blame(errno))?;
        read?.ok_or(Error::Cancelled)
    }

    fn chain(
        &self,
        target: &mut Target,
        scratch: &mut Scratch,
        tide: &Tide,
    ) -> Result<Digests, Error> {
        let (give, empty) = sync_channel(BLOCKS);
        let (full, take) = sync_channel(BLOCKS);
        for _ in 0..BLOCKS {
            let _ = give.send(scratch.take(self.sizes.block_bytes));
        }
        let (read, written, left) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| write(target, take, give, tide));
            let mut chain = Chain { empty, full };
            let read = self.read(&mut chain);
            drop(chain.full);
            let written = join(writer);
            (read, written, chain.empty.try_iter().collect::<Vec<_>>())
        });
        scratch.blocks.extend(left);
        written.map_err(|errno| self.blame(errno))?;
        read?.ok_or(Error::Cancelled)
    }

    /// Reads to the end; `None` if the sink takes nothing any more.
    fn read(&self, sink: &mut impl Sink) -> Result<Option<Digests>, Error> {
        let mut hash = Hasher::new(self.algorithms);
        let (mut at, mut looked) = (0, Instant::now());
        while at < self.size_bytes {
            let (start, end) = self.source.data_from(at, self.size_bytes);
            self.hash_hole(&mut hash, start - at)?;
            if start > at && sink.skip(start).is_none() {
                return Ok(None);
            }
            at = start;
            while at < end {
                let Some(mut block) = sink.block() else { return Ok(None) };
                let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(block.len());
                let next = at + len as u64;
                if next < end {
                    self.source.will_need(next, block.len() as u64);
                }
                self.read_block(&mut hash, &mut block[..len], at)?;
                if sink.put(block, at, len).is_none() {
                    return Ok(None);
                }
                at = next;
                if looked.elapsed() >= LOOK {
                    self.site.check_partial()?;
                    looked = Instant::now();
                }
            }
        }
        Ok(Some(hash.finish()))
    }

    fn read_block(&self, hash: &mut Hasher, block: &mut [u8], mut at: u64) -> Result<(), Error> {
        for piece in block.chunks_mut(PIECE_BYTES) {
            self.source.fill(piece, at)?;
            self.pace.spend(piece.len() as u64, self.monitor)?;
            hash.update(piece);
            self.monitor.on(Progress::Bytes(piece.len() as u64));
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn hash_hole(&self, hash: &mut Hasher, mut left: u64) -> Result<(), Error> {
        while left > 0 {
            let count = left.min(PIECE_BYTES as u64);
            self.pace.spend(0, self.monitor)?;
            hash.update(&ZEROS[..usize::try_from(count).unwrap_or(PIECE_BYTES)]);
            self.monitor.on(Progress::Bytes(count));
            left -= count;
        }
        Ok(())
    }

    /// Reads window by window behind the writer; `None` if it gave up.
    fn follow(
        &self,
        device: &mut DeviceFile,
        tide: &Tide,
        block: &mut Aligned,
    ) -> Result<Option<Back>, Error> {
        let blame = |errno| self.blame(errno);
        let mut hash = Hasher::new(&[]);
        // That it is still the same inode is seen at the end.
        let (mut at, mut reopened) = (0, false);
        while at < self.size_bytes {
            let end = at.saturating_add(self.sizes.window_bytes).min(self.size_bytes);
            if !tide.reaches(end, end == self.size_bytes) {
                return Ok(None);
            }
            device.flush().map_err(blame)?;
            device.forget();
            while at < end {
                if self.monitor.cancelled() {
                    return Err(Error::Cancelled);
                }
                let count = match device.read(at, end, block) {
                    Err(Errno::STALE) if !reopened => {
                        *device = self.site.device(self.name, device.medium()).map_err(blame)?;
                        reopened = true;
                        continue;
                    }
                    read => read.map_err(blame)?,
                };
                if count == 0 {
                    break;
                }
                hash.update(&block[..count]);
                at += count as u64;
            }
            if at < end {
                break;
            }
        }
        let (stat, worth) = (device.stat().map_err(blame)?, device.worth());
        Ok(Some(Back { sha256: hash.finish().sha256(), stat, worth }))
    }
}

/// The writer's thread.
fn write(
    target: &mut Target,
    take: Receiver<Step>,
    give: SyncSender<Aligned>,
    tide: &Tide,
) -> Result<(), Errno> {
    for step in take {
        match step {
            // What cannot be read back need not be written to its end.
            _ if tide.is_stopped() => return Err(Errno::CANCELED),
            Step::Data { block, at, len } => {
                target.put(&block[..len], at)?;
                tide.rise(at + len as u64);
                let _ = give.send(block);
            }
            Step::Hole { to } => tide.rise(to),
        }
    }
    Ok(())
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How far the writer has come, and how it ended.
#[derive(Debug, Default)]
struct Tide {
    state: Mutex<(u64, Option<bool>)>,
    moved: Condvar,
    stopped: AtomicBool,
}

impl Tide {
    fn rise(&self, to: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = to;
        self.moved.notify_all();
    }

    /// Whoever follows has failed.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn end(&self, well: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(well);
        self.moved.notify_all();
    }

    /// Waits until all before `end` is written, and if `whole` until it ended well;
    /// `false` if it ended badly.
    fn reaches(&self, end: u64, whole: bool) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *state {
                (_, Some(well)) => return well,
                (written, None) if written >= end && !whole => return true,
                _ => state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}
