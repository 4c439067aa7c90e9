//! Other file systems, and ones that refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use databridge_core::Fault;
use databridge_core::base::cancel::Cancel;
use databridge_core::media::copy::{self, Aborted, Error, Worth};
use databridge_core::media::monitor::{Monitor, Progress};

use super::{Room, When, content, deliver};

/// A file system mounted for one test.
struct Mount(PathBuf);

impl Mount {
    /// `None`, and the reason printed, where it cannot be had.
    fn new(at: &Path, arguments: &[&str]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: mounting a file system needs root");
            return None;
        }
        fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(arguments).arg(at).output();
        match done {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            other => {
                eprintln!("skipped: this system does not let us mount ({other:?})");
                None
            }
        }
    }

    fn tmpfs(at: &Path, size: &str) -> Option<Self> {
        Self::new(at, &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_destination_in_memory_says_what_its_read_back_is_worth() {
    let room = Room::new();
    let Some(_mount) = Mount::tmpfs(&room.dir.path().join("production"), "64m") else { return };
    let plan = room.plan(1);
    copy::prepare(&plan).unwrap();
    copy::transfer(&plan, &()).unwrap();
    assert_eq!(copy::verify(&plan, &()).unwrap().worth, Worth::Memory);
    copy::publish(&plan, &()).unwrap();
    copy::finish(&plan).unwrap();
    room.assert_delivered();
}

#[test]
fn a_destination_too_small_is_refused_before_anything_is_written() {
    let room = Room::new();
    let Some(_mount) = Mount::tmpfs(&room.dir.path().join("production"), "1m") else { return };
    let error = copy::prepare(&room.plan(1)).unwrap_err();
    assert!(
        matches!(error, Error::NoSpace { needed_bytes: Some(needed), free_bytes: Some(free), .. } if needed > free),
        "{error:?}"
    );
    room.assert_nothing();
}

#[test]
fn a_destination_that_fills_up_is_told_and_the_copy_resumes_later() {
    let room = Room::new();
    let Some(_mount) = Mount::tmpfs(&room.dir.path().join("production"), "16m") else { return };
    let mut plan = room.plan(1);
    copy::prepare(&plan).unwrap();
    let filler = room.destination().with_file_name("filler");
    fs::write(&filler, content(0, 14 << 20)).unwrap();
    let error = copy::transfer(&plan, &()).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
    room.assert_invisible();
    fs::remove_file(filler).unwrap();
    plan.attempt.epoch = 2;
    deliver(&plan).unwrap();
    room.assert_delivered();
}

#[test]
fn what_an_interrupted_copy_takes_up_is_not_asked_for_again() {
    let room = Room::empty();
    room.write("long.mov", &content(1, 9 << 20));
    let Some(_mount) = Mount::tmpfs(&room.dir.path().join("production"), "12m") else { return };
    let mut plan = room.plan(1);
    copy::prepare(&plan).unwrap();
    let cancel = Cancel::new();
    let stopped = copy::transfer(&plan, &Both(When::bytes(3, || cancel.cancel()), &cancel));
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    plan.attempt.epoch = 2;
    deliver(&plan).unwrap();
    room.assert_delivered();
}

/// Listens with one and asks the other.
struct Both<'a, M>(M, &'a Cancel);

impl<M: Monitor> Monitor for Both<'_, M> {
    fn on(&self, progress: Progress<'_>) {
        self.0.on(progress);
    }
    fn cancelled(&self) -> bool {
        self.1.is_cancelled()
    }
}

#[test]
fn a_read_only_destination_is_told() {
    let room = Room::new();
    let production = room.dir.path().join("production");
    let Some(_mount) = Mount::new(&production, &["-t", "tmpfs", "-o", "ro", "tmpfs"]) else {
        return;
    };
    let error = copy::prepare(&room.plan(1)).unwrap_err();
    assert_eq!(error.code(), "copy.read_only");
    assert!(error.to_string().contains("production"), "{error}");
    room.assert_nothing();
}

#[test]
fn a_destination_that_turns_read_only_in_mid_copy_is_told() {
    let room = Room::new();
    let production = room.dir.path().join("production");
    let Some(_mount) = Mount::tmpfs(&production, "64m") else { return };
    let remount = |mode: &str| {
        let option = format!("remount,{mode}");
        assert!(
            Command::new("mount")
                .args(["-o", &option])
                .arg(&production)
                .status()
                .unwrap()
                .success()
        );
    };
    let plan = room.plan(1);
    copy::prepare(&plan).unwrap();
    remount("ro");
    assert_eq!(copy::transfer(&plan, &()).unwrap_err().code(), "copy.read_only");
    assert_eq!(copy::abort(&plan).unwrap_err().code(), "copy.read_only");
    remount("rw");
    assert_eq!(copy::abort(&plan).unwrap(), Aborted::Removed);
    room.assert_nothing();
}

#[test]
fn what_may_not_be_read_or_written_is_told() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may read and write everything");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let room = Room::new();
    let plan = room.plan(1);
    let production = room.dir.path().join("production");
    fs::set_permissions(&production, PermissionsExt::from_mode(0o500)).unwrap();
    assert_eq!(copy::prepare(&plan).unwrap_err().code(), "copy.permission");
    fs::set_permissions(&production, PermissionsExt::from_mode(0o700)).unwrap();
    copy::prepare(&plan).unwrap();
    fs::set_permissions(room.source().join("note.txt"), PermissionsExt::from_mode(0o000)).unwrap();
    let error = copy::transfer(&plan, &()).unwrap_err();
    assert_eq!(error.code(), "copy.permission");
    assert!(error.to_string().contains("note.txt"), "{error}");
}
