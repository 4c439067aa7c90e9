//! What goes into a statement. Each variant is typed even when it is NULL,
//! because PostgreSQL wants to know the type of a NULL.

use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::{EventId, JobId, OrgId, UserId};

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// TEXT.
    Text(Option<String>),
    /// BIGINT.
    Int(Option<i64>),
    /// BOOLEAN (an INTEGER on SQLite).
    Bool(Option<bool>),
    /// BYTEA (a BLOB on SQLite).
    Bytes(Option<Vec<u8>>),
    /// UUID (hyphenated TEXT on SQLite).
    Uuid(Option<Uuid>),
    /// TIMESTAMPTZ (microseconds since the epoch on SQLite).
    Time(Option<Timestamp>),
    /// JSONB (TEXT on SQLite).
    Json(Option<serde_json::Value>),
}

macro_rules! from {
    ($($type:ty => $variant:ident($convert:expr)),+ $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(Some($convert(value)))
            }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map($convert))
            }
        }
    )+};
}

from! {
    String => Text(|v| v),
    &String => Text(|v: &String| v.clone()),
    &str => Text(str::to_owned),
    i64 => Int(|v| v),
    bool => Bool(|v| v),
    Vec<u8> => Bytes(|v| v),
    &[u8] => Bytes(<[u8]>::to_vec),
    Uuid => Uuid(|v| v),
    OrgId => Uuid(|v: OrgId| v.0),
    UserId => Uuid(|v: UserId| v.0),
    EventId => Uuid(|v: EventId| v.0),
    JobId => Uuid(|v: JobId| v.0),
    Timestamp => Time(|v| v),
    serde_json::Value => Json(|v| v),
    &serde_json::Value => Json(|v: &serde_json::Value| v.clone()),
}
