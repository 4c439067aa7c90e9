//! A whole database as one file, and back: SQLite by `VACUUM INTO`, which copies one
//! consistent view while others write; PostgreSQL by its own `pg_dump` and `pg_restore`.

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

    /// Marks a server's database as being put back, which hosts see that share it; what
    /// stands there is laid aside into a schema called `name`, if one is named.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Statement`] where the user does not own the schema.
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

/// Ends what [`Target::load`] began, with the change that it belongs to.
pub(in crate::control) async fn restored(tx: &mut Tx) -> Result<u64, Error> {
    tx.exec("DROP TABLE IF EXISTS databridge_restoring", vec![]).await
}

/// The steps that this program knows, of the kernel and these domains.
pub fn known(domains: &[&[Migration]]) -> Vec<i64> {
    let all = std::iter::once(KERNEL).chain(domains.iter().copied()).flatten();
    all.map(|step| step.version).collect()
}

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

    use super::Error;

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

#[cfg(feature = "postgres")]
mod postgres {
    use std::path::Path;
    use std::process::Command;

    use percent_encoding::percent_decode_str;
    use sqlx::postgres::{PgConnectOptions, PgConnection};
    use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

    use super::{Error, Target};

    async fn open(url: &str) -> Result<PgConnection, Error> {
        let options: PgConnectOptions = url.parse().map_err(|_| unfit(url))?;
        Ok(options.application_name("databridge-backup").connect().await?)
    }

    fn unfit(url: &str) -> Error {
        Error::Unfit {
            place: Target::Postgres(url.to_owned()).to_string(),
            reason: "it is not a postgres:// URL".into(),
        }
    }

    async fn count(url: &str, sql: &'static str) -> Result<i64, Error> {
        let mut connection = open(url).await?;
        let row = sqlx::query(sql).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(row.try_get(0)?)
    }

    pub async fn steps(url: &str) -> Result<Vec<i64>, Error> {
        let mut connection = open(url).await?;
        let rows = sqlx::query("SELECT version FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    pub async fn is_empty(url: &str) -> Result<bool, Error> {
        let sql = "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('public')";
        Ok(count(url, sql).await? == 0)
    }

    pub async fn others(url: &str) -> Result<i64, Error> {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'databridge'";
        count(url, sql).await
    }

    pub async fn is_being_restored(url: &str) -> Result<bool, Error> {
        let sql = "SELECT count(to_regclass('public.databridge_restoring'))";
        Ok(count(url, sql).await? > 0)
    }

    pub async fn check_schema(url: &str) -> Result<(), Error> {
        let mut connection = open(url).await?;
        let row = sqlx::query("SELECT current_schema()::text").fetch_one(&mut connection).await?;
        connection.close().await?;
        match row.try_get::<Option<String>, _>(0)? {
            Some(schema) if schema == "public" => Ok(()),
            other => Err(Error::Unfit {
                place: Target::Postgres(url.to_owned()).to_string(),
                reason: format!(
                    "by its search_path tables stand in {}, and only the schema public is saved",
                    other.as_deref().unwrap_or("no schema at all")
                ),
            }),
        }
    }

    pub async fn begin_restore(url: &str, name: Option<&str>) -> Result<(), Error> {
        let mut connection = open(url).await?;
        let mut tx = connection.begin().await?;
        if let Some(name) = name {
            // Ours and no input.
            let rename = format!("ALTER SCHEMA public RENAME TO {name}");
            sqlx::query(AssertSqlSafe(rename)).execute(&mut *tx).await?;
            sqlx::query("CREATE SCHEMA public").execute(&mut *tx).await?;
        }
        // With what is there already and is no table, which is not ours to drop.
        let mark = "CREATE TABLE public.databridge_restoring AS SELECT $1::text AS aside,
            ARRAY(SELECT oid::bigint FROM pg_proc
                  WHERE pronamespace = 'public'::regnamespace) AS routines";
        sqlx::query(mark).bind(name).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(connection.close().await?)
    }

    /// Everything that was put into a schema without tables; who may not drop the schema
    /// may drop what he made in it.
    const CLEAR: &str = "DO $$
        DECLARE one record;
        BEGIN
            FOR one IN SELECT oid::regprocedure AS name FROM pg_proc
                WHERE pronamespace = 'public'::regnamespace AND oid::bigint <>
                    ALL (SELECT unnest(routines) FROM public.databridge_restoring)
            LOOP
                EXECUTE format('DROP ROUTINE %s CASCADE', one.name);
            END LOOP;
            FOR one IN SELECT relname AS name, relkind FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
            LOOP
                EXECUTE format('DROP %s IF EXISTS public.%I CASCADE', CASE one.relkind
                    WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, one.name);
            END LOOP;
        END $$";

    pub async fn undo_restore(url: &str) -> Result<(), Error> {
        if !is_being_restored(url).await? {
            return Ok(());
        }
        let mut connection = open(url).await?;
        let mut tx = connection.begin().await?;
        let sql = "SELECT quote_ident(aside) FROM public.databridge_restoring";
        let row = sqlx::query(sql).fetch_one(&mut *tx).await?;
        match row.try_get::<Option<String>, _>(0)? {
            None => {
                sqlx::query(CLEAR).execute(&mut *tx).await?;
            }
            Some(name) => {
                sqlx::query("DROP SCHEMA public CASCADE").execute(&mut *tx).await?;
                let rename = format!("ALTER SCHEMA {name} RENAME TO public");
                sqlx::query(AssertSqlSafe(rename)).execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
        Ok(connection.close().await?)
    }

    pub async fn save(url: &str, to: &Path) -> Result<(), Error> {
        let mut command = Command::new("pg_dump");
        command.args(["--format=custom", "--no-owner", "--no-privileges"]);
        // What else is in the database is somebody else's, and what was laid aside is no
        // part of it; nor are counters of the last minute.
        command.args(["--schema=public", "--no-unlogged-table-data"]);
        run("pg_dump", command.arg("--file").arg(to), url).await
    }

    pub async fn load(url: &str, from: &Path) -> Result<(), Error> {
        let mut command = Command::new("pg_restore");
        // Into the schema that is there: without this it would be made once more.
        command.arg("--schema=public");
        command.args(["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]);
        // Where it goes stands in the environment, all of it.
        run("pg_restore", command.args(["--dbname", ""]).arg(from), url).await
    }

    async fn run(program: &'static str, command: &mut Command, url: &str) -> Result<(), Error> {
        let settings = connection(url)?;
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        let mut command = std::mem::replace(command, Command::new(program));
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let failed = |why: String| Error::Tool { program, why };
        let output = output.map_err(|e| failed(e.to_string()))?;
        let output = output.map_err(|e| failed(format!("it cannot be run: {e}")))?;
        if output.status.success() {
            return Ok(());
        }
        let mut said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        for (_, password) in settings.iter().filter(|(name, _)| *name == "PGPASSWORD") {
            said = said.replace(password.as_str(), "…");
        }
        Err(failed(said))
    }

    /// What the URL says, as PostgreSQL's programs take it from their environment: a
    /// command line can be read by anybody on the host.
    pub(super) fn connection(url: &str) -> Result<Vec<(&'static str, String)>, Error> {
        let parsed = url::Url::parse(url).map_err(|_| unfit(url))?;
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let mut found = Vec::new();
        let mut add = |name, value: String| {
            if !value.is_empty() {
                found.retain(|(known, _)| *known != name);
                found.push((name, value));
            }
        };
        add("PGHOST", plain(parsed.host_str().unwrap_or_default()));
        add("PGPORT", parsed.port().map(|port| port.to_string()).unwrap_or_default());
        add("PGUSER", plain(parsed.username()));
        add("PGPASSWORD", plain(parsed.password().unwrap_or_default()));
        add("PGDATABASE", plain(parsed.path().trim_start_matches('/')));
        for (name, value) in parsed.query_pairs() {
            let name = match &*name {
                "host" | "hostaddr" => "PGHOST",
                "port" => "PGPORT",
                "user" => "PGUSER",
                "password" => "PGPASSWORD",
                "dbname" => "PGDATABASE",
                "sslmode" | "ssl-mode" => "PGSSLMODE",
                "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "PGSSLROOTCERT",
                "sslcert" | "ssl-cert" => "PGSSLCERT",
                "sslkey" | "ssl-key" => "PGSSLKEY",
                // Of sqlx's own.
                _ => continue,
            };
            add(name, value.into_owned());
        }
        // An address in brackets is one without them here.
        for (_, host) in found.iter_mut().filter(|(name, _)| *name == "PGHOST") {
            *host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        }
        Ok(found)
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
