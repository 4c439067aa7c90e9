//! The ledger's statements.

use serde::Serialize;
use tlog_tiles::Hash;
use uuid::Uuid;

use super::{Error, Event};
use crate::base::clock::Timestamp;
use crate::base::id::{EventId, OrgId};
use crate::control::db::dialect::Dialect;
use crate::control::db::{self, Row, Tx};
use crate::params;

/// A sealed event.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Page {
    /// Its place in the order of all events.
    pub position: i64,
    /// The fact.
    #[serde(flatten)]
    pub event: Event,
}

pub(super) async fn insert_event(tx: &mut Tx, event: &Event, body: &str) -> Result<(), db::Error> {
    tx.exec(
        "INSERT INTO ledger_event (id, org_id, subject_kind, subject_id, kind, actor, recorded_at, body, subject_code)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            event.id,
            event.org,
            &event.subject.kind,
            event.subject.id,
            &event.kind,
            &event.by.username,
            event.at,
            body,
            &event.subject.code
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn insert_pending(tx: &mut Tx, id: EventId) -> Result<(), db::Error> {
    tx.exec("INSERT INTO ledger_pending (event_id) VALUES ($1)", params![id]).await?;
    Ok(())
}

/// Up to `limit` events without a position, oldest first, with their bytes.
pub(super) async fn pending(tx: &mut Tx, limit: i64) -> Result<Vec<(EventId, String)>, db::Error> {
    tx.all(
        "SELECT e.id, e.body FROM ledger_pending p JOIN ledger_event e ON e.id = p.event_id
         ORDER BY e.id LIMIT $1",
        params![limit],
    )
    .await?
    .iter()
    .map(|row| Ok((row.get("id")?, row.get("body")?)))
    .collect()
}

pub(super) async fn delete_pending(tx: &mut Tx, id: EventId) -> Result<(), db::Error> {
    tx.exec("DELETE FROM ledger_pending WHERE event_id = $1", params![id]).await?;
    Ok(())
}

pub(super) async fn count_pending(tx: &mut Tx) -> Result<u64, db::Error> {
    tx.one("SELECT COUNT(*) AS n FROM ledger_pending", params![]).await?.size("n")
}

/// When the oldest event was recorded that has no position yet.
///
/// # Errors
/// [`Error::Db`].
pub async fn oldest_pending(tx: &mut Tx) -> Result<Option<Timestamp>, Error> {
    let row = tx
        .one(
            "SELECT MIN(e.recorded_at) AS at FROM ledger_pending p
             JOIN ledger_event e ON e.id = p.event_id",
            params![],
        )
        .await?;
    Ok(row.opt("at")?)
}

pub(super) async fn insert_leaf(tx: &mut Tx, position: u64, id: EventId) -> Result<(), db::Error> {
    tx.exec(
        "INSERT INTO ledger_leaf (position, event_id) VALUES ($1, $2)",
        params![int(position), id],
    )
    .await?;
    Ok(())
}

pub(super) async fn insert_node(tx: &mut Tx, index: u64, hash: Hash) -> Result<(), db::Error> {
    tx.exec(
        "INSERT INTO ledger_node (idx, hash) VALUES ($1, $2)",
        params![int(index), hash.0.as_slice()],
    )
    .await?;
    Ok(())
}

/// The stored hashes among `indexes`; what is not stored is not answered.
pub(super) async fn nodes(tx: &mut Tx, indexes: &[u64]) -> Result<Vec<(u64, Hash)>, Error> {
    let mut found = Vec::with_capacity(indexes.len());
    for index in indexes {
        let row =
            tx.opt("SELECT hash FROM ledger_node WHERE idx = $1", params![int(*index)]).await?;
        if let Some(row) = row {
            found.push((*index, hash(&row, "hash")?));
        }
    }
    Ok(found)
}

pub(super) fn hash(row: &Row, column: &str) -> Result<Hash, Error> {
    let bytes: Vec<u8> = row.get(column)?;
    let array =
        bytes.try_into().map_err(|_| Error::Tree("a stored hash is not 32 bytes".into()))?;
    Ok(Hash(array))
}

/// Size and root, with the head held until the transaction ends.
pub(super) async fn head(tx: &mut Tx, hold: bool) -> Result<(u64, Hash), Error> {
    let sql = match (hold, tx.dialect()) {
        (true, Dialect::Postgres) => "SELECT size, root FROM ledger_head WHERE id = 1 FOR UPDATE",
        _ => "SELECT size, root FROM ledger_head WHERE id = 1",
    };
    let row = tx.one(sql, params![]).await?;
    Ok((row.size("size")?, hash(&row, "root")?))
}

/// Moves the head from `old` to `new`; `false` where somebody moved it first.
pub(super) async fn move_head(
    tx: &mut Tx,
    old: u64,
    new: u64,
    root: Hash,
) -> Result<bool, db::Error> {
    let moved = tx
        .exec(
            "UPDATE ledger_head SET size = $1, root = $2 WHERE id = 1 AND size = $3",
            params![int(new), root.0.as_slice(), int(old)],
        )
        .await?;
    Ok(moved == 1)
}

/// How many events are sealed.
///
/// # Errors
/// [`Error::Db`].
pub async fn size(tx: &mut Tx) -> Result<u64, Error> {
    Ok(head(tx, false).await?.0)
}

/// Sealed events of an organisation after a position, oldest first; of one subject
/// where it is named.
///
/// # Errors
/// [`Error::Db`].
pub async fn history(
    tx: &mut Tx,
    org: OrgId,
    subject: Option<Uuid>,
    after: i64,
    limit: i64,
) -> Result<Vec<Page>, Error> {
    let rows = match subject {
        Some(subject) => {
            tx.all(
                "SELECT l.position, e.body FROM ledger_event e JOIN ledger_leaf l ON l.event_id = e.id
                 WHERE e.org_id = $1 AND e.subject_id = $2 AND l.position > $3
                 ORDER BY l.position LIMIT $4",
                params![org, subject, after, limit],
            )
            .await?
        }
        None => {
            tx.all(
                "SELECT l.position, e.body FROM ledger_leaf l JOIN ledger_event e ON e.id = l.event_id
                 WHERE e.org_id = $1 AND l.position > $2 ORDER BY l.position LIMIT $3",
                params![org, after, limit],
            )
            .await?
        }
    };
    pages(&rows)
}

/// Sealed events of every organisation after a position, oldest first: for whoever tells
/// each its own.
///
/// # Errors
/// [`Error::Db`].
pub async fn since(tx: &mut Tx, after: i64, limit: i64) -> Result<Vec<Page>, Error> {
    let rows = tx
        .all(
            "SELECT l.position, e.body FROM ledger_leaf l JOIN ledger_event e ON e.id = l.event_id
             WHERE l.position > $1 ORDER BY l.position LIMIT $2",
            params![after, limit],
        )
        .await?;
    pages(&rows)
}

/// The newest events of a subject, newest first, sealed or not.
///
/// # Errors
/// [`Error::Db`].
pub async fn latest(
    tx: &mut Tx,
    org: OrgId,
    subject: Uuid,
    limit: i64,
) -> Result<Vec<Event>, Error> {
    let rows = tx
        .all(
            "SELECT body FROM ledger_event WHERE org_id = $1 AND subject_id = $2
             ORDER BY id DESC LIMIT $3",
            params![org, subject, limit],
        )
        .await?;
    rows.iter().map(event).collect()
}

/// As [`history`], by a filter. A subject is found by the index of codes (of what a host
/// of the version before writes, the database fills it in).
pub(super) async fn search(
    tx: &mut Tx,
    org: OrgId,
    filter: &super::Filter,
    after: i64,
    limit: i64,
) -> Result<Vec<Page>, Error> {
    let mut params = params![org, after];
    let mut sql = "SELECT l.position, e.body FROM ledger_leaf l
                   JOIN ledger_event e ON e.id = l.event_id
                   WHERE e.org_id = $1 AND l.position > $2"
        .to_owned();
    let mut and = |clause: &str, value: crate::control::db::Value| {
        params.push(value);
        let place = format!("${}", params.len());
        sql.push_str(" AND ");
        sql.push_str(&clause.replace('?', &place));
    };
    if let Some(kind) = &filter.kind {
        match kind.contains('.') {
            true => and("e.kind = ?", kind.into()),
            false => and("e.subject_kind = ?", kind.into()),
        }
    }
    if let Some(actor) = &filter.actor {
        and("e.actor = ?", actor.into());
    }
    if let Some(since) = filter.since {
        and("e.recorded_at >= ?", since.into());
    }
    if let Some(until) = filter.until {
        and("e.recorded_at < ?", until.into());
    }
    if let Some(subject) = &filter.subject {
        and("e.subject_code = ?", subject.into());
    }
    params.push(limit.into());
    sql.push_str(&format!(" ORDER BY l.position LIMIT ${}", params.len()));
    pages(&tx.all_built(sql, params).await?)
}

fn pages(rows: &[Row]) -> Result<Vec<Page>, Error> {
    rows.iter().map(|row| Ok(Page { position: row.get("position")?, event: event(row)? })).collect()
}

fn event(row: &Row) -> Result<Event, Error> {
    let body: String = row.get("body")?;
    Ok(serde_json::from_str(&body)
        .map_err(|e| db::Error::Column { column: "body".into(), source: e.into() })?)
}

/// A leaf as the verifier reads it; the event's columns are NULL where it is gone.
pub(super) struct StoredLeaf {
    pub position: u64,
    pub event_id: EventId,
    pub body: Option<String>,
    /// The projections of the body.
    pub columns: Option<Columns>,
}

/// What stands beside a body, for queries.
#[derive(PartialEq)]
pub(super) struct Columns {
    pub org: OrgId,
    pub subject_kind: String,
    pub subject: Uuid,
    /// None where the body cannot be read.
    pub subject_code: Option<String>,
    pub kind: String,
    pub actor: String,
    pub recorded_at: Timestamp,
}

pub(super) async fn leaves(
    tx: &mut Tx,
    from: u64,
    limit: i64,
) -> Result<Vec<StoredLeaf>, db::Error> {
    tx.all(
        "SELECT l.position, l.event_id, e.body, e.org_id, e.subject_kind, e.subject_id,
                e.subject_code, e.kind, e.actor, e.recorded_at
         FROM ledger_leaf l LEFT JOIN ledger_event e ON e.id = l.event_id
         WHERE l.position >= $1 ORDER BY l.position LIMIT $2",
        params![int(from), limit],
    )
    .await?
    .iter()
    .map(|row| {
        let kind: Option<String> = row.opt("kind")?;
        let columns = match kind {
            None => None,
            Some(kind) => Some(Columns {
                org: row.get("org_id")?,
                subject_kind: row.get("subject_kind")?,
                subject: row.get("subject_id")?,
                subject_code: row.opt("subject_code")?,
                kind,
                actor: row.get("actor")?,
                recorded_at: row.get("recorded_at")?,
            }),
        };
        Ok(StoredLeaf {
            position: row.size("position")?,
            event_id: row.get("event_id")?,
            body: row.opt("body")?,
            columns,
        })
    })
    .collect()
}

/// Events that are neither sealed nor waiting: nobody wrote them as we do.
pub(super) async fn strays(tx: &mut Tx) -> Result<Vec<EventId>, db::Error> {
    tx.all(
        "SELECT e.id FROM ledger_event e
         LEFT JOIN ledger_leaf l ON l.event_id = e.id
         LEFT JOIN ledger_pending p ON p.event_id = e.id
         WHERE l.position IS NULL AND p.event_id IS NULL ORDER BY e.id LIMIT 100",
        params![],
    )
    .await?
    .iter()
    .map(|row| row.get("id"))
    .collect()
}

#[allow(clippy::cast_possible_wrap)]
pub(super) fn int(n: u64) -> i64 {
    n as i64
}
