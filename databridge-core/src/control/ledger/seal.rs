//! Giving events their position.
//!
//! On SQLite there is one writer, so an event is sealed in its own transaction. On
//! PostgreSQL transactions commit out of order, so events wait in a table until a
//! sealer, one at a time because it holds the head's row, gives them positions.

use super::tree::Tree;
use super::{Error, Event, sql};
use crate::control::db::Tx;
use crate::control::db::dialect::Dialect;

/// Events sealed in one go on PostgreSQL.
const BATCH: i64 = 500;

/// Writes events in the transaction of the change they tell of.
pub(in crate::control) async fn append(tx: &mut Tx, events: &[Event]) -> Result<(), Error> {
    let mut sealed = Vec::with_capacity(events.len());
    for event in events {
        let body = event.body();
        sql::insert_event(tx, event, &body).await?;
        match tx.dialect() {
            Dialect::Sqlite => sealed.push((event.id, body)),
            Dialect::Postgres => sql::insert_pending(tx, event.id).await?,
        }
    }
    extend(tx, &sealed).await
}

/// Seals what waits; answers how many events that were. Only needed on PostgreSQL.
pub(in crate::control) async fn pending(tx: &mut Tx) -> Result<usize, Error> {
    // The head first: whoever holds it is the one sealer.
    sql::head(tx, true).await?;
    let waiting = sql::pending(tx, BATCH).await?;
    extend(tx, &waiting).await?;
    for (id, _) in &waiting {
        sql::delete_pending(tx, *id).await?;
    }
    Ok(waiting.len())
}

async fn extend(tx: &mut Tx, events: &[(crate::base::id::EventId, String)]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let (old, _) = sql::head(tx, true).await?;
    let mut tree = Tree::default();
    let mut size = old;
    for (id, body) in events {
        tree.append(tx, size, body.as_bytes()).await?;
        sql::insert_leaf(tx, size, *id).await?;
        size += 1;
    }
    let root = tree.root(tx, size).await?;
    tree.store(tx).await?;
    if sql::move_head(tx, old, size, root).await? {
        Ok(())
    } else {
        Err(Error::Tree("the head moved while it was held".into()))
    }
}

/// Size and root of the sealed tree.
///
/// # Errors
/// [`Error::Db`].
pub async fn head(tx: &mut Tx) -> Result<(u64, [u8; 32]), Error> {
    let (size, root) = sql::head(tx, false).await?;
    Ok((size, root.0))
}

/// The bytes of the event at `position`, as they were sealed.
///
/// # Errors
/// [`Error::NoEvent`].
pub async fn record(tx: &mut Tx, position: u64) -> Result<String, Error> {
    let leaf = sql::leaves(tx, position, 1).await?.into_iter().next();
    let body = leaf.filter(|leaf| leaf.position == position).and_then(|leaf| leaf.body);
    body.ok_or(Error::NoEvent { position })
}

/// The RFC 6962 inclusion proof of the event at `position` under the root of `size`.
///
/// # Errors
/// [`Error::Tree`] where the tree holds no such leaf.
pub async fn inclusion(tx: &mut Tx, size: u64, position: u64) -> Result<Vec<[u8; 32]>, Error> {
    let mut tree = Tree::default();
    Ok(tree.inclusion(tx, size, position).await?.into_iter().map(|hash| hash.0).collect())
}
