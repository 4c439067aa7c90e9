//! Every role, every action, every state, against the table typed by hand.

use databridge_core::base::error::{Error, ErrorKind};
pub use databridge_tests::matrix::{ACTIONS, Row, TABLE};
use databridge_tests::matrix::{ROLES, STATES};
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

const REVIEWERS: [&str; 3] = ["team_lead", "supervisor", "line_producer"];
on_both!(
    up_to_approval_everybody_does_what_the_table_says,
    around_the_scan_everybody_does_what_the_table_says,
    on_the_way_to_production_everybody_does_what_the_table_says,
);

async fn up_to_approval_everybody_does_what_the_table_says(kind: Kind) {
    walk(kind, &STATES[..7]).await;
}

async fn around_the_scan_everybody_does_what_the_table_says(kind: Kind) {
    walk(kind, &STATES[7..13]).await;
}

async fn on_the_way_to_production_everybody_does_what_the_table_says(kind: Kind) {
    walk(kind, &STATES[13..]).await;
}

async fn walk(kind: Kind, states: &[&'static str]) {
    let lab = Lab::open(kind).await;
    for state in states {
        let code = reach(&lab, state).await;
        assert_eq!(lab.state(&code).await, *state);
        for role in ROLES {
            refusals(&lab, &code, state, role).await;
        }
        a_stranger_sees_nothing(&lab, &code, state).await;
        for (_, action, who, to) in TABLE.iter().filter(|row| row.0 == *state) {
            for role in *who {
                let code = reach(&lab, state).await;
                let done = act(&lab, person(role), &code, action).await;
                done.unwrap_or_else(|e| panic!("{role} {action} in {state}: {e:?}"));
                assert_eq!(lab.state(&code).await, *to, "{role} {action} in {state}");
            }
        }
    }
}

pub fn person(role: &str) -> &str {
    if role == "admin" { "chief" } else { role }
}

pub fn legal(state: &str, action: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.0 == state && row.1 == action)
}

/// What the role may do here is what it is offered, and nothing else is let
/// through: 403 names who may, 409 names what can be done.
async fn refusals(lab: &Lab, code: &str, state: &str, role: &str) {
    let shown = lab.ok(person(role), "transfer_show", json!({ "code": code })).await;
    let mut offered: Vec<_> =
        shown["actions"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let mut mine: Vec<_> = TABLE
        .iter()
        .filter(|(from, _, who, _)| *from == state && who.contains(&role))
        .map(|row| row.1)
        .collect();
    offered.sort_unstable();
    mine.sort_unstable();
    assert_eq!(offered, mine, "what {role} is offered in {state}");
    for action in ACTIONS.into_iter().filter(|action| !mine.contains(action)) {
        let place = format!("{role} {action} in {state}");
        let error = match act(lab, person(role), code, action).await {
            Err(error) => error,
            Ok(_) => panic!("{place} was let through"),
        };
        match legal(state, action) {
            Some((_, _, who, _)) => {
                assert_eq!(error.kind(), ErrorKind::Forbidden, "{place}: {error:?}");
                assert_eq!(error.kind().http_status(), 403);
                let mut roles = error.required_roles();
                let mut who: Vec<_> = who.iter().map(|w| (*w).to_owned()).collect();
                roles.sort();
                who.sort();
                assert_eq!(roles, who, "{place}");
            }
            None => {
                let kinds = [ErrorKind::Forbidden, ErrorKind::IllegalState];
                assert!(kinds.contains(&error.kind()), "{place}: {error:?}");
                let certain = role == "admin" && !["approve", "reject"].contains(&action);
                if certain || error.kind() == ErrorKind::IllegalState {
                    allowed_are_named(&error, state, &place);
                }
            }
        }
    }
    let after = lab.ok(person(role), "transfer_show", json!({ "code": code })).await;
    assert_eq!(after["version"], shown["version"], "{role} moved it in {state}");
}

fn allowed_are_named(error: &Error, state: &str, place: &str) {
    assert_eq!(error.code(), "workflow.illegal_state", "{place}: {error:?}");
    assert_eq!(error.kind().http_status(), 409);
    let words: Vec<String> = error
        .to_string()
        .split_once("it can: ")
        .map(|(_, list)| list.split(", ").map(str::to_owned).collect())
        .unwrap();
    let mut legal: Vec<_> = TABLE.iter().filter(|row| row.0 == state).map(|row| row.1).collect();
    if legal.is_empty() {
        legal.push("nothing");
    }
    let mut words: Vec<_> = words.iter().map(String::as_str).collect();
    words.sort_unstable();
    legal.sort_unstable();
    assert_eq!(words, legal, "{place}: {error}");
}

async fn a_stranger_sees_nothing(lab: &Lab, code: &str, state: &str) {
    for action in ACTIONS {
        let error = act(lab, "other", code, action).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{action} in {state}: {error:?}");
        assert_eq!(error.code(), "transfer.not_found");
    }
    let error = lab.refused("other", "transfer_show", json!({ "code": code })).await;
    assert_eq!(error.code(), "transfer.not_found");
}

pub async fn act(lab: &Lab, who: &str, code: &str, action: &str) -> Result<Value, Error> {
    let plain = json!({ "code": code });
    let because = json!({ "code": code, "reason": "because" });
    match action {
        "upload" => lab.try_add(who, code, &lab.tree(&[("more.exr", b"more")])).await,
        "submit" => lab.call(who, "transfer_submit", plain).await,
        "approve" => lab.call(who, "approve", plain).await,
        "reject" => lab.call(who, "reject", because).await,
        "override" => lab.call(who, "override_approval", because).await,
        "scan" => lab.call(who, "scan", plain).await,
        "start" => lab.call(who, "start", plain).await,
        "retry" => lab.call(who, "retry", plain).await,
        "cancel" => lab.call(who, "transfer_cancel", because).await,
        "recall" => lab.call(who, "transfer_recall", because).await,
        decision => lab.decide(who, code, decision).await,
    }
}

const FRAME: &[(&str, &[u8])] = &[("sh010.1001.exr", b"frame"), ("note.txt", b"hello")];

/// Takes a new transfer into the state, by the way a real one would go.
pub async fn reach(lab: &Lab, state: &str) -> String {
    match state {
        "draft" => lab.create().await,
        "uploading" | "submitting" | "submit_failed" => before_review(lab, state).await,
        "approved" => lab.approved(FRAME).await,
        "scanning" | "scan_failed" | "undecided" | "infected" => at_the_scan(lab, state).await,
        "scanned" => lab.scanned(FRAME).await,
        "rejected" | "cancelled" => {
            let code = in_review(lab, "team_lead_review").await;
            match state {
                "rejected" => lab.act("team_lead", "reject", &code).await,
                _ => lab.act("artist", "transfer_cancel", &code).await,
            };
            lab.settle(&code).await;
            code
        }
        "recalling" | "recall_failed" | "recalled" => taken_back(lab, state).await,
        _ if state.ends_with("_review") => in_review(lab, state).await,
        _ => in_production(lab, state).await,
    }
}

async fn in_review(lab: &Lab, state: &str) -> String {
    let code = lab.create().await;
    lab.add(&code, FRAME).await;
    lab.submit(&code).await;
    for who in REVIEWERS.into_iter().take_while(|who| state != format!("{who}_review")) {
        lab.act(who, "approve", &code).await;
    }
    code
}

async fn before_review(lab: &Lab, state: &str) -> String {
    let code = lab.create().await;
    lab.add(&code, FRAME).await;
    if state == "submit_failed" {
        std::fs::remove_dir_all(lab.app.config().places().incoming(&code, 1)).unwrap();
    }
    if state != "uploading" {
        lab.act("artist", "transfer_submit", &code).await;
    }
    if state == "submit_failed" {
        lab.settle(&code).await;
        failure_is_told(lab, &code).await;
    }
    code
}

async fn at_the_scan(lab: &Lab, state: &str) -> String {
    let eicar = databridge_tests::clamd::eicar();
    let infected: &[(&str, &[u8])] = &[("sh010.1001.exr", b"frame"), ("bad.com", &eicar)];
    let code = lab.approved(if state == "infected" { infected } else { FRAME }).await;
    lab.act("data_team", "scan", &code).await;
    if state == "scan_failed" {
        lab.break_rules(true);
        lab.settle(&code).await;
        lab.break_rules(false);
        failure_is_told(lab, &code).await;
    } else if state != "scanning" {
        lab.settle(&code).await;
    }
    code
}

/// Delivered, and taken back.
async fn taken_back(lab: &Lab, state: &str) -> String {
    let code = in_production(lab, "delivered").await;
    while lab.step().await {}
    let destination = lab.destination(&code).await;
    let aside = destination.with_file_name("somebody has it");
    let proof = destination.with_file_name(format!("{code}.proof"));
    if state == "recall_failed" {
        std::fs::create_dir(&aside).unwrap();
        std::fs::rename(&destination, aside.join("payload")).unwrap();
        std::fs::rename(&proof, aside.join("proof")).unwrap();
    }
    act(lab, "it_team", &code, "recall").await.unwrap();
    if state != "recalling" {
        assert_eq!(lab.settle(&code).await, state, "{}", lab.show(&code).await["failure"]);
    }
    if state == "recall_failed" {
        std::fs::rename(aside.join("payload"), &destination).unwrap();
        std::fs::rename(aside.join("proof"), &proof).unwrap();
        std::fs::remove_dir(&aside).unwrap();
        failure_is_told(lab, &code).await;
    }
    code
}

async fn in_production(lab: &Lab, state: &str) -> String {
    let code = lab.scanned(FRAME).await;
    let destination = lab.destination(&code).await;
    if state == "prepare_failed" {
        std::fs::create_dir_all(&destination).unwrap();
    }
    lab.act("it_team", "start", &code).await;
    match state {
        "preparing" => {}
        "transferring" | "verifying" | "delivered" => lab.work_to(&code, state).await,
        "cancelling" => {
            lab.act("it_team", "transfer_cancel", &code).await;
        }
        _ => {
            match state {
                "transfer_failed" => lab.work_to(&code, "transferring").await,
                "verify_failed" => lab.work_to(&code, "verifying").await,
                "cancel_failed" => {
                    lab.work_to(&code, "transferring").await;
                    lab.act("it_team", "transfer_cancel", &code).await;
                }
                _ => {}
            }
            // A file where the folder was: nobody can work there, root included.
            let folder = destination.parent().unwrap();
            let aside = folder.with_file_name("aside");
            if state != "prepare_failed" {
                std::fs::rename(folder, &aside).unwrap();
                std::fs::write(folder, "in the way").unwrap();
            }
            lab.settle(&code).await;
            if state != "prepare_failed" {
                std::fs::remove_file(folder).unwrap();
                std::fs::rename(&aside, folder).unwrap();
            }
            failure_is_told(lab, &code).await;
        }
    }
    code
}

async fn failure_is_told(lab: &Lab, code: &str) {
    let shown = lab.show(code).await;
    for field in ["code", "message"] {
        assert!(!text(&shown["failure"], field).is_empty(), "{shown}");
    }
    assert!(shown["failure"].get("hint").is_some(), "{shown}");
}
