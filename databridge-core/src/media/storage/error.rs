//! What can go wrong with a name or a folder.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::path::{Flaw, escape};
use crate::base::error::{ErrorKind, Fault};

/// A name or a file-system call that failed. Paths are whole paths on the host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that names no place.
    #[error("{given:?} is no location: {reason}")]
    Location {
        /// What was given, without anything that may be a secret.
        given: String,
        /// Why it is none.
        reason: &'static str,
    },
    /// The name is not admitted.
    #[error("{path}: {flaw}")]
    Path {
        /// Escaped for display.
        path: String,
        /// Why.
        flaw: Flaw,
    },
    /// A symbolic link where none is followed.
    #[error("{}: a symbolic link, and none is followed", show(path))]
    Link {
        /// What was asked for.
        path: PathBuf,
    },
    /// Nothing is there.
    #[error("{}: not found", show(path))]
    NotFound {
        /// What was asked for.
        path: PathBuf,
    },
    /// Something stands there already.
    #[error("{}: already exists", show(path))]
    Exists {
        /// What was to be made.
        path: PathBuf,
    },
    /// A file or something else where a folder was expected.
    #[error("{}: not a folder", show(path))]
    NotAFolder {
        /// What was asked for.
        path: PathBuf,
    },
    /// A folder, pipe, socket or device where a file was expected.
    #[error("{}: not a regular file", show(path))]
    NotAFile {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file system or the quota is full.
    #[error("{}: no space left", show(path))]
    Full {
        /// What was written.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The process may not do this here.
    #[error("{}: permission denied", show(path))]
    Denied {
        /// What was asked for.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Mounted read-only.
    #[error("{}: read-only file system", show(path))]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The network mount lost its server or its export.
    #[error("{}: stale mount", show(path))]
    Stale {
        /// What was asked for.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Any other answer of the system.
    #[error("cannot {action} {}", show(path))]
    Io {
        /// A verb.
        action: &'static str,
        /// What was asked for.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

fn show(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

impl Error {
    /// Gives an answer of the system its name. `action` is a verb.
    pub fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        let (path, source) = (path.into(), source.into());
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => Self::NotFound { path },
            Some(Errno::EXIST) => Self::Exists { path },
            Some(Errno::LOOP) => Self::Link { path },
            Some(Errno::NOTDIR) => Self::NotAFolder { path },
            Some(Errno::ISDIR) => Self::NotAFile { path },
            Some(Errno::ROFS) => Self::ReadOnly { path },
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full { path, source },
            Some(Errno::ACCESS | Errno::PERM) => Self::Denied { path, source },
            Some(Errno::STALE) => Self::Stale { path, source },
            _ => Self::Io { action, path, source },
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Location { .. }
            | Self::Path { .. }
            | Self::Link { .. }
            | Self::NotAFolder { .. }
            | Self::NotAFile { .. } => ErrorKind::Invalid,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::Stale { .. } => ErrorKind::Unavailable,
            Self::Full { .. } | Self::Denied { .. } | Self::ReadOnly { .. } | Self::Io { .. } => {
                ErrorKind::Io
            }
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Location { .. } => "storage.location",
            Self::Path { .. } => "storage.path",
            Self::Link { .. } => "storage.link",
            Self::NotFound { .. } => "storage.not_found",
            Self::Exists { .. } => "storage.exists",
            Self::NotAFolder { .. } => "storage.not_a_folder",
            Self::NotAFile { .. } => "storage.not_a_file",
            Self::Full { .. } => "storage.full",
            Self::Denied { .. } => "storage.denied",
            Self::ReadOnly { .. } => "storage.read_only",
            Self::Stale { .. } => "storage.stale",
            Self::Io { .. } => "storage.io",
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let text = match self {
            Self::Location { .. } => "Write /path, file:///path or s3://bucket/prefix.",
            Self::Path { .. } => "Rename it.",
            Self::Link { .. } => "Put the file itself there instead of a link to it.",
            Self::Full { .. } => "Free some space or raise the quota, then try again.",
            Self::Denied { .. } => {
                "Give the account that runs DataBridge the right to read or write there."
            }
            Self::ReadOnly { .. } => "Mount the file system for writing.",
            Self::Stale { .. } => "Mount it again, then try again.",
            Self::NotFound { .. } => "Check the path: case counts, and a mount may be missing.",
            Self::Exists { .. } => "Choose another name, or move away what stands there.",
            Self::NotAFolder { .. } => "Name a folder.",
            Self::NotAFile { .. } => "Name a file.",
            Self::Io { .. } => "Look at that path and its disk (ls, dmesg), then try again.",
        };
        Some(text.into())
    }
}
