//! What goes first, what stands still, and how fast the rest may go.

use std::time::{Duration, Instant};

use databridge_core::base::cancel::Cancel;
use databridge_core::base::error::ErrorKind;
use databridge_tests::process::PATIENCE;
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

on_both!(
    what_is_urgent_goes_first,
    who_only_creates_does_not_go_before_others,
    a_pause_holds_what_waits_and_is_on_record,
    only_work_under_way_is_paused_and_only_by_who_executes_it,
    a_paused_transfer_can_be_withdrawn,
    a_copy_in_hand_stands_still_and_holds_up_no_other,
    a_held_job_is_let_go_of_when_its_worker_ends,
    outside_of_the_window_only_what_is_urgent_goes,
    limits_are_set_by_who_may_and_on_record,
);

async fn started(lab: &Lab) -> String {
    let code = lab.scanned(&[("a.exr", b"a")]).await;
    lab.act("it_team", "start", &code).await;
    code
}

/// Three, none of which was worked on.
async fn all_started(lab: &Lab) -> [String; 3] {
    let file: &[(&str, &[u8])] = &[("a.exr", b"a")];
    let all = [lab.scanned(file).await, lab.scanned(file).await, lab.scanned(file).await];
    for code in &all {
        lab.act("it_team", "start", code).await;
    }
    all
}

async fn what_is_urgent_goes_first(kind: Kind) {
    let lab = Lab::open(kind).await;
    let [first, second, low] = all_started(&lab).await;
    let wish = json!({ "code": second, "priority": "high" });
    let shown = lab.ok("it_team", "transfer_priority", wish).await;
    assert_eq!(shown["priority"], "high");
    // All of its jobs come before the first of the other.
    lab.work_to(&second, "delivered").await;
    assert_eq!(lab.state(&first).await, "preparing");
    lab.ok("it_team", "transfer_priority", json!({ "code": first, "priority": "low" })).await;
    let (low, first) = (first, low);
    lab.work_to(&first, "delivered").await;
    assert_eq!(lab.state(&low).await, "preparing");
    assert!(lab.kinds(&low).await.contains(&"transfer.prioritised".to_owned()));
    assert_eq!(lab.settle(&low).await, "delivered");
    let late = json!({ "code": low, "priority": "urgent" });
    let error = lab.refused("it_team", "transfer_priority", late).await;
    assert_eq!(error.code(), "transfer.not_under_way");
}

async fn who_only_creates_does_not_go_before_others(kind: Kind) {
    let lab = Lab::open(kind).await;
    let new = |priority: &str| json!({ "title": "x", "project": "film", "category": "c", "priority": priority });
    for (who, priority, may) in [
        ("artist", "low", true),
        ("artist", "normal", true),
        ("artist", "high", false),
        ("artist", "urgent", false),
        ("chief", "urgent", true),
    ] {
        match lab.call(who, "transfer_create", new(priority)).await {
            Ok(made) => {
                assert!(may, "{who} {priority}");
                assert_eq!(made["priority"], priority);
            }
            Err(error) => {
                assert!(!may, "{who} {priority}: {error:?}");
                assert_eq!(error.kind(), ErrorKind::Forbidden);
            }
        }
    }
    let code = lab.create().await;
    for who in ["artist", "data_team", "supervisor"] {
        let wish = json!({ "code": code, "priority": "urgent" });
        let error = lab.refused(who, "transfer_priority", wish).await;
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{who}");
    }
}

async fn a_pause_holds_what_waits_and_is_on_record(kind: Kind) {
    let lab = Lab::open(kind).await;
    while lab.step().await {}
    let code = started(&lab).await;
    let why = json!({ "code": code, "reason": "the network is needed" });
    let shown = lab.ok("it_team", "transfer_pause", why).await;
    assert_eq!(shown["state"], "preparing");
    assert_eq!(shown["paused"]["by"], "it_team");
    assert_eq!(shown["paused"]["reason"], "the network is needed");
    while lab.step().await {}
    assert_eq!(lab.state(&code).await, "preparing", "nothing of it is due");
    let (settled, _) = lab.app.transfers().settled(lab.who("chief"), &code).await.unwrap();
    assert!(settled, "it waits for a person");
    let shown = lab.act("it_team", "transfer_resume", &code).await;
    assert!(shown["paused"].is_null());
    // The next step is held as well when the pause comes just before it.
    lab.work_to(&code, "transferring").await;
    lab.act("it_team", "transfer_pause", &code).await;
    while lab.step().await {}
    assert_eq!(lab.state(&code).await, "transferring");
    lab.act("it_team", "transfer_resume", &code).await;
    assert_eq!(lab.settle(&code).await, "delivered");
    let kinds = lab.kinds(&code).await;
    let told = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
    assert_eq!((told("transfer.paused"), told("transfer.resumed")), (2, 2));
    let attempts: Vec<_> = jobs(&lab.show(&code).await, "attempts");
    assert!(attempts.iter().all(|n| *n == 1), "no retry was spent: {attempts:?}");
}

fn jobs(shown: &Value, field: &str) -> Vec<i64> {
    shown["jobs"].as_array().unwrap().iter().map(|job| job[field].as_i64().unwrap()).collect()
}

async fn only_work_under_way_is_paused_and_only_by_who_executes_it(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    let fields = || json!({ "code": code });
    let error = lab.refused("it_team", "transfer_pause", fields()).await;
    assert_eq!((error.code(), error.kind()), ("transfer.not_under_way", ErrorKind::IllegalState));
    let error = lab.refused("it_team", "transfer_resume", fields()).await;
    assert_eq!(error.code(), "transfer.not_paused");
    let code = started(&lab).await;
    let fields = || json!({ "code": code });
    for who in ["artist", "data_team", "team_lead"] {
        for op in ["transfer_pause", "transfer_resume"] {
            let error = lab.refused(who, op, fields()).await;
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{who} {op}");
        }
    }
    lab.act("it_team", "transfer_pause", &code).await;
    let error = lab.refused("it_team", "transfer_pause", fields()).await;
    assert_eq!(error.code(), "transfer.not_under_way");
    let error = lab.refused("it_team", "transfer_resume", json!({ "code": "TRF-99999" })).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

async fn a_paused_transfer_can_be_withdrawn(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = started(&lab).await;
    lab.work_to(&code, "transferring").await;
    lab.act("it_team", "transfer_pause", &code).await;
    lab.act("it_team", "transfer_cancel", &code).await;
    assert_eq!(lab.settle(&code).await, "cancelled");
    assert!(lab.show(&code).await["paused"].is_null());
    assert!(lab.around(&code).await.is_empty());
}

/// Asks until something is so, as somebody at the console would.
async fn until(lab: &Lab, code: &str, is: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = lab.show(code).await;
        if is(&shown) {
            return shown;
        }
        assert!(Instant::now() < deadline, "{shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The progress of its job in hand.
fn progress(shown: &Value) -> &Value {
    let jobs = shown["jobs"].as_array().unwrap();
    jobs.iter().find(|job| job["state"] == "leased").map_or(&Value::Null, |job| &job["progress"])
}

async fn a_copy_in_hand_stands_still_and_holds_up_no_other(kind: Kind) {
    let lab = Lab::open(kind).await;
    let large = vec![7; 8 << 20];
    let code = lab.scanned(&[("large.exr", &large)]).await;
    let other = lab.scanned(&[("a.exr", b"a")]).await;
    // So slow that it would take until tomorrow.
    let crawl = json!({ "bytes_per_second": 100 });
    lab.ok("it_team", "bandwidth_set", crawl).await;
    lab.act("it_team", "start", &code).await;
    let (stop, worker) = (Cancel::new(), lab.app.worker());
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(&stop).await }
    });
    until(&lab, &code, |t| progress(t)["phase"] == "copy").await;
    lab.act("it_team", "transfer_pause", &code).await;
    let held = until(&lab, &code, |t| progress(t)["held"] == "paused").await;
    assert_eq!(held["state"], "transferring");
    assert!(progress(&held)["eta_seconds"].is_null(), "nobody knows when it ends");
    assert_eq!(progress(&held)["total_bytes"], 8 << 20);

    // The one worker there is also does another's work meanwhile; and this one is at
    // full speed again, which moves nothing that is held.
    lab.ok("it_team", "bandwidth_set", json!({})).await;
    lab.act("it_team", "start", &other).await;
    until(&lab, &other, |t| t["state"] == "delivered").await;
    let still = until(&lab, &code, |t| progress(t)["held"] == "paused").await;
    assert_eq!(progress(&still)["bytes"], progress(&held)["bytes"]);
    assert!(lab.around(&code).await.iter().all(|name| name.starts_with('.')));

    lab.act("it_team", "transfer_resume", &code).await;
    let done = until(&lab, &code, |t| t["state"] == "delivered").await;
    assert!(jobs(&done, "attempts").iter().all(|n| *n <= 1), "it went on in its place");
    stop.cancel();
    working.await.unwrap();
}

async fn a_held_job_is_let_go_of_when_its_worker_ends(kind: Kind) {
    let lab = Lab::open(kind).await;
    let large = vec![7; 3 << 20];
    let code = lab.scanned(&[("a/first.exr", b"a"), ("large.exr", &large)]).await;
    lab.ok("it_team", "bandwidth_set", json!({ "bytes_per_second": 100 })).await;
    lab.act("it_team", "start", &code).await;
    let (stop, worker) = (Cancel::new(), lab.app.worker());
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(&stop).await }
    });
    until(&lab, &code, |t| progress(t)["phase"] == "copy").await;
    lab.act("it_team", "transfer_pause", &code).await;
    until(&lab, &code, |t| progress(t)["held"] == "paused").await;
    stop.cancel();
    working.await.unwrap();
    // Nobody has it, and nobody takes it.
    while lab.step().await {}
    let shown = lab.show(&code).await;
    assert_eq!(
        (&shown["state"], &shown["jobs"][0]["state"]),
        (&json!("transferring"), &json!("ready"))
    );
    assert_eq!(shown["jobs"][0]["held"], true);
    assert_eq!(shown["jobs"][0]["attempts"], 0, "no retry is spent on it");
    lab.ok("it_team", "bandwidth_set", json!({ "reset": true })).await;
    lab.act("it_team", "transfer_resume", &code).await;
    assert_eq!(lab.settle(&code).await, "delivered");
}

async fn outside_of_the_window_only_what_is_urgent_goes(kind: Kind) {
    // Three days from now, so that midnight may pass.
    let days = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let today = usize::try_from(now.as_secs() / 86_400 % 7).unwrap();
    let window = days[(today + 3) % 7].to_owned();
    let lab = Lab::open_with(kind, |config| config.copy.windows = vec![window]).await;
    let [code, urgent, _] = all_started(&lab).await;
    lab.ok("it_team", "transfer_priority", json!({ "code": urgent, "priority": "urgent" })).await;
    let worker = lab.app.worker();
    while worker.step(&Cancel::new()).await.unwrap() {}
    assert_eq!(lab.state(&urgent).await, "delivered");
    let waiting = lab.show(&code).await;
    assert_eq!(waiting["state"], "transferring", "prepared, and waiting");
    assert!(waiting["failure"].is_null());
    assert_eq!(jobs(&waiting, "attempts").iter().min(), Some(&0), "no retry is spent on waiting");
    // A host without that window, or the same one when it opens, takes it up.
    assert_eq!(lab.settle(&code).await, "delivered");
}

async fn limits_are_set_by_who_may_and_on_record(kind: Kind) {
    let lab = Lab::open(kind).await;
    for who in ["artist", "supervisor", "data_team"] {
        for (op, fields) in [("bandwidth_list", json!({})), ("bandwidth_set", json!({}))] {
            let error = lab.refused(who, op, fields).await;
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{who} {op}");
        }
    }
    let one = json!({ "host": "render-1", "bytes_per_second": 5_000_000 });
    lab.ok("it_team", "bandwidth_set", one).await;
    lab.ok("chief", "bandwidth_set", json!({ "bytes_per_second": 9 })).await;
    let all = lab.ok("chief", "bandwidth_set", json!({ "bytes_per_second": 7 })).await;
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    assert_eq!((&all[0]["host"], &all[0]["bytes_per_second"]), (&json!("*"), &json!(7)));
    assert_eq!(text(&all[1], "set_by"), "it_team");
    lab.ok("it_team", "bandwidth_set", json!({ "host": "render-1", "reset": true })).await;
    let left = lab.ok("it_team", "bandwidth_list", json!({})).await;
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    lab.seal().await;
    let events = lab.ok("chief", "activity", json!({})).await;
    let set = events.as_array().unwrap().iter().filter(|e| e["kind"] == "bandwidth.set").count();
    assert_eq!(set, 4);
}
