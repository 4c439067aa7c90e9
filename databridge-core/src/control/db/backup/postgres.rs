//! PostgreSQL, by its own programs and a mark that every host sees.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::TELLS_OF;
use crate::control::db::{Error, Target};

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

pub async fn tells_of(url: &str, words: &str) -> Result<bool, Error> {
    // Somebody else's tables may stand there.
    if count(url, "SELECT count(to_regclass('public.ledger_event'))").await? == 0 {
        return Ok(false);
    }
    let mut connection = open(url).await?;
    let row = sqlx::query(TELLS_OF).bind(words).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(row.try_get::<i64, _>(0)? > 0)
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

/// `databridge`, in ASCII.
const LOCK: i64 = 0x6461_7461_6272_6964;
/// What `pg_restore` calls itself to the server.
const LOADER: &str = "databridge-restore";
/// So long a server may take to see that a program is gone.
const GONE: Duration = Duration::from_secs(10);

pub async fn is_left_alone(url: &str) -> Result<bool, Error> {
    let deadline = Instant::now() + GONE;
    while others(url).await? > 0 {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(GONE / 50).await;
    }
    Ok(true)
}

pub async fn claim(url: &str) -> Result<Option<PgConnection>, Error> {
    let mut connection = open(url).await?;
    let deadline = Instant::now() + GONE;
    loop {
        // A killed restore's pg_restore goes on, and would fill what is being undone.
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity
                       WHERE datname = current_database() AND application_name = $1)
                   AND pg_try_advisory_lock($2)";
        let taken = sqlx::query(sql).bind(LOADER).bind(LOCK).fetch_one(&mut connection).await?;
        if taken.try_get(0)? {
            return Ok(Some(connection));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(GONE / 50).await;
    }
}

pub async fn share(url: &str) -> Result<Option<PgConnection>, Error> {
    let mut connection = open(url).await?;
    let sql = "SELECT pg_try_advisory_lock_shared($1)";
    let taken = sqlx::query(sql).bind(LOCK).fetch_one(&mut connection).await?;
    Ok(taken.try_get::<bool, _>(0)?.then_some(connection))
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
    command.env("PGAPPNAME", LOADER);
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
pub fn connection(url: &str) -> Result<Vec<(&'static str, String)>, Error> {
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
