//! `kill -9` of the daemon while it takes in pieces, and hosts that take turns.

use std::process::Command;

use databridge_tests::process::{PATIENCE, run};
use databridge_tests::studio::{Running, Settings};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{Tus, noise};
use crate::desk::{Desk, Kind};

on_both!(a_kill_at_any_step_costs_no_byte, any_sequence_makes_just_the_bytes);

fn restart(desk: &mut Desk, settings: &Settings) {
    desk.running.daemon.kill_9();
    desk.running = Running::start(&desk.place, settings).expect("the daemon does not start");
}

fn a_kill_at_any_step_costs_no_byte(kind: Kind) {
    let bytes = noise(50_000, 3);
    let mut desk = Desk::open(kind);
    // Where it is killed in the second of three pieces, or in the last.
    for (step, is_last) in [
        ("upload.flushed", false),
        ("upload.kept", false),
        ("upload.moved", true),
        ("upload.finished", true),
    ] {
        let (code, at) = {
            let tus = Tus::new(&desk);
            let at = tus.begin("a.exr", bytes.len());
            assert_eq!(tus.send(&at, 0, &bytes[..20_000]), 20_000);
            if is_last {
                assert_eq!(tus.send(&at, 20_000, &bytes[20_000..40_000]), 40_000);
            }
            (tus.code.clone(), at)
        };
        restart(&mut desk, &vec![("STEP", format!("{step}:1:KILL").into())]);
        let from = if is_last { 40_000 } else { 20_000 };
        let to = from + if is_last { 10_000 } else { 20_000 };
        let tus = Tus { desk: &desk, code: code.clone(), who: "artist" };
        let answer = tus.piece(&at, from as u64, &bytes[from..to], &[]);
        assert_eq!(answer.status, 0, "{step}: {answer:?}");
        desk.running.daemon.wait(PATIENCE);
        restart(&mut desk, &Settings::new());
        let tus = Tus { desk: &desk, code, who: "artist" };
        let kept = tus.offset(&at);
        let counts = matches!(step, "upload.kept" | "upload.finished");
        assert_eq!(kept, if counts { to } else { from } as u64, "{step}");
        // It never says that all is there before the file is.
        assert_eq!(tus.files().len(), usize::from(step == "upload.finished"), "{step}");
        if kept < bytes.len() as u64 {
            assert_eq!(tus.send(&at, kept, &bytes[kept as usize..]), 50_000);
        }
        tus.has(&at, "a.exr", &bytes);
    }
}

/// What happens to an upload.
#[derive(Debug, Clone)]
enum Happens {
    /// A piece comes in.
    Piece(usize),
    /// One whose checksum is wrong.
    Spoilt(usize),
    /// Somebody asks how far it is.
    Look,
    /// The daemon dies and comes back.
    Killed,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0..40_000usize).prop_map(Happens::Piece),
        1 => (1..40_000usize).prop_map(Happens::Spoilt),
        2 => Just(Happens::Look),
        2 => Just(Happens::Killed),
    ]
}

fn sequences(kind: Kind, cases: u32) {
    const LENGTH: usize = 100_000;
    let desk = std::cell::RefCell::new(Desk::open(kind));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    // The same ones each time: what fails is found again.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let all = proptest::collection::vec(happens(), 1..8);
    let ran = TestRunner::new_with_rng(config, rng).run(&(all, any::<u64>()), |(all, seed)| {
        let mut desk = desk.borrow_mut();
        let bytes = noise(LENGTH, seed);
        let (code, at) = {
            let tus = Tus::new(&desk);
            (tus.code.clone(), tus.begin("a.exr", LENGTH))
        };
        let mut sent = 0;
        for one in all {
            if matches!(one, Happens::Killed) {
                restart(&mut desk, &Settings::new());
            }
            let tus = Tus { desk: &desk, code: code.clone(), who: "artist" };
            match one {
                Happens::Piece(length) => {
                    let to = (sent + length).min(LENGTH);
                    prop_assert_eq!(tus.send(&at, sent as u64, &bytes[sent..to]), to as u64);
                    sent = to;
                }
                Happens::Spoilt(length) if sent < LENGTH => {
                    let wrong = format!("sha1 {}", super::base64(&[7; 20]));
                    let to = (sent + length).min(LENGTH);
                    let headers = [("upload-checksum", wrong)];
                    let answer = tus.piece(&at, sent as u64, &bytes[sent..to], &headers);
                    prop_assert_eq!(answer.status, 460);
                }
                Happens::Look | Happens::Killed | Happens::Spoilt(_) => {
                    prop_assert_eq!(tus.offset(&at), sent as u64);
                }
            }
        }
        let tus = Tus { desk: &desk, code, who: "artist" };
        tus.send(&at, sent as u64, &bytes[sent..]);
        tus.has(&at, "a.exr", &bytes);
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}

fn any_sequence_makes_just_the_bytes(kind: Kind) {
    sequences(kind, 4);
}

#[test]
#[ignore = "long: `make test-long`"]
fn many_sequences_make_just_the_bytes() {
    sequences(Kind::Sqlite, 100);
    sequences(Kind::Postgres, 100);
}

#[test]
fn hosts_take_turns_at_one_upload() {
    let mut desk = Desk::open(Kind::Postgres);
    let first = Tus::new(&desk);
    let bytes = noise(90_000, 4);
    let at = first.begin("a.exr", bytes.len());
    assert_eq!(first.send(&at, 0, &bytes[..30_000]), 30_000);
    let code = first.code.clone();
    let mut place = desk.place.clone();
    place.data = place.data.with_file_name("second");
    std::fs::create_dir(&place.data).unwrap();
    run(Command::new("cp").arg("-a").arg(desk.place.data.join("keys")).arg(&place.data));
    let second = Running::start(&place, &Settings::new()).expect("the second does not start");
    let second = Desk::of(desk.people.clone(), place, second);
    let there = Tus { desk: &second, code: code.clone(), who: "artist" };
    assert_eq!(there.offset(&at), 30_000);
    assert_eq!(there.send(&at, 30_000, &bytes[30_000..60_000]), 60_000);
    // The one that had it first dies; nobody has to wait for that.
    desk.running.daemon.kill_9();
    assert_eq!(there.send(&at, 60_000, &bytes[60_000..]), 90_000);
    there.has(&at, "a.exr", &bytes);
}
