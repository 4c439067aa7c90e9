//! What people are to know: made from sealed events, in their order, by the rules of the
//! domains; read and marked by whom it is for.

mod sql;

use std::collections::BTreeMap;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use super::commands::{Store, Unit};
use super::ctx::Ctx;
use super::db::Tx;
use super::ledger::{self, Event};
use crate::base::clock::Timestamp;
use crate::base::error::{Error, ErrorKind, Fault};
use crate::base::id::{OrgId, UserId};

/// Events read at a time.
const BATCH: i64 = 200;

/// One thing that somebody is to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notification {
    /// The event's position in the ledger.
    pub position: i64,
    /// What happened: `transfer.approved`, …
    pub kind: String,
    /// To what: `TRF-00042`.
    pub subject: String,
    /// Why they are told: `yours`, `your_turn`, `approved` (by them).
    pub reason: String,
    /// When it happened.
    pub at: Timestamp,
    /// When they read it.
    pub read_at: Option<Timestamp>,
}

/// A page of what somebody is to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Inbox {
    /// How many there are that were not read, on all pages.
    pub unread: u64,
    /// Newest first.
    pub items: Vec<Notification>,
    /// Give it as `before` to go on; `None` at the end.
    pub next: Option<i64>,
}

/// A page that is none.
#[derive(Debug, thiserror::Error)]
#[error("{field} is not acceptable: {reason}")]
pub struct BadField {
    /// Which field.
    pub field: &'static str,
    /// Why not.
    pub reason: &'static str,
}

impl Fault for BadField {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
    fn code(&self) -> &str {
        "inbox.bad_field"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("give another value, as the message says".into())
    }
}

/// People, and why each is to know.
pub type Concerned = BTreeMap<UserId, &'static str>;

/// Who is to know of an event, and why; a domain's rule.
pub trait Rule: Send + Sync {
    /// The people whom `event` concerns, in the transaction of their notification.
    fn concerns<'a>(
        &'a self,
        unit: &'a mut Unit,
        event: &'a Event,
    ) -> Pin<Box<dyn Future<Output = Result<Concerned, Error>> + Send + 'a>>;
}

/// Told at a time, where nobody says.
const PAGE: i64 = 50;

/// What the caller is to know.
///
/// # Errors
/// [`BadField`]; of the store.
pub async fn list(
    store: &Store,
    ctx: &Ctx,
    unread: bool,
    before: Option<i64>,
    limit: Option<i64>,
) -> Result<Inbox, Error> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=200).contains(&limit) {
        return Err(BadField { field: "limit", reason: "1 to 200" }.into());
    }
    newest(&mut store.db().read().await?, ctx, unread, before, limit).await
}

async fn newest(
    tx: &mut Tx,
    ctx: &Ctx,
    unread: bool,
    before: Option<i64>,
    limit: i64,
) -> Result<Inbox, Error> {
    let user = ctx.actor.user_id;
    let mut items = sql::page(tx, user, unread, before.unwrap_or(i64::MAX), limit + 1).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > most;
    items.truncate(most);
    let next = items.last().filter(|_| more).map(|item| item.position);
    Ok(Inbox { unread: sql::unread(tx, user).await?, items, next })
}

/// Marks as read, or as unread: these, or all there are. Answers the newest page.
///
/// # Errors
/// [`BadField`]; of the store.
pub async fn mark(store: &Store, ctx: &Ctx, positions: &[i64], read: bool) -> Result<Inbox, Error> {
    if positions.len() > 1000 {
        return Err(BadField { field: "positions", reason: "at most 1000" }.into());
    }
    let mut unit = store.begin(ctx).await?;
    let (user, now) = (ctx.actor.user_id, unit.now());
    let at = read.then_some(now);
    if positions.is_empty() {
        sql::mark_all(unit.tx(), user, at).await?;
    }
    for position in positions {
        sql::mark(unit.tx(), user, *position, at).await?;
    }
    let inbox = newest(unit.tx(), ctx, false, None, PAGE).await?;
    unit.commit(inbox).await
}

/// Notifies of what happened since it last looked; answers how many events it read.
///
/// # Errors
/// Of the store and of the rules.
pub async fn follow(store: &Store, org: OrgId, rules: &[&dyn Rule]) -> Result<usize, Error> {
    // Most of the time there is nothing to do, which needs no write.
    let mut tx = store.db().read().await?;
    let place = sql::place(&mut tx, org, false).await?.unwrap_or(-1);
    if ledger::history(&mut tx, org, None, place, 1).await?.is_empty() {
        return Ok(0);
    }
    drop(tx);
    let mut unit = store.begin(&Ctx::system(org)).await?;
    sql::begin(unit.tx(), org).await?;
    let place = sql::place(unit.tx(), org, true).await?.unwrap_or(-1);
    let events = ledger::history(unit.tx(), org, None, place, BATCH).await?;
    let Some(last) = events.last().map(|event| event.position) else { return Ok(0) };
    for page in &events {
        for rule in rules {
            for (user, reason) in rule.concerns(&mut unit, &page.event).await? {
                sql::notify(unit.tx(), user, page, reason).await?;
            }
        }
    }
    sql::move_to(unit.tx(), org, last).await?;
    unit.commit(events.len()).await
}
