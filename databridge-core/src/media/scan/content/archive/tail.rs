//! ZIPs that end in an archive where no file of it does: in a header, in padding, in what is
//! to be skipped, across two of these. Whoever opens the whole as a ZIP finds them, and what
//! they hold was not looked at.

use std::io::{self, Read};
use std::ops::Range;

use super::super::bytes::Bytes;
use crate::media::scan::members::{END_BYTES, Ending, ends_as_zip, zip_ends};

/// Whether the bytes, as they stand, can be opened as a ZIP. What cannot be read is not known
/// to hide none.
pub(super) fn hides_zip(bytes: Bytes<'_>) -> bool {
    bytes.tail(END_BYTES).map_or(true, |tail| ends_as_zip(&tail, bytes.size()))
}

/// Counts what is read, and keeps the last of it.
pub(super) struct Tail<R> {
    inner: R,
    read: u64,
    last: Vec<u8>,
}

impl<R> Tail<R> {
    pub const fn new(inner: R) -> Self {
        Self { inner, read: 0, last: Vec::new() }
    }

    /// So much was read.
    pub const fn position(&self) -> u64 {
        self.read
    }

    /// Whether a ZIP ends in what was read, and not in one of `files`, each with all of it.
    pub fn hides_zip(&self, files: &[Range<u64>]) -> bool {
        let tail = &self.last[self.last.len().saturating_sub(END_BYTES)..];
        let before = self.read - tail.len() as u64;
        let mut ends = zip_ends(tail, self.read);
        ends.any(|Ending { at, directory_bytes }| {
            let at = before + at as u64;
            let has_it = |file: &Range<u64>| {
                file.contains(&at) && directory_bytes.is_none_or(|n| file.start + n <= at)
            };
            !files.iter().any(has_it)
        })
    }
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read += n as u64;
        self.last.extend_from_slice(&buffer[n.saturating_sub(END_BYTES)..n]);
        // Not at every read.
        if self.last.len() > 8 * END_BYTES {
            self.last.drain(..self.last.len() - END_BYTES);
        }
        Ok(n)
    }
}
