//! Traceability: lots, genealogy, gates, runs and flows, on either database.

mod access;
mod deliveries;
mod flows;
mod gates;
mod legacy;
mod lots;
mod million;
mod runs;
mod trace;

use databridge_core::base::error::ErrorKind;
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

/// A lab with somebody in each of the domain's roles; `chief` is the admin.
pub async fn open(kind: Kind) -> Lab {
    let mut lab = Lab::open(kind).await;
    for role in ["manager", "operator", "auditor", "viewer"] {
        lab.hire(role, &[role]).await;
    }
    lab.hire("second", &["manager"]).await;
    lab
}

/// Registers a lot of that code with these parents.
pub async fn lot(lab: &Lab, code: &str, parents: &[&str]) {
    let new = json!({ "lot_code": code, "lot_type": "RAW", "parents": parents });
    lab.ok("operator", "lot_register", new).await;
}

async fn status(lab: &Lab, code: &str) -> String {
    text(&lab.ok("viewer", "lot_show", json!({ "lot_code": code })).await, "status")
}

/// Brings a new lot into a status, by the shortest way.
async fn lot_in(lab: &Lab, code: &str, wanted: &str) {
    let way: &[&str] = match wanted {
        "CREATED" => &[],
        "QUARANTINE" => &["QUARANTINE"],
        "RELEASED" => &["QUARANTINE", "RELEASED"],
        "HOLD" => &["HOLD"],
        "REJECTED" => &["QUARANTINE", "REJECTED"],
        "CONSUMED" => &["QUARANTINE", "RELEASED", "CONSUMED"],
        "FINISHED" => &["QUARANTINE", "RELEASED", "CONSUMED", "FINISHED"],
        other => panic!("no status {other}"),
    };
    lot(lab, code, &[]).await;
    for to in way {
        lab.ok("operator", "lot_move", json!({ "lot_code": code, "status": to })).await;
    }
    assert_eq!(status(lab, code).await, wanted);
}

/// A published version of a profile's flow, reviewed by somebody else.
async fn published(lab: &Lab, profile: &str) -> i64 {
    let draft = lab.ok("manager", "profile_install", json!({ "name": profile })).await;
    let number = draft["version_num"].as_i64().unwrap();
    publish(lab, profile, number).await;
    number
}

async fn publish(lab: &Lab, flow: &str, number: i64) {
    let step = |action| json!({ "flow": flow, "version_num": number, "action": action });
    lab.ok("manager", "flow_move", step("request review")).await;
    lab.ok("second", "flow_move", step("publish")).await;
}

/// A run of a flow that is in force.
pub async fn run(lab: &Lab, flow: &str) -> String {
    text(&lab.ok("operator", "run_create", json!({ "flow": flow })).await, "run_code")
}

async fn advance(lab: &Lab, run: &str, to: i64) -> Value {
    lab.ok("operator", "run_advance", json!({ "run_code": run, "to": to })).await
}

/// A flow without gates, so that only what a test adds stands in the way.
pub fn plain_schema() -> Value {
    let steps: Vec<_> = (0..=10)
        .map(|i| json!({ "step_index": i, "node_id": format!("node-{i}"), "name": format!("Step {i}") }))
        .collect();
    json!({ "steps": steps })
}

pub async fn plain_flow(lab: &Lab, name: &str, change: impl FnOnce(&mut Value)) {
    let mut schema = plain_schema();
    change(&mut schema);
    let draft = json!({ "name": name, "graph_schema": schema });
    let draft = lab.ok("manager", "flow_draft", draft).await;
    publish(lab, name, draft["version_num"].as_i64().unwrap()).await;
}

async fn refused(lab: &Lab, who: &str, op: &str, fields: Value, code: &str) {
    let error = lab.refused(who, op, fields.clone()).await;
    assert_eq!(error.code(), code, "{op} {fields}: {error:?}");
    assert_ne!(error.kind(), ErrorKind::Internal);
    assert!(error.hint().is_some(), "{op} {fields}: {error:?} does not say what to do next");
}

/// `(kind, who)` of what happened to a lot.
async fn kinds(lab: &Lab, code: &str) -> Vec<(String, String)> {
    lab.seal().await;
    let events = lab.ok("viewer", "lot_history", json!({ "lot_code": code })).await;
    let events = events.as_array().unwrap().clone();
    events.iter().map(|e| (text(e, "kind"), text(&e["by"], "username"))).collect()
}
