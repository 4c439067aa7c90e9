//! A delivery taken back while its daemon is killed, in each step around the renames:
//! it ends moved aside, whole, once; and another goes to its place.

use std::process::Command;

use databridge_core::media::receipt::Envelope;
use databridge_tests::delivery::{assert_same, count, names};
use databridge_tests::life::{Life, Source, Traps};
use databridge_tests::postgres::fresh_database;
use databridge_tests::process::run;
use databridge_tests::studio::Place;
use serde_json::json;

/// One daemon dies in each, the next goes on.
const STEPS: [&str; 6] = [
    "recall.looked:1",
    "recall.announced:1",
    "recall.payload_moved:1",
    "recall.proof_moved:1",
    "recall.stated:1",
    "recall.before_commit:1",
];

/// Where it is forced, another folder stands in the place of what was delivered, and that
/// is told whichever life moved it.
fn recall(place: Place, folder: &std::path::Path, force: bool) {
    let source = Source::media(folder, 11);
    let mut life = Life::new(place, source, Traps::default());
    life.live();
    life.jobs();
    // The next daemon gets the first trap.
    life.stop();
    life.accident = Traps::of(STEPS.map(|step| format!("{step}:KILL")));
    let payload = life.payload();
    if force {
        let copy = payload.with_file_name("copy");
        run(Command::new("cp").arg("-a").args([&payload, &copy]));
        std::fs::remove_dir_all(&payload).unwrap();
        std::fs::rename(&copy, &payload).unwrap();
    }
    let wish = json!({ "reason": "the wrong plate", "force": force });
    life.act("it", "transfer-ops", "recall", wish);
    life.expect("recalled");
    assert_eq!(life.accident.sprung(), STEPS.len(), "not every trap sprang");
    life.jobs();
    let shelf = payload.parent().unwrap();
    assert_eq!(names(shelf), [".recalled"]);
    let (code, place) = (life.code.clone(), shelf.join(".recalled").join(&life.code));
    let kept = [code.clone(), format!("{code}.proof"), format!("{code}.recall.json")];
    assert_eq!(names(&place), kept);
    let other = "it is another folder than the one that was published";
    let differs = if force { json!([other]) } else { json!([]) };
    assert_same(&life.source.listing, &place.join(&code));
    let report = life.sealed();
    assert_eq!(report["findings"], json!([]), "{report}");
    let events = life.events();
    let counts = count(&events);
    for kind in ["transfer.delivered", "transfer.recall_requested", "transfer.recalled"] {
        assert_eq!(counts.get(kind), Some(&1), "{kind} in {events:?}");
    }
    let history = life.call("it", "GET", &format!("/transfers/{code}/history"), json!({}));
    let is_told = |event: &&serde_json::Value| event["kind"] == "transfer.recalled";
    let recalled = history.as_array().unwrap().iter().find(is_told).unwrap();
    assert_eq!(recalled["data"]["differences"], differs, "{recalled}");
    let path = format!("/transfers/{code}/recall");
    let told = life.call("it", "GET", &path, json!({}));
    let written = std::fs::read(place.join(format!("{code}.recall.json"))).unwrap();
    assert_eq!(told, serde_json::from_slice::<serde_json::Value>(&written).unwrap());
    let envelope = Envelope::from_json(std::str::from_utf8(&written).unwrap()).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&envelope.payload).unwrap();
    let said = &statement["predicate"];
    assert_eq!(said["forced"].as_bool().unwrap_or(false), force, "{said}");
    assert_eq!(said.get("differences").cloned().unwrap_or(json!([])), differs, "{said}");
}

#[test]
fn a_recall_survives_kills_in_each_of_its_steps() {
    let folder = tempfile::tempdir().unwrap();
    recall(Place::below(folder.path()), folder.path(), false);
}

#[test]
fn what_a_recall_was_forced_over_is_told_whichever_life_moved_it() {
    let folder = tempfile::tempdir().unwrap();
    recall(Place::below(folder.path()), folder.path(), true);
}

#[test]
fn a_recall_survives_kills_in_each_of_its_steps_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let database = fresh_database();
    recall(Place::on(folder.path(), &database), folder.path(), true);
}
