//! One upsert a request: atomic, whatever hosts ask at once.

use crate::control::db::{Error, Tx};
use crate::params;

/// How often `key` asked in this window, and the second it is by the database's clock.
pub(super) async fn count(tx: &mut Tx, key: &str, window: i64) -> Result<(i64, i64), Error> {
    let row = tx
        .one(
            "INSERT INTO request_windows (key, minute, hits)
             VALUES ($1, CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) / $2) AS BIGINT), 1)
             ON CONFLICT (key) DO UPDATE SET minute = excluded.minute,
                 hits = CASE WHEN request_windows.minute = excluded.minute
                             THEN request_windows.hits + 1 ELSE 1 END
             RETURNING hits, CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp())) AS BIGINT) AS second",
            params![key, window],
        )
        .await?;
    Ok((row.get("hits")?, row.get("second")?))
}

/// Forgets who did not ask in the last window: a few at a time, and none that somebody
/// counts at this moment.
pub(super) async fn forget(tx: &mut Tx, minute: i64) -> Result<(), Error> {
    tx.exec(
        "DELETE FROM request_windows WHERE key IN (
           SELECT key FROM request_windows WHERE minute < $1 - 1 LIMIT 20 FOR UPDATE SKIP LOCKED)",
        params![minute],
    )
    .await?;
    Ok(())
}
