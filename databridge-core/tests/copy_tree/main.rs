//! The verified copy through its public functions: phases and resumption,
//! fencing, faults of the file system.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adoption;
mod attributes;
#[cfg(feature = "steps")]
mod campaign;
mod faults;
mod fencing;
#[cfg(feature = "steps")]
mod kill;
mod phases;
mod standalone;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use databridge_core::media::copy::{self, Attempt, Error, Plan, Policy, Shape};
use databridge_core::media::manifest::Manifest;
use databridge_core::media::monitor::{Monitor, Progress};
use uuid::Uuid;

/// A source, and a parent folder for the final path.
struct Room {
    dir: tempfile::TempDir,
    id: Uuid,
}

impl Room {
    /// With a tree that has every kind of entry, and sizes around the buffers.
    fn new() -> Self {
        let room = Self::empty();
        let sizes = [0, 1, 4095, 4096, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000];
        for (number, size) in sizes.into_iter().enumerate() {
            room.write(&format!("plates/a/comp.{number:04}.exr"), &content(number, size));
        }
        room.write("note.txt", b"for the client");
        fs::create_dir_all(room.source().join("plates/empty/below")).unwrap();
        room
    }

    fn empty() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir(dir.path().join("source")).unwrap();
        fs::create_dir(dir.path().join("production")).unwrap();
        Self { dir, id: Uuid::now_v7() }
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn destination(&self) -> PathBuf {
        self.dir.path().join("production/TRF-00042")
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn plan(&self, epoch: u64) -> Plan {
        Plan {
            source: self.source(),
            destination: self.destination(),
            shape: Shape::Tree,
            manifest: manifest(&self.source()),
            attempt: Attempt { id: self.id, epoch },
            policy: Policy::default(),
        }
    }

    /// The hidden things beside the final path, of this kind.
    fn hidden(&self, kind: &str) -> Vec<PathBuf> {
        let mut found: Vec<_> = fs::read_dir(self.destination().parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains(&format!("databridge-{kind}")))
            .collect();
        found.sort();
        found
    }

    fn partial(&self) -> PathBuf {
        let found = self.hidden("partial");
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    /// The source stands at the final path, and nothing else in its parent.
    fn assert_delivered(&self) {
        assert_eq!(manifest(&self.destination()), manifest(&self.source()));
        self.assert_only(&["TRF-00042"]);
    }

    fn assert_nothing(&self) {
        self.assert_only(&[]);
    }

    fn assert_invisible(&self) {
        assert!(self.destination().symlink_metadata().is_err());
    }

    fn assert_only(&self, names: &[&str]) {
        let found: Vec<_> = fs::read_dir(self.destination().parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, names);
    }
}

fn content(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ seed) as u8).collect()
}

fn manifest(root: &Path) -> Manifest {
    Manifest::of_tree(root, None, &()).unwrap()
}

/// All phases.
fn deliver(plan: &Plan) -> Result<copy::Published, Error> {
    copy::prepare(plan)?;
    copy::transfer(plan, &())?;
    copy::verify(plan, &())?;
    let published = copy::publish(plan, &())?;
    copy::finish(plan)?;
    Ok(published)
}

/// Does something when the operation has said the `at`-th thing of a kind.
struct When<F> {
    remaining: AtomicUsize,
    is: fn(Progress<'_>) -> bool,
    then: F,
}

impl<F: Fn() + Sync> When<F> {
    fn file(at: usize, then: F) -> Self {
        let is = |progress: Progress<'_>| matches!(progress, Progress::File(_));
        Self { remaining: AtomicUsize::new(at), is, then }
    }
    fn bytes(at: usize, then: F) -> Self {
        let is = |progress: Progress<'_>| matches!(progress, Progress::Bytes(n) if n > 0);
        Self { remaining: AtomicUsize::new(at), is, then }
    }
}

impl<F: Fn() + Sync> Monitor for When<F> {
    fn on(&self, progress: Progress<'_>) {
        let one_less = |n: usize| n.checked_sub(1);
        if (self.is)(progress)
            && self.remaining.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less) == Ok(1)
        {
            (self.then)();
        }
    }
}

/// Cancels after so many files.
struct StopAfter(AtomicUsize);

impl StopAfter {
    fn files(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }
}

impl Monitor for StopAfter {
    fn on(&self, progress: Progress<'_>) {
        if matches!(progress, Progress::File(_)) {
            let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        }
    }
    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}
