//! Living and being ready, while the ground goes away and comes back.

use std::time::{Duration, Instant};

use databridge_tests::postgres::{Durability, Server};
use databridge_tests::process::PATIENCE;
use databridge_tests::studio::{Place, Running, Settings, found};
use serde_json::{Value, json};

use crate::desk::{Desk, Kind};

on_both!(whoever_can_work_is_ready);

fn whoever_can_work_is_ready(kind: Kind) {
    let desk = Desk::open(kind);
    assert_eq!(desk.ok("", "GET", "/api/health", Value::Null)["status"], "ok");
    // The keepers begin after the address is told.
    let end = Instant::now() + PATIENCE;
    let ready = loop {
        let answer = desk.ask("", "GET", "/api/ready", Value::Null);
        if answer.status == 200 {
            break answer;
        }
        assert!(Instant::now() < end, "it does not become ready: {answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let checks = ready.json()["checks"].clone();
    let names: Vec<&str> =
        checks.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["database", "ledger", "disk", "workers"]);
    assert!(!ready.text.contains(desk.place.data.to_str().unwrap()), "no paths for strangers");
}

#[test]
fn too_little_room_is_not_ready() {
    let settings = vec![("MIN_FREE_BYTES", "9000000000000000000".into())];
    let desk = Desk::open_with(Kind::Sqlite, &settings);
    let answer = desk.ask("", "GET", "/api/ready", Value::Null);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    let disk = answer.json()["checks"][2].clone();
    assert_eq!((disk["name"].as_str(), disk["ok"].as_bool()), (Some("disk"), Some(false)));
}

/// The database is killed and comes back at the same address: refusals meanwhile say
/// when to come back, and nothing has to be started again.
#[test]
fn a_database_that_is_gone_is_a_503_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(Durability::Off);
    let database = server.fresh_database();
    let place = Place::on(folder.path(), &database);
    let people = found(&place);
    let running = Running::start(&place, &Settings::new()).expect("the daemon does not start");
    let desk = Desk::of(people, place, running);
    let code = desk.transfer();
    server.crash();
    let answer = desk.ask("artist", "GET", "/transfers", Value::Null);
    answer.refused(503, "db.unavailable");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    let body = json!({ "title": "b", "project": "film", "category": "plates" });
    desk.ask("artist", "POST", "/transfers", body.clone()).refused(503, "db.unavailable");
    let ready = desk.ask("", "GET", "/api/ready", Value::Null);
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(ready.json()["checks"][0]["ok"], false);
    // It lives all the while.
    assert_eq!(desk.ok("", "GET", "/api/health", Value::Null)["status"], "ok");
    server.come_back();
    let back = (0..600).find(|_| {
        let answer = desk.ask("", "GET", "/api/ready", Value::Null);
        if answer.status != 200 {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        answer.status == 200
    });
    assert!(back.is_some(), "it does not recover");
    assert_eq!(desk.ok("artist", "POST", "/transfers", body)["state"], "draft");
    // Work goes on too.
    desk.ok("artist", "POST", &format!("/transfers/{code}/submit"), json!({}));
    desk.wait(&code, "team_lead_review");
}
