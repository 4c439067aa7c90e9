//! Against a real clamd, with signatures made for tests.

mod daemon;

use self::daemon::{Daemon, Limits};
use super::*;
use crate::base::error::{ErrorKind, Fault};
use crate::media::monitor::{Monitor, Progress};
use crate::media::scan::probe::{stored_entry, stored_zip};

const INFECTED: &str = "Eicar-Test-Body.UNOFFICIAL";
const MB: usize = 1 << 20;

fn infected() -> Verdict {
    Verdict::Infected { name: INFECTED.into() }
}

/// Signatures for tests have no date, so any age will do, and rules keep out of it.
fn settings(clamd: Clamd) -> Settings {
    let policy = Policy { signature_max_age_seconds: None, ..Policy::default() };
    Settings { engine: Engine::Clamd, clamd: Some(clamd), policy, ..Settings::default() }
}

fn scan_one(clamd: Clamd, name: &str, content: &[u8]) -> Verdict {
    let root = tempfile::tempdir().unwrap();
    scan(root.path(), &[(name, content)], &settings(clamd)).verdict
}

#[test]
fn found_and_clean_by_descriptor_and_by_stream() {
    let daemon = Daemon::start(&Limits::default());
    let marker = ["DATABRIDGE", "MALWARE", "TEST", "STRING"].join("-").into_bytes();
    let deep = [exr(5000), marker.clone()].concat();
    let late = [exr(3 * MB), marker].concat();
    let nested = (0..4).fold(eicar(), |inner, _| stored_zip(&inner));
    for clamd in [daemon.unix(), daemon.tcp()] {
        let root = tempfile::tempdir().unwrap();
        let mut settings = settings(clamd);
        settings.rules_whole_bytes = MB as u64;
        let files: &[(&str, &[u8])] = &[
            ("clean.exr", &exr(5000)),
            ("large.exr", &exr(3 * MB)),
            ("empty", b""),
            ("eicar.txt", &eicar()),
            ("nested.zip", &nested),
            ("deep.exr", &deep),
            ("late.exr", &late),
        ];
        let report = scan(root.path(), files, &settings);
        for name in ["clean.exr", "large.exr", "empty"] {
            assert_eq!(on(&report, name), Verdict::Clean, "{name}");
        }
        let by_clamd = |name: &str| {
            let file = report.files.iter().find(|f| f.path.as_str() == name).unwrap();
            file.findings.iter().find(|f| f.engine == "clamd").unwrap().verdict.clone()
        };
        for name in ["eicar.txt", "nested.zip"] {
            assert_eq!(by_clamd(name), infected(), "{name}");
        }
        let marked = Verdict::Infected { name: "DataBridge.Test.Marker.UNOFFICIAL".into() };
        for name in ["deep.exr", "late.exr"] {
            assert_eq!(on(&report, name), marked, "{name}");
        }
        assert_eq!((report.counts.clean, report.counts.infected), (3, 4));
        let engine = report.engines.iter().find(|e| e.antivirus).unwrap();
        assert!(engine.version.starts_with(|c: char| c.is_ascii_digit()), "{engine:?}");
    }
}

/// Small files are shown to clamd by the handful; each must have what was said of it.
#[test]
fn in_company_every_file_has_its_own_verdict() {
    let daemon = Daemon::start(&Limits::default());
    for clamd in [daemon.unix(), daemon.tcp()] {
        let root = tempfile::tempdir().unwrap();
        let bad = |n: usize| n % 7 == 3;
        let contents = (0..300).map(|n| match n {
            n if bad(n) => {
                [exr(100 + n), ["DATABRIDGE", "MALWARE", "TEST", "STRING"].join("-").into()]
                    .concat()
            }
            n if n % 50 == 0 => exr(MB),
            n => exr(100 + n),
        });
        let files: Vec<_> =
            contents.enumerate().map(|(n, of)| (format!("{n:03}.exr"), of)).collect();
        let files: Vec<_> = files.iter().map(|(name, of)| (name.as_str(), &of[..])).collect();
        let report = scan(root.path(), &files, &settings(clamd));
        for (n, (name, _)) in files.iter().enumerate() {
            assert_eq!(on(&report, name).is_clean(), !bad(n), "{name}");
        }
        let infected = (0..300).filter(|n| bad(*n)).count() as u64;
        assert_eq!((report.counts.clean, report.counts.infected), (300 - infected, infected));
    }
}

/// Makes a daemon hang when the first file is done.
struct Hanging<'d>(&'d Daemon);

impl Monitor for Hanging<'_> {
    fn on(&self, progress: Progress<'_>) {
        if matches!(progress, Progress::File(_)) {
            self.0.stop();
        }
    }
}

#[test]
fn a_daemon_that_hangs_in_company_leaves_no_file_without_a_word() {
    let daemon = Daemon::start(&Limits::default());
    let mut settings = settings(Clamd { connect_timeout_seconds: 1, ..daemon.unix() });
    settings.file_timeout_seconds = 1;
    let root = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..300).map(|n| rel(&format!("{n:03}.exr"))).collect();
    for path in &paths {
        std::fs::write(root.path().join(path.to_path()), exr(100)).unwrap();
    }
    let report = tree(root.path(), Files::Paths(&paths), &settings, &Hanging(&daemon)).unwrap();
    let hung = |verdict: &Verdict| {
        matches!(verdict, Verdict::Error { .. } | Verdict::NotScanned { reason: Reason::TimedOut })
    };
    assert!(report.files.iter().all(|file| hung(&file.verdict)), "{:?}", report.files);
    assert_eq!(report.counts.clean + report.files.len() as u64, 300, "{:?}", report.counts);
    assert!(!report.files.is_empty() && !report.passes());
}

#[test]
fn all_clean_passes_and_a_tree_without_files_too() {
    let daemon = Daemon::start(&Limits::default());
    let root = tempfile::tempdir().unwrap();
    let settings = settings(daemon.unix());
    assert!(scan(root.path(), &[("a.exr", &exr(100)), ("b.txt", b"note")], &settings).passes());
    assert!(scan(root.path(), &[], &settings).passes());
}

#[test]
fn signatures_of_unknown_age_are_stale_but_still_find() {
    let daemon = Daemon::start(&Limits::default());
    let strict = Settings { policy: Policy::default(), ..settings(daemon.unix()) };
    let root = tempfile::tempdir().unwrap();
    let files: &[(&str, &[u8])] = &[("a.exr", &exr(100)), ("b.txt", &eicar())];
    let report = scan(root.path(), files, &strict);
    assert_eq!(on(&report, "a.exr"), Verdict::not_scanned(Reason::StaleSignatures));
    assert!(matches!(on(&report, "b.txt"), Verdict::Infected { .. }));
}

#[test]
fn beyond_its_limits_nothing_is_clean() {
    let small = Limits { max_file_mb: 1, ..Limits::default() };
    let daemon = Daemon::start(&small);
    assert_eq!(
        scan_one(daemon.unix(), "a.exr", &exr(2 * MB)),
        Verdict::not_scanned(Reason::Limits),
        "the daemon says so"
    );
    let silent = Daemon::start(&Limits { alert: false, ..small });
    let known = Clamd { config_file: Some(silent.config()), ..silent.unix() };
    assert_eq!(
        scan_one(known.clone(), "a.exr", &exr(2 * MB)),
        Verdict::not_scanned(Reason::TooLarge),
        "we know it"
    );
    assert_eq!(scan_one(known, "a.exr", &exr(MB / 2)), Verdict::Clean);
    let unknown = Daemon::start(&Limits { alert: false, ..Limits::default() });
    assert_eq!(
        scan_one(unknown.unix(), "a.exr", &exr(26 * MB)),
        Verdict::not_scanned(Reason::TooLarge),
        "nobody knows it"
    );
}

#[test]
fn a_daemon_that_keeps_silent_is_not_believed_about_what_can_be_unpacked() {
    let daemon = Daemon::start(&Limits { alert: false, ..Limits::default() });
    let zip = stored_zip(&stored_zip(b""));
    let unknown = Verdict::not_scanned(Reason::UnknownLimits);
    assert_eq!(scan_one(daemon.unix(), "a.zip", &zip), unknown);
    assert_eq!(scan_one(daemon.unix(), "a.bin", b"harmless"), unknown);
    assert_eq!(scan_one(daemon.unix(), "a.exr", &exr(100)), Verdict::Clean);
    let telling = Daemon::start(&Limits::default());
    assert_eq!(scan_one(telling.unix(), "a.zip", &zip), Verdict::Clean);
}

#[test]
fn beyond_the_length_of_a_stream() {
    let daemon = Daemon::start(&Limits { max_stream_mb: 1, ..Limits::default() });
    let too_large = Verdict::not_scanned(Reason::TooLarge);
    assert_eq!(scan_one(daemon.tcp(), "a.exr", &exr(8 * MB)), too_large);
    assert_eq!(scan_one(daemon.tcp(), "a.exr", &exr(MB / 2)), Verdict::Clean);
    assert_eq!(scan_one(daemon.unix(), "a.exr", &exr(8 * MB)), Verdict::Clean);
}

#[test]
fn what_is_encrypted_is_not_scanned() {
    let daemon = Daemon::start(&Limits::default());
    let secret = stored_entry(&[0x5a; 64], 1);
    let verdict = scan_one(daemon.unix(), "a.zip", &secret);
    assert_eq!(verdict, Verdict::not_scanned(Reason::Encrypted));
}

#[test]
fn a_daemon_that_hangs_times_out() {
    let daemon = Daemon::start(&Limits::default());
    let mut clamd = daemon.unix();
    clamd.connect_timeout_seconds = 1;
    let mut settings = settings(clamd);
    settings.file_timeout_seconds = 1;
    let engine = ClamdClient::connect(settings.clamd.as_ref().unwrap()).unwrap();
    daemon.stop();
    let file = tempfile::tempfile().unwrap();
    let path = rel("a.exr");
    let subject = Subject {
        path: &path,
        file: &file,
        size_bytes: 0,
        head: b"",
        whole: Some(b""),
        members: &Members::default(),
        timeout: settings.file_timeout(),
        monitor: &(),
    };
    assert_eq!(engine.scan(&subject), [Verdict::not_scanned(Reason::TimedOut)]);
    let error = Engines::open(&settings).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn a_daemon_that_is_gone() {
    let mut daemon = Daemon::start(&Limits::default());
    let settings = settings(Clamd { retry_seconds: 0, ..daemon.unix() });
    let engine = ClamdClient::connect(settings.clamd.as_ref().unwrap()).unwrap();
    daemon.kill();
    let file = tempfile::tempfile().unwrap();
    let path = rel("a.exr");
    let subject = Subject {
        path: &path,
        file: &file,
        size_bytes: 0,
        head: b"",
        whole: Some(b""),
        members: &Members::default(),
        timeout: settings.file_timeout(),
        monitor: &(),
    };
    assert!(matches!(engine.scan(&subject)[..], [Verdict::Error { .. }]));
    let error = tree(Path::new("/"), Files::Paths(&[]), &settings, &()).unwrap_err();
    assert!(matches!(error, Error::EngineGone { .. }));
    assert_eq!(error.kind().exit_code(), 5);

    let auto = Settings { engine: Engine::Auto, ..settings };
    let root = tempfile::tempdir().unwrap();
    let report = scan(root.path(), &[("a.exr", &exr(100))], &auto);
    assert_eq!(report.verdict, Verdict::not_scanned(Reason::NoAntivirus), "auto tells the truth");
}
