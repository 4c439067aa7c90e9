//! Three daemons on one PostgreSQL share the API and the work: restarted in turn under
//! load, killed, frozen and thawed, cut off, each limited to what it can do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cut;
mod farm;

use std::process::Command;

use databridge_tests::process::PATIENCE;
use databridge_tests::studio::{Request, Settings, Trouble, send};
use rustix::process::Signal;
use serde_json::{Value, json};

use farm::Farm;

#[test]
fn a_rolling_restart_under_load_loses_nothing() {
    let mut farm = Farm::new([Settings::new(), Settings::new(), Settings::new()]);
    let codes: Vec<String> = (0..4).map(|_| farm.scanned()).collect();
    for (index, code) in codes.iter().enumerate() {
        farm.start_delivery(code);
        // Each host in turn goes while there is work, and comes back.
        farm.drain(index % 3);
        farm.start(index % 3, &Settings::new());
    }
    farm.check(&codes);
    let hosts = farm.ask("it", "GET", "/transfer-ops/hosts", json!({}));
    let names: Vec<_> = hosts.as_array().unwrap().iter().map(|h| h["name"].clone()).collect();
    assert_eq!(names, ["host0", "host1", "host2"], "who has left is still told of: {hosts}");
}

#[test]
fn a_dead_hosts_jobs_are_taken_over_and_a_thawed_one_changes_nothing() {
    // The first dies over its copy, the second is frozen past its lease.
    let trap = |trap: &str| vec![("STEP", trap.into()), ("WORKERS", "1".into())];
    let idle: Settings = vec![("ROLE", "serve".into())];
    let mut farm = Farm::new([idle.clone(), idle.clone(), idle]);
    let codes: Vec<String> = (0..4).map(|_| farm.scanned_by_worker()).collect();
    // One after the other: whoever is quick would leave nothing to the other's trap.
    farm.kill(1);
    farm.start(1, &trap("copy.file_written:1:KILL"));
    for code in &codes {
        farm.start_delivery(code);
    }
    let mut dead = farm.hosts[1].take().unwrap();
    assert!(dead.daemon.ends_within(PATIENCE), "{}", dead.daemon.output());
    farm.kill(2);
    farm.start(2, &trap("copy.journal_identity:1:STOP"));
    let frozen = farm.hosts[2].take().unwrap();
    frozen.daemon.wait_until_stopped(PATIENCE);
    // Whoever joins now finds what the others left.
    farm.start(1, &Settings::new());
    farm.check(&codes);
    frozen.daemon.resume();
    farm.hosts[2] = Some(frozen);
    let thawed = farm.hosts[2].as_mut().unwrap();
    thawed.daemon.wait_for_line(PATIENCE, |line| line.contains("job failed"));
    farm.check(&codes);
    farm.drain(2);
    farm.check(&codes);
}

#[test]
fn a_host_that_freezes_in_a_transaction_holds_up_nobody() {
    let idle = || -> Settings { vec![("ROLE", "serve".into())] };
    let mut farm = Farm::new([idle(), idle(), idle()]);
    let code = farm.drafted();
    farm.kill(1);
    farm.start(1, &vec![("STEP", "command.before_commit:1:STOP".into()), ("WORKERS", "1".into())]);
    farm.act("artist", "transfers", &code, "submit", json!({}));
    // It has written what it found, and holds the rows.
    let frozen = farm.hosts[1].take().unwrap();
    frozen.daemon.wait_until_stopped(PATIENCE);
    farm.kill(2);
    farm.start(2, &Settings::new());
    assert_eq!(farm.settle(&code), "team_lead_review");
}

#[test]
fn work_goes_to_hosts_that_can_do_it_and_only_those_that_serve_answer() {
    let can = |list: &str| -> Settings { vec![("CAN", list.into()), ("ROLE", "work".into())] };
    let mut farm = Farm::new([
        vec![("ROLE", "serve".into())],
        can("[staging, scan]"),
        can("[staging, production]"),
    ]);
    // A worker answers whether it is well, and nothing else.
    for index in [1, 2] {
        let worker = farm.hosts[index].as_ref().unwrap().url.clone();
        let ask = |path: &str| Request {
            method: "GET",
            path: path.to_owned(),
            token: farm.people.token("admin").to_owned(),
            body: json!({}),
            bytes: Vec::new(),
            key: String::new(),
        };
        let refused = send(&worker, &ask("/transfers"));
        assert!(matches!(refused, Err(Trouble::Problem { status: 404, .. })), "{refused:?}");
    }
    let workers = farm.hosts.split_off(1);
    let code = farm.scanned();
    farm.start_delivery(&code);
    farm.check(std::slice::from_ref(&code));
    let hosts = farm.ask("it", "GET", "/transfer-ops/hosts", json!({}));
    let roles: Vec<_> = hosts.as_array().unwrap().iter().map(|h| h["role"].clone()).collect();
    assert_eq!(roles, ["serve", "work", "work"]);
    farm.hosts.extend(workers);
    let taken = |log: String| -> Vec<String> {
        let kind = |line: &str| {
            let (_, rest) = line.split_once("job taken up")?;
            Some(rest.split_once("kind=\"")?.1.split('"').next()?.to_owned())
        };
        log.lines().filter_map(kind).collect()
    };
    let (serves, scans, moves) = (taken(farm.log(0)), taken(farm.log(1)), taken(farm.log(2)));
    assert!(serves.is_empty(), "{serves:?}");
    assert!(scans.iter().any(|k| k == "transfer.scan"), "{scans:?}");
    assert!(scans.iter().all(|k| k != "transfer.copy"), "{scans:?}");
    assert!(moves.iter().any(|k| k == "transfer.copy"), "{moves:?}");
    assert!(moves.iter().all(|k| k != "transfer.scan"), "{moves:?}");
}

#[test]
fn systemd_is_told_and_the_log_is_for_programs() {
    use std::os::unix::net::UnixDatagram;

    use databridge_tests::process::{Daemon, Stream};
    use databridge_tests::studio::daemon_program;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = Command::new(daemon_program());
    command.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--data"]);
    command.arg(folder.path().join("data"));
    command.env_clear().env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "600000");
    let mut daemon = Daemon::spawn(command);
    assert!(told().contains("READY=1"));
    assert!(told().contains("WATCHDOG=1") && told().contains("WATCHDOG=1"));
    let status = daemon.end(Signal::TERM, PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", daemon.output());
    assert!((0..100).any(|_| told().contains("STOPPING=1")));
    let lines = daemon.lines_of(Stream::Err);
    assert!(!lines.is_empty());
    for line in lines {
        let object: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(object["timestamp"].is_string() && object["level"].is_string(), "{line}");
    }
}

#[test]
fn the_units_are_as_closed_as_they_were_and_give_what_connections_take() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../databridge-daemon/systemd");
    let unit = std::fs::read_to_string(folder.join("databridged.service")).unwrap();
    let files = unit.lines().find_map(|line| line.strip_prefix("LimitNOFILE=")).unwrap();
    let connections = databridge_core::app::config::HttpConfig::default().max_connections;
    // Whoever is connected may have a file in hand, and the copies have theirs.
    assert!(files.parse::<usize>().unwrap() >= 2 * connections + 1024, "{files}");
    for unit in ["databridged.service", "databridge-backup.service"] {
        let analyze = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold=15"])
            .arg(folder.join(unit))
            .output();
        let Ok(output) = analyze else {
            eprintln!("systemd-analyze is not here: the units' exposure is not looked at");
            return;
        };
        // At most 1.5 of 10; it is 1.2.
        assert!(output.status.success(), "{unit}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
