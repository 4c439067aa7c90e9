//! Opening a store.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use super::dialect::Dialect;
use super::migrate::{self, Migration};
use super::tx::Inner;
#[cfg(feature = "postgres")]
use super::tx::heard;
use super::{Error, Tx};
use crate::base::clock::Timestamp;

/// Where a store is.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// A file on a local disk.
    Sqlite(PathBuf),
    /// `postgres://…`, never printed whole: it may hold a password.
    Postgres(String),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite at {}", path.display()),
            Self::Postgres(url) => {
                write!(f, "postgres at {}", place_of(url))
            }
        }
    }
}

/// Host and database of a URL, and nothing that a password may stand in: neither what
/// comes before the last `@` nor what comes after the first `?`. Where a part of a
/// password looks like a port, because it was not escaped, nothing is shown.
fn place_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let head = rest.split(['?', '#']).next().unwrap_or_default();
    let place = head.rsplit_once('@').map_or(head, |(_, place)| place);
    let authority = place.split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    if port.ends_with(']') || port.chars().all(|c| c.is_ascii_digit()) { place } else { "…" }
}

/// An open store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pools: Pools,
    clock: fn() -> Timestamp,
}

#[derive(Debug, Clone)]
enum Pools {
    /// One connection writes (SQLite has one writer anyway, and a queue is fairer
    /// than a busy loop), the others read.
    #[cfg(feature = "sqlite")]
    Sqlite { write: sqlx::SqlitePool, read: sqlx::SqlitePool },
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
}

impl Pools {
    async fn open(target: &Target) -> Result<Self, Error> {
        match target {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(path) => open_sqlite(path).await,
            #[cfg(feature = "postgres")]
            Target::Postgres(url) => open_postgres(url).await,
            #[allow(unreachable_patterns)]
            other => {
                let reason = "this build has no driver for that database".into();
                Err(Error::Unfit { place: other.to_string(), reason })
            }
        }
    }

    async fn is_being_restored(&self) -> Result<bool, Error> {
        let count: i64 = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { write, .. } => {
                let sql = "SELECT count(*) FROM sqlite_master WHERE name = 'databridge_restoring'";
                sqlx::query_scalar(sql).fetch_one(write).await?
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => {
                let sql = "SELECT count(to_regclass('public.databridge_restoring'))";
                sqlx::query_scalar(sql).fetch_one(pool).await?
            }
        };
        Ok(count > 0)
    }
}

/// Whoever asks while there is no connection is told soon, and comes back.
const ACQUIRE: Duration = Duration::from_secs(4);

impl Db {
    /// Opens the store and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`], [`Error::Migration`].
    pub async fn open(target: &Target, migrations: &[&[Migration]]) -> Result<Self, Error> {
        Self::open_with_clock(target, migrations, Timestamp::now).await
    }

    /// As [`Db::open`], with another clock for SQLite (tests move it).
    ///
    /// # Errors
    /// As [`Db::open`].
    pub async fn open_with_clock(
        target: &Target,
        migrations: &[&[Migration]],
        clock: fn() -> Timestamp,
    ) -> Result<Self, Error> {
        let db = Self { pools: Pools::open(target).await?, clock };
        // Before any step is taken: a store that is being put back is none yet.
        if db.pools.is_being_restored().await? {
            db.close().await;
            return Err(Error::Restoring { place: target.to_string() });
        }
        db.migrated(migrations).await
    }

    /// As [`Db::open`], by whoever puts the store back.
    ///
    /// # Errors
    /// As [`Db::open`].
    pub async fn open_restored(
        target: &Target,
        migrations: &[&[Migration]],
    ) -> Result<Self, Error> {
        let db = Self { pools: Pools::open(target).await?, clock: Timestamp::now };
        db.migrated(migrations).await
    }

    async fn migrated(self, migrations: &[&[Migration]]) -> Result<Self, Error> {
        match &self.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { write, .. } => {
                migrate::migrator(Dialect::Sqlite, migrations).run(write).await
            }
            #[cfg(feature = "postgres")]
            Pools::Postgres(pool) => {
                migrate::migrator(Dialect::Postgres, migrations).run(pool).await
            }
        }
        .map_err(Error::Migration)?;
        Ok(self)
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match &self.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { .. } => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Pools::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A transaction that writes. Only the control wing opens one: everybody else
    /// writes through [`commands`](crate::control::commands).
    pub(in crate::control) async fn begin(&self) -> Result<Tx, Error> {
        let inner = match &self.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { write, .. } => {
                Inner::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?)
            }
            #[cfg(feature = "postgres")]
            Pools::Postgres(pool) => Inner::Postgres(heard(pool.begin()).await?),
        };
        Ok(Tx { inner, clock: self.clock })
    }

    /// A transaction to read from: one consistent view.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn read(&self) -> Result<Tx, Error> {
        let inner = match &self.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { read, .. } => Inner::Sqlite(read.begin().await?),
            #[cfg(feature = "postgres")]
            Pools::Postgres(pool) => Inner::Postgres(
                heard(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")).await?,
            ),
        };
        Ok(Tx { inner, clock: self.clock })
    }

    /// Closes every connection, having written what is to be written.
    pub async fn close(&self) {
        match &self.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            #[cfg(feature = "postgres")]
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

#[cfg(feature = "sqlite")]
async fn open_sqlite(path: &Path) -> Result<Pools, Error> {
    use sqlx::sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    };
    refuse_network_mount(path)?;
    own(path).map_err(|e| Error::Unfit {
        place: path.display().to_string(),
        reason: format!("it cannot be opened: {e}"),
    })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: a success that was told survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10));
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(30))
        // On a full disk SQLite itself ends the transaction, which the driver does not
        // see: such a connection begins no other one ever again.
        .before_acquire(|connection, _| {
            let idle = !sqlx::Connection::is_in_transaction(connection);
            Box::pin(async move { Ok(idle) })
        })
        .connect_with(options.clone())
        .await?;
    let read = SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(ACQUIRE)
        .connect_lazy_with(options);
    Ok(Pools::Sqlite { write, read })
}

/// The store holds password hashes: only its user may read it. SQLite gives the
/// files beside it the same mode.
///
/// The file is made without being opened: closing a descriptor of it would drop
/// every lock that this process's other connections hold (POSIX, fcntl), and then
/// another process would remove the journal they write.
#[cfg(feature = "sqlite")]
fn own(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    match mknodat(CWD, path, FileType::RegularFile, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// SQLite's locks and shared memory do not hold across hosts.
#[cfg(feature = "sqlite")]
fn refuse_network_mount(path: &Path) -> Result<(), Error> {
    const NETWORK: &[(i64, &str)] =
        &[(0x6969, "NFS"), (0x517B, "SMB"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB")];
    let folder = path.parent().unwrap_or(path);
    let Ok(stat) = rustix::fs::statfs(folder) else { return Ok(()) };
    // f_type is signed on some platforms and 32 bits wide on others.
    #[allow(clippy::unnecessary_cast)]
    let kind = stat.f_type as i64 & 0xFFFF_FFFF;
    match NETWORK.iter().find(|(magic, _)| *magic == kind) {
        None => Ok(()),
        Some((_, name)) => Err(Error::Unfit {
            place: folder.display().to_string(),
            reason: format!("it is on {name}, where SQLite's locks do not hold"),
        }),
    }
}

/// The server's limit to a transaction in which nobody says anything: a host that is
/// frozen in one holds up the others no longer than this. A URL may set it otherwise.
#[cfg(feature = "postgres")]
const IDLE: (&str, &str) = ("idle_in_transaction_session_timeout", "10s");

/// So long a connection that is given back may take to answer. One that was cut off never
/// does, and ten of them are all there are.
#[cfg(feature = "postgres")]
const RELEASE: Duration = Duration::from_secs(5);

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str) -> Result<Pools, Error> {
    let mut options: sqlx::postgres::PgConnectOptions = url.parse().map_err(|_| Error::Unfit {
        place: Target::Postgres(url.to_owned()).to_string(),
        reason: "it is not a postgres:// URL".into(),
    })?;
    if !options.get_options().is_some_and(|set| set.contains(IDLE.0)) {
        options = options.options([IDLE]);
    }
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(10)
        .acquire_timeout(ACQUIRE)
        // A connection comes back into the pool when it has answered, however long that
        // takes, and has its place there all the while. This asks first, and what does not
        // answer is closed.
        .after_release(|connection, _| {
            Box::pin(async move {
                let answer = sqlx::Connection::ping(connection);
                match tokio::time::timeout(RELEASE, answer).await {
                    Ok(answer) => answer.map(|()| true),
                    Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
                }
            })
        })
        .connect_with(options.application_name("databridge"))
        .await?;
    Ok(Pools::Postgres(pool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_a_url_is_shown() {
        for (url, shown) in [
            ("postgres://it:s3cret@db.studio:5433/store?sslmode=require", "db.studio:5433/store"),
            ("postgres:///store?user=svc@studio&password=s3cret", "/store"),
            ("postgres://db/store?user=svc@studio&password=s3cret", "db/store"),
            ("postgres://it:s3@cret@db/store", "db/store"),
            ("postgres://it:s3/cret@db/store", "db/store"),
            ("postgresql://it:s3?cret@db/store", "…"),
            ("postgres://it:s3#cret@db/store", "…"),
            ("postgres://[::1]/store", "[::1]/store"),
            ("postgres://[::1]:5433/store", "[::1]:5433/store"),
        ] {
            let target = Target::Postgres(url.into());
            assert_eq!(target.to_string(), format!("postgres at {shown}"), "{url}");
        }
    }
}
