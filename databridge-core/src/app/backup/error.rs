//! What can go wrong with a backup.

use std::path::Path;

use crate::base::error::{ErrorKind, Fault};

/// Failures of taking a backup and of putting it back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to back up.
    #[error("there is no store: {0} is empty")]
    NoStore(String),
    /// Something stands where the backup belongs.
    #[error("{0} exists already")]
    Exists(String),
    /// A folder is no backup.
    #[error("{path} is no backup: {why}")]
    NotABackup {
        /// The folder.
        path: String,
        /// What is missing.
        why: String,
    },
    /// A file of it is not what it was.
    #[error("the backup {path} is damaged: {}", wrong.join("; "))]
    Damaged {
        /// The folder.
        path: String,
        /// Each file, and how.
        wrong: Vec<String>,
    },
    /// A later version took it.
    #[error("the backup is of a newer DataBridge: {0}")]
    Newer(String),
    /// It is of the other kind of database.
    #[error("the backup holds {found}, and the configuration names {wanted}")]
    OtherDatabase {
        /// What is in it.
        found: String,
        /// What belongs there.
        wanted: String,
    },
    /// There is something in the place where it belongs.
    #[error("{0} is not empty")]
    NotEmpty(String),
    /// Somebody works on the store.
    #[error("{0} is in use")]
    InUse(String),
    /// The keys were left out, and there are none.
    #[error("the backup has no keys, and {0} has none either")]
    NoKeys(String),
    /// A file could not be read or written.
    #[error("{path} could not be read or written")]
    Io {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoStore(_) | Self::NotABackup { .. } => ErrorKind::NotFound,
            Self::Exists(_) | Self::NotEmpty(_) | Self::InUse(_) => ErrorKind::Conflict,
            Self::Damaged { .. } => ErrorKind::CheckFailed,
            Self::Newer(_) | Self::OtherDatabase { .. } | Self::NoKeys(_) => ErrorKind::Invalid,
            Self::Io { .. } => ErrorKind::Io,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::NoStore(_) => "backup.no_store",
            Self::Exists(_) => "backup.exists",
            Self::NotABackup { .. } => "backup.not_a_backup",
            Self::Damaged { .. } => "backup.damaged",
            Self::Newer(_) => "backup.newer",
            Self::OtherDatabase { .. } => "backup.other_database",
            Self::NotEmpty(_) => "backup.not_empty",
            Self::InUse(_) => "backup.in_use",
            Self::NoKeys(_) => "backup.no_keys",
            Self::Io { .. } => "backup.io",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::NoStore(_) => "name the store by --data or --config".into(),
            Self::Exists(_) => "choose another name: nothing is replaced".into(),
            Self::NotABackup { .. } => "name the folder that has backup.json".into(),
            Self::Damaged { .. } => "take an older backup, or another copy of this one".into(),
            Self::Newer(_) => "put it back with the version that took it, or a later one".into(),
            Self::OtherDatabase { .. } => {
                "set `database` as it was when the backup was taken: its config.toml says".into()
            }
            Self::NotEmpty(_) => {
                "choose an empty place, or say --replace: what is there is laid aside".into()
            }
            Self::InUse(_) => {
                "stop every daemon of this store first, and let its backups end".into()
            }
            Self::NoKeys(_) => "put the keys that were kept apart into data/keys first".into(),
            Self::Io { .. } => "look at that path and its disk, then try again".into(),
        })
    }
}
