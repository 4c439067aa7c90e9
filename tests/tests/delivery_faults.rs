//! Deliveries into a production that fails: bytes that turn on the device, renames
//! without flags, a disk that is full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use databridge_tests::delivery;
use databridge_tests::faultfs::{FaultFs, Op};
use databridge_tests::life::{Life, Source, Traps};
use databridge_tests::studio::Place;
use rustix::io::Errno;
use serde_json::{Value, json};
use tempfile::TempDir;

/// An installation whose production is a file system of ours.
fn produce_on(fs: &FaultFs) -> (TempDir, Life<Traps>) {
    let folder = tempfile::tempdir().unwrap();
    let mut place = Place::below(folder.path());
    place.production = fs.path().to_owned();
    let source = Source::media(folder.path(), 3);
    (folder, Life::new(place, source, Traps::default()))
}

/// Nothing is to be seen of the transfer in production.
fn assert_nothing_visible(life: &Life<Traps>) {
    let shelf = life.payload().parent().unwrap().to_owned();
    let visible: Vec<_> =
        delivery::names(&shelf).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert!(visible.is_empty(), "{visible:?}");
}

fn never_delivered(life: &mut Life<Traps>) {
    let events = life.events();
    assert_eq!(delivery::count(&events).get("transfer.delivered"), None, "{events:?}");
    assert_nothing_visible(life);
}

/// What the delivered event says.
fn delivered_event(life: &mut Life<Traps>) -> Value {
    let path = format!("/transfers/{}/history", life.code);
    let events = life.call("admin", "GET", &path, json!({}));
    let found = events.as_array().unwrap().iter().find(|e| e["kind"] == "transfer.delivered");
    found.expect("it is not delivered").clone()
}

#[test]
fn a_byte_that_turned_on_the_device_is_caught_and_written_again() {
    let fs = FaultFs::mount();
    let (_folder, mut life) = produce_on(&fs);
    life.up_to_scanned();
    fs.flip_byte("comp_v003.1003.exr", 17_000);
    life.start();
    life.expect("verify_failed");
    assert_eq!(fs.flipped(), 1);
    let failure = life.show()["failure"].to_string();
    assert!(failure.contains("comp_v003.1003.exr"), "{failure}");
    never_delivered(&mut life);
    life.act("it", "transfer-ops", "retry", json!({}));
    life.expect("delivered");
    delivery::check_delivered_files(&mut life);
    assert_eq!(delivered_event(&mut life)["data"]["published"]["rename"], "no_replace");
}

#[test]
fn a_production_without_rename_flags_gets_it_checked_and_says_so() {
    let fs = FaultFs::mount();
    fs.refuse_rename_flags();
    let (_folder, mut life) = produce_on(&fs);
    life.live();
    delivery::check(&mut life);
    let event = delivered_event(&mut life);
    assert_eq!(event["data"]["published"]["rename"], "checked", "{event}");
}

#[test]
fn a_production_without_direct_io_is_read_back_all_the_same() {
    let fs = FaultFs::mount();
    fs.refuse_direct_io();
    let (_folder, mut life) = produce_on(&fs);
    fs.flip_byte("0065537.bin", 65_536);
    life.up_to_scanned();
    life.start();
    life.expect("verify_failed");
    never_delivered(&mut life);
    life.act("it", "transfer-ops", "retry", json!({}));
    life.expect("delivered");
    delivery::check_delivered_files(&mut life);
}

/// A disk that takes so many bytes and no more.
fn full(capacity_bytes: u64, state: &str) {
    let fs = FaultFs::mount();
    let (_folder, mut life) = produce_on(&fs);
    life.up_to_scanned();
    fs.capacity_bytes(capacity_bytes);
    life.start();
    life.expect(state);
    let failure = life.show()["failure"].clone();
    assert!(failure["hint"].is_string(), "{failure}");
    never_delivered(&mut life);
    fs.clear_faults();
    life.act("it", "transfer-ops", "retry", json!({}));
    life.expect("delivered");
    delivery::check_delivered_files(&mut life);
}

#[test]
fn a_full_production_is_told_before_anything_is_written() {
    full(64 << 10, "prepare_failed");
}

#[test]
fn a_production_that_runs_full_fails_the_copy_and_a_retry_completes_it() {
    let fs = FaultFs::mount();
    let (_folder, mut life) = produce_on(&fs);
    life.up_to_scanned();
    // There is room when it is looked for, and none when it is written.
    fs.fail_from(Op::Write, "0004097.bin", Errno::NOSPC, 1);
    fs.fail_from(Op::Fallocate, "0004097.bin", Errno::NOSPC, 1);
    life.start();
    life.expect("transfer_failed");
    never_delivered(&mut life);
    fs.clear_faults();
    life.act("it", "transfer-ops", "retry", json!({}));
    life.expect("delivered");
    delivery::check_delivered_files(&mut life);
}
