//! Why there is no digest.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::base::error::{ErrorKind, Fault};
use crate::media::{storage, walk};

/// Reading or hashing failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Size, mtime or ctime moved while the file was read, so the digest would be of
    /// a content that never was.
    #[error("{}: changed while it was read", show(path))]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The threads could not be started.
    #[error("cannot start {jobs} threads")]
    Threads {
        /// As many were wanted.
        jobs: usize,
        /// The system's answer.
        source: rayon::ThreadPoolBuildError,
    },
    /// One thread could not be started.
    #[error("cannot start a thread")]
    Thread {
        /// The system's answer.
        source: std::io::Error,
    },
    /// What is at the cache's path is no cache, and is not overwritten.
    #[error("{}: not a checksum cache", show(path))]
    NotACache {
        /// The file.
        path: PathBuf,
    },
    /// The file or tree cannot be read.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The tree is not admitted.
    #[error(transparent)]
    Walk(#[from] walk::Error),
}

fn show(path: &Path) -> String {
    storage::escape(path.as_os_str().as_encoded_bytes())
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::SourceChanged { .. } => ErrorKind::Conflict,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Threads { .. } | Self::Thread { .. } => ErrorKind::Io,
            Self::NotACache { .. } => ErrorKind::Invalid,
            Self::Storage(error) => error.kind(),
            Self::Walk(error) => error.kind(),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::SourceChanged { .. } => "checksum.source_changed",
            Self::Cancelled => "checksum.cancelled",
            Self::Threads { .. } | Self::Thread { .. } => "checksum.threads",
            Self::NotACache { .. } => "checksum.not_a_cache",
            Self::Storage(error) => error.code(),
            Self::Walk(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::SourceChanged { .. } => {
                Some("Wait until whatever writes it has finished, then try again.".into())
            }
            Self::Threads { .. } | Self::Thread { .. } => Some("Ask for fewer jobs.".into()),
            Self::NotACache { .. } => Some("Name another file, or remove this one.".into()),
            Self::Storage(error) => error.hint(),
            Self::Walk(error) => error.hint(),
            Self::Cancelled => Some("Start it again: nothing was changed.".into()),
        }
    }
}
