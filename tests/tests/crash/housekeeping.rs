//! Housekeeping whose daemon is killed in each of its steps: what is left over goes, each
//! thing once by the ledger, and what a live transfer needs stays.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use databridge_tests::delivery;
use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::postgres::fresh_database;
use databridge_tests::studio::{Place, Settings};
use serde_json::{Value, json};

use crate::campaign::Store;

/// What each start gets, the next one last.
struct Starts {
    config: std::path::PathBuf,
    traps: Vec<String>,
}

impl Accident for Starts {
    fn settings(&mut self) -> Settings {
        let trap = self.traps.pop().map(|trap| ("STEP", trap.into()));
        trap.into_iter().chain([("CONFIG", self.config.clone().into())]).collect()
    }
}

/// A file as it was written two days ago.
fn plant(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "left over").unwrap();
    age(path);
}

fn age(path: &Path) {
    let then = SystemTime::now() - Duration::from_secs(48 * 3600);
    File::open(path).unwrap().set_modified(then).unwrap();
}

const CONFIG: &str = "[housekeeping]\nevery_hours = 0\norphans_hours = 24\ndelivered_days = 0\n";

/// The events that say what was removed: what, and where it stood.
fn recorded(life: &mut Life<Starts>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut take = |item: &Value| {
        let part = |name: &str| item[name].as_str().unwrap().to_owned();
        found.push((part("what"), part("path")));
    };
    for kind in ["staging.removed", "transfer.staging_removed"] {
        let path = format!("/activity?limit=1000&kind={kind}");
        for event in life.call("admin", "GET", &path, json!({})).as_array().unwrap() {
            match event["data"]["items"].as_array() {
                Some(items) => items.iter().for_each(&mut take),
                None => take(&event["data"]),
            }
        }
    }
    found.sort();
    found
}

/// Kills at these steps of the housekeeping, one life each.
fn keep_house(store: Store, traps: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let database = (store == Store::Postgres).then(fresh_database);
    let place = match &database {
        Some(database) => Place::on(folder.path(), database),
        None => Place::below(folder.path()),
    };
    let config = folder.path().join("databridge.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let source = Source::files(folder.path(), 5, &[("a.exr", 1000), ("sub/b.exr", 10)]);
    let (staging, at) = (place.staging.clone(), place.clone());
    let starts = Starts { config, traps: Vec::new() };
    let mut life = Life::new(place, source, starts);
    life.live();
    life.jobs();
    let delivered = life.code.clone();
    // Another one, open and with files.
    life.upload();
    let open = life.code.clone();
    let incoming = staging.join(&open).join("incoming-r1");
    let needed = delivery::names(&incoming);
    assert_eq!(needed.len(), 2);
    // Also what is needed is old: that alone removes nothing.
    for name in &needed {
        age(&incoming.join(name));
    }
    plant(&incoming.join("0000000000000000000000000000dead"));
    plant(&staging.join(".uploads/0000000000000000000000000000beef"));
    plant(&staging.join("TRF-77777/frozen-r1/deep/x.exr"));
    for path in ["TRF-77777/frozen-r1/deep", "TRF-77777/frozen-r1", "TRF-77777"] {
        age(&staging.join(path));
    }
    // What is young, and what is nothing of ours.
    std::fs::write(staging.join(".uploads/young"), "young").unwrap();
    std::fs::create_dir(staging.join("TRF-88888")).unwrap();
    plant(&staging.join("somebody/else's"));
    let expected = [
        ("blob", format!("{open}/incoming-r1/0000000000000000000000000000dead")),
        ("delivered", delivered.clone()),
        ("folder", "TRF-77777".to_owned()),
        ("upload", ".uploads/0000000000000000000000000000beef".to_owned()),
    ];
    let expected: Vec<(String, String)> =
        expected.map(|(what, path)| (what.to_owned(), path)).to_vec();
    at.mature();
    // A look changes nothing.
    let plan = life.call("it", "GET", "/transfer-ops/housekeeping", json!({}));
    let mut planned: Vec<(String, String)> = plan["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["what"].as_str().unwrap().into(), item["path"].as_str().unwrap().into()))
        .collect();
    planned.sort();
    assert_eq!(planned, expected, "{plan}");
    for (_, path) in &expected {
        assert!(staging.join(path).exists(), "{path} is gone by a look");
    }
    life.stop();
    life.accident.traps = traps.iter().rev().map(|trap| format!("{trap}:KILL")).collect();
    life.call("it", "POST", "/transfer-ops/housekeeping", json!({}));
    life.jobs();
    assert!(life.accident.traps.is_empty(), "not every trap was set: {traps:?}");
    for (_, path) in &expected {
        assert!(!staging.join(path).exists(), "{path} is still there");
    }
    assert_eq!(delivery::names(&staging.join(".housekeeping")), Vec::<String>::new());
    life.sealed();
    assert_eq!(recorded(&mut life), expected, "{traps:?}");
    for path in [".uploads/young", "TRF-88888", "somebody/else's"] {
        assert!(staging.join(path).exists(), "{path} is gone");
    }
    // The delivery stands, and the open one goes its way.
    assert_eq!(delivery::names(&incoming), needed);
    life.submit_to_scanned();
    life.start();
    life.expect("delivered");
    let dead = life.call("admin", "GET", "/transfer-ops/jobs?state=dead", json!({}));
    assert_eq!(dead, json!([]));
    life.stop();
}

#[test]
fn sqlite_housekeeping_survives_kills_in_each_of_its_steps() {
    keep_house(Store::Sqlite, &["housekeeping.condemned:1", "housekeeping.moved:1"]);
    keep_house(Store::Sqlite, &["housekeeping.deleted:2", "housekeeping.recorded:1"]);
}

#[test]
fn postgres_housekeeping_survives_kills_in_each_of_its_steps() {
    keep_house(
        Store::Postgres,
        &["housekeeping.moved:2", "housekeeping.deleted:1", "housekeeping.recorded:1"],
    );
}
