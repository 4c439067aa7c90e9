//! Why there is no manifest.

use std::borrow::Cow;

use crate::base::error::{ErrorKind, Fault};
use crate::media::checksum;
use crate::media::storage::{self, Collision};

/// As many collisions are spelt out in a message; all are in the error.
const SHOWN: usize = 20;

/// Entries or a text that make no manifest, or a tree that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Paths that cannot stand side by side, all of them; never empty.
    #[error("paths collide: {}", summary(.0))]
    Collisions(Vec<Collision>),
    /// A line of a SHA256SUMS file that is none.
    #[error("line {line}: not a SHA256SUMS line")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A line of a SHA256SUMS file whose path is not admitted.
    #[error("line {line} names a path that is not admitted")]
    LinePath {
        /// Counted from 1.
        line: usize,
        /// The path and what is wrong with it.
        source: storage::Error,
    },
    /// The tree cannot be read or is not admitted.
    #[error(transparent)]
    Checksum(checksum::Error),
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
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
            Self::Collisions(_) | Self::Line { .. } | Self::LinePath { .. } => ErrorKind::Invalid,
            Self::Checksum(error) => error.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Collisions(_) => "manifest.collisions",
            Self::Line { .. } => "manifest.line",
            Self::LinePath { .. } => "manifest.line_path",
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
            Self::Checksum(error) => error.hint(),
            Self::Cancelled => None,
        }
    }
}
