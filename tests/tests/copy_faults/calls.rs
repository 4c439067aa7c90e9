//! Every call of a delivery fails, in every way: what must follow is written down.

use databridge_core::media::copy::{self, Error, Plan};
use databridge_tests::faultfs::{FaultFs, Op};
use databridge_tests::tree::digest_tree;
use rustix::io::Errno;

use super::{Shot, destination, tells};

/// What must become of a call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The phase that makes it ends with what the system said.
    Told,
    /// The delivery succeeds all the same.
    Borne,
}

/// The phases of a delivery.
const PHASES: [&str; 4] = ["prepare", "transfer", "verify", "publish"];
const TRANSFER: usize = 1;
const VERIFY: usize = 2;

/// Goes through the phases; where it failed.
fn phases(plan: &Plan, mut after: impl FnMut()) -> Result<(), (usize, Box<Error>)> {
    for phase in 0..PHASES.len() {
        match phase {
            0 => copy::prepare(plan).map(drop),
            TRANSFER => copy::transfer(plan, &()).map(drop),
            VERIFY => copy::verify(plan, &()).map(drop),
            _ => copy::publish(plan, &()).map(drop),
        }
        .map_err(|error| (phase, Box::new(error)))?;
        after();
    }
    Ok(())
}

/// One call of a delivery without faults.
#[derive(Debug)]
struct Made {
    op: Op,
    path: String,
    phase: usize,
    /// Which of this kind on this path and in this phase, from 1.
    place: usize,
}

/// All calls of a delivery without faults.
fn made(shot: &Shot) -> Vec<Made> {
    let fs = FaultFs::mount();
    let mut ends = Vec::new();
    phases(&shot.plan(&fs, 1), || ends.push(fs.calls().len())).unwrap();
    let phase = |index: usize| ends.iter().filter(|end| **end <= index).count();
    let mut made: Vec<Made> = Vec::new();
    for (index, call) in fs.calls().into_iter().enumerate().take(ends[3]) {
        made.push(Made { op: call.op, path: call.path, phase: phase(index), place: 0 });
    }
    for index in 0..made.len() {
        let same = |other: &&Made| {
            (other.op, &other.path, other.phase)
                == (made[index].op, &made[index].path, made[index].phase)
        };
        made[index].place = made[..=index].iter().filter(same).count();
    }
    made
}

/// What must hold when this call fails so. All that is borne, and why:
/// - Preallocation is a help only; but that there is no room, or no disk, is told.
/// - One direct read or write of the long file is several calls. If a later one fails
///   the kernel says that it was short, and the rest is asked for again. (Of its four
///   writes the second ends the first block; the third is a block, and the last goes
///   through the page cache, since it ends within a page.)
/// - A file that is read back is opened once more if the server lost its handle.
fn expected(call: &Made, errno: Errno) -> Then {
    let is_payload = call.path.contains("databridge-partial");
    let is_long = is_payload && call.path.ends_with("comp.1001.exr");
    let place = call.place;
    match (call.op, call.phase) {
        (Op::Fallocate, TRANSFER) if errno == Errno::ACCESS => Then::Borne,
        (Op::Write, TRANSFER) if is_long && place == 2 => Then::Borne,
        (Op::Read, VERIFY) if is_long && place > 1 => Then::Borne,
        (Op::Read, VERIFY) if is_payload && errno == Errno::STALE => Then::Borne,
        _ => Then::Told,
    }
}

#[test]
fn each_failing_call_is_told_in_its_phase_or_borne_for_a_reason() {
    const ERRORS: [Errno; 4] = [Errno::NOSPC, Errno::IO, Errno::STALE, Errno::ACCESS];
    let shot = Shot::small();
    let ops = [
        Op::Create,
        Op::Open,
        Op::Write,
        Op::Read,
        Op::Fsync,
        Op::FsyncDir,
        Op::Rename,
        Op::Mkdir,
        Op::Setattr,
        Op::Unlink,
        Op::Readdir,
        Op::Fallocate,
    ];
    let made = made(&shot);
    let (mut told, mut borne) = (0, 0);
    for op in ops {
        for (call, nth) in made.iter().filter(|call| call.op == op).zip(1..) {
            // Where a call may be borne each errno is tried, elsewhere one after another.
            let all = ERRORS.map(|errno| (errno, expected(call, errno)));
            let varies = all.iter().any(|(_, then)| *then == Then::Borne);
            let turn = (nth % 4) as usize;
            for (_, (errno, then)) in
                all.into_iter().enumerate().filter(|(n, _)| varies || *n == turn)
            {
                let context = format!("{op:?} number {nth} ({call:?}) fails with {errno:?}");
                let fs = FaultFs::mount();
                fs.fail(op, "", errno, nth);
                match (phases(&shot.plan(&fs, 1), || {}), then) {
                    (Ok(()), Then::Borne) => {
                        assert_eq!(digest_tree(&destination(&fs)), shot.listing, "{context}");
                        borne += 1;
                    }
                    (Err((phase, error)), Then::Told) => {
                        assert_eq!(PHASES[phase], PHASES[call.phase], "{context}: {error:?}");
                        assert!(tells(&error, errno), "{context}: {error:?}");
                        told += 1;
                    }
                    (done, _) => panic!("{context}: {then:?} was expected: {done:?}"),
                }
                assert!(fs.struck() > 0, "{context}: did not happen");
                shot.assert_absent_or_whole(&fs, &context);
                fs.clear_faults();
                shot.deliver_at_last(&fs, 2, &context);
            }
        }
    }
    println!("{told} faults told, {borne} borne");
    assert!(told > 60 && borne >= 8, "{told} told, {borne} borne");
}
