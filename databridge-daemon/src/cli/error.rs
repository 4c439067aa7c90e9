//! What only a command line can get wrong.

use std::borrow::Cow;
use std::path::Path;

use clap::error::ErrorKind as ClapKind;

use databridge_core::{Error as AnyError, ErrorKind, Fault};

/// Failures of the command line itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was typed cannot be done.
    #[error("{0}")]
    Usage(String, Cow<'static, str>),
    /// Nobody made a store there.
    #[error("there is no store in {0}")]
    NoStore(String),
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
            Self::NoStore(_) => ErrorKind::NotFound,
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
            Self::NoStore(_) => "cli.no_store",
            Self::Io { .. } => "cli.io",
        }
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        use std::io::ErrorKind;
        Some(match self {
            Self::Usage(_, hint) => hint.clone(),
            Self::NoStore(_) => {
                "check --data (or DATABRIDGE_DATA); `databridge init` makes a new store".into()
            }
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
pub fn usage(message: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> AnyError {
    Error::Usage(message.into(), hint.into()).into()
}

/// That there is no store in a folder.
pub fn no_store(data: &Path) -> AnyError {
    Error::NoStore(data.display().to_string()).into()
}

/// What was typed is not even a command, as one of our errors.
pub fn typed(error: &clap::Error) -> AnyError {
    let text = error.render().to_string();
    let flat = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts = text.split("\n\n").map(flat);
    let message = match error.kind() {
        ClapKind::DisplayHelpOnMissingArgumentOrSubcommand | ClapKind::MissingSubcommand => {
            parts.next();
            "a command is missing".to_owned()
        }
        _ => parts.next().unwrap_or_default(),
    };
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let rest: Vec<String> = parts.collect();
    let find = |prefix| rest.iter().find(|part| part.starts_with(prefix));
    let hint = find("tip: ").or(find("Usage: ")).cloned();
    usage(message, hint.unwrap_or_else(|| "--help shows what it takes".into()))
}

/// An I/O error on one of the user's files.
pub fn io(what: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> AnyError {
    Error::Io { what, path: path.as_ref().display().to_string(), source }.into()
}
