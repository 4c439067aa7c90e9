//! Servers that lose the handles of open files (`ESTALE`).

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Once;

use databridge_core::Fault;
use databridge_core::media::copy::{self, Error};
use databridge_core::media::manifest::Manifest;
use databridge_core::media::monitor::{Monitor, Progress};
use databridge_tests::faultfs::{FaultFs, Op};
use databridge_tests::tree::digest_tree;
use rustix::io::Errno;

use super::{Shot, tells};

/// Reads come past the page cache and in small pieces, so that each failing one is the
/// program's own.
fn uncached() -> FaultFs {
    let fs = FaultFs::mount();
    fs.short_reads(1 << 16);
    fs
}

#[test]
fn a_source_whose_handle_went_stale_is_opened_once_more_and_read_on() {
    let shot = Shot::small();
    for (times, borne) in [(1, true), (2, false)] {
        let there = uncached();
        let source = there.path().join("source");
        fs::create_dir_all(source.join("plates")).unwrap();
        for name in ["plates/comp.1001.exr", "notes.txt"] {
            fs::copy(shot.source.path().join(name), source.join(name)).unwrap();
        }
        let to = tempfile::tempdir().unwrap();
        let strike = || {
            // After the first bytes, and again when it is open once more.
            (0..times).for_each(|n| there.fail(Op::Read, "comp.1001.exr", Errno::STALE, 3 + n));
        };
        strike();
        let copied = copy::tree(&source, &to.path().join("to"), &copy::Options::default(), &());
        there.clear_faults();
        there.short_reads(1 << 16);
        strike();
        let hashed = Manifest::of_tree(&source, NonZeroUsize::new(1), &());
        there.clear_faults();
        assert_eq!(there.struck(), 2 * times, "{times}");
        match borne {
            true => {
                copied.unwrap();
                hashed.unwrap();
                assert_eq!(digest_tree(&to.path().join("to")), digest_tree(&source));
            }
            false => {
                let error = copied.unwrap_err();
                assert_eq!(error.code(), "copy.stale_mount", "{error:?}");
                assert!(error.to_string().contains("comp.1001.exr"), "{error}");
                let error = hashed.unwrap_err();
                assert_eq!(error.code(), "storage.stale", "{error:?}");
                assert!(!to.path().join("to").exists());
            }
        }
    }
}

/// Puts another file in the place of one whose first bytes were read, and has the
/// server lose the handle of the old one.
struct Replaces<'a> {
    name: &'a Path,
    fs: &'a FaultFs,
    once: Once,
}

impl Monitor for Replaces<'_> {
    fn on(&self, progress: Progress<'_>) {
        if matches!(progress, Progress::Bytes(_)) {
            self.once.call_once(|| {
                let other = self.name.with_extension("other");
                fs::copy(self.name, &other).unwrap();
                fs::rename(other, self.name).unwrap();
                self.fs.fail(Op::Read, "", Errno::STALE, 1);
            });
        }
    }
}

#[test]
fn a_file_put_in_the_place_of_one_that_went_stale_is_not_read_on() {
    let shot = Shot::small();
    let there = uncached();
    let source = there.path().join("source");
    fs::create_dir(&source).unwrap();
    let name = source.join("comp.1001.exr");
    fs::copy(shot.source.path().join("plates/comp.1001.exr"), &name).unwrap();
    let to = tempfile::tempdir().unwrap();
    let monitor = Replaces { name: &name, fs: &there, once: Once::new() };
    let error = copy::tree(&source, &to.path().join("to"), &copy::Options::default(), &monitor);
    assert_eq!(there.struck(), 1);
    assert!(matches!(error, Err(Error::SourceChanged { .. })), "{error:?}");
    assert!(!to.path().join("to").exists());
}

#[test]
fn a_copy_whose_handle_went_stale_is_opened_once_more_and_read_back() {
    let shot = Shot::small();
    for (path, times, borne) in
        [("comp.1001.exr", 1, true), ("comp.1002.exr", 1, true), ("comp.1001.exr", 2, false)]
    {
        let fs = FaultFs::mount();
        fs.short_reads(1 << 12);
        let plan = shot.plan(&fs, 1);
        copy::prepare(&plan).unwrap();
        copy::transfer(&plan, &()).unwrap();
        for nth in 0..times {
            fs.fail(Op::Read, path, Errno::STALE, 1 + nth);
        }
        let verified = copy::verify(&plan, &());
        assert_eq!(fs.struck(), times, "{path}");
        match borne {
            true => assert_eq!(verified.unwrap().files, 4),
            false => {
                let error = verified.unwrap_err();
                assert!(tells(&error, Errno::STALE), "{error:?}");
                assert!(error.to_string().contains(path), "{error}");
            }
        }
        fs.clear_faults();
        shot.deliver_at_last(&fs, 2, path);
    }
}
