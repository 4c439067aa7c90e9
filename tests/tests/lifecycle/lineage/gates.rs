//! Gates: a person decides, the system moves the lot, and all of it is recorded.

use serde_json::{Value, json};

use super::{advance, kinds, lot, lot_in, open, plain_flow, refused, run, status};
use crate::lab::{Kind, Lab, text};

on_both!(
    a_decision_moves_the_lot_from_where_the_table_allows,
    both_the_decision_and_the_move_are_recorded,
    a_lot_is_decided_on_once_at_a_gate,
    a_checklist_is_answered_and_kept,
    a_blocking_gate_stops_the_run,
    a_failed_control_point_holds_the_run,
    a_gate_of_another_run_decides_nothing,
);

/// A flow with a gate at step 0 for each kind there is.
async fn gated(lab: &Lab, name: &str) {
    plain_flow(lab, name, |schema| {
        let gate = |key: &str, step: i64, ccp: bool, blocking: bool| {
            json!({ "key": key, "step_index": step, "gate_type": "visual", "is_ccp": ccp, "blocking": blocking })
        };
        schema["gates"] = json!([
            gate("free", 0, false, false),
            gate("stop", 1, false, true),
            gate("ccp", 2, true, false),
        ]);
    })
    .await;
}

fn decide(lot: &str, gate: &str, decision: &str) -> Value {
    json!({ "lot_code": lot, "gate": gate, "decision": decision, "notes": "looked at" })
}

async fn lot_of(lab: &Lab, code: &str, run: &str) {
    let new = json!({ "lot_code": code, "lot_type": "RAW", "run": run });
    lab.ok("operator", "lot_register", new).await;
    lab.ok("operator", "lot_move", json!({ "lot_code": code, "status": "QUARANTINE" })).await;
}

async fn a_decision_moves_the_lot_from_where_the_table_allows(kind: Kind) {
    let lab = open(kind).await;
    gated(&lab, "g").await;
    // Typed from the table and the rulings: PASS needs QUARANTINE, FAIL rejects.
    let typed: [(&str, [Option<&str>; 3]); 7] = [
        ("CREATED", [None, Some("HOLD"), None]),
        ("QUARANTINE", [Some("RELEASED"), Some("HOLD"), Some("REJECTED")]),
        ("RELEASED", [None, Some("HOLD"), Some("REJECTED")]),
        ("HOLD", [None, None, Some("REJECTED")]),
        ("REJECTED", [None, None, None]),
        ("CONSUMED", [None, None, None]),
        ("FINISHED", [None, None, None]),
    ];
    for (from, cells) in typed {
        for (decision, to) in ["PASS", "HOLD", "FAIL"].into_iter().zip(cells) {
            let code = format!("{from}-{decision}");
            lot_in(&lab, &code, from).await;
            let answer =
                lab.call("auditor", "qc_decide", decide(&code, "g@1:free", decision)).await;
            assert_eq!(answer.is_ok(), to.is_some(), "{decision} on {from}: {answer:?}");
            assert_eq!(status(&lab, &code).await, to.unwrap_or(from), "{decision} on {from}");
            let kept = lab.ok("auditor", "qc_list", json!({ "lot": code })).await;
            assert_eq!(kept["items"].as_array().unwrap().len(), usize::from(to.is_some()));
        }
    }
}

async fn both_the_decision_and_the_move_are_recorded(kind: Kind) {
    let lab = open(kind).await;
    gated(&lab, "g").await;
    lot_in(&lab, "L", "QUARANTINE").await;
    // Who decides may not move a lot by hand.
    let by_hand = json!({ "lot_code": "L", "status": "RELEASED" });
    refused(&lab, "auditor", "lot_move", by_hand, "identity.forbidden").await;
    lab.ok("auditor", "qc_decide", decide("L", "g@1:free", "HOLD")).await;
    let told = kinds(&lab, "L").await;
    let typed =
        [("qc.decided", "auditor"), ("lot.moved", "databridge"), ("qc.alert", "databridge")];
    assert_eq!(told[2..], typed.map(|(k, w)| (k.to_owned(), w.to_owned())));
    lot_in(&lab, "M", "QUARANTINE").await;
    lab.ok("auditor", "qc_decide", decide("M", "g@1:free", "PASS")).await;
    assert!(kinds(&lab, "M").await.iter().all(|(kind, _)| kind != "qc.alert"));
    let alerts = lab.ok("auditor", "qc_list", json!({ "decision": "HOLD" })).await;
    assert_eq!(alerts["items"][0]["lot_code"], "L");
    assert_eq!(alerts["items"][0]["decided_by"], "auditor");
    // Nobody rewrites a decision.
    lab.sql_refused("UPDATE qc_decisions SET decision = 'PASS'");
    lab.sql_refused("DELETE FROM qc_decisions");
}

async fn a_lot_is_decided_on_once_at_a_gate(kind: Kind) {
    let lab = open(kind).await;
    gated(&lab, "g").await;
    lot_in(&lab, "L", "QUARANTINE").await;
    lab.ok("auditor", "qc_decide", decide("L", "g@1:free", "PASS")).await;
    for decision in ["PASS", "HOLD", "FAIL"] {
        let again = decide("L", "g@1:free", decision);
        refused(&lab, "auditor", "qc_decide", again, "lineage.decided").await;
    }
    assert_eq!(status(&lab, "L").await, "RELEASED");
    lot_in(&lab, "M", "QUARANTINE").await;
    let (one, other) = tokio::join!(
        lab.call("auditor", "qc_decide", decide("M", "g@1:free", "PASS")),
        lab.call("operator", "qc_decide", decide("M", "g@1:free", "FAIL")),
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    // Another gate is another matter.
    lab.ok("auditor", "qc_decide", decide("L", "g@1:ccp", "HOLD")).await;
}

async fn a_checklist_is_answered_and_kept(kind: Kind) {
    let lab = open(kind).await;
    plain_flow(&lab, "g", |schema| {
        schema["gates"] = json!([{
            "key": "gate", "step_index": 0, "gate_type": "visual", "checklist": [
                { "key": "core", "text": "Core temperature?" },
                { "key": "remark", "text": "Anything else?", "required": false },
            ],
        }]);
    })
    .await;
    lot_in(&lab, "L", "QUARANTINE").await;
    let bad = "lineage.bad_field";
    for answers in [
        json!({}),
        json!({ "remark": "fine" }),
        json!({ "core": 2.5, "unasked": true }),
        json!({ "core": ["a", "b"] }),
        json!({ "core": null }),
    ] {
        let fields =
            json!({ "lot_code": "L", "gate": "g@1:gate", "decision": "PASS", "answers": answers });
        refused(&lab, "auditor", "qc_decide", fields, bad).await;
    }
    let silent = json!({ "lot_code": "L", "gate": "g@1:gate", "decision": "FAIL", "answers": { "core": 9 } });
    refused(&lab, "auditor", "qc_decide", silent, "lineage.no_reason").await;
    let answers = json!({ "core": 2.5, "remark": "thawed quickly" });
    let fields =
        json!({ "lot_code": "L", "gate": "g@1:gate", "decision": "PASS", "answers": answers });
    lab.ok("auditor", "qc_decide", fields).await;
    let shown = lab.ok("viewer", "lot_show", json!({ "lot_code": "L" })).await;
    assert_eq!(shown["decisions"][0]["answers"], answers);
    assert_eq!(shown["decisions"][0]["gate"], "g@1:gate");
}

async fn a_blocking_gate_stops_the_run(kind: Kind) {
    let lab = open(kind).await;
    gated(&lab, "g").await;
    let code = run(&lab, "g").await;
    advance(&lab, &code, 0).await;
    advance(&lab, &code, 1).await;
    let on = json!({ "run_code": code, "to": 2 });
    let skip = json!({ "run_code": code, "to": 2, "reason": "in a hurry" });
    let blocked = async || {
        refused(&lab, "operator", "run_advance", on.clone(), "lineage.blocked").await;
        refused(&lab, "operator", "run_skip", skip.clone(), "lineage.blocked").await;
        refused(&lab, "operator", "run_end", json!({ "run_code": code }), "lineage.blocked").await;
    };
    blocked().await;
    // Held: until somebody has looked into it.
    lot_of(&lab, "A", &code).await;
    lab.ok("auditor", "qc_decide", decide("A", "stop", "HOLD")).await;
    blocked().await;
    // Passed by another one, and yet one is held.
    lot_of(&lab, "B", &code).await;
    lab.ok("auditor", "qc_decide", decide("B", "stop", "PASS")).await;
    blocked().await;
    let release = json!({ "lot_code": "A", "status": "RELEASED", "note": "label was unreadable" });
    lab.ok("operator", "lot_move", release).await;
    // Failed: until the next one passes.
    lot_of(&lab, "C", &code).await;
    lab.ok("auditor", "qc_decide", decide("C", "stop", "FAIL")).await;
    assert_eq!(status(&lab, "C").await, "REJECTED");
    blocked().await;
    lot_of(&lab, "D", &code).await;
    lab.ok("auditor", "qc_decide", decide("D", "stop", "PASS")).await;
    advance(&lab, &code, 2).await;
    // A lot that is outside of the run lets nothing through.
    let other = run(&lab, "g").await;
    advance(&lab, &other, 0).await;
    advance(&lab, &other, 1).await;
    lot_in(&lab, "outside", "QUARANTINE").await;
    lab.ok("auditor", "qc_decide", decide("outside", "g@1:stop", "PASS")).await;
    let on = json!({ "run_code": other, "to": 2 });
    refused(&lab, "operator", "run_advance", on, "lineage.blocked").await;
}

async fn a_failed_control_point_holds_the_run(kind: Kind) {
    let lab = open(kind).await;
    gated(&lab, "g").await;
    let code = run(&lab, "g").await;
    advance(&lab, &code, 0).await;
    lot_of(&lab, "A", &code).await;
    lot_of(&lab, "B", &code).await;
    let at = async || {
        let run = lab.ok("auditor", "run_show", json!({ "run_code": code })).await;
        (text(&run, "status"), run["hold_reason"].as_str().map(str::to_owned))
    };
    // No control point, or none that failed.
    lab.ok("auditor", "qc_decide", decide("A", "ccp", "HOLD")).await;
    lab.ok("auditor", "qc_decide", decide("B", "free", "FAIL")).await;
    assert_eq!(at().await, ("RUNNING".to_owned(), None));
    lot_of(&lab, "C", &code).await;
    lab.ok("auditor", "qc_decide", decide("C", "ccp", "FAIL")).await;
    let (status, why) = at().await;
    assert_eq!(status, "HOLD");
    assert_eq!(why.as_deref(), Some("g@1:ccp failed on C"));
    let on = json!({ "run_code": code, "to": 1 });
    refused(&lab, "operator", "run_advance", on, "workflow.illegal_state").await;
    let resume = json!({ "run_code": code, "action": "resume", "note": "cleaned, tested" });
    lab.ok("operator", "run_move", resume).await;
    assert_eq!(at().await.0, "RUNNING");
    lab.seal().await;
    let told = lab.ok("auditor", "run_history", json!({ "run_code": code })).await;
    let held = told.as_array().unwrap().iter().find(|e| e["kind"] == "run.held").unwrap();
    assert_eq!(held["by"]["username"], "databridge");
}

async fn a_gate_of_another_run_decides_nothing(kind: Kind) {
    let lab = open(kind).await;
    gated(&lab, "one").await;
    gated(&lab, "two").await;
    let code = run(&lab, "one").await;
    lot_of(&lab, "L", &code).await;
    let foreign = decide("L", "two@1:free", "PASS");
    refused(&lab, "auditor", "qc_decide", foreign, "lineage.foreign_gate").await;
    for gate in ["nothing", "one@1:nothing", "one@7:free", "none@1:free", "@:", "one@x:free"] {
        refused(&lab, "auditor", "qc_decide", decide("L", gate, "PASS"), "lineage.not_found").await;
    }
    lot(&lab, "free", &[]).await;
    refused(&lab, "auditor", "qc_decide", decide("free", "free", "HOLD"), "lineage.not_found")
        .await;
    assert_eq!(status(&lab, "L").await, "QUARANTINE");
    lab.ok("auditor", "qc_decide", decide("L", "free", "PASS")).await;
}
