//! Why a scan could not be made at all. What is wrong with one file is that
//! file's verdict.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::error::{ErrorKind, Fault};
use crate::media::storage;

/// Why a scan, or a move to quarantine, could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is not understood.
    #[error("{what} not understood: {text:?}")]
    Setting {
        /// Which one.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// The engine that was asked for is not in this build.
    #[error("this build has no {engine} engine")]
    NotBuilt {
        /// The engine.
        engine: &'static str,
    },
    /// The engine that was asked for does not answer.
    #[error("{engine} does not answer")]
    EngineGone {
        /// Which, and where it should listen.
        engine: String,
        /// What happened instead.
        source: io::Error,
    },
    /// A rule file does not compile.
    #[error("rules in {} do not compile: {message}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// What the compiler said.
        message: String,
    },
    /// A policy file is not understood.
    #[error("policy {}, line {line}: {message}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A folder or file could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A name or folder could not be used.
    #[error(transparent)]
    Storage(storage::Error),
    /// Threads could not be started.
    #[error("cannot start threads to scan with")]
    Threads {
        /// What happened.
        source: io::Error,
    },
    /// Something else stands in quarantine where this file should go.
    #[error("quarantine already holds something else at {}", path.display())]
    QuarantineConflict {
        /// Where.
        path: PathBuf,
    },
    /// Neither the file nor its trace in quarantine is there.
    #[error("{} is neither in place nor in quarantine", path.display())]
    NothingToQuarantine {
        /// The file.
        path: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("scan cancelled")]
    Cancelled,
}

impl Error {
    pub(super) fn storage(source: storage::Error) -> Self {
        Self::Storage(source)
    }

    pub(super) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. }
            | Self::NotBuilt { .. }
            | Self::Rules { .. }
            | Self::Policy { .. } => ErrorKind::Invalid,
            Self::EngineGone { .. } => ErrorKind::Unavailable,
            Self::Storage(source) => source.kind(),
            Self::Io { .. } | Self::Threads { .. } => ErrorKind::Io,
            Self::QuarantineConflict { .. } => ErrorKind::Conflict,
            Self::NothingToQuarantine { .. } => ErrorKind::NotFound,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Setting { .. } => "scan.setting",
            Self::NotBuilt { .. } => "scan.not_built",
            Self::EngineGone { .. } => "scan.engine_gone",
            Self::Rules { .. } => "scan.rules",
            Self::Policy { .. } => "scan.policy",
            Self::Storage(source) => source.code(),
            Self::Io { .. } => "scan.io",
            Self::Threads { .. } => "scan.threads",
            Self::QuarantineConflict { .. } => "scan.quarantine_conflict",
            Self::NothingToQuarantine { .. } => "scan.nothing_to_quarantine",
            Self::Cancelled => "scan.cancelled",
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Storage(source) => return source.hint(),
            Self::EngineGone { .. } => {
                "Start clamd, or point the scan at where it listens; clamscan needs its signatures."
            }
            Self::NotBuilt { .. } => "Choose another engine, or a build that has this one.",
            Self::Rules { .. } => "Correct the rule, or take it out of the studio's rules folder.",
            Self::Policy { .. } => {
                "Correct that line; docs/scanning.md says what a policy may hold."
            }
            Self::QuarantineConflict { .. } => "Look at what stands there and move it away.",
            Self::Setting { .. } => "docs/scanning.md lists the settings and their values.",
            Self::Io { .. } => "Check the path, and that this user may use it.",
            Self::Threads { .. } => "Ask for fewer jobs, or raise the limit of threads.",
            Self::NothingToQuarantine { .. } => {
                "Find out who removed the file; then scan again, or send it back."
            }
            Self::Cancelled => "Scan again: it goes on at the file where it stood.",
        }))
    }
}
