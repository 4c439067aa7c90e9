//! Stand-alone copies killed again and again, at named steps and anywhere between them:
//! `DATABRIDGE_TEST_COPY_KILLS` says how many kills there are (30), `DATABRIDGE_TEST_COPY_SEED`
//! the first seed (1). What stands at the final path is complete and right, or nothing
//! does. Needs the feature `steps`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use databridge_core::media::copy::{self, Error, HardLinks, Options, Policy};
use databridge_core::media::manifest::Manifest;
use databridge_core::media::monitor::{Monitor, Progress};
use rustix::process::{Signal, getpid, kill_process};

use super::{Room, manifest};

/// The steps of a stand-alone copy, and how often each is reached at most here.
const STEPS: [(&str, u64); 10] = [
    ("copy.announced", 1),
    ("copy.laid_out", 1),
    ("copy.prepared", 1),
    ("copy.file_written", 10),
    ("copy.flushed", 1),
    ("copy.read_back", 1),
    ("copy.journal_identity", 1),
    ("copy.published", 1),
    ("copy.parent_flushed", 1),
    ("copy.finished", 1),
];
/// Things that a monitor hears of in one life, at least.
const EVENTS: u64 = 60;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Kills its own process at the nth thing that it hears.
struct Dies(AtomicU64);

impl Monitor for Dies {
    fn on(&self, _: Progress<'_>) {
        if self.0.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

fn copied(source: &Path, to: &Path, links: &str, monitor: &dyn Monitor) -> Result<(), Error> {
    let policy = Policy { hard_links: HardLinks::parse(links).unwrap(), ..Policy::default() };
    copy::tree(source, to, &Options { policy, ..Options::default() }, monitor).map(drop)
}

/// The other process's part.
#[test]
fn life() {
    let Ok(text) = std::env::var("DATABRIDGE_TEST_LIFE") else { return };
    let parts: Vec<_> = text.split('|').collect();
    let dies = Dies(AtomicU64::new(parts[3].parse().unwrap()));
    copied(parts[0].as_ref(), parts[1].as_ref(), parts[2], &dies).unwrap();
}

/// One life with one trap; whether it was killed.
fn live(room: &Room, links: &str, trap: &Trap) -> bool {
    let (source, to) = (room.source(), room.destination());
    let event = if let Trap::Event(nth) = trap { *nth } else { u64::MAX };
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "campaign::life"]).stdout(Stdio::null()).stderr(Stdio::null());
    child.env(
        "DATABRIDGE_TEST_LIFE",
        format!("{}|{}|{links}|{event}", source.display(), to.display()),
    );
    if let Trap::Step(step, nth) = trap {
        child.env("DATABRIDGE_STEP", format!("{step}:{nth}:KILL"));
    }
    let status = child.status().unwrap();
    assert!(status.success() || status.signal() == Some(9), "{trap:?}: {status:?}");
    !status.success()
}

#[derive(Debug)]
enum Trap {
    Step(&'static str, u64),
    Event(u64),
}

fn trap(random: &mut u64) -> Trap {
    match next(random) % 3 {
        0 => Trap::Event(1 + next(random) % EVENTS),
        _ => {
            let (step, times) = STEPS[(next(random) % STEPS.len() as u64) as usize];
            Trap::Step(step, 1 + next(random) % times)
        }
    }
}

fn check(room: &Room, expected: &Manifest, links: &str, context: &str) {
    let to = room.destination();
    if to.symlink_metadata().is_ok() {
        assert_eq!(&manifest(&to), expected, "{context}");
        let names = to.join("note.txt").metadata().unwrap().nlink();
        assert_eq!(names, if links == "keep" { 2 } else { 1 }, "{context}");
    }
}

#[test]
fn killed_again_and_again_a_copy_is_whole_or_not_there() {
    let kills = number("DATABRIDGE_TEST_COPY_KILLS", 30);
    let mut seed = number("DATABRIDGE_TEST_COPY_SEED", 1);
    let (mut killed, mut lives) = (0, 0);
    let mut by: BTreeMap<String, u64> = BTreeMap::new();
    while killed < kills {
        let mut random = seed;
        let room = Room::new();
        let link = room.source().join("plates/again.txt");
        fs::hard_link(room.source().join("note.txt"), link).unwrap();
        let expected = manifest(&room.source());
        let links = ["copy", "keep"][(next(&mut random) % 2) as usize];
        for _ in 0..6 {
            let trap = trap(&mut random);
            let context = format!("seed {seed}, {links}, {trap:?}");
            lives += 1;
            let dead = live(&room, links, &trap);
            check(&room, &expected, links, &context);
            if !dead {
                break;
            }
            killed += 1;
            let name = if let Trap::Step(step, _) = trap { step } else { "between" };
            *by.entry(name.to_owned()).or_default() += 1;
            // Killed when all was done: nothing is left to go on from.
            if name == "copy.finished" {
                break;
            }
        }
        if !room.destination().exists() || !room.hidden("journal").is_empty() {
            copied(&room.source(), &room.destination(), links, &()).unwrap();
        }
        check(&room, &expected, links, &format!("seed {seed}"));
        assert!(room.destination().exists(), "seed {seed}");
        assert!(
            room.hidden("").is_empty()
                || room.hidden("").iter().all(|p| p.ends_with(".TRF-00042.databridge-lock")),
            "seed {seed}: {:?}",
            room.hidden("")
        );
        seed += 1;
    }
    println!("{killed} kills in {lives} lives: {by:?}");
    // With enough of them each step has its own.
    assert!(kills < 500 || by.len() == STEPS.len() + 1, "{by:?}");
}
