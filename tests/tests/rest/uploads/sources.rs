//! Files that are not as they were when they were announced.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use databridge_core::base::error::ErrorKind;
use databridge_core::media::monitor::{Monitor, Progress};
use databridge_core::remote::Remote;

use super::{Tus, noise};
use crate::desk::{Desk, Kind};

/// Cuts a file short as soon as some of it is on its way.
struct Cuts(File, AtomicBool);

/// Writes over the beginning of a file as soon as some of it is on its way.
struct Overwrites(File, AtomicBool);

impl Monitor for Overwrites {
    fn on(&self, progress: Progress<'_>) {
        if matches!(progress, Progress::Bytes(_)) && !self.1.swap(true, Ordering::SeqCst) {
            self.0.write_all_at(b"other", 0).unwrap();
        }
    }
}

impl Monitor for Cuts {
    fn on(&self, progress: Progress<'_>) {
        if matches!(progress, Progress::Bytes(_)) && !self.1.swap(true, Ordering::SeqCst) {
            self.0.set_len(1 << 20).unwrap();
        }
    }
}

#[test]
fn a_source_that_is_written_to_meanwhile_is_told() {
    let desk = Desk::open(Kind::Sqlite);
    let tus = Tus::new(&desk);
    let folder = tempfile::tempdir().unwrap();
    let address = format!("http://{}", desk.address());
    let remote = Remote::new(&address, Some(desk.people.token("artist").to_owned()));
    // In one piece, and in several.
    for length in [1 << 20, 24 << 20] {
        let path = folder.path().join(format!("{length}.exr"));
        std::fs::write(&path, noise(length, 4)).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        // So long ago that the clock of the file system has gone on since.
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let writes = Overwrites(file, AtomicBool::new(false));
        let error = remote.add(&tus.code, &path, &writes).unwrap_err();
        assert_eq!(error.code(), "remote.changed", "{length}: {error:?}");
        assert!(tus.files().is_empty(), "{length}");
    }
}

#[test]
fn a_source_that_became_shorter_is_said_to_have() {
    let desk = Desk::open(Kind::Sqlite);
    let tus = Tus::new(&desk);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shot.mov");
    std::fs::write(&path, noise(24 << 20, 3)).unwrap();
    let address = format!("http://{}", desk.address());
    let remote = Remote::new(&address, Some(desk.people.token("artist").to_owned()));
    let cuts = Cuts(File::options().write(true).open(&path).unwrap(), AtomicBool::new(false));
    let error = remote.add(&tus.code, &path, &cuts).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("remote.changed", ErrorKind::Conflict), "{error:?}");
    assert!(error.to_string().contains("shot.mov"), "{error}");
    assert!(tus.files().is_empty());
}
