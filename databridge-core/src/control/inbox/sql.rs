//! The statements behind notifications.

use super::Notification;
use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::db::dialect::Dialect;
use crate::control::db::{Error, Tx};
use crate::control::ledger::Page;
use crate::params;

pub(super) async fn page(
    tx: &mut Tx,
    user: UserId,
    unread: bool,
    before: i64,
    limit: i64,
) -> Result<Vec<Notification>, Error> {
    tx.all(
        "SELECT position, kind, subject, reason, at, read_at FROM notifications
         WHERE user_id = $1 AND position < $2 AND (NOT $3 OR read_at IS NULL)
         ORDER BY position DESC LIMIT $4",
        params![user, before, unread, limit],
    )
    .await?
    .iter()
    .map(|row| {
        Ok(Notification {
            position: row.get("position")?,
            kind: row.get("kind")?,
            subject: row.get("subject")?,
            reason: row.get("reason")?,
            at: row.get("at")?,
            read_at: row.opt("read_at")?,
        })
    })
    .collect()
}

pub(super) async fn unread(tx: &mut Tx, user: UserId) -> Result<u64, Error> {
    tx.one(
        "SELECT COUNT(*) AS n FROM notifications WHERE user_id = $1 AND read_at IS NULL",
        params![user],
    )
    .await?
    .size("n")
}

pub(super) async fn mark_all(
    tx: &mut Tx,
    user: UserId,
    at: Option<Timestamp>,
) -> Result<(), Error> {
    tx.exec("UPDATE notifications SET read_at = $1 WHERE user_id = $2", params![at, user]).await?;
    Ok(())
}

pub(super) async fn mark(
    tx: &mut Tx,
    user: UserId,
    position: i64,
    at: Option<Timestamp>,
) -> Result<(), Error> {
    tx.exec(
        "UPDATE notifications SET read_at = $1 WHERE user_id = $2 AND position = $3",
        params![at, user, position],
    )
    .await?;
    Ok(())
}

/// How far the ledger was read; held by whoever goes on.
pub(super) async fn place(tx: &mut Tx, org: OrgId, hold: bool) -> Result<Option<i64>, Error> {
    let sql = match (hold, tx.dialect()) {
        (true, Dialect::Postgres) => {
            "SELECT position FROM inbox_cursor WHERE org_id = $1 FOR UPDATE"
        }
        _ => "SELECT position FROM inbox_cursor WHERE org_id = $1",
    };
    tx.opt(sql, params![org]).await?.map(|row| row.get("position")).transpose()
}

pub(super) async fn begin(tx: &mut Tx, org: OrgId) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO inbox_cursor (org_id, position) VALUES ($1, -1) ON CONFLICT (org_id) DO NOTHING",
        params![org],
    )
    .await?;
    Ok(())
}

pub(super) async fn move_to(tx: &mut Tx, org: OrgId, position: i64) -> Result<(), Error> {
    tx.exec("UPDATE inbox_cursor SET position = $1 WHERE org_id = $2", params![position, org])
        .await?;
    Ok(())
}

pub(super) async fn notify(
    tx: &mut Tx,
    user: UserId,
    page: &Page,
    reason: &str,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO notifications (user_id, position, kind, subject, reason, at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, position) DO NOTHING",
        params![
            user,
            page.position,
            &page.event.kind,
            &page.event.subject.code,
            reason,
            page.event.at
        ],
    )
    .await?;
    Ok(())
}
