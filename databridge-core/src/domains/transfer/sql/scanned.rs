//! What a scan found out about each file.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::JobId;
use crate::control::db::{Error, Tx, Value};
use crate::params;

/// One file's findings, as they are stored.
#[derive(Debug, Clone)]
pub(crate) struct Scanned {
    pub path: String,
    pub sha256: String,
    pub findings: Json,
    /// The revision in whose scan the engines were asked.
    pub said_in: i64,
}

/// Which scan of what a row belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScanKey {
    pub transfer: Uuid,
    pub revision: i64,
    pub manifest_digest: String,
    pub job: JobId,
    pub basis: String,
}

/// Rows in one INSERT: well below both databases' limits of parameters.
const ROWS: usize = 200;
const COLUMNS: usize = 10;

/// Keeps findings; what was known of the same files in this revision gives way.
pub(crate) async fn insert_scanned(
    tx: &mut Tx,
    key: &ScanKey,
    files: &[Scanned],
    now: Timestamp,
) -> Result<(), Error> {
    for batch in files.chunks(ROWS) {
        let mut sql = String::from(
            "INSERT INTO scanned_files (transfer_id, revision, path, sha256, basis,
                 manifest_digest, job_id, said_in, findings, scanned_at) VALUES ",
        );
        let mut values: Vec<Value> = Vec::with_capacity(batch.len() * COLUMNS);
        for (i, file) in batch.iter().enumerate() {
            let places: Vec<String> =
                (1..=COLUMNS).map(|n| format!("${}", i * COLUMNS + n)).collect();
            sql.push_str(if i == 0 { "(" } else { ", (" });
            sql.push_str(&places.join(", "));
            sql.push(')');
            values.extend(params![
                key.transfer,
                key.revision,
                file.path.as_str(),
                file.sha256.as_str(),
                key.basis.as_str(),
                key.manifest_digest.as_str(),
                key.job,
                file.said_in,
                file.findings.clone(),
                now
            ]);
        }
        sql.push_str(
            " ON CONFLICT (transfer_id, revision, path) DO UPDATE SET
                 sha256 = excluded.sha256, basis = excluded.basis,
                 manifest_digest = excluded.manifest_digest, job_id = excluded.job_id,
                 said_in = excluded.said_in, findings = excluded.findings,
                 scanned_at = excluded.scanned_at",
        );
        tx.exec_built(sql, values).await?;
    }
    Ok(())
}

/// Everything that was found out about a transfer's files in any revision, the
/// newest last.
pub(crate) async fn scanned(tx: &mut Tx, transfer: Uuid) -> Result<Vec<(ScanKey, Scanned)>, Error> {
    tx.all(
        "SELECT revision, path, sha256, basis, manifest_digest, job_id, said_in, findings
         FROM scanned_files WHERE transfer_id = $1 ORDER BY revision",
        params![transfer],
    )
    .await?
    .iter()
    .map(|row| {
        let key = ScanKey {
            transfer,
            revision: row.get("revision")?,
            manifest_digest: row.get("manifest_digest")?,
            job: row.get("job_id")?,
            basis: row.get("basis")?,
        };
        let file = Scanned {
            path: row.get("path")?,
            sha256: row.get("sha256")?,
            findings: row.get("findings")?,
            said_in: row.get("said_in")?,
        };
        Ok((key, file))
    })
    .collect()
}

/// Nobody will scan this transfer again.
pub(crate) async fn forget_scanned(tx: &mut Tx, transfer: Uuid) -> Result<(), Error> {
    tx.exec("DELETE FROM scanned_files WHERE transfer_id = $1", params![transfer]).await?;
    Ok(())
}
