//! Files of the daemon's own host being added while it is killed: all of them are part of
//! the transfer in the end, once, and nothing is left of what did not count.

use databridge_tests::delivery::{count, names};
use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::postgres::fresh_database;
use databridge_tests::studio::{Place, Settings};
use serde_json::json;

/// One daemon dies in each, the next goes on.
const STEPS: [&str; 4] =
    ["upload.received:2", "take_in.received:1", "upload.moved:1", "command.before_commit:1"];

/// The root, and what each start gets, the next one last.
struct Starts {
    root: std::path::PathBuf,
    traps: Vec<String>,
    sprung: usize,
}

impl Accident for Starts {
    fn settings(&mut self) -> Settings {
        let roots = json!([self.root]).to_string();
        let trap = self.traps.pop().map(|trap| ("STEP", trap.into()));
        trap.into_iter().chain([("UPLOADS__ADD_ROOTS", roots.into())]).collect()
    }

    fn repair(&mut self) {
        self.sprung += 1;
    }
}

fn add(place: Place, folder: &std::path::Path) {
    let root = folder.join("mount");
    let source = Source::files(&root, 7, &[("a.exr", 3_000_000), ("b.exr", 10), ("sub/c.exr", 5)]);
    let staging = place.staging.clone();
    let starts = Starts { root: root.clone(), traps: Vec::new(), sprung: 0 };
    let mut life = Life::new(place, source, starts);
    let body = json!({ "title": "shot 010", "project": "film", "category": "plates" });
    let made = life.call("artist", "POST", "/transfers", body);
    life.code = made["code"].as_str().unwrap().to_owned();
    life.stop();
    life.accident.sprung = 0;
    life.accident.traps = STEPS.iter().rev().map(|step| format!("{step}:KILL")).collect();
    let path = format!("/transfers/{}/files", life.code);
    life.call("artist", "POST", &path, json!({ "from": root.join("source") }));
    life.jobs();
    assert!(life.accident.traps.is_empty(), "not every trap was set");
    assert_eq!(life.accident.sprung, STEPS.len(), "not every trap sprang");
    let files = life.call("artist", "GET", &path, json!({}));
    let mut told: Vec<(String, String)> = files
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["path"].as_str().unwrap().into(), f["sha256"].as_str().unwrap().into()))
        .collect();
    told.sort();
    let wanted: Vec<(String, String)> = life
        .source
        .listing
        .iter()
        .filter_map(|(path, node)| match node {
            databridge_tests::tree::Node::File { sha256, .. } => {
                Some((path.clone(), sha256.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, wanted);
    let report = life.sealed();
    assert_eq!(report["findings"], json!([]), "{report}");
    let events = life.events();
    let counts = count(&events);
    for kind in ["transfer.files_asked", "transfer.files_added"] {
        assert_eq!(counts.get(kind), Some(&1), "{kind}");
    }
    assert_eq!(names(&staging.join(".uploads")), Vec::<String>::new());
    let dead = life.call("admin", "GET", "/transfer-ops/jobs?state=dead", json!({}));
    assert_eq!(dead, json!([]));
    life.submit_to_scanned();
    life.start();
    life.expect("delivered");
    life.stop();
}

#[test]
fn adding_by_path_survives_kills_in_each_of_its_steps() {
    let folder = tempfile::tempdir().unwrap();
    let studio = folder.path().join("studio");
    std::fs::create_dir(&studio).unwrap();
    add(Place::below(&studio), folder.path());
}

#[test]
fn adding_by_path_survives_kills_in_each_of_its_steps_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let (database, studio) = (fresh_database(), folder.path().join("studio"));
    std::fs::create_dir(&studio).unwrap();
    add(Place::on(&studio, &database), folder.path());
}
