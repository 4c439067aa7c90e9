//! A job that does not let go when its worker is asked to end: the lease runs out, another
//! worker does it, and what the first still does changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use databridge_core::base::cancel::Cancel;
use databridge_core::base::error::Error;
use databridge_core::control::commands::Store;
use databridge_core::control::ctx::Ctx;
use databridge_core::control::jobs::{Handler, HandlerFuture, Lease, Settings, Watch, Worker};
use databridge_core::control::ledger::Subject;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::lab::{Kind, Lab, text};

on_both!(a_job_that_outlives_the_drain_is_handed_back);

const KIND: &str = "stubborn";

/// Its work ends when it may, whoever asks it to stop.
struct Stubborn {
    store: Store,
    name: &'static str,
    begun: Semaphore,
    may_end: Semaphore,
    fenced: AtomicU32,
}

impl Stubborn {
    fn new(lab: &Lab, name: &'static str, may_end: usize) -> Arc<Self> {
        let (begun, may_end) = (Semaphore::new(0), Semaphore::new(may_end));
        Arc::new(Self { store: lab.store.clone(), name, begun, may_end, fenced: AtomicU32::new(0) })
    }

    async fn work(&self, lease: &Lease) -> Result<(), Error> {
        self.begun.add_permits(1);
        self.may_end.acquire().await.unwrap().forget();
        let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
        let id = lease.subject_id;
        let subject = Subject { kind: "thing".into(), id, code: "thing".into() };
        unit.record(&subject, "thing.done", json!({ "by": self.name }));
        if let Err(error) = unit.finish(lease).await {
            assert_eq!(error.code(), "jobs.fenced");
            self.fenced.fetch_add(1, Ordering::Relaxed);
            return Err(error);
        }
        unit.commit(()).await
    }
}

impl Handler for Stubborn {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }
    fn run<'a>(&'a self, lease: &'a Lease, _watch: &'a Watch) -> HandlerFuture<'a> {
        Box::pin(self.work(lease))
    }
    fn give_up<'a>(&'a self, _lease: &'a Lease, error: &'a Error) -> HandlerFuture<'a> {
        Box::pin(async move { panic!("{error:?}") })
    }
}

fn worker(lab: &Lab, handler: &Arc<Stubborn>) -> Worker {
    let settings = Settings { lease: Duration::from_secs(1), ..Settings::default() };
    Worker::new(lab.store.clone(), vec![handler.clone()], settings, handler.name.to_owned())
}

async fn a_job_that_outlives_the_drain_is_handed_back(kind: Kind) {
    let lab = Lab::open(kind).await;
    let (first, second) = (Stubborn::new(&lab, "first", 0), Stubborn::new(&lab, "second", 1));
    lab.enqueue(KIND).await;
    let stop = Cancel::new();
    let draining = tokio::spawn({
        let (worker, stop) = (worker(&lab, &first), stop.clone());
        async move { worker.run(&stop).await }
    });
    first.begun.acquire().await.unwrap().forget();
    stop.cancel();
    // The limit passes; the lease, which nobody renews any more, runs out.
    let enough = Cancel::new();
    let succeeding = tokio::spawn({
        let (worker, enough) = (worker(&lab, &second), enough.clone());
        async move { worker.run(&enough).await }
    });
    second.begun.acquire().await.unwrap().forget();
    assert!(!draining.is_finished(), "the first let go after all");
    enough.cancel();
    succeeding.await.unwrap();
    first.may_end.add_permits(1);
    draining.await.unwrap();
    assert_eq!(first.fenced.load(Ordering::Relaxed), 1);
    assert_eq!(second.fenced.load(Ordering::Relaxed), 0);
    lab.seal().await;
    let done = lab.ok("chief", "activity", json!({ "kind": "thing.done" })).await;
    let by: Vec<_> = done.as_array().unwrap().iter().map(|e| text(&e["data"], "by")).collect();
    assert_eq!(by, ["second"]);
    let jobs = lab.ok("chief", "job_list", json!({})).await;
    let job = jobs.as_array().unwrap().iter().find(|job| job["kind"] == KIND).unwrap();
    assert_eq!((&job["state"], &job["attempts"]), (&json!("done"), &json!(2)));
}
