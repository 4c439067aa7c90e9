//! How much may come out of an archive, and who counts it.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Instant;

use super::super::policy::Limits;
use crate::media::monitor::Monitor;
use crate::media::scan::members::END_BYTES;

/// Nothing below this counts as a bomb, whatever it was packed into.
const BOMB_BYTES: u64 = 1 << 20;

/// What unpacking one stream may hold: what `xz -9` and 7-Zip's ultra want.
pub(super) const MEMORY_KIB: u32 = 66 << 10;

/// Why a walk ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Bomb { unpacked: u64, packed: u64 },
    Bytes,
    Entries,
    Directory,
    Memory,
    Time,
    Cancelled,
    Unreadable,
}

/// What is left, for one file with everything in it.
pub(super) struct Budget<'m> {
    bytes: Cell<u64>,
    entries: Cell<u64>,
    ratio: u64,
    deadline: Option<Instant>,
    monitor: &'m dyn Monitor,
    stop: Cell<Option<Stop>>,
    trouble: RefCell<String>,
}

impl<'m> Budget<'m> {
    pub fn new(limits: Limits, deadline: Option<Instant>, monitor: &'m dyn Monitor) -> Self {
        Self {
            bytes: Cell::new(limits.unpacked_bytes),
            entries: Cell::new(limits.entries),
            ratio: limits.ratio,
            deadline,
            monitor,
            stop: Cell::new(None),
            trouble: RefCell::new(String::new()),
        }
    }

    /// What the file system said.
    pub fn trouble(&self) -> String {
        self.trouble.borrow().clone()
    }
}

impl Budget<'_> {
    pub fn stopped(&self) -> Option<Stop> {
        self.stop.get()
    }

    pub fn stop(&self, stop: Stop) -> io::Error {
        self.stop.set(Some(stop));
        io::Error::other("stopped")
    }

    pub fn fail(&self, error: &io::Error) {
        *self.trouble.borrow_mut() = error.to_string();
        self.stop.set(Some(Stop::Unreadable));
    }

    /// One more entry.
    pub fn entry(&self) -> Result<(), Stop> {
        let left = self.entries.get().checked_sub(1).ok_or(Stop::Entries)?;
        self.entries.set(left);
        self.ask()
    }

    /// How many entries more there may be.
    pub fn entries(&self) -> u64 {
        self.entries.get()
    }

    /// Whether to go on.
    fn ask(&self) -> Result<(), Stop> {
        if self.monitor.cancelled() {
            return Err(Stop::Cancelled);
        }
        match self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            true => Err(Stop::Time),
            false => Ok(()),
        }
    }

    /// The same in the middle of a read: much may go in of which nothing comes out.
    pub fn check(&self) -> io::Result<()> {
        self.ask().map_err(|stop| self.stop(stop))
    }
}

/// Counts what comes out against what went in.
pub(super) struct Meter<'m, R> {
    inner: R,
    packed: &'m Cell<u64>,
    unpacked: u64,
    budget: &'m Budget<'m>,
}

impl<'m, R: io::Read> Meter<'m, R> {
    /// `packed` says how many bytes went in so far, or will at most.
    pub const fn new(inner: R, packed: &'m Cell<u64>, budget: &'m Budget<'m>) -> Self {
        Self { inner, packed, unpacked: 0, budget }
    }
}

/// What [`hold`] read.
pub(super) struct Held {
    /// The first bytes.
    pub content: Vec<u8>,
    /// The last ones, where those are not all.
    tail: Vec<u8>,
    /// How many there were.
    pub size_bytes: u64,
    /// How it ended.
    pub ended: io::Result<()>,
}

impl Held {
    /// The last bytes, [`END_BYTES`] where there are so many.
    pub fn tail(&self) -> &[u8] {
        match &self.tail[..] {
            [] => last(&self.content),
            tail => tail,
        }
    }
}

fn last(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(END_BYTES)..]
}

/// Reads to the end and holds the first bytes and the last.
pub(super) fn hold(reader: &mut dyn io::Read, held_bytes: u64) -> Held {
    use io::Read;
    let mut content = Vec::new();
    let held = reader.take(held_bytes).read_to_end(&mut content);
    let mut size = content.len() as u64;
    let (mut buffer, mut tail) = (vec![0; 64 << 10], Vec::new());
    let mut ended = held.map(drop);
    while ended.is_ok() {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                if tail.is_empty() {
                    tail.extend(last(&content));
                }
                tail.extend_from_slice(&buffer[..n]);
                tail.drain(..tail.len().saturating_sub(END_BYTES));
                size += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => ended = Err(error),
        }
    }
    Held { content, tail, size_bytes: size, ended }
}

impl<R: io::Read> io::Read for Meter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => self.budget.stop(Stop::Memory),
            _ => error,
        })?;
        self.unpacked += n as u64;
        let Some(left) = self.budget.bytes.get().checked_sub(n as u64) else {
            return Err(self.budget.stop(Stop::Bytes));
        };
        self.budget.bytes.set(left);
        let (unpacked, packed) = (self.unpacked, self.packed.get().max(1));
        if unpacked > BOMB_BYTES && unpacked / packed > self.budget.ratio {
            return Err(self.budget.stop(Stop::Bomb { unpacked, packed }));
        }
        self.budget.check()?;
        Ok(n)
    }
}
