//! The statements of forgetting: `$1` is the time before which, `$2` how many at most.

use crate::base::clock::Timestamp;
use crate::control::db::{Error, Tx};
use crate::params;

/// A job that was given up waits for a person, however long.
pub(super) const JOBS: &str = "DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs WHERE state IN ('done', 'withdrawn') AND finished_at < $1 LIMIT $2)";
pub(super) const IDEMPOTENCY: &str = "DELETE FROM idempotency WHERE (actor_id, key) IN (
    SELECT actor_id, key FROM idempotency WHERE created_at < $1 LIMIT $2)";
pub(super) const NOTIFICATIONS: &str = "DELETE FROM notifications WHERE (user_id, position) IN (
    SELECT user_id, position FROM notifications WHERE at < $1 LIMIT $2)";

pub(super) async fn forget(
    tx: &mut Tx,
    statement: &'static str,
    then: Timestamp,
    most: i64,
) -> Result<u64, Error> {
    tx.exec(statement, params![then, most]).await
}
