//! Lots: their table, their fields, what is refused.

use databridge_core::base::error::ErrorKind;
use serde_json::json;

use super::{kinds, lot, lot_in, open, plain_flow, refused, run, status};
use crate::lab::{Kind, text};

on_both!(
    every_pair_of_statuses_is_as_the_table_says,
    a_hold_is_left_only_with_a_resolution,
    a_lot_keeps_what_it_was_registered_with,
    what_is_wrong_with_a_lot_is_named,
    a_lot_is_nobodys_own_ancestor,
    two_links_at_once_make_no_cycle,
    lots_are_listed_a_page_at_a_time,
    many_lots_are_registered_together_or_not_at_all,
    masses_balance_where_the_flow_says_so,
    a_lot_of_another_organisation_is_not_there,
);

const STATUSES: [&str; 7] =
    ["CREATED", "QUARANTINE", "RELEASED", "HOLD", "REJECTED", "CONSUMED", "FINISHED"];

/// Typed from the source document's table of allowed transitions.
const TABLE: [(&str, &[&str]); 7] = [
    ("CREATED", &["QUARANTINE", "HOLD"]),
    ("QUARANTINE", &["RELEASED", "REJECTED", "HOLD"]),
    ("RELEASED", &["CONSUMED", "HOLD", "REJECTED"]),
    ("CONSUMED", &["FINISHED"]),
    ("HOLD", &["RELEASED", "REJECTED"]),
    ("REJECTED", &[]),
    ("FINISHED", &[]),
];

async fn every_pair_of_statuses_is_as_the_table_says(kind: Kind) {
    let lab = open(kind).await;
    for (from, legal) in TABLE {
        for to in STATUSES {
            let code = format!("{from}-{to}");
            lot_in(&lab, &code, from).await;
            let step = json!({ "lot_code": code, "status": to, "note": "looked into" });
            let answer = lab.call("operator", "lot_move", step).await;
            if legal.contains(&to) {
                let lot = answer.unwrap_or_else(|e| panic!("{from} → {to}: {e:?}"));
                assert_eq!(lot["status"], to);
                assert_eq!(status(&lab, &code).await, to);
            } else {
                let error = answer.expect_err(&format!("{from} → {to} was let through"));
                assert_eq!(error.kind(), ErrorKind::IllegalState, "{from} → {to}: {error:?}");
                assert_eq!(status(&lab, &code).await, from);
            }
        }
    }
}

async fn a_hold_is_left_only_with_a_resolution(kind: Kind) {
    let lab = open(kind).await;
    lot_in(&lab, "L", "HOLD").await;
    for note in [json!(null), json!("  ")] {
        let step = json!({ "lot_code": "L", "status": "RELEASED", "note": note });
        refused(&lab, "operator", "lot_move", step, "workflow.guard").await;
    }
    let step = json!({ "lot_code": "L", "status": "RELEASED", "note": "thermometer was broken" });
    let released = lab.ok("operator", "lot_move", step).await;
    assert_eq!(released["resolution"], "thermometer was broken");
    let moved = ("lot.moved".to_owned(), "operator".to_owned());
    let registered = ("lot.registered".to_owned(), "operator".to_owned());
    assert_eq!(kinds(&lab, "L").await, [registered, moved.clone(), moved]);
}

async fn a_lot_keeps_what_it_was_registered_with(kind: Kind) {
    let lab = open(kind).await;
    lot(&lab, "A", &[]).await;
    lot(&lab, "B", &[]).await;
    let new = json!({
        "lot_code": "MIX-7", "lot_type": "MIX", "weight_kg": 12.345_678, "temp_c": -18.5,
        "step_index": 3, "phase_num": 2, "parents": ["A", { "lot_code": "B", "weight_kg": 4.5 }],
    });
    lab.ok("operator", "lot_register", new).await;
    let shown = lab.ok("viewer", "lot_show", json!({ "lot_code": "MIX-7" })).await;
    assert_eq!(shown["weight_kg"], 12.345_678);
    assert_eq!(shown["temp_c"], -18.5);
    assert_eq!((shown["step_index"].as_i64(), shown["phase_num"].as_i64()), (Some(3), Some(2)));
    assert_eq!(shown["status"], "CREATED");
    assert_eq!(shown["parents"][0]["lot_code"], "A");
    assert!(shown["parents"][0]["weight_kg"].is_null());
    assert_eq!(shown["parents"][1]["weight_kg"], 4.5);
    let parent = lab.ok("viewer", "lot_show", json!({ "lot_code": "A" })).await;
    assert_eq!(parent["children"][0]["lot_code"], "MIX-7");
    let named = lab.ok("operator", "lot_register", json!({ "lot_type": "SHIP" })).await;
    assert_eq!(named["lot_code"], "SHIP-000001");
    assert_eq!(named["step_index"], 0);
}

async fn what_is_wrong_with_a_lot_is_named(kind: Kind) {
    let lab = open(kind).await;
    lot(&lab, "A", &[]).await;
    let bad = "lineage.bad_field";
    for (change, code) in [
        (json!({ "weight_kg": -0.5 }), bad),
        (json!({ "weight_kg": 1e12 }), bad),
        (json!({ "temp_c": -300.0 }), bad),
        (json!({ "step_index": 11 }), bad),
        (json!({ "step_index": -1 }), bad),
        (json!({ "lot_type": "SOUP" }), bad),
        (json!({ "lot_code": "a b" }), bad),
        (json!({ "lot_code": "" }), bad),
        (json!({ "parents": ["A", "A"] }), bad),
        (json!({ "parents": [{ "lot_code": "A", "weight_kg": -1.0 }] }), bad),
        (json!({ "parents": ["nobody"] }), "lineage.unknown_parent"),
        (json!({ "parents": ["new"] }), "lineage.cycle"),
        (json!({ "lot_code": "A" }), "lineage.exists"),
        (json!({ "run": "RUN-99999" }), "lineage.not_found"),
    ] {
        let mut new = json!({ "lot_code": "new", "lot_type": "RAW" });
        new.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        refused(&lab, "operator", "lot_register", new, code).await;
    }
    refused(&lab, "viewer", "lot_show", json!({ "lot_code": "new" }), "lineage.not_found").await;
    let step = json!({ "lot_code": "nobody", "status": "HOLD" });
    refused(&lab, "operator", "lot_move", step, "lineage.not_found").await;
    for limit in [0, 201, -1] {
        refused(&lab, "viewer", "lot_list", json!({ "limit": limit }), bad).await;
    }
}

async fn a_lot_is_nobodys_own_ancestor(kind: Kind) {
    let lab = open(kind).await;
    lot(&lab, "A", &[]).await;
    lot(&lab, "B", &["A"]).await;
    lot(&lab, "C", &["B"]).await;
    lot(&lab, "X", &[]).await;
    let link = |child: &str, parent: &str| json!({ "lot_code": child, "parent": parent });
    for (child, parent) in [("A", "A"), ("A", "B"), ("A", "C"), ("B", "C")] {
        refused(&lab, "operator", "lot_link", link(child, parent), "lineage.cycle").await;
    }
    refused(&lab, "operator", "lot_link", link("A", "nobody"), "lineage.unknown_parent").await;
    refused(&lab, "operator", "lot_link", link("nobody", "A"), "lineage.not_found").await;
    refused(&lab, "operator", "lot_link", link("B", "A"), "lineage.exists").await;
    lab.ok("operator", "lot_link", link("C", "X")).await;
    lab.ok("operator", "lot_link", link("C", "A")).await;
    let up = lab.ok("viewer", "trace_ancestors", json!({ "lot_code": "C" })).await;
    assert_eq!(up["total"], 3);
    // The database itself knows no lot that is its own parent.
    lab.sql_refused("INSERT INTO lot_genealogy SELECT id, id, NULL FROM lots WHERE lot_code = 'A'");
}

async fn two_links_at_once_make_no_cycle(kind: Kind) {
    let lab = open(kind).await;
    for i in 0..10 {
        let (a, b) = (format!("A{i}"), format!("B{i}"));
        lot(&lab, &a, &[]).await;
        lot(&lab, &b, &[]).await;
        let one = lab.call("operator", "lot_link", json!({ "lot_code": a, "parent": b }));
        let other = lab.call("chief", "lot_link", json!({ "lot_code": b, "parent": a }));
        let (one, other) = tokio::join!(one, other);
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        let error = one.err().or(other.err()).unwrap();
        assert_eq!(error.code(), "lineage.cycle", "{error:?}");
    }
}

async fn lots_are_listed_a_page_at_a_time(kind: Kind) {
    let lab = open(kind).await;
    for i in 0..7 {
        lot(&lab, &format!("L{i}"), &[]).await;
    }
    lot_in(&lab, "held", "HOLD").await;
    let mut seen = Vec::new();
    let mut after = json!(null);
    loop {
        let page = lab.ok("viewer", "lot_list", json!({ "limit": 3, "after": after })).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|lot| text(lot, "lot_code")));
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(seen, ["held", "L6", "L5", "L4", "L3", "L2", "L1", "L0"]);
    let held = lab.ok("viewer", "lot_list", json!({ "status": "HOLD" })).await;
    assert_eq!(held["items"].as_array().unwrap().len(), 1);
    let none = lab.ok("viewer", "lot_list", json!({ "lot_type": "SHIP" })).await;
    assert_eq!(none["items"], json!([]));
}

async fn many_lots_are_registered_together_or_not_at_all(kind: Kind) {
    let lab = open(kind).await;
    let lots: Vec<_> = (0..100)
        .map(|i| {
            let parents: Vec<String> = (i > 0).then(|| format!("N{}", i - 1)).into_iter().collect();
            json!({ "lot_code": format!("N{i}"), "lot_type": "BULK", "parents": parents })
        })
        .collect();
    lab.ok("operator", "lot_register_all", json!({ "lots": lots })).await;
    let up = lab.ok("viewer", "trace_ancestors", json!({ "lot_code": "N99" })).await;
    assert_eq!(up["total"], 99);
    let broken = json!([
        { "lot_code": "fine", "lot_type": "RAW" },
        { "lot_code": "broken", "lot_type": "RAW", "parents": ["nobody"] },
    ]);
    let fields = json!({ "lots": broken });
    refused(&lab, "operator", "lot_register_all", fields, "lineage.unknown_parent").await;
    refused(&lab, "viewer", "lot_show", json!({ "lot_code": "fine" }), "lineage.not_found").await;
    refused(&lab, "operator", "lot_register_all", json!({ "lots": [] }), "lineage.bad_field").await;
}

async fn masses_balance_where_the_flow_says_so(kind: Kind) {
    let lab = open(kind).await;
    plain_flow(&lab, "weighed", |schema| {
        schema["mass_balance"] = json!({ "tolerance_percent": 10.0 });
    })
    .await;
    plain_flow(&lab, "free", |_| {}).await;
    let (weighed, free) = (run(&lab, "weighed").await, run(&lab, "free").await);
    let new = |code: &str, kg: f64, run: &str, parents: serde_json::Value| json!({ "lot_code": code, "lot_type": "MIX", "weight_kg": kg, "run": run, "parents": parents });
    for (code, kg) in [("A", 100.0), ("B", 50.0)] {
        lab.ok("operator", "lot_register", new(code, kg, &weighed, json!([]))).await;
    }
    lab.ok("operator", "lot_register", new("C", 60.0, &weighed, json!(["A"]))).await;
    // 60 are gone, 110 may go.
    let over = new("D", 50.1, &weighed, json!(["A"]));
    refused(&lab, "operator", "lot_register", over.clone(), "lineage.mass_balance").await;
    lab.ok("operator", "lot_register", new("D", 50.0, &weighed, json!(["A"]))).await;
    // More than was drawn for it.
    let thin = new("E", 20.0, &weighed, json!([{ "lot_code": "B", "weight_kg": 10.0 }]));
    refused(&lab, "operator", "lot_register", thin, "lineage.mass_balance").await;
    let without = json!({ "lot_code": "E", "lot_type": "MIX", "run": weighed, "parents": ["B"] });
    refused(&lab, "operator", "lot_register", without, "lineage.mass_balance").await;
    // Elsewhere nobody weighs.
    lab.ok("operator", "lot_register", new("F", 500.0, &free, json!(["A"]))).await;
    // Two who draw at once what only one can have.
    lab.ok("operator", "lot_register", new("P", 10.0, &weighed, json!([]))).await;
    let one = lab.call("operator", "lot_register", new("Q", 8.0, &weighed, json!(["P"])));
    let other = lab.call("chief", "lot_register", new("R", 8.0, &weighed, json!(["P"])));
    let (one, other) = tokio::join!(one, other);
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

async fn a_lot_of_another_organisation_is_not_there(kind: Kind) {
    let lab = open(kind).await;
    lot(&lab, "mine", &[]).await;
    let (id, _) = lab.organisation("rival").await;
    lab.sql(&format!("UPDATE lots SET org_id = '{id}' WHERE lot_code = 'mine'"));
    let code = json!({ "lot_code": "mine" });
    for op in ["lot_show", "lot_history", "trace_ancestors", "trace_blast", "trace_graph"] {
        refused(&lab, "chief", op, code.clone(), "lineage.not_found").await;
    }
    let step = json!({ "lot_code": "mine", "status": "HOLD" });
    refused(&lab, "chief", "lot_move", step, "lineage.not_found").await;
    let child = json!({ "lot_code": "child", "lot_type": "RAW", "parents": ["mine"] });
    refused(&lab, "chief", "lot_register", child, "lineage.unknown_parent").await;
    assert_eq!(lab.ok("chief", "lot_list", json!({})).await["items"], json!([]));
    // The code is theirs, not taken here.
    lot(&lab, "mine", &[]).await;
}
