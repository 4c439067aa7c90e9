//! What an engine is.

use std::fmt;
use std::fs::File;
use std::time::Duration;

use super::{EngineInfo, Error, Members, Said, Verdict};
use crate::media::monitor::Monitor;
use crate::media::storage::RelPath;

/// A file as engines see it: open, with what one read of it has brought up.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Relative to the root of the scan; only its name means something.
    pub path: &'a RelPath,
    /// Open for reading. Engines read at offsets, never at its position.
    pub file: &'a File,
    /// Length.
    pub size_bytes: u64,
    /// The beginning, at least [`HEAD_BYTES`] where there are so many.
    pub head: &'a [u8],
    /// All of it, where it is small enough to be held.
    pub whole: Option<&'a [u8]>,
    /// What one engine learns of an archive that another one must know.
    pub members: &'a Members,
    /// How long the engine may take.
    pub timeout: Duration,
    /// Tells an engine that waits that nobody wants its answer any more.
    pub monitor: &'a dyn Monitor,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("path", &self.path)
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

/// How much of a file every engine sees without reading.
pub const HEAD_BYTES: usize = 64 << 10;

impl Subject<'_> {
    /// The name's extension in lower case, without the dot; empty if none.
    pub fn extension(&self) -> String {
        extension(self.path)
    }
}

/// A name's extension in lower case, without the dot; empty if none.
pub(super) fn extension(path: &RelPath) -> String {
    let name = path.as_str().rsplit('/').next().unwrap_or_default();
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension.to_lowercase(),
        _ => String::new(),
    }
}

/// A file that was opened and not read yet.
#[derive(Clone, Copy)]
pub struct Opened<'a> {
    /// As in [`Subject`].
    pub file: &'a File,
    /// Length.
    pub size_bytes: u64,
    /// How long the engine may take.
    pub timeout: Duration,
    /// As in [`Subject`].
    pub monitor: &'a dyn Monitor,
}

/// An engine. Called from several threads at once.
pub trait Scanner: Send + Sync {
    /// Who it is and what it knows now.
    ///
    /// # Errors
    /// It does not answer.
    fn info(&self) -> Result<EngineInfo, Error>;

    /// How far it reads, for people; `None` where that needs no saying.
    fn limits(&self) -> Option<String> {
        None
    }

    /// Everything it has to say about a file, at least one verdict. It fails
    /// closed: trouble is a [`Verdict::Error`] or [`Verdict::NotScanned`], and
    /// an engine that is no antivirus never says [`Verdict::Clean`].
    fn scan(&self, subject: &Subject<'_>) -> Vec<Verdict>;

    /// The same with the reasons, of an engine that has any to give.
    fn explain(&self, subject: &Subject<'_>) -> Vec<Said> {
        self.scan(subject).into_iter().map(Said::from).collect()
    }

    /// Begins while files are being read, so that it looks at the same time as we do, or at
    /// the very bytes that we read: one file, or several small ones, whose answers are asked
    /// for after all of them were read. One entry a file; `None`: [`Scanner::explain`] is
    /// asked afterwards.
    fn begin<'a>(&'a self, opened: &[Opened<'a>]) -> Vec<Option<Box<dyn Look + 'a>>> {
        opened.iter().map(|_| None).collect()
    }
}

/// A look at one file that has begun.
pub trait Look {
    /// The next bytes of the file, in order and without a gap.
    fn block(&mut self, bytes: &[u8]);

    /// As [`Scanner::scan`], once all of the file was read.
    fn end(self: Box<Self>, subject: &Subject<'_>) -> Vec<Verdict>;
}
