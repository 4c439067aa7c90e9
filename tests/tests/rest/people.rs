//! Users over HTTP, and changes that are bound to what was looked at.

use serde_json::{Value, json};

use crate::desk::{Desk, Kind};

on_both!(
    a_change_is_bound_to_the_version_that_was_looked_at,
    a_decision_can_be_bound_to_the_version_too,
    the_last_admin_cannot_go,
    one_key_is_one_command,
);

fn a_change_is_bound_to_the_version_that_was_looked_at(kind: Kind) {
    let desk = Desk::open(kind);
    let seen = desk.ask("admin", "GET", "/users/artist", Value::Null);
    let tag = seen.header("etag").unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", seen.json()["version"]));
    let change = json!({ "display_name": "Ann", "email": "ann@studio.example" });
    desk.ask("admin", "PATCH", "/users/artist", change.clone())
        .refused(428, "command.unconditional");
    let with = |tag: &str, body: Value| {
        desk.ask_with("admin", "PATCH", "/users/artist", &[("if-match", tag)], body)
    };
    let changed = with(&tag, change.clone());
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json()["display_name"], "Ann");
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    // Whoever looked before that is told.
    with(&tag, json!({ "display_name": "Bob" })).refused(412, "command.outdated");
    for wrong in ["1", "\"x\"", "W/\"1\"", "\"1\", \"2\""] {
        with(wrong, change.clone()).refused(400, "http.bad_request");
    }
    let any = with("*", json!({ "email": "" }));
    assert_eq!((any.status, any.json()["email"].clone()), (200, Value::Null));
    assert_eq!(any.json()["display_name"], "Ann");
    with("*", json!({ "email": "no address" })).refused(422, "identity.bad_field");
    with("*", json!({ "display_name": " " })).refused(422, "identity.bad_field");
    desk.ask("artist", "GET", "/users/lead", Value::Null).refused(403, "identity.forbidden");
    assert_eq!(desk.ok("artist", "GET", "/users/artist", Value::Null)["display_name"], "Ann");
    desk.ask("admin", "GET", "/users/nobody", Value::Null).refused(404, "identity.no_user");
}

fn a_decision_can_be_bound_to_the_version_too(kind: Kind) {
    let desk = Desk::open(kind);
    let code = desk.submitted();
    let seen = desk.ask("lead", "GET", &format!("/transfers/{code}"), Value::Null);
    let tag = seen.header("etag").unwrap().to_owned();
    let approve = format!("/approvals/{code}/approve");
    let old = seen.json()["version"].as_i64().unwrap() - 1;
    let with = |tag: &str| desk.ask_with("lead", "POST", &approve, &[("if-match", tag)], json!({}));
    with(&format!("\"{old}\"")).refused(412, "command.outdated");
    assert_eq!(with(&tag).status, 200);
}

fn the_last_admin_cannot_go(kind: Kind) {
    let desk = Desk::open(kind);
    let off = |who: &str| {
        let path = format!("/users/{who}/active");
        desk.ask("admin", "POST", &path, json!({ "active": false }))
    };
    let role =
        |who: &str, body: Value| desk.ask("admin", "POST", &format!("/users/{who}/roles"), body);
    off("admin").refused(409, "identity.last_admin");
    let take = json!({ "role": "admin", "granted": false });
    role("admin", take.clone()).refused(409, "identity.last_admin");
    role("admin", json!({ "role": "admin", "deny": true })).refused(409, "identity.last_admin");
    // One for a while is no other.
    let soon = json!({ "role": "admin", "until": "2099-01-01T00:00:00Z" });
    assert_eq!(role("lead", soon).status, 200);
    off("admin").refused(409, "identity.last_admin");
    assert_eq!(desk.ok("admin", "GET", "/users/admin", Value::Null)["active"], true);
    // With another, one may go; who is left is the last then.
    assert_eq!(role("lead", json!({ "role": "admin" })).status, 200);
    let gone = role("admin", take);
    assert_eq!(gone.status, 200, "{gone:?}");
    let lead = desk.ask("lead", "POST", "/users/lead/active", json!({ "active": false }));
    lead.refused(409, "identity.last_admin");
    // What others are is nobody's last.
    let artist = desk.ask("lead", "POST", "/users/artist/active", json!({ "active": false }));
    assert_eq!(artist.status, 200, "{artist:?}");
    desk.ask("artist", "GET", "/transfers", Value::Null).refused(401, "identity.bad_token");
}

fn one_key_is_one_command(kind: Kind) {
    let desk = Desk::open(kind);
    let body = json!({ "title": "a", "project": "film", "category": "plates" });
    let with = |key: &str, body: &Value| {
        let headers = [("idempotency-key", key)];
        desk.ask_with("artist", "POST", "/transfers", &headers, body.clone())
    };
    let (first, again) = (with("k1", &body), with("k1", &body));
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.json()["code"], again.json()["code"]);
    with("k1", &json!({ "title": "b", "project": "film", "category": "plates" }))
        .refused(409, "command.key_reused");
    with(&"k".repeat(256), &body).refused(422, "call.bad_field");
    let listed = desk.ok("artist", "GET", "/transfers", Value::Null);
    assert_eq!(listed.as_array().unwrap().len(), 1);
}
