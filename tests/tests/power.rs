//! The power fails in the middle of a transfer's life: database, keys, staging and
//! production lose whatever was not flushed, and no told success is among it.
//!
//! `DATABRIDGE_TEST_POWER_RUNS` says how many seeded lives there are (20), and
//! `DATABRIDGE_TEST_POWER_SEED` which seed is the first (1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use databridge_tests::delivery;
use databridge_tests::faultfs::{FaultFs, Loss};
use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::studio::{Place, Settings, found};
use databridge_tests::tree::Random;

/// A file system whose power fails after so many changes, the next moment last.
struct Cuts {
    fs: FaultFs,
    moments: Vec<u64>,
    losses: Random,
    cuts: usize,
}

impl Accident for Cuts {
    fn settings(&mut self) -> Settings {
        if let Some(changes) = self.moments.pop() {
            self.fs.cut_power_after(changes);
        }
        Settings::new()
    }

    fn is_broken(&self) -> bool {
        self.fs.is_dead()
    }

    fn repair(&mut self) {
        assert!(self.fs.is_dead(), "the daemon died of something else");
        self.cuts += 1;
        let seed = self.losses.number();
        // What survives of the unflushed is chance, and often nothing.
        let loss = if seed.is_multiple_of(3) { Loss::Everything } else { Loss::Seeded(seed) };
        self.fs.power_cut(loss);
    }
}

/// Lives a life on a file system that fails at these moments; answers how many
/// changes it made, and how often the power failed.
fn live(seed: u64, moments: Vec<u64>) -> (u64, usize) {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultFs::mount();
    let place = Place::below(fs.path());
    let people = found(&place);
    fs.flush_all();
    let before = fs.changes();
    let cuts = Cuts { fs, moments, losses: Random::new(seed), cuts: 0 };
    let mut life = Life::at(place, people, Source::media(folder.path(), seed), cuts);
    life.live();
    life.jobs();
    life.stop();
    // From here on we look at the disk ourselves, which must not fail under our eyes.
    if life.accident.is_broken() {
        life.accident.repair();
    }
    life.accident.moments.clear();
    life.accident.fs.cut_power_after(u64::MAX);
    delivery::check(&mut life);
    life.stop();
    (life.accident.fs.changes() - before, life.accident.cuts)
}

#[test]
fn told_successes_survive_power_cuts() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
    };
    let (runs, first) =
        (number("DATABRIDGE_TEST_POWER_RUNS", 20), number("DATABRIDGE_TEST_POWER_SEED", 1));
    let (changes, _) = live(0, Vec::new());
    eprintln!("a life makes {changes} changes");
    let (mut all, mut failed) = (0, Vec::new());
    for seed in first..first + runs {
        let mut random = Random::new(seed);
        let first = random.below(changes);
        let second = seed.is_multiple_of(2).then(|| random.below(changes - first));
        // The next one stands last.
        let moments: Vec<u64> = second.into_iter().chain([first]).collect();
        eprintln!("seed {seed}: after {moments:?} changes, the last first");
        match catch_unwind(AssertUnwindSafe(|| live(seed, moments.clone()))) {
            Ok((_, cuts)) => all += cuts,
            Err(_) => failed.push((seed, moments)),
        }
    }
    eprintln!("{all} power cuts");
    assert!(failed.is_empty(), "lives that went wrong: {failed:?}");
    assert!(all >= runs as usize, "the power failed only {all} times");
}
