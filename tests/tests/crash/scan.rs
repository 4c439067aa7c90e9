//! A scan whose daemon is killed in the middle: the next one goes on at the file where
//! it stood, asks nobody again about what was kept, and says how much that was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::postgres::{Database, fresh_database};
use databridge_tests::process::{Daemon, PATIENCE, run};
use databridge_tests::studio::{Place, Running, Settings};
use databridge_tests::tree::digest_tree;
use databridge_tests::{clamd, delivery};
use serde_json::json;
use tempfile::TempDir;

use crate::campaign::Store;

/// Files to scan; one thread takes them one after the other.
const FILES: usize = 8;

/// A clamd and a log of steps; whether the next daemon does any work.
struct Scanned {
    socket: String,
    log: PathBuf,
    works: bool,
}

impl Accident for Scanned {
    fn settings(&mut self) -> Settings {
        let mut settings: Settings = vec![
            ("STEP_LOG", self.log.clone().into()),
            ("SCAN__ENGINE", "clamd".into()),
            ("SCAN__CLAMD__ADDRESS", self.socket.clone().into()),
            ("SCAN__THREADS", "1".into()),
            // Signatures of our own bear no date.
            ("SCAN__POLICY__SIGNATURE_MAX_AGE_SECONDS", "any".into()),
        ];
        if !self.works {
            settings.push(("WORKERS", "0".into()));
        }
        settings
    }
}

/// A transfer that everybody approved, and a daemon over its scan that is to die.
struct Site {
    life: Life<Scanned>,
    daemon: Daemon,
    database: Option<Database>,
    folder: TempDir,
}

impl Site {
    fn new(server: &clamd::Server, store: Store, trap: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("source");
        std::fs::create_dir(&root).unwrap();
        for n in 0..FILES {
            std::fs::write(root.join(format!("{n}.txt")), format!("note {n}\n")).unwrap();
        }
        let source = Source { listing: digest_tree(&root), root };
        let database = (store == Store::Postgres).then(fresh_database);
        let place = match &database {
            Some(database) => Place::on(folder.path(), database),
            None => Place::below(folder.path()),
        };
        let socket = server.socket().display().to_string();
        let accident = Scanned { socket, log: folder.path().join("steps"), works: true };
        let mut life = Life::new(place, source, accident);
        life.upload();
        life.act("artist", "transfers", "submit", json!({}));
        life.expect("team_lead_review");
        for who in ["lead", "supervisor", "producer"] {
            life.act(who, "approvals", "approve", json!({}));
        }
        // The scan is asked for while nobody does it.
        life.stop();
        life.accident.works = false;
        life.act("data", "scanning", "start", json!({}));
        life.stop();
        life.accident.works = true;
        let mut settings = life.accident.settings();
        settings.push(("STEP", trap.into()));
        let running = Running::start(&life.place, &settings).expect("it works before it listens");
        Self { life, daemon: running.daemon, database, folder }
    }

    /// The files about which something is kept, by the database's own shell.
    fn kept(&self) -> Vec<String> {
        let sql = "SELECT path FROM scanned_files ORDER BY path";
        let said = match &self.database {
            Some(database) => database.psql(sql),
            None => {
                let file = self.life.place.data.join("databridge.db");
                run(Command::new("sqlite3").args(["-cmd", ".timeout 10000"]).arg(file).arg(sql))
            }
        };
        said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// How often the daemons have looked at a file.
    fn looks(&self) -> usize {
        steps(&self.folder.path().join("steps"), "scan.file")
    }
}

fn steps(log: &Path, name: &str) -> usize {
    std::fs::read_to_string(log).unwrap().lines().filter(|step| *step == name).count()
}

/// What the next daemon makes of it, after the first has died over `trap`.
fn goes_on(mut site: Site, trap: &str, store: Store) -> usize {
    assert!(site.daemon.ends_within(PATIENCE), "{trap} did not spring");
    site.daemon.kill_9();
    let (kept, before) = (site.kept(), site.looks());
    site.life.expect("scanned");
    let now = site.life.show();
    let scan = &now["scan"];
    let told = format!("{store:?}, {trap}: {kept:?}, {scan}");
    assert_eq!(scan["resumed"], kept.len(), "{told}");
    assert_eq!(scan["counts"]["clean"], FILES, "{told}");
    assert_eq!(scan["verdict"]["kind"], "clean", "{told}");
    assert_eq!(site.looks() - before, FILES - kept.len(), "{told}");
    let all = site.kept();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), FILES, "{told}");
    assert_eq!(all.len(), FILES, "a file has two verdicts: {told}");
    site.life.sealed();
    let events = site.life.events();
    let scans = delivery::count(&events);
    assert_eq!(scans.get("transfer.scanned"), Some(&1), "{told}");
    kept.len()
}

/// The antivirus hangs over the files behind the third, so that what was found out
/// about the first ones is kept in the middle of the scan, where the daemon dies.
fn killed_over_what_it_kept(store: Store) {
    let trap = "scan.file:3:STOP,scan.kept:1:KILL";
    let mut server = clamd::Server::start();
    let mut site = Site::new(&server, store, trap);
    // On a machine that is slow enough something is kept before.
    if site.daemon.stops_within(PATIENCE) {
        server.daemon().pause();
        site.daemon.resume();
    }
    assert!(site.daemon.ends_within(PATIENCE), "nothing was kept");
    server.daemon().resume();
    let resumed = goes_on(site, trap, store);
    assert!((1..=3).contains(&resumed), "{resumed}");
}

#[test]
fn what_was_kept_in_mid_scan_is_not_asked_again() {
    killed_over_what_it_kept(Store::Sqlite);
}

#[test]
fn what_was_kept_in_mid_scan_is_not_asked_again_on_postgres() {
    killed_over_what_it_kept(Store::Postgres);
}

#[test]
fn a_scan_killed_between_files_ends_as_if_nothing_had_happened() {
    let server = clamd::Server::start();
    for (store, trap) in [
        (Store::Sqlite, "scan.file:1:KILL"),
        (Store::Postgres, "scan.file:5:KILL"),
        (Store::Sqlite, "scan.done:1:KILL"),
        (Store::Postgres, "scan.before_commit:1:KILL"),
    ] {
        let site = Site::new(&server, store, trap);
        let resumed = goes_on(site, trap, store);
        if trap.starts_with("scan.before_commit") {
            assert_eq!(resumed, FILES, "the scan was over");
        }
    }
}
