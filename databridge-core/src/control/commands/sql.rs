//! The statements behind idempotency keys.

use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::control::ctx::Idempotency;
use crate::control::db::{Error, Tx};
use crate::params;

/// The request that a key was used for, and what was answered.
pub(super) async fn answered(
    tx: &mut Tx,
    actor: UserId,
    key: &str,
) -> Result<Option<(Vec<u8>, serde_json::Value)>, Error> {
    tx.opt(
        "SELECT request, response FROM idempotency WHERE actor_id = $1 AND key = $2",
        params![actor, key],
    )
    .await?
    .map(|row| Ok((row.get("request")?, row.get("response")?)))
    .transpose()
}

/// Keeps the answer under the key.
pub(super) async fn keep(
    tx: &mut Tx,
    actor: UserId,
    key: &Idempotency,
    response: serde_json::Value,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO idempotency (actor_id, key, request, response, created_at)
         VALUES ($1, $2, $3, $4, $5)",
        params![actor, &key.key, key.request.as_slice(), response, now],
    )
    .await?;
    Ok(())
}
