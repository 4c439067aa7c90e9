//! A store that is put back, and everything that gets in the way of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use databridge_core::app::{App, Config};
use databridge_tests::process::{Daemon, PATIENCE};
use databridge_tests::studio::{People, Place, Running};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::backup::{destroy, json_of, let_go, refused, text};
use crate::desk::{Desk, Kind, by_hand, databridge};

on_both!(
    a_restore_that_is_killed_leaves_no_store_and_is_begun_anew,
    what_is_put_back_into_an_empty_place_is_gone_where_it_cannot_stay,
    no_number_is_told_twice_that_the_backup_had_not_begun,
    nobody_has_the_store_open_while_it_is_put_back,
    nobody_puts_a_store_back_while_it_is_saved,
    what_is_no_file_is_no_part_of_a_backup,
);

/// What a restore comes through, in this order.
const STEPS: [&str; 6] = [
    "restore.announced",
    "restore.laid_aside",
    "restore.begun",
    "restore.copied",
    "restore.loaded",
    "restore.settled",
];

/// A desk whose daemon rests, with one transfer in its backup and one made since.
struct Rest {
    desk: Desk,
    backup: PathBuf,
    folder: TempDir,
}

impl Rest {
    fn new(kind: Kind) -> Self {
        let mut desk = Desk::open_with(kind, &by_hand());
        let folder = tempfile::tempdir().unwrap();
        let backup = folder.path().join("backup");
        desk.transfer();
        json_of(&databridge(&desk.place, &["--json", "backup", text(&backup)]).output().unwrap());
        desk.transfer();
        desk.running.daemon.end(Signal::TERM, PATIENCE);
        let_go(&desk);
        Self { desk, backup, folder }
    }

    fn place(&self) -> &Place {
        &self.desk.place
    }

    /// After everybody who had the store open was seen to be gone.
    fn restore(&self, more: &[&str]) -> Command {
        let_go(&self.desk);
        self.restore_now(more)
    }

    fn restore_now(&self, more: &[&str]) -> Command {
        let words = [&["--json", "restore"], more, &[text(&self.backup)]].concat();
        databridge(self.place(), &words)
    }

    /// Of whoever opens the store in another data folder, or in this one.
    fn config(&self, data: &Path) -> Config {
        let mut config = Config::at(data);
        config.database = self.place().database.clone();
        config.staging = Some(self.place().staging.clone());
        config.production = self.place().production.to_str().map(|path| path.parse().unwrap());
        config
    }

    fn killed_at(&self, step: &str) {
        let mut command = self.restore(&["--replace"]);
        let output = command.env("DATABRIDGE_STEP", format!("{step}:1:KILL")).output().unwrap();
        assert_eq!(output.status.code(), None, "{step}: {output:?}");
        let_go(&self.desk);
    }

    fn transfers(&self) -> String {
        self.desk.sql("SELECT count(*) FROM transfers").trim().to_owned()
    }

    fn is_refused(&self, step: &str) {
        println!("after {step}");
        refused(databridge(self.place(), &["ledger", "verify"]), 4, "db.restoring");
        let ended = Running::start(self.place(), &by_hand()).unwrap_err();
        assert!(ended.output.contains("is being put back"), "{step}: {ended:?}");
        self.is_not_saved(self.place());
    }

    /// By no host: it is no store, and to keep it would cost a good one.
    fn is_not_saved(&self, place: &Place) {
        let dated = self.folder.path().join("dated");
        refused(databridge(place, &["backup", "--keep", "1", text(&dated)]), 4, "db.restoring");
        assert!(!dated.exists());
    }

    /// Another host of the store, which has a data folder of its own.
    fn other(&self) -> Place {
        let mut other = self.place().clone();
        other.data = self.folder.path().join("other");
        let mut copy = Command::new("cp");
        databridge_tests::process::run(copy.arg("-a").arg(&self.place().data).arg(&other.data));
        other
    }

    /// What is laid aside, in the folder and in a server.
    fn asides(&self) -> usize {
        let is_one = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().to_string_lossy().starts_with("before_restore_")
        };
        let folders = std::fs::read_dir(&self.place().data).unwrap().map(is_one).filter(|is| *is);
        let folders = folders.count();
        if let Some(database) = &self.desk.database {
            let sql = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'before_restore_%'";
            assert_eq!(database.psql(sql).trim(), folders.to_string());
        }
        folders
    }
}

fn a_restore_that_is_killed_leaves_no_store_and_is_begun_anew(kind: Kind) {
    let mut rest = Rest::new(kind);
    for step in STEPS {
        rest.killed_at(step);
        rest.is_refused(step);
        if rest.desk.database.is_some() && !matches!(step, "restore.announced" | "restore.settled")
        {
            // Another host of the store has another folder.
            let mut other = rest.place().clone();
            other.data = rest.folder.path().join(format!("other-{step}"));
            refused(databridge(&other, &["init"]), 4, "db.restoring");
            rest.is_not_saved(&other);
        }
        // Without --replace what stood there stands there again, unless all was done.
        refused(rest.restore(&[]), 4, "backup.not_empty");
        let (stands, laid) = if step == "restore.settled" { ("1", 1) } else { ("2", 0) };
        assert_eq!(rest.transfers(), stands, "{step}");
        assert_eq!(rest.asides(), laid, "{step}");
        json_of(&databridge(rest.place(), &["--json", "ledger", "verify"]).output().unwrap());
    }
    // What was begun is undone by the one that follows, and then done.
    let asides = rest.asides();
    rest.killed_at("restore.loaded");
    let restored = json_of(&rest.restore(&["--replace"]).output().unwrap());
    assert_eq!(restored["ledger"]["findings"], json!([]));
    assert_eq!(rest.asides(), asides + 1);
    rest.desk.running = Running::start(rest.place(), &by_hand()).unwrap();
    rest.desk.ask("artist", "GET", "/transfers", Value::Null).refused(401, "identity.bad_token");
    rest.desk.people = People::sign_in(&rest.desk.running);
    let kinds = rest.desk.ok("admin", "GET", "/activity?kind=store.restored", Value::Null);
    assert_eq!(kinds.as_array().unwrap().len(), 1, "{kinds}");
    let left = rest.place().data.join("restoring");
    assert!(!left.exists() && !left.with_extension("database").exists());
}

fn what_is_put_back_into_an_empty_place_is_gone_where_it_cannot_stay(kind: Kind) {
    let mut rest = Rest::new(kind);
    rest.backup = rest.folder.path().join("keyless");
    let words = ["--json", "backup", "--without-keys", text(&rest.backup)];
    json_of(&databridge(rest.place(), &words).output().unwrap());
    let keys = rest.folder.path().join("keys");
    let data = rest.place().data.clone();
    std::fs::rename(data.join("keys"), &keys).unwrap();
    destroy(&mut rest.desk);
    if let Some(database) = &rest.desk.database {
        let own = "CREATE FUNCTION studios_own() RETURNS int LANGUAGE sql AS 'SELECT 7'";
        database.psql(own);
    }
    // Keys of another store: its checkpoint is not this one's.
    let other = Place::below(&rest.folder.path().join("other"));
    Running::start(&other, &by_hand()).unwrap().daemon.end(Signal::TERM, PATIENCE);
    std::fs::create_dir_all(&data).unwrap();
    std::fs::rename(other.data.join("keys"), data.join("keys")).unwrap();
    let failed = rest.restore(&[]).output().unwrap();
    assert_ne!(failed.status.code(), Some(0), "{failed:?}");
    if let Some(database) = &rest.desk.database {
        let left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(database.psql(left).trim(), "0");
        let left = "SELECT string_agg(proname, ' ') FROM pg_proc
                    WHERE pronamespace = 'public'::regnamespace";
        assert_eq!(database.psql(left).trim(), "studios_own");
    }
    assert!(!data.join("checkpoints").exists() && !data.join("databridge.db").exists());
    std::fs::remove_dir_all(data.join("keys")).unwrap();
    std::fs::rename(&keys, data.join("keys")).unwrap();
    let restored = json_of(&rest.restore(&[]).output().unwrap());
    assert_eq!(restored["ledger"]["findings"], json!([]));
    assert_eq!(restored["set_aside"], Value::Null);
}

fn no_number_is_told_twice_that_the_backup_had_not_begun(kind: Kind) {
    let mut desk = Desk::open_with(kind, &by_hand());
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    json_of(&databridge(&desk.place, &["--json", "backup", text(&backup)]).output().unwrap());
    let told = desk.transfer();
    destroy(&mut desk);
    json_of(&databridge(&desk.place, &["--json", "restore", text(&backup)]).output().unwrap());
    desk.running = Running::start(&desk.place, &by_hand()).unwrap();
    desk.people = People::sign_in(&desk.running);
    assert_eq!((told.as_str(), desk.transfer().as_str()), ("TRF-00001", "TRF-01001"));
    assert_eq!(desk.transfer(), "TRF-01002");
}

fn nobody_has_the_store_open_while_it_is_put_back(kind: Kind) {
    let rest = Rest::new(kind);
    let config = rest.config(&rest.place().data);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = runtime.block_on(App::open(config)).unwrap().app;
    refused(rest.restore_now(&["--replace"]), 4, "backup.in_use");
    // Two that have it open do not mind each other.
    json_of(&databridge(rest.place(), &["--json", "ledger", "verify"]).output().unwrap());
    runtime.block_on(app.close());
    drop(app);
    let_go(&rest.desk);
    json_of(&rest.restore(&["--replace"]).output().unwrap());
    assert_eq!(rest.transfers(), "1");
}

fn nobody_puts_a_store_back_while_it_is_saved(kind: Kind) {
    let rest = Rest::new(kind);
    let second = rest.folder.path().join("second");
    let mut command = databridge(rest.place(), &["backup", text(&second)]);
    command.env("DATABRIDGE_STEP", "backup.filled:1:STOP");
    let mut maker = Daemon::spawn(command);
    maker.wait_until_stopped(PATIENCE);
    refused(rest.restore_now(&["--replace"]), 4, "backup.in_use");
    if kind == Kind::Postgres {
        let words = ["restore", "--replace", text(&rest.backup)];
        refused(databridge(&rest.other(), &words), 4, "backup.in_use");
    }
    // Two that save it do not mind each other.
    let third = rest.folder.path().join("third");
    json_of(&databridge(rest.place(), &["--json", "backup", text(&third)]).output().unwrap());
    maker.resume();
    assert!(maker.wait(PATIENCE).success(), "{}", maker.output());
    json_of(&rest.restore(&["--replace"]).output().unwrap());
    assert_eq!(rest.transfers(), "1");
}

fn what_is_no_file_is_no_part_of_a_backup(kind: Kind) {
    let rest = Rest::new(kind);
    let damaged = |backup: &Path| {
        let words = ["restore", "--check", text(backup)];
        refused(databridge(rest.place(), &words), 1, "backup.damaged");
    };
    let copy = |name: &str| {
        let copy = rest.folder.path().join(name);
        databridge_tests::process::run(Command::new("cp").arg("-a").arg(&rest.backup).arg(&copy));
        copy
    };
    let rename = |backup: &Path, to: &str| {
        let path = backup.join("backup.json");
        let mut contents: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        contents["parts"][0]["path"] = json!(to);
        std::fs::write(path, contents.to_string()).unwrap();
    };
    let linked = copy("linked");
    let elsewhere = rest.folder.path().join("elsewhere");
    std::fs::rename(linked.join("keys/token.key"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, linked.join("keys/token.key")).unwrap();
    damaged(&linked);
    let through = copy("through");
    let elsewhere = rest.folder.path().join("elsewhere-keys");
    std::fs::rename(through.join("keys"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, through.join("keys")).unwrap();
    damaged(&through);
    let folder = copy("folder");
    rename(&folder, "keys");
    damaged(&folder);
    // These have no end: they must not be read at all.
    let endless = copy("endless");
    rename(&endless, "/dev/zero");
    damaged(&endless);
    let pipe = copy("pipe");
    std::fs::remove_file(pipe.join("keys/token.key")).unwrap();
    databridge_tests::process::run(Command::new("mkfifo").arg(pipe.join("keys/token.key")));
    damaged(&pipe);
}

/// What `output` says of an error.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_else_is_in_the_database_is_neither_saved_nor_touched() {
    let mut rest = Rest::new(Kind::Postgres);
    let database = rest.desk.database.take().unwrap();
    database.psql("CREATE SCHEMA studio; CREATE TABLE studio.shots AS SELECT 7 AS shot");
    let backup = rest.folder.path().join("second");
    let words = ["--json", "backup", text(&backup)];
    json_of(&databridge(rest.place(), &words).output().unwrap());
    database.psql("UPDATE studio.shots SET shot = 8");
    rest.desk.database = Some(database);
    destroy(&mut rest.desk);
    let words = ["--json", "restore", text(&backup)];
    json_of(&databridge(rest.place(), &words).output().unwrap());
    assert_eq!(rest.transfers(), "2");
    assert_eq!(rest.desk.sql("SELECT shot FROM studio.shots").trim(), "8");
    // Tables that stand elsewhere are not found by it.
    let mut astray = rest.place().clone();
    astray.database = astray.database.map(|url| format!("{url}?options[search_path]=studio"));
    let third = rest.folder.path().join("third");
    refused(databridge(&astray, &["backup", text(&third)]), 2, "db.unfit");
    refused(databridge(&astray, &["restore", "--replace", text(&backup)]), 2, "db.unfit");
    let output = databridge(&astray, &["backup", text(&third)]).output().unwrap();
    assert!(said(&output).contains("public") && !third.exists(), "{output:?}");
}

#[test]
fn two_hosts_do_not_put_one_store_back_at_once() {
    let rest = Rest::new(Kind::Postgres);
    let mut command = rest.restore(&["--replace"]);
    command.env("DATABRIDGE_STEP", "restore.begun:1:STOP");
    let mut first = Daemon::spawn(command);
    first.wait_until_stopped(PATIENCE);
    let mut other = rest.place().clone();
    other.data = rest.folder.path().join("other");
    let words = ["restore", "--replace", text(&rest.backup)];
    refused(databridge(&other, &words), 4, "backup.in_use");
    first.resume();
    assert!(first.wait(PATIENCE).success(), "{}", first.output());
    assert_eq!(rest.transfers(), "1");
    let_go(&rest.desk);
    json_of(&databridge(rest.place(), &["--json", "ledger", "verify"]).output().unwrap());
}

#[test]
fn who_was_killed_has_his_own_files_again_whatever_another_host_did_since() {
    let rest = Rest::new(Kind::Postgres);
    let other = rest.other();
    let data = rest.place().data.clone();
    let own = data.join("keys/of-this-host");
    std::fs::write(&own, "").unwrap();
    // Undone from there, or made from there: neither is what was begun here.
    for (step, replace) in [("restore.loaded", false), ("restore.begun", true)] {
        rest.killed_at(step);
        assert!(!own.exists(), "{step}");
        let backup = text(&rest.backup);
        if replace {
            let words = ["--json", "restore", "--replace", backup];
            json_of(&databridge(&other, &words).output().unwrap());
        } else {
            refused(databridge(&other, &["restore", backup]), 4, "backup.not_empty");
        }
        refused(rest.restore(&[]), 4, "backup.not_empty");
        assert!(own.exists() && data.join("keys/receipt.key").is_file(), "{step}");
        assert!(!data.join("restoring").exists(), "{step}");
        assert_eq!(rest.transfers(), if replace { "1" } else { "2" }, "{step}");
    }
}

#[test]
fn who_came_in_before_the_mark_is_noticed_and_keeps_the_store() {
    let rest = Rest::new(Kind::Postgres);
    let mut command = rest.restore(&["--replace"]);
    command.env("DATABRIDGE_STEP", "restore.announced:1:STOP");
    let mut restore = Daemon::spawn(command);
    restore.wait_until_stopped(PATIENCE);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = rest.config(&rest.folder.path().join("other"));
    let app = runtime.block_on(App::open(config)).unwrap().app;
    restore.resume();
    assert_eq!(restore.wait(PATIENCE).code(), Some(4), "{}", restore.output());
    assert!(restore.output().contains("backup.in_use"), "{}", restore.output());
    runtime.block_on(app.is_ready()).unwrap();
    assert_eq!((rest.transfers().as_str(), rest.asides()), ("2", 0));
    runtime.block_on(app.close());
}

#[test]
fn the_other_hosts_of_a_store_that_was_put_back_do_not_call_it_cut() {
    let mut rest = Rest::new(Kind::Postgres);
    // Another host's, with checkpoints of all that the backup does not have.
    let other = rest.other();
    json_of(&rest.restore(&["--replace"]).output().unwrap());
    rest.desk.running = Running::start(&other, &by_hand()).unwrap();
    let told = |line: &str| line.contains("checkpoints from before a restore were laid aside");
    rest.desk.running.daemon.wait_for_line(PATIENCE, told);
    rest.desk.people = People::sign_in(&rest.desk.running);
    let verified = rest.desk.ok("admin", "POST", "/activity/verify", json!({}));
    assert_eq!(verified["findings"], json!([]), "{verified}");
    let asides = |entry: &std::io::Result<std::fs::DirEntry>| {
        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("before_restore_")
    };
    let folder = std::fs::read_dir(other.data.join("checkpoints")).unwrap();
    assert_eq!(folder.filter(asides).count(), 1);
}
