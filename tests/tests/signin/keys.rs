//! API keys, what they reach, and service accounts.

use serde_json::json;

use crate::desk::{BAD_TOKEN, Desk, Kind, PASSWORD, WRONG, ask, same, text};

on_both!(
    a_key_reaches_what_its_scopes_name,
    keys_die_with_their_user_and_stay_dead,
    a_service_account_has_no_password_and_never_will,
);

fn a_key_reaches_what_its_scopes_name(kind: Kind) {
    let desk = Desk::open(kind);
    let ann = text(&desk.hire("ann", &["artist"]), "access_token");
    let key = |token: &str, name: &str, scopes: serde_json::Value| {
        desk.ask("POST", "/auth/keys", token, json!({ "name": name, "scopes": scopes }))
    };
    let make = |name: &str, scopes| text(&key(&ann, name, scopes).unwrap(), "secret");
    let (full, reads, both) = (
        make("full", json!(["transfers"])),
        make("reads", json!(["transfers:read"])),
        make("both", json!(["*:read", "auth"])),
    );
    let transfer = json!({ "title": "shot", "project": "film", "category": "plates" });
    let made = desk.post("/transfers", &full, transfer.clone());
    let code = text(&made, "code");
    let out = (403, "identity.out_of_scope");
    for token in [&reads, &both] {
        desk.get("/transfers", token);
        same(desk.refused("POST", "/transfers", token, transfer.clone()), out);
        let upload = format!("/transfers/{code}/files/a.exr?kind=empty_dir");
        same(desk.refused("PUT", &upload, token, json!({})), out);
    }
    desk.ask("PUT", &format!("/transfers/{code}/files/a?kind=empty_dir"), &full, json!({}))
        .unwrap();
    same(desk.refused("GET", "/approvals", &full, json!({})), out);
    desk.get("/approvals", &both);
    // What a key makes reaches no further than itself.
    key(&both, "child", json!(["lots:read"])).unwrap();
    for (name, scopes) in [("wide", json!(["transfers"])), ("open", json!(null))] {
        let body = json!({ "name": name, "scopes": scopes });
        same(desk.refused("POST", "/auth/keys", &both, body), out);
    }
    for scopes in [json!(["transfrs"]), json!(["transfers:write"])] {
        let found =
            desk.refused("POST", "/auth/keys", &ann, json!({ "name": "x", "scopes": scopes }));
        assert!([400, 422].contains(&found.0), "{found:?}");
    }
    // Listed with what they reach and when they were last used, without secrets.
    let listed = desk.get("/auth/keys", &ann);
    let of =
        |name: &str| listed.as_array().unwrap().iter().find(|k| k["name"] == name).unwrap().clone();
    assert_eq!(of("reads")["scopes"], json!(["transfers:read"]));
    assert!(of("full")["last_used_at"].is_string() && of("child")["last_used_at"].is_null());
    assert!(!listed.to_string().contains(&full));
    desk.ask("DELETE", "/auth/keys/full", &ann, json!({})).unwrap();
    same(desk.refused("GET", "/transfers", &full, json!({})), BAD_TOKEN);
}

fn keys_die_with_their_user_and_stay_dead(kind: Kind) {
    let desk = Desk::open(kind);
    let ann = text(&desk.hire("ann", &["artist"]), "access_token");
    let key = text(&desk.post("/auth/keys", &ann, json!({ "name": "pipeline" })), "secret");
    assert!(desk.is_in(&key));
    desk.post("/users/ann/active", &desk.admin, json!({ "active": false }));
    assert!(!desk.is_in(&key));
    let body = json!({ "name": "late", "username": "ann" });
    same(desk.refused("POST", "/auth/keys", &desk.admin, body.clone()), (409, "identity.inactive"));
    desk.post("/users/ann/active", &desk.admin, json!({ "active": true }));
    same(desk.refused("GET", "/auth/me", &key, json!({})), BAD_TOKEN);
    assert!(desk.is_in(&text(&desk.post("/auth/keys", &desk.admin, body), "secret")));
    if kind == Kind::Postgres {
        let second = desk.second();
        assert!(ask(&second.url, "GET", "/auth/me", &key, json!({})).is_err());
    }
}

fn a_service_account_has_no_password_and_never_will(kind: Kind) {
    let desk = Desk::open(kind);
    let bad = json!({ "username": "pipeline", "service": true, "password": PASSWORD });
    same(desk.refused("POST", "/users", &desk.admin, bad), (422, "identity.bad_field"));
    let new = json!({ "username": "pipeline", "service": true, "roles": ["artist"] });
    assert_eq!(desk.post("/users", &desk.admin, new)["kind"], "service");
    let set = json!({ "new_password": PASSWORD });
    let found = desk.refused("POST", "/users/pipeline/password", &desk.admin, set);
    same(found, (422, "identity.bad_field"));
    for password in [PASSWORD, ""] {
        same(desk.login_refused("pipeline", password), WRONG);
    }
    let key = desk.post("/auth/keys", &desk.admin, json!({ "name": "k", "username": "pipeline" }));
    assert_eq!(desk.get("/auth/me", &text(&key, "secret"))["username"], "pipeline");
}
