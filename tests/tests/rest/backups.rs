//! Folders of backups: what is removed from them, and what never is.

use std::path::{Path, PathBuf};

use databridge_tests::process::{Daemon, PATIENCE, run};
use databridge_tests::studio::{Place, Running, Settings};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::backup::{json_of, text};
use crate::desk::databridge;

/// A new store on SQLite, whose daemon rests.
fn store(folder: &TempDir, name: &str) -> Place {
    let place = Place::below(&folder.path().join(name));
    // Not a copy of another: with keys of its own.
    Running::start(&place, &Settings::new()).unwrap().daemon.end(Signal::TERM, PATIENCE);
    place
}

fn made(place: &Place, words: &[&str]) -> PathBuf {
    let words = [&["--json", "backup"], words].concat();
    PathBuf::from(json_of(&databridge(place, &words).output().unwrap())["path"].as_str().unwrap())
}

/// Gives a backup another time and name, as if it were of then.
fn redate(backup: &Path, at: &str) -> PathBuf {
    let path = backup.join("backup.json");
    let mut contents: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    contents["taken_at"] = json!(at);
    std::fs::write(path, contents.to_string()).unwrap();
    let to = backup.with_file_name(format!("databridge-{}-{}", at, uuid::Uuid::new_v4()));
    std::fs::rename(backup, &to).unwrap();
    to
}

#[test]
fn a_store_removes_its_own_backups_and_never_the_one_just_made() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (store(&folder, "ours"), store(&folder, "theirs"));
    let shared = folder.path().join("dated");
    let words = ["--keep", "2", text(&shared)];
    let old = redate(&made(&ours, &words), "2001-01-01T00:00:00Z");
    let other = redate(&made(&theirs, &words), "2000-01-01T00:00:00Z");
    // A clock ran ahead when these were made.
    let ahead = redate(&made(&ours, &words), "2101-01-01T00:00:00Z");
    assert!(old.is_dir(), "of two of ours both stay");
    let further = redate(&made(&ours, &words), "2102-01-01T00:00:00Z");
    assert!(!old.exists(), "the oldest of three goes");
    let newest = made(&ours, &words);
    assert!(newest.is_dir() && further.is_dir() && other.is_dir());
    assert!(!ahead.exists());
}

#[test]
fn what_a_killed_backup_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let place = store(&folder, "store");
    let backups = folder.path().join("backups");
    let hidden = || -> Vec<PathBuf> {
        let all = std::fs::read_dir(&backups).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
    };
    let monday = backups.join("monday");
    let mut command = databridge(&place, &["backup", text(&monday)]);
    let killed = command.env("DATABRIDGE_STEP", "backup.filled:1:KILL").output().unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    let left = hidden();
    assert_eq!(left.len(), 1, "{left:?}");
    // One that is still being made, and what is somebody else's.
    let slow = backups.join("slow");
    let mut command = databridge(&place, &["backup", text(&slow)]);
    command.env("DATABRIDGE_STEP", "backup.filled:1:STOP");
    let mut maker = Daemon::spawn(command);
    maker.wait_until_stopped(PATIENCE);
    let foreign = backups.join(format!(".somebody.{}", "0".repeat(32)));
    std::fs::create_dir_all(foreign.join("keep")).unwrap();
    // Another host's, on a share: its lock may not be seen here.
    let theirs = backups.join(format!(".monday.another-host.{}", "0".repeat(32)));
    std::fs::create_dir_all(theirs.join("keep")).unwrap();
    made(&place, &[text(&monday)]);
    assert!(!left[0].exists(), "it is there for ever");
    assert!(foreign.join("keep").is_dir() && theirs.join("keep").is_dir());
    std::fs::remove_dir_all(&theirs).unwrap();
    std::fs::remove_dir_all(&monday).unwrap();
    std::fs::rename(&foreign, backups.join(".slow.of-somebody")).unwrap();
    let words = ["backup", text(&slow)];
    // The one that comes second finds the place taken.
    run(&mut databridge(&place, &words));
    maker.resume();
    assert!(!maker.wait(PATIENCE).success());
    run(&mut databridge(&place, &["restore", "--check", text(&slow)]));
    assert_eq!(hidden(), [backups.join(".slow.of-somebody")]);
}

#[test]
fn secrets_stand_neither_in_a_backup_without_keys_nor_in_what_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let place = store(&folder, "store");
    let config = folder.path().join("databridge.toml");
    let secret = "s3cr3t-w0rd";
    std::fs::write(
        &config,
        format!(
            "[s3]\nsecret_access_key = \"{secret}\"\n[directory]\nbind_password = \"{secret}\"\n\
             [[hooks]]\nname = \"chat\"\nurl = \"https://chat.example/hooks/{secret}?t={secret}\"\n\
             secret_env = \"CHAT\"\n"
        ),
    )
    .unwrap();
    let on = |words: &[&str]| {
        let mut command = databridge(&place, words);
        command.arg("--config").arg(&config);
        command
    };
    let shown = run(&mut on(&["config", "show"]));
    assert!(shown.contains("https://chat.example") && !shown.contains(secret), "{shown}");
    let backup = folder.path().join("keyless");
    let said = run(&mut on(&["backup", "--without-keys", text(&backup)]));
    assert!(said.contains("without keys and configuration"), "{said}");
    assert!(!backup.join("config.toml").exists());
    let with = folder.path().join("with");
    run(&mut on(&["backup", text(&with)]));
    assert!(std::fs::read_to_string(with.join("config.toml")).unwrap().contains(secret));
}
