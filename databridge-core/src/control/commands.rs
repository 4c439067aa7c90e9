//! The one way to write: a unit of work holds a transaction, collects events and
//! jobs, and commits them with the change they belong to, or nothing at all.

mod sql;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::ctx::{Ctx, Expected};
use super::db::{self, Db, Tx};
use super::ledger::{self, Event, Subject};
use crate::base::clock::Timestamp;
use crate::base::error::{Error, ErrorKind, Fault};
use crate::base::id::OrgId;

/// What can go wrong with a command whatever it does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Somebody changed the subject since it was read.
    #[error("{subject} was changed by somebody else in the meantime")]
    Stale {
        /// What.
        subject: String,
    },
    /// The idempotency key was used for something else.
    #[error("the idempotency key {key:?} was used for another request")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// The command is bound to a version that is not the newest.
    #[error("{subject} is at version {found}, not {expected}")]
    Precondition {
        /// What.
        subject: String,
        /// What was looked at.
        expected: i64,
        /// What there is.
        found: i64,
    },
    /// The command must be bound to a version.
    #[error("a change of {subject} takes the version that was looked at")]
    Unconditional {
        /// What.
        subject: String,
    },
}

impl Fault for Failure {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Precondition { .. } => ErrorKind::Outdated,
            Self::Unconditional { .. } => ErrorKind::Unconditional,
            _ => ErrorKind::Conflict,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Stale { .. } => "command.stale",
            Self::KeyReused { .. } => "command.key_reused",
            Self::Precondition { .. } => "command.outdated",
            Self::Unconditional { .. } => "command.unconditional",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::Stale { .. } => "look at it again, then decide again".into(),
            Self::Precondition { .. } => "look at it again, then decide again".into(),
            Self::Unconditional { .. } => "look at it first, and give its ETag as If-Match".into(),
            Self::KeyReused { .. } => "use a fresh key for each new request".into(),
        })
    }
}

/// A store and those who wait for it to change. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    changed: watch::Sender<u64>,
}

impl Store {
    /// Over an open database.
    pub fn new(db: Db) -> Self {
        Self { db, changed: watch::Sender::new(0) }
    }

    /// The database, to read from.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Tells of every commit of this process. A hint: other processes commit too.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Opens a unit of work for `ctx`.
    ///
    /// # Errors
    /// [`db::Error`].
    pub async fn begin(&self, ctx: &Ctx) -> Result<Unit, Error> {
        let mut tx = self.db.begin().await?;
        let now = tx.now().await?;
        Ok(Unit { tx, ctx: ctx.clone(), now, events: Vec::new(), changed: self.changed.clone() })
    }

    /// A transaction for the control wing's own bookkeeping (leases, seals), which
    /// makes no history.
    pub(in crate::control) async fn write(&self) -> Result<Tx, Error> {
        Ok(self.db.begin().await?)
    }

    /// What the command with this context's idempotency key answered, if it ran.
    ///
    /// # Errors
    /// [`Failure::KeyReused`] where the key belongs to another request.
    pub async fn replay(&self, ctx: &Ctx) -> Result<Option<serde_json::Value>, Error> {
        let Some(key) = &ctx.idempotency else { return Ok(None) };
        let mut tx = self.db.read().await?;
        let Some((request, response)) = sql::answered(&mut tx, ctx.actor.user_id, &key.key).await?
        else {
            return Ok(None);
        };
        if request != key.request {
            return Err(Failure::KeyReused { key: key.key.clone() }.into());
        }
        Ok(Some(response))
    }

    /// Gives positions to events that wait for one (PostgreSQL); answers how many.
    ///
    /// # Errors
    /// [`ledger::Error`].
    pub async fn seal(&self) -> Result<usize, Error> {
        let mut tx = self.write().await?;
        let sealed = ledger::seal::pending(&mut tx).await?;
        tx.commit().await?;
        if sealed > 0 {
            self.changed.send_modify(|n| *n += 1);
        }
        Ok(sealed)
    }
}

/// An open unit of work; dropped without [`Unit::commit`] nothing happened.
#[derive(Debug)]
pub struct Unit {
    tx: Tx,
    ctx: Ctx,
    now: Timestamp,
    events: Vec<Event>,
    changed: watch::Sender<u64>,
}

impl Unit {
    /// The transaction.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }
    /// Who acts.
    pub fn ctx(&self) -> &Ctx {
        &self.ctx
    }
    /// The tenant.
    pub fn org(&self) -> OrgId {
        self.ctx.org
    }
    /// When, by the store's clock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Records a fact, in the order of the calls.
    pub fn record(&mut self, subject: &Subject, kind: &str, data: serde_json::Value) {
        self.events.push(Event::new(&self.ctx, subject.clone(), kind, self.now, data));
    }

    /// Records a fact that DataBridge itself makes true, following on what the caller
    /// did.
    pub fn record_as_system(&mut self, subject: &Subject, kind: &str, data: serde_json::Value) {
        let system = Ctx::system(self.ctx.org);
        self.events.push(Event::new(&system, subject.clone(), kind, self.now, data));
    }

    /// Commits the change, its events and its jobs; keeps `outcome` under the
    /// idempotency key, if there is one.
    ///
    /// # Errors
    /// [`db::Error`]; then nothing was written.
    pub async fn commit<T: Serialize + DeserializeOwned>(mut self, outcome: T) -> Result<T, Error> {
        if let Some(key) = &self.ctx.idempotency {
            let response = serde_json::to_value(&outcome).unwrap_or_default();
            sql::keep(&mut self.tx, self.ctx.actor.user_id, key, response, self.now).await?;
        }
        ledger::seal::append(&mut self.tx, &self.events).await?;
        crate::base::steps::reach("command.before_commit");
        self.tx.commit().await?;
        crate::base::steps::reach("command.committed");
        self.changed.send_modify(|n| *n += 1);
        Ok(outcome)
    }
}

/// Refuses where an update by version touched no row.
///
/// # Errors
/// [`Failure::Stale`].
pub fn moved(rows: u64, subject: &str) -> Result<(), Failure> {
    if rows == 1 { Ok(()) } else { Err(Failure::Stale { subject: subject.to_owned() }) }
}

/// Refuses where the command is bound to another version than the one that was found.
///
/// # Errors
/// [`Failure::Precondition`].
pub fn bound(ctx: &Ctx, subject: &str, found: i64) -> Result<(), Failure> {
    match ctx.expected {
        Some(Expected::Version(expected)) if expected != found => {
            Err(Failure::Precondition { subject: subject.to_owned(), expected, found })
        }
        _ => Ok(()),
    }
}

/// For callers that tell a unique rule's refusal from other failures.
pub fn exists(error: &db::Error) -> bool {
    matches!(error, db::Error::Exists { .. })
}
