//! A transaction on either database.

use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::dialect::Dialect;
use super::{Error, Row, Value};
use crate::base::clock::Timestamp;

/// So long a server may take over one statement. From one that was cut off nothing ever
/// comes, and TCP alone takes a quarter of an hour to find that out, or does not.
#[cfg(feature = "postgres")]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

#[cfg(feature = "postgres")]
pub(super) async fn heard<T>(answer: impl Future<Output = sqlx::Result<T>>) -> Result<T, Error> {
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    Ok(answer.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))??)
}

/// The counter after which others begin: a store that was put back gives no number that
/// may have been told since, of a counter that it does not know either.
pub(in crate::control) const FLOOR: &str = "*";

/// An open transaction; dropped without [`Tx::commit`] it is rolled back.
#[derive(Debug)]
pub struct Tx {
    pub(super) inner: Inner,
    pub(super) clock: fn() -> Timestamp,
}

#[derive(Debug)]
pub(super) enum Inner {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

#[cfg(feature = "sqlite")]
fn bind_sqlite(
    sql: impl SqlSafeStr,
    params: Vec<Value>,
) -> sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    params.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Text(v) => query.bind(v),
        Value::Int(v) => query.bind(v),
        Value::Bool(v) => query.bind(v),
        Value::Bytes(v) => query.bind(v),
        Value::Uuid(v) => query.bind(v.map(|v| v.hyphenated().to_string())),
        Value::Time(v) => query.bind(v.map(Timestamp::as_micros)),
        Value::Json(v) => query.bind(v.map(|v| v.to_string())),
    })
}

#[cfg(feature = "postgres")]
fn bind_postgres(
    sql: impl SqlSafeStr,
    params: Vec<Value>,
) -> sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments> {
    params.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Text(v) => query.bind(v),
        Value::Int(v) => query.bind(v),
        Value::Bool(v) => query.bind(v),
        Value::Bytes(v) => query.bind(v),
        Value::Uuid(v) => query.bind(v),
        Value::Time(v) => query.bind(v.map(Timestamp::to_datetime)),
        Value::Json(v) => query.bind(v),
    })
}

impl Tx {
    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement; answers how many rows it touched.
    ///
    /// # Errors
    /// [`Error`] as the database says.
    pub async fn exec(&mut self, sql: &'static str, params: Vec<Value>) -> Result<u64, Error> {
        self.exec_text(sql.into_sql_str(), params).await
    }

    /// Runs a statement whose text was put together from constant parts, such as
    /// a VALUES list of many rows. Never from input.
    ///
    /// # Errors
    /// [`Error`] as the database says.
    pub async fn exec_built(&mut self, sql: String, params: Vec<Value>) -> Result<u64, Error> {
        self.exec_text(AssertSqlSafe(sql).into_sql_str(), params).await
    }

    async fn exec_text(&mut self, sql: sqlx::SqlStr, params: Vec<Value>) -> Result<u64, Error> {
        Ok(match &mut self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(tx) => bind_sqlite(sql, params).execute(&mut **tx).await?.rows_affected(),
            #[cfg(feature = "postgres")]
            Inner::Postgres(tx) => {
                heard(bind_postgres(sql, params).execute(&mut **tx)).await?.rows_affected()
            }
        })
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// [`Error`] as the database says.
    pub async fn all(&mut self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        self.all_text(sql.into_sql_str(), params).await
    }

    /// All rows of a query put together from constant parts. Never from input.
    ///
    /// # Errors
    /// [`Error`] as the database says.
    pub async fn all_built(&mut self, sql: String, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        self.all_text(AssertSqlSafe(sql).into_sql_str(), params).await
    }

    async fn all_text(&mut self, sql: sqlx::SqlStr, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        Ok(match &mut self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(tx) => bind_sqlite(sql, params)
                .fetch_all(&mut **tx)
                .await?
                .into_iter()
                .map(Row::Sqlite)
                .collect(),
            #[cfg(feature = "postgres")]
            Inner::Postgres(tx) => heard(bind_postgres(sql, params).fetch_all(&mut **tx))
                .await?
                .into_iter()
                .map(Row::Postgres)
                .collect(),
        })
    }

    /// The first row, if there is any.
    ///
    /// # Errors
    /// [`Error`] as the database says.
    pub async fn opt(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.all(sql, params).await?.into_iter().next())
    }

    /// The one row that must be there.
    ///
    /// # Errors
    /// [`Error::NoRow`] where it is not.
    pub async fn one(&mut self, sql: &'static str, params: Vec<Value>) -> Result<Row, Error> {
        self.opt(sql, params).await?.ok_or(Error::NoRow)
    }

    /// The store's clock: the database's own on PostgreSQL, so that hosts whose
    /// clocks differ agree; this host's on SQLite.
    ///
    /// # Errors
    /// [`Error`] as the database says.
    pub async fn now(&mut self) -> Result<Timestamp, Error> {
        match self.dialect() {
            Dialect::Sqlite => Ok((self.clock)()),
            Dialect::Postgres => {
                self.one("SELECT clock_timestamp() AS now", vec![]).await?.get("now")
            }
        }
    }

    /// Takes the next number of a named counter, from 1 or from after [`FLOOR`].
    ///
    /// # Errors
    /// [`Error`] as the database says.
    pub async fn next_number(&mut self, counter: &str) -> Result<i64, Error> {
        self.one(
            "INSERT INTO counters (name, value)
             VALUES ($1, 1 + COALESCE((SELECT value FROM counters WHERE name = $2), 0))
             ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
            crate::params![counter, FLOOR],
        )
        .await?
        .get("value")
    }

    /// Makes everything durable and visible at once.
    ///
    /// # Errors
    /// [`Error`] as the database says; then nothing was written.
    pub async fn commit(self) -> Result<(), Error> {
        match self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(tx) => tx.commit().await?,
            #[cfg(feature = "postgres")]
            Inner::Postgres(tx) => heard(tx.commit()).await?,
        }
        Ok(())
    }
}
