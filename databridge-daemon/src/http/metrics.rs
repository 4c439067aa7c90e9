//! `/metrics`, as Prometheus reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use databridge_core::app::{METRICS, Measures};
use databridge_core::control::limits::Class;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::Served;
use super::limits::{self, Asked};
use super::problem::Problem;

type Labels = Vec<(&'static str, String)>;
type Real = Gauge<f64, AtomicU64>;

/// Counts of this process, and gauges that are set when they are read.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    limited: Family<Labels, Counter>,
    /// Open event streams.
    pub streams: Gauge<i64, AtomicI64>,
    approval_wait: Real,
    queue_age: Real,
    unsealed: Real,
    events: Gauge<i64, AtomicI64>,
    jobs: Family<Labels, Gauge<i64, AtomicI64>>,
    transfers: Family<Labels, Gauge<i64, AtomicI64>>,
    free: Family<Labels, Gauge<i64, AtomicI64>>,
    size: Family<Labels, Gauge<i64, AtomicI64>>,
    reserve: Family<Labels, Gauge<i64, AtomicI64>>,
    signatures: Family<Labels, Gauge<i64, AtomicI64>>,
    ended: Family<Labels, Counter>,
    copied: Counter,
    verified: Counter,
    verify_failures: Counter,
    removed: Family<Labels, Counter>,
    removed_bytes: Family<Labels, Counter>,
    stuck: Gauge<i64, AtomicI64>,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.5, 12))
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        let new = Self {
            registry: Registry::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            limited: Family::default(),
            streams: Gauge::default(),
            approval_wait: Gauge::default(),
            queue_age: Gauge::default(),
            unsealed: Gauge::default(),
            events: Gauge::default(),
            jobs: Family::default(),
            transfers: Family::default(),
            free: Family::default(),
            size: Family::default(),
            reserve: Family::default(),
            signatures: Family::default(),
            ended: Family::default(),
            copied: Counter::default(),
            verified: Counter::default(),
            verify_failures: Counter::default(),
            removed: Family::default(),
            removed_bytes: Family::default(),
            stuck: Gauge::default(),
        };
        for (name, _, _, help) in METRICS {
            new.register(&mut registry, name, help);
        }
        Arc::new(Self { registry, ..new })
    }

    /// The table in the library has the names; a name without a metric is in no answer,
    /// which a test finds.
    fn register(&self, to: &mut Registry, name: &'static str, help: &'static str) {
        // The format adds the suffix itself.
        let bare = name.strip_suffix("_total").unwrap_or(name);
        match name {
            "databridge_approval_wait_seconds" => {
                to.register(bare, help, self.approval_wait.clone())
            }
            "databridge_bytes_copied_total" => to.register(bare, help, self.copied.clone()),
            "databridge_bytes_verified_total" => to.register(bare, help, self.verified.clone()),
            "databridge_disk_free_bytes" => to.register(bare, help, self.free.clone()),
            "databridge_disk_reserve_bytes" => to.register(bare, help, self.reserve.clone()),
            "databridge_disk_size_bytes" => to.register(bare, help, self.size.clone()),
            "databridge_http_request_seconds" => to.register(bare, help, self.seconds.clone()),
            "databridge_http_requests_total" => to.register(bare, help, self.requests.clone()),
            "databridge_housekeeping_bytes_total" => {
                to.register(bare, help, self.removed_bytes.clone());
            }
            "databridge_housekeeping_removed_total" => {
                to.register(bare, help, self.removed.clone());
            }
            "databridge_housekeeping_stuck" => to.register(bare, help, self.stuck.clone()),
            "databridge_jobs" => to.register(bare, help, self.jobs.clone()),
            "databridge_jobs_ended_total" => to.register(bare, help, self.ended.clone()),
            "databridge_ledger_events" => to.register(bare, help, self.events.clone()),
            "databridge_ledger_unsealed_seconds" => to.register(bare, help, self.unsealed.clone()),
            "databridge_queue_age_seconds" => to.register(bare, help, self.queue_age.clone()),
            "databridge_rate_limited_total" => to.register(bare, help, self.limited.clone()),
            "databridge_scanner_signature_age_seconds" => {
                to.register(bare, help, self.signatures.clone());
            }
            "databridge_streams" => to.register(bare, help, self.streams.clone()),
            "databridge_transfers" => to.register(bare, help, self.transfers.clone()),
            "databridge_verify_failures_total" => {
                to.register(bare, help, self.verify_failures.clone());
            }
            _ => {}
        }
    }

    /// Counts an answer.
    pub fn answered(&self, route: &str, method: &Method, status: u16, took: Duration) {
        let route = ("route", route.to_owned());
        let method = match method.as_str() {
            known @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS") => known,
            _ => "other",
        };
        let labels =
            vec![route.clone(), ("method", method.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&vec![route.clone()]).observe(took.as_secs_f64());
        if status == 429 {
            self.limited.get_or_create(&vec![route]).inc();
        }
    }

    fn take(&self, found: &Measures) {
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.approval_wait.set(found.approval_wait.as_secs_f64());
        self.queue_age.set(found.queue_age.as_secs_f64());
        self.unsealed.set(found.unsealed.as_secs_f64());
        self.events.set(whole(found.events));
        for family in [&self.jobs, &self.transfers, &self.free, &self.size, &self.signatures] {
            family.clear();
        }
        for (kind, state, count) in &found.jobs {
            let labels = vec![("kind", kind.clone()), ("state", state.clone())];
            self.jobs.get_or_create(&labels).set(*count);
        }
        for (state, count) in &found.transfers {
            self.transfers.get_or_create(&vec![("state", state.clone())]).set(*count);
        }
        for (root, free, size) in &found.disks {
            let labels = vec![("root", (*root).to_owned())];
            self.free.get_or_create(&labels).set(whole(*free));
            self.size.get_or_create(&labels).set(whole(*size));
        }
        for (root, reserve) in &found.reserves {
            self.reserve.get_or_create(&vec![("root", (*root).to_owned())]).set(whole(*reserve));
        }
        for (engine, age) in &found.engines {
            self.signatures.get_or_create(&vec![("engine", engine.clone())]).set(whole(*age));
        }
        for (what, things, bytes) in &found.removed {
            let labels = vec![("what", (*what).to_owned())];
            self.removed.get_or_create(&labels).inner().store(*things, Ordering::Relaxed);
            self.removed_bytes.get_or_create(&labels).inner().store(*bytes, Ordering::Relaxed);
        }
        self.stuck.set(whole(found.stuck));
        let mut totals = [0, 0, 0];
        for line in &found.tallied {
            let labels = vec![("kind", line.kind.clone()), ("outcome", line.outcome.to_owned())];
            self.ended.get_or_create(&labels).inner().store(line.jobs, Ordering::Relaxed);
            match (line.kind.as_str(), line.outcome) {
                ("transfer.copy", _) => totals[0] += line.bytes,
                ("transfer.verify", "failed") => {
                    totals[1] += line.bytes;
                    totals[2] += line.jobs;
                }
                ("transfer.verify", _) => totals[1] += line.bytes,
                _ => {}
            }
        }
        let counters = [&self.copied, &self.verified, &self.verify_failures];
        for (counter, total) in counters.into_iter().zip(totals) {
            counter.inner().store(total, Ordering::Relaxed);
        }
    }

    fn text(&self, found: &Measures) -> Response {
        self.take(found);
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                ([(header::CONTENT_TYPE, kind)], text).into_response()
            }
            Err(error) => Problem::input(&error).into_response(),
        }
    }
}

/// On the daemon's own address, for who may read metrics.
pub(super) async fn own(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let asked = Asked { class: Class::Read, part: "metrics", peer };
    limits::admit(&served.app, asked, &headers, async |ctx| {
        let found = served.app.measure_for(&ctx).await?;
        Ok(served.metrics.text(&found))
    })
    .await
}

/// On an address of their own, for whoever reaches it.
pub(super) fn apart(served: Served) -> Router {
    let answer = |State(served): State<Served>| async move {
        match served.app.measure().await {
            Ok(found) => served.metrics.text(&found),
            Err(error) => Problem::from(error).into_response(),
        }
    };
    Router::new().route("/metrics", get(answer)).with_state(served)
}
