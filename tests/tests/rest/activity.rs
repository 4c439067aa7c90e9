//! What happened, what people are told of it, and lists by what is asked.

use std::time::{Duration, Instant};

use databridge_tests::process::PATIENCE;
use serde_json::{Value, json};

use crate::desk::{Desk, Kind};

on_both!(
    events_are_found_by_filters_and_exported,
    people_are_told_what_is_theirs_and_when_it_is_their_turn,
    lists_are_filtered_and_paged,
);

fn codes(list: &Value) -> Vec<String> {
    let code = |t: &Value| t["code"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(code).collect()
}

fn events_are_found_by_filters_and_exported(kind: Kind) {
    let desk = Desk::open(kind);
    let (first, second) = (desk.submitted(), desk.transfer());
    let path = format!("/approvals/{first}/reject");
    desk.ok("lead", "POST", &path, json!({ "reason": "=cmd(), \"quoted\"" }));
    // Until it is sealed, on PostgreSQL.
    desk.wait_for(&first, "transfer.rejected");
    let found = |query: &str| {
        let events = desk.ok("admin", "GET", &format!("/activity?{query}"), Value::Null);
        let kind = |e: &Value| e["kind"].as_str().unwrap().to_owned();
        events.as_array().unwrap().iter().map(kind).collect::<Vec<_>>()
    };
    let all = ["transfer.created", "transfer.files_added"];
    assert_eq!(found(&format!("subject={second}")), all);
    assert_eq!(found("kind=transfer.rejected"), ["transfer.rejected"]);
    assert_eq!(found("kind=transfer&actor=lead"), ["transfer.rejected"]);
    assert_eq!(found("actor=nobody"), [""; 0]);
    assert_eq!(found("until=2000-01-01T00:00:00Z"), [""; 0]);
    assert!(found("since=2000-01-01T00:00:00Z&limit=3").len() == 3);
    assert_eq!(found("subject=%25"), [""; 0]);
    desk.ask("lead", "GET", "/activity", Value::Null).refused(403, "identity.forbidden");
    let export = |format: &str| {
        let path = format!("/activity/export?format={format}&subject={first}");
        desk.ask("admin", "GET", &path, Value::Null)
    };
    let table = export("csv");
    assert_eq!(table.header("content-type"), Some("text/csv; charset=utf-8"));
    let lines: Vec<&str> = table.text.lines().collect();
    assert_eq!(lines[0], "position,at,kind,subject,by,on_behalf_of,data");
    assert!(lines.last().unwrap().contains(",transfer.rejected,"), "{lines:?}");
    let objects = export("json");
    assert_eq!(objects.text.lines().count(), lines.len() - 1);
    for line in objects.text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["subject"]["code"], first.as_str());
    }
    assert_eq!(export("xml").status, 400);
    let path = "/activity/export?format=csv";
    desk.ask("it", "GET", path, Value::Null).refused(403, "identity.forbidden");
}

fn people_are_told_what_is_theirs_and_when_it_is_their_turn(kind: Kind) {
    let desk = Desk::open(kind);
    let code = desk.submitted();
    let told = |who: &str, subject: &str, kind: &str| {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let inbox = desk.ok(who, "GET", "/notifications", Value::Null);
            let items = inbox["items"].as_array().unwrap().clone();
            if items.iter().any(|n| n["subject"] == subject && n["kind"] == kind) {
                return inbox;
            }
            // It comes with the next look at the ledger, which nothing tells of.
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{who} is not told of {kind}");
    };
    let inbox = told("lead", &code, "transfer.frozen");
    assert_eq!(inbox["unread"], 1);
    assert_eq!(inbox["items"][0]["reason"], "your_turn");
    // Nobody else's turn yet.
    assert_eq!(desk.ok("supervisor", "GET", "/notifications", Value::Null)["unread"], 0);
    desk.ok("lead", "POST", &format!("/approvals/{code}/approve"), json!({}));
    assert_eq!(told("supervisor", &code, "transfer.approved")["unread"], 1);
    let mine = told("artist", &code, "transfer.approved");
    assert_eq!(mine["items"][0]["reason"], "yours");
    // Read, unread, and only one's own.
    let position = mine["items"][0]["position"].clone();
    let mark = |who: &str, body: Value| desk.ok(who, "POST", "/notifications/read", body);
    assert_eq!(mark("lead", json!({ "positions": [position] }))["unread"], 1);
    assert_eq!(mark("artist", json!({ "positions": [position] }))["unread"], 0);
    let unread = desk.ok("artist", "GET", "/notifications?unread=true", Value::Null);
    assert_eq!(unread["items"], json!([]));
    assert_eq!(mark("artist", json!({ "positions": [position], "read": false }))["unread"], 1);
    assert_eq!(mark("artist", json!({}))["unread"], 0);
    desk.ask("artist", "GET", "/notifications?limit=0", Value::Null)
        .refused(422, "inbox.bad_field");
}

fn lists_are_filtered_and_paged(kind: Kind) {
    let desk = Desk::open(kind);
    let create = |title: &str, project: &str| {
        let body = json!({ "title": title, "project": project, "category": "plates" });
        let made = desk.ok("artist", "POST", "/transfers", body);
        made["code"].as_str().unwrap().to_owned()
    };
    let (a, b, c) =
        (create("Shot 100%", "film"), create("shot 010", "film"), create("x_y", "show"));
    let waiting = desk.submitted();
    let list = |who: &str, query: &str| {
        codes(&desk.ok(who, "GET", &format!("/transfers?{query}"), Value::Null))
    };
    assert_eq!(list("admin", "project=show"), std::slice::from_ref(&c));
    assert_eq!(list("admin", "text=SHOT"), [waiting.clone(), b.clone(), a.clone()]);
    assert_eq!(list("admin", "text=100%25"), std::slice::from_ref(&a));
    assert_eq!(list("admin", "text=_"), std::slice::from_ref(&c));
    assert_eq!(list("admin", &format!("text={}", b.to_lowercase())), std::slice::from_ref(&b));
    assert_eq!(list("admin", "owner=nobody"), [""; 0]);
    assert_eq!(list("admin", "owner=artist").len(), 4);
    assert_eq!(list("admin", "since=2099-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(list("admin", "until=2099-01-01T00:00:00Z").len(), 4);
    assert_eq!(list("lead", "waiting_for_me=true"), std::slice::from_ref(&waiting));
    assert_eq!(list("supervisor", "waiting_for_me=true"), [""; 0]);
    assert_eq!(
        codes(&desk.ok("lead", "GET", "/approvals", Value::Null)),
        std::slice::from_ref(&waiting)
    );
    // A page at a time, whole and each once.
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = list("artist", &format!("limit=3&after={after}"));
        let Some(last) = page.last() else { break };
        after.clone_from(last);
        all.extend(page);
    }
    assert_eq!(all, [waiting.clone(), c.clone(), b, a]);
    // Whoever sees one project only gets whole pages of it.
    let roles = |body: Value| desk.ok("admin", "POST", "/users/it/roles", body);
    roles(json!({ "role": "it_team", "granted": false }));
    roles(json!({ "role": "it_team", "project": "show" }));
    assert_eq!(list("it", "limit=1"), std::slice::from_ref(&c));
    roles(json!({ "role": "it_team" }));
    roles(json!({ "role": "it_team", "project": "film", "deny": true }));
    assert_eq!(list("it", "limit=4"), [c]);
}
