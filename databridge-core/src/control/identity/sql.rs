//! The statements of identity.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::ctx::Grant;
use crate::control::db::{Error, Row, Tx};
use crate::params;

/// A user as people see them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserView {
    /// Their id.
    pub id: UserId,
    /// How they sign in.
    pub username: String,
    /// What people read.
    pub display_name: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// `person`, or `os` for the actor of an embedded store.
    pub kind: String,
    /// Whether they may sign in.
    pub active: bool,
    /// The roles in force.
    pub grants: Vec<Grant>,
}

/// An API key without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeyView {
    /// What it is called.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it holds.
    pub expires_at: Option<Timestamp>,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
}

pub(super) struct UserRow<'a> {
    pub username: &'a str,
    pub display_name: &'a str,
    pub email: Option<&'a str>,
    pub kind: &'a str,
    pub password_hash: Option<&'a str>,
    pub must_change_password: bool,
}

pub(super) struct Credentials {
    pub id: UserId,
    pub password_hash: Option<String>,
    pub must_change_password: bool,
    pub active: bool,
}

pub(super) struct Bearer {
    pub id: UserId,
    pub org: OrgId,
    pub username: String,
}

/// An organisation's id.
///
/// # Errors
/// [`Error`].
pub async fn org_by_code(tx: &mut Tx, code: &str) -> Result<Option<OrgId>, Error> {
    let row = tx.opt("SELECT id FROM orgs WHERE code = $1", params![code]).await?;
    row.map(|r| r.get("id")).transpose()
}

pub(super) async fn insert_org(
    tx: &mut Tx,
    id: OrgId,
    code: &str,
    name: &str,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO orgs (id, code, name, created_at) VALUES ($1, $2, $3, $4)",
        params![id, code, name, now],
    )
    .await?;
    Ok(())
}

pub(super) async fn has_password_admin(tx: &mut Tx, org: OrgId) -> Result<bool, Error> {
    let row = tx
        .opt(
            "SELECT 1 AS one FROM users u JOIN role_grants g ON g.user_id = u.id
             WHERE u.org_id = $1 AND u.password_hash IS NOT NULL AND g.role = 'admin' LIMIT 1",
            params![org],
        )
        .await?;
    Ok(row.is_some())
}

pub(super) async fn insert_user(
    tx: &mut Tx,
    org: OrgId,
    row: &UserRow<'_>,
    now: Timestamp,
) -> Result<UserId, Error> {
    let id = UserId::new();
    tx.exec(
        "INSERT INTO users (id, org_id, username, display_name, email, kind, password_hash,
                            must_change_password, active, version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10)",
        params![
            id,
            org,
            row.username,
            row.display_name,
            row.email,
            row.kind,
            row.password_hash,
            row.must_change_password,
            true,
            now
        ],
    )
    .await?;
    Ok(id)
}

#[allow(clippy::too_many_arguments)] // one for each column
pub(super) async fn insert_grant(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    role: &str,
    project: Option<&str>,
    deny: bool,
    until: Option<Timestamp>,
    by: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO role_grants (id, org_id, user_id, role, project, effect, valid_until,
                                  granted_by, granted_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            Uuid::now_v7(),
            org,
            user,
            role,
            project,
            if deny { "deny" } else { "allow" },
            until,
            by,
            now
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn delete_grant(
    tx: &mut Tx,
    user: UserId,
    role: &str,
    project: Option<&str>,
    deny: bool,
) -> Result<(), Error> {
    tx.exec(
        "DELETE FROM role_grants WHERE user_id = $1 AND role = $2
         AND COALESCE(project, '') = COALESCE($3, '') AND effect = $4",
        params![user, role, project, if deny { "deny" } else { "allow" }],
    )
    .await?;
    Ok(())
}

/// The grants that hold now, by the store's clock.
pub(super) async fn grants(tx: &mut Tx, user: UserId) -> Result<Vec<Grant>, Error> {
    let now = tx.now().await?;
    tx.all(
        "SELECT role, project, effect FROM role_grants
         WHERE user_id = $1 AND (valid_until IS NULL OR valid_until > $2) ORDER BY role, project",
        params![user, now],
    )
    .await?
    .iter()
    .map(|row| {
        let effect: String = row.get("effect")?;
        Ok(Grant { role: row.get("role")?, project: row.opt("project")?, deny: effect == "deny" })
    })
    .collect()
}

async fn view(tx: &mut Tx, row: &Row) -> Result<UserView, Error> {
    let id = row.get("id")?;
    Ok(UserView {
        id,
        username: row.get("username")?,
        display_name: row.get("display_name")?,
        email: row.opt("email")?,
        kind: row.get("kind")?,
        active: row.get("active")?,
        grants: grants(tx, id).await?,
    })
}

/// A user of the organisation.
///
/// # Errors
/// [`Error`].
pub async fn user_by_name(
    tx: &mut Tx,
    org: OrgId,
    username: &str,
) -> Result<Option<UserView>, Error> {
    let row = tx
        .opt(
            "SELECT id, username, display_name, email, kind, active FROM users
             WHERE org_id = $1 AND username = $2",
            params![org, username],
        )
        .await?;
    match row {
        None => Ok(None),
        Some(row) => Ok(Some(view(tx, &row).await?)),
    }
}

pub(super) async fn users(tx: &mut Tx, org: OrgId) -> Result<Vec<UserView>, Error> {
    let rows = tx
        .all(
            "SELECT id, username, display_name, email, kind, active FROM users
             WHERE org_id = $1 ORDER BY username",
            params![org],
        )
        .await?;
    let mut users = Vec::with_capacity(rows.len());
    for row in &rows {
        users.push(view(tx, row).await?);
    }
    Ok(users)
}

pub(super) async fn credentials(
    tx: &mut Tx,
    org: OrgId,
    username: &str,
) -> Result<Option<Credentials>, Error> {
    tx.opt(
        "SELECT id, password_hash, must_change_password, active FROM users
         WHERE org_id = $1 AND username = $2",
        params![org, username],
    )
    .await?
    .map(|row| {
        Ok(Credentials {
            id: row.get("id")?,
            password_hash: row.opt("password_hash")?,
            must_change_password: row.get("must_change_password")?,
            active: row.get("active")?,
        })
    })
    .transpose()
}

pub(super) async fn set_password(tx: &mut Tx, user: UserId, hash: &str) -> Result<(), Error> {
    tx.exec(
        "UPDATE users SET password_hash = $1, must_change_password = $2, version = version + 1
         WHERE id = $3",
        params![hash, false, user],
    )
    .await?;
    Ok(())
}

pub(super) async fn set_active(tx: &mut Tx, user: UserId, active: bool) -> Result<(), Error> {
    tx.exec(
        "UPDATE users SET active = $1, version = version + 1 WHERE id = $2",
        params![active, user],
    )
    .await?;
    Ok(())
}

pub(super) async fn insert_session(
    tx: &mut Tx,
    id: Uuid,
    user: UserId,
    now: Timestamp,
    until: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO sessions (id, user_id, issued_at, expires_at) VALUES ($1, $2, $3, $4)",
        params![id, user, now, until],
    )
    .await?;
    Ok(())
}

pub(super) async fn end_sessions(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<(), Error> {
    tx.exec(
        "UPDATE sessions SET revoked_at = $1 WHERE user_id = $2 AND revoked_at IS NULL",
        params![now, user],
    )
    .await?;
    Ok(())
}

fn bearer(row: Option<Row>) -> Result<Option<Bearer>, Error> {
    row.map(|row| {
        Ok(Bearer { id: row.get("id")?, org: row.get("org_id")?, username: row.get("username")? })
    })
    .transpose()
}

pub(super) async fn user_by_session(
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
    bearer(row)
}

pub(super) async fn user_by_key(
    tx: &mut Tx,
    hash: &[u8],
    now: Timestamp,
) -> Result<Option<Bearer>, Error> {
    let row = tx
        .opt(
            "SELECT u.id, u.org_id, u.username FROM api_keys k JOIN users u ON u.id = k.user_id
             WHERE k.secret_hash = $1 AND k.revoked_at IS NULL
               AND (k.expires_at IS NULL OR k.expires_at > $2) AND u.active = $3",
            params![hash, now, true],
        )
        .await?;
    bearer(row)
}

pub(super) async fn insert_key(
    tx: &mut Tx,
    user: UserId,
    name: &str,
    hash: &[u8],
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO api_keys (id, user_id, name, secret_hash, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![Uuid::now_v7(), user, name, hash, expires_at, now],
    )
    .await?;
    Ok(())
}

pub(super) async fn keys(tx: &mut Tx, user: UserId) -> Result<Vec<KeyView>, Error> {
    tx.all(
        "SELECT name, created_at, expires_at, revoked_at FROM api_keys
         WHERE user_id = $1 ORDER BY created_at",
        params![user],
    )
    .await?
    .iter()
    .map(|row| {
        Ok(KeyView {
            name: row.get("name")?,
            created_at: row.get("created_at")?,
            expires_at: row.opt("expires_at")?,
            revoked_at: row.opt("revoked_at")?,
        })
    })
    .collect()
}

pub(super) async fn revoke_key(
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
