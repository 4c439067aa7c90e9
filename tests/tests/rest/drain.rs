//! A daemon that is asked to end while a job hangs in a mount that answers no more.

use databridge_tests::delivery;
use databridge_tests::process::PATIENCE;
use databridge_tests::studio::{Running, Settings};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::desk::{Desk, Kind, by_hand};

on_both!(a_job_that_outlives_the_drain_is_handed_to_the_next_daemon);

fn a_job_that_outlives_the_drain_is_handed_to_the_next_daemon(kind: Kind) {
    let mut settings = by_hand();
    // Nobody here lives to see this lease run out.
    let more: Settings = vec![
        ("STEP", "copy.file_written:1:HANG".into()),
        ("DRAIN_SECONDS", "1".into()),
        ("LEASE_SECONDS", "600".into()),
    ];
    settings.extend(more);
    let mut desk = Desk::open_with(kind, &settings);
    let code = desk.submitted();
    desk.approve(&code);
    desk.ok("it", "POST", &format!("/transfer-ops/{code}/start"), json!({}));
    desk.running.daemon.wait_for_line(PATIENCE, |line| line.contains("hangs"));
    let status = desk.running.daemon.end(Signal::TERM, PATIENCE);
    let output = desk.running.daemon.output();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(output.contains("jobs in hand did not let go in time: others may have them"));

    desk.running = Running::start(&desk.place, &by_hand()).expect("it does not start");
    desk.wait(&code, "delivered");
    desk.wait_for(&code, "transfer.delivered");
    let history = desk.ok("it", "GET", &format!("/transfers/{code}/history"), Value::Null);
    let count = |kind: &str| {
        history.as_array().unwrap().iter().filter(|event| event["kind"] == kind).count()
    };
    assert_eq!(count("transfer.delivered"), 1, "{history}");
    assert_eq!(count("transfer.step_failed"), 0, "{history}");
    let folder = desk.place.production.join("film/plates");
    // Until it is tidied up, the journal stands there, too.
    let mut standing = delivery::names(&folder);
    standing.retain(|name| !name.contains("databridge-journal"));
    assert_eq!(standing, [code.clone(), format!("{code}.proof")]);
    assert_eq!(std::fs::read(folder.join(&code).join("a.exr")).unwrap(), b"bytes");
    // Being handed back is no failure of the job's.
    let jobs = desk.ok("admin", "GET", "/transfer-ops/jobs", Value::Null);
    let copies: Vec<_> = jobs
        .as_array()
        .unwrap()
        .iter()
        .filter(|job| job["kind"] == "transfer.copy")
        .map(|job| (job["state"].as_str().unwrap(), job["attempts"].as_i64().unwrap()))
        .collect();
    assert_eq!(copies, [("done", 1)], "{jobs}");
    // The host that left so is told of no more.
    let hosts = desk.ok("it", "GET", "/transfer-ops/hosts", Value::Null);
    assert_eq!(hosts.as_array().unwrap().len(), 1, "{hosts}");
}
