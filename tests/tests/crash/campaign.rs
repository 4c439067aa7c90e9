//! One transfer delivered, however often its daemon is killed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use databridge_tests::delivery;
use databridge_tests::life::{Life, Source, Traps};
use databridge_tests::postgres::fresh_database;
use databridge_tests::studio::Place;
use databridge_tests::tree::Random;

/// Which database a life is lived on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Sqlite,
    Postgres,
}

/// A delivery's every step and how often it was reached, where nothing happens.
pub fn rehearse(store: Store) -> BTreeMap<String, u64> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut traps = Traps::of([]);
    traps.log = Some(log.path().to_owned());
    live(store, 0, traps);
    let mut steps = BTreeMap::new();
    for step in std::fs::read_to_string(log.path()).unwrap().lines() {
        *steps.entry(step.to_owned()).or_default() += 1;
    }
    assert!(
        steps.len() > 20,
        "this daemon knows no steps: build it by \
         `cargo build -p databridge-daemon --features steps`"
    );
    steps
}

/// Lives one life with these traps and checks its end. Answers how many sprang.
fn live(store: Store, seed: u64, traps: Traps) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let database = (store == Store::Postgres).then(fresh_database);
    let place = match &database {
        Some(database) => Place::on(folder.path(), database),
        None => Place::below(folder.path()),
    };
    let mut life = Life::new(place, Source::media(folder.path(), seed), traps);
    life.live();
    delivery::check(&mut life);
    life.accident.sprung()
}

/// Lives each of these, and tells of all that went wrong. Answers how often each
/// step killed.
fn survive(lives: Vec<(Store, u64, Vec<String>)>) -> BTreeMap<String, u32> {
    let mut histogram: BTreeMap<String, u32> = BTreeMap::new();
    let mut failed = Vec::new();
    for (store, seed, traps) in lives {
        let told = format!("{store:?}, seed {seed}, {traps:?}");
        eprintln!("{told}");
        let run = || live(store, seed, Traps::of(traps.clone()));
        let Ok(sprung) = catch_unwind(AssertUnwindSafe(run)) else {
            failed.push(told);
            continue;
        };
        for trap in &traps[..sprung.min(traps.len())] {
            *histogram.entry(trap.split(':').next().unwrap().to_owned()).or_default() += 1;
        }
    }
    eprintln!("kills by step:");
    for (step, kills) in &histogram {
        eprintln!("{kills:6} {step}");
    }
    assert!(failed.is_empty(), "lives that went wrong: {failed:#?}");
    histogram
}

fn kill(step: &str, count: u64) -> String {
    format!("{step}:{count}:KILL")
}

/// In every `turn`th of two steps, when it is reached for the first time and, if
/// there are several, for the last.
fn every_step(turn: usize) {
    let steps: Vec<_> = rehearse(Store::Sqlite).into_iter().skip(turn).step_by(2).collect();
    let mut lives = Vec::new();
    for (index, (step, times)) in steps.iter().enumerate() {
        lives.push((Store::Sqlite, index as u64, vec![kill(step, 1)]));
        if *times > 1 {
            lives.push((Store::Sqlite, index as u64, vec![kill(step, *times)]));
        }
    }
    let kills = survive(lives);
    for (step, _) in &steps {
        assert!(kills.contains_key(step), "{step} never killed");
    }
}

#[test]
fn a_kill_in_every_other_step_is_survived() {
    every_step(0);
}

#[test]
fn a_kill_in_the_steps_between_is_survived() {
    every_step(1);
}

#[test]
fn kills_at_seeded_moments_are_survived() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
    };
    let (runs, first) =
        (number("DATABRIDGE_TEST_CRASH_RUNS", 10), number("DATABRIDGE_TEST_CRASH_SEED", 1));
    let steps: Vec<(String, u64)> = rehearse(Store::Sqlite).into_iter().collect();
    let lives = (first..first + runs).map(|seed| {
        let mut random = Random::new(seed);
        let mut moment = || {
            let (step, times) = &steps[random.below(steps.len() as u64) as usize];
            kill(step, 1 + random.below(*times))
        };
        let traps = if seed.is_multiple_of(3) { vec![moment(), moment()] } else { vec![moment()] };
        (if seed.is_multiple_of(4) { Store::Postgres } else { Store::Sqlite }, seed, traps)
    });
    survive(lives.collect());
}
