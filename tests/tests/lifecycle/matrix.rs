//! Every role, every action, every state, against a table typed from the source
//! document's role table and the design's list of states; no line of it is
//! computed from the program's own.

use databridge_core::base::error::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

const REVIEWERS: [&str; 3] = ["team_lead", "supervisor", "line_producer"];
const ROLES: [&str; 7] =
    ["artist", "team_lead", "supervisor", "line_producer", "data_team", "it_team", "admin"];
pub const ACTIONS: [&str; 14] = [
    "upload",
    "submit",
    "approve",
    "reject",
    "override",
    "scan",
    "accept",
    "send_back",
    "release",
    "override_scan",
    "start",
    "retry",
    "recall",
    "cancel",
];

/// The artist whose it is, or an admin.
const MAKERS: &[&str] = &["artist", "admin"];
/// Who initiates scans, or an admin.
const DATA: &[&str] = &["data_team", "admin"];
/// Who executes transfers, or an admin.
const IT: &[&str] = &["it_team", "admin"];
const ADMIN: &[&str] = &["admin"];
/// Who may withdraw: its artist, those who execute, an admin.
const STOP: &[&str] = &["artist", "it_team", "admin"];

pub type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

/// State, action, who may, and where it leads.
pub const TABLE: &[Row] = &[
    ("draft", "upload", MAKERS, "uploading"),
    ("draft", "cancel", STOP, "cancelled"),
    ("uploading", "upload", MAKERS, "uploading"),
    ("uploading", "submit", MAKERS, "submitting"),
    ("uploading", "cancel", STOP, "cancelled"),
    ("submitting", "cancel", STOP, "cancelled"),
    ("submit_failed", "upload", MAKERS, "uploading"),
    ("submit_failed", "retry", MAKERS, "submitting"),
    ("submit_failed", "cancel", STOP, "cancelled"),
    ("team_lead_review", "approve", &["team_lead"], "supervisor_review"),
    ("team_lead_review", "reject", &["team_lead"], "rejected"),
    ("team_lead_review", "override", ADMIN, "approved"),
    ("team_lead_review", "cancel", STOP, "cancelled"),
    ("supervisor_review", "approve", &["supervisor"], "line_producer_review"),
    ("supervisor_review", "reject", &["supervisor"], "rejected"),
    ("supervisor_review", "override", ADMIN, "approved"),
    ("supervisor_review", "cancel", STOP, "cancelled"),
    ("line_producer_review", "approve", &["line_producer"], "approved"),
    ("line_producer_review", "reject", &["line_producer"], "rejected"),
    ("line_producer_review", "override", ADMIN, "approved"),
    ("line_producer_review", "cancel", STOP, "cancelled"),
    ("approved", "scan", DATA, "scanning"),
    ("approved", "override_scan", ADMIN, "scanned"),
    ("approved", "cancel", STOP, "cancelled"),
    ("scanning", "cancel", STOP, "cancelled"),
    ("scan_failed", "retry", DATA, "scanning"),
    ("scan_failed", "override_scan", ADMIN, "scanned"),
    ("scan_failed", "cancel", STOP, "cancelled"),
    ("undecided", "accept", DATA, "scanned"),
    ("undecided", "send_back", DATA, "rejected"),
    ("undecided", "scan", DATA, "scanning"),
    ("undecided", "cancel", STOP, "cancelled"),
    ("infected", "send_back", DATA, "rejected"),
    ("infected", "release", ADMIN, "scanning"),
    ("infected", "cancel", STOP, "cancelled"),
    ("scanned", "scan", DATA, "scanning"),
    ("scanned", "start", IT, "preparing"),
    ("scanned", "cancel", STOP, "cancelled"),
    ("preparing", "cancel", STOP, "cancelling"),
    ("prepare_failed", "retry", IT, "preparing"),
    ("prepare_failed", "cancel", STOP, "cancelling"),
    ("transferring", "cancel", STOP, "cancelling"),
    ("transfer_failed", "retry", IT, "transferring"),
    ("transfer_failed", "cancel", STOP, "cancelling"),
    ("verifying", "cancel", STOP, "cancelling"),
    ("verify_failed", "retry", IT, "transferring"),
    ("verify_failed", "cancel", STOP, "cancelling"),
    ("delivered", "recall", IT, "recalling"),
    ("recall_failed", "retry", IT, "recalling"),
    ("rejected", "upload", MAKERS, "uploading"),
    ("rejected", "submit", MAKERS, "submitting"),
    ("rejected", "cancel", STOP, "cancelled"),
    ("cancel_failed", "retry", STOP, "cancelling"),
];

const STATES: [&str; 27] = [
    "draft",
    "uploading",
    "submitting",
    "submit_failed",
    "team_lead_review",
    "supervisor_review",
    "line_producer_review",
    "approved",
    "scanning",
    "scan_failed",
    "undecided",
    "infected",
    "scanned",
    "preparing",
    "prepare_failed",
    "transferring",
    "transfer_failed",
    "verifying",
    "verify_failed",
    "delivered",
    "recalling",
    "recall_failed",
    "recalled",
    "rejected",
    "cancelling",
    "cancel_failed",
    "cancelled",
];

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

fn person(role: &str) -> &str {
    if role == "admin" { "chief" } else { role }
}

fn legal(state: &str, action: &str) -> Option<&'static Row> {
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
