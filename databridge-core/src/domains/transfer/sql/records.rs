//! Revisions, decisions and reports.

use serde_json::Value as Json;
use uuid::Uuid;

use super::super::types::{Approval, Override, RevisionView};
use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::control::db::{Error, Tx};
use crate::params;

pub(crate) async fn insert_revision(
    tx: &mut Tx,
    transfer: Uuid,
    view: &RevisionView,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO transfer_revisions (transfer_id, revision, manifest_digest, file_count,
                                         total_bytes, frozen_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            transfer,
            view.revision,
            &view.manifest_digest,
            i64::try_from(view.file_count).unwrap_or(i64::MAX),
            i64::try_from(view.total_bytes).unwrap_or(i64::MAX),
            view.frozen_at
        ],
    )
    .await?;
    Ok(())
}

pub(crate) async fn revisions(tx: &mut Tx, transfer: Uuid) -> Result<Vec<RevisionView>, Error> {
    tx.all(
        "SELECT revision, manifest_digest, file_count, total_bytes, frozen_at
         FROM transfer_revisions WHERE transfer_id = $1 ORDER BY revision",
        params![transfer],
    )
    .await?
    .iter()
    .map(|row| {
        Ok(RevisionView {
            revision: row.get("revision")?,
            manifest_digest: row.get("manifest_digest")?,
            file_count: row.size("file_count")?,
            total_bytes: row.size("total_bytes")?,
            frozen_at: row.get("frozen_at")?,
        })
    })
    .collect()
}

pub(crate) async fn insert_approval(
    tx: &mut Tx,
    transfer: Uuid,
    user: UserId,
    a: &Approval,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO approvals (id, transfer_id, revision, stage, stage_key, role, decision,
                                user_id, username, on_behalf_of, separate, reason, manifest_digest,
                                decided_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        params![
            Uuid::now_v7(),
            transfer,
            a.revision,
            a.stage,
            &a.stage_key,
            &a.role,
            &a.decision,
            user,
            &a.username,
            a.on_behalf_of.as_deref(),
            a.separate,
            a.reason.as_deref(),
            &a.manifest_digest,
            a.decided_at
        ],
    )
    .await?;
    Ok(())
}

/// Every decision of every revision, in order, with who is answerable.
pub(crate) async fn approvals(
    tx: &mut Tx,
    transfer: Uuid,
) -> Result<Vec<(UserId, Approval)>, Error> {
    tx.all(
        "SELECT user_id, revision, stage, stage_key, role, decision, username, on_behalf_of,
                separate, reason, manifest_digest, decided_at
         FROM approvals WHERE transfer_id = $1 ORDER BY id",
        params![transfer],
    )
    .await?
    .iter()
    .map(|row| {
        let approval = Approval {
            revision: row.get("revision")?,
            stage: row.get("stage")?,
            stage_key: row.get("stage_key")?,
            role: row.get("role")?,
            decision: row.get("decision")?,
            username: row.get("username")?,
            on_behalf_of: row.opt("on_behalf_of")?,
            separate: row.get("separate")?,
            reason: row.opt("reason")?,
            manifest_digest: row.get("manifest_digest")?,
            decided_at: row.get("decided_at")?,
        };
        Ok((row.get("user_id")?, approval))
    })
    .collect()
}

pub(crate) async fn insert_override(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
    o: &Override,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO transfer_overrides (id, transfer_id, revision, what, username, reason,
                                         decided_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![Uuid::now_v7(), transfer, revision, &o.what, &o.username, &o.reason, o.decided_at],
    )
    .await?;
    Ok(())
}

pub(crate) async fn overrides(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
) -> Result<Vec<Override>, Error> {
    tx.all(
        "SELECT what, username, reason, decided_at FROM transfer_overrides
         WHERE transfer_id = $1 AND revision = $2 ORDER BY id",
        params![transfer, revision],
    )
    .await?
    .iter()
    .map(|row| {
        Ok(Override {
            what: row.get("what")?,
            username: row.get("username")?,
            reason: row.get("reason")?,
            decided_at: row.get("decided_at")?,
        })
    })
    .collect()
}

pub(crate) async fn insert_scan(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
    digest: &str,
    report: Json,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO scan_reports (id, transfer_id, revision, manifest_digest, report, scanned_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![Uuid::now_v7(), transfer, revision, digest, report, now],
    )
    .await?;
    Ok(())
}

/// The last scan of a revision: its id, the digest it read, report and decision.
pub(crate) struct StoredScan {
    pub id: Uuid,
    pub manifest_digest: String,
    pub report: Json,
    pub decision: Option<Json>,
}

pub(crate) async fn last_scan(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
) -> Result<Option<StoredScan>, Error> {
    tx.opt(
        "SELECT id, manifest_digest, report, decision FROM scan_reports
         WHERE transfer_id = $1 AND revision = $2 ORDER BY id DESC LIMIT 1",
        params![transfer, revision],
    )
    .await?
    .map(|row| {
        Ok(StoredScan {
            id: row.get("id")?,
            manifest_digest: row.get("manifest_digest")?,
            report: row.get("report")?,
            decision: row.opt("decision")?,
        })
    })
    .transpose()
}

pub(crate) async fn set_scan_decision(
    tx: &mut Tx,
    scan: Uuid,
    decision: Json,
) -> Result<(), Error> {
    tx.exec("UPDATE scan_reports SET decision = $1 WHERE id = $2", params![decision, scan]).await?;
    Ok(())
}
