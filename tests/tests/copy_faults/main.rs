//! The verified copy on a file system that fails: at every call, in every way a
//! studio's storage does, and with the power gone before any one change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod stale;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use databridge_core::media::copy::{
    self, Attempt, Error, Plan, Policy, Published, ReadBack, RenameMethod, Shape, Worth,
};
use databridge_core::media::manifest::Manifest;
use databridge_tests::faultfs::{FaultFs, Loss, Op};
use databridge_tests::tree::{Listing, Random, digest_tree, write_media};
use rustix::io::Errno;
use tempfile::TempDir;

/// A shot to deliver, and what it must look like there.
struct Shot {
    source: TempDir,
    listing: Listing,
    manifest: Manifest,
    shape: Shape,
}

impl Shot {
    /// Files in two folders, one over several writes, an empty file, an empty
    /// folder: every kind of thing that is flushed, in few calls.
    fn small() -> Self {
        let source = tempfile::tempdir().unwrap();
        let mut random = Random::new(11);
        fs::create_dir_all(source.path().join("plates/empty")).unwrap();
        for (name, size) in [
            ("plates/comp.1001.exr", 2_500_000),
            ("plates/comp.1002.exr", 4097),
            ("notes.txt", 12),
            ("zero", 0),
        ] {
            fs::write(source.path().join(name), random.bytes(size)).unwrap();
        }
        Self::of(source)
    }

    fn media() -> Self {
        let source = tempfile::tempdir().unwrap();
        write_media(source.path(), 4);
        Self::of(source)
    }

    /// One file, to be copied as a file.
    fn file() -> Self {
        let source = tempfile::tempdir().unwrap();
        fs::write(source.path().join("TRF-00042"), Random::new(12).bytes(2_500_000)).unwrap();
        Self { shape: Shape::File, ..Self::of(source) }
    }

    fn of(source: TempDir) -> Self {
        let listing = digest_tree(source.path());
        let manifest = Manifest::of_tree(source.path(), NonZeroUsize::new(1), &()).unwrap();
        Self { source, listing, manifest, shape: Shape::Tree }
    }

    /// One file at a time, so that calls come in the same order each time.
    fn plan(&self, fs: &FaultFs, epoch: u64) -> Plan {
        let source = match self.shape {
            Shape::Tree => self.source.path().to_owned(),
            Shape::File => self.source.path().join("TRF-00042"),
        };
        Plan {
            source,
            destination: destination(fs),
            shape: self.shape,
            manifest: self.manifest.clone(),
            attempt: Attempt { id: "018f0000-0000-7000-8000-000000000042".parse().unwrap(), epoch },
            policy: Policy { jobs: NonZeroUsize::new(1), ..Policy::default() },
        }
    }

    fn deliver(&self, fs: &FaultFs, epoch: u64) -> Result<(ReadBack, Published), Error> {
        let plan = self.plan(fs, epoch);
        copy::prepare(&plan)?;
        copy::transfer(&plan, &())?;
        let read_back = copy::verify(&plan, &())?;
        Ok((read_back, copy::publish(&plan, &())?))
    }

    /// Delivers without faults, clears up, and finds exactly the shot.
    fn deliver_at_last(&self, fs: &FaultFs, epoch: u64, context: &str) {
        self.deliver(fs, epoch).unwrap_or_else(|error| panic!("{context}: retry: {error:?}"));
        copy::finish(&self.plan(fs, epoch)).unwrap();
        self.assert_stands_alone(fs, context);
    }

    fn assert_stands_alone(&self, fs: &FaultFs, context: &str) {
        self.assert_whole(fs, context);
        let beside: Vec<_> = names(destination(fs).parent().unwrap());
        assert_eq!(beside, ["TRF-00042"], "{context}");
    }

    /// Whatever happens, the final path shows all of the shot or does not exist.
    fn assert_absent_or_whole(&self, fs: &FaultFs, context: &str) {
        if destination(fs).symlink_metadata().is_ok() {
            self.assert_whole(fs, context);
        }
    }

    fn assert_whole(&self, fs: &FaultFs, context: &str) {
        let found = match self.shape {
            Shape::Tree => digest_tree(&destination(fs)),
            Shape::File => {
                let mut parent = digest_tree(destination(fs).parent().unwrap());
                parent.retain(|name, _| name == "TRF-00042");
                parent
            }
        };
        assert_eq!(found, self.listing, "{context}");
    }
}

fn destination(fs: &FaultFs) -> PathBuf {
    fs.path().join("show/TRF-00042")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Nothing stands there that does not begin with a dot.
fn assert_nothing_visible(fs: &FaultFs, context: &str) {
    let shown: Vec<_> =
        names(&fs.path().join("show")).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert!(shown.is_empty(), "{context}: {shown:?}");
}

#[test]
fn a_delivery_without_faults_is_whole_and_survives_a_power_cut() {
    let (mut fs, shot) = (FaultFs::mount(), Shot::media());
    let (read_back, published) = shot.deliver(&fs, 1).unwrap();
    assert_eq!(read_back.worth, Worth::Server);
    assert_eq!(published.rename, RenameMethod::NoReplace);
    fs.power_cut(Loss::Everything);
    assert_eq!(digest_tree(&destination(&fs)), shot.listing);
    copy::finish(&shot.plan(&fs, 1)).unwrap();
    shot.assert_stands_alone(&fs, "no fault");
}

#[test]
fn where_rename_flags_are_refused_it_delivers_and_says_so() {
    let (fs, shot) = (FaultFs::mount(), Shot::small());
    fs.refuse_rename_flags();
    let (_, published) = shot.deliver(&fs, 1).unwrap();
    assert_eq!(published.rename, RenameMethod::Checked);
    assert_eq!(digest_tree(&destination(&fs)), shot.listing);
}

#[test]
fn where_rename_flags_are_refused_it_still_replaces_nothing() {
    let (fs, shot) = (FaultFs::mount(), Shot::small());
    fs.refuse_rename_flags();
    let plan = shot.plan(&fs, 1);
    copy::prepare(&plan).unwrap();
    copy::transfer(&plan, &()).unwrap();
    copy::verify(&plan, &()).unwrap();
    // Even an empty folder, which a plain rename would silently replace.
    fs::create_dir(destination(&fs)).unwrap();
    let refused = copy::publish(&plan, &()).unwrap_err();
    assert!(matches!(refused, Error::DestinationExists { .. }), "{refused:?}");
    assert!(names(&destination(&fs)).is_empty());
}

#[test]
fn a_flipped_byte_is_never_delivered() {
    let shot = Shot::small();
    let cases = [
        ("plates/comp.1001.exr", 0),
        ("plates/comp.1001.exr", 1_048_576),
        ("plates/comp.1001.exr", 2_499_999),
        ("plates/comp.1002.exr", 4096),
        ("notes.txt", 11),
    ];
    for direct in [true, false] {
        for (path, offset) in cases {
            let context = format!("{path} at {offset}, direct I/O {direct}");
            let fs = FaultFs::mount();
            fs.flip_byte(path, offset);
            if !direct {
                fs.refuse_direct_io();
            }
            let error = shot.deliver(&fs, 1).expect_err(&context);
            assert_eq!(fs.flipped(), 1, "{context}");
            let Error::ReadBackMismatch { path: named, others: 0 } = &error else {
                panic!("{context}: {error:?}");
            };
            assert_eq!(named, path);
            assert_nothing_visible(&fs, &context);
            shot.deliver_at_last(&fs, 2, &context);
        }
    }
}

#[test]
fn short_writes_are_finished() {
    let (fs, shot) = (FaultFs::mount(), Shot::media());
    fs.short_writes(4096 * 3);
    shot.deliver_at_last(&fs, 1, "short writes");
}

#[test]
fn a_disk_too_small_is_refused_before_anything_is_written() {
    let (fs, shot) = (FaultFs::mount(), Shot::small());
    fs.capacity_bytes(1 << 20);
    let error = shot.deliver(&fs, 1).unwrap_err();
    assert!(matches!(error, Error::NoSpace { needed_bytes: Some(_), .. }), "{error:?}");
    assert_nothing_visible(&fs, "too small");
    fs.clear_faults();
    shot.deliver_at_last(&fs, 2, "too small");
}

#[test]
fn a_disk_that_others_fill_meanwhile_is_its_own_error_and_it_resumes() {
    let (fs, shot) = (FaultFs::mount(), Shot::small());
    let plan = shot.plan(&fs, 1);
    copy::prepare(&plan).unwrap();
    fs.capacity_bytes(1 << 20);
    let error = copy::transfer(&plan, &()).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
    assert_nothing_visible(&fs, "filled");
    fs.clear_faults();
    shot.deliver_at_last(&fs, 2, "filled");
}

/// Whether an error says what the operating system said.
fn tells(error: &Error, errno: Errno) -> bool {
    match errno {
        Errno::NOSPC => matches!(error, Error::NoSpace { .. }),
        Errno::IO | Errno::STALE => matches!(error, Error::StaleMount { .. }),
        Errno::ACCESS => matches!(error, Error::Permission { .. }),
        _ => false,
    }
}

#[test]
fn a_failed_publishing_rename_leaves_nothing_and_a_retry_delivers() {
    let shot = Shot::small();
    for errno in [Errno::NOSPC, Errno::IO, Errno::STALE, Errno::ACCESS] {
        let (fs, context) = (FaultFs::mount(), format!("{errno:?}"));
        let plan = shot.plan(&fs, 1);
        copy::prepare(&plan).unwrap();
        copy::transfer(&plan, &()).unwrap();
        copy::verify(&plan, &()).unwrap();
        fs.fail(Op::Rename, "", errno, 1);
        let error = copy::publish(&plan, &()).unwrap_err();
        assert!(tells(&error, errno), "{error:?}");
        assert_nothing_visible(&fs, &context);
        // The same worker may simply try again.
        copy::publish(&plan, &()).unwrap();
        copy::finish(&plan).unwrap();
        shot.assert_stands_alone(&fs, &context);
    }
}

/// The changes of a whole delivery: how many there are, and how many come before
/// the rename that publishes.
fn moments(shot: &Shot) -> (u64, u64) {
    let fs = FaultFs::mount();
    shot.deliver(&fs, 1).unwrap();
    copy::finish(&shot.plan(&fs, 1)).unwrap();
    let changes: Vec<_> = fs.calls().into_iter().filter(|call| call.op.changes()).collect();
    let publishing = changes.iter().rposition(|call| call.op == Op::Rename).unwrap();
    (changes.len() as u64, publishing as u64)
}

/// Delivers with the power failing after `cut` of `changes`, and again after it
/// has come back.
fn cut_power(shot: &Shot, cut: u64, changes: u64, loss: Loss) {
    let context = format!("power cut after {cut} of {changes} changes, {loss:?}");
    let mut fs = FaultFs::mount();
    fs.cut_power_after(cut);
    let told = shot.deliver(&fs, 1).is_ok();
    let finished = told && copy::finish(&shot.plan(&fs, 1)).is_ok();
    assert_eq!(fs.is_dead(), cut < changes, "{context}");
    assert_eq!(finished, cut == changes, "{context}");
    fs.power_cut(loss);
    shot.assert_absent_or_whole(&fs, &context);
    if told {
        assert!(destination(&fs).exists(), "{context}: a told success is lost");
        copy::finish(&shot.plan(&fs, 1)).unwrap();
        shot.assert_stands_alone(&fs, &context);
    } else {
        shot.deliver_at_last(&fs, 2, &context);
    }
}

fn cut_everywhere(shot: &Shot, loss: impl Fn(u64) -> Loss) {
    let (changes, _) = moments(shot);
    println!("{changes} moments");
    for cut in 0..=changes {
        cut_power(shot, cut, changes, loss(cut));
    }
}

#[test]
fn a_power_cut_before_any_change_leaves_all_or_nothing() {
    cut_everywhere(&Shot::small(), |_| Loss::Everything);
}

#[test]
fn a_power_cut_that_keeps_some_of_the_latest_changes_leaves_all_or_nothing() {
    cut_everywhere(&Shot::small(), Loss::Seeded);
}

#[test]
fn a_power_cut_around_the_publishing_rename_leaves_all_or_nothing() {
    for shot in [Shot::small(), Shot::file()] {
        let (changes, publishing) = moments(&shot);
        for cut in publishing - 2..=publishing + 2 {
            for seed in 0..12 {
                cut_power(&shot, cut, changes, Loss::Seeded(seed));
            }
        }
    }
}

#[test]
fn a_single_file_is_there_whole_or_not_at_all_after_a_power_cut() {
    cut_everywhere(&Shot::file(), |_| Loss::Everything);
    cut_everywhere(&Shot::file(), Loss::Seeded);
}

#[test]
#[ignore = "long: a minute"]
fn a_power_cut_leaves_all_or_nothing_whatever_the_disk_kept() {
    for campaign in 1..=20 {
        let loss = |cut| Loss::Seeded(campaign * 1_000_000 + cut);
        cut_everywhere(&Shot::small(), loss);
        cut_everywhere(&Shot::file(), loss);
    }
}

#[test]
fn a_retry_that_is_cut_off_too_can_be_retried() {
    let shot = Shot::small();
    for (first, second) in [(10, 5), (20, 12), (30, 30), (40, 9)] {
        let context = format!("cut after {first}, then after {second}");
        let mut fs = FaultFs::mount();
        for (epoch, cut) in [(1, first), (2, second)] {
            fs.cut_power_after(cut);
            let _ = shot.deliver(&fs, epoch);
            fs.power_cut(Loss::Seeded(first * 100 + second));
            shot.assert_absent_or_whole(&fs, &context);
        }
        shot.deliver_at_last(&fs, 3, &context);
    }
}

#[test]
fn what_was_published_before_the_power_failed_is_adopted() {
    let shot = Shot::small();
    let mut fs = FaultFs::mount();
    let plan = shot.plan(&fs, 1);
    copy::prepare(&plan).unwrap();
    copy::transfer(&plan, &()).unwrap();
    copy::verify(&plan, &()).unwrap();
    // The rename happens, its flush does not.
    fs.fail(Op::FsyncDir, "show", Errno::IO, folders_flushed_by_publishing(&shot));
    let told = copy::publish(&plan, &());
    assert!(told.is_err(), "{told:?}");
    assert_eq!(digest_tree(&destination(&fs)), shot.listing);
    fs.flush_all();
    fs.power_cut(Loss::Everything);
    let plan = shot.plan(&fs, 2);
    assert!(copy::prepare(&plan).unwrap().adopting);
    copy::transfer(&plan, &()).unwrap();
    copy::verify(&plan, &()).unwrap();
    assert!(copy::publish(&plan, &()).unwrap().adopted);
    copy::finish(&plan).unwrap();
    shot.assert_stands_alone(&fs, "adopted");
}

/// How many folders publishing flushes, the last of them the final path's own.
fn folders_flushed_by_publishing(shot: &Shot) -> u64 {
    let fs = FaultFs::mount();
    let plan = shot.plan(&fs, 1);
    copy::prepare(&plan).unwrap();
    copy::transfer(&plan, &()).unwrap();
    copy::verify(&plan, &()).unwrap();
    let before = fs.count(Op::FsyncDir);
    copy::publish(&plan, &()).unwrap();
    fs.count(Op::FsyncDir) - before
}
