//! Whose a path in production is, and what was taken out again.

use uuid::Uuid;

use super::super::layout::{above, key};
use crate::control::db::{Error, Tx};
use crate::params;

/// The code of the transfer that may stand at `path`, above it or below it; of whatever
/// organisation, since all share one production.
pub(crate) async fn holder(tx: &mut Tx, path: &str) -> Result<Option<String>, Error> {
    let key = key(path);
    let mut params = params![&key, format!("{key}/"), format!("{key}0")];
    let mut places = vec!["$1".to_owned()];
    for above in above(&key) {
        params.push(above.into());
        places.push(format!("${}", params.len()));
    }
    // `0` follows `/` in the order of bytes, in which both databases keep the column.
    let sql = format!(
        "SELECT code FROM transfers
         WHERE path_key IN ({}) OR (path_key >= $2 AND path_key < $3) LIMIT 1",
        places.join(", ")
    );
    let found = tx.all_built(sql, params).await?;
    found.first().map(|row| row.get("code")).transpose()
}

/// Nothing of the transfer is left at its path: another may have it.
pub(crate) async fn release_path(tx: &mut Tx, id: Uuid) -> Result<(), Error> {
    tx.exec("UPDATE transfers SET path_key = NULL WHERE id = $1", params![id]).await?;
    Ok(())
}

/// Which folder was published.
pub(crate) async fn set_payload_inode(tx: &mut Tx, id: Uuid, inode: u64) -> Result<(), Error> {
    // As its bits: the column has a sign.
    let inode = i64::from_ne_bytes(inode.to_ne_bytes());
    tx.exec("UPDATE transfers SET payload_inode = $1 WHERE id = $2", params![inode, id]).await?;
    Ok(())
}

pub(crate) async fn payload_inode(tx: &mut Tx, id: Uuid) -> Result<Option<u64>, Error> {
    let row = tx.one("SELECT payload_inode FROM transfers WHERE id = $1", params![id]).await?;
    let inode: Option<i64> = row.opt("payload_inode")?;
    Ok(inode.map(|inode| u64::from_ne_bytes(inode.to_ne_bytes())))
}

pub(crate) async fn set_recall_receipt(tx: &mut Tx, id: Uuid, text: &str) -> Result<(), Error> {
    tx.exec("UPDATE transfers SET recall_receipt = $1 WHERE id = $2", params![text, id]).await?;
    Ok(())
}

pub(crate) async fn recall_receipt(tx: &mut Tx, id: Uuid) -> Result<Option<String>, Error> {
    tx.one("SELECT recall_receipt FROM transfers WHERE id = $1", params![id])
        .await?
        .opt("recall_receipt")
}
