//! A thousand who listen, as a studio has that leaves its pages open.

use databridge_tests::studio::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::desk::{Desk, Kind};
use crate::events::Stream;

const MANY: usize = 1000;

#[test]
#[ignore = "long: `make test-long`"]
fn a_thousand_streams_on_sqlite() {
    a_thousand_hear_all_that_they_may_see(Kind::Sqlite);
}

#[test]
#[ignore = "long: `make test-long`"]
fn a_thousand_streams_on_postgres() {
    a_thousand_hear_all_that_they_may_see(Kind::Postgres);
}

/// Resident memory of a process, in KiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Open files of this process from now on, and of those that it starts.
fn files(current: Option<u64>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = current.or(maximum);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// What somebody may see of what the ledger has after a position.
fn heard(activity: &Value, mut may: impl FnMut(&Value) -> bool) -> Vec<(i64, String)> {
    let of = |e: &Value| (e["position"].as_i64().unwrap(), e["kind"].as_str().unwrap().to_owned());
    activity.as_array().unwrap().iter().filter(|event| may(event)).map(of).collect()
}

fn ready(desk: &Desk) {
    let answer = desk.ask("", "GET", "/api/ready", Value::Null);
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn a_thousand_hear_all_that_they_may_see(kind: Kind) {
    // The daemon starts with as few as it gets unasked, and takes what its unit allows.
    files(Some(256));
    let mut desk = Desk::open_with(kind, &Settings::new());
    files(None);
    desk.hire("other");
    let code = desk.transfer();
    desk.wait_for(&code, "transfer.files_added");
    let start = desk.ok("admin", "GET", "/activity?limit=1000", Value::Null);
    let start = start.as_array().unwrap().last().unwrap()["position"].as_i64().unwrap();
    let before = memory(desk.running.daemon.pid());
    let of_one = format!("/transfers/{code}/events");
    let groups =
        [("artist", "/events"), ("lead", &*of_one), ("admin", "/events"), ("other", "/events")];
    let mut streams: Vec<(&str, Stream)> = (0..MANY)
        .map(|index| {
            let (who, path) = groups[index % groups.len()];
            (who, Stream::open(&desk, who, path, Some(start)))
        })
        .collect();
    let open = desk.ask("it", "GET", "/metrics", Value::Null).text;
    assert!(open.contains(&format!("databridge_streams {MANY}\n")), "{open}");
    ready(&desk);

    desk.ok("artist", "POST", &format!("/transfers/{code}/submit"), json!({}));
    desk.wait(&code, "team_lead_review");
    for who in ["lead", "supervisor", "producer"] {
        desk.ok(who, "POST", &format!("/approvals/{code}/approve"), json!({}));
        ready(&desk);
    }
    let body = json!({ "title": "mine", "project": "film", "category": "plates" });
    let theirs = desk.ok("other", "POST", "/transfers", body)["code"].clone();
    desk.wait_for(theirs.as_str().unwrap(), "transfer.created");
    desk.wait_for(&code, "transfer.approved");

    let path = format!("/activity?limit=1000&after={start}");
    let activity = desk.ok("admin", "GET", &path, Value::Null);
    let of = |code: &Value| {
        let code = code.clone();
        heard(&activity, move |event| event["subject"]["code"] == code)
    };
    let (artists, others) = (of(&json!(code)), of(&theirs));
    let all = heard(&activity, |_| true);
    assert!(artists.len() > 4 && !others.is_empty() && all.len() >= artists.len() + others.len());
    for (index, (who, stream)) in streams.iter_mut().enumerate() {
        let expected = match *who {
            "admin" => &all,
            "other" => &others,
            _ => &artists,
        };
        let told: Vec<_> = expected.iter().map(|_| stream.until_any()).collect();
        assert_eq!(told, *expected, "{who} {index}");
    }
    ready(&desk);
    let after = memory(desk.running.daemon.pid());
    eprintln!("{kind:?}: {MANY} streams; memory {before} KiB before, {after} KiB with them");
    // A place for each is not much.
    assert!(after - before < 256 << 10, "{before} KiB, {after} KiB");
}
