//! A transfer cancelled while its daemon is killed: either nothing of it is left,
//! or the cancel came too late and it is delivered whole.

use databridge_tests::delivery;
use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::studio::{Place, Settings};
use serde_json::json;

/// What each start of the daemon gets, the next one last.
struct Starts(Vec<Settings>);

impl Accident for Starts {
    fn settings(&mut self) -> Settings {
        self.0.pop().unwrap_or_default()
    }
}

/// A delivery killed at `reached`, then cancelled by a daemon that does no work,
/// and the cancel's own work killed at each of `struck` in turn.
fn cancel(reached: &str, struck: &[&str]) -> Life<Starts> {
    let trap = |step: &str| vec![("STEP", format!("{step}:KILL").into())];
    let idle: Settings = vec![("WORKERS", "0".into())];
    let mut starts = vec![trap(reached), idle];
    starts.extend(struck.iter().map(|step| trap(step)));
    starts.reverse();
    let folder = tempfile::tempdir().unwrap().keep();
    let source = Source::media(&folder, 7);
    let mut life = Life::new(Place::below(&folder), source, Starts(starts));
    life.up_to_scanned();
    life.start();
    // The daemon dies over its work, and the next one does none.
    while life.accident.0.len() > struck.len() {
        life.events();
        // Whoever asks without a pause has one of the cores.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let published = life.payload().exists();
    life.act("it", "transfers", "cancel", json!({ "reason": "the client withdrew the shot" }));
    life.stop();
    let state = life.settle();
    assert_eq!(state, if published { "delivered" } else { "cancelled" }, "{reached} {struck:?}");
    match published {
        true => delivery::check(&mut life),
        false => delivery::check_cancelled(&mut life),
    }
    assert!(life.accident.0.is_empty(), "{reached}: not every trap of {struck:?} sprang");
    // The daemon still keeps checkpoints in it.
    life.stop();
    std::fs::remove_dir_all(&folder).unwrap();
    life
}

#[test]
fn a_cancel_survives_kills_in_each_of_its_steps() {
    cancel("copy.file_written:5", &["copy.fenced:1", "abort.before_commit:1"]);
    cancel("copy.laid_out:1", &["abort.before_commit:1"]);
    cancel("copy.announced:1", &["abort.before_commit:1"]);
    cancel("copy.announced:2", &["copy.fenced:1"]);
    cancel("copy.fenced:1", &["abort.before_commit:1"]);
}

#[test]
fn a_cancel_takes_the_proof_back_before_the_payload_stands() {
    cancel("proof.written:1", &["copy.fenced:1", "abort.before_commit:1"]);
    cancel("proof.renamed:1", &["copy.fenced:1", "abort.before_commit:1"]);
    cancel("verify.proof_published:1", &["abort.before_commit:1"]);
    cancel("copy.journal_identity:1", &["copy.fenced:1"]);
}

#[test]
fn a_cancel_that_comes_too_late_says_so_and_the_delivery_goes_on() {
    for reached in ["copy.published:1", "copy.parent_flushed:1", "verify.published:1"] {
        cancel(reached, &["abort.before_commit:1", "verify.published:1"]);
    }
}
