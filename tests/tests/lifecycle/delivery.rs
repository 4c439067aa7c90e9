//! On the way to production: what stands in the way, and turning back.

use std::path::Path;

use databridge_tests::mounts;
use databridge_tests::tree::{digest_tree, write_media};
use serde_json::json;

use crate::lab::{Kind, Lab, names, text};
use crate::matrix::{TABLE, reach};

on_both!(
    a_shot_arrives_whole_with_its_proof_beside_it,
    whatever_stands_at_the_destination_stays_until_it_is_moved_away,
    a_cancel_from_every_state_leaves_nothing_behind,
    a_cancel_after_the_publishing_comes_too_late,
    production_that_takes_nothing_is_a_failed_step_that_can_be_retried,
    production_may_be_another_file_system,
    zero_bytes_and_empty_folders_arrive,
);

const FILES: &[(&str, &[u8])] = &[("a.exr", b"aaaa"), ("sub/b.txt", b"bbbb")];

async fn a_shot_arrives_whole_with_its_proof_beside_it(kind: Kind) {
    let lab = Lab::open(kind).await;
    let source = lab.dir("shot");
    let listing = write_media(&source, 7);
    let code = lab.create().await;
    lab.try_add("artist", &code, &source).await.unwrap();
    lab.submit(&code).await;
    lab.approve_all(&code).await;
    lab.scan_and_accept(&code).await;
    lab.deliver(&code).await;
    let payload = lab.destination(&code).await;
    assert_eq!(digest_tree(&payload), listing);
    assert_eq!(lab.around(&code).await, [code.clone(), format!("{code}.proof")]);
    let sums = databridge_tests::process::run(
        std::process::Command::new("sha256sum")
            .args(["-c", "--strict", "--quiet"])
            .arg(payload.with_extension("proof").join("SHA256SUMS"))
            .current_dir(&payload),
    );
    assert_eq!(sums, "");
    let story: Vec<_> = [
        "created",
        "files_added",
        "submitted",
        "frozen",
        "approved",
        "approved",
        "approved",
        "scan_started",
        "scan_undecided",
        "scan_accepted",
        "started",
        "prepared",
        "copied",
        "verified",
        "delivered",
    ]
    .iter()
    .map(|kind| format!("transfer.{kind}"))
    .collect();
    assert_eq!(lab.kinds(&code).await, story);
}

async fn whatever_stands_at_the_destination_stays_until_it_is_moved_away(kind: Kind) {
    let lab = Lab::open(kind).await;
    for (what, name) in
        [("file", ""), ("folder", ""), ("empty", ""), ("folder", ".proof"), ("file", ".proof")]
    {
        let code = lab.scanned(FILES).await;
        let payload = lab.destination(&code).await;
        let place = payload.with_file_name(format!("{code}{name}"));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        match what {
            "file" => std::fs::write(&place, "theirs").unwrap(),
            "empty" => std::fs::create_dir(&place).unwrap(),
            _ => {
                std::fs::create_dir(&place).unwrap();
                std::fs::write(place.join("theirs"), "theirs").unwrap();
            }
        }
        lab.act("it_team", "start", &code).await;
        assert_eq!(lab.settle(&code).await, "prepare_failed", "{what} {name}");
        let failure = lab.show(&code).await["failure"].clone();
        let wanted =
            if name.is_empty() { "copy.destination_exists" } else { "transfer.proof_exists" };
        assert_eq!(failure["code"], wanted, "{failure}");
        assert!(text(&failure, "message").contains(&code), "{failure}");
        assert!(!text(&failure, "hint").is_empty());
        assert_eq!(lab.around(&code).await, [format!("{code}{name}")], "{what} {name}");
        match what {
            "file" => assert_eq!(std::fs::read(&place).unwrap(), b"theirs"),
            "empty" => assert_eq!(names(&place), Vec::<String>::new()),
            _ => assert_eq!(names(&place), ["theirs"]),
        }
        std::fs::rename(&place, lab.dir("away").join(format!("{code}{name}"))).unwrap();
        lab.act("it_team", "retry", &code).await;
        assert_eq!(lab.settle(&code).await, "delivered", "{}", lab.show(&code).await["failure"]);
        assert_eq!(std::fs::read(payload.join("sub/b.txt")).unwrap(), b"bbbb");
    }
}

/// Nothing of it is anywhere.
async fn gone(lab: &Lab, code: &str, state: &str) {
    assert_eq!(lab.around(code).await, Vec::<String>::new(), "cancelled in {state}");
    let staging = lab.app.config().places().staging_of(code);
    assert!(!staging.exists(), "cancelled in {state}: {:?}", names(&staging));
    let shown = lab.show(code).await;
    assert_eq!(shown["state"], "cancelled", "{state}");
    let jobs = shown["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|j| j["state"] != "ready" && j["state"] != "leased"), "{jobs:?}");
}

async fn a_cancel_from_every_state_leaves_nothing_behind(kind: Kind) {
    let lab = Lab::open(kind).await;
    let cancels = TABLE.iter().filter(|row| row.1 == "cancel" && row.0 != "prepare_failed");
    for (state, _, _, to) in cancels {
        let code = reach(&lab, state).await;
        let fields = json!({ "code": code, "reason": "wrong plate" });
        let answer = lab.ok("it_team", "transfer_cancel", fields).await;
        assert_eq!((&answer["state"], &answer["reason"]), (&json!(to), &json!("wrong plate")));
        lab.settle(&code).await;
        gone(&lab, &code, state).await;
        let completed = lab.kinds(&code).await.contains(&"transfer.cancel_completed".to_owned());
        assert_eq!(completed, *to == "cancelling", "{state}");
    }
    // A withdrawal that failed is taken up again.
    let code = reach(&lab, "cancel_failed").await;
    lab.act("it_team", "retry", &code).await;
    lab.settle(&code).await;
    gone(&lab, &code, "cancel_failed").await;
    // What stood there before us stays.
    let code = reach(&lab, "prepare_failed").await;
    lab.act("it_team", "transfer_cancel", &code).await;
    assert_eq!(lab.settle(&code).await, "cancelled");
    assert_eq!(lab.around(&code).await, std::slice::from_ref(&code));
}

async fn a_cancel_after_the_publishing_comes_too_late(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(FILES).await;
    lab.act("it_team", "start", &code).await;
    lab.work_to(&code, "delivered").await;
    // As if the worker had died between the publishing and the commit, and
    // somebody cancelled before it was taken up again.
    lab.sql(&format!(
        "UPDATE transfers SET state = 'verifying', receipt = NULL WHERE code = '{code}'"
    ));
    lab.act("it_team", "transfer_cancel", &code).await;
    assert_eq!(lab.settle(&code).await, "delivered");
    let kinds = lab.kinds(&code).await;
    assert!(kinds.contains(&"transfer.cancel_too_late".to_owned()), "{kinds:?}");
    assert_eq!(lab.around(&code).await, [code.clone(), format!("{code}.proof")]);
}

/// The same lab over a production of our choice.
async fn on(kind: Kind, production: &Path) -> Lab {
    Lab::open_with(kind, |config| config.production = Some(production.into())).await
}

async fn production_that_takes_nothing_is_a_failed_step_that_can_be_retried(kind: Kind) {
    if !mounts::require_root("production_that_takes_nothing") {
        return;
    }
    let small = mounts::tmpfs(1 << 20);
    let lab = on(kind, small.path()).await;
    let ballast = small.path().join("ballast");
    let frame = vec![7; 600 << 10];
    let code = lab.scanned(&[("big.exr", &frame)]).await;
    std::fs::write(&ballast, vec![1; 700 << 10]).unwrap();
    lab.act("it_team", "start", &code).await;
    let state = lab.settle(&code).await;
    assert!(["prepare_failed", "transfer_failed"].contains(&state.as_str()), "{state}");
    let failure = lab.show(&code).await["failure"].clone();
    assert_eq!(failure["code"], "transfer.insufficient_space", "{failure}");
    assert!(!text(&failure, "hint").is_empty());
    assert!(failure["needed_bytes"].as_u64() > failure["free_bytes"].as_u64(), "{failure}");
    assert!(!lab.destination(&code).await.exists());
    std::fs::remove_file(&ballast).unwrap();
    lab.act("it_team", "retry", &code).await;
    assert_eq!(lab.settle(&code).await, "delivered", "{}", lab.show(&code).await["failure"]);

    let code = lab.scanned(FILES).await;
    remount(small.path(), "ro");
    lab.act("it_team", "start", &code).await;
    let state = lab.settle(&code).await;
    assert!(["prepare_failed", "transfer_failed"].contains(&state.as_str()), "{state}");
    let failure = lab.show(&code).await["failure"].clone();
    assert_eq!(failure["code"], "copy.read_only", "{failure}");
    assert!(!text(&failure, "hint").is_empty());
    remount(small.path(), "rw");
    lab.act("it_team", "retry", &code).await;
    assert_eq!(lab.settle(&code).await, "delivered", "{}", lab.show(&code).await["failure"]);
}

fn remount(point: &Path, how: &str) {
    databridge_tests::process::run(
        std::process::Command::new("mount").arg("-o").arg(format!("remount,{how}")).arg(point),
    );
}

async fn production_may_be_another_file_system(kind: Kind) {
    if !mounts::require_root("production_may_be_another_file_system") {
        return;
    }
    let disk = mounts::ext4(32 << 20);
    let lab = on(kind, disk.path()).await;
    let code = lab.scanned(FILES).await;
    lab.deliver(&code).await;
    let payload = lab.destination(&code).await;
    assert!(payload.starts_with(disk.path()));
    assert_eq!(std::fs::read(payload.join("a.exr")).unwrap(), b"aaaa");
}

async fn zero_bytes_and_empty_folders_arrive(kind: Kind) {
    let lab = Lab::open(kind).await;
    let files: &[(&str, &[u8])] = &[("nothing.exr", b""), ("empty/", b""), ("deep/er/", b"")];
    let code = lab.scanned(files).await;
    lab.deliver(&code).await;
    let payload = lab.destination(&code).await;
    assert_eq!(std::fs::metadata(payload.join("nothing.exr")).unwrap().len(), 0);
    assert!(payload.join("empty").is_dir() && payload.join("deep/er").is_dir());
    assert_eq!(names(&payload), ["deep", "empty", "nothing.exr"]);
}
