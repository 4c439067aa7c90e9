//! One store on two databases: SQLite, embedded, or PostgreSQL, shared by hosts.
//!
//! SQL text is the same on both and uses `$1`; what differs is in [`dialect`].

pub mod backup;
mod connect;
pub mod dialect;
mod error;
mod migrate;
mod row;
mod tx;
mod value;

pub use connect::{Db, Target};
pub use error::Error;
pub use migrate::Migration;
pub use row::Row;
pub(in crate::control) use tx::FLOOR;
pub use tx::Tx;
pub use value::Value;

/// The parameters of a statement, in order.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::control::db::Value::from($value)),*] };
}
