#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Mutex;

use proptest::prelude::*;
use sha2::Digest;
use uuid::Uuid;

use super::*;
use crate::media::copy::{Attempt, Plan, Policy, prepare};
use crate::media::manifest::Manifest;
use crate::media::monitor::Progress;

/// Small enough that a short file has many blocks and windows.
const TINY: Sizes = Sizes { window_bytes: 32_768, overlap_bytes: 1, ..Sizes::of(8192, 1) };

/// A prepared copy of one source folder.
struct Room {
    dir: tempfile::TempDir,
    plan: Plan,
}

impl Room {
    fn new() -> Self {
        // Beside the build, since the temporary folder may be memory.
        let dir =
            tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/../target").unwrap();
        fs::create_dir(dir.path().join("source")).unwrap();
        let plan = Plan {
            source: dir.path().join("source"),
            destination: dir.path().join("production/shot"),
            shape: Shape::Tree,
            manifest: Manifest::default(),
            attempt: Attempt { id: Uuid::now_v7(), epoch: 1 },
            policy: Policy::default(),
        };
        prepare(&plan).unwrap();
        Self { dir, plan }
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source/file")
    }

    /// Copies the file `file`; gives what was marked and what stands there.
    fn copy(
        &self,
        sizes: Sizes,
        overlap: bool,
        monitor: &dyn Monitor,
    ) -> Result<(Done, Option<Returned>, PathBuf), Error> {
        let session = Session::open(&self.plan, true).unwrap();
        let pace = Pace::new(None);
        let copier = Copier::new(&session, &pace, &[], overlap).unwrap();
        let size_bytes = self.source().metadata().unwrap().len();
        let path = RelPath::parse("file").unwrap();
        let wanted = Wanted { path: &path, size_bytes, sha256: None, listed: None, others: &[] };
        let Copied { done, returned, .. } =
            copier.copy(wanted, sizes, &mut Scratch::default(), monitor)?;
        let written = session.site.path(&session.site.own(names::Kind::Partial).join("file"));
        Ok((done, returned, written))
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

fn oracle(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// Whether direct I/O goes on here: on a memory file system there is none.
fn assert_right(room: &Room, bytes: &[u8], overlap: bool) {
    fs::write(room.source(), bytes).unwrap();
    let (done, returned, written) = room.copy(TINY, overlap, &()).unwrap();
    let context = format!("{} bytes, overlapped {overlap}", bytes.len());
    assert_eq!(done.sha256, oracle(bytes), "{context}");
    assert!(fs::read(&written).unwrap() == bytes, "{context}");
    assert_eq!(done.inode, written.metadata().unwrap().ino(), "{context}");
    let memory = Medium::of(fs::File::open(&room.plan.source).unwrap()) == Medium::Memory;
    let expected = overlap && !memory && !bytes.is_empty() && !done.cloned;
    assert_eq!(returned.is_some(), expected, "{context}");
    if let Some(returned) = returned {
        assert_eq!(returned.sha256, oracle(bytes), "{context}");
        let stat = Stat::of(fs::File::open(&written).unwrap()).unwrap();
        assert_eq!(returned.facts, Facts::from(&stat), "{context}: changed after the read-back");
    }
}

#[test]
fn every_edge_of_sector_page_block_and_window_is_right() {
    let room = Room::new();
    let edges = [512, 4096, 8192, 16_384, 24_576, 32_768, 65_536, 98_304];
    let around = edges.into_iter().flat_map(|edge| [edge - 1, edge, edge + 1]);
    for size in [0, 1].into_iter().chain(around) {
        for overlap in [true, false] {
            assert_right(&room, &content(size), overlap);
        }
    }
}

#[test]
fn a_file_that_changes_in_any_block_is_refused() {
    struct At<'a>(Mutex<u64>, &'a Path);
    impl Monitor for At<'_> {
        fn on(&self, progress: Progress<'_>) {
            let mut left = self.0.lock().unwrap();
            if let Progress::Bytes(_) = progress {
                if *left == 0 {
                    let file = fs::File::options().write(true).open(self.1).unwrap();
                    file.write_all_at(b"x", 5).unwrap();
                }
                *left = left.wrapping_sub(1);
            }
        }
    }
    let room = Room::new();
    for overlap in [true, false] {
        for block in 0..10 {
            fs::write(room.source(), content(80_001)).unwrap();
            let source = room.source();
            let error = room.copy(TINY, overlap, &At(Mutex::new(block), &source)).unwrap_err();
            assert!(matches!(error, Error::SourceChanged { .. }), "{block}: {error:?}");
        }
    }
}

#[test]
fn a_cancel_ends_it_in_any_block() {
    struct After(Mutex<u64>);
    impl Monitor for After {
        fn cancelled(&self) -> bool {
            let mut left = self.0.lock().unwrap();
            *left = left.saturating_sub(1);
            *left == 0
        }
    }
    let room = Room::new();
    fs::write(room.source(), content(80_001)).unwrap();
    for overlap in [true, false] {
        for questions in 1..=10 {
            let error = room.copy(TINY, overlap, &After(Mutex::new(questions))).unwrap_err();
            assert!(matches!(error, Error::Cancelled), "{questions}: {error:?}");
        }
    }
}

#[test]
fn holes_stay_holes_and_are_hashed_as_zeros() {
    let room = Room::new();
    let (mib, page) = (1 << 20, 4096);
    // Data at both ends; only in the middle; only a hole; ending within a page.
    for (size, data) in [
        (8 * mib, vec![0, 8 * mib - 10]),
        (8 * mib, vec![3 * mib + 5]),
        (8 * mib, vec![]),
        (8 * mib + 77, vec![page - 3, 8 * mib + 70]),
    ] {
        let file = fs::File::create(room.source()).unwrap();
        file.set_len(size).unwrap();
        for at in &data {
            file.write_all_at(b"data...", *at).unwrap();
        }
        file.sync_all().unwrap();
        drop(file);
        let bytes = fs::read(room.source()).unwrap();
        for overlap in [true, false] {
            let (done, _, written) = room.copy(TINY, overlap, &()).unwrap();
            assert_eq!(done.sha256, oracle(&bytes), "{size} {data:?}");
            assert!(fs::read(&written).unwrap() == bytes, "{size} {data:?}");
            let (source, target) = (room.source().metadata().unwrap(), written.metadata().unwrap());
            assert!(
                target.blocks() <= source.blocks() + 64,
                "{size} {data:?}: {} blocks of {}",
                target.blocks(),
                source.blocks()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_size_in_any_cut_is_right(size in 0usize..150_000, block in 1usize..6, windows in 1u64..5, overlap: bool) {
        let room = Room::new();
        let bytes = content(size);
        fs::write(room.source(), &bytes).unwrap();
        let block_bytes = block * 4096;
        let sizes = Sizes { block_bytes, window_bytes: windows * block_bytes as u64, ..TINY };
        let (done, returned, written) = room.copy(sizes, overlap, &()).unwrap();
        prop_assert_eq!(done.sha256, oracle(&bytes));
        prop_assert!(fs::read(written).unwrap() == bytes);
        if let Some(returned) = returned {
            prop_assert_eq!(returned.sha256, oracle(&bytes));
        }
    }
}

#[test]
fn however_many_work_their_blocks_stay_within_the_budget() {
    for workers in 1..=LONG_JOBS_MAX {
        let sizes = LONG.shared_by(workers, BUFFERS_BYTES);
        assert!(workers * (sizes.blocks + sizes.blocks_back) * sizes.block_bytes <= BUFFERS_BYTES);
        assert!(sizes.blocks >= LONG.blocks && sizes.blocks_back >= LONG.blocks_back);
    }
    let alone = LONG.shared_by(1, BUFFERS_BYTES);
    assert!(alone.blocks > LONG.blocks, "who is alone has more");
}
