//! Housekeeping: a periodic job that one host at a time has, and that whoever looks after
//! the hosts can look at before it runs, and ask for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::{info, warn};

use super::App;
use super::background::go_on;
use crate::base::cancel::Cancel;
use crate::base::error::{Error, ErrorKind};
use crate::base::id::OrgId;
use crate::control::commands::Store;
use crate::control::ctx::{Authority, Ctx};
use crate::control::db::{self, Tx};
use crate::control::identity::{Entrance, MATRIX, Permission};
use crate::control::jobs::{
    self, Capability, Handler, HandlerFuture, JobView, Lease, NewJob, Watch,
};
use crate::control::retention;
use crate::domains::transfer::{self, Keep, Leftover, Leftovers, Stuck, What};
use crate::workflow::Symbol;

/// The kind of its jobs.
const KIND: &str = "housekeeping";
const PRIORITY: i64 = -20;
/// What of it alone is asked for, in a job's payload.
const ONLY: &str = "only";
const UPLOADS: &str = "uploads";
/// How often uploads are looked for where the rest is not.
const USUAL: Duration = Duration::from_secs(3600);
/// A daemon that just started has better things to do.
const GRACE: Duration = Duration::from_secs(300);
/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_secs(60);

/// What this process removed, by kind: things and bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Removed {
    counts: Arc<Mutex<BTreeMap<&'static str, (u64, u64)>>>,
    /// What its last run for each organisation could not read or remove.
    stuck: Arc<Mutex<BTreeMap<OrgId, u64>>>,
}

impl Removed {
    fn add(&self, what: &'static str, things: u64, bytes: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(what).or_default();
        count.0 += things;
        count.1 += bytes;
    }

    pub(super) fn read(&self) -> Vec<(&'static str, u64, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // What was never removed is told too: its graph begins at zero.
        let known = What::ALL.iter().map(|what| what.name()).chain(retention::KINDS);
        let of = |what| counts.get(what).copied().unwrap_or_default();
        known.map(|what| (what, of(what).0, of(what).1)).collect()
    }

    fn leave(&self, org: OrgId, stuck: u64) {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).insert(org, stuck);
    }

    /// What the last runs of this process for these organisations could not read or remove.
    pub(super) fn stuck(&self, orgs: &[OrgId]) -> u64 {
        let stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        orgs.iter().filter_map(|org| stuck.get(org)).sum()
    }
}

/// What of it is told in the list of jobs; the rest stands in the log.
fn told(stuck: &[Stuck]) -> Option<String> {
    let first = stuck.iter().take(5).map(|one| format!("; {}: {}", one.path, one.error));
    let count = stuck.len();
    (count > 0)
        .then(|| format!("{count} could not be read or removed{}", first.collect::<String>()))
}

/// Does the jobs.
pub(super) struct Housekeeper {
    pub store: Store,
    pub transfers: transfer::Service,
    pub entrance: Entrance,
    pub keep: Keep,
    pub retention: retention::Settings,
    pub removed: Removed,
}

impl Housekeeper {
    async fn work(&self, lease: &Lease, watch: &Watch) -> Result<(), Error> {
        // Uploads have a time of their own, whatever the rest waits for.
        let expired = self.transfers.collect_uploads(&Ctx::system(lease.org), false).await;
        let expired = expired.map(|gone| {
            self.removed.add(What::Upload.name(), gone.len() as u64, 0);
        });
        if lease.payload[ONLY] == UPLOADS {
            expired?;
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            unit.finish(lease).await?;
            return unit.commit(()).await;
        }
        let count = |leftover: &Leftover| {
            info!(what = %leftover.what, path = leftover.path, "removed from staging");
            self.removed.add(leftover.what.name(), 1, leftover.bytes);
        };
        let collected = self.transfers.collect(lease, watch, self.keep, &count).await;
        if let Err(error) = &collected
            && error.kind() == ErrorKind::Cancelled
        {
            return collected.map(drop);
        }
        // Each is done whatever came of the others.
        let sessions = self.entrance.forget().await;
        let rows = retention::forget(&self.store, self.retention).await;
        let stuck = collected?;
        expired?;
        sessions?;
        for (what, rows) in rows? {
            self.removed.add(what, rows, 0);
        }
        self.removed.leave(lease.org, stuck.len() as u64);
        let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
        // Those that were asked for by hand have no subject that anybody asks for again.
        unit.finish_for_all(lease, told(&stuck).as_deref()).await?;
        unit.commit(()).await
    }
}

impl Handler for Housekeeper {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn needs(&self, _kind: &str) -> &'static [Capability] {
        &[Capability::Staging]
    }

    fn run<'a>(&'a self, lease: &'a Lease, watch: &'a Watch) -> HandlerFuture<'a> {
        Box::pin(self.work(lease, watch))
    }

    fn give_up<'a>(&'a self, lease: &'a Lease, error: &'a Error) -> HandlerFuture<'a> {
        Box::pin(async move {
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            unit.bury(lease, &error.chain()).await?;
            unit.commit(()).await
        })
    }
}

impl App {
    /// What of staging would be removed now: nothing is.
    ///
    /// # Errors
    /// Not permitted; of the file system and the store.
    pub(super) async fn housekeeping_plan(&self, ctx: &Ctx) -> Result<Leftovers, Error> {
        ctx.require(MATRIX, Permission::KeepHouse, None)?;
        let mut tx = self.store.db().read().await?;
        let now = tx.now().await?;
        drop(tx);
        self.transfers.leftovers(ctx.org, now, self.config.housekeeping.keep()).await
    }

    /// Asks for it to be removed now; an embedded store does it at once. Answers the job.
    ///
    /// # Errors
    /// Not permitted; of the store.
    pub(super) async fn housekeeping_run(&self, ctx: &Ctx) -> Result<JobView, Error> {
        ctx.require(MATRIX, Permission::KeepHouse, None)?;
        let mut unit = self.store.begin(ctx).await?;
        let (subject, key) = (uuid::Uuid::now_v7(), uuid::Uuid::new_v4());
        unit.enqueue(job(subject, format!("{KIND}:{key}"), json!({}))).await?;
        let asked = the_job(unit.tx(), ctx.org, subject).await?;
        let asked = unit.commit(asked).await?;
        if ctx.actor.authority != Authority::Embedded {
            return Ok(asked);
        }
        let (house, stop) = (self.housekeeper(), Cancel::new());
        while house.step(&stop).await? {}
        the_job(&mut self.store.db().read().await?, ctx.org, subject).await
    }

    /// Asks for it once in each period, whichever host comes first.
    pub(super) async fn keep_house(&self, stop: &Cancel) {
        let (begun, mut looked) = (Instant::now(), None::<Instant>);
        while !stop.is_cancelled() {
            if begun.elapsed() > GRACE && looked.is_none_or(|at| at.elapsed() > LOOK) {
                looked = Some(Instant::now());
                if let Err(error) = self.ask_for_housekeeping().await {
                    warn!(error = error.chain(), "housekeeping could not be asked for");
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Asks for what is due by its schedule, for every organisation: nobody removes what is
    /// another's. Where the studio wants none (`every_hours = 0`), uploads whose time is
    /// over still go: how long they wait is a setting of its own.
    ///
    /// # Errors
    /// Of the store; the others were asked for all the same where it failed for one.
    pub async fn ask_for_housekeeping(&self) -> Result<(), Error> {
        let mut failed = None;
        for org in self.organisations().await? {
            go_on(&mut failed, self.ask_for_one(org).await);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn ask_for_one(&self, org: OrgId) -> Result<(), Error> {
        let (period, payload, what) = match self.config.housekeeping.period() {
            Some(period) => (period, json!({}), ""),
            None => (USUAL, json!({ ONLY: UPLOADS }), ":uploads"),
        };
        let mut unit = self.store.begin(&Ctx::system(org)).await?;
        let seconds = unit.now().as_micros() / 1_000_000;
        let number = seconds / i64::try_from(period.as_secs()).unwrap_or(i64::MAX).max(1);
        let key = format!("{KIND}{what}:{}:{number}", org.0);
        unit.enqueue_anew(job(org.0, key, payload)).await?;
        unit.commit(()).await
    }
}

async fn the_job(tx: &mut Tx, org: OrgId, subject: uuid::Uuid) -> Result<JobView, Error> {
    let found = jobs::list(tx, org, None, Some(subject), 1).await?;
    found.into_iter().next().ok_or_else(|| db::Error::NoRow.into())
}

fn job(subject_id: uuid::Uuid, key: String, payload: Value) -> NewJob {
    NewJob { kind: KIND, subject_id, key, payload, priority: PRIORITY, held: false }
}
