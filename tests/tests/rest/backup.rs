//! A store is destroyed and put back.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use databridge_tests::process::PATIENCE;
use databridge_tests::studio::{People, Place, Request, Running, send};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::desk::{Desk, Kind, by_hand, databridge};

on_both!(
    a_store_that_was_destroyed_is_put_back_and_goes_on,
    nothing_is_touched_where_a_backup_cannot_be_put_back,
);

/// Of the database, which asks for none; it must stand nowhere.
const PASSWORD: &str = "sesame-open";

pub(crate) fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// Exit code and error code of a refusal.
#[track_caller]
pub(crate) fn refused(mut command: Command, exit: i32, code: &str) {
    let output = command.arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(exit), "{output:?}");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["code"], code, "{error}");
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes one transfer after another and tells of each that was answered.
fn write_on(url: &str, token: &str, stop: &AtomicBool, told: std::sync::mpsc::Sender<String>) {
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let request = Request {
            method: "POST",
            path: "/transfers".into(),
            token: token.to_owned(),
            body: json!({ "title": format!("take {number}"), "project": "film", "category": "plates" }),
            bytes: Vec::new(),
            key: format!("take {number}"),
        };
        let made = send(url, &request).unwrap();
        let _ = told.send(made["code"].as_str().unwrap().to_owned());
    }
}

fn next(told: &Receiver<String>, many: usize) -> Vec<String> {
    (0..many).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect()
}

/// A server takes a moment to see that a daemon is gone.
pub(crate) fn let_go(desk: &Desk) {
    let Some(database) = &desk.database else { return };
    let left = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'databridge'";
    assert!((0..1000).any(|_| database.psql(left).trim() == "0"), "a session outlives its daemon");
}

/// Wherever the daemon kept anything but media: gone.
pub(crate) fn destroy(desk: &mut Desk) {
    desk.running.daemon.kill_9();
    let_go(desk);
    std::fs::remove_dir_all(&desk.place.data).unwrap();
    if let Some(database) = &desk.database {
        database.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    }
}

/// Programs that note what they were called with, and then do it.
fn spied(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["pg_dump", "pg_restore"] {
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' {name} \"$@\" >> {}\nPATH=\"${{PATH#*:}}\" exec {name} \"$@\"\n",
            folder.join("calls").display()
        );
        std::fs::write(bin.join(name), script).unwrap();
        std::fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    bin
}

fn a_store_that_was_destroyed_is_put_back_and_goes_on(kind: Kind) {
    let mut desk = Desk::open_with(kind, &by_hand());
    let folder = tempfile::tempdir().unwrap();
    let delivered = desk.submitted();
    desk.deliver(&delivered);
    let waiting = desk.submitted();
    // A password in the URL; what this server trusts it with is not looked at.
    let mut place = desk.place.clone();
    place.database = place.database.map(|url| url.replacen('@', &format!(":{PASSWORD}@"), 1));
    let bin = spied(folder.path());
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let config = folder.path().join("databridge.toml");
    std::fs::write(&config, "workers = 2\n").unwrap();
    let backup = folder.path().join("backup");
    let command = |words: &[&str]| {
        let mut command = databridge(&place, words);
        command.env("PATH", &path).args(["--json", "--config"]).arg(&config);
        command
    };

    // Somebody works all the while.
    let stop = AtomicBool::new(false);
    let (sender, told) = channel();
    let token = desk.people.token("artist").to_owned();
    let url = desk.running.url.clone();
    let (before, made, took, later) = std::thread::scope(|scope| {
        scope.spawn(|| write_on(&url, &token, &stop, sender));
        let mut before = next(&told, 3);
        before.extend(told.try_iter());
        let began = Instant::now();
        let output = command(&["backup", text(&backup)]).output();
        let took = began.elapsed();
        let mut later: Vec<String> = told.try_iter().collect();
        later.extend(next(&told, 3));
        stop.store(true, Ordering::SeqCst);
        (before, json_of(&output.unwrap()), took, later)
    });
    let later: Vec<String> = later.into_iter().chain(told.try_iter()).collect();
    private(&backup, &made);
    assert_eq!(std::fs::read_to_string(backup.join("config.toml")).unwrap(), "workers = 2\n");
    refused(databridge(&place, &["restore", text(&backup)]), 4, "backup.in_use");
    json_of(&command(&["restore", "--check", text(&backup)]).output().unwrap());

    destroy(&mut desk);
    let began = Instant::now();
    let restored = json_of(&command(&["restore", text(&backup)]).output().unwrap());
    assert_eq!(restored["ledger"]["findings"], json!([]));
    assert!(restored["ledger"]["proved_to"].as_u64().unwrap() > 0, "{restored}");
    desk.running = Running::start(&desk.place, &by_hand()).unwrap();
    (0..600)
        .find(|_| desk.ask("", "GET", "/api/ready", Value::Null).status == 200)
        .expect("it does not become ready");
    let back = began.elapsed();

    // A session that was ended since would hold again, so none does.
    desk.ask("artist", "GET", "/transfers", Value::Null).refused(401, "identity.bad_token");
    desk.people = People::sign_in(&desk.running);
    let is_there = |code: &String| {
        desk.ask("admin", "GET", &format!("/transfers/{code}"), Value::Null).status == 200
    };
    assert!(before.iter().all(is_there), "what was told before the backup is not in it");
    let lost = later.iter().filter(|code| !is_there(code)).count();
    println!(
        "{kind:?}: the backup took {took:.1?} while {} transfers were made; put back and ready \
         in {back:.1?} (RTO); of {} told after it began {lost} are lost (RPO: since it began)",
        before.len() + later.len(),
        later.len(),
    );
    let verified = desk.ok("admin", "POST", "/activity/verify", json!({}));
    assert_eq!(verified["findings"], json!([]), "{verified}");
    let kinds = desk.ok("admin", "GET", "/activity?kind=store.restored", Value::Null);
    assert_eq!(kinds.as_array().unwrap().len(), 1, "{kinds}");

    // What was delivered is; what waited goes on, and no code is given twice.
    let shown = desk.ok("admin", "GET", &format!("/transfers/{delivered}"), Value::Null);
    assert_eq!(shown["state"], "delivered");
    desk.deliver(&waiting);
    let fresh = desk.submitted();
    assert!(!before.contains(&fresh) && !later.contains(&fresh), "{fresh}");
    desk.deliver(&fresh);
    if kind == Kind::Postgres {
        let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
        assert!(calls.contains("pg_dump\n") && calls.contains("pg_restore\n"), "{calls}");
        assert!(!calls.contains(PASSWORD), "{calls}");
    }
    again_over_what_is_there(&mut desk, &place, &backup, &fresh);
}

/// What is there is laid aside, and whatever was made of it since is gone with it.
fn again_over_what_is_there(desk: &mut Desk, place: &Place, backup: &Path, fresh: &str) {
    desk.running.daemon.end(Signal::TERM, PATIENCE);
    let_go(desk);
    refused(databridge(place, &["restore", text(backup)]), 4, "backup.not_empty");
    let words = ["--json", "restore", "--replace", text(backup)];
    let restored = json_of(&databridge(place, &words).output().unwrap());
    let aside = Path::new(restored["set_aside"].as_str().unwrap());
    assert!(aside.join("keys/receipt.key").is_file() && aside.join("checkpoints").is_dir());
    match &desk.database {
        None => assert!(aside.join("databridge.db").is_file()),
        Some(database) => {
            let schema = aside.file_name().unwrap().to_str().unwrap();
            let there = format!("SELECT count(*) FROM {schema}.transfers WHERE code = '{fresh}'");
            assert_eq!(database.psql(&there).trim(), "1");
        }
    }
    desk.running = Running::start(&desk.place, &by_hand()).unwrap();
    desk.people = People::sign_in(&desk.running);
    let gone = desk.ask("admin", "GET", &format!("/transfers/{fresh}"), Value::Null);
    gone.refused(404, "transfer.not_found");
    // A backup of this is one, too, and has nothing of what was laid aside.
    let second = backup.with_file_name("second");
    json_of(&databridge(place, &["--json", "backup", text(&second)]).output().unwrap());
    destroy(desk);
    json_of(&databridge(place, &["--json", "restore", text(&second)]).output().unwrap());
    if let Some(database) = &desk.database {
        let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'before_restore_%'";
        assert_eq!(database.psql(left).trim(), "1", "only the one that was laid aside here");
    }
}

/// Everything in it is its owner's alone, and listed.
fn private(backup: &Path, made: &Value) {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(backup), 0o700);
    assert_eq!(mode(&backup.join("keys")), 0o700);
    let mut names: Vec<&str> =
        made["parts"].as_array().unwrap().iter().map(|p| p["path"].as_str().unwrap()).collect();
    for name in &names {
        assert_eq!(mode(&backup.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&backup.join("backup.json")), 0o600);
    names.retain(|name| name.starts_with("keys/"));
    names.sort();
    assert_eq!(
        names,
        ["keys/ledger.origin", "keys/receipt.key", "keys/receipt.pub", "keys/token.key"]
    );
    let digest = Sha256::digest(std::fs::read(backup.join("backup.json")).unwrap());
    assert_eq!(made["digest"], hex::encode(digest));
}

fn nothing_is_touched_where_a_backup_cannot_be_put_back(kind: Kind) {
    let mut desk = Desk::open(kind);
    let code = desk.transfer();
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good");
    let (place, daemon) = (desk.place.clone(), desk.place.data.clone());
    let backup = |words: &[&str]| databridge(&place, &[&["backup", "--json"], words].concat());
    json_of(&backup(&[text(&good)]).output().unwrap());
    refused(databridge(&place, &["backup", text(&good)]), 4, "backup.exists");
    desk.running.daemon.end(Signal::TERM, PATIENCE);
    let_go(&desk);

    // Each is wrong in one way, and refused by name.
    let copy = |name: &str| {
        let copy = folder.path().join(name);
        databridge_tests::process::run(Command::new("cp").arg("-a").arg(&good).arg(&copy));
        copy
    };
    let rewrite = |backup: &Path, change: &dyn Fn(&mut Value)| {
        let path = backup.join("backup.json");
        let mut contents: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut contents);
        std::fs::write(path, contents.to_string()).unwrap();
    };
    let database = if kind == Kind::Sqlite { "database.sqlite" } else { "database.pgdump" };
    let restore = |from: &Path| databridge(&place, &["restore", "--replace", text(from)]);
    let flipped = copy("flipped");
    let mut bytes = std::fs::read(flipped.join(database)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(flipped.join(database), &bytes).unwrap();
    refused(restore(&flipped), 1, "backup.damaged");
    let missing = copy("missing");
    std::fs::remove_file(missing.join("keys/receipt.key")).unwrap();
    refused(restore(&missing), 1, "backup.damaged");
    let astray = copy("astray");
    rewrite(&astray, &|c| c["parts"][0]["path"] = json!("../good/backup.json"));
    refused(restore(&astray), 1, "backup.damaged");
    let format = copy("format");
    rewrite(&format, &|c| *c = json!({ "format": 2, "taken": "otherwise" }));
    refused(restore(&format), 2, "backup.newer");
    let steps = copy("steps");
    rewrite(&steps, &|c| c["steps"].as_array_mut().unwrap().push(json!(999_999)));
    refused(restore(&steps), 2, "backup.newer");
    let other = copy("other");
    rewrite(&other, &|c| {
        let name = "database.other";
        let parts = c["parts"].as_array_mut().unwrap();
        parts.iter_mut().find(|p| p["path"] == database).unwrap()["path"] = json!(name);
        c["database"] = json!(name);
    });
    std::fs::rename(other.join(database), other.join("database.other")).unwrap();
    refused(restore(&other), 2, "backup.other_database");
    refused(restore(folder.path()), 2, "backup.not_a_backup");

    // One that says of itself that it is whole and yet holds no database: what was there
    // is there again.
    let hollow = copy("hollow");
    std::fs::write(hollow.join(database), b"no database at all").unwrap();
    rewrite(&hollow, &|c| {
        let parts = c["parts"].as_array_mut().unwrap();
        let part = parts.iter_mut().find(|p| p["path"] == database).unwrap();
        part["size_bytes"] = json!(18);
        part["sha256"] = json!(hex::encode(Sha256::digest(b"no database at all")));
    });
    let failed = restore(&hollow).output().unwrap();
    assert_eq!(failed.status.code(), Some(5), "{failed:?}");
    desk.running = Running::start(&place, &by_hand()).unwrap();
    let shown = desk.ok("artist", "GET", &format!("/transfers/{code}"), Value::Null);
    assert_eq!(shown["state"], "uploading");
    let verified = desk.ok("admin", "POST", "/activity/verify", json!({}));
    assert_eq!(verified["findings"], json!([]), "{verified}");

    without_keys_and_dated(&mut desk, folder.path(), &daemon);
}

fn without_keys_and_dated(desk: &mut Desk, folder: &Path, data: &Path) {
    let place = desk.place.clone();
    let keyless = folder.join("keyless");
    let words = ["backup", "--without-keys", "--json", text(&keyless)];
    let made = json_of(&databridge(&place, &words).output().unwrap());
    assert_eq!(made["keys"], false);
    assert!(!keyless.join("keys/receipt.key").exists() && !keyless.join("keys/token.key").exists());
    // Dated ones: the newest two stay, and what is none.
    let dated = folder.join("dated");
    std::fs::create_dir_all(dated.join("databridge-of-somebody")).unwrap();
    for _ in 0..2 {
        let words = ["backup", "--json", "--keep", "2", text(&dated)];
        let made = json_of(&databridge(&place, &words).output().unwrap());
        // Two of one second have one name.
        let path = Path::new(made["path"].as_str().unwrap());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        std::fs::rename(path, path.with_file_name(format!("{name}-{}", made["digest"]))).unwrap();
    }
    let words = ["backup", "--json", "--keep", "2", text(&dated)];
    json_of(&databridge(&place, &words).output().unwrap());
    assert_eq!(std::fs::read_dir(&dated).unwrap().count(), 3);
    assert!(dated.join("databridge-of-somebody").is_dir());
    // Keys that were kept apart are put there first.
    let keys = folder.join("keys");
    std::fs::rename(data.join("keys"), &keys).unwrap();
    destroy(desk);
    let restore = || databridge(&place, &["restore", text(&keyless)]);
    refused(restore(), 2, "backup.no_keys");
    std::fs::rename(&keys, data.join("keys")).unwrap();
    let output = restore().arg("--json").output().unwrap();
    assert_eq!(json_of(&output)["ledger"]["findings"], json!([]));
}
