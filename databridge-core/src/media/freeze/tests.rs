#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::*;
use crate::base::cancel::Cancel;
use crate::base::error::Fault;
use crate::media::monitor::Progress;

/// A source folder and a service folder beside it.
struct Bench(tempfile::TempDir);

impl Bench {
    /// With two files, one of them without content, and an empty folder.
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(bench.source("shot")).unwrap();
        fs::create_dir_all(bench.source("empty/inner")).unwrap();
        fs::create_dir(bench.service()).unwrap();
        fs::write(bench.source("shot/a.1001.exr"), b"frame").unwrap();
        fs::write(bench.source("zero.txt"), b"").unwrap();
        bench
    }
    fn source(&self, name: &str) -> PathBuf {
        self.0.path().join("source").join(name)
    }
    fn service(&self) -> PathBuf {
        self.0.path().join("service")
    }
    fn dest(&self) -> PathBuf {
        self.service().join("TRF-00042")
    }
    fn at(&self, name: &str) -> PathBuf {
        self.dest().join(name)
    }
    fn part(&self, name: &str, kind: Kind) -> Part {
        let path = RelPath::parse(name).unwrap();
        Part { root: self.source(""), path, kind, expect: None }
    }
    fn parts(&self) -> Vec<Part> {
        vec![
            self.part("zero.txt", Kind::File),
            self.part("shot/a.1001.exr", Kind::File),
            self.part("empty/inner", Kind::EmptyDir),
        ]
    }
    fn freeze(&self) -> Result<Frozen, Error> {
        tree(&self.parts(), &self.dest(), &())
    }
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.service()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
    fn append(&self, name: &str, bytes: &[u8]) {
        OpenOptions::new().append(true).open(self.source(name)).unwrap().write_all(bytes).unwrap();
    }
}

fn text(changes: &[Change]) -> Vec<String> {
    changes.iter().map(Change::to_string).collect()
}

#[test]
fn a_tree_of_new_inodes_that_only_the_service_can_write() {
    let bench = Bench::new();
    let year_2001 = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    File::options()
        .append(true)
        .open(bench.source("zero.txt"))
        .unwrap()
        .set_modified(year_2001)
        .unwrap();
    let frozen = bench.freeze().unwrap();
    assert_eq!(frozen.manifest, Manifest::of_tree(&bench.source(""), None, &()).unwrap());
    assert_eq!(frozen.manifest, Manifest::of_tree(&bench.dest(), None, &()).unwrap());
    let names: Vec<_> = frozen.facts.iter().map(|fact| fact.path.as_str()).collect();
    assert_eq!(names, ["empty/inner", "shot/a.1001.exr", "zero.txt"]);
    assert_eq!(frozen.facts[2].mtime_ns, 1_000_000_000_123_456_789);
    for (name, mode) in [
        ("", 0o700),
        ("shot", 0o700),
        ("empty/inner", 0o700),
        ("shot/a.1001.exr", 0o440),
        ("zero.txt", 0o440),
    ] {
        assert_eq!(bench.at(name).metadata().unwrap().mode() & 0o7777, mode, "{name}");
    }
    let (old, new) = (bench.source("zero.txt"), bench.at("zero.txt"));
    assert_ne!(old.metadata().unwrap().ino(), new.metadata().unwrap().ino());
    assert_eq!(bench.names(), ["TRF-00042"]);
    assert_eq!(changes(&bench.dest(), &frozen.facts).unwrap(), []);
    let json = serde_json::to_string(&frozen).unwrap();
    assert_eq!(serde_json::from_str::<Frozen>(&json).unwrap(), frozen);
}

#[test]
fn a_descriptor_opened_before_writes_into_the_source_only() {
    let bench = Bench::new();
    let mut open = OpenOptions::new().write(true).open(bench.source("shot/a.1001.exr")).unwrap();
    let frozen = bench.freeze().unwrap();
    open.write_all(b"EVIL!").unwrap();
    open.sync_all().unwrap();
    assert_eq!(fs::read(bench.at("shot/a.1001.exr")).unwrap(), b"frame");
    assert_eq!(changes(&bench.dest(), &frozen.facts).unwrap(), []);
    assert_eq!(frozen.manifest.check_tree(&bench.dest(), None, &()).unwrap(), []);
}

#[test]
fn hard_links_become_files_of_their_own() {
    let bench = Bench::new();
    fs::hard_link(bench.source("shot/a.1001.exr"), bench.source("shot/b.exr")).unwrap();
    let mut parts = bench.parts();
    parts.push(bench.part("shot/b.exr", Kind::File));
    tree(&parts, &bench.dest(), &()).unwrap();
    let (a, b) = (bench.at("shot/a.1001.exr"), bench.at("shot/b.exr"));
    assert_ne!(a.metadata().unwrap().ino(), b.metadata().unwrap().ino());
    assert_eq!(b.metadata().unwrap().nlink(), 1);
}

#[test]
fn parts_come_from_several_roots() {
    let (bench, other) = (Bench::new(), Bench::new());
    fs::write(other.source("more"), b"x").unwrap();
    let mut parts = bench.parts();
    parts.push(other.part("more", Kind::File));
    let frozen = tree(&parts, &bench.dest(), &()).unwrap();
    assert_eq!(frozen.manifest.file_count(), 3);
}

#[test]
fn holes_stay_holes_and_content_stays_content() {
    let bench = Bench::new();
    let sparse = File::create(bench.source("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    drop(sparse);
    bench.append("sparse", b"end");
    let frozen = tree(&[bench.part("sparse", Kind::File)], &bench.dest(), &()).unwrap();
    let copy = bench.at("sparse").metadata().unwrap();
    assert_eq!(copy.len(), (64 << 20) + 3);
    assert!(copy.blocks() * 512 < 1 << 20, "{} blocks", copy.blocks());
    assert_eq!(frozen.manifest.check_tree(&bench.dest(), None, &()).unwrap(), []);
}

/// Changes the mode until the ctime shows it: older kernels stamp inodes with a clock
/// that stands still for some milliseconds.
fn chmod(path: &Path, mode: u32) {
    let ctime = || path.metadata().map(|stat| (stat.ctime(), stat.ctime_nsec())).unwrap();
    let before = ctime();
    while ctime() == before {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn every_kind_of_tampering_is_reported() {
    type Tamper = fn(&Bench);
    let cases: [(Tamper, &[&str]); 13] = [
        (|b| fs::write(b.at("new"), b"").unwrap(), &["new: added"]),
        (|b| fs::create_dir(b.at("shot/new")).unwrap(), &["shot/new: added"]),
        (|b| symlink("/etc/passwd", b.at("link")).unwrap(), &["link: added"]),
        (|b| drop(UnixListener::bind(b.at("sock")).unwrap()), &["sock: added"]),
        (
            |b| fs::write(b.dest().join(OsStr::from_bytes(b"\xff\n")), b"").unwrap(),
            &["\\xff\\n: added"],
        ),
        (|b| fs::remove_file(b.at("zero.txt")).unwrap(), &["zero.txt: removed"]),
        (|b| fs::remove_dir(b.at("empty/inner")).unwrap(), &["empty/inner: removed"]),
        (|b| fs::remove_dir_all(b.at("shot")).unwrap(), &["shot/a.1001.exr: removed"]),
        (
            |b| fs::rename(b.at("zero.txt"), b.at("one.txt")).unwrap(),
            &["one.txt: added", "zero.txt: removed"],
        ),
        (|b| chmod(&b.at("zero.txt"), 0o640), &["zero.txt: changed (ctime)"]),
        (
            |b| {
                fs::remove_file(b.at("zero.txt")).unwrap();
                symlink("shot/a.1001.exr", b.at("zero.txt")).unwrap();
            },
            &["zero.txt: changed (kind)"],
        ),
        (
            |b| {
                fs::rename(b.at("shot"), b.service().join("away")).unwrap();
                symlink(b.service().join("away"), b.at("shot")).unwrap();
            },
            &["shot: added", "shot/a.1001.exr: removed"],
        ),
        (|b| fs::write(b.at("empty/inner/x"), b"").unwrap(), &["empty/inner/x: added"]),
    ];
    for (tamper, expected) in cases {
        let bench = Bench::new();
        let frozen = bench.freeze().unwrap();
        tamper(&bench);
        assert_eq!(text(&changes(&bench.dest(), &frozen.facts).unwrap()), expected);
    }
}

#[test]
fn a_byte_changed_with_all_care_still_shows() {
    let bench = Bench::new();
    let frozen = bench.freeze().unwrap();
    let path = bench.at("shot/a.1001.exr");
    let mtime = path.metadata().unwrap().modified().unwrap();
    // Same length, same mtime, same mode, same inode: the ctime cannot be set back.
    chmod(&path, 0o640);
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(b"f").unwrap();
    file.set_modified(mtime).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
    let found = changes(&bench.dest(), &frozen.facts).unwrap();
    assert_eq!(text(&found), ["shot/a.1001.exr: changed (ctime)"]);
    // Another file in its place, content, times and mode alike.
    let copy = bench.service().join("copy");
    fs::write(&copy, b"frame").unwrap();
    File::options().append(true).open(&copy).unwrap().set_modified(mtime).unwrap();
    chmod(&copy, 0o440);
    fs::rename(&copy, &path).unwrap();
    let found = changes(&bench.dest(), &frozen.facts).unwrap();
    assert_eq!(text(&found), ["shot/a.1001.exr: changed (ctime, inode)"]);
}

#[test]
fn a_tree_that_is_gone_is_an_error_not_a_change() {
    let bench = Bench::new();
    let frozen = bench.freeze().unwrap();
    fs::remove_dir_all(bench.dest()).unwrap();
    assert_eq!(changes(&bench.dest(), &frozen.facts).unwrap_err().code(), "storage.not_found");
}

#[test]
fn files_that_are_not_as_expected_are_named() {
    let bench = Bench::new();
    let mut parts = bench.parts();
    parts[0].expect = Some((0, Sha256::of(b"")));
    parts[1].expect = Some((5, Sha256::of(b"frame")));
    tree(&parts, &bench.dest(), &()).unwrap();
    fs::remove_dir_all(bench.dest()).unwrap();
    parts[0].expect = Some((1, Sha256::of(b"")));
    parts[1].expect = Some((5, Sha256::of(b"other")));
    let error = tree(&parts, &bench.dest(), &()).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("freeze.mismatch", crate::ErrorKind::CheckFailed));
    let text = error.to_string();
    assert!(text.contains("zero.txt") && text.contains("shot/a.1001.exr"), "{text}");
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn a_source_that_is_gone_or_no_file_is_named() {
    let bench = Bench::new();
    fs::remove_file(bench.source("zero.txt")).unwrap();
    let error = bench.freeze().unwrap_err();
    assert_eq!(error.code(), "storage.not_found");
    assert!(error.to_string().contains("zero.txt"), "{error}");
    symlink("shot/a.1001.exr", bench.source("zero.txt")).unwrap();
    assert_eq!(bench.freeze().unwrap_err().code(), "storage.link");
    fs::remove_file(bench.source("zero.txt")).unwrap();
    fs::create_dir(bench.source("zero.txt")).unwrap();
    assert_eq!(bench.freeze().unwrap_err().code(), "storage.not_a_file");
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn a_file_that_grows_while_it_is_read_is_caught() {
    struct Grow<'a>(&'a Bench, Mutex<bool>);
    impl Monitor for Grow<'_> {
        fn on(&self, progress: Progress<'_>) {
            let mut is_done = self.1.lock().unwrap();
            if matches!(progress, Progress::Bytes(_)) && !*is_done {
                *is_done = true;
                self.0.append("shot/a.1001.exr", b"more");
            }
        }
    }
    let bench = Bench::new();
    let grow = Grow(&bench, Mutex::new(false));
    let error = tree(&bench.parts(), &bench.dest(), &grow).unwrap_err();
    assert_eq!(error.code(), "checksum.source_changed");
    assert!(error.to_string().contains("shot/a.1001.exr"), "{error}");
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn cancelling_leaves_nothing() {
    let bench = Bench::new();
    let cancel = Cancel::new();
    cancel.cancel();
    let error = tree(&bench.parts(), &bench.dest(), &cancel).unwrap_err();
    assert_eq!(error.code(), "freeze.cancelled");
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn colliding_parts_and_bad_destinations_are_refused() {
    let bench = Bench::new();
    let mut parts = bench.parts();
    parts.push(bench.part("ZERO.txt", Kind::File));
    assert_eq!(tree(&parts, &bench.dest(), &()).unwrap_err().code(), "freeze.collisions");
    let error = tree(&bench.parts(), Path::new("/"), &()).unwrap_err();
    assert_eq!(error.code(), "freeze.bad_destination");
    let error = tree(&bench.parts(), &bench.service().join("none/x"), &()).unwrap_err();
    assert_eq!(error.code(), "storage.not_found");
}

#[test]
fn leftovers_of_killed_runs_are_wiped_and_those_of_others_left() {
    let bench = Bench::new();
    let id = "0123456789abcdef0123456789abcdef";
    let ours = bench.service().join(format!(".databridge-freezing-{id}-TRF-00042"));
    fs::create_dir_all(ours.join("shot")).unwrap();
    fs::write(ours.join("shot/half"), b"x").unwrap();
    let other = format!(".databridge-freezing-{id}-x-TRF-00042");
    fs::create_dir(bench.service().join(&other)).unwrap();
    bench.freeze().unwrap();
    let mut names = bench.names();
    names.sort();
    assert_eq!(names, [other.as_str(), "TRF-00042"]);
}

#[test]
fn a_run_that_lost_its_lease_cannot_publish() {
    let bench = Bench::new();
    let slow = Place::of(&bench.dest()).unwrap();
    let building = slow.fresh().unwrap();
    slow.parent.create_dir_all(&building, 0o700).unwrap();
    let frozen = bench.freeze().unwrap();
    let answer = slow.parent.rename_new(&building, &slow.name);
    assert!(matches!(answer, Err(storage::Error::NotFound { .. })), "{answer:?}");
    assert_eq!(changes(&bench.dest(), &frozen.facts).unwrap(), []);
}

#[test]
fn a_run_killed_after_publishing_is_continued() {
    let bench = Bench::new();
    let first = bench.freeze().unwrap();
    assert_eq!(bench.freeze().unwrap(), first);
    // Also when the sources are gone, if it is known what they were.
    let mut parts = bench.parts();
    parts[0].expect = Some((0, Sha256::of(b"")));
    parts[1].expect = Some((5, Sha256::of(b"frame")));
    fs::remove_file(bench.source("zero.txt")).unwrap();
    assert_eq!(tree(&parts, &bench.dest(), &()).unwrap(), first);
}

#[test]
fn what_is_not_provably_the_same_is_never_adopted() {
    type Tamper = fn(&Bench);
    let cases: [Tamper; 7] = [
        |b| b.append("shot/a.1001.exr", b"newer"),
        |b| fs::write(b.at("more"), b"").unwrap(),
        |b| fs::remove_file(b.at("zero.txt")).unwrap(),
        |b| fs::set_permissions(b.at("zero.txt"), Permissions::from_mode(0o640)).unwrap(),
        |b| fs::set_permissions(b.dest(), Permissions::from_mode(0o755)).unwrap(),
        |b| fs::hard_link(b.at("zero.txt"), b.service().join("x")).unwrap(),
        |b| {
            fs::remove_dir_all(b.dest()).unwrap();
            fs::create_dir(b.dest()).unwrap();
        },
    ];
    for (at, tamper) in cases.into_iter().enumerate() {
        let bench = Bench::new();
        bench.freeze().unwrap();
        tamper(&bench);
        assert_eq!(bench.freeze().unwrap_err().code(), "freeze.exists", "case {at}");
        assert!(bench.dest().exists());
    }
    let bench = Bench::new();
    symlink(bench.source(""), bench.dest()).unwrap();
    assert_eq!(bench.freeze().unwrap_err().code(), "freeze.exists");
}

#[test]
fn many_files_are_flushed_at_once_or_one_by_one() {
    let bench = Bench::new();
    let parts: Vec<_> = (0..300)
        .map(|i| {
            fs::write(bench.source(&format!("shot/f.{i}")), i.to_string()).unwrap();
            bench.part(&format!("shot/f.{i}"), Kind::File)
        })
        .collect();
    let frozen = tree(&parts, &bench.dest(), &()).unwrap();
    assert_eq!(frozen.facts.len(), 300);
    assert_eq!(frozen.manifest.check_tree(&bench.dest(), None, &()).unwrap(), []);
}

#[test]
#[ignore = "long: hashes 6 GiB"]
fn a_sparse_file_of_6_gib() {
    let bench = Bench::new();
    File::create(bench.source("sparse")).unwrap().set_len(6 << 30).unwrap();
    bench.append("sparse", b"end");
    let frozen = tree(&[bench.part("sparse", Kind::File)], &bench.dest(), &()).unwrap();
    assert_eq!(frozen.manifest.total_bytes(), (6 << 30) + 3);
    assert!(bench.at("sparse").metadata().unwrap().blocks() * 512 < 1 << 20);
}

#[test]
#[ignore = "long: makes 200,000 files"]
fn a_hundred_thousand_files() {
    let bench = Bench::new();
    let parts: Vec<_> = (0..100_000)
        .map(|i| {
            let name = format!("shot/f.{i:06}.exr");
            fs::write(bench.source(&name), name.as_bytes()).unwrap();
            bench.part(&name, Kind::File)
        })
        .collect();
    let frozen = tree(&parts, &bench.dest(), &()).unwrap();
    assert_eq!(frozen.manifest.file_count(), 100_000);
    assert_eq!(changes(&bench.dest(), &frozen.facts).unwrap(), []);
}
