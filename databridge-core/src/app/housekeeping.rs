//! Housekeeping: a periodic job that one host at a time has, and that whoever looks after
//! the hosts can look at before it runs, and ask for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::{info, warn};

use super::App;
use crate::base::cancel::Cancel;
use crate::base::error::Error;
use crate::control::commands::Store;
use crate::control::ctx::{Authority, Ctx};
use crate::control::identity::{Entrance, MATRIX, Permission};
use crate::control::jobs::{
    self, Capability, Handler, HandlerFuture, JobView, Lease, NewJob, Watch,
};
use crate::control::retention;
use crate::domains::transfer::{self, Keep, Leftover, Leftovers, What};
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
pub(super) struct Removed(Arc<Mutex<BTreeMap<&'static str, (u64, u64)>>>);

impl Removed {
    fn add(&self, what: &'static str, things: u64, bytes: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(what).or_default();
        count.0 += things;
        count.1 += bytes;
    }

    pub(super) fn read(&self) -> Vec<(&'static str, u64, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What was never removed is told too: its graph begins at zero.
        let known = What::ALL.iter().map(|what| what.name()).chain(retention::KINDS);
        let of = |what| counts.get(what).copied().unwrap_or_default();
        known.map(|what| (what, of(what).0, of(what).1)).collect()
    }
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
        let expired = self.transfers.collect_uploads(&Ctx::system(lease.org), false).await?;
        self.removed.add(What::Upload.name(), expired.len() as u64, 0);
        if lease.payload[ONLY] == UPLOADS {
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            unit.finish(lease).await?;
            return unit.commit(()).await;
        }
        let count = |leftover: &Leftover| {
            info!(what = %leftover.what, path = leftover.path, "removed from staging");
            self.removed.add(leftover.what.name(), 1, leftover.bytes);
        };
        self.transfers.collect(lease, watch, self.keep, &count).await?;
        self.entrance.forget().await?;
        for (what, rows) in retention::forget(&self.store, self.retention).await? {
            self.removed.add(what, rows, 0);
        }
        let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
        unit.finish(lease).await?;
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
        unit.commit(()).await?;
        if ctx.actor.authority == Authority::Embedded {
            let ([_, house], stop) = (self.chores(), Cancel::new());
            while house.step(&stop).await? {}
        }
        let mut tx = self.store.db().read().await?;
        let found = jobs::list(&mut tx, ctx.org, None, Some(subject), 1).await?;
        found.into_iter().next().ok_or_else(|| crate::control::db::Error::NoRow.into())
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
    /// Of the store.
    pub async fn ask_for_housekeeping(&self) -> Result<(), Error> {
        let (period, payload, what) = match self.config.housekeeping.period() {
            Some(period) => (period, json!({}), ""),
            None => (USUAL, json!({ ONLY: UPLOADS }), ":uploads"),
        };
        for org in self.organisations().await? {
            let mut unit = self.store.begin(&Ctx::system(org)).await?;
            let seconds = unit.now().as_micros() / 1_000_000;
            let number = seconds / i64::try_from(period.as_secs()).unwrap_or(i64::MAX).max(1);
            let key = format!("{KIND}{what}:{}:{number}", org.0);
            unit.enqueue(job(org.0, key, payload.clone())).await?;
            unit.commit(()).await?;
        }
        Ok(())
    }
}

fn job(subject_id: uuid::Uuid, key: String, payload: Value) -> NewJob {
    NewJob { kind: KIND, subject_id, key, payload, priority: PRIORITY, held: false }
}
