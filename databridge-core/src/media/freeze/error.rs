//! Why nothing was frozen.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::Change;
use crate::base::error::{ErrorKind, Fault};
use crate::media::storage::{Collision, RelPath};
use crate::media::{checksum, manifest, storage, walk};

/// As many names are spelt out in a message; all are in the error.
const SHOWN: usize = 20;

/// Freezing or looking at a frozen tree failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Paths that cannot stand side by side; never empty.
    #[error("paths collide: {}", some(.0))]
    Collisions(Vec<Collision>),
    /// Files that are no longer what they were when they were hashed; never empty.
    #[error("not as expected any more: {}", some(paths))]
    Mismatch {
        /// Relative to their roots.
        paths: Vec<RelPath>,
    },
    /// Something else stands at the destination.
    #[error("{}: already exists and is not a frozen tree of these files", show(path))]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// Somebody changed the frozen tree while it was made.
    #[error("{}: changed while it was made: {}", show(path), some(changes))]
    Disturbed {
        /// The destination.
        path: PathBuf,
        /// All of them; never empty.
        changes: Vec<Change>,
    },
    /// A destination without a name of its own, such as `/` or `..`.
    #[error("{}: not a name for a new folder", show(path))]
    BadDestination {
        /// The destination.
        path: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A source or the destination cannot be used.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A source cannot be read, or changed meanwhile.
    #[error(transparent)]
    Checksum(checksum::Error),
    /// What stands at the destination is not admitted.
    #[error(transparent)]
    Walk(#[from] walk::Error),
    /// What stands at the destination makes no manifest.
    #[error(transparent)]
    Manifest(manifest::Error),
}

fn show(path: &Path) -> String {
    storage::escape(path.as_os_str().as_encoded_bytes())
}

fn some<T: Display>(things: &[T]) -> String {
    let shown: Vec<_> = things.iter().take(SHOWN).map(T::to_string).collect();
    let mut text = shown.join("; ");
    if things.len() > SHOWN {
        text.push_str(&format!("; and {} more", things.len() - SHOWN));
    }
    text
}

impl From<checksum::Error> for Error {
    fn from(error: checksum::Error) -> Self {
        match error {
            checksum::Error::Cancelled => Self::Cancelled,
            checksum::Error::Storage(error) => Self::Storage(error),
            other => Self::Checksum(other),
        }
    }
}

impl From<manifest::Error> for Error {
    fn from(error: manifest::Error) -> Self {
        match error {
            manifest::Error::Cancelled => Self::Cancelled,
            manifest::Error::Checksum(error) => Self::from(error),
            other => Self::Manifest(other),
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Collisions(_) | Self::BadDestination { .. } => ErrorKind::Invalid,
            Self::Mismatch { .. } | Self::Disturbed { .. } => ErrorKind::CheckFailed,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Storage(error) => error.kind(),
            Self::Checksum(error) => error.kind(),
            Self::Walk(error) => error.kind(),
            Self::Manifest(error) => error.kind(),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Collisions(_) => "freeze.collisions",
            Self::Mismatch { .. } => "freeze.mismatch",
            Self::Exists { .. } => "freeze.exists",
            Self::Disturbed { .. } => "freeze.disturbed",
            Self::BadDestination { .. } => "freeze.bad_destination",
            Self::Cancelled => "freeze.cancelled",
            Self::Storage(error) => error.code(),
            Self::Checksum(error) => error.code(),
            Self::Walk(error) => error.code(),
            Self::Manifest(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let text = match self {
            Self::Collisions(_) => {
                "Rename one of each pair, so that every file system can tell them apart."
            }
            Self::Mismatch { .. } => "Add these files again.",
            Self::Exists { .. } => "Look at what stands there; DataBridge does not replace it.",
            Self::Disturbed { .. } => {
                "Find out who else writes into the folder of the service, then submit again."
            }
            Self::Storage(error) => return error.hint(),
            Self::Checksum(error) => return error.hint(),
            Self::Walk(error) => return error.hint(),
            Self::Manifest(error) => return error.hint(),
            Self::BadDestination { .. } => {
                "Give the path that is to appear, with a name of its own."
            }
            Self::Cancelled => "Submit again when it suits.",
        };
        Some(text.into())
    }
}
