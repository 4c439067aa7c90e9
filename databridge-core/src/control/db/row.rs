//! What comes out of a statement.

use sqlx::Row as _;
use uuid::Uuid;

use super::Error;
use crate::base::clock::Timestamp;
use crate::base::id::{EventId, JobId, OrgId, UserId};
use crate::workflow::Symbol;

/// One row of either database.
#[derive(Debug)]
pub enum Row {
    /// From SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteRow),
    /// From PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgRow),
}

/// A Rust type that a column can hold.
pub trait Column: Sized {
    /// Reads `column` of `row`; `None` is NULL.
    ///
    /// # Errors
    /// [`Error::Column`] where it holds something else.
    fn read(row: &Row, column: &str) -> Result<Option<Self>, Error>;
}

fn wrong(column: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Column { column: column.to_owned(), source: source.into() }
}

macro_rules! same_on_both {
    ($($type:ty),+) => {$(
        impl Column for $type {
            fn read(row: &Row, column: &str) -> Result<Option<Self>, Error> {
                match row {
                    #[cfg(feature = "sqlite")]
                    Row::Sqlite(row) => row.try_get(column),
                    #[cfg(feature = "postgres")]
                    Row::Postgres(row) => row.try_get(column),
                }
                .map_err(|e| wrong(column, e))
            }
        }
    )+};
}
same_on_both!(String, i64, bool, Vec<u8>);

impl Column for Uuid {
    fn read(row: &Row, column: &str) -> Result<Option<Self>, Error> {
        match row {
            #[cfg(feature = "sqlite")]
            Row::Sqlite(row) => {
                let text: Option<String> = row.try_get(column).map_err(|e| wrong(column, e))?;
                text.map(|t| t.parse().map_err(|e| wrong(column, e))).transpose()
            }
            #[cfg(feature = "postgres")]
            Row::Postgres(row) => row.try_get(column).map_err(|e| wrong(column, e)),
        }
    }
}

impl Column for Timestamp {
    fn read(row: &Row, column: &str) -> Result<Option<Self>, Error> {
        match row {
            #[cfg(feature = "sqlite")]
            Row::Sqlite(row) => row
                .try_get::<Option<i64>, _>(column)
                .map(|micros| micros.map(Timestamp::from_micros))
                .map_err(|e| wrong(column, e)),
            #[cfg(feature = "postgres")]
            Row::Postgres(row) => row
                .try_get::<Option<time::OffsetDateTime>, _>(column)
                .map(|t| t.map(Timestamp::from))
                .map_err(|e| wrong(column, e)),
        }
    }
}

impl Column for serde_json::Value {
    fn read(row: &Row, column: &str) -> Result<Option<Self>, Error> {
        match row {
            #[cfg(feature = "sqlite")]
            Row::Sqlite(row) => {
                let text: Option<String> = row.try_get(column).map_err(|e| wrong(column, e))?;
                text.map(|t| serde_json::from_str(&t).map_err(|e| wrong(column, e))).transpose()
            }
            #[cfg(feature = "postgres")]
            Row::Postgres(row) => row.try_get(column).map_err(|e| wrong(column, e)),
        }
    }
}

macro_rules! ids {
    ($($type:ident),+) => {$(
        impl Column for $type {
            fn read(row: &Row, column: &str) -> Result<Option<Self>, Error> {
                Ok(Uuid::read(row, column)?.map($type))
            }
        }
    )+};
}
ids!(OrgId, UserId, EventId, JobId);

impl Row {
    /// A column that may be NULL.
    ///
    /// # Errors
    /// [`Error::Column`] where it holds something else.
    pub fn opt<T: Column>(&self, column: &str) -> Result<Option<T>, Error> {
        T::read(self, column)
    }

    /// A column that is never NULL.
    ///
    /// # Errors
    /// [`Error::Column`] where it is NULL or holds something else.
    pub fn get<T: Column>(&self, column: &str) -> Result<T, Error> {
        T::read(self, column)?.ok_or_else(|| wrong(column, "NULL"))
    }

    /// A column with a name from a closed set.
    ///
    /// # Errors
    /// [`Error::Column`] where the set has no such name.
    pub fn symbol<T: Symbol>(&self, column: &str) -> Result<T, Error> {
        let text: String = self.get(column)?;
        T::parse(&text)
            .ok_or_else(|| wrong(column, format!("{text:?} is not one of the known names")))
    }

    /// A JSON column, as a type.
    ///
    /// # Errors
    /// [`Error::Column`] where the JSON has another shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, Error> {
        let value: serde_json::Value = self.get(column)?;
        serde_json::from_value(value).map_err(|e| wrong(column, e))
    }

    /// A JSON column that may be NULL, as a type.
    ///
    /// # Errors
    /// [`Error::Column`] where the JSON has another shape.
    pub fn opt_json<T: serde::de::DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, Error> {
        let value: Option<serde_json::Value> = self.opt(column)?;
        value.map(|v| serde_json::from_value(v).map_err(|e| wrong(column, e))).transpose()
    }

    /// A count or size, never negative.
    ///
    /// # Errors
    /// [`Error::Column`] where it is negative or no number.
    pub fn size(&self, column: &str) -> Result<u64, Error> {
        u64::try_from(self.get::<i64>(column)?).map_err(|e| wrong(column, e))
    }
}
