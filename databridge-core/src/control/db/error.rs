//! What a database can answer.

use crate::base::error::{ErrorKind, Fault};

/// Failures of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, or none free in time.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// Its disk is full: nothing was written.
    #[error("the database's disk is full")]
    Full(#[source] sqlx::Error),
    /// A unique rule refused the row.
    #[error("{what} exists already")]
    Exists {
        /// The rule that refused, as the database names it.
        what: String,
        /// The database's own words.
        #[source]
        source: sqlx::Error,
    },
    /// Another writer was faster; the whole command can be tried again.
    #[error("another writer was faster")]
    Busy(#[source] sqlx::Error),
    /// The place for a store is not fit for one.
    #[error("{place} cannot hold a store: {reason}")]
    Unfit {
        /// The folder or URL, without a password.
        place: String,
        /// Why not.
        reason: String,
    },
    /// It is being put back, or that was broken off: there is no store yet.
    #[error("the store in {place} is being put back, or that was broken off")]
    Restoring {
        /// The folder or URL, without a password.
        place: String,
    },
    /// The schema could not be brought up to date.
    #[error("the database could not be migrated")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A program of the database's own failed.
    #[error("{program} failed: {why}")]
    Tool {
        /// Which.
        program: &'static str,
        /// Its own words, without a password.
        why: String,
    },
    /// A column does not hold what the program expects.
    #[error("column {column} does not hold what it should")]
    Column {
        /// The column.
        column: String,
        /// What was found.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such row.
    #[error("the row that should be there is not")]
    NoRow,
    /// Anything else.
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let code = error.as_database_error().and_then(|e| e.code().map(|c| c.into_owned()));
        match (&error, code.as_deref()) {
            (E::RowNotFound, _) => Self::NoRow,
            (E::PoolTimedOut | E::PoolClosed | E::Io(_) | E::WorkerCrashed, _) => {
                Self::Unavailable(error)
            }
            // SQLITE_FULL, its journal and shared memory that cannot grow; disk_full.
            (_, Some("13" | "778" | "4874" | "53100")) => Self::Full(error),
            // PostgreSQL classes: 08 connection, 57P shutdown, 53 resources.
            (_, Some(c)) if c.starts_with("08") || c.starts_with("57P") || c.starts_with("53") => {
                Self::Unavailable(error)
            }
            // Serialisation failure, deadlock; SQLITE_BUSY and its extensions.
            (_, Some("40001" | "40P01" | "5" | "517" | "261")) => Self::Busy(error),
            (E::Database(db), _) if db.is_unique_violation() => {
                let what = db.constraint().map_or_else(|| db.message().to_owned(), str::to_owned);
                Self::Exists { what, source: error }
            }
            _ => Self::Statement(error),
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) | Self::Full(_) => ErrorKind::Unavailable,
            Self::Exists { .. } | Self::Busy(_) | Self::Restoring { .. } => ErrorKind::Conflict,
            Self::Unfit { .. } => ErrorKind::Invalid,
            Self::NoRow => ErrorKind::NotFound,
            Self::Migration(_) | Self::Tool { .. } => ErrorKind::Io,
            Self::Column { .. } | Self::Statement(_) => ErrorKind::Internal,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Unavailable(_) => "db.unavailable",
            Self::Full(_) => "db.full",
            Self::Exists { .. } => "db.exists",
            Self::Busy(_) => "db.busy",
            Self::Unfit { .. } => "db.unfit",
            Self::Restoring { .. } => "db.restoring",
            Self::Migration(_) => "db.migration",
            Self::Tool { .. } => "db.tool",
            Self::Column { .. } => "db.column",
            Self::NoRow => "db.no_row",
            Self::Statement(_) => "db.statement",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::Unavailable(_) => {
                "check that the database runs and is reachable, then try again".into()
            }
            Self::Full(_) => "make room on the disk that has the database, then try again".into(),
            Self::Busy(_) => "try again".into(),
            Self::Exists { .. } => "choose another name, or use what is there".into(),
            Self::Unfit { .. } => "choose a folder on a local disk".into(),
            Self::Restoring { .. } => {
                "wait for `databridge restore`, or run it again: what stood there is put back first"
                    .into()
            }
            Self::Migration(_) => {
                "a database of a newer DataBridge needs that version; otherwise restore the backup"
                    .into()
            }
            Self::Tool { .. } => {
                "install PostgreSQL's client programs, of the server's version or a later one"
                    .into()
            }
            Self::Column { .. } | Self::Statement(_) => {
                "please report it, with the log; `databridge doctor` looks at the database".into()
            }
            Self::NoRow => "look at what there is, and name that".into(),
        })
    }
}
