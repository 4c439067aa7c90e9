//! The statements of the lineage domain.

mod flows;
mod lots;
mod qc;
mod runs;
mod trace;

pub(super) use flows::*;
pub(super) use lots::*;
pub(super) use qc::*;
pub(super) use runs::*;
pub(super) use trace::*;

use super::Error;
use crate::control::db::dialect::Dialect;
use crate::control::db::{self, Tx};

/// `sql`, with the rows it finds held until the transaction ends.
fn held(tx: &Tx, sql: &str) -> String {
    match tx.dialect() {
        Dialect::Sqlite => sql.to_owned(),
        Dialect::Postgres => format!("{sql} FOR UPDATE"),
    }
}

/// A unique rule's refusal as what it means here.
pub(super) fn taken<T>(
    result: Result<T, db::Error>,
    taken: impl FnOnce() -> Error,
) -> Result<T, Error> {
    result.map_err(|error| match error {
        db::Error::Exists { .. } => taken(),
        other => other.into(),
    })
}
