//! What must be found.

use databridge_core::media::scan::{Engines, Reason, Verdict};
use databridge_tests::clamd::{Server, eicar, marker};

use crate::bench::{Tree, infected, not, settings, tcp, unix, vdb};

/// Typed by hand from what ClamAV 1.4 says to the signatures in `testdata/clamd`.
fn expected() -> Vec<(&'static str, Verdict)> {
    vec![
        ("bomb.zip", not(Reason::Limits)),
        ("clean.txt", Verdict::Clean),
        ("clean.vdb", Verdict::Clean),
        ("eicar.tar.gz", infected("Eicar-Test-Body")),
        ("eicar.tar.xz", infected("Eicar-Test-Body")),
        ("eicar.txt", infected("Eicar-Test-Body")),
        ("eicar.zip", infected("Eicar-Test-Body")),
        ("eicar_bomb.zip", not(Reason::Limits)),
        ("empty", Verdict::Clean),
        ("nested.zip", infected("Eicar-Test-Body")),
        ("offset.bin", infected("DataBridge.Test.Marker")),
        ("secret.zip", not(Reason::Encrypted)),
    ]
}

pub fn tree() -> Tree {
    let tree = Tree::new(&[
        ("clean.vdb", &vdb(5000)),
        ("clean.txt", b"note\n"),
        ("empty", b""),
        ("eicar.txt", &eicar()),
        ("offset.bin", &[vec![7; 5000], marker()].concat()),
    ]);
    tree.archives();
    tree
}

pub fn compare(found: impl IntoIterator<Item = (String, Verdict)>) {
    let found: Vec<_> = found.into_iter().collect();
    let expected: Vec<_> =
        expected().into_iter().map(|(name, verdict)| (name.to_owned(), verdict)).collect();
    assert_eq!(found, expected);
}

#[test]
fn by_descriptor_and_by_stream() {
    let server = Server::start_with("MaxScanSize 20M\n");
    let tree = tree();
    for clamd in [unix(&server), tcp(&server)] {
        compare(tree.said(&settings(clamd), "clamd"));
    }
}

#[test]
fn the_test_file_itself_behind_other_bytes_is_never_clean() {
    let server = Server::start();
    let tree = Tree::new(&[
        ("at5000.txt", &[vec![b' '; 5000], eicar()].concat()),
        ("late.vdb", &[vdb(9 << 20), eicar()].concat()),
    ]);
    let report = tree.scan(&Engines::open(&settings(unix(&server))).unwrap(), &());
    // ClamAV knows it only as a whole file; our rules look further.
    for file in &report.files {
        let odd = Verdict::Suspicious { rule: "eicar_inside".into() };
        assert_eq!(file.verdict, odd, "{}", file.path);
    }
    assert_eq!(report.counts.suspicious, 2);
}

#[test]
fn at_the_end_of_300_megabytes() {
    let server = Server::start();
    let tree = Tree::new(&[]);
    tree.sparse("plate.mov", 300 << 20, &[marker(), eicar()].concat());
    let report = tree.scan(&Engines::open(&settings(unix(&server))).unwrap(), &());
    assert_eq!(report.files[0].verdict, infected("DataBridge.Test.Marker"));
    // ClamAV knows the test file only where it begins a file; our rules look further.
    let inside = Verdict::Suspicious { rule: "eicar_inside".into() };
    assert!(report.files[0].findings.iter().any(|said| said.verdict == inside));
}

#[test]
fn beyond_two_gigabytes_nothing_is_clean_whatever_is_promised() {
    let server = Server::start_with("MaxFileSize 0\nMaxScanSize 0\n");
    let tree = Tree::new(&[]);
    tree.sparse("plate.mov", 3 << 30, &[marker(), vec![0; 20 << 20]].concat());
    let mut clamd = unix(&server);
    clamd.max_file_size_bytes = Some(u64::MAX);
    let said = tree.said(&settings(clamd), "clamd");
    assert_eq!(said["plate.mov"], not(Reason::TooLarge));
}

fn ten_thousand(count: u32) {
    let server = Server::start();
    let tree = Tree::new(&[]);
    for n in 0..count {
        let mut bytes = format!("note {n} ").repeat(100 + n as usize % 1700).into_bytes();
        if n % 1000 == 777 {
            bytes.extend(marker());
        }
        tree.write(&format!("{n:05}.txt"), &bytes);
    }
    let report = tree.scan(&Engines::open(&settings(unix(&server))).unwrap(), &());
    let found: Vec<_> = report.files.iter().map(|file| file.path.to_string()).collect();
    let expected: Vec<_> =
        (0..count).filter(|n| n % 1000 == 777).map(|n| format!("{n:05}.txt")).collect();
    assert_eq!(found, expected);
    assert_eq!(report.counts.clean, u64::from(count) - found.len() as u64);
}

#[test]
fn a_thousand_small_files() {
    ten_thousand(1000);
}

#[test]
#[ignore = "long"]
fn ten_thousand_small_files() {
    ten_thousand(10_000);
}
