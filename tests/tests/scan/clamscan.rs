//! The same verdicts by the program, where there is no daemon.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use databridge_core::base::error::{ErrorKind, Fault};
use databridge_core::media::scan::{
    Clamd, ClamdAddress, Clamscan, Engine, Engines, Policy, Reason, Settings, Verdict,
};
use databridge_tests::clamd::{Server, marker};
use databridge_tests::process::find_program;

use crate::bench::{Tree, infected, not, signatures, unix, vdb};
use crate::found;

fn settings() -> Settings {
    let clamscan = Clamscan { database: Some(signatures()), ..Clamscan::default() };
    let policy = Policy { signature_max_age_seconds: None, ..Policy::default() };
    Settings { engine: Engine::Clamscan, clamscan, policy, ..Settings::default() }
}

/// clamscan behind a script of ours.
fn wrapped(folder: &Path, script: &str) -> Settings {
    let real = find_program("clamscan", &[], "on Debian `apt-get install clamav`");
    let program = folder.join("clamscan");
    let script = script.replace("@REAL@", &format!("{} \"$@\"", real.display()));
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let mut settings = settings();
    settings.clamscan.program = program;
    settings
}

#[test]
fn the_same_as_the_daemon() {
    let mut settings = settings();
    settings.clamscan.max_scan_size_bytes = 20 << 20;
    for processes in [1, 3] {
        settings.clamscan.processes = processes;
        found::compare(found::tree().said(&settings, "clamscan"));
    }
    let engines = Engines::open(&settings).unwrap().info().unwrap();
    let antivirus = engines.iter().find(|engine| engine.antivirus).unwrap();
    assert_eq!(antivirus.name, "clamscan");
    assert!(antivirus.version.starts_with(|c: char| c.is_ascii_digit()), "{antivirus:?}");
}

#[test]
fn its_limits_are_ours() {
    let mut settings = settings();
    settings.clamscan.max_file_size_bytes = 1 << 20;
    let tree = Tree::new(&[("a.vdb", &vdb(2 << 20)), ("b.vdb", &vdb(1000))]);
    let said = tree.said(&settings, "clamscan");
    assert_eq!(said["a.vdb"], not(Reason::Limits));
    assert_eq!(said["b.vdb"], Verdict::Clean);
}

#[test]
fn names_that_no_list_could_hold() {
    let tree = Tree::new(&[
        ("a: OK", &[vdb(10), marker()].concat()),
        (" b ", &[vdb(10), marker()].concat()),
        ("-c", &vdb(10)),
    ]);
    let said: Vec<_> = tree.said(&settings(), "clamscan").into_values().collect();
    let marked = infected("DataBridge.Test.Marker");
    assert_eq!(said, [marked.clone(), Verdict::Clean, marked]);
}

#[test]
fn without_signatures_or_program_there_is_no_scan() {
    let empty = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.clamscan.database = Some(empty.path().into());
    let error = Engines::open(&settings).err().unwrap();
    assert_eq!((error.code(), error.kind()), ("scan.engine_gone", ErrorKind::Unavailable));
    settings.clamscan.program = empty.path().join("none");
    assert_eq!(Engines::open(&settings).err().unwrap().code(), "scan.engine_gone");
}

#[test]
fn one_that_is_killed_at_a_file_is_started_again_and_else_in_error() {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new(&[("a.vdb", &vdb(60 << 20)), ("b.vdb", &[vdb(9), marker()].concat())]);
    // Room for its signatures and small files, not for the large one.
    let settings = wrapped(folder.path(), "ulimit -v 110000; exec @REAL@");
    let engines = match Engines::open(&settings) {
        Ok(engines) => engines,
        Err(error) => panic!("the limit leaves it no room at all: {error:?}"),
    };
    let report = tree.scan(&engines, &());
    assert!(!report.passes());
    assert_eq!(report.counts.clean, 0, "{:?}", report.files);
    let small = report.files.iter().find(|file| file.path.as_str() == "b.vdb").unwrap();
    assert_eq!(small.verdict, infected("DataBridge.Test.Marker"));
}

#[test]
fn one_that_ends_after_every_file_costs_time_and_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    // Each reads four of the list and ends.
    let settings = wrapped(folder.path(), "sed -u 4q | @REAL@");
    let engines = Engines::open(&settings).unwrap();
    let tree = Tree::new(&[]);
    for n in 0..12 {
        let mark = if n == 5 { marker() } else { Vec::new() };
        tree.write(&format!("{n:02}.vdb"), &[vdb(100 + n), mark].concat());
    }
    let report = tree.scan(&engines, &());
    assert_eq!((report.counts.clean, report.counts.infected), (11, 1), "{:?}", report.files);
}

#[test]
fn one_that_says_nothing_times_out() {
    let folder = tempfile::tempdir().unwrap();
    // The four questions at its start are answered, then it falls silent.
    let mut settings = wrapped(
        folder.path(),
        "case \"$1\" in --version) exec @REAL@;; esac; sed -u 4q | @REAL@; exec sleep 600",
    );
    settings.file_timeout_seconds = 1;
    settings.clamscan.start_timeout_seconds = 30;
    let engines = Engines::open(&settings).unwrap();
    let tree = Tree::new(&[("a.vdb", &vdb(100))]);
    let report = tree.scan(&engines, &());
    assert_eq!(report.verdict, not(Reason::TimedOut));
}

#[test]
fn auto_takes_the_first_that_is_there() {
    let mut server = Server::start();
    let tree = Tree::new(&[("a.vdb", &vdb(100))]);
    let mut settings = Settings { engine: Engine::Auto, ..settings() };
    settings.clamd = Some(unix(&server));
    let by = |settings: &Settings| {
        let report = tree.scan(&Engines::open(settings).unwrap(), &());
        let antivirus = report.engines.iter().find(|engine| engine.antivirus);
        (antivirus.map(|engine| engine.name.clone()), report.verdict)
    };
    assert_eq!(by(&settings), (Some("clamd".into()), Verdict::Clean));
    server.daemon().kill_9();
    assert_eq!(by(&settings), (Some("clamscan".into()), Verdict::Clean));
    settings.clamd = Some(Clamd::at(ClamdAddress::Unix("/nonexistent".into())));
    settings.clamscan.program = "/nonexistent".into();
    assert_eq!(by(&settings), (None, not(Reason::NoAntivirus)));
}
