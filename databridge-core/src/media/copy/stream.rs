//! The bytes of one file on their way: read once, hashed, written, and in a long
//! file read back behind the writer.
//!
//! A file of one block goes through in turn. A longer one is a chain of threads
//! that hand each other blocks of [`Sizes::block_bytes`]: this one reads, a second
//! hashes, a third writes. Where the read-back is to be overlapped, a fourth follows
//! the writer in windows of [`Sizes::window_bytes`]: it waits until a window is
//! written, has it flushed to the device (`fdatasync`), and reads it from there, for
//! a fifth to hash. So what it reads was durable before, as if the whole file had
//! been flushed first. The last window waits until mode and times are set and all of
//! it is flushed, since these change the facts that the journal remembers.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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
use super::tide::{Ebb, Tide};

/// Zeros that are hashed at a time where a hole is.
const ZEROS_BYTES: usize = 256 << 10;
/// So much of a hole goes through at a time.
const HOLE_BYTES: u64 = 64 << 20;
/// How often a long write looks whether the copy is still its own.
const LOOK: Duration = Duration::from_secs(1);
/// Blocks of one file on their way, at least: one at each of reader, hasher and writer,
/// and one between them.
const BLOCKS_MIN: usize = 4;
/// Blocks on their way back, at least: while one is hashed the device fills the other.
const BLOCKS_BACK_MIN: usize = 2;
/// Both together, at most: more even out no more.
const BLOCKS_MOST: usize = 24;

static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];

/// Into what a file is cut, and how much of it is under way.
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
    /// Blocks on their way to the device.
    pub blocks: usize,
    /// Blocks on their way back.
    pub blocks_back: usize,
}

impl Sizes {
    /// Blocks that a worker holds at least.
    pub const BLOCKS: usize = BLOCKS_MIN + BLOCKS_BACK_MIN;

    /// In blocks of so many bytes, as few under way as go.
    pub const fn of(block_bytes: usize, direct_bytes: u64) -> Self {
        Self {
            block_bytes,
            window_bytes: 64 << 20,
            overlap_bytes: 4 << 20,
            direct_bytes,
            blocks: BLOCKS_MIN,
            blocks_back: BLOCKS_BACK_MIN,
        }
    }

    /// The same for each of `workers` that share `budget_bytes`: the more blocks are
    /// under way, the less does one step wait for another that is late.
    pub fn shared_by(self, workers: usize, budget_bytes: usize) -> Self {
        let each = budget_bytes / (workers.max(1) * self.block_bytes);
        let each = each.clamp(Self::BLOCKS, BLOCKS_MOST);
        let blocks_back = each * BLOCKS_BACK_MIN / Self::BLOCKS;
        Self { blocks: each - blocks_back, blocks_back, ..self }
    }
}

/// Buffers of one worker, kept from file to file.
#[derive(Debug, Default)]
pub struct Scratch {
    blocks: Vec<Aligned>,
}

impl Scratch {
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
    /// `None` as above.
    fn put(&mut self, step: Step) -> Option<()>;
}

/// What was read.
enum Step {
    /// `len` bytes that belong at `at`.
    Data { block: Aligned, at: u64, len: usize },
    /// Zeros, from the end of what came before.
    Hole { from: u64, to: u64 },
}

impl Step {
    fn hash(&self, hash: &mut Hasher) {
        match self {
            Self::Data { block, len, .. } => hash.update(&block[..*len]),
            Self::Hole { from, to } => {
                let mut left = to - from;
                while left > 0 {
                    let count = left.min(ZEROS_BYTES as u64);
                    hash.update(&ZEROS[..usize::try_from(count).unwrap_or(ZEROS_BYTES)]);
                    left -= count;
                }
            }
        }
    }
}

/// Hashes and writes at once.
struct InTurn<'a> {
    hash: Hasher,
    /// `None` for a clone, which is there already.
    target: Option<&'a mut Target>,
    block: Option<Aligned>,
    failure: Result<(), Errno>,
}

impl Sink for InTurn<'_> {
    fn block(&mut self) -> Option<Aligned> {
        self.block.take()
    }
    fn put(&mut self, step: Step) -> Option<()> {
        step.hash(&mut self.hash);
        if let Step::Data { block, at, len } = step {
            self.failure = match &mut self.target {
                Some(target) => target.put(&block[..len], at),
                None => Ok(()),
            };
            self.block = Some(block);
        }
        self.failure.ok()
    }
}

/// Hands on to the thread that hashes.
struct Chain {
    empty: Receiver<Aligned>,
    full: SyncSender<Step>,
}

impl Sink for Chain {
    fn block(&mut self) -> Option<Aligned> {
        self.empty.recv().ok()
    }
    fn put(&mut self, step: Step) -> Option<()> {
        self.full.send(step).ok()
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
        let (give, mut empty) = sync_channel(self.sizes.blocks_back);
        let (full, take) = sync_channel(self.sizes.blocks_back);
        for _ in 0..self.sizes.blocks_back {
            let _ = give.send(scratch.take(self.sizes.block_bytes));
        }
        let done = std::thread::scope(|scope| {
            // Also where no thread can be had, or one panics: nobody waits for a tide that
            // does not come.
            let ebb = Ebb::of(&tide);
            let (device, empty, waits) = (&mut device, &mut empty, &tide);
            let follow = move || self.follow(device, waits, empty, full);
            let follower = self.spawn(scope, || follow().inspect_err(|_| tide.stop()))?;
            let hasher = self.spawn(scope, || hash_back(take, give))?;
            let poured = self.chain(target, scratch, &tide).and_then(|digests| {
                settle(target, &digests)?;
                Ok(digests)
            });
            tide.end(poured.is_ok());
            drop(ebb);
            let (followed, sha256) = (join(follower), join(hasher));
            match (followed, poured) {
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
                (Ok(Some((stat, worth))), Ok(digests)) => {
                    Ok((digests, Back { sha256, stat, worth }))
                }
                (Ok(None), Ok(_)) => Err(Error::Cancelled),
            }
        });
        scratch.blocks.extend(empty.try_iter());
        done
    }

    /// # Errors
    /// What the system said: a host may allow no more threads (EAGAIN).
    fn spawn<'scope, T: Send + 'scope>(
        &self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> Result<std::thread::ScopedJoinHandle<'scope, T>, Error> {
        let spawned = std::thread::Builder::new().spawn_scoped(scope, work);
        spawned.map_err(|error| Error::at(self.site.path(self.name), error))
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
        let hash = Hasher::new(self.algorithms);
        let mut sink = InTurn { hash, target, block, failure: Ok(()) };
        let read = self.read(&mut sink);
        scratch.blocks.extend(sink.block);
        sink.failure.map_err(|errno| self.blame(errno))?;
        read?.ok_or(Error::Cancelled)?;
        Ok(sink.hash.finish())
    }

    fn chain(
        &self,
        target: &mut Target,
        scratch: &mut Scratch,
        tide: &Tide,
    ) -> Result<Digests, Error> {
        let blocks = self.sizes.blocks;
        let (give, empty) = sync_channel(blocks);
        let (full, read) = sync_channel(blocks);
        let (hashed, take) = sync_channel(blocks);
        for _ in 0..blocks {
            let _ = give.send(scratch.take(self.sizes.block_bytes));
        }
        let hash = Hasher::new(self.algorithms);
        let (read, digests, written, left) = std::thread::scope(|scope| {
            let hasher = self.spawn(scope, || hash_on(hash, read, hashed))?;
            let writer = self.spawn(scope, || write(target, take, give, tide))?;
            let mut chain = Chain { empty, full };
            let read = self.read(&mut chain);
            drop(chain.full);
            let (digests, written) = (join(hasher), join(writer));
            Ok::<_, Error>((read, digests, written, chain.empty.try_iter().collect::<Vec<_>>()))
        })?;
        scratch.blocks.extend(left);
        written.map_err(|errno| self.blame(errno))?;
        read?.ok_or(Error::Cancelled)?;
        Ok(digests)
    }

    /// Reads to the end; `None` if the sink takes nothing any more.
    fn read(&self, sink: &mut impl Sink) -> Result<Option<()>, Error> {
        let mut nearest = self.source.nearest();
        let (mut at, mut looked) = (0, Instant::now());
        while at < self.size_bytes {
            let (start, end) = self.source.data_from(at, self.size_bytes);
            while at < start {
                let to = start.min(at.saturating_add(HOLE_BYTES));
                self.account(0, to - at)?;
                if sink.put(Step::Hole { from: at, to }).is_none() {
                    return Ok(None);
                }
                at = to;
            }
            while at < end {
                let Some(mut block) = sink.block() else { return Ok(None) };
                let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(block.len());
                let next = at + len as u64;
                if next < end {
                    nearest.will_need(next, block.len() as u64);
                }
                self.source.fill(&mut nearest, &mut block, len, at)?;
                self.account(len as u64, len as u64)?;
                if sink.put(Step::Data { block, at, len }).is_none() {
                    return Ok(None);
                }
                at = next;
                if looked.elapsed() >= LOOK {
                    self.site.check_partial()?;
                    looked = Instant::now();
                }
            }
        }
        Ok(Some(()))
    }

    /// So many bytes were read, and so many are past.
    fn account(&self, read: u64, past: u64) -> Result<(), Error> {
        self.pace.spend(read, self.monitor)?;
        self.monitor.on(Progress::Bytes(past));
        Ok(())
    }

    /// Reads window by window behind the writer; `None` if it gave up. What the file
    /// was when all of it was written, and what reading it was worth.
    fn follow(
        &self,
        device: &mut DeviceFile,
        tide: &Tide,
        empty: &mut Receiver<Aligned>,
        full: SyncSender<(Aligned, usize)>,
    ) -> Result<Option<(Stat, Worth)>, Error> {
        let blame = |errno| self.blame(errno);
        // That it is still the same inode is seen at the end.
        let (mut at, mut reopened, mut whole) = (0, false, None);
        'windows: while at < self.size_bytes {
            let end = at.saturating_add(self.sizes.window_bytes).min(self.size_bytes);
            if !tide.reaches(end, end == self.size_bytes) {
                return Ok(None);
            }
            if end < self.size_bytes {
                device.flush().map_err(blame)?;
            } else {
                // (It was flushed when mode and times were set.) Before it is read: what
                // happens to it from now on is seen by that.
                whole = Some(device.stat().map_err(blame)?);
            }
            device.forget();
            while at < end {
                if self.monitor.cancelled() {
                    return Err(Error::Cancelled);
                }
                let Ok(mut block) = empty.recv() else { return Ok(None) };
                let mut read = device.read(at, end, &mut block);
                if read == Err(Errno::STALE) && !reopened {
                    *device = self.site.device(self.name, device.medium()).map_err(blame)?;
                    reopened = true;
                    whole = whole.map(|_| device.stat()).transpose().map_err(blame)?;
                    read = device.read(at, end, &mut block);
                }
                let count = read.map_err(blame)?;
                if count == 0 {
                    break 'windows;
                }
                if full.send((block, count)).is_err() {
                    return Ok(None);
                }
                at += count as u64;
            }
        }
        let whole = whole.map_or_else(|| device.stat(), Ok).map_err(blame)?;
        Ok(Some((whole, device.worth())))
    }
}

/// The thread that hashes what was read back.
fn hash_back(take: Receiver<(Aligned, usize)>, give: SyncSender<Aligned>) -> Sha256 {
    let mut hash = Hasher::new(&[]);
    for (block, count) in take {
        hash.update(&block[..count]);
        let _ = give.send(block);
    }
    hash.finish().sha256()
}

/// The thread that hashes what was read.
fn hash_on(mut hash: Hasher, read: Receiver<Step>, hashed: SyncSender<Step>) -> Digests {
    for step in read {
        step.hash(&mut hash);
        if hashed.send(step).is_err() {
            break;
        }
    }
    hash.finish()
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
            Step::Hole { to, .. } => tide.rise(to),
        }
    }
    Ok(())
}

/// What a thread answers; its panic goes on here.
pub fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
