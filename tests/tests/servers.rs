//! The real servers and child processes of the other tests, tried themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use databridge_tests::process::{Daemon, PATIENCE, Stream, built, died_of, free_port, run, state};
use databridge_tests::{clamd, postgres};
use rustix::process::Signal;

#[test]
fn each_postgres_database_is_new_and_empty() {
    let (one, two) = (postgres::fresh_database(), postgres::fresh_database());
    assert_ne!(one.url(), two.url());
    one.psql("CREATE TABLE shots (code text); INSERT INTO shots VALUES ('sh010')");
    assert_eq!(one.psql("SELECT code FROM shots").trim(), "sh010");
    assert_eq!(two.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").trim(), "0");
    assert_eq!(one.psql("SHOW server_encoding").trim(), "UTF8");
}

#[test]
fn a_postgres_of_our_own_is_durable_on_demand_and_ends_with_its_value() {
    let mut server = postgres::Server::start(postgres::Durability::On);
    assert_eq!(server.fresh_database().psql("SHOW fsync").trim(), "on");
    let pid = server.daemon().pid();
    drop(server);
    assert_eq!(state(pid), None);
}

#[test]
fn with_postgres_serves_one_command_and_passes_its_exit_code_on() {
    let status = Command::new(env!("CARGO_BIN_EXE_with-postgres"))
        .args([
            "sh",
            "-c",
            "psql -X -A -t -d \"$DATABRIDGE_TEST_POSTGRES\" -c 'SELECT 1' && exit 7",
        ])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
    let usage = Command::new(env!("CARGO_BIN_EXE_with-postgres")).status().unwrap();
    assert_eq!(usage.code(), Some(2));
}

#[test]
fn nothing_outlives_a_test_that_is_killed() {
    let mut run = Daemon::spawn({
        let mut command = Command::new(env!("CARGO_BIN_EXE_with-postgres"));
        command.args([
            "sh",
            "-c",
            "psql -X -A -t -d \"$DATABRIDGE_TEST_POSTGRES\" \
                       -c 'SHOW data_directory'; exec sleep 600",
        ]);
        command
    });
    let data = run.wait_for_line(PATIENCE, |line| line.ends_with("/data"));
    let text = std::fs::read_to_string(format!("{data}/postmaster.pid")).unwrap();
    let server: u32 = text.lines().next().unwrap().parse().unwrap();
    assert!(state(server).is_some());
    let gone = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(server.cast_signed()).unwrap(),
        rustix::process::PidfdFlags::empty(),
    )
    .unwrap();
    assert!(died_of(run.kill_9(), Signal::KILL));
    let mut fds = [rustix::event::PollFd::new(&gone, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec::try_from(PATIENCE).unwrap();
    assert_eq!(rustix::event::poll(&mut fds, Some(&limit)), Ok(1), "PostgreSQL still runs");
}

#[test]
fn clamd_finds_what_its_signatures_name_and_nothing_else() {
    let server = clamd::Server::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let scan = |name: &str, content: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        let answer = server.command(&format!("SCAN {}", file.display()));
        answer.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(scan("plate.exr", b"v/1\x01 pixels"), "OK");
    let eicar = scan("eicar.com", &clamd::eicar());
    assert!(eicar.starts_with("Eicar-Test") && eicar.ends_with("FOUND"), "{eicar}");
    let hidden = [b"pixels ".to_vec(), clamd::marker()].concat();
    assert_eq!(scan("marked.exr", &hidden), "DataBridge.Test.Marker.UNOFFICIAL FOUND");
    assert!(server.command_tcp("VERSION").starts_with("ClamAV "));
}

#[test]
fn clamd_takes_other_settings_and_ends_with_its_value() {
    let mut server = clamd::Server::start_with("MaxFileSize 1K\nMaxScanSize 1K\n");
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let file = folder.path().join("big.mov");
    std::fs::write(&file, vec![7; 4096]).unwrap();
    let answer = server.command(&format!("SCAN {}", file.display()));
    assert!(answer.contains("Heuristics.Limits.Exceeded"), "{answer}");
    let (pid, socket) = (server.daemon().pid(), server.socket());
    drop(server);
    assert_eq!(state(pid), None);
    assert!(!socket.exists());
}

#[test]
fn a_child_is_heard_hung_woken_and_killed() {
    let mut command = Command::new("sh");
    let stop = "kill -s STOP $$";
    command
        .arg("-c")
        .arg(format!("echo ready; {stop}; echo trouble >&2; {stop}; echo on; exec sleep 600"));
    let mut child = Daemon::spawn(command);
    for line in ["ready", "trouble", "on"] {
        assert_eq!(child.wait_for_line(PATIENCE, |found| found == line), line);
        if line != "on" {
            child.wait_until_stopped(PATIENCE);
            child.resume();
        }
    }
    assert_eq!(child.lines_of(Stream::Err), ["trouble"]);
    child.pause();
    assert_eq!(state(child.pid()), Some('T'));
    assert!(died_of(child.kill_9(), Signal::KILL));
    assert_eq!(state(child.pid()), None);
}

#[test]
fn a_child_ends_with_its_value_or_is_waited_for() {
    let child = Daemon::spawn({
        let mut command = Command::new("sleep");
        command.arg("600");
        command
    });
    let pid = child.pid();
    drop(child);
    assert_eq!(state(pid), None);
    let mut command = Command::new("sh");
    command.args(["-c", "trap 'exit 3' TERM; echo ready; kill -s STOP $$; exit 4"]);
    let mut child = Daemon::spawn(command);
    child.wait_for_line(PATIENCE, |line| line == "ready");
    child.wait_until_stopped(PATIENCE);
    child.signal(Signal::TERM);
    child.resume();
    assert_eq!(child.wait(PATIENCE).code(), Some(3));
}

#[test]
fn programs_of_the_workspace_are_found() {
    let found = built("with-postgres").canonicalize().unwrap();
    assert_eq!(found, Path::new(env!("CARGO_BIN_EXE_with-postgres")).canonicalize().unwrap());
}

#[test]
fn a_free_port_can_be_bound() {
    std::net::TcpListener::bind(("127.0.0.1", free_port())).unwrap();
}

#[test]
fn servers_run_without_privileges() {
    if !databridge_tests::mounts::require_root("servers_run_without_privileges") {
        return;
    }
    let mut server = clamd::Server::start();
    let pid = server.daemon().pid().to_string();
    assert_eq!(run(Command::new("ps").args(["-o", "uid=", "-p", &pid])).trim(), "65534");
}
