//! A lease that cannot be renewed: its holder stops by its own clock, before anybody else
//! may have the job, and does not wait for a database that says nothing.

use std::sync::Arc;
use std::time::Duration;

use databridge_core::base::cancel::Cancel;
use databridge_core::base::error::Error;
use databridge_core::control::ctx::Ctx;
use databridge_core::control::jobs::{Handler, HandlerFuture, Lease, Settings, Watch, Worker};
use databridge_core::params;
use tokio::sync::Semaphore;

use crate::lab::{Kind, Lab};

on_both!(who_cannot_renew_a_lease_stops_when_it_is_over);

const KIND: &str = "obedient";
const PATIENCE: Duration = Duration::from_secs(60);

/// Works until it is told to stop.
struct Obedient {
    begun: Semaphore,
    told: Semaphore,
}

impl Obedient {
    async fn work(&self, watch: &Watch) -> Result<(), Error> {
        self.begun.add_permits(1);
        while !watch.is_stopped() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.told.add_permits(1);
        Err(databridge_core::domains::transfer::Error::Stopped.into())
    }
}

impl Handler for Obedient {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }
    fn run<'a>(&'a self, _lease: &'a Lease, watch: &'a Watch) -> HandlerFuture<'a> {
        Box::pin(self.work(watch))
    }
    fn give_up<'a>(&'a self, _lease: &'a Lease, error: &'a Error) -> HandlerFuture<'a> {
        Box::pin(async move { panic!("{error:?}") })
    }
}

async fn who_cannot_renew_a_lease_stops_when_it_is_over(kind: Kind) {
    let lab = Lab::open(kind).await;
    let handler = Arc::new(Obedient { begun: Semaphore::new(0), told: Semaphore::new(0) });
    lab.enqueue(KIND).await;
    let settings = Settings { lease: Duration::from_secs(1), ..Settings::default() };
    let worker = Worker::new(lab.store.clone(), vec![handler.clone()], settings, "holder".into());
    let stop = Cancel::new();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.step(&stop).await }
    });
    handler.begun.acquire().await.unwrap().forget();
    // From here on nobody can write what the renewal writes.
    let mut held = lab.store.begin(&Ctx::system(lab.app.org())).await.unwrap();
    let lock = "UPDATE jobs SET attempts = attempts WHERE kind = $1";
    held.tx().exec(lock, params![KIND]).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, handler.told.acquire()).await;
    told.expect("it goes on without a lease").unwrap().forget();
    held.tx().now().await.expect("the database was held all the time");
    drop(held);
    // What it had in hand is put back.
    working.await.unwrap().unwrap();
    stop.cancel();
}
