//! Who is away, and who stands in.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::ctx::Absent;
use crate::control::db::{Error, Tx};
use crate::params;

/// A time in which somebody else decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AbsenceView {
    /// Names it, to end it.
    pub id: Uuid,
    /// Who is away.
    pub username: String,
    /// Who decides in their place.
    pub deputy: String,
    /// From when.
    pub begins_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Why, as it was told.
    pub reason: Option<String>,
    /// Who said so.
    pub set_by: String,
    /// When.
    pub set_at: Timestamp,
}

pub(in super::super) async fn insert_absence(
    tx: &mut Tx,
    org: OrgId,
    (user, deputy): (UserId, UserId),
    view: &AbsenceView,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO absences (id, org_id, user_id, deputy_id, begins_at, ends_at, reason, set_by,
                               set_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            view.id,
            org,
            user,
            deputy,
            view.begins_at,
            view.ends_at,
            view.reason.as_deref(),
            &view.set_by,
            view.set_at
        ],
    )
    .await?;
    Ok(())
}

/// Those that are not over, of everybody or of one user as absent or deputy.
pub(in super::super) async fn absences(
    tx: &mut Tx,
    org: OrgId,
    now: Timestamp,
) -> Result<Vec<AbsenceView>, Error> {
    tx.all(
        "SELECT a.id, u.username, d.username AS deputy, a.begins_at, a.ends_at, a.reason, a.set_by,
                a.set_at
         FROM absences a JOIN users u ON u.id = a.user_id JOIN users d ON d.id = a.deputy_id
         WHERE a.org_id = $1 AND a.ends_at > $2 ORDER BY a.begins_at, a.id",
        params![org, now],
    )
    .await?
    .iter()
    .map(|row| {
        Ok(AbsenceView {
            id: row.get("id")?,
            username: row.get("username")?,
            deputy: row.get("deputy")?,
            begins_at: row.get("begins_at")?,
            ends_at: row.get("ends_at")?,
            reason: row.opt("reason")?,
            set_by: row.get("set_by")?,
            set_at: row.get("set_at")?,
        })
    })
    .collect()
}

/// Ends an absence now; it stays on record.
pub(in super::super) async fn end_absence(
    tx: &mut Tx,
    id: Uuid,
    now: Timestamp,
) -> Result<u64, Error> {
    tx.exec("UPDATE absences SET ends_at = $1 WHERE id = $2 AND ends_at > $1", params![now, id])
        .await
}

/// For whom this user stands in now, with the roles of each.
pub(in super::super) async fn stands_in_for(
    tx: &mut Tx,
    deputy: UserId,
    now: Timestamp,
) -> Result<Vec<Absent>, Error> {
    let rows = tx
        .all(
            "SELECT DISTINCT u.id, u.username FROM absences a JOIN users u ON u.id = a.user_id
             WHERE a.deputy_id = $1 AND a.begins_at <= $2 AND a.ends_at > $2 AND u.active = $3
             ORDER BY u.username",
            params![deputy, now, true],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let user_id = row.get("id")?;
        let grants = super::grants(tx, user_id).await?;
        found.push(Absent { user_id, username: row.get("username")?, grants });
    }
    Ok(found)
}
