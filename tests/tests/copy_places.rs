//! The verified copy where a studio has it: disks that run full, file systems of
//! several kinds, mounts that go away, two copies at once. What arrived is looked at
//! by programs that share nothing with ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use databridge_core::Fault;
use databridge_core::media::copy::{
    self, Attempt, Error, Namespace, Options, Plan, Policy, RenameMethod, Report, Shape, Worth,
    Xattrs,
};
use databridge_core::media::manifest::Manifest;
use databridge_core::media::monitor::{Monitor, Progress};
use databridge_tests::faultfs::{FaultFs, Loss, Op};
use databridge_tests::mounts::{self, Mounted, require_root};
use databridge_tests::process::{find_program, run};
use databridge_tests::tree::{Random, digest_tree, write_media};
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use tempfile::TempDir;

/// A shot of media of every kind.
fn media(seed: u64) -> TempDir {
    let source = tempfile::tempdir().unwrap();
    write_media(source.path(), seed);
    source
}

fn plan(source: &Path, destination: &Path, epoch: u64) -> Plan {
    Plan {
        source: source.to_owned(),
        destination: destination.to_owned(),
        shape: Shape::Tree,
        manifest: Manifest::of_tree(source, NonZeroUsize::new(1), &()).unwrap(),
        attempt: Attempt { id: "018f0000-0000-7000-8000-000000000042".parse().unwrap(), epoch },
        policy: Policy { jobs: NonZeroUsize::new(1), ..Policy::default() },
    }
}

fn deliver(plan: &Plan, monitor: &dyn Monitor) -> Result<(), Error> {
    copy::prepare(plan)?;
    copy::transfer(plan, monitor)?;
    copy::verify(plan, monitor)?;
    copy::publish(plan, monitor)?;
    copy::finish(plan)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn shown(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| !name.starts_with('.')).collect()
}

/// The fault file system takes no extended attributes, as many a network mount.
#[test]
fn an_attribute_that_is_not_taken_fails_by_name_or_is_reported() {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("a")).unwrap();
    fs::write(source.path().join("a/shot.exr"), b"pixels").unwrap();
    for path in ["a", "a/shot.exr"] {
        let path = source.path().join(path);
        rustix::fs::setxattr(path, "user.shot", b"010", XattrFlags::empty()).unwrap();
    }
    let fs = FaultFs::mount();
    let destination = fs.path().join("TRF-00042");
    let mut options = Options::default();
    let copy = |options: &Options| copy::tree(source.path(), &destination, options, &());
    options.policy.xattrs = Xattrs { namespaces: vec![Namespace::User], ..Xattrs::default() };
    let error = copy(&options).unwrap_err();
    assert_eq!(error.code(), "copy.attribute", "{error:?}");
    assert!(error.to_string().contains("shot.exr") && error.to_string().contains("user.shot"));
    assert!(shown(fs.path()).is_empty());
    options.policy.xattrs.tolerate = true;
    let lost = copy(&options).unwrap().transferred.lost_attributes;
    assert_eq!(lost.count, 2);
    let named = |end: &str| lost.named.iter().any(|name| name.ends_with(end));
    assert!(named("/a: user.shot") && named("/a/shot.exr: user.shot"), "{lost:?}");
    assert_eq!(digest_tree(&destination), digest_tree(source.path()));
}

/// What others say of a copy: coreutils, rsync, diffutils.
fn witnessed(source: &Path, copy: &Path) {
    let rsync = find_program("rsync", &[], "on Debian `apt-get install rsync`");
    let with_slash = |path: &Path| format!("{}/", path.display());
    let told = run(Command::new(rsync)
        .args(["-rtnc", "--delete", "--itemize-changes", "--omit-dir-times"])
        .args([with_slash(source), with_slash(copy)]));
    assert_eq!(told, "", "rsync finds differences");
    run(Command::new("diff").arg("-r").args([source, copy]));
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("SHA256SUMS");
    let sums = "find . -type f -print0 | xargs -0 sha256sum > \"$1\"";
    run(Command::new("sh").args(["-c", sums, "sh"]).arg(&list).current_dir(source));
    run(Command::new("sha256sum").args(["--strict", "--quiet", "-c"]).arg(&list).current_dir(copy));
}

fn copied(source: &Path, destination: &Path) -> Report {
    let report = copy::tree(source, destination, &Options::default(), &()).unwrap();
    witnessed(source, destination);
    assert_eq!(names(destination.parent().unwrap()).len(), 1, "nothing is left beside it");
    report
}

#[test]
fn at_every_megabyte_a_full_disk_is_told_shows_nothing_and_can_be_resumed() {
    if !require_root("at_every_megabyte_a_full_disk") {
        return;
    }
    const MIB: u64 = 1 << 20;
    let source = tempfile::tempdir().unwrap();
    let mut random = Random::new(3);
    for (name, size) in [("a/large.mov", 3 << 20), ("a/b/plate.exr", 2 << 20), ("c.exr", MIB + 1)] {
        let path = source.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, random.bytes(usize::try_from(size).unwrap())).unwrap();
    }
    for n in 0..200 {
        fs::write(source.path().join(format!("a/small.{n:03}")), random.bytes(3000)).unwrap();
    }
    let (mut early, mut late) = (0, 0);
    for free in 0..=8 {
        // Too small from the beginning.
        let disk = mounts::tmpfs((free + 1) * MIB);
        let destination = disk.path().join("TRF-00042");
        let first = plan(source.path(), &destination, 1);
        if let Err(error) = copy::prepare(&first) {
            assert_eq!(error.code(), "copy.no_space", "{error:?}");
            assert!(names(disk.path()).is_empty(), "{:?}", names(disk.path()));
            early += 1;
        }
        // Filled by somebody else after it was looked at.
        let disk = mounts::tmpfs(20 * MIB);
        let destination = disk.path().join("TRF-00042");
        let first = plan(source.path(), &destination, 1);
        copy::prepare(&first).unwrap();
        let filler = disk.path().join(".filler");
        fs::write(&filler, vec![1; usize::try_from((19 - free) * MIB).unwrap()]).unwrap();
        match copy::transfer(&first, &()) {
            Ok(_) => assert!(free >= 6, "{free} MB were enough"),
            Err(error) => {
                assert_eq!(error.code(), "copy.no_space", "{free} MB: {error:?}");
                assert!(error.hint().unwrap().contains("resumes"));
                late += 1;
            }
        }
        assert!(shown(disk.path()).is_empty());
        fs::remove_file(&filler).unwrap();
        deliver(&plan(source.path(), &destination, 2), &()).unwrap();
        assert_eq!(digest_tree(&destination), digest_tree(source.path()), "{free} MB");
        assert_eq!(names(disk.path()), ["TRF-00042"]);
    }
    assert!(early >= 6 && late >= 6, "{early} early, {late} late");
}

#[test]
fn what_is_written_to_another_file_system_is_the_same_to_everybody() {
    let source = media(1);
    if require_root("what_is_written_to_another_file_system") {
        let memory = mounts::tmpfs(32 << 20);
        let report = copied(source.path(), &memory.path().join("show/TRF-00042"));
        assert_eq!(report.read_back.worth, Worth::Memory);
    }
    let fuse = FaultFs::mount();
    let report = copied(source.path(), &fuse.path().join("show/TRF-00042"));
    assert_eq!(report.read_back.worth, Worth::Server);
}

/// Whether filefrag, which asks the file system (FIEMAP), calls every extent shared.
fn shares_extents(file: &Path) -> bool {
    let filefrag = find_program("filefrag", &[], "on Debian `apt-get install e2fsprogs`");
    let told = run(Command::new(filefrag).arg("-v").arg(file));
    let extents: Vec<_> =
        told.lines().filter(|line| line.matches("..").count() >= 2 && line.contains(':')).collect();
    assert!(!extents.is_empty(), "{told}");
    extents.iter().all(|extent| extent.contains("shared"))
}

/// A copy beside its source shares the blocks, is read back all the same, and is a file
/// of its own from the first write on.
fn clones(disk: &Mounted) {
    let source = disk.path().join("source");
    fs::create_dir(&source).unwrap();
    let mut random = Random::new(21);
    for (name, size) in [("long.mov", 5_000_000), ("frame.exr", 70_000), ("note", 9)] {
        fs::write(source.join(name), random.bytes(size)).unwrap();
    }
    run(Command::new("sync").arg("-f").arg(&source));
    let told = After { bytes: AtomicU64::new(u64::MAX), then: || {} };
    let to = disk.path().join("clones/TRF-00042");
    let report = copy::tree(&source, &to, &Options::default(), &told).unwrap();
    witnessed(&source, &to);
    // The note is too short to be worth it.
    assert_eq!(report.transferred.cloned_files, 2);
    for file in &report.files {
        let (is_long, path) = (file.path.as_str() != "note", to.join(file.path.as_str()));
        assert_eq!(file.cloned, is_long, "{}", file.path);
        assert!(!is_long || shares_extents(&path), "{}", file.path);
    }
    let back = report.read_back;
    assert_eq!((back.files, back.bytes, back.overlapped_bytes), (3, 5_070_009, 0));
    assert!(back.worth >= Worth::Dropped, "{:?}", back.worth);
    // Read once, and once more from the device.
    assert_eq!(u64::MAX - told.bytes.load(Ordering::Acquire), 2 * 5_070_009);
    let before = digest_tree(&to);
    let mut other = fs::read(source.join("long.mov")).unwrap();
    other[3_000_000] ^= 1;
    fs::write(source.join("long.mov"), other).unwrap();
    run(Command::new("sync").arg("-f").arg(&source));
    assert_eq!(digest_tree(&to), before);
}

fn on_a_disk(disk: &Mounted) {
    let source = media(2);
    let destination = disk.path().join("show/TRF-00042");
    let report = copied(source.path(), &destination);
    assert!(report.read_back.worth >= Worth::Dropped, "{:?}", report.read_back.worth);
    assert_eq!(report.published.rename, RenameMethod::NoReplace);
    // From there as well, and beside it on the same disk.
    copied(&destination, &disk.path().join("other/TRF-00043"));
    // Killed in the middle, taken up by the next life.
    let third = disk.path().join("third/TRF-00044");
    copy::prepare(&plan(source.path(), &third, 1)).unwrap();
    copy::transfer(&plan(source.path(), &third, 1), &()).unwrap();
    let next = plan(source.path(), &third, 2);
    let prepared = copy::prepare(&next).unwrap();
    assert_eq!(prepared.taken_over, Some(1));
    assert_eq!(copy::transfer(&next, &()).unwrap().files, 0, "all was there");
    copy::verify(&next, &()).unwrap();
    copy::publish(&next, &()).unwrap();
    copy::finish(&next).unwrap();
    witnessed(source.path(), &third);
}

#[test]
fn on_ext4_it_is_read_back_from_the_device() {
    if require_root("on_ext4_it_is_read_back_from_the_device") {
        on_a_disk(&mounts::ext4(64 << 20));
    }
}

#[test]
fn on_xfs_it_is_read_back_from_the_device() {
    if require_root("on_xfs_it_is_read_back_from_the_device")
        && let Some(disk) = mounts::xfs(320 << 20)
    {
        on_a_disk(&disk);
        clones(&disk);
    }
}

#[test]
fn on_btrfs_it_is_read_back_from_the_device() {
    if require_root("on_btrfs_it_is_read_back_from_the_device")
        && let Some(disk) = mounts::btrfs(160 << 20)
    {
        on_a_disk(&disk);
        clones(&disk);
    }
}

#[test]
fn of_many_copies_to_one_path_one_delivers_and_the_others_say_why_not() {
    let (one, other) = (media(5), media(6));
    for _ in 0..4 {
        let place = tempfile::tempdir().unwrap();
        let destination = place.path().join("TRF-00042");
        let start = Barrier::new(6);
        let source = |n: usize| [one.path(), other.path()][n % 2];
        let done: Vec<_> = std::thread::scope(|scope| {
            let (start, destination) = (&start, &destination);
            let copies: Vec<_> = (0..6)
                .map(|n| {
                    scope.spawn(move || {
                        start.wait();
                        copy::tree(source(n), destination, &Options::default(), &())
                    })
                })
                .collect();
            copies.into_iter().map(|copy| copy.join().unwrap()).collect()
        });
        let won: Vec<_> = (0..6).filter(|&n| done[n].is_ok()).collect();
        assert_eq!(won.len(), 1, "{done:?}");
        for error in done.iter().filter_map(|done| done.as_ref().err()) {
            assert!(
                matches!(error, Error::Busy { .. } | Error::DestinationExists { .. }),
                "{error:?}"
            );
        }
        witnessed(source(won[0]), &destination);
        assert_eq!(names(place.path()), ["TRF-00042"]);
    }
}

/// As [`of_many_copies_to_one_path_one_delivers_and_the_others_say_why_not`], by
/// processes: this test runs itself.
#[test]
fn of_many_processes_to_one_path_one_delivers() {
    const PLACE: &str = "DATABRIDGE_TEST_COPY_TO";
    const FROM: &str = "DATABRIDGE_TEST_COPY_FROM";
    if let (Some(place), Some(from)) = (std::env::var_os(PLACE), std::env::var_os(FROM)) {
        match copy::tree(from.as_ref(), place.as_ref(), &Options::default(), &()) {
            Ok(_) => println!("OUTCOME delivered"),
            Err(error) => println!("OUTCOME {}", error.code()),
        }
        return;
    }
    let source = media(7);
    let place = tempfile::tempdir().unwrap();
    let destination = place.path().join("TRF-00042");
    let myself = std::env::current_exe().unwrap();
    let children: Vec<_> = (0..5)
        .map(|_| {
            let mut child = Command::new(&myself);
            child.args(["--exact", "of_many_processes_to_one_path_one_delivers", "--nocapture"]);
            child.env(PLACE, &destination).env(FROM, source.path());
            child.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut outcomes = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = text.split("OUTCOME ").nth(1).unwrap_or_else(|| panic!("{text}"));
        outcomes.push(told.split_whitespace().next().unwrap().to_owned());
    }
    assert_eq!(outcomes.iter().filter(|told| *told == "delivered").count(), 1, "{outcomes:?}");
    for told in outcomes {
        assert!(
            ["delivered", "copy.busy", "copy.destination_exists"].contains(&told.as_str()),
            "{told}"
        );
    }
    witnessed(source.path(), &destination);
    assert_eq!(names(place.path()), ["TRF-00042"]);
}

/// Does something once so many bytes have been said to be done.
struct After<F> {
    bytes: AtomicU64,
    then: F,
}

impl<F: Fn() + Sync> Monitor for After<F> {
    fn on(&self, progress: Progress<'_>) {
        if let Progress::Bytes(count) = progress {
            let left = self.bytes.load(Ordering::Acquire);
            self.bytes.store(left.saturating_sub(count), Ordering::Release);
            if left > 0 && left <= count {
                (self.then)();
            }
        }
    }
}

#[test]
fn a_mount_that_goes_away_in_mid_copy_is_told_and_the_copy_goes_on_when_it_is_back() {
    if !require_root("a_mount_that_goes_away_in_mid_copy") {
        return;
    }
    let source = media(8);
    let all = Manifest::of_tree(source.path(), None, &()).unwrap().total_bytes();
    // Early and late in the transfer, and in the read-back.
    for bytes in [1, all / 2, all, all + 1, all * 3 / 2] {
        let mut fs = FaultFs::mount();
        let destination = fs.path().join("TRF-00042");
        let monitor = After { bytes: AtomicU64::new(bytes), then: || fs.disconnect() };
        let first = plan(source.path(), &destination, 1);
        let error = deliver(&first, &monitor).unwrap_err();
        assert_eq!(error.code(), "copy.stale_mount", "after {bytes} bytes: {error:?}");
        fs.power_cut(Loss::Everything);
        assert!(shown(fs.path()).is_empty(), "after {bytes} bytes");
        deliver(&plan(source.path(), &destination, 2), &()).unwrap();
        assert_eq!(digest_tree(&destination), digest_tree(source.path()), "after {bytes} bytes");
    }
}

/// The phases, the calls that each makes, and each errno that a studio's storage
/// answers with.
#[test]
fn in_every_phase_every_errno_is_told_or_borne_and_the_next_life_delivers() {
    let source = media(9);
    let ops = [
        Op::Create,
        Op::Open,
        Op::Write,
        Op::Read,
        Op::Fsync,
        Op::FsyncDir,
        Op::Rename,
        Op::Setattr,
        Op::Readdir,
    ];
    let errnos = [Errno::ACCESS, Errno::STALE, Errno::IO, Errno::INTR, Errno::NOSPC];
    let phase = |phase: usize, plan: &Plan| match phase {
        0 => copy::prepare(plan).map(drop),
        1 => copy::transfer(plan, &()).map(drop),
        2 => copy::verify(plan, &()).map(drop),
        3 => copy::publish(plan, &()).map(drop),
        _ => copy::finish(plan),
    };
    let (mut told, mut borne) = (0, 0);
    for errno in errnos {
        for at in 0..5 {
            for op in ops {
                let context = format!("{op:?} fails with {errno:?} in phase {at}");
                let fs = FaultFs::mount();
                let destination = fs.path().join("show/TRF-00042");
                let first = plan(source.path(), &destination, 1);
                (0..at).for_each(|before| phase(before, &first).unwrap());
                let before = fs.struck();
                fs.fail(op, "", errno, 1);
                let done = (at..5).try_for_each(|later| phase(later, &first));
                let struck = fs.struck() > before;
                fs.clear_faults();
                if let Err(error) = &done {
                    assert!(struck, "{context}: {error:?}");
                    let code = error.code();
                    let right = match errno {
                        Errno::ACCESS => code == "copy.permission",
                        Errno::STALE | Errno::IO => code == "copy.stale_mount",
                        Errno::NOSPC => code == "copy.no_space",
                        _ => code == "copy.io",
                    };
                    assert!(right, "{context}: {error:?}");
                    told += 1;
                } else if struck {
                    borne += 1;
                }
                if destination.exists() {
                    assert_eq!(digest_tree(&destination), digest_tree(source.path()), "{context}");
                }
                if done.is_err() && at == 4 {
                    // Told as delivered by then: only what is left is cleared away.
                    copy::finish(&first).unwrap();
                } else if done.is_err() {
                    deliver(&plan(source.path(), &destination, 2), &())
                        .unwrap_or_else(|error| panic!("{context}: {error:?}"));
                }
                assert_eq!(digest_tree(&destination), digest_tree(source.path()), "{context}");
            }
        }
    }
    println!("{told} told, {borne} borne");
    assert!(told >= 80, "{told} told, {borne} borne");
}

#[test]
fn reads_and_writes_that_do_less_than_asked_are_gone_on_with() {
    let source = media(10);
    for (reads, writes) in [(4096, 4096), (512, 8192), (8192 * 3, 1 << 16)] {
        let fs = FaultFs::mount();
        fs.short_reads(reads);
        fs.short_writes(writes);
        let report = copied(source.path(), &fs.path().join("show/TRF-00042"));
        // And from there: the source gives less as well.
        let back: PathBuf = fs.path().join("show/TRF-00042");
        let place = tempfile::tempdir().unwrap();
        copied(&back, &place.path().join("back"));
        assert_eq!(report.read_back.files, report.transferred.files);
    }
}
