//! rsync as a method, on the real one, over a real OpenSSH server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use databridge_core::Fault;
use databridge_core::base::cancel::Cancel;
use databridge_core::media::copy::{Attempt, Error, Options, Policy, Report};
use databridge_core::media::delivery::{self, Delivery, Method, Methods, Plan};
use databridge_core::media::manifest::Manifest;
use databridge_core::media::monitor::{Monitor, Progress};
use databridge_core::media::rsync::{Settings, Source, describe, tree};
use databridge_tests::delivery::{assert_same, names};
use databridge_tests::life::{Life, Source as Files, Traps};
use databridge_tests::process::run;
use databridge_tests::sshd::Server;
use databridge_tests::studio::Place;
use databridge_tests::tree::{Listing, Random, write_media};
use uuid::Uuid;

/// A tree with the names that arguments and lists stumble over.
fn odd_media(root: &Path) -> Listing {
    write_media(root, 31);
    for name in ["-rf", "--delete", "a b  c", "host:x", "*", "$(id)", "#x", ";y", "'", "back`tick"]
    {
        std::fs::write(root.join(name), name).unwrap();
    }
    databridge_tests::tree::digest_tree(root)
}

fn copy(
    source: &Source,
    to: &Path,
    options: &Options,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let manifest = describe(source, settings, None, &())?;
    tree(source, manifest, to, options, settings, monitor)
}

#[test]
fn a_tree_is_brought_here_and_verified_by_us() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("out/to"));
    let listing = odd_media(&from);
    let source = Source::parse(from.to_str().unwrap()).unwrap();
    let done = copy(&source, &to, &Options::default(), &Settings::default(), &()).unwrap();
    assert_same(&listing, &to);
    assert_eq!(names(to.parent().unwrap()), ["to"]);
    assert_eq!(done.read_back.bytes, done.bytes);
    assert_eq!(
        (done.transferred.files, done.transferred.bytes),
        (done.files.len() as u64, done.bytes)
    );
    // An independent word.
    let differs = run(Command::new("rsync")
        .args(["-nrc", "--delete", "-i"])
        .arg(from.join(""))
        .arg(to.join("")));
    assert!(
        !differs.contains("<f") && !differs.contains(">f") && !differs.contains("*deleting"),
        "{differs}"
    );
    let again = copy(&source, &to, &Options::default(), &Settings::default(), &()).unwrap_err();
    assert_eq!(again.code(), "copy.destination_exists");
}

#[test]
fn a_tree_is_pulled_from_another_host() {
    let server = Server::start();
    let settings = Settings { ssh: server.ssh(), ..Settings::default() };
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("a 'strange' folder");
    let listing = odd_media(&from);
    let source = Source::parse(&format!("127.0.0.1:{}", from.display())).unwrap();
    let manifest = describe(&source, &settings, None, &()).unwrap();
    assert_eq!(manifest, Manifest::of_tree(&from, None, &()).unwrap(), "as sha256sum there tells");
    let to = folder.path().join("to");
    copy(&source, &to, &Options::default(), &settings, &()).unwrap();
    assert_same(&listing, &to);

    let missing = Source::parse("127.0.0.1:/no/such/folder").unwrap();
    assert_eq!(describe(&missing, &settings, None, &()).unwrap_err().code(), "rsync.remote");
    // A key that it does not know.
    let mut stranger = settings.ssh.clone();
    let key = stranger.iter().position(|word| word == "-i").unwrap() + 1;
    stranger[key] = "/dev/null".into();
    let stranger = Settings { ssh: stranger, ..Settings::default() };
    let error = describe(&source, &stranger, None, &()).unwrap_err();
    assert_eq!(error.code(), "rsync.connection", "{error}");
    let error = tree(
        &source,
        manifest,
        &folder.path().join("no"),
        &Options { resume: false, ..Options::default() },
        &stranger,
        &(),
    )
    .unwrap_err();
    assert_eq!(error.code(), "rsync.connection", "{error}");
    assert!(!folder.path().join("no").exists());
    assert_eq!(names(folder.path()), ["a 'strange' folder", "to"]);
}

/// Stops once so many bytes are through.
struct StopAfter(u64, AtomicU64, Cancel);

impl Monitor for StopAfter {
    fn on(&self, progress: Progress<'_>) {
        if let Progress::Bytes(bytes) = progress
            && self.1.fetch_add(bytes, Ordering::SeqCst) + bytes >= self.0
        {
            self.2.cancel();
        }
    }
    fn cancelled(&self) -> bool {
        self.2.is_cancelled()
    }
}

#[test]
fn a_cancel_kills_it_and_the_next_life_keeps_what_it_brought() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::create_dir(&from).unwrap();
    for number in 0..6 {
        std::fs::write(from.join(format!("{number}.bin")), Random::new(number).bytes(1 << 20))
            .unwrap();
    }
    let listing = databridge_tests::tree::digest_tree(&from);
    let source = Source::Path(from);
    let slow = Options {
        policy: Policy { limit_bytes_per_second: Some(2 << 20), ..Policy::default() },
        ..Options::default()
    };
    let stop = StopAfter(2 << 20, AtomicU64::new(0), Cancel::new());
    let error = copy(&source, &to, &slow, &Settings::default(), &stop).unwrap_err();
    assert_eq!(error.code(), "copy.cancelled");
    assert!(!to.exists());
    let mark = folder.path().to_str().unwrap();
    let running = Command::new("pgrep").args(["-f", &format!("rsync.*{mark}")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&running.stdout), "", "it or a child of it lives on");
    let done = copy(&source, &to, &Options::default(), &Settings::default(), &()).unwrap();
    assert_same(&listing, &to);
    assert!(done.transferred.kept_files > 0, "{:?}", done.transferred);
    assert_eq!(names(folder.path()), ["from", "to"]);
}

/// A program in rsync's place that does what rsync does and then turns a byte.
fn liar(folder: &Path) -> Settings {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join("liar");
    let script = "#!/bin/sh\nrsync \"$@\" || exit\nfor last; do :; done\nprintf X | dd of=\"$last/b.bin\" bs=1 seek=9 conv=notrunc 2>/dev/null\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    Settings { program, ..Settings::default() }
}

#[test]
fn what_it_brings_wrong_is_caught_and_brought_again() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("a.bin"), b"aaaa").unwrap();
    std::fs::write(from.join("b.bin"), b"bbbbbbbbbbbbbbbb").unwrap();
    let source = Source::Path(from.clone());
    let lying = liar(folder.path());
    let error = copy(&source, &to, &Options::default(), &lying, &()).unwrap_err();
    assert!(matches!(&error, Error::ReadBackMismatch { path, .. } if path == "b.bin"), "{error}");
    assert!(!to.exists());
    // Same length, same date: only its content tells.
    copy(&source, &to, &Options::default(), &Settings::default(), &()).unwrap();
    assert_same(&databridge_tests::tree::digest_tree(&from), &to);
}

#[test]
fn what_it_cannot_do_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("a.bin"), b"aaaa").unwrap();
    let source = Source::Path(from.clone());
    let manifest = Manifest::of_tree(&from, None, &()).unwrap();
    let none = Settings { program: "/no/such/rsync".into(), ..Settings::default() };
    let to = folder.path().join("to");
    let fails = |settings: &Settings| {
        tree(&source, manifest.clone(), &to, &Options::default(), settings, &()).unwrap_err()
    };
    assert_eq!(fails(&none).code(), "rsync.not_started");
    std::fs::remove_file(from.join("a.bin")).unwrap();
    let error = fails(&Settings::default());
    assert_eq!(error.code(), "rsync.incomplete", "{error}");
    assert!(error.to_string().contains("a.bin"), "{error}");
    assert!(!to.exists());
}

#[test]
fn a_worker_that_was_overtaken_is_fenced() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let listing = odd_media(&from);
    let id = Uuid::now_v7();
    let worker = |epoch| {
        let plan = Plan {
            source: from.clone(),
            destination: to.clone().into(),
            manifest: Manifest::of_tree(&from, None, &()).unwrap(),
            attempt: Attempt { id, epoch },
            policy: Policy::default(),
        };
        let methods = Methods { folders: Method::Rsync, ..Methods::default() };
        delivery::open(plan, &methods).unwrap()
    };
    let (old, new) = (worker(1), worker(2));
    old.prepare().unwrap();
    old.transfer(&()).unwrap();
    new.prepare().unwrap();
    assert_eq!(old.transfer(&()).unwrap_err().code(), "copy.fenced");
    let all = |worker: &dyn Delivery| {
        worker.transfer(&())?;
        worker.verify(&())?;
        worker.publish(&())?;
        worker.finish()
    };
    all(&*new).unwrap();
    assert_same(&listing, &to);
}

#[test]
fn a_daemon_delivers_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = Files::media(folder.path(), 3);
    let mut life = Life::new(Place::below(folder.path()), source, ByRsync(Traps::default()));
    life.live();
    databridge_tests::delivery::check(&mut life);
    let history = life.call(
        "admin",
        "GET",
        &format!("/transfers/{}/history", life.code),
        serde_json::json!({}),
    );
    let copied = history
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["kind"] == "transfer.copied")
        .unwrap()
        .clone();
    assert_eq!(copied["data"]["method"], "rsync", "{copied}");
}

struct ByRsync(Traps);

impl databridge_tests::life::Accident for ByRsync {
    fn settings(&mut self) -> databridge_tests::studio::Settings {
        let mut settings = self.0.settings();
        settings.push(("COPY__METHOD", "rsync".into()));
        settings
    }
}
