//! Names of one file inside a source: copied, kept or refused, whatever fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use databridge_core::Fault;
use databridge_core::media::copy::{
    self, Attempt, Error, HardLinks, Options, Plan, Policy, Report, Shape,
};
use databridge_core::media::manifest::Manifest;
use databridge_core::media::monitor::{Monitor, Phase, Progress};
use databridge_tests::faultfs::{FaultFs, Loss, Op};
use databridge_tests::tree::{Random, digest_tree};
use proptest::prelude::*;
use rustix::io::Errno;
use tempfile::TempDir;

/// The names below a root in groups: those of one file together.
fn groups(root: &Path) -> Vec<Vec<String>> {
    let mut files: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for name in digest_tree(root).into_keys() {
        let meta = root.join(&name).symlink_metadata().unwrap();
        if meta.is_file() {
            files.entry(meta.ino()).or_default().push(name);
        }
    }
    let mut groups: Vec<_> = files.into_values().collect();
    groups.sort();
    groups
}

fn links(root: &Path, name: &str) -> u64 {
    root.join(name).symlink_metadata().unwrap().nlink()
}

fn options(hard_links: HardLinks) -> Options {
    let policy = Policy { hard_links, jobs: NonZeroUsize::new(1), ..Policy::default() };
    Options { policy, ..Options::default() }
}

/// Bytes said to be done, by phase.
#[derive(Default)]
struct Said(Mutex<(Option<Phase>, u64, u64)>);

impl Monitor for Said {
    fn on(&self, progress: Progress<'_>) {
        let mut said = self.0.lock().unwrap();
        match progress {
            Progress::Phase(phase) => said.0 = Some(phase),
            Progress::Bytes(count) if said.0 == Some(Phase::ReadBack) => said.2 += count,
            Progress::Bytes(count) => said.1 += count,
            _ => {}
        }
    }
}

/// A long file with three names, a short one with two, one whose other name is
/// elsewhere, and two that are merely equal.
fn shot() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (root, mut random) = (dir.path().join("source"), Random::new(5));
    fs::create_dir_all(root.join("a/empty")).unwrap();
    fs::create_dir_all(root.join("b")).unwrap();
    fs::write(root.join("b/long.mov"), random.bytes(1_300_000)).unwrap();
    fs::hard_link(root.join("b/long.mov"), root.join("a/first.mov")).unwrap();
    fs::hard_link(root.join("b/long.mov"), root.join("z.mov")).unwrap();
    fs::write(root.join("a/note"), b"short").unwrap();
    fs::hard_link(root.join("a/note"), root.join("b/note")).unwrap();
    fs::write(root.join("outside"), b"also elsewhere").unwrap();
    fs::hard_link(root.join("outside"), dir.path().join("elsewhere")).unwrap();
    fs::write(root.join("twin.1"), b"twin").unwrap();
    fs::write(root.join("twin.2"), b"twin").unwrap();
    dir
}

const LONG: [&str; 3] = ["a/first.mov", "b/long.mov", "z.mov"];
const BYTES: u64 = 1_300_000 + 5 + 14 + 8;

fn copied(source: &Path, to: &Path, hard_links: HardLinks) -> Report {
    let report = copy::tree(source, to, &options(hard_links), &()).unwrap();
    assert_eq!(digest_tree(to), digest_tree(source));
    report
}

#[test]
fn each_name_is_a_file_of_its_own_and_their_number_is_told() {
    let dir = shot();
    let (source, to) = (dir.path().join("source"), dir.path().join("to"));
    let report = copied(&source, &to, HardLinks::default());
    assert_eq!((report.transferred.shared_files, report.transferred.linked_files), (3, 0));
    assert!(groups(&to).iter().all(|names| names.len() == 1), "{:?}", groups(&to));
    // Also where a manifest says what is to be copied.
    let manifest = Some(Manifest::of_tree(&source, None, &()).unwrap());
    let again = Options { manifest, ..options(HardLinks::Copy) };
    let report = copy::tree(&source, &dir.path().join("again"), &again, &()).unwrap();
    assert_eq!(report.transferred.shared_files, 3);
}

#[test]
fn kept_they_are_read_written_and_read_back_once() {
    let dir = shot();
    let (source, to) = (dir.path().join("source"), dir.path().join("to"));
    for with_manifest in [false, true] {
        let to = to.with_extension(with_manifest.to_string());
        let read = || Manifest::of_tree(&source, None, &()).unwrap();
        let manifest = with_manifest.then(read);
        let options = Options { manifest, ..options(HardLinks::Keep) };
        let said = Said::default();
        let report = copy::tree(&source, &to, &options, &said).unwrap();
        let (_, copied, returned) = *said.0.lock().unwrap();
        assert_eq!((copied, returned), (BYTES, BYTES));
        assert_eq!(report.transferred.bytes, BYTES);
        assert_eq!(report.read_back.bytes, BYTES);
        assert_eq!((report.transferred.files, report.read_back.files), (8, 8));
        assert_eq!((report.transferred.shared_files, report.transferred.linked_files), (3, 3));
        assert_eq!(report.bytes, digest_bytes(&source), "of all names");
        assert_eq!(digest_tree(&to), digest_tree(&source));
        assert_eq!(groups(&to), groups(&source));
        assert_eq!((links(&to, LONG[0]), links(&to, "outside")), (3, 1));
    }
    // The source itself got no name more, and none of the copy's files is one of its.
    assert_eq!((links(&source, LONG[0]), links(&source, "outside")), (3, 2));
}

fn digest_bytes(root: &Path) -> u64 {
    let files = groups(root).concat();
    files.iter().map(|name| root.join(name).metadata().unwrap().len()).sum()
}

#[test]
fn refused_both_names_are_told_and_nothing_is_written() {
    let dir = shot();
    let to = dir.path().join("show/to");
    let error = copy::tree(&dir.path().join("source"), &to, &options(HardLinks::Refuse), &());
    let error = error.unwrap_err();
    assert_eq!(error.code(), "copy.hard_linked");
    let text = error.to_string();
    assert!(text.contains("b/long.mov") && text.contains("a/first.mov"), "{text}");
    assert!(text.contains("2 more"), "{text}");
    assert!(fs::read_dir(to.parent().unwrap()).unwrap().next().is_none());
    // A name outside of the source does not matter.
    let alone = dir.path().join("alone");
    fs::create_dir(&alone).unwrap();
    fs::hard_link(dir.path().join("elsewhere"), alone.join("file")).unwrap();
    copy::tree(&alone, &to, &options(HardLinks::Refuse), &()).unwrap();
}

/// Delivers as a job does: by phases and epochs.
fn plan(source: &Path, destination: &Path, hard_links: HardLinks, epoch: u64) -> Plan {
    Plan {
        source: source.to_owned(),
        destination: destination.to_owned(),
        shape: Shape::Tree,
        manifest: Manifest::of_tree(source, NonZeroUsize::new(1), &()).unwrap(),
        attempt: Attempt { id: "018f0000-0000-7000-8000-000000000042".parse().unwrap(), epoch },
        policy: options(hard_links).policy,
    }
}

fn publish(plan: &Plan) -> Result<(), Error> {
    copy::prepare(plan)?;
    copy::transfer(plan, &())?;
    copy::verify(plan, &())?;
    copy::publish(plan, &()).map(drop)
}

fn deliver(plan: &Plan) -> Result<(), Error> {
    publish(plan)?;
    copy::finish(plan)
}

fn hidden(parent: &Path, kind: &str) -> PathBuf {
    let mut paths = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path());
    let is = |path: &PathBuf| path.to_string_lossy().contains(&format!("databridge-{kind}"));
    paths.find(is).unwrap()
}

#[test]
fn whatever_an_earlier_life_left_of_another_policy_or_damaged_is_set_right() {
    use HardLinks::{Copy, Keep};
    let dir = shot();
    let source = dir.path().join("source");
    let damages: [fn(&Path); 5] = [
        |_| {},
        |partial| fs::remove_file(partial.join(LONG[1])).unwrap(),
        // A stranger's file under a further name, and under the first.
        |partial| {
            fs::remove_file(partial.join(LONG[2])).unwrap();
            fs::write(partial.join(LONG[2]), b"stranger").unwrap();
        },
        |partial| {
            fs::remove_file(partial.join(LONG[0])).unwrap();
            fs::write(partial.join(LONG[0]), b"stranger").unwrap();
        },
        // A name too many, outside of the manifest.
        |partial| fs::hard_link(partial.join(LONG[0]), partial.join("extra")).unwrap(),
    ];
    for (n, damage) in damages.iter().enumerate() {
        for (first, second) in [(Keep, Keep), (Keep, Copy), (Copy, Keep), (Copy, Copy)] {
            let context = format!("damage {n}, {first:?} then {second:?}");
            let to = dir.path().join(format!("{n}-{first:?}-{second:?}/to"));
            let before = plan(&source, &to, first, 1);
            copy::prepare(&before).unwrap();
            copy::transfer(&before, &()).unwrap();
            damage(&hidden(to.parent().unwrap(), "partial"));
            let after = plan(&source, &to, second, 2);
            copy::prepare(&after).unwrap();
            let done = copy::transfer(&after, &()).unwrap();
            assert!(first != second || n > 0 || done.files == 0, "{context}: {done:?}");
            copy::verify(&after, &()).unwrap();
            copy::publish(&after, &()).unwrap();
            copy::finish(&after).unwrap();
            assert_eq!(digest_tree(&to), digest_tree(&source), "{context}");
            match second {
                Keep => assert_eq!(groups(&to), groups(&source), "{context}"),
                _ => assert!(groups(&to).iter().all(|names| names.len() == 1), "{context}"),
            }
        }
    }
}

#[test]
fn a_manifest_that_says_otherwise_of_two_names_is_believed_and_nothing_appears() {
    let dir = shot();
    let (source, to) = (dir.path().join("source"), dir.path().join("to"));
    let mut wrong = plan(&source, &to, HardLinks::Keep, 1);
    let mut entries = wrong.manifest.entries().to_vec();
    let sum = databridge_core::media::checksum::Sha256::of(b"another");
    for entry in &mut entries {
        if let databridge_core::media::manifest::Entry::File { path, sha256, .. } = entry
            && path.as_str() == LONG[2]
        {
            *sha256 = sum;
        }
    }
    wrong.manifest = Manifest::from_entries(entries).unwrap();
    let error = deliver(&wrong).unwrap_err();
    assert_eq!(error.code(), "copy.source_differs");
    assert!(error.to_string().contains(LONG[2]), "{error}");
    assert!(!to.exists());
}

#[test]
fn where_no_links_can_be_made_it_is_told_and_a_copy_goes_on() {
    let dir = shot();
    let source = dir.path().join("source");
    for (errno, code) in [
        (Errno::PERM, "copy.hard_link"),
        (Errno::OPNOTSUPP, "copy.hard_link"),
        (Errno::MLINK, "copy.hard_link"),
        (Errno::IO, "copy.stale_mount"),
        (Errno::NOSPC, "copy.no_space"),
        (Errno::ACCESS, "copy.permission"),
    ] {
        for nth in 1..=3 {
            let (fs, context) = (FaultFs::mount(), format!("{errno:?} at link {nth}"));
            let to = fs.path().join("show/to");
            fs.fail(Op::Link, "", errno, nth);
            let error = deliver(&plan(&source, &to, HardLinks::Keep, 1)).unwrap_err();
            assert_eq!(error.code(), code, "{context}: {error:?}");
            assert!(error.to_string().contains("databridge-partial"), "names the name: {error}");
            assert!(!to.exists(), "{context}");
            let next = [HardLinks::Keep, HardLinks::Copy][nth as usize % 2];
            deliver(&plan(&source, &to, next, 2)).unwrap();
            assert_eq!(digest_tree(&to), digest_tree(&source), "{context}");
        }
    }
}

#[test]
fn a_flipped_byte_under_any_of_the_names_is_told_of_all() {
    let dir = shot();
    let source = dir.path().join("source");
    let fs = FaultFs::mount();
    let to = fs.path().join("show/to");
    fs.flip_byte("first.mov", 77);
    let error = deliver(&plan(&source, &to, HardLinks::Keep, 1)).unwrap_err();
    assert!(matches!(&error, Error::ReadBackMismatch { path, others: 2 } if path == LONG[0]));
    assert!(!to.exists());
    deliver(&plan(&source, &to, HardLinks::Keep, 2)).unwrap();
    assert_eq!(groups(&to), groups(&source));
    assert_eq!(digest_tree(&to), digest_tree(&source));
}

#[test]
fn a_power_cut_before_any_change_leaves_all_of_it_linked_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("b")).unwrap();
    fs::write(source.join("b/file"), vec![7; 5000]).unwrap();
    fs::hard_link(source.join("b/file"), source.join("a")).unwrap();
    fs::write(source.join("c"), b"alone").unwrap();
    let whole = FaultFs::mount();
    let to = |fs: &FaultFs| fs.path().join("show/to");
    deliver(&plan(&source, &to(&whole), HardLinks::Keep, 1)).unwrap();
    let changes = whole.changes();
    for cut in 0..=changes {
        for loss in [Loss::Everything, Loss::Seeded(cut)] {
            let context = format!("cut after {cut} of {changes}, {loss:?}");
            let mut fs = FaultFs::mount();
            fs.cut_power_after(cut);
            let first = plan(&source, &to(&fs), HardLinks::Keep, 1);
            let told = publish(&first).inspect(|()| drop(copy::finish(&first)));
            fs.power_cut(loss);
            let there = to(&fs).exists();
            assert!(told.is_err() || there, "{context}: a told success is lost");
            if there {
                assert_eq!(groups(&to(&fs)), groups(&source), "{context}");
                assert_eq!(digest_tree(&to(&fs)), digest_tree(&source), "{context}");
            }
            if told.is_err() {
                let next = plan(&source, &to(&fs), HardLinks::Keep, 2);
                deliver(&next).unwrap_or_else(|error| panic!("{context}: {error:?}"));
            }
            assert_eq!(groups(&to(&fs)), groups(&source), "{context}");
            assert_eq!(digest_tree(&to(&fs)), digest_tree(&source), "{context}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_tree_keeps_its_links_or_loses_them(
        files in proptest::collection::vec((0usize..5, "[a-c]/[a-f]{1,3}|[d-h]{1,2}"), 1..14)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir(&source).unwrap();
        // Sizes on both sides of where files are cut; equal sizes, and some equal content.
        const SIZES: [usize; 5] = [0, 3, 4097, 1 << 20, (1 << 20) + 1];
        let mut first: BTreeMap<usize, PathBuf> = BTreeMap::new();
        for (content, name) in files {
            let path = source.join(&name);
            if path.exists() || fs::create_dir_all(path.parent().unwrap()).is_err() {
                continue;
            }
            match first.get(&content) {
                Some(known) => fs::hard_link(known, &path).unwrap(),
                None => {
                    fs::write(&path, vec![content as u8; SIZES[content]]).unwrap();
                    first.insert(content, path);
                }
            }
        }
        let names = groups(&source).concat().len() as u64;
        let shared = names - groups(&source).len() as u64;
        let kept = copied(&source, &dir.path().join("kept"), HardLinks::Keep);
        prop_assert_eq!(groups(&dir.path().join("kept")), groups(&source));
        prop_assert_eq!(kept.transferred.linked_files, shared);
        let own = copied(&source, &dir.path().join("own"), HardLinks::Copy);
        prop_assert_eq!(groups(&dir.path().join("own")).len() as u64, names);
        prop_assert_eq!((own.transferred.shared_files, own.transferred.linked_files), (shared, 0));
        prop_assert_eq!(kept.manifest_digest, own.manifest_digest);
        let refused = copy::tree(&source, &dir.path().join("no"), &options(HardLinks::Refuse), &());
        prop_assert_eq!(refused.is_err(), shared > 0);
    }
}
