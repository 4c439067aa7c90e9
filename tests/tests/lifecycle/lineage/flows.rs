//! Flow versions: reviewed by somebody else, and unchangeable once in force, also
//! for whoever has the database.

use databridge_core::base::error::ErrorKind;
use serde_json::{Value, json};

use super::{open, plain_schema, publish, refused};
use crate::lab::{Kind, Lab, text};

on_both!(
    every_status_and_action_is_as_the_table_says,
    nobody_approves_their_own_version,
    in_review_only_the_notes_change,
    what_is_published_does_not_change_by_raw_sql_either,
    a_newer_version_replaces_the_older,
    versions_are_compared,
    profiles_are_installed_as_drafts,
    scenarios_are_versioned,
);

/// Typed from the source document's table: from, what leads on, where to.
const TABLE: [(&str, &str, Option<&str>); 12] = [
    ("DRAFT", "request review", Some("REVIEW")),
    ("DRAFT", "publish", None),
    ("DRAFT", "deprecate", Some("DEPRECATED")),
    ("REVIEW", "request review", None),
    ("REVIEW", "publish", Some("PUBLISHED")),
    ("REVIEW", "deprecate", Some("DEPRECATED")),
    ("PUBLISHED", "request review", None),
    ("PUBLISHED", "publish", None),
    ("PUBLISHED", "deprecate", Some("DEPRECATED")),
    ("DEPRECATED", "request review", None),
    ("DEPRECATED", "publish", None),
    ("DEPRECATED", "deprecate", None),
];

fn act(flow: &str, number: i64, action: &str) -> Value {
    json!({ "flow": flow, "version_num": number, "action": action })
}

async fn draft(lab: &Lab, name: &str) -> i64 {
    let new = json!({ "name": name, "graph_schema": plain_schema() });
    lab.ok("manager", "flow_draft", new).await["version_num"].as_i64().unwrap()
}

async fn version_in(lab: &Lab, name: &str, status: &str) -> i64 {
    let number = draft(lab, name).await;
    let way: &[&str] = match status {
        "DRAFT" => &[],
        "REVIEW" => &["request review"],
        "PUBLISHED" => &["request review", "publish"],
        "DEPRECATED" => &["deprecate"],
        other => panic!("no status {other}"),
    };
    for action in way {
        lab.ok("second", "flow_move", act(name, number, action)).await;
    }
    number
}

async fn at(lab: &Lab, flow: &str, number: i64) -> Value {
    lab.ok("auditor", "flow_show", json!({ "flow": flow, "version_num": number })).await
}

async fn every_status_and_action_is_as_the_table_says(kind: Kind) {
    let lab = open(kind).await;
    for (i, (from, action, to)) in TABLE.into_iter().enumerate() {
        let name = format!("flow{i}");
        let number = version_in(&lab, &name, from).await;
        let answer = lab.call("second", "flow_move", act(&name, number, action)).await;
        if to.is_none() {
            let error = answer.expect_err(&format!("{action} in {from} was let through"));
            assert_eq!(error.kind(), ErrorKind::IllegalState, "{from} {action}: {error:?}");
        }
        assert_eq!(at(&lab, &name, number).await["status"], to.unwrap_or(from), "{from} {action}");
    }
}

async fn nobody_approves_their_own_version(kind: Kind) {
    let lab = open(kind).await;
    let number = version_in(&lab, "f", "REVIEW").await;
    let publish = act("f", number, "publish");
    let own = "lineage.separation_of_duties";
    refused(&lab, "manager", "flow_move", publish.clone(), own).await;
    // Whoever wrote last is its author.
    let next = draft(&lab, "f").await;
    let edit = json!({ "flow": "f", "version_num": next, "graph_schema": plain_schema() });
    lab.ok("second", "flow_edit", edit).await;
    lab.ok("manager", "flow_move", act("f", next, "request review")).await;
    refused(&lab, "second", "flow_move", act("f", next, "publish"), own).await;
    let done = lab.ok("chief", "flow_move", publish).await;
    assert_eq!(
        (text(&done, "author"), text(&done, "reviewed_by")),
        ("manager".into(), "chief".into())
    );
    assert_eq!(
        (text(&done, "published_by"), done["separate"].as_bool()),
        ("chief".into(), Some(true))
    );
    // Whoever opens the files is both, and it says so.
    let root = lab.app.embedded(Some("manager")).await.unwrap();
    let new = json!({ "name": "e", "graph_schema": plain_schema() });
    lab.app.call(&root, crate::lab::call("flow_draft", new), None).await.unwrap();
    let step = |action| crate::lab::call("flow_move", act("e", 1, action));
    lab.app.call(&root, step("request review"), None).await.unwrap();
    assert_eq!(lab.app.call(&root, step("publish"), None).await.unwrap_err().code(), own);
    let root = lab.app.embedded(Some("second")).await.unwrap();
    let done = lab.app.call(&root, step("publish"), None).await.unwrap();
    assert_eq!(done["separate"], false);
}

async fn in_review_only_the_notes_change(kind: Kind) {
    let lab = open(kind).await;
    let number = version_in(&lab, "f", "REVIEW").await;
    let note = |n: i64| json!({ "flow": "f", "version_num": n, "notes": "gate 3 is missing" });
    let edit = |n: i64| json!({ "flow": "f", "version_num": n, "graph_schema": plain_schema() });
    refused(&lab, "manager", "flow_edit", edit(number), "lineage.immutable").await;
    let noted = lab.ok("second", "flow_note", note(number)).await;
    assert_eq!(noted["review_notes"], "gate 3 is missing");
    lab.ok("second", "flow_move", act("f", number, "publish")).await;
    refused(&lab, "manager", "flow_edit", edit(number), "lineage.immutable").await;
    refused(&lab, "second", "flow_note", note(number), "lineage.immutable").await;
    let next = draft(&lab, "f").await;
    refused(&lab, "second", "flow_note", note(next), "lineage.immutable").await;
    lab.ok("manager", "flow_edit", edit(next)).await;
}

async fn what_is_published_does_not_change_by_raw_sql_either(kind: Kind) {
    let lab = open(kind).await;
    let mut schema = plain_schema();
    schema["gates"] =
        json!([{ "key": "g", "step_index": 1, "gate_type": "metal", "blocking": true }]);
    lab.ok("manager", "flow_draft", json!({ "name": "f", "graph_schema": schema })).await;
    // A draft is anybody's.
    lab.sql("UPDATE flow_versions SET graph_schema = graph_schema || ' '");
    publish(&lab, "f", 1).await;
    let before = at(&lab, "f", 1).await;
    for change in [
        "graph_schema = '{}'",
        "graph_schema = graph_schema || ' '",
        "version_num = 9",
        "author = 'nobody'",
        "reviewed_by = 'nobody'",
        "published_by = NULL",
        "review_notes = 'fine'",
        "status = 'DRAFT'",
        "status = 'REVIEW'",
        "status = 'DRAFT', graph_schema = '{}'",
        "status = 'DEPRECATED', graph_schema = '{}'",
    ] {
        let said = lab.sql_refused(&format!("UPDATE flow_versions SET {change}"));
        assert!(said.contains("does not change"), "{change}: {said}");
    }
    lab.sql_refused("DELETE FROM flow_versions");
    lab.sql_refused("UPDATE qc_gates SET blocking = (1 = 0)");
    lab.sql_refused("DELETE FROM qc_gates");
    if kind == Kind::Postgres {
        lab.sql_refused("TRUNCATE flow_versions CASCADE");
        lab.sql_refused("TRUNCATE qc_gates CASCADE");
    }
    assert_eq!(at(&lab, "f", 1).await, before);
    // It is taken out of use all the same.
    lab.sql("UPDATE flow_versions SET status = 'DEPRECATED'");
    let said = lab.sql_refused("UPDATE flow_versions SET status = 'PUBLISHED'");
    assert!(said.contains("does not change"), "{said}");
    assert_eq!(at(&lab, "f", 1).await["status"], "DEPRECATED");
    // And in review too, the graph stands.
    let next = draft(&lab, "f").await;
    lab.ok("manager", "flow_move", act("f", next, "request review")).await;
    lab.sql_refused("UPDATE flow_versions SET graph_schema = '{}' WHERE status = 'REVIEW'");
    lab.sql_refused("UPDATE flow_versions SET status = 'DRAFT' WHERE status = 'REVIEW'");
    lab.sql("UPDATE flow_versions SET review_notes = 'noted' WHERE status = 'REVIEW'");
}

async fn a_newer_version_replaces_the_older(kind: Kind) {
    let lab = open(kind).await;
    let first = version_in(&lab, "f", "PUBLISHED").await;
    let next = draft(&lab, "f").await;
    assert_eq!(next, first + 1);
    publish(&lab, "f", next).await;
    assert_eq!(at(&lab, "f", first).await["status"], "DEPRECATED");
    let newest = lab.ok("auditor", "flow_show", json!({ "flow": "f" })).await;
    assert_eq!(
        (newest["version_num"].as_i64(), text(&newest, "status")),
        (Some(next), "PUBLISHED".into())
    );
    // Two who draft at once get two numbers.
    let new = || json!({ "name": "f" });
    let (one, other) = tokio::join!(
        lab.call("manager", "flow_draft", new()),
        lab.call("second", "flow_draft", new()),
    );
    let numbers: Vec<_> =
        [one, other].into_iter().flatten().map(|v| v["version_num"].as_i64()).collect();
    assert!(!numbers.is_empty());
    assert!(numbers.len() == 1 || numbers[0] != numbers[1], "{numbers:?}");
}

async fn versions_are_compared(kind: Kind) {
    let lab = open(kind).await;
    draft(&lab, "f").await;
    let mut schema = plain_schema();
    schema["steps"][4]["name"] = json!("Skewering");
    schema["gates"] = json!([{ "key": "metal", "step_index": 4, "gate_type": "metal" }]);
    lab.ok("manager", "flow_draft", json!({ "name": "f", "graph_schema": schema })).await;
    let changes = lab.ok("auditor", "flow_diff", json!({ "flow": "f", "from": 1, "to": 2 })).await;
    let told: Vec<_> = changes
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (text(c, "what"), text(c, "key"), text(c, "change")))
        .collect();
    let typed = [("gate", "metal", "added"), ("step", "4", "changed")];
    assert_eq!(told, typed.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    assert_eq!(changes[1]["after"]["name"], "Skewering");
    let none = json!({ "flow": "f", "from": 1, "to": 7 });
    refused(&lab, "auditor", "flow_diff", none, "lineage.not_found").await;
}

async fn profiles_are_installed_as_drafts(kind: Kind) {
    let lab = open(kind).await;
    for (profile, gates) in [("food", 7), ("vfx", 4)] {
        let made = lab.ok("manager", "profile_install", json!({ "name": profile })).await;
        assert_eq!(made["status"], "DRAFT");
        publish(&lab, profile, 1).await;
        let found = lab.ok("auditor", "gate_list", json!({ "flow": profile })).await;
        assert_eq!(found.as_array().unwrap().len(), gates, "{profile}");
        let again = lab.ok("manager", "profile_install", json!({ "name": profile })).await;
        assert_eq!(again["version_num"], 2);
    }
    refused(&lab, "manager", "profile_install", json!({ "name": "none" }), "lineage.not_found")
        .await;
    let told = lab.ok("viewer", "profile_list", json!({})).await;
    assert_eq!(told.as_array().unwrap().len(), 2);
    let mut broken = plain_schema();
    broken["steps"].as_array_mut().unwrap().pop();
    let new = json!({ "name": "broken", "graph_schema": broken });
    refused(&lab, "manager", "flow_draft", new, "lineage.bad_field").await;
    refused(&lab, "manager", "flow_draft", json!({ "name": "empty" }), "lineage.bad_field").await;
}

async fn scenarios_are_versioned(kind: Kind) {
    let lab = open(kind).await;
    let scenario = |color: &str| {
        json!({ "name": "day", "streams": [
            { "stream_key": "a", "color": color, "sort_order": 2, "phases": [
                { "phase_num": 1, "name": "Prep" }, { "phase_num": 2, "name": "Run" }] },
            { "stream_key": "b", "color": "#000000", "sort_order": 1, "phases": [] },
        ]})
    };
    lab.ok("manager", "scenario_define", scenario("#ffffff")).await;
    lab.ok("manager", "scenario_define", scenario("#eeeeee")).await;
    let all = lab.ok("auditor", "scenario_list", json!({})).await;
    let versions: Vec<_> = all.as_array().unwrap().iter().map(|s| s["version"].as_i64()).collect();
    assert_eq!(versions, [Some(2), Some(1)]);
    assert_eq!(all[0]["streams"][1]["color"], "#eeeeee");
    assert_eq!(all[1]["streams"][1]["color"], "#ffffff");
    assert_eq!(all[0]["streams"][1]["phases"][1]["name"], "Run");
    refused(&lab, "manager", "scenario_define", scenario("red"), "lineage.bad_field").await;
}
