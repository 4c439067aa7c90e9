//! Two workers on one delivery: the later epoch has it.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

use databridge_core::media::copy::{self, Aborted, Error, Plan};

use super::{Room, When, deliver};

type Phase = fn(&Plan) -> Result<(), Error>;

const PHASES: [Phase; 4] = [
    |plan| copy::prepare(plan).map(drop),
    |plan| copy::transfer(plan, &()).map(drop),
    |plan| copy::verify(plan, &()).map(drop),
    |plan| copy::publish(plan, &()).map(drop),
];

fn taken(result: Result<copy::Prepared, Error>) {
    assert!(result.unwrap().taken_over.is_some());
}

fn fenced<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Fenced { .. })), "{result:?}");
}

#[test]
fn a_successor_takes_over_between_every_two_phases() {
    // After so many phases of epoch 1, epoch 2 has got so far when 1 goes on.
    for first in 1..=3 {
        for second in 1..=4 {
            let room = Room::new();
            let (old, new) = (room.plan(1), room.plan(2));
            PHASES[..first].iter().for_each(|phase| phase(&old).unwrap());
            let prepared = copy::prepare(&new).unwrap();
            assert_eq!(prepared.taken_over, Some(1));
            PHASES[1..second].iter().for_each(|phase| phase(&new).unwrap());
            PHASES.iter().for_each(|phase| fenced(phase(&old)));
            fenced(copy::finish(&old));
            fenced(copy::abort(&old));
            PHASES[second..].iter().for_each(|phase| phase(&new).unwrap());
            copy::finish(&new).unwrap();
            room.assert_delivered();
            PHASES[1..].iter().for_each(|phase| fenced(phase(&old)));
            assert!(matches!(copy::prepare(&old), Err(Error::DestinationExists { .. })));
            room.assert_delivered();
        }
    }
}

#[test]
fn a_worker_that_stood_still_in_a_write_does_not_touch_its_successors_tree() {
    for at in 1..10 {
        let room = Room::new();
        let (mut old, new) = (room.plan(1), room.plan(2));
        old.policy.jobs = NonZeroUsize::new(1);
        copy::prepare(&old).unwrap();
        let result = copy::transfer(
            &old,
            &When::bytes(at, || {
                copy::prepare(&new).unwrap();
                copy::transfer(&new, &()).unwrap();
                copy::verify(&new, &()).unwrap();
            }),
        );
        fenced(result);
        copy::publish(&new, &()).unwrap();
        copy::finish(&new).unwrap();
        room.assert_delivered();
    }
}

#[test]
fn a_mark_set_after_the_takeover_is_not_believed() {
    // The old worker's file is done, but its mark comes when the new one has already
    // read the journal; a third must not take the second's open file for it.
    let room = Room::new();
    let (mut old, new, third) = (room.plan(1), room.plan(2), room.plan(3));
    old.policy.jobs = NonZeroUsize::new(1);
    copy::prepare(&old).unwrap();
    let result = copy::transfer(&old, &When::bytes(1, || taken(copy::prepare(&new))));
    fenced(result);
    assert_eq!(copy::prepare(&third).unwrap().kept_files, 0);
    copy::transfer(&third, &()).unwrap();
    copy::verify(&third, &()).unwrap();
    copy::publish(&third, &()).unwrap();
    copy::finish(&third).unwrap();
    room.assert_delivered();
}

#[test]
fn a_worker_that_stood_still_in_the_read_back_cannot_publish() {
    let room = Room::new();
    let (mut old, new) = (room.plan(1), room.plan(2));
    old.policy.jobs = NonZeroUsize::new(1);
    copy::prepare(&old).unwrap();
    copy::transfer(&old, &()).unwrap();
    fenced(copy::verify(&old, &When::file(3, || taken(copy::prepare(&new)))));
    // Even when the last file was read before the takeover.
    let third = room.plan(3);
    let files = usize::try_from(new.manifest.file_count()).unwrap();
    let mut second = new.clone();
    second.policy.jobs = NonZeroUsize::new(1);
    copy::transfer(&second, &()).unwrap();
    let _ = copy::verify(&second, &When::file(files, || taken(copy::prepare(&third))));
    fenced(copy::publish(&second, &()));
    copy::transfer(&third, &()).unwrap();
    assert!(matches!(copy::publish(&third, &()), Err(Error::NotVerified { .. })));
    copy::verify(&third, &()).unwrap();
    copy::publish(&third, &()).unwrap();
    copy::finish(&third).unwrap();
    room.assert_delivered();
}

#[test]
fn a_cancel_fences_the_worker_first() {
    for same_epoch in [true, false] {
        let room = Room::new();
        let mut old = room.plan(1);
        old.policy.jobs = NonZeroUsize::new(1);
        let canceller = room.plan(if same_epoch { 1 } else { 2 });
        copy::prepare(&old).unwrap();
        fenced(copy::transfer(
            &old,
            &When::bytes(3, || assert_eq!(copy::abort(&canceller).unwrap(), Aborted::Removed)),
        ));
        PHASES[1..].iter().for_each(|phase| fenced(phase(&old)));
        room.assert_nothing();
    }
}

#[test]
fn a_cancel_that_comes_too_late_says_so() {
    let room = Room::new();
    let (old, new) = (room.plan(1), room.plan(2));
    PHASES.iter().for_each(|phase| phase(&old).unwrap());
    let inode = room.destination().metadata().unwrap().ino();
    assert_eq!(copy::abort(&new).unwrap(), Aborted::AlreadyPublished);
    assert_eq!(copy::abort(&new).unwrap(), Aborted::AlreadyPublished);
    assert!(copy::prepare(&new).unwrap().adopting);
    assert_eq!(copy::abort(&new).unwrap(), Aborted::AlreadyPublished);
    assert!(deliver(&new).unwrap().adopted);
    assert_eq!(room.destination().metadata().unwrap().ino(), inode);
    room.assert_delivered();
}

#[test]
fn many_epochs_at_once_deliver_exactly_once() {
    for round in 0..6 {
        let room = Room::empty();
        for number in 0..20 {
            room.write(&format!("f.{number:04}.exr"), &super::content(number, 20_000));
        }
        let finished = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for epoch in 1..=6 {
                let plan = room.plan(epoch);
                let finished = &finished;
                scope.spawn(move || match deliver(&plan) {
                    Ok(_) => finished.store(true, Ordering::Release),
                    Err(Error::Fenced { .. } | Error::DestinationExists { .. }) => {}
                    Err(other) => panic!("round {round}, epoch {epoch}: {other:?}"),
                });
            }
        });
        assert!(finished.into_inner() || !room.destination().exists());
        let last = room.plan(100);
        match deliver(&last) {
            Ok(_) => {}
            Err(Error::DestinationExists { .. }) => copy::finish(&last).unwrap(),
            Err(other) => panic!("round {round}: {other:?}"),
        }
        room.assert_delivered();
        assert!(fs::read_dir(room.destination()).unwrap().count() == 20);
    }
}
