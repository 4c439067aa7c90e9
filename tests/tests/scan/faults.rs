//! A clamd that dies, hangs, dawdles or starves in mid-scan.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use databridge_core::base::cancel::Cancel;
use databridge_core::base::error::{ErrorKind, Fault};
use databridge_core::media::monitor::{Monitor, Progress};
use databridge_core::media::scan::{
    Engines, FileVerdict, Files, Reason, Report, Verdict, quarantine,
};
use databridge_core::media::storage::RelPath;
use databridge_tests::clamd::{Server, marker};
use databridge_tests::faultfs::{FaultFs, Loss};

use crate::bench::{Tree, infected, not, settings, tcp, unix, vdb};

/// Does something, once, when so many files are done.
struct When<F> {
    files: AtomicU64,
    happens: Mutex<Option<F>>,
}

impl<F: FnOnce() + Send> When<F> {
    fn after(files: u64, happens: F) -> Self {
        Self { files: AtomicU64::new(files), happens: Mutex::new(Some(happens)) }
    }
}

impl<F: FnOnce() + Send> Monitor for When<F> {
    fn on(&self, progress: Progress<'_>) {
        if matches!(progress, Progress::File(_)) && self.files.fetch_sub(1, Ordering::SeqCst) == 1 {
            let happens = self.happens.lock().unwrap().take();
            happens.unwrap()();
        }
    }
}

/// One hears, the other stops.
struct Both<'a>(&'a dyn Monitor, &'a Cancel);

impl Monitor for Both<'_> {
    fn on(&self, progress: Progress<'_>) {
        self.0.on(progress);
    }
    fn cancelled(&self) -> bool {
        self.1.is_cancelled()
    }
}

/// Forty files, of which every tenth is marked.
fn forty() -> Tree {
    let tree = Tree::new(&[]);
    for n in 0..40 {
        let mark = if n % 10 == 9 { marker() } else { Vec::new() };
        tree.write(&format!("f{n:02}.vdb"), &[vdb(10_000 + n), mark].concat());
    }
    tree
}

fn all_told(report: &Report) {
    assert_eq!((report.counts.clean, report.counts.infected), (36, 4), "{:?}", report.files);
}

#[test]
fn restarted_in_mid_scan() {
    let server = Mutex::new(Server::start());
    for streamed in [false, true] {
        let clamd = match streamed {
            true => tcp(&server.lock().unwrap()),
            false => unix(&server.lock().unwrap()),
        };
        let engines = Engines::open(&settings(clamd)).unwrap();
        let restart = When::after(10, || server.lock().unwrap().restart());
        all_told(&forty().scan(&engines, &restart));
        assert!(restart.happens.lock().unwrap().is_none());
    }
}

#[test]
fn reloaded_in_mid_scan() {
    let server = Mutex::new(Server::start());
    let engines = Engines::open(&settings(unix(&server.lock().unwrap()))).unwrap();
    let reload = When::after(10, || server.lock().unwrap().reload());
    all_told(&forty().scan(&engines, &reload));
    assert!(reload.happens.lock().unwrap().is_none());
}

#[test]
fn killed_in_mid_scan_the_rest_is_in_error() {
    let server = Mutex::new(Server::start());
    let mut clamd = unix(&server.lock().unwrap());
    clamd.retry_seconds = 1;
    let engines = Engines::open(&settings(clamd)).unwrap();
    let kill = When::after(10, || {
        server.lock().unwrap().daemon().kill_9();
    });
    let report = forty().scan(&engines, &kill);
    assert!(matches!(report.verdict, Verdict::Error { .. } | Verdict::Infected { .. }));
    assert!(report.counts.error >= 20, "{:?}", report.counts);
    assert_eq!(report.counts.clean + report.counts.error + report.counts.infected, 40);
    assert!(!report.passes());
}

#[test]
fn hung_in_mid_scan_nothing_more_is_clean_and_nobody_waits_for_each_file() {
    let server = Server::start();
    let mut clamd = unix(&server);
    clamd.connect_timeout_seconds = 1;
    let mut settings = settings(clamd);
    settings.file_timeout_seconds = 2;
    let engines = Engines::open(&settings).unwrap();
    let server = Mutex::new(server);
    let hang = When::after(10, || server.lock().unwrap().daemon().pause());
    let report = forty().scan(&engines, &hang);
    assert!(report.reasons.contains_key(&Reason::TimedOut), "{:?}", report.reasons);
    assert!(report.counts.clean < 36 && !report.passes());
    assert!(report.counts.error > report.reasons[&Reason::TimedOut], "{:?}", report.counts);
}

#[test]
fn slow_is_not_gone() {
    let server = Mutex::new(Server::start());
    let engines = Engines::open(&settings(unix(&server.lock().unwrap()))).unwrap();
    let tree = forty();
    let report = std::thread::scope(|scope| {
        let (paused, was_paused) = std::sync::mpsc::channel();
        let pause = When::after(10, || {
            server.lock().unwrap().daemon().pause();
            paused.send(()).unwrap();
        });
        let (server, tree) = (&server, &tree);
        scope.spawn(move || {
            was_paused.recv().unwrap();
            // As long as it stands still the scan cannot end.
            server.lock().unwrap().daemon().resume();
        });
        tree.scan(&engines, &pause)
    });
    all_told(&report);
}

#[test]
fn a_scan_that_waits_for_a_hung_daemon_can_be_cancelled() {
    for streamed in [false, true] {
        let server = Mutex::new(Server::start());
        let clamd = match streamed {
            true => tcp(&server.lock().unwrap()),
            false => unix(&server.lock().unwrap()),
        };
        let engines = Engines::open(&settings(clamd)).unwrap();
        let (tree, cancel) = (forty(), Cancel::new());
        let (hung, has_hung) = std::sync::mpsc::channel();
        let pause = When::after(5, || {
            server.lock().unwrap().daemon().pause();
            hung.send(()).unwrap();
        });
        let error = std::thread::scope(|scope| {
            let stop = &cancel;
            scope.spawn(move || {
                has_hung.recv().unwrap();
                stop.cancel();
            });
            // A file may take five minutes, and this test may not.
            let both = Both(&pause, &cancel);
            engines.tree(tree.path(), Files::Paths(&tree.files()), &both).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
}

#[test]
fn out_of_memory_nothing_is_clean_that_was_not_read() {
    let mut server = Server::start();
    server.starve(1 << 30);
    let mut clamd = unix(&server);
    clamd.retry_seconds = 1;
    let engines = Engines::open(&settings(clamd)).unwrap();
    let tree = Tree::new(&[("small.vdb", &[vdb(100), marker()].concat())]);
    tree.sparse("large.vdb", 1200 << 20, &marker());
    let report = tree.scan(&engines, &());
    assert_eq!(report.counts.clean, 0, "{:?}", report.files);
    let large = report.files.iter().find(|file| file.path.as_str() == "large.vdb").unwrap();
    let said = large.findings.iter().find(|said| said.engine == "clamd").unwrap();
    assert!(matches!(said.verdict, Verdict::Error { .. }), "{large:?}");
}

#[test]
fn a_client_that_was_idle_longer_than_the_daemon_likes_connects_again() {
    let mut server = Server::start();
    let engines = Engines::open(&settings(unix(&server))).unwrap();
    let tree = forty();
    all_told(&tree.scan(&engines, &()));
    // Every connection that was kept is dead now.
    server.restart();
    all_told(&tree.scan(&engines, &()));
}

#[test]
fn a_small_stream_limit_is_too_large_and_the_next_file_goes_on() {
    let server = Server::start_with("StreamMaxLength 1M\n");
    let tree = Tree::new(&[
        ("a.vdb", &vdb(4 << 20)),
        ("b.vdb", &vdb(1000)),
        ("c.vdb", &vdb(8 << 20)),
        ("d.vdb", &[vdb(1000), marker()].concat()),
    ]);
    let mut settings = settings(tcp(&server));
    settings.threads = 1;
    let said: Vec<_> = tree.said(&settings, "clamd").into_values().collect();
    let marked = infected("DataBridge.Test.Marker");
    let large = not(Reason::TooLarge);
    assert_eq!(said, [large.clone(), Verdict::Clean, large, marked]);
}

#[test]
fn what_is_in_quarantine_survives_a_power_cut_with_its_folder() {
    let mut fs = FaultFs::mount();
    let root = fs.path().join("tree");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("a.exr"), b"bad").unwrap();
    fs.flush_all();
    let verdict = FileVerdict {
        path: RelPath::parse("a.exr").unwrap(),
        verdict: Verdict::Infected { name: "Test".into() },
        engine: "clamd".into(),
        size_bytes: Some(3),
        sha256: None,
        findings: Vec::new(),
        accepted: None,
    };
    let folder = fs.path().join("made/for/it");
    let done = quarantine(&root, &verdict, &folder).unwrap();
    fs.power_cut(Loss::Everything);
    assert!(done.file.exists() && done.evidence_file.exists(), "lost with {}", folder.display());
    assert!(!root.join("a.exr").exists());
}
