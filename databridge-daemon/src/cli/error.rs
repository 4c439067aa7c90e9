//! What only a command line can get wrong.

use std::borrow::Cow;
use std::path::Path;

use databridge_core::{Error as AnyError, ErrorKind, Fault};

/// Failures of the command line itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was typed cannot be done.
    #[error("{0}")]
    Usage(String, &'static str),
    /// A file of the user's.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage(..) => ErrorKind::Invalid,
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
                _ => ErrorKind::Io,
            },
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Usage(..) => "cli.usage",
            Self::Io { .. } => "cli.io",
        }
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        use std::io::ErrorKind;
        Some(match self {
            Self::Usage(_, hint) => (*hint).into(),
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::NotFound => "check the path: case counts".into(),
                ErrorKind::AlreadyExists => "choose another name: nothing is replaced".into(),
                ErrorKind::PermissionDenied => "let this user read or write there".into(),
                ErrorKind::IsADirectory => "name a file".into(),
                ErrorKind::NotADirectory => "name a folder".into(),
                _ => "look at that path and its disk, then try again".into(),
            },
        })
    }
}

/// A usage error.
pub fn usage(message: impl Into<String>, hint: &'static str) -> AnyError {
    Error::Usage(message.into(), hint).into()
}

/// An I/O error on one of the user's files.
pub fn io(what: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> AnyError {
    Error::Io { what, path: path.as_ref().display().to_string(), source }.into()
}
