//! Statements of [`super`].

use crate::base::clock::Timestamp;
use crate::control::db::{Error, FLOOR, Tx};
use crate::params;

pub(super) async fn skip_numbers(tx: &mut Tx, by: i64) -> Result<u64, Error> {
    // Those that are not begun yet begin after this one.
    tx.exec(
        "INSERT INTO counters (name, value) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING",
        params![FLOOR],
    )
    .await?;
    tx.exec("UPDATE counters SET value = value + $1", params![by]).await
}

pub(super) async fn end_sessions(tx: &mut Tx, now: Timestamp) -> Result<u64, Error> {
    tx.exec("UPDATE sessions SET revoked_at = $1 WHERE revoked_at IS NULL", params![now]).await
}

pub(super) async fn free_jobs(tx: &mut Tx, by: i64, now: Timestamp) -> Result<u64, Error> {
    tx.exec("UPDATE jobs SET epoch = epoch + $1", params![by]).await?;
    tx.exec("UPDATE jobs SET lease_until = $1 WHERE lease_until > $1", params![now]).await
}

pub(super) async fn forget_hosts(tx: &mut Tx) -> Result<u64, Error> {
    tx.exec("DELETE FROM hosts", params![]).await
}
