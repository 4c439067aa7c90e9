//! Two at once, late, twice, or with a clock that goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use databridge_core::app::MIGRATIONS;
use databridge_core::base::cancel::Cancel;
use databridge_core::base::clock::Timestamp;
use databridge_core::base::error::{Error, ErrorKind};
use databridge_core::control::commands::Store;
use databridge_core::control::db::Db;
use databridge_core::control::jobs::{Handler, HandlerFuture, Lease, Settings, Watch, Worker};
use databridge_core::domains::transfer::Service;
use databridge_tests::process::PATIENCE;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::lab::{Kind, Lab, call, hasty, text};

on_both!(
    the_first_transfers_of_an_organisation_may_be_made_at_once,
    chains_defined_at_once_are_versions_of_each_other,
    of_two_approvers_at_once_one_wins,
    two_workers_do_one_job_once,
    a_worker_that_comes_back_after_its_lease_changes_nothing,
    a_job_whose_lease_is_over_before_it_begins_is_left_to_others,
    the_same_key_is_done_once,
    the_same_key_at_the_same_time_is_done_once,
);

const FILES: &[(&str, &[u8])] = &[("a.exr", b"aaaa")];

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|k| *k == kind).count()
}

/// The first makes the default chain, and so do the others.
async fn the_first_transfers_of_an_organisation_may_be_made_at_once(kind: Kind) {
    let lab = Lab::open(kind).await;
    let codes = tokio::join!(lab.create(), lab.create(), lab.create(), lab.create());
    let mut codes = [codes.0, codes.1, codes.2, codes.3];
    codes.sort();
    assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
}

async fn chains_defined_at_once_are_versions_of_each_other(kind: Kind) {
    let lab = Lab::open(kind).await;
    let define = || {
        let stages = json!([{ "key": "lead", "role": "team_lead" }]);
        lab.call("chief", "chain_define", json!({ "name": "short", "stages": stages }))
    };
    let made = tokio::join!(define(), define(), define());
    let mut versions = [made.0, made.1, made.2].map(|chain| chain.unwrap()["version"].as_i64());
    versions.sort_unstable();
    assert_eq!(versions, [Some(1), Some(2), Some(3)]);
}

async fn of_two_approvers_at_once_one_wins(kind: Kind) {
    let mut lab = Lab::open(kind).await;
    lab.hire("lead2", &["team_lead"]).await;
    for _ in 0..5 {
        let code = lab.create().await;
        lab.add(&code, FILES).await;
        lab.submit(&code).await;
        let approve = |who| lab.call(who, "approve", json!({ "code": code }));
        let (one, two) = tokio::join!(approve("team_lead"), approve("lead2"));
        let (won, lost) = match (one, two) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            other => panic!("not exactly one won: {other:?}"),
        };
        assert_eq!(won["state"], "supervisor_review");
        // Told that somebody was faster, or that the stage is now another's.
        let told = [ErrorKind::Conflict, ErrorKind::IllegalState, ErrorKind::Forbidden];
        assert!(told.contains(&lost.kind()), "{lost:?}");
        assert_eq!(count(&lab.kinds(&code).await, "transfer.approved"), 1);
    }
}

async fn two_workers_do_one_job_once(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(FILES).await;
    lab.settle(&code).await;
    for _ in 0..5 {
        lab.act("data_team", "scan", &code).await;
        let (one, two) = (lab.app.worker(), lab.app.worker());
        let stop = Cancel::new();
        let (one, two) = tokio::join!(one.step(&stop), two.step(&stop));
        assert!(one.unwrap() ^ two.unwrap(), "both or neither took the job");
        assert_eq!(lab.state(&code).await, "undecided");
    }
    assert_eq!(count(&lab.kinds(&code).await, "transfer.scan_undecided"), 5);
}

/// Holds a job between its lease and its work until it is let go.
struct Gate {
    inner: Service,
    reached: Notify,
    open: Notify,
}

impl Handler for Gate {
    fn kinds(&self) -> &'static [&'static str] {
        self.inner.kinds()
    }
    fn run<'a>(&'a self, lease: &'a Lease, watch: &'a Watch) -> HandlerFuture<'a> {
        Box::pin(async move {
            self.reached.notify_one();
            self.open.notified().await;
            self.inner.run(lease, watch).await
        })
    }
    fn give_up<'a>(&'a self, lease: &'a Lease, error: &'a Error) -> HandlerFuture<'a> {
        self.inner.give_up(lease, error)
    }
}

fn gate(lab: &Lab, owner: &str) -> (Arc<Gate>, tokio::task::JoinHandle<bool>) {
    let inner = lab.app.transfers().clone();
    let gate = Arc::new(Gate { inner, reached: Notify::new(), open: Notify::new() });
    let worker = hasty(&lab.store, gate.clone(), owner);
    let task = tokio::spawn(async move { worker.step(&Cancel::new()).await.unwrap() });
    (gate, task)
}

async fn a_worker_that_comes_back_after_its_lease_changes_nothing(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(FILES).await;
    lab.settle(&code).await;
    lab.act("data_team", "scan", &code).await;
    late(&lab, &code, "scanning", "undecided", "transfer.scan_undecided").await;
    lab.decide("data_team", &code, "accept").await.unwrap();
    lab.act("it_team", "start", &code).await;
    late(&lab, &code, "preparing", "transferring", "transfer.prepared").await;
    late(&lab, &code, "transferring", "verifying", "transfer.copied").await;
    late(&lab, &code, "verifying", "delivered", "transfer.delivered").await;
    while lab.step().await {}
    assert_eq!(lab.around(&code).await, [code.clone(), format!("{code}.proof")]);
    lab.seal().await;
    assert!(lab.app.verify_ledger(&[]).await.unwrap().findings.is_empty());
}

/// The first worker sleeps past its lease; the second takes the job over, and the
/// first wakes up before the second has begun.
async fn late(lab: &Lab, code: &str, before: &str, after: &str, kind: &str) {
    let (first, first_done) = gate(lab, "first");
    first.reached.notified().await;
    let (second, second_done) = loop {
        let past = Timestamp::from_micros(1);
        let past = match lab.kind {
            Kind::Sqlite => past.as_micros().to_string(),
            Kind::Postgres => format!("'{past}'"),
        };
        lab.sql(&format!("UPDATE jobs SET lease_until = {past} WHERE state = 'leased'"));
        let (gate, mut task) = gate(lab, "second");
        // A heartbeat of the first may have come in between: then once more.
        tokio::select! {
            () = gate.reached.notified() => break (gate, task),
            _ = &mut task => {}
        }
    };
    first.open.notify_one();
    assert!(first_done.await.unwrap());
    assert_eq!(lab.state(code).await, before, "the first worker's end counted");
    second.open.notify_one();
    assert!(second_done.await.unwrap());
    assert_eq!(lab.state(code).await, after, "{}", lab.show(code).await["failure"]);
    assert_eq!(count(&lab.kinds(code).await, kind), 1);
}

async fn a_job_whose_lease_is_over_before_it_begins_is_left_to_others(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(FILES).await;
    lab.settle(&code).await;
    lab.act("data_team", "scan", &code).await;
    // No store answers in time for this one.
    let settings = Settings { lease: Duration::ZERO, ..Settings::default() };
    let handler = Arc::new(Failing);
    let worker = Worker::new(lab.store.clone(), vec![handler], settings, "late".into());
    assert!(worker.step(&Cancel::new()).await.unwrap());
    let jobs = lab.ok("chief", "job_list", json!({ "state": "ready" })).await;
    assert_eq!(
        (&jobs[0]["kind"], &jobs[0]["attempts"], &jobs[0]["last_error"]),
        (&json!("transfer.scan"), &json!(0), &Value::Null),
        "{jobs}"
    );
    assert_eq!(lab.settle(&code).await, "undecided");
}

/// Somebody takes it over between the lease and the first look. (On SQLite, where a
/// trigger is soon written that does.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_somebody_else_took_meanwhile_is_not_begun() {
    let lab = Lab::open(Kind::Sqlite).await;
    let code = lab.approved(FILES).await;
    lab.settle(&code).await;
    lab.act("data_team", "scan", &code).await;
    lab.sql(
        "CREATE TRIGGER another AFTER UPDATE OF lease_owner ON jobs WHEN new.state = 'leased'
         BEGIN UPDATE jobs SET epoch = epoch + 1 WHERE id = new.id; END",
    );
    let (gate, task) = gate(&lab, "late");
    tokio::select! {
        () = gate.reached.notified() => panic!("it was begun"),
        done = task => assert!(done.unwrap()),
    }
}

async fn the_same_key_is_done_once(kind: Kind) {
    let lab = Lab::open(kind).await;
    let new = |title: &str| {
        call("transfer_create", json!({ "title": title, "project": "film", "category": "plates" }))
    };
    let artist = lab.who("artist");
    let first = lab.app.call(artist, new("a"), Some("k1")).await.unwrap();
    let again = lab.app.call(artist, new("a"), Some("k1")).await.unwrap();
    assert_eq!(first, again);
    let error = lab.app.call(artist, new("b"), Some("k1")).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("command.key_reused", ErrorKind::Conflict));
    // Somebody else's key is their own.
    let theirs = lab.app.call(lab.who("other"), new("b"), Some("k1")).await.unwrap();
    assert_ne!(theirs["code"], first["code"]);
    let mine = lab.ok("artist", "transfer_list", json!({})).await;
    assert_eq!(mine.as_array().unwrap().len(), 1);
    // A refusal is not kept: the request may become right.
    let code = text(&first, "code");
    let submit = || call("transfer_submit", json!({ "code": code }));
    lab.app.call(artist, submit(), Some("k2")).await.unwrap_err();
    lab.add(&code, FILES).await;
    assert_eq!(lab.app.call(artist, submit(), Some("k2")).await.unwrap()["state"], "submitting");
    lab.settle(&code).await;
    assert_eq!(lab.app.call(artist, submit(), Some("k2")).await.unwrap()["state"], "submitting");
    assert_eq!(count(&lab.kinds(&code).await, "transfer.submitted"), 1);
}

async fn the_same_key_at_the_same_time_is_done_once(kind: Kind) {
    let lab = Lab::open(kind).await;
    for round in 0..5 {
        let code = lab.create().await;
        lab.add(&code, FILES).await;
        lab.submit(&code).await;
        let key = format!("k{round}");
        let approve = || {
            lab.app.call(lab.who("team_lead"), call("approve", json!({ "code": code })), Some(&key))
        };
        let (one, two) = tokio::join!(approve(), approve());
        assert_eq!(one.unwrap(), two.unwrap());
        assert_eq!(count(&lab.kinds(&code).await, "transfer.approved"), 1);
    }
}

static CLOCK: AtomicI64 = AtomicI64::new(0);

fn clock() -> Timestamp {
    Timestamp::from_micros(CLOCK.load(Ordering::SeqCst))
}

/// Fails for a passing reason.
struct Failing;

impl Handler for Failing {
    fn kinds(&self) -> &'static [&'static str] {
        &["transfer.scan"]
    }
    fn run<'a>(&'a self, _: &'a Lease, _: &'a Watch) -> HandlerFuture<'a> {
        Box::pin(async {
            let source = std::io::Error::other("for now");
            Err(databridge_core::domains::transfer::Error::Io { path: "x".into(), source }.into())
        })
    }
    fn give_up<'a>(&'a self, _: &'a Lease, error: &'a Error) -> HandlerFuture<'a> {
        panic!("given up: {error:?}")
    }
}

/// PostgreSQL's leases use its own clock, which a test cannot move.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_leaves_no_job_waiting_for_years() {
    let lab = Lab::open(Kind::Sqlite).await;
    let now = Timestamp::now();
    let ahead = now + Duration::from_secs(10 * 365 * 24 * 3600);
    let target = lab.app.config().target();
    let db = Db::open_with_clock(&target, MIGRATIONS, clock).await.unwrap();
    let store = Store::new(db);
    let code = lab.approved(FILES).await;
    lab.settle(&code).await;
    // Leased ten years ahead, by a worker that then dies.
    lab.act("data_team", "scan", &code).await;
    CLOCK.store(ahead.as_micros(), Ordering::SeqCst);
    let inner = lab.app.transfers().clone();
    let held = Arc::new(Gate { inner, reached: Notify::new(), open: Notify::new() });
    let worker = hasty(&store, held.clone(), "ahead");
    let task = tokio::spawn(async move { worker.step(&Cancel::new()).await });
    held.reached.notified().await;
    task.abort();
    let _ = task.await;
    assert_eq!(lab.settle(&code).await, "undecided");
    // To be retried ten years ahead.
    lab.act("data_team", "scan", &code).await;
    assert!(hasty(&store, Arc::new(Failing), "ahead").step(&Cancel::new()).await.unwrap());
    let jobs = lab.ok("chief", "job_list", json!({ "state": "ready" })).await;
    assert!(text(&jobs[0], "run_at").parse::<Timestamp>().unwrap() >= ahead, "{jobs}");
    assert_eq!(lab.settle(&code).await, "undecided");
}

/// Ahead: the lease is over for everybody, and the first worker's end does not count,
/// though it never slept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_makes_no_job_done_twice() {
    let lab = Lab::open(Kind::Sqlite).await;
    let target = lab.app.config().target();
    let store = Store::new(Db::open_with_clock(&target, MIGRATIONS, clock).await.unwrap());
    let code = lab.approved(FILES).await;
    lab.settle(&code).await;
    lab.act("data_team", "scan", &code).await;
    // The job is due by either clock.
    let now = Timestamp::now();
    CLOCK.store(now.as_micros(), Ordering::SeqCst);
    let held = |owner: &str| {
        let inner = lab.app.transfers().clone();
        let gate = Arc::new(Gate { inner, reached: Notify::new(), open: Notify::new() });
        let worker = hasty(&store, gate.clone(), owner);
        (gate, tokio::spawn(async move { worker.step(&Cancel::new()).await.unwrap() }))
    };
    let (first, first_done) = held("first");
    tokio::time::timeout(PATIENCE, first.reached.notified()).await.unwrap();
    // A heartbeat of the first may renew its lease under the new time: then once more.
    let (second, second_done) = loop {
        CLOCK.fetch_add(3_600_000_000, Ordering::SeqCst);
        let (gate, mut task) = held("second");
        tokio::select! {
            () = gate.reached.notified() => break (gate, task),
            _ = &mut task => {}
        }
    };
    // And back, while both believe that they have it.
    CLOCK.store(now.as_micros(), Ordering::SeqCst);
    first.open.notify_one();
    assert!(first_done.await.unwrap());
    assert_eq!(lab.state(&code).await, "scanning", "the first worker's end counted");
    second.open.notify_one();
    assert!(second_done.await.unwrap());
    assert_eq!(lab.state(&code).await, "undecided");
    assert_eq!(count(&lab.kinds(&code).await, "transfer.scan_undecided"), 1);
}
