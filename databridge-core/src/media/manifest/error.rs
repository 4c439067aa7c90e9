//! Why there is no manifest.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::base::error::{ErrorKind, Fault};
use crate::media::checksum;
use crate::media::storage::{self, Collision, RelPath};

/// As many collisions are spelt out in a message; all are in the error.
const SHOWN: usize = 20;

/// Entries or a text that make no manifest, or a tree that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Paths that cannot stand side by side, all of them; never empty.
    #[error("paths collide: {}", summary(.0))]
    Collisions(Vec<Collision>),
    /// A line of a checksum list that is none.
    #[error("line {line}: not a line of a checksum list")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A line of a checksum list whose path is not admitted.
    #[error("line {line} names a path that is not admitted")]
    LinePath {
        /// Counted from 1.
        line: usize,
        /// The path and what is wrong with it.
        source: storage::Error,
    },
    /// An XML document that is no hash list, or a broken one.
    #[error("{}line {line}: {reason}", within(path.as_deref()))]
    Xml {
        /// The file, where it is known.
        path: Option<PathBuf>,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A JSON document that is no manifest.
    #[error("not a manifest in JSON")]
    Json {
        /// What is wrong where.
        source: serde_json::Error,
    },
    /// A list whose own file is known by now.
    #[error("{}", show(path))]
    In {
        /// The list.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<Error>,
    },
    /// A folder in which no list stands.
    #[error("{}: no ASC MHL history and no bag", show(path))]
    Unknown {
        /// The folder.
        path: PathBuf,
    },
    /// A list of absurd length.
    #[error("{}: longer than 1 GiB", show(path))]
    TooLong {
        /// The list.
        path: PathBuf,
    },
    /// A list that is not UTF-8.
    #[error("{}: not text", show(path))]
    NotText {
        /// The list.
        path: PathBuf,
    },
    /// A list without SHA-256 where one is needed.
    #[error("{path}: the list has no SHA-256 of it")]
    NoSha256 {
        /// The file.
        path: RelPath,
    },
    /// A history or bag that is not laid out as its standard says.
    #[error("{}: {reason}", show(path))]
    Layout {
        /// What is wrong there.
        path: PathBuf,
        /// In words.
        reason: &'static str,
    },
    /// A name that this format cannot hold.
    #[error("{path}: {format} cannot hold this name")]
    Name {
        /// The file.
        path: RelPath,
        /// The format.
        format: &'static str,
    },
    /// What is at the state's path is no state of this tree and list.
    #[error("{}: {reason}", show(path))]
    State {
        /// The file.
        path: PathBuf,
        /// In words.
        reason: &'static str,
    },
    /// The tree cannot be read or is not admitted.
    #[error(transparent)]
    Checksum(checksum::Error),
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

fn show(path: &Path) -> String {
    storage::escape(path.as_os_str().as_encoded_bytes())
}

fn within(path: Option<&Path>) -> String {
    path.map(|path| format!("{}: ", show(path))).unwrap_or_default()
}

impl Error {
    /// Names the list that the error is in, where it does not yet.
    pub(super) fn at(self, path: &Path) -> Self {
        match self {
            Self::Xml { path: None, line, reason } => {
                Self::Xml { path: Some(path.to_owned()), line, reason }
            }
            Self::Line { .. } | Self::LinePath { .. } | Self::Collisions(_) | Self::Json { .. } => {
                Self::In { path: path.to_owned(), source: Box::new(self) }
            }
            other => other,
        }
    }
}

fn summary(collisions: &[Collision]) -> String {
    let shown: Vec<_> = collisions.iter().take(SHOWN).map(Collision::to_string).collect();
    let mut text = shown.join("; ");
    if collisions.len() > SHOWN {
        text.push_str(&format!("; and {} more", collisions.len() - SHOWN));
    }
    text
}

impl From<checksum::Error> for Error {
    fn from(error: checksum::Error) -> Self {
        match error {
            checksum::Error::Cancelled => Self::Cancelled,
            other => Self::Checksum(other),
        }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Checksum(error.into())
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Collisions(_)
            | Self::Line { .. }
            | Self::LinePath { .. }
            | Self::Xml { .. }
            | Self::Json { .. }
            | Self::Unknown { .. }
            | Self::TooLong { .. }
            | Self::NotText { .. }
            | Self::NoSha256 { .. }
            | Self::Layout { .. }
            | Self::Name { .. }
            | Self::State { .. } => ErrorKind::Invalid,
            Self::In { source, .. } => source.kind(),
            Self::Checksum(error) => error.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Collisions(_) => "manifest.collisions",
            Self::Line { .. } => "manifest.line",
            Self::LinePath { .. } => "manifest.line_path",
            Self::Xml { .. } => "manifest.xml",
            Self::Json { .. } => "manifest.json",
            Self::In { source, .. } => source.code(),
            Self::Unknown { .. } => "manifest.unknown",
            Self::TooLong { .. } => "manifest.too_long",
            Self::NotText { .. } => "manifest.not_text",
            Self::NoSha256 { .. } => "manifest.no_sha256",
            Self::Layout { .. } => "manifest.layout",
            Self::Name { .. } => "manifest.name",
            Self::State { .. } => "manifest.state",
            Self::Checksum(error) => error.code(),
            Self::Cancelled => "manifest.cancelled",
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Collisions(_) => Some(
                "Rename one of each pair, so that every file system can tell them apart.".into(),
            ),
            Self::Line { .. } => Some("Each line is a digest, two spaces and a path.".into()),
            Self::LinePath { source, .. } => source.hint(),
            Self::In { source, .. } => source.hint(),
            Self::Xml { .. } | Self::Json { .. } | Self::TooLong { .. } | Self::NotText { .. } => {
                Some("Ask whoever made the list for a sound one.".into())
            }
            Self::Unknown { .. } => Some("Name the list itself.".into()),
            Self::NoSha256 { .. } => {
                Some("Leave the list out: the source is then read once more.".into())
            }
            Self::Layout { .. } => Some("Mend it there, or choose another format.".into()),
            Self::Name { .. } => Some("Rename it, or choose another format.".into()),
            Self::State { .. } => Some("Name another file, or remove this one.".into()),
            Self::Checksum(error) => error.hint(),
            Self::Cancelled => Some("Start it again: nothing was changed.".into()),
        }
    }
}
