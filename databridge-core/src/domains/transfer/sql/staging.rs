//! Whose what stands in staging is.

use std::collections::HashSet;

use uuid::Uuid;

use super::super::state::State;
use crate::base::clock::Timestamp;
use crate::base::id::OrgId;
use crate::control::db::{Error, Tx, Value};
use crate::params;

/// A transfer as housekeeping sees it.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub id: Uuid,
    pub org: OrgId,
    pub code: String,
    pub state: State,
    /// When it was delivered or recalled, else when it last changed.
    pub since_at: Timestamp,
    /// Work on it is asked for or in hand.
    pub busy: bool,
}

/// The transfers of these codes, of whichever organisation.
pub(crate) async fn owned(tx: &mut Tx, codes: &[String]) -> Result<Vec<Owned>, Error> {
    if codes.is_empty() {
        return Ok(Vec::new());
    }
    let params: Vec<Value> = codes.iter().map(Into::into).collect();
    let places: Vec<String> = (1..=params.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT t.id, t.org_id, t.code, t.state,
                CASE WHEN t.state = 'recalled' THEN t.updated_at
                     ELSE COALESCE(t.delivered_at, t.updated_at) END AS since_at,
                (SELECT COUNT(*) FROM jobs j WHERE j.subject_id = t.id
                    AND j.state IN ('ready', 'leased')) AS open_jobs
         FROM transfers t WHERE t.code IN ({})",
        places.join(", ")
    );
    tx.all_built(sql, params)
        .await?
        .iter()
        .map(|row| {
            Ok(Owned {
                id: row.get("id")?,
                org: row.get("org_id")?,
                code: row.get("code")?,
                state: row.symbol("state")?,
                since_at: row.get("since_at")?,
                busy: row.size("open_jobs")? > 0,
            })
        })
        .collect()
}

/// The blobs that some revision of a transfer names.
pub(crate) async fn blobs(tx: &mut Tx, transfer: Uuid) -> Result<HashSet<String>, Error> {
    tx.all(
        "SELECT blob FROM transfer_files WHERE transfer_id = $1 AND blob IS NOT NULL",
        params![transfer],
    )
    .await?
    .iter()
    .map(|row| row.get("blob"))
    .collect()
}

/// Whether a blob is what has come of an upload in pieces, which has its own time.
pub(crate) async fn is_in_pieces(tx: &mut Tx, blob: &str) -> Result<bool, Error> {
    let Ok(id) = blob.parse::<Uuid>() else { return Ok(false) };
    let row = tx.opt("SELECT 1 AS one FROM transfer_uploads WHERE id = $1", params![id]).await?;
    Ok(row.is_some())
}

/// Since when the store knows all that was written: it was made, or put back to an earlier
/// time.
pub(crate) async fn known_since(tx: &mut Tx) -> Result<Timestamp, Error> {
    let born = tx.one("SELECT MIN(created_at) AS at FROM orgs", params![]).await?.opt("at")?;
    let restored = tx
        .one(
            "SELECT MAX(recorded_at) AS at FROM ledger_event
             WHERE kind = 'store.restored' AND subject_id IN (SELECT id FROM orgs)",
            params![],
        )
        .await?
        .opt("at")?;
    Ok(born.max(restored).unwrap_or_default())
}

/// Holds a transfer to the end of the transaction: nobody adds to it meanwhile.
pub(crate) async fn lock(tx: &mut Tx, code: &str) -> Result<(), Error> {
    tx.exec("UPDATE transfers SET fence = fence WHERE code = $1", params![code]).await?;
    Ok(())
}
