//! Durable work: enqueued in the transaction of the change that asks for it, held
//! by a lease with a fencing epoch, tried again with backoff, and put before a
//! person when it cannot be done.

pub mod hosts;
mod lease;
mod sql;
mod tally;
mod traffic;
mod worker;

pub use hosts::Capability;
pub use lease::{Hold, Lease, Watch};
pub use sql::{JobView, in_hand, list, standing};
pub use tally::{Tallied, Tally};
pub use traffic::{
    Bandwidth, EVERY_HOST, Rules, SetBandwidth, Traffic, URGENT, Windows, bandwidth, set_bandwidth,
};
pub use worker::{Handler, HandlerFuture, LONGEST_BACKOFF, Retry, Settings, Worker};

use serde_json::Value;
use uuid::Uuid;

use super::commands::Unit;
use super::db;
use crate::base::error::{Error, ErrorKind, Fault};
use crate::base::id::JobId;
use crate::symbols;

symbols! {
    /// Where a job stands.
    pub enum State {
        /// Waits for a worker, or for its time.
        Ready = "ready",
        /// A worker has it.
        Leased = "leased",
        /// Its effects are committed.
        Done = "done",
        /// Given up; a person has to look.
        Dead = "dead",
        /// Somebody withdrew it.
        Withdrawn = "withdrawn",
    }
}

/// The worker lost its lease: somebody else has the job now, or nobody wants it.
#[derive(Debug, thiserror::Error)]
#[error("job {job} is no longer held by this worker")]
pub struct Fenced {
    /// The job.
    pub job: JobId,
}

impl Fault for Fenced {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Cancelled
    }
    fn code(&self) -> &str {
        "jobs.fenced"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("nothing is to be done: whoever has the job now goes on with it".into())
    }
}

/// Work to be done.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Which handler.
    pub kind: &'static str,
    /// About what.
    pub subject_id: Uuid,
    /// The same key is the same work: it is enqueued once.
    pub key: String,
    /// What the handler needs to know.
    pub payload: Value,
    /// Larger goes first; 0 is usual.
    pub priority: i64,
    /// Whether it stands still until somebody lets it go.
    pub held: bool,
}

impl Unit {
    /// Enqueues work with this change.
    ///
    /// # Errors
    /// [`db::Error`].
    pub async fn enqueue(&mut self, job: NewJob) -> Result<(), db::Error> {
        let (org, now) = (self.org(), self.now());
        sql::insert(self.tx(), org, now, job).await.map(drop)
    }

    /// The same, in the place of jobs of its kind and subject that were given up: nobody
    /// has to look at them any more.
    ///
    /// # Errors
    /// [`db::Error`].
    pub async fn enqueue_anew(&mut self, job: NewJob) -> Result<(), db::Error> {
        let (org, now, subject_id, kind) = (self.org(), self.now(), job.subject_id, job.kind);
        if sql::insert(self.tx(), org, now, job).await? > 0 {
            sql::withdraw_dead(self.tx(), subject_id, kind).await?;
        }
        Ok(())
    }

    /// Marks the job done together with its effects.
    ///
    /// # Errors
    /// [`Fenced`] where the lease is lost: then nothing of this unit may be kept.
    pub async fn finish(&mut self, lease: &Lease) -> Result<(), Error> {
        self.finish_with(lease, None).await
    }

    /// The same of a job that left something undone: people see what, as its last error.
    ///
    /// # Errors
    /// [`Fenced`].
    pub async fn finish_with(&mut self, lease: &Lease, error: Option<&str>) -> Result<(), Error> {
        let now = self.now();
        let rows = sql::close(self.tx(), lease, State::Done, error, now).await?;
        if rows == 1 { Ok(()) } else { Err(Fenced { job: lease.job }.into()) }
    }

    /// As [`Unit::finish_with`], of a job that did what every one of its kind would do,
    /// whatever its subject: nobody has to look at those any more that were given up.
    ///
    /// # Errors
    /// [`Fenced`].
    pub async fn finish_for_all(
        &mut self,
        lease: &Lease,
        error: Option<&str>,
    ) -> Result<(), Error> {
        self.finish_with(lease, error).await?;
        Ok(sql::withdraw_dead_of(self.tx(), lease.org, &lease.kind).await?)
    }

    /// Gives the job up together with what that means for its subject.
    ///
    /// # Errors
    /// [`Fenced`] where the lease is lost.
    pub async fn bury(&mut self, lease: &Lease, error: &str) -> Result<(), Error> {
        let now = self.now();
        let rows = sql::close(self.tx(), lease, State::Dead, Some(error), now).await?;
        if rows == 1 { Ok(()) } else { Err(Fenced { job: lease.job }.into()) }
    }

    /// Checks, inside this transaction, that the lease is still held.
    ///
    /// # Errors
    /// [`Fenced`].
    pub async fn hold(&mut self, lease: &Lease) -> Result<(), Error> {
        if sql::is_held(self.tx(), lease).await? {
            Ok(())
        } else {
            Err(Fenced { job: lease.job }.into())
        }
    }

    /// Keeps what the job has found out, as its payload: whoever takes the job up
    /// after us goes on from there.
    ///
    /// # Errors
    /// [`Fenced`] where the lease is lost.
    pub async fn remember(&mut self, lease: &Lease, payload: Value) -> Result<(), Error> {
        let rows = sql::set_payload(self.tx(), lease, payload).await?;
        if rows == 1 { Ok(()) } else { Err(Fenced { job: lease.job }.into()) }
    }

    /// Holds what of a subject is not finished, or lets it go on; whoever has one of
    /// its jobs in hand stands still in its place. With it goes its priority.
    ///
    /// # Errors
    /// [`db::Error`].
    pub async fn direct(
        &mut self,
        subject_id: Uuid,
        held: bool,
        priority: i64,
    ) -> Result<(), db::Error> {
        sql::direct(self.tx(), subject_id, held, priority).await
    }

    /// Withdraws every job of a subject that is not finished, and those that were given
    /// up; whoever has one finds its lease gone.
    ///
    /// # Errors
    /// [`db::Error`].
    pub async fn withdraw(&mut self, subject_id: Uuid) -> Result<(), db::Error> {
        let now = self.now();
        sql::withdraw(self.tx(), subject_id, now).await
    }

    /// The same for one job of a subject and a kind; `false` where there is no such job,
    /// or none any more.
    ///
    /// # Errors
    /// [`db::Error`].
    pub async fn withdraw_one(
        &mut self,
        id: Uuid,
        subject_id: Uuid,
        kind: &str,
    ) -> Result<bool, db::Error> {
        let now = self.now();
        Ok(sql::withdraw_one(self.tx(), (id, subject_id, kind), now).await? > 0)
    }
}
