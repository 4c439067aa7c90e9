//! A whole database as one file, and back: SQLite by `VACUUM INTO`, which copies one
//! consistent view while others write; PostgreSQL by its own `pg_dump` and `pg_restore`.

#[cfg(feature = "postgres")]
mod postgres;

use std::path::Path;

use super::dialect::Dialect;
use super::migrate::KERNEL;
use super::{Error, Migration, Target, Tx};

impl Target {
    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// What the database is called in a backup.
    pub fn file_name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "database.sqlite",
            Self::Postgres(_) => "database.pgdump",
        }
    }

    /// The steps that the database was brought through; none where it is empty.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`].
    pub async fn steps(&self) -> Result<Vec<i64>, Error> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => sqlite::steps(path).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::steps(url).await,
            #[allow(unreachable_patterns)]
            other => Err(no_driver(other)),
        }
    }

    /// Writes a consistent copy into `to`, a file that is empty.
    ///
    /// # Errors
    /// [`Error::Tool`], [`Error::Unavailable`], [`Error::Unfit`] where the copy is damaged.
    pub async fn save(&self, to: &Path) -> Result<(), Error> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => sqlite::save(path, to).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::save(url, to).await,
            #[allow(unreachable_patterns)]
            other => Err(no_driver(other)),
        }
    }

    /// Fills the database, which is empty or begun, from a file that [`Target::save`]
    /// wrote; on SQLite the file becomes the database, and is gone from where it was.
    /// Until [`restored`] it is marked as one that is being put back.
    ///
    /// # Errors
    /// [`Error::Tool`], [`Error::Unfit`]; then it is empty still.
    pub async fn load(&self, from: &Path) -> Result<(), Error> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => sqlite::load(path, from).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::load(url, from).await,
            #[allow(unreachable_patterns)]
            other => Err(no_driver(other)),
        }
    }

    /// Whether anything is in the database.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`].
    pub async fn is_empty(&self) -> Result<bool, Error> {
        match self {
            Self::Sqlite(path) => Ok(!path.exists()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::is_empty(url).await,
            #[allow(unreachable_patterns)]
            other => Err(no_driver(other)),
        }
    }

    /// How many others of DataBridge are connected to a server's database; a file has a
    /// lock for that.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`].
    pub async fn others(&self) -> Result<i64, Error> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::others(url).await,
            _ => Ok(0),
        }
    }

    /// Whether what is there is marked as being put back.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`].
    pub async fn is_being_restored(&self) -> Result<bool, Error> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) if path.exists() => sqlite::is_being_restored(path).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::is_being_restored(url).await,
            _ => Ok(false),
        }
    }

    /// Whether what is there was put back by the restore that [`recovery::leap`] recorded
    /// under this name.
    ///
    /// [`recovery::leap`]: crate::control::recovery::leap
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`].
    pub async fn was_restored_as(&self, name: &str) -> Result<bool, Error> {
        let told = format!("%\"aside\":\"{name}\"%");
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) if path.exists() => sqlite::tells_of(path, &told).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::tells_of(url, &told).await,
            _ => Ok(false),
        }
    }

    /// Whether no other of DataBridge is connected to a server's database any more. Those
    /// who are refused by its mark are waited for, since they are about to leave.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`].
    pub async fn is_left_alone(&self) -> Result<bool, Error> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::is_left_alone(url).await,
            _ => Ok(true),
        }
    }

    /// What the one has who puts a server's database back, for as long as it lives; none
    /// where somebody else has it, or what he left is still at work. Both are waited for a
    /// little: a server takes a moment to see that a program is gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`].
    pub async fn claim(&self) -> Result<Option<Claim>, Error> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => Ok(postgres::claim(url)
                .await?
                .map(|connection| Claim { _connection: Some(connection) })),
            _ => Ok(Some(Claim::default())),
        }
    }

    /// What keeps others from putting a server's database back for as long as it lives, and
    /// from nothing else; none where somebody has the [`Claim`] to that.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`].
    pub async fn share(&self) -> Result<Option<Claim>, Error> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => Ok(postgres::share(url)
                .await?
                .map(|connection| Claim { _connection: Some(connection) })),
            _ => Ok(Some(Claim::default())),
        }
    }

    /// Marks a server's database as being put back, which hosts see that share it; what
    /// stands there is laid aside into a schema called `name`, if one is named.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Statement`] where the user does not own the schema.
    #[cfg_attr(not(feature = "postgres"), allow(unused_variables))]
    pub async fn begin_restore(&self, name: Option<&str>) -> Result<(), Error> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::begin_restore(url, name).await,
            _ => Ok(()),
        }
    }

    /// Undoes [`Target::begin_restore`], where it was done; what was loaded since is
    /// dropped.
    ///
    /// # Errors
    /// As it.
    pub async fn undo_restore(&self) -> Result<(), Error> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::undo_restore(url).await,
            _ => Ok(()),
        }
    }

    /// That a server's database is used as it is saved: by the schema `public`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unfit`] where tables are looked for elsewhere.
    pub async fn check_schema(&self) -> Result<(), Error> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => postgres::check_schema(url).await,
            _ => Ok(()),
        }
    }
}

/// The right to put a database back, which one has at a time, or a share in it, with which
/// nobody has that right.
#[derive(Debug, Default)]
pub struct Claim {
    #[cfg(feature = "postgres")]
    _connection: Option<sqlx::postgres::PgConnection>,
}

/// Ends what [`Target::load`] began, with the change that it belongs to.
pub(in crate::control) async fn restored(tx: &mut Tx) -> Result<u64, Error> {
    tx.exec("DROP TABLE IF EXISTS databridge_restoring", vec![]).await
}

/// The steps that this program knows, of the kernel and these domains.
pub fn known(domains: &[&[Migration]]) -> Vec<i64> {
    let all = std::iter::once(KERNEL).chain(domains.iter().copied()).flatten();
    all.map(|step| step.version).collect()
}

/// Whether a restore was recorded with these words. (A name's `_` stands for any letter;
/// names differ in their digits.)
#[cfg(any(feature = "sqlite", feature = "postgres"))]
const TELLS_OF: &str =
    "SELECT count(*) FROM ledger_event WHERE kind = 'store.restored' AND body LIKE $1";

fn no_driver(target: &Target) -> Error {
    let reason = "this build has no driver for that database".into();
    Error::Unfit { place: target.to_string(), reason }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::fs::File;
    use std::path::Path;
    use std::time::Duration;

    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use sqlx::{ConnectOptions, Connection, Row};

    use super::{Error, TELLS_OF};

    /// Opened as it is: its journal mode stays, and no step is taken.
    async fn open(path: &Path) -> Result<SqliteConnection, Error> {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
        Ok(options.busy_timeout(Duration::from_secs(10)).connect().await?)
    }

    fn unfit(path: &Path, reason: impl std::fmt::Display) -> Error {
        Error::Unfit { place: path.display().to_string(), reason: reason.to_string() }
    }

    pub async fn steps(path: &Path) -> Result<Vec<i64>, Error> {
        let mut connection = open(path).await?;
        let rows = sqlx::query("SELECT version FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    pub async fn save(path: &Path, to: &Path) -> Result<(), Error> {
        let name = to.to_str().ok_or_else(|| unfit(to, "its name is not UTF-8"))?;
        let mut connection = open(path).await?;
        sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await?;
        connection.close().await?;
        // What was written is read once: a backup that cannot be read is none.
        let mut copy = SqliteConnectOptions::new().filename(to).read_only(true).connect().await?;
        let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut copy).await?;
        copy.close().await?;
        match row.try_get::<String, _>(0)? {
            fine if fine == "ok" => Ok(()),
            damage => Err(unfit(to, damage)),
        }
    }

    pub async fn is_being_restored(path: &Path) -> Result<bool, Error> {
        let mut connection = open(path).await?;
        let sql = "SELECT count(*) FROM sqlite_master WHERE name = 'databridge_restoring'";
        let row = sqlx::query(sql).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(row.try_get::<i64, _>(0)? > 0)
    }

    pub async fn tells_of(path: &Path, words: &str) -> Result<bool, Error> {
        let mut connection = open(path).await?;
        let row = sqlx::query(TELLS_OF).bind(words).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(row.try_get::<i64, _>(0)? > 0)
    }

    pub async fn load(path: &Path, from: &Path) -> Result<(), Error> {
        // Before it is what it is called: whoever finds it sees the mark.
        let mut connection = open(from).await?;
        let mark = "CREATE TABLE IF NOT EXISTS databridge_restoring (aside TEXT)";
        sqlx::query(mark).execute(&mut connection).await?;
        connection.close().await?;
        let io = |error| unfit(path, error);
        File::open(from).and_then(|file| file.sync_all()).map_err(io)?;
        std::fs::rename(from, path).map_err(io)
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_becomes_an_environment() {
        let of = |url| {
            let mut found = postgres::connection(url).unwrap();
            found.sort();
            found.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(
            of(
                "postgres://db%20user:p%40ss%2Fw%3Ard@db.studio:5433/data%20bridge?sslmode=verify-full"
            ),
            [
                "PGDATABASE=data bridge",
                "PGHOST=db.studio",
                "PGPASSWORD=p@ss/w:rd",
                "PGPORT=5433",
                "PGSSLMODE=verify-full",
                "PGUSER=db user",
            ]
        );
        assert_eq!(
            of("postgres:///store?host=/run/postgresql&user=it&statement-cache-capacity=7"),
            ["PGDATABASE=store", "PGHOST=/run/postgresql", "PGUSER=it"]
        );
        assert_eq!(of("postgres://u@[::1]/d"), ["PGDATABASE=d", "PGHOST=::1", "PGUSER=u"]);
        assert!(postgres::connection("no url").is_err());
    }
}
