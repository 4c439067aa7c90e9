//! Who may do what, cell by cell, typed from the source document.

use databridge_core::base::error::ErrorKind;
use databridge_core::domains::lineage::state::{PAGES, Page, PageAccess};
use databridge_core::workflow::Symbol;
use serde_json::json;

use super::open;
use crate::lab::Kind;

on_both!(every_role_does_what_the_matrices_say, everybody_is_told_what_they_may_do);

const ROLES: [&str; 5] = ["admin", "manager", "operator", "auditor", "viewer"];

/// Operations of the document's matrix and of its API column; `x` may, `.` may not,
/// in the order of [`ROLES`]. What is asked for does not exist, so whoever may is
/// told that, or what is wrong, and never that they may not.
const MATRIX: &[(&str, &str, &str)] = &[
    // Create production run
    ("run_create", r#"{ "flow": "nothing" }"#, "xxx.."),
    // Advance step
    ("run_advance", r#"{ "run_code": "RUN-9", "to": 1 }"#, "xxx.."),
    ("run_skip", r#"{ "run_code": "RUN-9", "to": 1, "reason": "x" }"#, "xxx.."),
    ("run_end", r#"{ "run_code": "RUN-9" }"#, "xxx.."),
    ("run_move", r#"{ "run_code": "RUN-9", "action": "abort", "note": "x" }"#, "xxx.."),
    // Update lot status
    ("lot_move", r#"{ "lot_code": "L", "status": "QUARANTINE" }"#, "xxx.."),
    // Approve flow version (REVIEW → PUBLISHED)
    ("flow_note", r#"{ "flow": "f", "version_num": 1, "notes": "x" }"#, "xx..."),
    // Designing a flow: AdminOrManager
    ("flow_draft", r#"{ "name": "f2" }"#, "xx..."),
    ("profile_install", r#"{ "name": "nothing" }"#, "xx..."),
    ("scenario_define", r#"{ "name": "-", "streams": [] }"#, "xx..."),
    // View run step executions
    ("run_show", r#"{ "run_code": "RUN-9" }"#, "xxxx."),
    ("run_list", "{}", "xxxx."),
    ("run_history", r#"{ "run_code": "RUN-9" }"#, "xxxx."),
    // View lot status history
    ("lot_history", r#"{ "lot_code": "L" }"#, "xxxxx"),
    // CanCreateLots
    ("lot_register", r#"{ "lot_type": "nothing" }"#, "xxx.."),
    ("lot_register_all", r#"{ "lots": [{ "lot_type": "nothing" }] }"#, "xxx.."),
    ("lot_link", r#"{ "lot_code": "nothing", "parent": "L" }"#, "xxx.."),
    // CanMakeQCDecisions
    ("qc_decide", r#"{ "lot_code": "nothing", "gate": "g", "decision": "PASS" }"#, "xxxx."),
    ("qc_list", "{}", "xxxx."),
    ("gate_list", "{}", "xxxx."),
    ("flow_list", "{}", "xxxx."),
    // AllAuthenticated: lots and traceability
    ("lot_list", "{}", "xxxxx"),
    ("lot_show", r#"{ "lot_code": "L" }"#, "xxxxx"),
    ("trace_ancestors", r#"{ "lot_code": "L" }"#, "xxxxx"),
    ("trace_descendants", r#"{ "lot_code": "L" }"#, "xxxxx"),
    ("trace_blast", r#"{ "lot_code": "L" }"#, "xxxxx"),
    ("trace_graph", r#"{ "lot_code": "L" }"#, "xxxxx"),
    ("trace_common", r#"{ "lot_code": "L", "other": "L" }"#, "xxxxx"),
    ("trace_path", r#"{ "lot_code": "L", "other": "L" }"#, "xxxxx"),
];

async fn every_role_does_what_the_matrices_say(kind: Kind) {
    let mut lab = open(kind).await;
    lab.hire("nobody", &[]).await;
    for (op, fields, cells) in MATRIX {
        let may: Vec<&str> =
            ROLES.iter().zip(cells.chars()).filter(|(_, c)| *c == 'x').map(|(r, _)| *r).collect();
        for role in ROLES.into_iter().chain(["nobody", "artist"]) {
            let who = if role == "admin" { "chief" } else { role };
            // A lot of their own to move, each.
            let code = format!("{op}-{role}");
            let new = json!({ "lot_code": code, "lot_type": "RAW" });
            lab.ok("chief", "lot_register", new).await;
            let mut fields: serde_json::Value = serde_json::from_str(fields).unwrap();
            if fields["lot_code"] == "L" {
                fields["lot_code"] = code.clone().into();
            }
            if fields["other"] == "L" {
                fields["other"] = code.into();
            }
            let answer = lab.call(who, op, fields).await;
            match (may.contains(&role), answer) {
                (true, Err(error)) => {
                    assert_ne!(error.kind(), ErrorKind::Forbidden, "{role} {op}: {error:?}");
                    assert_ne!(error.kind(), ErrorKind::Internal, "{role} {op}: {error:?}");
                }
                (true, Ok(_)) => {}
                (false, Ok(answer)) => panic!("{role} {op} was let through: {answer}"),
                (false, Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::Forbidden, "{role} {op}: {error:?}");
                    assert_eq!(error.kind().http_status(), 403);
                    let mut told = error.required_roles();
                    told.sort();
                    let mut may = may.clone();
                    may.sort_unstable();
                    assert_eq!(told, may, "{role} {op}");
                }
            }
        }
    }
    // Approving: only where there is something in review.
    lab.ok("manager", "profile_install", json!({ "name": "food" })).await;
    let step = |action| json!({ "flow": "food", "version_num": 1, "action": action });
    for role in ["operator", "auditor", "viewer"] {
        let error = lab.refused(role, "flow_move", step("request review")).await;
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{role}");
    }
    lab.ok("manager", "flow_move", step("request review")).await;
    for role in ["operator", "auditor", "viewer"] {
        let error = lab.refused(role, "flow_move", step("publish")).await;
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{role}");
    }
    lab.ok("chief", "flow_move", step("publish")).await;
}

async fn everybody_is_told_what_they_may_do(kind: Kind) {
    let lab = open(kind).await;
    // Dashboard, Command, Validator, First Flow, Admin: typed from the document.
    let typed = [
        ("viewer", ["view", "none", "none", "view", "none"]),
        ("operator", ["view", "interact", "none", "interact", "none"]),
        ("manager", ["view", "interact", "view", "interact", "none"]),
        ("auditor", ["view", "none", "view", "view", "none"]),
        ("admin", ["view", "interact", "view", "interact", "full"]),
    ];
    let pages = ["dashboard", "command", "validator", "first_flow", "admin"];
    assert_eq!(Page::ALL.iter().map(|p| p.name()).collect::<Vec<_>>(), pages);
    for (role, cells) in typed {
        let (_, ours) = PAGES.iter().find(|(name, _)| *name == role).unwrap();
        assert_eq!(ours.map(PageAccess::name), cells, "{role}");
        let who = if role == "admin" { "chief" } else { role };
        let told = lab.ok(who, "lineage_access", json!({})).await;
        for (page, cell) in pages.iter().zip(cells) {
            assert_eq!(told["pages"][page], cell, "{role} {page}");
        }
        assert_eq!(told["roles"], json!([role]));
    }
    let told = lab.ok("artist", "lineage_access", json!({})).await;
    assert_eq!(told["permissions"], json!([]));
}
