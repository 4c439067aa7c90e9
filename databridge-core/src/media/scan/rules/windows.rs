//! A file too large to be held, piece by piece.

use std::os::unix::fs::FileExt;

use boreal::memory::{FragmentedMemory, MemoryParams, Region, RegionDescription};

use super::super::Subject;

/// How much is held at a time.
const WINDOW_BYTES: u64 = 8 << 20;

/// How much of a window stands in the next one again: a match up to this length is
/// not missed between two.
const OVERLAP_BYTES: u64 = 64 << 10;

/// All of a file up to a size, of a larger one its beginning and its end, at their
/// true offsets.
#[derive(Debug)]
pub(super) struct Windows<'a> {
    subject: Subject<'a>,
    is_all: bool,
    next: u64,
    buffer: Vec<u8>,
    failed: &'a mut Option<std::io::Error>,
}

impl<'a> Windows<'a> {
    pub fn new(
        subject: &Subject<'a>,
        read_bytes: u64,
        failed: &'a mut Option<std::io::Error>,
    ) -> Self {
        let is_all = subject.size_bytes <= read_bytes.max(2 * WINDOW_BYTES);
        Self { subject: *subject, is_all, next: 0, buffer: Vec::new(), failed }
    }

    /// Whether they cover the file.
    pub const fn is_all(&self) -> bool {
        self.is_all
    }

    fn described(&self) -> Option<RegionDescription> {
        let size = self.subject.size_bytes;
        let number = self.next.checked_sub(1)?;
        let start = match (self.is_all, number) {
            (true, _) => number * (WINDOW_BYTES - OVERLAP_BYTES),
            (false, 0) => 0,
            (false, 1) => size - WINDOW_BYTES,
            (false, _) => return None,
        };
        // What the window before has to its end needs no other.
        if start >= size || (number > 0 && start + OVERLAP_BYTES >= size) {
            return None;
        }
        Some(RegionDescription {
            start: usize::try_from(start).ok()?,
            length: usize::try_from(WINDOW_BYTES.min(size - start)).ok()?,
        })
    }
}

impl FragmentedMemory for Windows<'_> {
    fn reset(&mut self) {
        self.next = 0;
    }

    fn next(&mut self, _params: &MemoryParams) -> Option<RegionDescription> {
        self.next += 1;
        self.described()
    }

    fn fetch(&mut self, _params: &MemoryParams) -> Option<Region<'_>> {
        let region = self.described()?;
        self.buffer.resize(region.length, 0);
        match self.subject.file.read_exact_at(&mut self.buffer, u64::try_from(region.start).ok()?) {
            Ok(()) => Some(Region { start: region.start, mem: &self.buffer }),
            Err(error) => {
                *self.failed = Some(error);
                None
            }
        }
    }
}
