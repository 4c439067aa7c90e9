//! Why a tree is not admitted.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::error::{ErrorKind, Fault};
use crate::media::storage::{self, Collision, Flaw};

/// As many refused names are spelt out in a message; all are in the error.
const SHOWN: usize = 20;

/// A tree that cannot be read or is not admitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Names that cannot be part of a delivery, every one of them.
    #[error("{}: {}", storage::escape(root.as_os_str().as_encoded_bytes()), summary(refused))]
    Refused {
        /// The tree.
        root: PathBuf,
        /// Sorted by path; never empty.
        refused: Vec<Refused>,
    },
    /// The tree cannot be read.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// A name that cannot be part of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Relative to the tree's root, escaped for display.
    pub path: String,
    /// Why.
    pub reason: Reason,
}

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The name itself.
    Name(Flaw),
    /// A link or special file.
    Kind(storage::Kind),
    /// Some systems cannot tell it from another name.
    Collision(Collision),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(flaw) => flaw.fmt(f),
            Self::Kind(kind) => kind.fmt(f),
            Self::Collision(Collision { first, clash, .. }) => {
                write!(f, "collides with {first} ({clash})")
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

fn summary(refused: &[Refused]) -> String {
    let names = if refused.len() == 1 { "name" } else { "names" };
    let mut text = format!("{} {names} refused: ", refused.len());
    let shown: Vec<_> = refused.iter().take(SHOWN).map(Refused::to_string).collect();
    text.push_str(&shown.join("; "));
    if refused.len() > SHOWN {
        text.push_str(&format!("; and {} more", refused.len() - SHOWN));
    }
    text
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { .. } => ErrorKind::Invalid,
            Self::Storage(error) => error.kind(),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Refused { .. } => "walk.refused",
            Self::Storage(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Refused { .. } => {
                Some("Rename or remove these, and put files where links stand.".into())
            }
            Self::Storage(error) => error.hint(),
        }
    }
}
