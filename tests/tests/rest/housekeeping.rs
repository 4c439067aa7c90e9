//! Housekeeping as those who look after the hosts meet it.

use std::process::Command;
use std::time::{Duration, SystemTime};

use databridge_tests::process::built;
use serde_json::{Value, json};

use crate::desk::{Desk, Kind};

#[test]
fn it_is_looked_at_and_asked_for_by_those_who_may_and_counted() {
    let desk = Desk::open(Kind::Sqlite);
    desk.place.mature();
    let uploads = desk.place.staging.join(".uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    let file = uploads.join("0000000000000000000000000000cafe");
    std::fs::write(&file, "forgotten").unwrap();
    let then = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    std::fs::File::open(&file).unwrap().set_modified(then).unwrap();
    for method in ["GET", "POST"] {
        let body = if method == "GET" { Value::Null } else { json!({}) };
        let refused = desk.ask("artist", method, "/transfer-ops/housekeeping", body);
        refused.refused(403, "identity.forbidden");
        assert_eq!(refused.header("x-required-roles"), Some("admin, it_team"));
    }
    // By the program, from afar: it shows, and changes nothing.
    let databridge = |rest: &[&str]| -> Value {
        let output = Command::new(built("databridge"))
            .args(["--json", "--server", &desk.running.url, "--token", desk.people.token("it")])
            .arg("housekeeping")
            .args(rest)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let plan = databridge(&["--dry-run"]);
    assert_eq!(plan["items"].as_array().unwrap().len(), 1, "{plan}");
    assert_eq!(plan["items"][0]["what"], "upload");
    assert_eq!(
        (&plan["files"], &plan["bytes"], &plan["more"]),
        (&json!(1), &json!(9), &json!(false))
    );
    assert!(file.exists());
    let job = databridge(&[]);
    assert_eq!(job["kind"], "housekeeping");
    let removed = |text: &str| {
        let sample = "databridge_housekeeping_removed_total{what=\"upload\"} ";
        let found = text.lines().find_map(|line| line.strip_prefix(sample));
        found.unwrap_or_else(|| panic!("{sample} is not in {text}")).to_owned()
    };
    for _ in 0..600 {
        let metrics = desk.ask("it", "GET", "/metrics", Value::Null).text;
        if removed(&metrics) == "1" {
            assert!(metrics.contains("databridge_housekeeping_bytes_total{what=\"upload\"} 9"));
            assert!(!file.exists());
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it was not removed");
}
