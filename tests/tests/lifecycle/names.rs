//! What is not admitted is named, and then nothing of it is added.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Mutex;

use databridge_core::base::error::ErrorKind;
use databridge_core::media::monitor::{Monitor, Progress};
use databridge_core::media::storage::RelPath;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::json;

use crate::lab::{Kind, Lab, names, text};

on_both!(
    what_cannot_be_admitted_is_named_and_nothing_is_added,
    names_that_collide_with_what_is_there_are_named,
    a_hard_link_is_a_file_of_its_own,
    nothing_cannot_be_submitted,
    an_open_descriptor_changes_nothing_after_submit,
    a_file_that_grows_while_it_is_read_is_named,
    a_file_that_vanished_from_staging_is_named,
);

type Make = fn(&Path);

/// How to make the thing, and what the error must say of it.
const BAD: [(Make, &str); 14] = [
    (|d| symlink("/etc/hostname", d.join("outside")).unwrap(), "outside"),
    (|d| symlink("good.exr", d.join("inside")).unwrap(), "inside"),
    (|d| symlink("..", d.join("folder-link")).unwrap(), "folder-link"),
    (|d| symlink("nowhere", d.join("dangling")).unwrap(), "dangling"),
    (|d| fifo(&d.join("pipe")), "pipe"),
    (|d| drop(UnixListener::bind(d.join("sock")).unwrap()), "sock"),
    (|d| put(d, b"bad\xff.exr"), "bad"),
    (|d| put(d, b"two\nlines.exr"), "lines.exr"),
    (|d| put(d, b"bell\x07.exr"), "bell"),
    (|d| put(d, "csi\u{9b}.exr".as_bytes()), "csi"),
    (|d| long(d), "deep"),
    (|d| put2(d, "Case.exr", "case.exr"), "Case.exr"),
    (|d| put2(d, "n\u{e9}.exr", "ne\u{301}.exr"), "collides"),
    (|d| put2(d, "Stra\u{df}e.exr", "STRASSE.exr"), "collides"),
];

fn put(dir: &Path, name: &[u8]) {
    std::fs::write(dir.join(OsStr::from_bytes(name)), "x").unwrap();
}

fn put2(dir: &Path, one: &str, two: &str) {
    put(dir, one.as_bytes());
    put(dir, two.as_bytes());
}

fn fifo(path: &Path) {
    databridge_tests::process::run(std::process::Command::new("mkfifo").arg(path));
}

fn device(path: &Path) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, makedev(1, 3)).unwrap();
}

/// Legal on this file system name by name, and longer than can be delivered.
fn long(dir: &Path) {
    let mut path = dir.join("deep");
    for _ in 0..12 {
        path.push("d".repeat(120));
    }
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("x.exr"), "x").unwrap();
}

/// The transfer is as it was, and no byte stays in the uploads.
async fn untouched(lab: &Lab, code: &str, before: &serde_json::Value) {
    let after = lab.show(code).await;
    assert_eq!(after["version"], before["version"]);
    assert_eq!(lab.files(code).await.len(), 1);
    assert_eq!(names(&lab.app.config().places().uploads()), Vec::<String>::new());
}

async fn what_cannot_be_admitted_is_named_and_nothing_is_added(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    lab.add(&code, &[("there.exr", b"there")]).await;
    let before = lab.show(&code).await;
    // Only root can make one.
    let device: (Make, &str) = (|d| device(&d.join("null")), "null");
    let root = rustix::process::geteuid().is_root();
    for (make, named) in BAD.into_iter().chain(root.then_some(device)) {
        let source = lab.tree(&[("good.exr", b"good"), ("sub/also.exr", b"good")]);
        make(&source);
        let error = lab.try_add("artist", &code, &source).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{named}: {error:?}");
        assert!(error.chain().contains(named), "{named}: {error:?}");
        assert!(!error.chain().contains('\n') && !error.chain().contains('\u{7}'), "{error:?}");
        untouched(&lab, &code, &before).await;
    }
    // A link itself is not followed either, nor a file that is none.
    let source = lab.tree(&[("good.exr", b"good")]);
    symlink("good.exr", source.join("link")).unwrap();
    fifo(&source.join("pipe"));
    for name in ["link", "pipe"] {
        let error = lab.try_add("artist", &code, &source.join(name)).await.unwrap_err();
        assert!(error.chain().contains(name), "{error:?}");
        untouched(&lab, &code, &before).await;
    }
    // All of them at once are all named.
    let source = lab.tree(&[("good.exr", b"good")]);
    symlink("good.exr", source.join("link")).unwrap();
    fifo(&source.join("pipe"));
    put(&source, b"bell\x07.exr");
    let error = lab.try_add("artist", &code, &source).await.unwrap_err();
    for named in ["link", "pipe", "bell"] {
        assert!(error.chain().contains(named), "{error:?}");
    }
    untouched(&lab, &code, &before).await;
    // A name of 300 bytes cannot stand on a disk, but can be asked for.
    for name in [&"n".repeat(300), "../x", "/x", "a/../../x", "a//b", "nul\0", "."] {
        assert!(RelPath::parse(name).is_err(), "{name:?}");
    }
}

async fn names_that_collide_with_what_is_there_are_named(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    lab.add(&code, &[("Plate.exr", b"there")]).await;
    let before = lab.show(&code).await;
    let source = lab.tree(&[("fine.exr", b"x"), ("plate.EXR", b"x")]);
    let error = lab.try_add("artist", &code, &source).await.unwrap_err();
    assert_eq!(error.code(), "transfer.collision");
    assert!(error.to_string().contains("plate.EXR") && error.to_string().contains("Plate.exr"));
    untouched(&lab, &code, &before).await;
    // A file where a folder is, and the other way round, cannot be either.
    for (first, second) in [("x", "x/y"), ("z/y", "z")] {
        let code = lab.create().await;
        lab.add(&code, &[(first, b"1")]).await;
        let source = lab.tree(&[(second, b"2")]);
        let error = match lab.try_add("artist", &code, &source).await {
            Err(error) => error.chain(),
            Ok(_) => {
                assert_eq!(lab.submit(&code).await, "submit_failed", "{first} {second}");
                text(&lab.show(&code).await["failure"], "message")
            }
        };
        assert!(error.contains('x') || error.contains('z'), "{error}");
    }
}

async fn a_hard_link_is_a_file_of_its_own(kind: Kind) {
    let lab = Lab::open(kind).await;
    let source = lab.tree(&[("one.exr", b"same")]);
    std::fs::hard_link(source.join("one.exr"), source.join("two.exr")).unwrap();
    let code = lab.create().await;
    lab.try_add("artist", &code, &source).await.unwrap();
    lab.submit(&code).await;
    // What is written to the source now reaches neither.
    std::fs::write(source.join("one.exr"), "else").unwrap();
    lab.approve_all(&code).await;
    lab.scan_and_accept(&code).await;
    lab.deliver(&code).await;
    let payload = lab.destination(&code).await;
    for name in ["one.exr", "two.exr"] {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::read(payload.join(name)).unwrap(), b"same");
        assert_eq!(std::fs::metadata(payload.join(name)).unwrap().nlink(), 1);
    }
}

async fn nothing_cannot_be_submitted(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    let error = lab.refused("artist", "transfer_submit", json!({ "code": code })).await;
    assert_eq!(error.kind(), ErrorKind::IllegalState);
    lab.add(&code, &[("a.exr", b"a")]).await;
    lab.ok("artist", "transfer_remove_file", json!({ "code": code, "path": "a.exr" })).await;
    let error = lab.refused("artist", "transfer_submit", json!({ "code": code })).await;
    assert_eq!(error.code(), "workflow.guard");
    assert!(error.to_string().contains("it has files"), "{error}");
    let no = json!({ "code": code, "path": "a.exr" });
    assert_eq!(lab.refused("artist", "transfer_remove_file", no).await.code(), "transfer.no_file");
}

async fn an_open_descriptor_changes_nothing_after_submit(kind: Kind) {
    let lab = Lab::open(kind).await;
    let source = lab.tree(&[("a.exr", b"honest")]);
    let open = |path: &Path| std::fs::File::options().append(true).open(path).unwrap();
    let mut theirs = open(&source.join("a.exr"));
    let code = lab.create().await;
    lab.try_add("artist", &code, &source).await.unwrap();
    // Even one into the uploads, which only the service's own user could get.
    let incoming = lab.app.config().places().incoming(&code, 1);
    let mut ours = open(&incoming.join(&names(&incoming)[0]));
    lab.submit(&code).await;
    for file in [&mut theirs, &mut ours] {
        file.write_all(b"evil").unwrap();
        file.sync_all().unwrap();
    }
    lab.approve_all(&code).await;
    lab.scan_and_accept(&code).await;
    lab.deliver(&code).await;
    let payload = lab.destination(&code).await;
    assert_eq!(std::fs::read(payload.join("a.exr")).unwrap(), b"honest");
}

/// Writes on while a file is read.
struct Growing(Mutex<std::fs::File>);

impl Monitor for Growing {
    fn on(&self, progress: Progress<'_>) {
        if let Progress::Bytes(_) = progress {
            // So far and no further, or the reading would never end.
            let mut file = self.0.lock().unwrap();
            if file.metadata().unwrap().len() < 100 {
                file.write_all(b"more").unwrap();
            }
        }
    }
}

async fn a_file_that_grows_while_it_is_read_is_named(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    let source = lab.tree(&[("a.exr", b"a"), ("sub/render.exr", b"not yet done")]);
    let growing = source.join("sub/render.exr");
    let file = std::fs::File::options().append(true).open(&growing).unwrap();
    for path in [&source, &growing] {
        let monitor = Growing(Mutex::new(file.try_clone().unwrap()));
        file.set_len(12).unwrap();
        let error = lab.app.add(lab.who("artist"), &code, path, monitor).await.unwrap_err();
        assert!(error.chain().contains("render.exr"), "{error:?}");
        assert_eq!(lab.show(&code).await["state"], "draft");
        assert_eq!(names(&lab.app.config().places().uploads()), Vec::<String>::new());
    }
}

async fn a_file_that_vanished_from_staging_is_named(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    lab.add(&code, &[("a.exr", b"a")]).await;
    let incoming = lab.app.config().places().incoming(&code, 1);
    let blob = incoming.join(&names(&incoming)[0]);
    // Not what was uploaded: its bytes are others.
    std::fs::write(&blob, "b").unwrap();
    assert_eq!(lab.submit(&code).await, "submit_failed");
    let failure = lab.show(&code).await["failure"].clone();
    assert!(text(&failure, "message").contains("a.exr"), "{failure}");
    std::fs::write(&blob, "a").unwrap();
    lab.act("artist", "retry", &code).await;
    assert_eq!(lab.settle(&code).await, "team_lead_review");
}
