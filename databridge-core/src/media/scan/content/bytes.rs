//! A file's bytes, from memory where they are held and else by reading.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::super::Subject;

/// What is wrong with how a file is built.
#[derive(Debug)]
pub(in crate::media::scan) enum Flaw {
    /// It ends before it should.
    Truncated(String),
    /// It says what cannot be.
    Damaged(String),
    /// It could not be read.
    Io(io::Error),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Bytes at offsets.
#[derive(Debug, Clone, Copy)]
pub(in crate::media::scan) struct Bytes<'a> {
    held: &'a [u8],
    file: Option<&'a File>,
    size: u64,
}

impl<'a> Bytes<'a> {
    pub fn of(subject: &Subject<'a>) -> Self {
        match subject.whole {
            Some(whole) => Self::held(whole),
            None => Self { held: subject.head, file: Some(subject.file), size: subject.size_bytes },
        }
    }

    /// All of it is in memory.
    pub const fn held(whole: &'a [u8]) -> Self {
        Self { held: whole, file: None, size: whole.len() as u64 }
    }

    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What is held of its beginning.
    pub const fn head(&self) -> &'a [u8] {
        self.held
    }

    /// At most `length` bytes from `offset`, fewer only at the end.
    pub fn up_to(&self, offset: u64, length: usize) -> io::Result<Cow<'a, [u8]>> {
        let left = self.size.saturating_sub(offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(length);
        if let Some(held) = self.held.get(start..end) {
            return Ok(Cow::Borrowed(held));
        }
        let Some(file) = self.file else { return Ok(Cow::Borrowed(&[])) };
        let mut buffer = vec![0; length];
        file.read_exact_at(&mut buffer, offset)?;
        Ok(Cow::Owned(buffer))
    }

    /// Exactly `length` bytes from `offset`.
    pub fn at(&self, offset: u64, length: usize) -> Result<Cow<'a, [u8]>, Flaw> {
        let bytes = self.up_to(offset, length)?;
        if bytes.len() < length {
            return Err(Flaw::Truncated(format!(
                "it ends at byte {}, where bytes to {} should stand",
                self.size,
                offset.saturating_add(length as u64)
            )));
        }
        Ok(bytes)
    }

    /// The last bytes, at most `length`.
    pub fn tail(&self, length: usize) -> io::Result<Cow<'a, [u8]>> {
        self.up_to(self.size.saturating_sub(length as u64), length)
    }
}

/// Numbers as a file has them, in its byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// An unsigned number of at most eight bytes.
    pub fn number(self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, add),
            Self::Big => bytes.iter().fold(0, add),
        }
    }
}
