//! Who is away, and who decides meanwhile.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use databridge_core::base::clock::Timestamp;
use serde_json::{Value, json};

use crate::desk::{Desk, Kind, same, text};

on_both!(
    a_deputy_decides_and_the_receipt_says_for_whom,
    a_deputy_is_no_way_around_a_rule,
    absences_are_set_seen_and_ended_by_those_whom_they_concern,
);

fn token(desk: &Desk, name: &str, roles: &[&str]) -> String {
    text(&desk.hire(name, roles), "access_token")
}

fn hour(hours: i64) -> String {
    let step = Duration::from_secs(3600 * hours.unsigned_abs());
    let now = Timestamp::now();
    (if hours < 0 { now - step } else { now + step }).to_string()
}

/// Waits, by the history, until the transfer is in `state`.
fn settle(desk: &Desk, code: &str, state: &str) {
    let mut after = -1;
    for _ in 0..120 {
        let shown = desk.get(&format!("/transfers/{code}"), &desk.admin);
        if shown["state"] == state {
            return;
        }
        let page =
            desk.get(&format!("/transfers/{code}/history?after={after}&wait=1"), &desk.admin);
        for event in page.as_array().unwrap() {
            after = event["position"].as_i64().unwrap();
        }
    }
    panic!("{code} is not {state}: {}", desk.get(&format!("/transfers/{code}"), &desk.admin));
}

/// A transfer of `artist`'s that waits for its team lead.
fn submitted(desk: &Desk, artist: &str) -> String {
    let new = json!({ "title": "shot", "project": "film", "category": "plates" });
    let code = text(&desk.post("/transfers", artist, new), "code");
    desk.ask("PUT", &format!("/transfers/{code}/files/a.exr"), artist, json!({})).unwrap();
    desk.post(&format!("/transfers/{code}/submit"), artist, json!({}));
    settle(desk, &code, "team_lead_review");
    code
}

fn away(desk: &Desk, who: &str, deputy: &str) -> Value {
    let body = json!({ "deputy": deputy, "until": hour(24), "reason": "on set" });
    desk.post("/approvals/absences", who, body)
}

fn waiting(desk: &Desk, who: &str) -> Vec<String> {
    let list = desk.get("/approvals", who);
    list.as_array().unwrap().iter().map(|t| text(t, "code")).collect()
}

fn a_deputy_decides_and_the_receipt_says_for_whom(kind: Kind) {
    let desk = Desk::open(kind);
    let artist = token(&desk, "artist", &["artist"]);
    let lead = token(&desk, "lead", &["team_lead"]);
    let stand_in = token(&desk, "stand-in", &["artist"]);
    let code = submitted(&desk, &artist);
    let approve = format!("/approvals/{code}/approve");
    // Before anybody is away it is not there for them.
    same(desk.refused("POST", &approve, &stand_in, json!({})), (404, "transfer.not_found"));
    away(&desk, &lead, "stand-in");
    assert_eq!(waiting(&desk, &stand_in), [code.as_str()]);
    assert_eq!(desk.get("/auth/me", &stand_in)["stands_in_for"], json!(["lead"]));
    desk.post(&approve, &stand_in, json!({}));
    let shown = desk.get(&format!("/transfers/{code}"), &desk.admin);
    assert_eq!(shown["state"], "supervisor_review");
    let decided = &shown["approvals"][0];
    assert_eq!(
        (&decided["username"], &decided["on_behalf_of"]),
        (&json!("stand-in"), &json!("lead"))
    );
    assert_eq!(decided["separate"], true);
    // The deputy's right ends there.
    same(desk.refused("POST", &approve, &stand_in, json!({})), (404, "transfer.not_found"));
    for (name, role) in [("supervisor", "supervisor"), ("producer", "line_producer")] {
        let token = token(&desk, name, &[role]);
        desk.post(&approve, &token, json!({}));
    }
    desk.post(&format!("/scanning/{code}/start"), &desk.admin, json!({}));
    settle(&desk, &code, "undecided");
    let accept = json!({ "decision": "accept", "reason": "no antivirus here" });
    desk.post(&format!("/scanning/{code}/decide"), &desk.admin, accept);
    desk.post(&format!("/transfer-ops/{code}/start"), &desk.admin, json!({}));
    settle(&desk, &code, "delivered");
    let receipt = desk.get(&format!("/transfers/{code}/receipt"), &desk.admin);
    let payload = STANDARD.decode(text(&receipt, "payload")).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    let all = statement.to_string();
    assert!(
        all.contains(r#""on_behalf_of":"lead""#) && all.contains(r#""user":"stand-in""#),
        "{all}"
    );
    let events = desk.sql("SELECT body FROM ledger_event WHERE kind = 'transfer.approved'");
    assert!(events.contains(r#""on_behalf_of":"lead""#), "{events}");
}

fn a_deputy_is_no_way_around_a_rule(kind: Kind) {
    let desk = Desk::open(kind);
    let artist = token(&desk, "artist", &["artist"]);
    let lead = token(&desk, "lead", &["team_lead", "artist"]);
    let both = token(&desk, "both", &["supervisor"]);
    let third = token(&desk, "third", &[]);
    let duties = (403, "transfer.separation_of_duties");
    // One's own transfer, decided by one's deputy.
    away(&desk, &lead, "third");
    let own = submitted(&desk, &lead);
    same(desk.refused("POST", &format!("/approvals/{own}/approve"), &third, json!({})), duties);
    // One's own transfer as somebody's deputy.
    away(&desk, &lead, "artist");
    let code = submitted(&desk, &artist);
    let approve = format!("/approvals/{code}/approve");
    same(desk.refused("POST", &approve, &artist, json!({})), duties);
    // Two stages: as a deputy, then as oneself.
    away(&desk, &lead, "both");
    desk.post(&approve, &both, json!({}));
    same(desk.refused("POST", &approve, &both, json!({})), duties);
    // Whoever's deputy has decided has decided: also the second time by another deputy.
    desk.post("/users/lead/roles", &desk.admin, json!({ "role": "supervisor" }));
    same(desk.refused("POST", &approve, &third, json!({})), duties);
    same(desk.refused("POST", &approve, &lead, json!({})), duties);
    // What is denied to the deputy stays denied.
    let other = submitted(&desk, &artist);
    let deny = json!({ "role": "team_lead", "project": "film", "deny": true });
    desk.post("/users/third/roles", &desk.admin, deny);
    let found = desk.refused("POST", &format!("/approvals/{other}/approve"), &third, json!({}));
    same(found, (404, "transfer.not_found"));
    // A deputy reviews, and does nothing else with the absent's roles.
    desk.post("/users/lead/roles", &desk.admin, json!({ "role": "admin" }));
    same(desk.refused("GET", "/users", &both, json!({})), (403, "identity.forbidden"));
    let reason = json!({ "reason": "in a hurry" });
    let found = desk.refused("POST", &format!("/approvals/{other}/override"), &both, reason);
    same(found, (403, "identity.forbidden"));
    // Whoever is shut out has no deputies.
    desk.post("/users/lead/active", &desk.admin, json!({ "active": false }));
    assert!(waiting(&desk, &artist).is_empty());
}

fn absences_are_set_seen_and_ended_by_those_whom_they_concern(kind: Kind) {
    let desk = Desk::open(kind);
    let lead = token(&desk, "lead", &["team_lead"]);
    let deputy = token(&desk, "deputy", &["artist"]);
    let other = token(&desk, "other", &["artist"]);
    let path = "/approvals/absences";
    let bad = [
        json!({ "deputy": "lead", "until": hour(1) }),
        json!({ "deputy": "deputy", "until": hour(-1) }),
        json!({ "deputy": "deputy", "until": hour(24 * 400) }),
        json!({ "deputy": "deputy", "from": hour(2), "until": hour(1) }),
        json!({ "deputy": "deputy", "until": hour(1), "reason": "a\nb" }),
    ];
    for body in bad {
        same(desk.refused("POST", path, &lead, body), (422, "identity.bad_field"));
    }
    let unknown = json!({ "deputy": "nobody", "until": hour(1) });
    same(desk.refused("POST", path, &lead, unknown), (404, "identity.no_user"));
    let theirs = json!({ "username": "lead", "deputy": "other", "until": hour(1) });
    same(desk.refused("POST", path, &other, theirs.clone()), (403, "identity.forbidden"));
    desk.post(path, &desk.admin, theirs);
    // Not yet: what begins later gives nothing now.
    let later = json!({ "deputy": "deputy", "from": hour(1), "until": hour(2) });
    let later = desk.post(path, &lead, later);
    assert_eq!(desk.get("/auth/me", &deputy)["stands_in_for"], json!([]));
    assert_eq!(desk.get("/auth/me", &other)["stands_in_for"], json!(["lead"]));
    let seen = |who: &str| desk.get(path, who).as_array().unwrap().len();
    assert_eq!((seen(&lead), seen(&deputy), seen(&other), seen(&desk.admin)), (2, 1, 1, 2));
    let end = format!("{path}/{}", text(&later, "id"));
    same(desk.refused("DELETE", &end, &other, json!({})), (404, "identity.no_absence"));
    same(desk.refused("DELETE", &end, &deputy, json!({})), (403, "identity.forbidden"));
    desk.ask("DELETE", &end, &lead, json!({})).unwrap();
    same(desk.refused("DELETE", &end, &lead, json!({})), (404, "identity.no_absence"));
    assert_eq!(seen(&lead), 1);
}
