//! Each kind of damage, in each place, between any two phases of a verified copy:
//! caught and named, or shown to do no harm. The table is typed by hand from the
//! promises of `copy`; the program is run against it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use databridge_core::Fault;
use databridge_core::media::copy::{self, Attempt, Error, Plan, Policy, Shape};
use databridge_core::media::manifest::Manifest;
use databridge_tests::tree::{Listing, Random, digest_tree};
use tempfile::TempDir;

/// What happens to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    /// One bit turns, and the time of the last change is put back.
    Flipped,
    /// Its last byte is gone.
    Truncated,
    /// It has one byte more.
    Extended,
    /// Another inode with the same content has its name.
    Twin,
    /// Another inode with other content of the same length has its name.
    Replaced,
    /// It is gone.
    Removed,
    /// It has another name.
    Renamed,
    /// Something stands beside it that nobody asked for.
    Extra,
    /// A folder has its name.
    Folder,
    /// A link to it has its name.
    Link,
    /// Its permissions are others.
    Mode,
}

use Damage::{
    Extended, Extra, Flipped, Folder, Link, Mode, Removed, Renamed, Replaced, Truncated, Twin,
};

const ALL: [Damage; 11] =
    [Flipped, Truncated, Extended, Twin, Replaced, Removed, Renamed, Extra, Folder, Link, Mode];

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A file of the source.
    Source,
    /// A file in the partial folder, or what its folder holds before there is one.
    Partial,
    /// The journal.
    Journal,
    /// A file at the final path, whose journal still stands: the next life adopts it.
    Published,
}

/// After which phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum After {
    Prepare,
    Transfer,
    Verify,
    Publish,
}

/// What must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Some later phase fails with this code and names the thing.
    Named(&'static str),
    /// Some later phase fails with this code, which is about the whole.
    Told(&'static str),
    /// The delivery succeeds and is exactly what the manifest says.
    Harmless,
    /// It succeeds with the right content; permissions are no part of the promise
    /// once they are set.
    Other,
}

use Then::{Harmless, Named, Other, Told};

const SOURCE: Then = Named("copy.source_differs");
const BACK: Then = Named("copy.read_back_mismatch");
const TREE: Then = Named("copy.partial_differs");
const STALE: Then = Told("copy.not_verified");
const FENCED: Then = Told("copy.fenced");
const TAKEN: Then = Told("copy.destination_exists");

type Row = (Place, After, [(Damage, Then); 11]);

const TABLE: [Row; 8] = [
    (
        Place::Source,
        After::Prepare,
        [
            (Flipped, SOURCE),
            (Truncated, SOURCE),
            (Extended, SOURCE),
            (Twin, Harmless),
            (Replaced, SOURCE),
            (Removed, Named("copy.source_missing")),
            (Renamed, Named("copy.source_missing")),
            // Only what the manifest names is read; whoever must know of more looks.
            (Extra, Harmless),
            (Folder, Named("copy.source_changed")),
            (Link, Named("copy.source_changed")),
            (Mode, Harmless),
        ],
    ),
    // All of it was read.
    (Place::Source, After::Transfer, every(Harmless)),
    (Place::Source, After::Verify, every(Harmless)),
    (
        Place::Partial,
        After::Transfer,
        [
            (Flipped, BACK),
            (Truncated, BACK),
            (Extended, BACK),
            (Twin, Harmless),
            (Replaced, BACK),
            (Removed, TREE),
            (Renamed, TREE),
            (Extra, TREE),
            (Folder, TREE),
            (Link, TREE),
            (Mode, Other),
        ],
    ),
    // Whatever touches a file after its read-back changes its inode or times.
    (Place::Partial, After::Verify, every(STALE)),
    (
        Place::Journal,
        After::Transfer,
        [
            // The first line says whose it is, and so does the name.
            (Flipped, Harmless),
            (Truncated, Harmless),
            (Extended, Harmless),
            (Twin, Harmless),
            (Replaced, FENCED),
            (Removed, FENCED),
            (Renamed, FENCED),
            (Extra, Harmless),
            (Folder, Told("copy.io")),
            (Link, Told("copy.io")),
            (Mode, Harmless),
        ],
    ),
    (
        Place::Journal,
        After::Verify,
        [
            (Flipped, Harmless),
            // Its last line is torn and whole enough.
            (Truncated, Harmless),
            (Extended, Harmless),
            (Twin, Harmless),
            (Replaced, FENCED),
            (Removed, FENCED),
            (Renamed, FENCED),
            (Extra, Harmless),
            (Folder, Told("copy.io")),
            (Link, Told("copy.io")),
            (Mode, Harmless),
        ],
    ),
    (
        Place::Published,
        After::Publish,
        [
            (Flipped, TAKEN),
            (Truncated, TAKEN),
            (Extended, TAKEN),
            (Twin, Harmless),
            (Replaced, TAKEN),
            (Removed, TAKEN),
            (Renamed, TAKEN),
            (Extra, TAKEN),
            (Folder, TAKEN),
            (Link, TAKEN),
            (Mode, Other),
        ],
    ),
];

const fn every(then: Then) -> [(Damage, Then); 11] {
    let mut row = [(Flipped, then); 11];
    let mut index = 0;
    while index < 11 {
        row[index].0 = ALL[index];
        index += 1;
    }
    row
}

const VICTIM: &str = "plates/comp.1001.exr";

struct Shot {
    dir: TempDir,
    listing: Listing,
    manifest: Manifest,
}

impl Shot {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir_all(source.join("plates/empty")).unwrap();
        let mut random = Random::new(9);
        for (name, size) in [(VICTIM, 1_100_000), ("plates/comp.1002.exr", 4097), ("note.txt", 9)] {
            fs::write(source.join(name), random.bytes(size)).unwrap();
        }
        let listing = digest_tree(&source);
        let manifest = Manifest::of_tree(&source, NonZeroUsize::new(1), &()).unwrap();
        Self { dir, listing, manifest }
    }

    fn plan(&self, epoch: u64) -> Plan {
        Plan {
            source: self.dir.path().join("source"),
            destination: self.destination(),
            shape: Shape::Tree,
            manifest: self.manifest.clone(),
            attempt: Attempt { id: "018f0000-0000-7000-8000-000000000042".parse().unwrap(), epoch },
            policy: Policy { jobs: NonZeroUsize::new(1), ..Policy::default() },
        }
    }

    fn destination(&self) -> PathBuf {
        self.dir.path().join("production/TRF-00042")
    }

    fn hidden(&self, kind: &str) -> PathBuf {
        let entries = fs::read_dir(self.destination().parent().unwrap()).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        let is = |path: &PathBuf| path.to_string_lossy().contains(&format!("databridge-{kind}"));
        paths.find(is).unwrap_or_else(|| panic!("no {kind}"))
    }

    fn victim(&self, place: Place) -> PathBuf {
        match place {
            Place::Source => self.dir.path().join("source").join(VICTIM),
            Place::Partial => self.hidden("partial").join(VICTIM),
            Place::Journal => self.hidden("journal"),
            Place::Published => self.destination().join(VICTIM),
        }
    }
}

/// What happens between two phases.
type Accident<'a> = &'a dyn Fn(After);

/// All phases of one life, with something in between.
fn deliver(plan: &Plan, between: Accident<'_>) -> Result<(), Error> {
    copy::prepare(plan)?;
    between(After::Prepare);
    copy::transfer(plan, &())?;
    between(After::Transfer);
    copy::verify(plan, &())?;
    between(After::Verify);
    copy::publish(plan, &())?;
    between(After::Publish);
    Ok(())
}

fn strike(damage: Damage, victim: &Path) {
    let beside = |suffix: &str| {
        let name = victim.file_name().unwrap().to_str().unwrap();
        victim.with_file_name(format!("{name}.{suffix}"))
    };
    let bytes = fs::read(victim).unwrap();
    let meta = victim.metadata().unwrap();
    let write = |bytes: &[u8]| fs::write(victim, bytes).unwrap();
    let replace = |bytes: &[u8]| {
        // Kept under another name, or the new inode may get the old number.
        let old = beside("old");
        fs::rename(victim, &old).unwrap();
        fs::write(victim, bytes).unwrap();
        fs::remove_file(old).unwrap();
    };
    match damage {
        Flipped => {
            let mut bytes = bytes;
            bytes[0] ^= 1;
            write(&bytes);
            let file = fs::File::options().write(true).open(victim).unwrap();
            file.set_modified(meta.modified().unwrap()).unwrap();
        }
        Truncated => write(&bytes[..bytes.len() - 1]),
        Extended => write(&[&bytes[..], b"x"].concat()),
        Twin => replace(&bytes),
        Replaced => replace(&bytes.iter().map(|byte| !byte).collect::<Vec<_>>()),
        Removed => fs::remove_file(victim).unwrap(),
        Renamed => fs::rename(victim, beside("renamed")).unwrap(),
        Extra => fs::write(beside("extra"), b"not asked for").unwrap(),
        Folder => {
            fs::remove_file(victim).unwrap();
            fs::create_dir(victim).unwrap();
        }
        Link => {
            let real = victim.ancestors().nth(4).unwrap().join("elsewhere");
            fs::write(&real, &bytes).unwrap();
            fs::remove_file(victim).unwrap();
            symlink(real, victim).unwrap();
        }
        Mode => fs::set_permissions(victim, PermissionsExt::from_mode(0o600)).unwrap(),
    }
}

/// How a delivery ended that this happened to.
fn outcome(shot: &Shot, place: Place, after: After, damage: Damage) -> Result<(), Error> {
    let accident = |now| {
        if now == after {
            strike(damage, &shot.victim(place));
        }
    };
    let done = deliver(&shot.plan(1), &accident);
    if place == Place::Published {
        done.unwrap();
        // Its worker died before it said so; the next one finds it there.
        return deliver(&shot.plan(2), &|_| {});
    }
    done
}

fn check(place: Place, after: After, damage: Damage, then: Then) {
    let context = format!("{damage:?} in {place:?} after {after:?}");
    let shot = Shot::new();
    let done = outcome(&shot, place, after, damage);
    match (then, &done) {
        (Harmless | Other, Ok(())) => {
            assert_eq!(digest_tree(&shot.destination()), shot.listing, "{context}");
            let mode = |name: &str| {
                let path = shot.destination().join(name);
                path.metadata().unwrap().permissions().mode() & 0o7777
            };
            let usual = if then == Other { 0o600 } else { 0o644 };
            assert!(damage == Twin || mode(VICTIM) == usual, "{context}");
            assert_eq!(mode("plates/empty"), 0o755, "{context}");
            return;
        }
        (Named(code), Err(error)) => {
            assert_eq!(error.code(), code, "{context}: {error:?}");
            assert!(error.to_string().contains("comp.1001.exr"), "{context}: not named: {error}");
        }
        (Told(code), Err(error)) => assert_eq!(error.code(), code, "{context}: {error:?}"),
        (then, done) => panic!("{context}: {then:?} was expected: {done:?}"),
    }
    if place == Place::Published {
        // Somebody else's by now: it stays as they left it.
        assert!(shot.destination().exists(), "{context}");
        return;
    }
    assert!(shot.destination().symlink_metadata().is_err(), "{context}: visible");
    mend(&shot, place, &context);
}

/// After what was damaged is set right, the next life delivers; what was written is
/// never trusted for it.
fn mend(shot: &Shot, place: Place, context: &str) {
    let source = shot.dir.path().join("source");
    if place == Place::Source {
        fs::remove_dir_all(&source).unwrap();
        let again = Shot::new();
        copy_tree(&again.dir.path().join("source"), &source);
    }
    let around = fs::read_dir(shot.destination().parent().unwrap()).unwrap();
    for entry in around.map(Result::unwrap) {
        // What cannot be a journal a person takes away, as the error named it.
        let is_journal = entry.file_name().to_string_lossy().contains("databridge-journal");
        if is_journal && !entry.file_type().unwrap().is_file() {
            let path = entry.path();
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        }
    }
    // What an earlier life wrote is read back: it may take one life to find what is
    // wrong with it, and the next to write it anew.
    let mut epoch = 2;
    if let Err(error) = deliver(&shot.plan(epoch), &|_| {}) {
        let code = error.code();
        assert!(
            ["copy.read_back_mismatch", "copy.partial_differs"].contains(&code),
            "{context}: {error:?}"
        );
        assert!(error.to_string().contains("comp.1001.exr"), "{context}: {error}");
        epoch += 1;
        deliver(&shot.plan(epoch), &|_| {}).unwrap_or_else(|e| panic!("{context}: {e:?}"));
    }
    copy::finish(&shot.plan(epoch)).unwrap();
    assert_eq!(digest_tree(&shot.destination()), shot.listing, "{context}");
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_tree(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn rows(place: Place) {
    let (mut cases, mut wrong) = (0, Vec::new());
    for (_, after, row) in TABLE.iter().filter(|row| row.0 == place) {
        for (damage, then) in row {
            let case = || check(place, *after, *damage, *then);
            if std::panic::catch_unwind(case).is_err() {
                wrong.push(format!("{damage:?} in {place:?} after {after:?}"));
            }
            cases += 1;
        }
    }
    assert!(cases >= 11 && wrong.is_empty(), "{} of {cases}: {wrong:#?}", wrong.len());
}

#[test]
fn damage_to_the_source_is_named_or_comes_too_late_to_matter() {
    rows(Place::Source);
}

#[test]
fn damage_to_what_was_written_is_never_published() {
    rows(Place::Partial);
}

#[test]
fn damage_to_the_journal_publishes_nothing_wrong() {
    rows(Place::Journal);
}

#[test]
fn damage_to_what_was_published_is_not_adopted() {
    rows(Place::Published);
}

/// Whatever lies in the empty partial folder before anything is written is cleared
/// away, except that it is gone itself.
#[test]
fn what_lies_in_the_way_of_the_first_file_is_cleared_away() {
    type Lay = fn(&Path);
    let lay: [(&str, Lay); 6] = [
        ("file in a file's place", |at| fs::write(at.join("note.txt"), b"x").unwrap()),
        ("folder in a file's place", |at| fs::create_dir_all(at.join("note.txt/x")).unwrap()),
        ("file in a folder's place", |at| fs::write(at.join("plates"), b"x").unwrap()),
        ("link in a file's place", |at| symlink("/etc/passwd", at.join("note.txt")).unwrap()),
        ("link in a folder's place", |at| symlink("/tmp", at.join("plates")).unwrap()),
        ("extra tree", |at| fs::create_dir_all(at.join("a/b/c")).unwrap()),
    ];
    for (what, lay) in lay {
        let shot = Shot::new();
        let accident = |now| {
            if now == After::Prepare {
                lay(&shot.hidden("partial"));
            }
        };
        deliver(&shot.plan(1), &accident).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(digest_tree(&shot.destination()), shot.listing, "{what}");
    }
    let shot = Shot::new();
    let gone = |now| {
        if now == After::Prepare {
            fs::remove_dir(shot.hidden("partial")).unwrap();
        }
    };
    let error = deliver(&shot.plan(1), &gone).unwrap_err();
    assert_eq!(error.code(), "copy.fenced");
}

#[test]
fn the_table_has_each_damage_once_in_each_row() {
    let mut seen = BTreeMap::new();
    for (place, after, row) in TABLE {
        let mut damages: Vec<_> = row.iter().map(|(damage, _)| *damage).collect();
        damages.sort();
        damages.dedup();
        assert_eq!(damages.len(), ALL.len(), "{place:?} {after:?}");
        assert!(seen.insert((place, after), ()).is_none(), "{place:?} {after:?} twice");
    }
}
