//! What rsync can answer.

use std::borrow::Cow;

use crate::base::error::{ErrorKind, Fault};

/// Why rsync, or the shell it reaches another host by, did not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program could not be started.
    #[error("{program} cannot be started")]
    NotStarted {
        /// Which.
        program: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Something that cannot be a source.
    #[error("{given:?} is no source for rsync: {reason}")]
    BadSource {
        /// As given.
        given: String,
        /// Why not.
        reason: &'static str,
    },
    /// The connection could not be made, or broke.
    #[error("rsync: no connection ({}): {}", .code.unwrap_or_default(), .said)]
    Connection {
        /// rsync's exit code.
        code: Option<i32>,
        /// The end of what it said.
        said: String,
    },
    /// Some files could not be read or written, or were gone.
    #[error("rsync: not everything could be transferred ({code}): {said}")]
    Incomplete {
        /// rsync's exit code.
        code: i32,
        /// The end of what it said.
        said: String,
    },
    /// It does not know an option or protocol that is needed.
    #[error("rsync: cannot do what is needed ({code}): {said}")]
    Unsupported {
        /// rsync's exit code.
        code: i32,
        /// The end of what it said.
        said: String,
    },
    /// What the other host says about its files cannot be understood.
    #[error("{host}: cannot be described: {reason}")]
    Remote {
        /// The host.
        host: String,
        /// Why not.
        reason: String,
    },
    /// Any other end.
    #[error("rsync failed ({}): {said}", .code.map_or("killed".into(), |code| code.to_string()))]
    Failed {
        /// Its exit code; `None` if a signal ended it.
        code: Option<i32>,
        /// The end of what it said.
        said: String,
    },
}

impl Error {
    /// What an exit code means (rsync(1), "EXIT VALUES").
    pub(super) fn of_exit(code: Option<i32>, said: String) -> Self {
        match code {
            // 255 is ssh's own.
            Some(5 | 10 | 12 | 30 | 35 | 255) => Self::Connection { code, said },
            Some(code @ (3 | 11 | 23 | 24)) => Self::Incomplete { code, said },
            Some(code @ (1 | 2 | 4)) => Self::Unsupported { code, said },
            code => Self::Failed { code, said },
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::BadSource { .. } => ErrorKind::Invalid,
            Self::Connection { .. } => ErrorKind::Unavailable,
            Self::NotStarted { .. }
            | Self::Incomplete { .. }
            | Self::Unsupported { .. }
            | Self::Remote { .. }
            | Self::Failed { .. } => ErrorKind::Io,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::NotStarted { .. } => "rsync.not_started",
            Self::BadSource { .. } => "rsync.bad_source",
            Self::Connection { .. } => "rsync.connection",
            Self::Incomplete { .. } => "rsync.incomplete",
            Self::Unsupported { .. } => "rsync.unsupported",
            Self::Remote { .. } => "rsync.remote",
            Self::Failed { .. } => "rsync.failed",
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let text = match self {
            Self::NotStarted { .. } => {
                "Install it, or name it by copy.rsync.program or copy.rsync.ssh."
            }
            Self::BadSource { .. } => "Write /path, or host:/path, or user@host:/path.",
            Self::Connection { .. } => {
                "See that ssh reaches the host without asking anything, and that rsync is installed there; it resumes."
            }
            Self::Incomplete { .. } => {
                "See what it says of which file: permissions, a full disk, files that vanished; it resumes."
            }
            Self::Unsupported { .. } => "rsync 3.1 or newer is needed on both sides.",
            Self::Remote { .. } => {
                "sh, find and sha256sum are needed there, and the right to read the files."
            }
            Self::Failed { .. } => "Try again: it resumes.",
        };
        Some(text.into())
    }
}
