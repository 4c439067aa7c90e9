//! Uploads that come in pieces.

use uuid::Uuid;

use super::super::state::work;
use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::db::{Error, Row, Tx};
use crate::media::storage::RelPath;
use crate::params;

/// An upload as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredUpload {
    pub id: Uuid,
    /// The transfer's code.
    pub code: String,
    /// Who began it.
    pub username: String,
    pub path: RelPath,
    pub metadata: String,
    pub length_bytes: u64,
    pub deferred: bool,
    pub kept_bytes: u64,
    pub done: bool,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// An upload to be begun.
pub(crate) struct UploadRow<'a> {
    pub id: Uuid,
    pub transfer: Uuid,
    pub user: UserId,
    pub path: &'a RelPath,
    pub metadata: &'a str,
    pub length_bytes: u64,
    pub deferred: bool,
    pub now: Timestamp,
    pub expires_at: Timestamp,
}

/// What a writer takes up.
pub(crate) struct Taken {
    pub kept_bytes: u64,
    pub hash: Option<Vec<u8>>,
    pub epoch: i64,
}

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

macro_rules! select_upload {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, t.code, u.username, p.path, p.metadata, p.length_bytes, p.deferred,
                    p.kept_bytes, p.done, p.created_at, p.expires_at
             FROM transfer_uploads p JOIN transfers t ON t.id = p.transfer_id
             JOIN users u ON u.id = p.user_id ",
            $rest
        )
    };
}

fn stored(row: &Row) -> Result<StoredUpload, Error> {
    let path: String = row.get("path")?;
    let path = RelPath::parse(&path)
        .map_err(|e| Error::Column { column: "path".into(), source: e.into() })?;
    Ok(StoredUpload {
        id: row.get("id")?,
        code: row.get("code")?,
        username: row.get("username")?,
        path,
        metadata: row.get("metadata")?,
        length_bytes: row.size("length_bytes")?,
        deferred: row.get("deferred")?,
        kept_bytes: row.size("kept_bytes")?,
        done: row.get("done")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
    })
}

/// Holds the transfer's row to the end of the transaction: who adds to it at the same
/// time comes one after the other.
pub(crate) async fn hold_transfer(tx: &mut Tx, org: OrgId, code: &str) -> Result<(), Error> {
    let sql = format!(
        "SELECT id FROM transfers WHERE org_id = $1 AND code = $2 {}",
        tx.dialect().for_update()
    );
    tx.all_built(sql, params![org, code]).await?;
    Ok(())
}

/// The same of everything that a user owns.
pub(crate) async fn hold_owner(tx: &mut Tx, owner: UserId) -> Result<(), Error> {
    let sql = format!("SELECT id FROM users WHERE id = $1 {}", tx.dialect().for_update());
    tx.all_built(sql, params![owner]).await?;
    Ok(())
}

pub(crate) async fn insert_upload(tx: &mut Tx, new: UploadRow<'_>) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO transfer_uploads (id, transfer_id, user_id, path, folded, metadata,
             length_bytes, deferred, kept_bytes, epoch, done, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, $9, $10, $11)",
        params![
            new.id,
            new.transfer,
            new.user,
            new.path.as_str(),
            new.path.folded(),
            new.metadata,
            int(new.length_bytes),
            new.deferred,
            false,
            new.now,
            new.expires_at
        ],
    )
    .await?;
    Ok(())
}

pub(crate) async fn upload(
    tx: &mut Tx,
    transfer: Uuid,
    id: Uuid,
) -> Result<Option<StoredUpload>, Error> {
    tx.opt(select_upload!("WHERE p.transfer_id = $1 AND p.id = $2"), params![transfer, id])
        .await?
        .map(|row| stored(&row))
        .transpose()
}

/// A transfer's uploads that can still go on, oldest first.
pub(crate) async fn open_uploads(
    tx: &mut Tx,
    transfer: Uuid,
    now: Timestamp,
) -> Result<Vec<StoredUpload>, Error> {
    tx.all(
        select_upload!(
            "WHERE p.transfer_id = $1 AND p.done = $2 AND p.expires_at > $3 ORDER BY p.id"
        ),
        params![transfer, false, now],
    )
    .await?
    .iter()
    .map(stored)
    .collect()
}

/// What a job is still to add to a transfer.
pub(crate) struct Coming {
    /// The job's.
    pub id: Uuid,
    /// What it knows.
    pub payload: serde_json::Value,
    pub asked_at: Timestamp,
}

/// What jobs are still to add to a transfer.
pub(crate) async fn coming(tx: &mut Tx, transfer: Uuid) -> Result<Vec<Coming>, Error> {
    let rows = tx
        .all(
            "SELECT id, payload, created_at FROM jobs WHERE subject_id = $1 AND kind = $2
                AND state IN ('ready', 'leased') ORDER BY id",
            params![transfer, work::TAKE_IN],
        )
        .await?;
    let coming = |row: &Row| {
        let (id, payload) = (row.get("id")?, row.get("payload")?);
        Ok(Coming { id, payload, asked_at: row.get("created_at")? })
    };
    rows.iter().map(coming).collect()
}

/// The uploads of an organisation whose time is over.
pub(crate) async fn expired_uploads(
    tx: &mut Tx,
    org: OrgId,
    now: Timestamp,
) -> Result<Vec<StoredUpload>, Error> {
    tx.all(
        select_upload!("WHERE t.org_id = $1 AND p.expires_at <= $2 ORDER BY p.id LIMIT 10000"),
        params![org, now],
    )
    .await?
    .iter()
    .map(stored)
    .collect()
}

/// Makes the caller the one writer; nothing where the upload is at its end.
pub(crate) async fn take_upload(
    tx: &mut Tx,
    id: Uuid,
    now: Timestamp,
) -> Result<Option<Taken>, Error> {
    tx.opt(
        "UPDATE transfer_uploads SET epoch = epoch + 1
         WHERE id = $1 AND done = $2 AND expires_at > $3 RETURNING kept_bytes, hash, epoch",
        params![id, false, now],
    )
    .await?
    .map(|row| {
        Ok(Taken {
            kept_bytes: row.size("kept_bytes")?,
            hash: row.opt("hash")?,
            epoch: row.get("epoch")?,
        })
    })
    .transpose()
}

/// What a writer made durable, if it still is the one.
pub(crate) async fn keep_upload(
    tx: &mut Tx,
    (id, epoch): (Uuid, i64),
    (kept_bytes, hash): (u64, Vec<u8>),
    expires_at: Timestamp,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE transfer_uploads SET kept_bytes = $1, hash = $2, expires_at = $3,
                length_bytes = CASE WHEN deferred THEN $4 ELSE length_bytes END
         WHERE id = $5 AND epoch = $6 AND done = $7",
        params![int(kept_bytes), hash, expires_at, int(kept_bytes), id, epoch, false],
    )
    .await
}

/// Says how long an upload will be whose length was not known.
pub(crate) async fn set_length(
    tx: &mut Tx,
    (id, epoch): (Uuid, i64),
    length_bytes: u64,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE transfer_uploads SET length_bytes = $1, deferred = $2
         WHERE id = $3 AND epoch = $4 AND deferred",
        params![int(length_bytes), false, id, epoch],
    )
    .await
}

/// Ends an upload well, if the writer still is the one.
pub(crate) async fn finish_upload(
    tx: &mut Tx,
    (id, epoch): (Uuid, i64),
    expires_at: Timestamp,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE transfer_uploads SET kept_bytes = length_bytes, hash = NULL, done = $1,
                expires_at = $2
         WHERE id = $3 AND epoch = $4 AND done = $5",
        params![true, expires_at, id, epoch, false],
    )
    .await
}

/// Forgets an upload.
pub(crate) async fn delete_upload(tx: &mut Tx, id: Uuid) -> Result<u64, Error> {
    tx.exec("DELETE FROM transfer_uploads WHERE id = $1", params![id]).await
}

/// Forgets an upload whose time is still over.
pub(crate) async fn delete_expired(tx: &mut Tx, id: Uuid, now: Timestamp) -> Result<u64, Error> {
    tx.exec("DELETE FROM transfer_uploads WHERE id = $1 AND expires_at <= $2", params![id, now])
        .await
}

/// No upload of the transfer can go on.
pub(crate) async fn expire_uploads(
    tx: &mut Tx,
    transfer: Uuid,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "UPDATE transfer_uploads SET expires_at = $1
         WHERE transfer_id = $2 AND done = $3 AND expires_at > $4",
        params![now, transfer, false, now],
    )
    .await?;
    Ok(())
}

/// Bytes that a transfer's uploads have announced, but for those of one path.
pub(crate) async fn announced(
    tx: &mut Tx,
    transfer: Uuid,
    but: Option<&RelPath>,
    now: Timestamp,
) -> Result<u64, Error> {
    tx.one(
        "SELECT CAST(COALESCE(SUM(length_bytes), 0) AS BIGINT) AS bytes FROM transfer_uploads
         WHERE transfer_id = $1 AND done = $2 AND expires_at > $3 AND folded <> $4",
        params![transfer, false, now, but.map_or(String::new(), RelPath::folded)],
    )
    .await?
    .size("bytes")
}

/// Bytes of a revision, but for those of one path.
pub(crate) async fn bytes_beside(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
    but: Option<&RelPath>,
) -> Result<u64, Error> {
    tx.one(
        "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes FROM transfer_files
         WHERE transfer_id = $1 AND revision = $2 AND folded <> $3",
        params![transfer, revision, but.map_or(String::new(), RelPath::folded)],
    )
    .await?
    .size("bytes")
}

/// Bytes that a user's other transfers have in staging, with those announced.
pub(crate) async fn bytes_of_owner(
    tx: &mut Tx,
    owner: UserId,
    but: Uuid,
    now: Timestamp,
) -> Result<u64, Error> {
    tx.one(
        "SELECT CAST(
             (SELECT COALESCE(SUM(f.size_bytes), 0) FROM transfers t
              JOIN transfer_files f ON f.transfer_id = t.id AND f.revision = t.revision
              WHERE t.owner_id = $1 AND t.id <> $2 AND t.state NOT IN
                  ('delivered', 'cancelled', 'recalling', 'recall_failed', 'recalled'))
           + (SELECT COALESCE(SUM(p.length_bytes), 0) FROM transfers t
              JOIN transfer_uploads p ON p.transfer_id = t.id
              WHERE t.owner_id = $3 AND t.id <> $4 AND p.done = $5 AND p.expires_at > $6)
         AS BIGINT) AS bytes",
        params![owner, but, owner, but, false, now],
    )
    .await?
    .size("bytes")
}
