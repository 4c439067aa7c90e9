//! Runs: their table, their eleven steps, two operators at once.

use databridge_core::base::error::ErrorKind;
use serde_json::{Value, json};

use super::{advance, lot, open, plain_flow, plain_schema, publish, published, refused, run};
use crate::lab::{Kind, Lab, text};

on_both!(
    every_pair_of_statuses_is_as_the_table_says,
    a_run_goes_through_eleven_steps,
    the_same_key_is_the_same_run,
    of_two_operators_one_advances,
    a_run_pins_its_version,
    a_run_that_ends_early_skips_what_is_left,
    lots_take_the_step_and_the_phase_of_their_run,
);

const STATUSES: [&str; 6] = ["IDLE", "RUNNING", "HOLD", "COMPLETED", "ABORTED", "ARCHIVED"];

/// Typed from the source document's table of valid transitions.
const TABLE: [(&str, &[&str]); 6] = [
    ("IDLE", &["RUNNING", "ABORTED"]),
    ("RUNNING", &["COMPLETED", "HOLD", "ABORTED"]),
    ("HOLD", &["RUNNING", "ABORTED"]),
    ("COMPLETED", &["ARCHIVED"]),
    ("ABORTED", &[]),
    ("ARCHIVED", &[]),
];

async fn run_in(lab: &Lab, status: &str) -> String {
    let code = run(lab, "plain").await;
    let way: &[&str] = match status {
        "IDLE" => &[],
        "RUNNING" => &["RUNNING"],
        "HOLD" => &["RUNNING", "HOLD"],
        "COMPLETED" => &["RUNNING", "COMPLETED"],
        "ABORTED" => &["ABORTED"],
        "ARCHIVED" => &["RUNNING", "COMPLETED", "ARCHIVED"],
        other => panic!("no status {other}"),
    };
    for to in way {
        let from =
            text(&lab.ok("operator", "run_show", json!({ "run_code": code })).await, "status");
        let (op, fields) = to_status(&code, &from, to);
        lab.ok("operator", op, fields).await;
    }
    code
}

/// What brings a run to a status, whatever the table says.
fn to_status(code: &str, from: &str, to: &str) -> (&'static str, Value) {
    let moving = |action: &str| {
        ("run_move", json!({ "run_code": code, "action": action, "note": "because" }))
    };
    match (from, to) {
        ("HOLD", "RUNNING") => moving("resume"),
        (_, "RUNNING") => ("run_advance", json!({ "run_code": code, "to": 0 })),
        (_, "COMPLETED") => ("run_end", json!({ "run_code": code })),
        (_, "HOLD") => moving("hold"),
        (_, "ABORTED") => moving("abort"),
        (_, "ARCHIVED") => moving("archive"),
        (_, other) => panic!("nothing leads to {other}"),
    }
}

async fn every_pair_of_statuses_is_as_the_table_says(kind: Kind) {
    let lab = open(kind).await;
    plain_flow(&lab, "plain", |_| {}).await;
    for (from, legal) in TABLE {
        // Nothing leads back to IDLE.
        for to in &STATUSES[1..] {
            let code = run_in(&lab, from).await;
            let (op, fields) = to_status(&code, from, to);
            let answer = lab.call("operator", op, fields).await;
            let now = lab.ok("operator", "run_show", json!({ "run_code": code })).await;
            if legal.contains(to) {
                assert!(answer.is_ok(), "{from} → {to}: {answer:?}");
                assert_eq!(now["status"], *to);
            } else {
                let error = answer.expect_err(&format!("{from} → {to} was let through"));
                // A running run that is told to begin has moved on already.
                let kinds = [ErrorKind::IllegalState, ErrorKind::Conflict];
                assert!(kinds.contains(&error.kind()), "{from} → {to}: {error:?}");
                assert_eq!(now["status"], from);
            }
        }
    }
    let code = run_in(&lab, "RUNNING").await;
    for action in ["hold", "abort"] {
        let silent = json!({ "run_code": code, "action": action });
        refused(&lab, "operator", "run_move", silent, "lineage.no_reason").await;
    }
}

fn steps(run: &Value) -> Vec<String> {
    run["steps"].as_array().unwrap().iter().map(|s| text(s, "status")).collect()
}

async fn a_run_goes_through_eleven_steps(kind: Kind) {
    let lab = open(kind).await;
    plain_flow(&lab, "plain", |_| {}).await;
    let code = run(&lab, "plain").await;
    let shown = lab.ok("auditor", "run_show", json!({ "run_code": code })).await;
    assert_eq!(shown["status"], "IDLE");
    assert_eq!(shown["current_step_index"], 0);
    assert_eq!(shown["started_by"], "operator");
    assert_eq!(steps(&shown), ["PENDING"; 11]);
    let nodes: Vec<_> =
        shown["steps"].as_array().unwrap().iter().map(|s| text(s, "node_id")).collect();
    assert_eq!(nodes[3], "node-3");
    let begun = advance(&lab, &code, 0).await;
    assert_eq!(
        (begun["status"].as_str(), steps(&begun)[0].as_str()),
        (Some("RUNNING"), "IN_PROGRESS")
    );
    for to in 1..=10 {
        let fields = json!({ "run_code": code, "to": to });
        let who = if to == 4 { "manager" } else { "operator" };
        let run = lab.ok(who, "run_advance", fields).await;
        assert_eq!(run["current_step_index"], to);
        let now = steps(&run);
        assert_eq!(now[to as usize], "IN_PROGRESS");
        assert!(now[..to as usize].iter().all(|s| s == "COMPLETED"), "{now:?}");
    }
    let run = lab
        .ok("operator", "run_skip", json!({ "run_code": code, "to": 11, "reason": "no truck" }))
        .await;
    let last = &run["steps"][10];
    assert_eq!(
        (last["status"].as_str(), run["current_step_index"].as_i64()),
        (Some("SKIPPED"), Some(10))
    );
    assert_eq!(run["steps"][4]["operator"], "manager");
    assert!(
        run["steps"][4]["started_at"].is_string() && run["steps"][4]["completed_at"].is_string()
    );
    for to in [9, 10, 11] {
        let again = json!({ "run_code": code, "to": to });
        refused(&lab, "operator", "run_advance", again, "lineage.step_moved").await;
    }
    for to in [-1, 12] {
        let beyond = json!({ "run_code": code, "to": to });
        refused(&lab, "operator", "run_advance", beyond, "lineage.bad_field").await;
    }
    let ended = lab.ok("operator", "run_end", json!({ "run_code": code })).await;
    assert_eq!(ended["status"], "COMPLETED");
    assert!(ended["completed_at"].is_string());
    assert_eq!(ended["summary"]["steps_completed"], 10);
    assert_eq!(ended["summary"]["steps_skipped"], 1);
}

async fn the_same_key_is_the_same_run(kind: Kind) {
    let lab = open(kind).await;
    plain_flow(&lab, "plain", |_| {}).await;
    plain_flow(&lab, "other", |_| {}).await;
    let keyed = |flow: &str| json!({ "flow": flow, "run_key": "shift 1" });
    let first = lab.ok("operator", "run_create", keyed("plain")).await;
    let again = lab.ok("manager", "run_create", keyed("plain")).await;
    assert_eq!(first["run_code"], again["run_code"]);
    refused(&lab, "operator", "run_create", keyed("other"), "command.key_reused").await;
    let at_once = json!({ "flow": "plain", "run_key": "shift 2" });
    let (one, other) = tokio::join!(
        lab.ok("operator", "run_create", at_once.clone()),
        lab.ok("manager", "run_create", at_once),
    );
    assert_eq!(one["run_code"], other["run_code"]);
    let all = lab.ok("auditor", "run_list", json!({})).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
}

async fn of_two_operators_one_advances(kind: Kind) {
    let lab = open(kind).await;
    plain_flow(&lab, "plain", |_| {}).await;
    for _ in 0..5 {
        let code = run(&lab, "plain").await;
        for to in 0..4 {
            let fields = json!({ "run_code": code, "to": to });
            let (one, other) = tokio::join!(
                lab.call("operator", "run_advance", fields.clone()),
                lab.call("manager", "run_advance", fields),
            );
            assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
            let error = one.err().or(other.err()).unwrap();
            let told = ["lineage.step_moved", "command.stale"];
            assert!(told.contains(&error.code()), "{error:?}");
            let now = lab.ok("operator", "run_show", json!({ "run_code": code })).await;
            assert_eq!(now["current_step_index"], to);
        }
    }
}

async fn a_run_pins_its_version(kind: Kind) {
    let lab = open(kind).await;
    let draft = json!({ "name": "plain", "graph_schema": plain_schema() });
    lab.ok("manager", "flow_draft", draft).await;
    refused(&lab, "operator", "run_create", json!({ "flow": "plain" }), "lineage.not_published")
        .await;
    refused(&lab, "operator", "run_create", json!({ "flow": "none" }), "lineage.not_found").await;
    publish(&lab, "plain", 1).await;
    let old = run(&lab, "plain").await;
    lab.ok("manager", "flow_draft", json!({ "name": "plain" })).await;
    publish(&lab, "plain", 2).await;
    let new = lab.ok("operator", "run_create", json!({ "flow": "plain" })).await;
    assert_eq!(new["version_num"], 2);
    let shown = lab.ok("operator", "run_show", json!({ "run_code": old })).await;
    assert_eq!(shown["version_num"], 1);
    advance(&lab, &old, 0).await;
    let first = json!({ "flow": "plain", "version_num": 1 });
    refused(&lab, "operator", "run_create", first, "lineage.not_published").await;
}

async fn a_run_that_ends_early_skips_what_is_left(kind: Kind) {
    let lab = open(kind).await;
    plain_flow(&lab, "plain", |_| {}).await;
    let code = run(&lab, "plain").await;
    for to in 0..3 {
        advance(&lab, &code, to).await;
    }
    let ended = lab.ok("operator", "run_end", json!({ "run_code": code })).await;
    let mut expected = vec!["COMPLETED"; 2];
    expected.extend(["SKIPPED"; 9]);
    assert_eq!(steps(&ended), expected);
    lab.ok("operator", "run_move", json!({ "run_code": code, "action": "archive" })).await;
    assert_eq!(lab.ok("operator", "run_list", json!({})).await["items"], json!([]));
    let away = lab.ok("operator", "run_list", json!({ "status": "ARCHIVED" })).await;
    assert_eq!(away["items"][0]["run_code"], code);
}

async fn lots_take_the_step_and_the_phase_of_their_run(kind: Kind) {
    let lab = open(kind).await;
    published(&lab, "food").await;
    plain_flow(&lab, "plain", |s| s["steps"][2]["phase_num"] = json!(7)).await;
    let code = run(&lab, "plain").await;
    for to in 0..3 {
        advance(&lab, &code, to).await;
    }
    let new = json!({ "lot_code": "L", "lot_type": "BULK", "run": code });
    let made = lab.ok("operator", "lot_register", new).await;
    assert_eq!((made["step_index"].as_i64(), made["phase_num"].as_i64()), (Some(2), Some(7)));
    lot(&lab, "elsewhere", &[]).await;
    let of_run = lab.ok("viewer", "lot_list", json!({ "run": code })).await;
    assert_eq!(of_run["items"].as_array().unwrap().len(), 1);
    let ended = lab.ok("operator", "run_end", json!({ "run_code": code })).await;
    assert_eq!(ended["summary"]["lots"], 1);
    let late = json!({ "lot_type": "BULK", "run": code });
    refused(&lab, "operator", "lot_register", late, "lineage.bad_field").await;
}
