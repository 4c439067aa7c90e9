//! What a monitoring system watches: read when it asks, from the store where hosts
//! share it, from this process where it is this process's own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::App;
use super::health::space;
use crate::base::clock::Timestamp;
use crate::base::error::Error;
use crate::base::id::OrgId;
use crate::control::ctx::Ctx;
use crate::control::identity::{MATRIX, Permission};
use crate::control::jobs::{self, Tallied};
use crate::control::looks;
use crate::media::scan;

/// Engines are asked at most so often: that loads rules.
const ASKED: Duration = Duration::from_secs(300);

/// A metric: its name, what it is, its labels, what it tells.
pub const METRICS: &[(&str, &str, &str, &str)] = &[
    (
        "databridge_approval_wait_seconds",
        "gauge",
        "",
        "how long the oldest review has waited for its next decision",
    ),
    (
        "databridge_bytes_copied_total",
        "counter",
        "",
        "bytes written towards production by this process",
    ),
    (
        "databridge_bytes_verified_total",
        "counter",
        "",
        "bytes read back from production by this process",
    ),
    ("databridge_disk_free_bytes", "gauge", "root", "free on `data`, `staging`, `production`"),
    (
        "databridge_disk_reserve_bytes",
        "gauge",
        "root",
        "what of `staging`, `production` is to stay free",
    ),
    ("databridge_disk_size_bytes", "gauge", "root", "size of the same file systems"),
    (
        "databridge_housekeeping_bytes_total",
        "counter",
        "what",
        "bytes that housekeeping of this process removed from staging",
    ),
    (
        "databridge_housekeeping_removed_total",
        "counter",
        "what",
        "leftovers in staging and rows of the store that it removed, by kind",
    ),
    (
        "databridge_housekeeping_stuck",
        "gauge",
        "",
        "what the last housekeeping of this process could not read or remove",
    ),
    ("databridge_http_request_seconds", "histogram", "route", "time to answer"),
    (
        "databridge_http_requests_total",
        "counter",
        "route, method, status",
        "requests answered by this process",
    ),
    ("databridge_jobs", "gauge", "kind, state", "jobs `ready`, `leased` or `dead`, of all hosts"),
    (
        "databridge_jobs_ended_total",
        "counter",
        "kind, outcome",
        "attempts of this process: `done`, `failed`, `put_back`",
    ),
    ("databridge_ledger_events", "gauge", "", "sealed events"),
    (
        "databridge_ledger_unsealed_seconds",
        "gauge",
        "",
        "how long the oldest event has waited for its position",
    ),
    ("databridge_queue_age_seconds", "gauge", "", "how long the oldest job has been due"),
    ("databridge_rate_limited_total", "counter", "route", "requests refused by a limit"),
    (
        "databridge_scanner_signature_age_seconds",
        "gauge",
        "engine",
        "age of an engine's signatures; asked every 5 minutes",
    ),
    ("databridge_streams", "gauge", "", "open event streams of this process"),
    ("databridge_transfers", "gauge", "state", "transfers that are not at their end"),
    ("databridge_verify_failures_total", "counter", "", "read-backs of this process that failed"),
];

/// All of it, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Measures {
    /// Jobs of each kind and state.
    pub jobs: Vec<(String, String, i64)>,
    /// How long the oldest job has been due.
    pub queue_age: Duration,
    /// Transfers in each state that is no end.
    pub transfers: Vec<(String, i64)>,
    /// How long the oldest review has waited.
    pub approval_wait: Duration,
    /// Sealed events.
    pub events: u64,
    /// How long the oldest event has waited for its position.
    pub unsealed: Duration,
    /// What this process's workers did.
    pub tallied: Vec<Tallied>,
    /// Root, free and all bytes.
    pub disks: Vec<(&'static str, u64, u64)>,
    /// Root, and what of it is to stay free.
    pub reserves: Vec<(&'static str, u64)>,
    /// The engines, and how old their signatures are.
    pub engines: Ages,
    /// What housekeeping of this process removed: kind, how many, bytes.
    pub removed: Vec<(&'static str, u64, u64)>,
    /// What its last run could not read or remove.
    pub stuck: u64,
}

/// The name of each engine, and the age of its signatures in seconds.
type Ages = Vec<(String, u64)>;

/// The engines as they were last asked.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<Option<(Instant, Ages)>>);

impl App {
    /// Measures, for who may read metrics.
    ///
    /// # Errors
    /// Not permitted; of the store.
    pub async fn measure_for(&self, ctx: &Ctx) -> Result<Measures, Error> {
        ctx.require(MATRIX, Permission::ReadMetrics, None)?;
        self.measure_of(&[ctx.org]).await
    }

    /// Measures of every organisation, for who reaches the address that is meant for that.
    ///
    /// # Errors
    /// Of the store.
    pub async fn measure(&self) -> Result<Measures, Error> {
        self.measure_of(&self.organisations().await?).await
    }

    async fn measure_of(&self, orgs: &[OrgId]) -> Result<Measures, Error> {
        let mut tx = self.store.db().read().await?;
        let now = tx.now().await?;
        let mut jobs = BTreeMap::<(String, String), i64>::new();
        let mut transfers = BTreeMap::<String, i64>::new();
        let (mut due, mut review) = (Vec::new(), Vec::new());
        for org in orgs {
            let (found, oldest) = jobs::standing(&mut tx, *org).await?;
            for (kind, state, count) in found {
                *jobs.entry((kind, state)).or_default() += count;
            }
            due.extend(oldest);
            let (found, oldest) = self.transfers.measure(&mut tx, *org).await?;
            for (state, count) in found {
                *transfers.entry(state).or_default() += count;
            }
            review.extend(oldest);
        }
        drop(tx);
        let since = |all: Vec<Timestamp>| {
            all.into_iter().min().map(|oldest| now.since(oldest)).unwrap_or_default()
        };
        let (events, unsealed) = self.unsealed().await?;
        Ok(Measures {
            jobs: jobs.into_iter().map(|((kind, state), count)| (kind, state, count)).collect(),
            queue_age: since(due),
            transfers: transfers.into_iter().collect(),
            approval_wait: since(review),
            events,
            unsealed: unsealed.unwrap_or_default(),
            tallied: self.tally.read(),
            disks: self.disks().await,
            reserves: vec![
                ("staging", self.config.space.staging_reserve_bytes),
                ("production", self.config.space.production_reserve_bytes),
            ],
            engines: self.engines().await,
            removed: self.removed.read(),
            stuck: self.removed.stuck(orgs),
        })
    }

    /// What does not answer has no size then, which is what an alert is for.
    async fn disks(&self) -> Vec<(&'static str, u64, u64)> {
        let mut found = Vec::new();
        for (name, path) in self.roots() {
            if let Some(Ok((free, size))) = looks::at(&path.clone(), move || space(&path)).await {
                found.push((name, free, size));
            }
        }
        found
    }

    async fn engines(&self) -> Vec<(String, u64)> {
        let kept = |asked: &super::measures::Asked| {
            let asked = asked.0.lock().unwrap_or_else(PoisonError::into_inner);
            asked.as_ref().filter(|(at, _)| at.elapsed() < ASKED).map(|(_, found)| found.clone())
        };
        if let Some(found) = kept(&self.asked) {
            return found;
        }
        let settings = self.config.scan.clone();
        let look = move || scan::Engines::open(&settings).and_then(|engines| engines.standing());
        let found: Vec<(String, u64)> = match tokio::task::spawn_blocking(look).await {
            Ok(Ok(standing)) => standing
                .into_iter()
                .filter_map(|one| Some((one.engine.name, one.signature_age_seconds?)))
                .collect(),
            // No engine has an age then, which is what an alert is for.
            _ => Vec::new(),
        };
        let mut asked = self.asked.0.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = Some((Instant::now(), found.clone()));
        found
    }
}
