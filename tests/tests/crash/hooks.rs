//! Hooks of deliveries whose daemon is killed: each runs at least once, and the delivery
//! is none the worse.

use std::os::unix::fs::PermissionsExt;

use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::postgres::fresh_database;
use databridge_tests::studio::{Place, Settings};

use crate::campaign::Store;

/// Kills at named steps, each start with the same configuration.
struct Killed {
    config: std::path::PathBuf,
    /// The next one last.
    traps: Vec<&'static str>,
}

impl Accident for Killed {
    fn settings(&mut self) -> Settings {
        let trap = self.traps.pop().map(|trap| ("STEP", trap.into()));
        trap.into_iter().chain([("CONFIG", self.config.clone().into())]).collect()
    }
}

/// A delivery with a hook, lived through `traps`; answers the ids under which it ran.
fn live(store: Store, traps: &[&'static str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let database = (store == Store::Postgres).then(fresh_database);
    let place = match &database {
        Some(database) => Place::on(folder.path(), database),
        None => Place::below(folder.path()),
    };
    let (ids, hook) = (folder.path().join("ids"), folder.path().join("hook"));
    let text = format!("#!/bin/sh\necho $DATABRIDGE_HOOK_ID >> {}\n", ids.display());
    std::fs::write(&hook, text).unwrap();
    std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    let config = folder.path().join("databridge.toml");
    let text = format!("[[hooks]]\nname = \"index\"\ncommand = [\"{}\"]\n", hook.display());
    std::fs::write(&config, text).unwrap();
    let mut traps = traps.to_vec();
    traps.reverse();
    let source = Source::files(folder.path(), 3, &[("a.exr", 1000)]);
    let mut life = Life::new(place, source, Killed { config, traps });
    life.live();
    // Also those that are tried again.
    let jobs = life.jobs();
    let of: Vec<_> = jobs.iter().filter(|job| job["kind"] == "hook.run").collect();
    assert_eq!(of.len(), 1, "{of:?}");
    assert_eq!(of[0]["state"], "done", "{of:?}");
    life.sealed();
    let events = life.events();
    let count = |kind: &str| events.iter().filter(|(_, found)| found == kind).count();
    assert_eq!(count("transfer.delivered"), 1, "{events:?}");
    assert_eq!(count("transfer.hook_done"), 1, "{events:?}");
    assert_eq!(count("transfer.hook_given_up"), 0, "{events:?}");
    assert!(life.accident.traps.is_empty(), "a trap was never set");
    std::fs::read_to_string(ids).unwrap().lines().map(str::to_owned).collect()
}

fn a_kill_before_the_hook_loses_none(store: Store) {
    // Delivered and killed before anybody took the hook's job up, and again over it.
    let ids = live(store, &["hook.begun:1:KILL", "hook.begun:1:KILL"]);
    assert_eq!(ids.len(), 1, "{ids:?}");
}

fn a_kill_after_the_hook_runs_it_again_under_its_id(store: Store) {
    let ids = live(store, &["hook.called:1:KILL"]);
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn sqlite_a_kill_before_the_hook_loses_none() {
    a_kill_before_the_hook_loses_none(Store::Sqlite);
}

#[test]
fn sqlite_a_kill_after_the_hook_runs_it_again_under_its_id() {
    a_kill_after_the_hook_runs_it_again_under_its_id(Store::Sqlite);
}

#[test]
fn postgres_a_kill_before_the_hook_loses_none() {
    a_kill_before_the_hook_loses_none(Store::Postgres);
}

#[test]
fn postgres_a_kill_after_the_hook_runs_it_again_under_its_id() {
    a_kill_after_the_hook_runs_it_again_under_its_id(Store::Postgres);
}
