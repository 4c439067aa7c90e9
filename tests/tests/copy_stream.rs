//! The stand-alone copy, which reads its source once and reads long files back
//! behind the writer: any tree, told by an independent witness, and a file system
//! that refuses, interrupts and damages in the middle of a long file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use databridge_core::media::copy::{
    self, Attempt, Error, Options, Plan, Policy, Report, Shape, Worth,
};
use databridge_core::media::manifest::Manifest;
use databridge_core::media::monitor::{Gate, Monitor, Phase, Progress};
use databridge_tests::faultfs::{FaultFs, Op};
use databridge_tests::tree::{EDGES, Random, digest_tree};
use rustix::io::Errno;
use tempfile::TempDir;

const WINDOW: u64 = 64 << 20;
/// From this length on a file is read back behind its writer.
const OVERLAP: u64 = 4 << 20;

/// A folder with one file in it, mostly holes: `size` bytes, with some in each
/// mebibyte that is named.
fn one_file(name: &str, size: u64, mebibytes: &[u64]) -> TempDir {
    let source = tempfile::tempdir().unwrap();
    let file = File::create(source.path().join(name)).unwrap();
    let mut random = Random::new(size);
    for at in mebibytes {
        file.write_all_at(&random.bytes(1 << 20), at << 20).unwrap();
    }
    file.set_len(size).unwrap();
    file.write_all_at(b"the end", size - 7).unwrap();
    source
}

fn in_turn() -> Options {
    Options {
        policy: Policy { jobs: NonZeroUsize::new(1), ..Policy::default() },
        ..Options::default()
    }
}

fn deliver(source: &Path, fs: &FaultFs) -> Result<Report, Error> {
    copy::tree(source, &destination(fs), &in_turn(), &())
}

fn destination(fs: &FaultFs) -> PathBuf {
    fs.path().join("show/shot")
}

fn assert_delivers(source: &Path, fs: &FaultFs, context: &str) {
    deliver(source, fs).unwrap_or_else(|error| panic!("{context}: {error:?}"));
    assert_eq!(digest_tree(&destination(fs)), digest_tree(source), "{context}");
}

/// Cancels after so many files.
struct Stop(AtomicU64);

impl Monitor for Stop {
    fn on(&self, progress: Progress<'_>) {
        if let Progress::File(_) = progress {
            let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        }
    }
    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// A tree that only the seed decides: nested names, sizes on both sides of the
/// edges, holes, empty files and folders.
fn grow(root: &Path, random: &mut Random) {
    for number in 0..random.below(14) {
        let depth = random.below(4);
        let folder: PathBuf = (0..depth).map(|_| format!("d{}", random.below(3))).collect();
        fs::create_dir_all(root.join(&folder)).unwrap();
        let path = root.join(&folder).join(format!("take {number} ü.exr"));
        match random.below(5) {
            0 => fs::create_dir(root.join(&folder).join(format!("empty {number}"))).unwrap(),
            1 => {
                let (size, at) = (random.below(9 << 20) + 1, random.below(8 << 20));
                let file = File::create(path).unwrap();
                file.write_all_at(&random.bytes(5000), at).unwrap();
                file.set_len(size).unwrap();
            }
            2 => {
                let size = (4 << 20) - 1 + random.below(3);
                fs::write(path, random.bytes(size as usize)).unwrap();
            }
            _ => {
                let edge = EDGES[random.below(EDGES.len() as u64) as usize];
                fs::write(path, random.bytes(edge)).unwrap();
            }
        }
    }
}

#[test]
fn any_tree_arrives_as_an_independent_witness_tells() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let room = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (source, destination) = (room.path().join("source"), room.path().join("out/shot"));
        fs::create_dir(&source).unwrap();
        grow(&source, &mut random);
        let mut options = Options::default();
        options.policy.jobs = NonZeroUsize::new(1 + random.below(4) as usize);
        if random.coin() {
            options.manifest = Some(Manifest::of_tree(&source, None, &()).unwrap());
        }
        let stop = Stop(AtomicU64::new(random.below(12)));
        if copy::tree(&source, &destination, &options, &stop).is_err() {
            assert!(!destination.exists(), "seed {seed}");
            copy::tree(&source, &destination, &options, &()).unwrap();
        }
        assert_eq!(digest_tree(&destination), digest_tree(&source), "seed {seed}");
        assert_eq!(fs::read_dir(room.path().join("out")).unwrap().count(), 1, "seed {seed}");
    }
}

#[test]
fn a_byte_that_turns_behind_the_writer_is_caught() {
    let size = WINDOW + 4097;
    let source = one_file("long.mov", size, &[0, 63, 64]);
    for (offset, direct) in [(0, true), (WINDOW - 1, true), (size - 1, true), (WINDOW, false)] {
        let context = format!("at {offset}, direct I/O {direct}");
        let fs = FaultFs::mount();
        fs.flip_byte("long.mov", offset);
        if !direct {
            fs.refuse_direct_io();
        }
        let error = deliver(source.path(), &fs).expect_err(&context);
        assert_eq!(fs.flipped(), 1, "{context}");
        assert!(
            matches!(&error, Error::ReadBackMismatch { path, others: 0 } if path == "long.mov"),
            "{context}: {error:?}"
        );
        assert!(!destination(&fs).exists(), "{context}");
        assert_delivers(source.path(), &fs, &context);
    }
}

#[test]
fn a_long_file_is_read_back_on_the_way_and_not_again() {
    for size in [OVERLAP - 1, OVERLAP, WINDOW - 1, WINDOW, 2 * WINDOW + 1] {
        let source = one_file("long.mov", size, &[1, 63]);
        let fs = FaultFs::mount();
        let report = deliver(source.path(), &fs).unwrap();
        let overlapped = if size >= OVERLAP { size } else { 0 };
        assert_eq!(report.read_back.overlapped_bytes, overlapped, "{size}");
        assert_eq!(report.read_back.bytes, size);
        assert_eq!((report.read_back.worth, report.read_back.worths.server), (Worth::Server, 1));
        assert_eq!(digest_tree(&destination(&fs)), digest_tree(source.path()), "{size}");
    }
}

#[test]
fn direct_io_that_is_refused_in_mid_file_goes_on_through_the_cache() {
    let source = one_file("long.mov", (9 << 20) + 77, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let clean = FaultFs::mount();
    deliver(source.path(), &clean).unwrap();
    for op in [Op::Write, Op::Read] {
        let calls = clean.calls();
        let all = calls.iter().filter(|call| call.op == op && call.path.ends_with("long.mov"));
        let count = all.count() as u64;
        let mut borne = 0;
        for nth in [1, 2, count / 2, count] {
            let context = format!("{op:?} number {nth} of {count}");
            let fs = FaultFs::mount();
            fs.fail(op, "long.mov", Errno::INVAL, nth);
            match deliver(source.path(), &fs) {
                Ok(_) => borne += 1,
                // What goes through the cache already has no other way.
                Err(error) => {
                    assert!(nth > 1, "{context}: {error:?}");
                    assert!(!destination(&fs).exists(), "{context}");
                    assert_delivers(source.path(), &fs, &context);
                }
            }
            assert_eq!(fs.struck(), 1, "{context}");
            assert_eq!(digest_tree(&destination(&fs)), digest_tree(source.path()), "{context}");
        }
        assert!(borne > 0, "{op:?}");
    }
}

#[test]
fn interrupted_calls_are_made_again() {
    let source = one_file("long.mov", (5 << 20) + 77, &[0, 4]);
    for op in [Op::Write, Op::Read] {
        for nth in 1..=4 {
            let context = format!("{op:?} number {nth}");
            let fs = FaultFs::mount();
            fs.fail(op, "long.mov", Errno::INTR, nth);
            assert_delivers(source.path(), &fs, &context);
        }
    }
}

#[test]
fn a_disk_that_runs_full_in_a_direct_write_is_told_and_it_resumes() {
    let source = one_file("long.mov", 6 << 20, &[0, 1, 2, 3, 4, 5]);
    let fs = FaultFs::mount();
    fs.fail(Op::Write, "long.mov", Errno::NOSPC, 1);
    let error = deliver(source.path(), &fs).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
    assert!(!destination(&fs).exists());
    assert_delivers(source.path(), &fs, "room again");
}

/// Closes its gate once, when so many bytes of a phase are done, and counts what is done
/// until the copy waits there.
struct Pauses {
    phase: Phase,
    at: u64,
    gate: Gate,
    /// The phase, its bytes, and what they were when the gate closed.
    seen: Mutex<(Option<Phase>, u64, Option<u64>)>,
    waits: Sender<()>,
}

impl Monitor for Pauses {
    fn on(&self, progress: Progress<'_>) {
        let mut seen = self.seen.lock().unwrap();
        match progress {
            Progress::Phase(phase) => (seen.0, seen.1) = (Some(phase), 0),
            Progress::Bytes(count) => seen.1 += count,
            _ => {}
        }
        if seen.0 == Some(self.phase) && seen.1 >= self.at && seen.2.is_none() {
            seen.2 = Some(seen.1);
            self.gate.close();
        }
    }
    fn cancelled(&self) -> bool {
        self.gate.pass(|| {
            let _ = self.waits.send(());
            false
        });
        false
    }
    fn held(&self) -> bool {
        self.gate.is_closed()
    }
}

#[test]
fn a_paused_copy_stands_still_within_one_block_and_goes_on() {
    const BLOCK: u64 = 4 << 20;
    let source = one_file("long.mov", 24 << 20, &(0..24).collect::<Vec<_>>());
    let manifest = Manifest::of_tree(source.path(), None, &()).unwrap();
    for (phase, at) in [(Phase::Copy, 1), (Phase::Copy, 13 << 20), (Phase::ReadBack, 5 << 20)] {
        let fs = FaultFs::mount();
        let (waits, waiting) = channel();
        let pauses = Pauses { phase, at, gate: Gate::default(), seen: Mutex::default(), waits };
        let plan = Plan {
            source: source.path().to_owned(),
            destination: destination(&fs),
            shape: Shape::Tree,
            manifest: manifest.clone(),
            attempt: Attempt {
                id: "018f0000-0000-7000-8000-000000000042".parse().unwrap(),
                epoch: 1,
            },
            policy: in_turn().policy,
        };
        // By phases, where nothing is read back before its time.
        let deliver = || {
            copy::prepare(&plan)?;
            copy::transfer(&plan, &pauses)?;
            let read_back = copy::verify(&plan, &pauses)?;
            copy::publish(&plan, &pauses).map(|_| read_back)
        };
        let (stood, read_back) = std::thread::scope(|scope| {
            let copying = scope.spawn(|| {
                let done = deliver();
                // Who never waited is not waited for.
                let _ = pauses.waits.send(());
                done
            });
            // The one thread that reads waits at the gate: nothing is done until it opens.
            waiting.recv().unwrap();
            let stood = *pauses.seen.lock().unwrap();
            pauses.gate.open();
            (stood, copying.join().unwrap())
        });
        let (_, done, Some(closed)) = stood else { panic!("{phase:?}: {stood:?}") };
        assert!(done - closed <= BLOCK, "{phase:?}: {} bytes after the pause", done - closed);
        assert!(done < 24 << 20, "{phase:?}: {done}");
        assert_eq!(read_back.unwrap().files, 1);
        assert_eq!(digest_tree(&destination(&fs)), digest_tree(source.path()));
    }
}
