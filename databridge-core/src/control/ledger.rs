//! The append-only record of all that happened: history, activity feed, audit log
//! and outbox at once.
//!
//! Events are sealed in order into a Merkle tree (RFC 6962) whose nodes are stored
//! as tlog-tiles orders them; checkpoints are C2SP tlog-checkpoints in signed
//! notes, kept outside the database too. Order is the sealed position.

mod checkpoint;
mod event;
pub mod seal;
mod search;
mod sql;
mod tree;
mod verify;

pub use checkpoint::{Checkpoint, Signer, keep, lay_aside, newest, thin};
pub use event::{Event, Subject};
pub use search::{Filter, search};
pub use sql::{Page, history, latest, oldest_pending, since, size};
pub use verify::{Finding, Report, verify};

use crate::base::error::{ErrorKind, Fault};
use crate::control::db;

/// Failures of the ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database failed.
    #[error("the ledger could not be read or written")]
    Db(#[from] db::Error),
    /// The stored tree is not a tree.
    #[error("the ledger's tree is damaged: {0}")]
    Tree(String),
    /// A checkpoint is not what it should be.
    #[error("the checkpoint is not acceptable: {0}")]
    Checkpoint(String),
    /// There is no event at that position.
    #[error("the ledger has no event at position {position}")]
    NoEvent {
        /// The position.
        position: u64,
    },
    /// A file could not be read or written.
    #[error("{path} could not be read or written")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Db(error) => error.kind(),
            Self::Tree(_) | Self::Checkpoint(_) => ErrorKind::CheckFailed,
            Self::NoEvent { .. } => ErrorKind::NotFound,
            Self::Io { .. } => ErrorKind::Io,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Db(error) => error.code(),
            Self::Tree(_) => "ledger.tree",
            Self::Checkpoint(_) => "ledger.checkpoint",
            Self::NoEvent { .. } => "ledger.no_event",
            Self::Io { .. } => "ledger.io",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        match self {
            Self::Db(error) => error.hint(),
            Self::NoEvent { .. } => Some("`databridge ledger export` shows the positions".into()),
            _ => Some("run `databridge ledger verify` with a checkpoint kept elsewhere".into()),
        }
    }
}
