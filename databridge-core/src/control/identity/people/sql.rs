//! The statements about one person.

use super::Granted;
use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::db::{Error, Tx};
use crate::params;

pub(super) async fn version(tx: &mut Tx, user: UserId) -> Result<(i64, Timestamp), Error> {
    let row = tx.one("SELECT version, created_at FROM users WHERE id = $1", params![user]).await?;
    Ok((row.get("version")?, row.get("created_at")?))
}

pub(super) async fn describe(
    tx: &mut Tx,
    user: UserId,
    version: i64,
    display_name: &str,
    email: Option<&str>,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE users SET display_name = $1, email = $2, version = version + 1
         WHERE id = $3 AND version = $4",
        params![display_name, email, user, version],
    )
    .await
}

/// Every grant of somebody, those too that hold no longer or not yet.
pub(super) async fn terms(tx: &mut Tx, user: UserId) -> Result<Vec<Granted>, Error> {
    let now = tx.now().await?;
    tx.all(
        "SELECT role, project, effect, valid_from, valid_until, source FROM role_grants
         WHERE user_id = $1 ORDER BY role, COALESCE(project, ''), effect",
        params![user],
    )
    .await?
    .iter()
    .map(|row| {
        let (from, until): (Option<Timestamp>, Option<Timestamp>) =
            (row.opt("valid_from")?, row.opt("valid_until")?);
        Ok(Granted {
            role: row.get("role")?,
            project: row.opt("project")?,
            deny: row.get::<String>("effect")? == "deny",
            from,
            until,
            source: row.get("source")?,
            in_force: from.is_none_or(|at| at <= now) && until.is_none_or(|at| at > now),
        })
    })
    .collect()
}

/// Who has a role in a project now.
///
/// # Errors
/// [`Error`].
pub async fn who_has(
    tx: &mut Tx,
    org: OrgId,
    role: &str,
    project: &str,
) -> Result<Vec<UserId>, Error> {
    let now = tx.now().await?;
    tx.all(
        "SELECT DISTINCT u.id FROM users u JOIN role_grants g ON g.user_id = u.id
         WHERE u.org_id = $1 AND u.active AND g.role = $2 AND g.effect = 'allow'
           AND (g.project IS NULL OR g.project = $3)
           AND (g.valid_from IS NULL OR g.valid_from <= $4)
           AND (g.valid_until IS NULL OR g.valid_until > $4)
           AND NOT EXISTS (SELECT 1 FROM role_grants d WHERE d.user_id = u.id
               AND d.role = $2 AND d.effect = 'deny'
               AND (d.project IS NULL OR d.project = $3)
               AND (d.valid_from IS NULL OR d.valid_from <= $4)
               AND (d.valid_until IS NULL OR d.valid_until > $4))",
        params![org, role, project, now],
    )
    .await?
    .iter()
    .map(|row| row.get("id"))
    .collect()
}

/// Whether somebody is left who is active, can sign in by a password, and is an admin
/// everywhere, for good and without a denial.
pub(super) async fn has_admin(tx: &mut Tx, org: OrgId, now: Timestamp) -> Result<bool, Error> {
    let row = tx
        .opt(
            "SELECT 1 AS one FROM users u JOIN role_grants g ON g.user_id = u.id
             WHERE u.org_id = $1 AND u.active AND u.password_hash IS NOT NULL
               AND g.role = 'admin' AND g.effect = 'allow' AND g.project IS NULL
               AND g.valid_until IS NULL AND (g.valid_from IS NULL OR g.valid_from <= $2)
               AND NOT EXISTS (SELECT 1 FROM role_grants d WHERE d.user_id = u.id
                   AND d.role = 'admin' AND d.effect = 'deny' AND d.project IS NULL
                   AND (d.valid_until IS NULL OR d.valid_until > $2))
             LIMIT 1",
            params![org, now],
        )
        .await?;
    Ok(row.is_some())
}
