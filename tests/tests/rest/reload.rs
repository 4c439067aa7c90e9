//! A configuration that is read again while the daemon works.

use std::process::Command;

use databridge_tests::process::{PATIENCE, built};
use databridge_tests::studio::Settings;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::desk::{Desk, Kind, by_hand};

/// Of three days, none of which is today: it is closed whenever this runs.
fn closed() -> String {
    let day = |days: i64| {
        let now = databridge_core::base::clock::Timestamp::now().as_micros() / 86_400_000_000;
        // 1970-01-01 was a Thursday.
        ["thu", "fri", "sat", "sun", "mon", "tue", "wed"]
            [usize::try_from((now + days) % 7).unwrap()]
    };
    format!("[{:?}, {:?}]", day(3), day(4))
}

#[test]
fn limits_hours_and_the_log_change_while_it_works() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("databridge.toml");
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    let hours = format!("[copy]\nwindows = {}\n", closed());
    write(&format!("log = \"warn\"\nworkers = 2\n{hours}"));
    let mut settings: Settings = by_hand();
    settings.push(("CONFIG", config.clone().into()));
    let mut desk = Desk::open_with(Kind::Sqlite, &settings);
    let code = desk.submitted();
    for who in ["lead", "supervisor", "producer"] {
        desk.ok(who, "POST", &format!("/approvals/{code}/approve"), json!({}));
    }
    desk.ok("data", "POST", &format!("/scanning/{code}/start"), json!({}));
    desk.wait(&code, "undecided");
    let decision = json!({ "decision": "accept", "reason": "looked at by hand" });
    desk.ok("data", "POST", &format!("/scanning/{code}/decide"), decision);
    desk.ok("it", "POST", &format!("/transfer-ops/{code}/start"), json!({}));

    // A wrong one changes nothing, and says where it is wrong.
    for (text, place) in [
        ("log = \"info\"\n[limits]\nuploads_per_minute = \"many\"\n", "(line 3, column 22)"),
        ("log = \"info\"\n[http]\nheader_seconds = 0\n", "(line 3, column 1)"),
        ("log = \"info\"\n[http\n", "(line 2, column 6)"),
        ("log = \"a=b=c\"\n", "config.log"),
    ] {
        write(text);
        desk.running.daemon.signal(Signal::HUP);
        let said = desk
            .running
            .daemon
            .wait_for_line(PATIENCE, |line| line.contains("the configuration was not reloaded"));
        assert!(said.contains(place), "{said}");
        let mut check = Command::new(built("databridged"));
        let check = check.env_clear().arg("--check-config").arg("--config").arg(&config);
        let refused = check.output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains(place) || place == "config.log" && told.contains("a=b=c"), "{told}");
    }
    assert_ne!(
        desk.ok("it", "GET", &format!("/transfers/{code}"), Value::Null)["state"],
        "delivered"
    );

    // The hours are over: what waited for them goes on, in the process that it was in.
    write("log = \"info\"\nworkers = 1\n[limits]\nuploads_per_minute = 77\n");
    desk.running.daemon.signal(Signal::HUP);
    let said = desk.running.daemon.wait_for_line(PATIENCE, |line| line.contains("was reloaded"));
    for setting in ["copy.windows", "limits.uploads_per_minute", "log"] {
        assert!(said.contains(setting), "{setting}: {said}");
    }
    let said = desk.running.daemon.wait_for_line(PATIENCE, |line| line.contains("next start"));
    assert!(said.contains("workers"), "{said}");
    desk.wait(&code, "delivered");
    let other = desk.ok(
        "artist",
        "POST",
        "/transfers",
        json!({
            "title": "b", "project": "film", "category": "plates",
        }),
    )["code"]
        .clone();
    let put = desk.raw(
        "PUT",
        &format!("/api/v1/transfers/{}/files/a.exr", other.as_str().unwrap()),
        &[("authorization", format!("Bearer {}", desk.people.token("artist")))],
        b"bytes",
    );
    assert_eq!(put.header("x-ratelimit-limit"), Some("77"), "{put:?}");
    desk.running.daemon.wait_for_line(PATIENCE, |line| line.contains("answered"));
    assert!(desk.running.daemon.end(Signal::TERM, PATIENCE).success());
}
