//! A worker that is paused past its lease and comes back when another has done its
//! work: it must change nothing any more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use databridge_tests::delivery;
use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::postgres::{Database, fresh_database};
use databridge_tests::process::{PATIENCE, run};
use databridge_tests::studio::{Place, Running, Settings};
use serde_json::json;
use tempfile::TempDir;

/// The daemon that is asked: it serves and does no work.
struct Idle;

impl Accident for Idle {
    fn settings(&mut self) -> Settings {
        vec![("WORKERS", "0".into())]
    }
}

/// Three daemons on one database and the same folders: one serves, one works and
/// is paused, one works afterwards.
struct Hosts {
    life: Life<Idle>,
    _database: Database,
    _folder: TempDir,
}

impl Hosts {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = fresh_database();
        let place = Place::on(folder.path(), &database);
        let source = Source::media(folder.path(), 5);
        Self { life: Life::new(place, source, Idle), _database: database, _folder: folder }
    }

    /// A daemon on a host of its own: the same keys, another data folder.
    fn worker(&self, name: &str, settings: &Settings) -> Running {
        let mut place = self.life.place.clone();
        place.data = place.data.with_file_name(name);
        std::fs::create_dir(&place.data).unwrap();
        run(Command::new("cp").arg("-a").arg(self.life.place.data.join("keys")).arg(&place.data));
        Running::start(&place, settings).expect("the worker does not start")
    }

    /// A worker that stops itself at this step of its one job in hand.
    fn paused(&self, step: &str) -> Running {
        let settings = vec![("STEP", format!("{step}:STOP").into()), ("WORKERS", "1".into())];
        self.worker("first", &settings)
    }
}

/// Lets the paused worker go on until it has let go of its job.
fn come_back(first: &mut Running) {
    first.daemon.resume();
    let ended = |line: &str| line.contains("job failed") || line.contains("job done");
    // Those of its jobs before were told before it stopped. Counted in one look: what
    // a second one took in would not be waited for, and no more come.
    let output = first.daemon.output();
    let told = output.lines().filter(|line| ended(line)).count();
    let taken = output.lines().filter(|line| line.contains("job taken up")).count();
    if told < taken {
        first.daemon.wait_for_line(PATIENCE, ended);
    }
}

/// The first worker is paused at `step`, the second delivers, the first comes back.
fn overtaken(step: &str) {
    eprintln!("{step}");
    let mut hosts = Hosts::new();
    let mut first = hosts.paused(step);
    hosts.life.up_to_scanned();
    hosts.life.start();
    first.daemon.wait_until_stopped(PATIENCE);
    let second = hosts.worker("second", &Settings::new());
    hosts.life.expect("delivered");
    delivery::check(&mut hosts.life);
    come_back(&mut first);
    delivery::check(&mut hosts.life);
    drop(second);
}

/// The first worker is paused at `step`, the transfer is cancelled and the second
/// clears up, the first comes back.
fn cancelled(step: &str) {
    eprintln!("{step}");
    let mut hosts = Hosts::new();
    let mut first = hosts.paused(step);
    hosts.life.up_to_scanned();
    hosts.life.start();
    first.daemon.wait_until_stopped(PATIENCE);
    let second = hosts.worker("second", &Settings::new());
    hosts.life.act("it", "transfers", "cancel", json!({ "reason": "withdrawn" }));
    hosts.life.expect("cancelled");
    delivery::check_cancelled(&mut hosts.life);
    come_back(&mut first);
    delivery::check_cancelled(&mut hosts.life);
    drop(second);
}

#[test]
fn a_worker_that_slept_in_mid_copy_changes_nothing() {
    for step in ["copy.file_written:1", "copy.laid_out:1", "copy.prepared:2", "copy.flushed:1"] {
        overtaken(step);
    }
}

#[test]
fn a_worker_that_slept_before_it_published_changes_nothing() {
    for step in [
        "copy.read_back:1",
        "verify.recorded:1",
        "proof.written:1",
        "proof.renamed:1",
        "verify.proof_published:1",
        "copy.journal_identity:1",
        "copy.published:1",
    ] {
        overtaken(step);
    }
}

#[test]
fn a_worker_that_slept_through_a_cancel_leaves_nothing_in_production() {
    for step in [
        "claim.begun:1",
        "claim.begun:2",
        "copy.announced:1",
        "copy.file_written:3",
        "verify.recorded:1",
        "proof.written:1",
        "proof.renamed:1",
        "copy.journal_identity:1",
    ] {
        cancelled(step);
    }
}
