//! Real signals at every named step, in a process of its own. Needs the feature
//! `steps`.

use std::process::{Command, Stdio};

use databridge_core::media::copy::{self, Error};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use uuid::Uuid;

use super::{Room, deliver};

const STEPS: [&str; 12] = [
    "copy.announced:1",
    "copy.laid_out:1",
    "copy.prepared:1",
    "copy.file_written:1",
    "copy.file_written:5",
    "copy.flushed:1",
    "copy.read_back:1",
    "copy.journal_identity:1",
    "copy.published:1",
    "copy.parent_flushed:1",
    "copy.finished:1",
    "copy.fenced:1",
];

/// The other process's part: delivers the room named in the environment.
#[test]
fn child() {
    let Ok(text) = std::env::var("DATABRIDGE_TEST_PLAN") else { return };
    let parts: Vec<_> = text.split('|').collect();
    let mut plan = Room::empty().plan(parts[2].parse().unwrap());
    plan.source = parts[0].into();
    plan.destination = parts[1].into();
    plan.attempt.id = parts[3].parse::<Uuid>().unwrap();
    plan.manifest = super::manifest(&plan.source);
    match deliver(&plan) {
        Ok(_) => {}
        Err(Error::Fenced { .. } | Error::DestinationExists { .. }) => std::process::exit(42),
        Err(other) => panic!("{other:?}"),
    }
}

// Waited for by its id, since std does not tell of a stop.
#[allow(clippy::zombie_processes)]
fn spawn(room: &Room, epoch: u64, step: &str, signal: &str) -> Pid {
    let (source, destination) = (room.source(), room.destination());
    let plan = format!("{}|{}|{epoch}|{}", source.display(), destination.display(), room.id);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child"])
        .env("DATABRIDGE_TEST_PLAN", plan)
        .env("DATABRIDGE_STEP", format!("{step}:{signal}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Pid::from_child(&child)
}

fn wait(pid: Pid) -> WaitStatus {
    waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap().1
}

/// A room, and for the step of a takeover something to take over.
fn room(step: &str) -> Room {
    let room = Room::new();
    if step.starts_with("copy.fenced") {
        let plan = room.plan(1);
        copy::prepare(&plan).unwrap();
        copy::transfer(&plan, &()).unwrap();
    }
    room
}

#[test]
fn killed_at_every_step_the_successor_delivers() {
    for step in STEPS {
        let room = room(step);
        let status = wait(spawn(&room, 2, step, "KILL"));
        assert_eq!(status.terminating_signal(), Some(Signal::KILL.as_raw()), "{step}: {status:?}");
        match deliver(&room.plan(3)) {
            Ok(_) => {}
            // Only where nothing was left to do.
            Err(Error::DestinationExists { .. }) if step == "copy.finished:1" => {}
            Err(other) => panic!("{step}: {other:?}"),
        }
        room.assert_delivered();
    }
}

#[test]
fn stopped_at_every_step_and_continued_it_harms_nothing() {
    for step in STEPS {
        let room = room(step);
        let pid = spawn(&room, 2, step, "STOP");
        assert!(wait(pid).stopped(), "{step}");
        let done = deliver(&room.plan(3));
        assert!(done.is_ok() || step == "copy.finished:1", "{step}: {done:?}");
        room.assert_delivered();
        kill_process(pid, Signal::CONT).unwrap();
        let code = wait(pid).exit_status();
        let late = ["copy.published:1", "copy.parent_flushed:1", "copy.finished:1"].contains(&step);
        assert_eq!(code, Some(if late { 0 } else { 42 }), "{step}");
        room.assert_delivered();
    }
}

#[test]
fn stopped_at_every_step_and_cancelled_it_publishes_nothing() {
    for step in &STEPS[..8] {
        let room = room(step);
        let pid = spawn(&room, 2, step, "STOP");
        assert!(wait(pid).stopped(), "{step}");
        assert_eq!(copy::abort(&room.plan(3)).unwrap(), copy::Aborted::Removed);
        room.assert_nothing();
        kill_process(pid, Signal::CONT).unwrap();
        assert_eq!(wait(pid).exit_status(), Some(42), "{step}");
        room.assert_nothing();
    }
}
