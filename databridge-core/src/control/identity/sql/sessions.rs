//! Sessions, refresh tokens, API keys, and failures to sign in.

use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::ctx::Scope;
use crate::control::db::{Error, Row, Tx};
use crate::params;

use super::KeyView;

/// Whoever a token or a key belongs to.
pub(in super::super) struct Bearer {
    pub id: UserId,
    pub org: OrgId,
    pub username: String,
    /// Of a key: what it reaches.
    pub scopes: Option<Vec<Scope>>,
    /// Of a key: when it was last used, as far as it was written down.
    pub last_used_at: Option<Timestamp>,
}

/// A refresh token and the session it prolongs.
pub(in super::super) struct Refresh {
    pub session: Uuid,
    pub begun_at: Timestamp,
    pub user: UserId,
    pub org: OrgId,
    pub username: String,
    pub kind: String,
    pub used: bool,
    /// Not expired, the session not ended, the user active.
    pub holds: bool,
}

pub(in super::super) async fn insert_session(
    tx: &mut Tx,
    id: Uuid,
    user: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO sessions (id, user_id, issued_at, expires_at) VALUES ($1, $2, $3, $4)",
        params![id, user, now, now],
    )
    .await?;
    Ok(())
}

/// A further refresh token; with it the session lasts longer.
pub(in super::super) async fn prolong(
    tx: &mut Tx,
    session: Uuid,
    hash: &[u8],
    now: Timestamp,
    until: Timestamp,
) -> Result<(), Error> {
    tx.exec("UPDATE sessions SET expires_at = $1 WHERE id = $2", params![until, session]).await?;
    tx.exec(
        "INSERT INTO refresh_tokens (secret_hash, session_id, issued_at, expires_at)
         VALUES ($1, $2, $3, $4)",
        params![hash, session, now, until],
    )
    .await?;
    Ok(())
}

pub(in super::super) async fn refresh_token(
    tx: &mut Tx,
    hash: &[u8],
    now: Timestamp,
) -> Result<Option<Refresh>, Error> {
    let row = tx
        .opt(
            "SELECT s.id, s.issued_at, s.revoked_at, u.id AS user_id, u.org_id, u.username, u.kind,
                    u.active, r.used_at, r.expires_at
             FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id
                  JOIN users u ON u.id = s.user_id
             WHERE r.secret_hash = $1",
            params![hash],
        )
        .await?;
    row.map(|row| {
        let ended: Option<Timestamp> = row.opt("revoked_at")?;
        let used: Option<Timestamp> = row.opt("used_at")?;
        Ok(Refresh {
            session: row.get("id")?,
            begun_at: row.get("issued_at")?,
            user: row.get("user_id")?,
            org: row.get("org_id")?,
            username: row.get("username")?,
            kind: row.get("kind")?,
            used: used.is_some(),
            holds: ended.is_none()
                && row.get::<Timestamp>("expires_at")? > now
                && row.get("active")?,
        })
    })
    .transpose()
}

/// Uses a refresh token up; 0 rows: somebody else did.
pub(in super::super) async fn use_up(
    tx: &mut Tx,
    hash: &[u8],
    now: Timestamp,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE refresh_tokens SET used_at = $1 WHERE secret_hash = $2 AND used_at IS NULL",
        params![now, hash],
    )
    .await
}

/// Ends one session: its access tokens and every refresh token that came of it.
pub(in super::super) async fn end_session(
    tx: &mut Tx,
    session: Uuid,
    now: Timestamp,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE sessions SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
        params![now, session],
    )
    .await
}

pub(in super::super) async fn end_sessions(
    tx: &mut Tx,
    user: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "UPDATE sessions SET revoked_at = $1 WHERE user_id = $2 AND revoked_at IS NULL",
        params![now, user],
    )
    .await?;
    Ok(())
}

/// Removes sessions that ended before `then`, and failures as old.
pub(in super::super) async fn forget(tx: &mut Tx, then: Timestamp) -> Result<(), Error> {
    tx.exec(
        "DELETE FROM refresh_tokens WHERE session_id IN (SELECT id FROM sessions WHERE expires_at < $1)",
        params![then],
    )
    .await?;
    tx.exec("DELETE FROM sessions WHERE expires_at < $1", params![then]).await?;
    tx.exec("DELETE FROM signin_failures WHERE since < $1", params![then]).await?;
    Ok(())
}

pub(in super::super) async fn user_by_session(
    tx: &mut Tx,
    session: Uuid,
    now: Timestamp,
) -> Result<Option<Bearer>, Error> {
    let row = tx
        .opt(
            "SELECT u.id, u.org_id, u.username FROM sessions s JOIN users u ON u.id = s.user_id
             WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2 AND u.active = $3",
            params![session, now, true],
        )
        .await?;
    row.map(|row| bearer(&row, None, None)).transpose()
}

fn bearer(
    row: &Row,
    scopes: Option<Vec<Scope>>,
    last_used_at: Option<Timestamp>,
) -> Result<Bearer, Error> {
    Ok(Bearer {
        id: row.get("id")?,
        org: row.get("org_id")?,
        username: row.get("username")?,
        scopes,
        last_used_at,
    })
}

pub(in super::super) async fn user_by_key(
    tx: &mut Tx,
    hash: &[u8],
    now: Timestamp,
) -> Result<Option<Bearer>, Error> {
    let row = tx
        .opt(
            "SELECT u.id, u.org_id, u.username, k.scopes, k.last_used_at
             FROM api_keys k JOIN users u ON u.id = k.user_id
             WHERE k.secret_hash = $1 AND k.revoked_at IS NULL
               AND (k.expires_at IS NULL OR k.expires_at > $2) AND u.active = $3",
            params![hash, now, true],
        )
        .await?;
    row.map(|row| bearer(&row, row.opt_json("scopes")?, row.opt("last_used_at")?)).transpose()
}

pub(in super::super) async fn key_was_used(
    tx: &mut Tx,
    hash: &[u8],
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec("UPDATE api_keys SET last_used_at = $1 WHERE secret_hash = $2", params![now, hash])
        .await?;
    Ok(())
}

pub(in super::super) async fn insert_key(
    tx: &mut Tx,
    user: UserId,
    key: &KeyView,
    hash: &[u8],
) -> Result<(), Error> {
    let scopes = key.scopes.as_ref().map(|scopes| serde_json::json!(scopes));
    tx.exec(
        "INSERT INTO api_keys (id, user_id, name, secret_hash, scopes, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![Uuid::now_v7(), user, &key.name, hash, scopes, key.expires_at, key.created_at],
    )
    .await?;
    Ok(())
}

pub(in super::super) async fn keys(tx: &mut Tx, user: UserId) -> Result<Vec<KeyView>, Error> {
    tx.all(
        "SELECT name, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_keys
         WHERE user_id = $1 ORDER BY created_at",
        params![user],
    )
    .await?
    .iter()
    .map(|row| {
        Ok(KeyView {
            name: row.get("name")?,
            scopes: row.opt_json("scopes")?,
            created_at: row.get("created_at")?,
            expires_at: row.opt("expires_at")?,
            revoked_at: row.opt("revoked_at")?,
            last_used_at: row.opt("last_used_at")?,
        })
    })
    .collect()
}

pub(in super::super) async fn revoke_key(
    tx: &mut Tx,
    user: UserId,
    name: &str,
    now: Timestamp,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE api_keys SET revoked_at = $1
         WHERE user_id = $2 AND name = $3 AND revoked_at IS NULL",
        params![now, user, name],
    )
    .await
}

pub(in super::super) async fn revoke_keys(
    tx: &mut Tx,
    user: UserId,
    now: Timestamp,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE api_keys SET revoked_at = $1 WHERE user_id = $2 AND revoked_at IS NULL",
        params![now, user],
    )
    .await
}

/// Counts a try to sign in before it is looked at, so that many at once are no more
/// than many in turn. A count older than `cutoff` begins anew; reaching `most` begins
/// the wait.
pub(in super::super) async fn count_try(
    tx: &mut Tx,
    org: OrgId,
    subject: &[u8],
    now: Timestamp,
    cutoff: Timestamp,
    most: i64,
) -> Result<i64, Error> {
    let row = tx
        .one(
            "INSERT INTO signin_failures (org_id, subject, tries, since) VALUES ($1, $2, 1, $3)
             ON CONFLICT (org_id, subject) DO UPDATE SET
                 tries = CASE WHEN signin_failures.since < $4 THEN 1
                              ELSE signin_failures.tries + 1 END,
                 since = CASE WHEN signin_failures.since < $4 THEN excluded.since
                              WHEN signin_failures.tries + 1 = $5 THEN excluded.since
                              ELSE signin_failures.since END
             RETURNING tries",
            params![org, subject, now, cutoff, most],
        )
        .await?;
    row.get("tries")
}

/// A try that was no failure is taken back.
pub(in super::super) async fn take_back(
    tx: &mut Tx,
    org: OrgId,
    subject: &[u8],
) -> Result<(), Error> {
    tx.exec(
        "UPDATE signin_failures SET tries = tries - 1
         WHERE org_id = $1 AND subject = $2 AND tries > 0",
        params![org, subject],
    )
    .await?;
    Ok(())
}

pub(in super::super) async fn forgive(
    tx: &mut Tx,
    org: OrgId,
    subject: &[u8],
) -> Result<u64, Error> {
    tx.exec("DELETE FROM signin_failures WHERE org_id = $1 AND subject = $2", params![org, subject])
        .await
}
