//! The statements of identity.

mod absences;
mod sessions;

pub use absences::AbsenceView;
pub(super) use absences::*;
pub(super) use sessions::*;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::ctx::{Grant, Scope};
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
    /// `person`, `directory` (signs in there), `service` (by API key only), or `os` for
    /// the actor of an embedded store.
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
    /// What it is limited to.
    pub scopes: Option<Vec<Scope>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it holds.
    pub expires_at: Option<Timestamp>,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
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
    pub kind: String,
    pub password_hash: Option<String>,
    pub must_change_password: bool,
    pub active: bool,
}

/// An organisation's id.
///
/// # Errors
/// [`Error`].
pub async fn org_by_code(tx: &mut Tx, code: &str) -> Result<Option<OrgId>, Error> {
    let row = tx.opt("SELECT id FROM orgs WHERE code = $1", params![code]).await?;
    row.map(|r| r.get("id")).transpose()
}

/// Every organisation of the store, the oldest first.
///
/// # Errors
/// [`Error`].
pub async fn organisations(tx: &mut Tx) -> Result<Vec<OrgId>, Error> {
    let rows = tx.all("SELECT id FROM orgs ORDER BY id", params![]).await?;
    rows.iter().map(|row| row.get("id")).collect()
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

/// From when until when a grant holds.
pub(super) type Term = (Option<Timestamp>, Option<Timestamp>);
pub(super) const FOR_GOOD: Term = (None, None);

#[allow(clippy::too_many_arguments)] // one for each column
pub(super) async fn insert_grant(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    role: &str,
    project: Option<&str>,
    deny: bool,
    (from, until): Term,
    by: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO role_grants (id, org_id, user_id, role, project, effect, valid_from,
                                  valid_until, granted_by, granted_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            Uuid::now_v7(),
            org,
            user,
            role,
            project,
            if deny { "deny" } else { "allow" },
            from,
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
         AND COALESCE(project, '') = COALESCE($3, '') AND effect = $4 AND source = 'local'",
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
         WHERE user_id = $1 AND (valid_from IS NULL OR valid_from <= $2)
           AND (valid_until IS NULL OR valid_until > $2) ORDER BY role, COALESCE(project, '')",
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
        "SELECT id, kind, password_hash, must_change_password, active FROM users
         WHERE org_id = $1 AND username = $2",
        params![org, username],
    )
    .await?
    .map(|row| {
        Ok(Credentials {
            id: row.get("id")?,
            kind: row.get("kind")?,
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

/// The same password, hashed as it should be by now.
pub(super) async fn rehash(tx: &mut Tx, user: UserId, hash: &str) -> Result<(), Error> {
    tx.exec("UPDATE users SET password_hash = $1 WHERE id = $2", params![hash, user]).await?;
    Ok(())
}

/// What the directory says of somebody; 0 rows: nothing new.
pub(super) async fn describe(
    tx: &mut Tx,
    user: UserId,
    display_name: &str,
    email: Option<&str>,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE users SET display_name = $1, email = $2, version = version + 1
         WHERE id = $3 AND (display_name <> $1 OR COALESCE(email, '') <> COALESCE($2, ''))",
        params![display_name, email, user],
    )
    .await
}

/// The roles that a directory gave, as `role` and `project`.
pub(super) async fn directory_roles(
    tx: &mut Tx,
    user: UserId,
) -> Result<Vec<(String, Option<String>)>, Error> {
    tx.all(
        "SELECT role, project FROM role_grants WHERE user_id = $1 AND source = 'directory'
         ORDER BY role, COALESCE(project, '')",
        params![user],
    )
    .await?
    .iter()
    .map(|row| Ok((row.get("role")?, row.opt("project")?)))
    .collect()
}

/// Puts the roles that a directory gives in the place of those that it gave.
pub(super) async fn set_directory_roles(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    roles: &[(String, Option<String>)],
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec("DELETE FROM role_grants WHERE user_id = $1 AND source = 'directory'", params![user])
        .await?;
    for (role, project) in roles {
        tx.exec(
            "INSERT INTO role_grants (id, org_id, user_id, role, project, effect, granted_by,
                                      granted_at, source)
             VALUES ($1, $2, $3, $4, $5, 'allow', $6, $7, 'directory')",
            params![Uuid::now_v7(), org, user, role, project.as_deref(), user, now],
        )
        .await?;
    }
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
