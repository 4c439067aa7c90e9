//! Tokens that are renewed, stolen, forged, ended.

use std::process::Command;
use std::sync::Barrier;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use databridge_tests::process::{built, run};
use serde_json::{Value, json};

use crate::desk::{BAD_TOKEN, Desk, Kind, PASSWORD, WRONG, ask, refusal, same, text};

on_both!(
    a_session_is_renewed_and_a_replayed_refresh_token_ends_it,
    one_session_is_ended_or_all_of_them_on_every_host,
    of_two_renewals_at_once_one_wins_and_the_session_ends,
    what_was_ended_stays_ended_after_a_restart,
    hashes_by_bcrypt_are_taken_over_and_replaced,
    secrets_stand_nowhere,
    the_command_line_renews_by_itself,
);

fn a_session_is_renewed_and_a_replayed_refresh_token_ends_it(kind: Kind) {
    let desk = Desk::open(kind);
    let first = desk.hire("ann", &["artist"]);
    let hours = |session: &Value, field: &str| {
        let until: databridge_core::base::clock::Timestamp = text(session, field).parse().unwrap();
        (until.since(databridge_core::base::clock::Timestamp::now()).as_secs() + 600) / 3600
    };
    assert_eq!((hours(&first, "expires_at"), hours(&first, "refresh_until")), (8, 7 * 24));
    let second = desk.refresh(&text(&first, "refresh_token")).unwrap();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!((&second["username"], &second["roles"]), (&json!("ann"), &json!(["artist"])));
    for session in [&first, &second] {
        assert!(desk.is_in(&text(session, "access_token")));
    }
    // Another session of hers has nothing to do with it.
    let other = desk.login("ann", PASSWORD).unwrap();
    // Whoever comes second with the first token is a thief, or was robbed.
    same(refusal(desk.refresh(&text(&first, "refresh_token"))), BAD_TOKEN);
    for session in [&first, &second] {
        assert!(!desk.is_in(&text(session, "access_token")), "the family lives on");
        same(refusal(desk.refresh(&text(session, "refresh_token"))), BAD_TOKEN);
    }
    assert_eq!(desk.events("user.refresh_token_reused"), 1);
    assert!(desk.is_in(&text(&other, "access_token")));
    desk.refresh(&text(&other, "refresh_token")).unwrap();
    // What is no refresh token.
    for token in ["", "dbr_", &text(&other, "access_token"), "dbr_' OR 1=1 --"] {
        same(refusal(desk.refresh(token)), BAD_TOKEN);
    }
    // A refresh token opens nothing by itself.
    assert!(!desk.is_in(&text(&second, "refresh_token")));
}

fn one_session_is_ended_or_all_of_them_on_every_host(kind: Kind) {
    let desk = Desk::open(kind);
    let first = desk.hire("ann", &["artist"]);
    let renewed = desk.refresh(&text(&first, "refresh_token")).unwrap();
    let [second, third] =
        [desk.login("ann", PASSWORD).unwrap(), desk.login("ann", PASSWORD).unwrap()];
    let other = desk.hire("bob", &["artist"]);
    let host = (kind == Kind::Postgres).then(|| desk.second());
    let urls: Vec<&str> = [&desk.running].into_iter().chain(&host).map(|h| &*h.url).collect();
    let is_in = |session: &Value| -> Vec<bool> {
        let token = text(session, "access_token");
        urls.iter().map(|url| ask(url, "GET", "/auth/me", &token, json!({})).is_ok()).collect()
    };
    let all = |yes: bool| vec![yes; urls.len()];
    // The session is its whole family: the tokens that were, are and could be.
    desk.post("/auth/logout", &text(&renewed, "access_token"), json!({}));
    for session in [&first, &renewed] {
        assert_eq!(is_in(session), all(false));
    }
    same(refusal(desk.refresh(&text(&renewed, "refresh_token"))), BAD_TOKEN);
    for session in [&second, &third, &other] {
        assert_eq!(is_in(session), all(true));
    }
    // Asked of the last host, it holds on the first.
    let last = urls.last().unwrap();
    let token = text(&second, "access_token");
    ask(last, "POST", "/auth/logout?everywhere=true", &token, json!({})).unwrap();
    for session in [&second, &third] {
        assert_eq!(is_in(session), all(false));
        let refresh = json!({ "refresh_token": text(session, "refresh_token") });
        same(refusal(ask(last, "POST", "/auth/refresh", "", refresh)), BAD_TOKEN);
    }
    assert_eq!(is_in(&other), all(true));
    let again = desk.login("ann", PASSWORD).unwrap();
    desk.post("/auth/logout", &text(&again, "access_token"), json!({ "everywhere": true }));
    assert_eq!(is_in(&again), all(false));
}

fn of_two_renewals_at_once_one_wins_and_the_session_ends(kind: Kind) {
    let desk = Desk::open(kind);
    let session = desk.hire("ann", &["artist"]);
    let token = text(&session, "refresh_token");
    let (gate, url) = (Barrier::new(2), &desk.running.url);
    let renew = || {
        gate.wait();
        ask(url, "POST", "/auth/refresh", "", json!({ "refresh_token": token }))
    };
    let answers = std::thread::scope(|s| {
        let (one, two) = (s.spawn(renew), s.spawn(renew));
        [one.join().unwrap(), two.join().unwrap()]
    });
    let won: Vec<_> = answers.iter().filter_map(|a| a.as_ref().ok()).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert!(!desk.is_in(&text(won[0], "access_token")), "two hold one token: nobody may");
}

fn what_was_ended_stays_ended_after_a_restart(kind: Kind) {
    let mut desk = Desk::open(kind);
    let out = desk.hire("ann", &["artist"]);
    let stays = desk.hire("bob", &["artist"]);
    desk.post("/auth/logout", &text(&out, "access_token"), json!({}));
    let check = |url: &str| {
        let is_in = |s: &Value| ask(url, "GET", "/auth/me", &text(s, "access_token"), json!({}));
        same(refusal(is_in(&out)), BAD_TOKEN);
        is_in(&stays).unwrap();
        let refresh = json!({ "refresh_token": text(&out, "refresh_token") });
        same(refusal(ask(url, "POST", "/auth/refresh", "", refresh)), BAD_TOKEN);
    };
    check(&desk.running.url);
    desk.restart();
    check(&desk.running.url);
    if kind == Kind::Postgres {
        let second = desk.second();
        check(&second.url);
        // What one host ends is over on the other at the next request.
        let end = json!({ "username": "bob", "active": false });
        desk.post("/users/bob/active", &desk.admin, json!({ "active": end["active"] }));
        let token = text(&stays, "access_token");
        same(refusal(ask(&second.url, "GET", "/auth/me", &token, json!({}))), BAD_TOKEN);
        let refresh = json!({ "refresh_token": text(&stays, "refresh_token") });
        same(refusal(ask(&second.url, "POST", "/auth/refresh", "", refresh)), BAD_TOKEN);
    }
    // Forged: no algorithm, and another organisation with a broken signature.
    let token = text(&stays, "access_token");
    let parts: Vec<&str> = token.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["org"] = json!("00000000-0000-7000-8000-000000000000");
    let moved = URL_SAFE_NO_PAD.encode(claims.to_string());
    for forged in [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{moved}.{}", parts[0], parts[2]),
    ] {
        same(desk.refused("GET", "/auth/me", &forged, json!({})), BAD_TOKEN);
    }
}

/// crypt_blowfish's own test vector for the password `U*U`.
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

fn hashes_by_bcrypt_are_taken_over_and_replaced(kind: Kind) {
    let desk = Desk::open(kind);
    let body = json!({ "username": "old", "roles": ["artist"], "password_hash": BCRYPT });
    desk.post("/users", &desk.admin, body);
    let hash = || desk.sql("SELECT password_hash FROM users WHERE username = 'old'");
    assert!(hash().starts_with("$2a$05$"));
    same(desk.login_refused("old", "u*u"), WRONG);
    assert!(hash().starts_with("$2a$05$"), "a wrong password changes nothing");
    desk.login("old", "U*U").unwrap();
    let replaced = hash();
    assert!(replaced.starts_with("$argon2id$"), "{replaced}");
    desk.login("old", "U*U").unwrap();
    assert_eq!(hash(), replaced, "a hash of our own is left alone");
    for bad in ["plain text", "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"] {
        let body = json!({ "username": "new", "password_hash": bad });
        same(desk.refused("POST", "/users", &desk.admin, body), (422, "identity.bad_field"));
    }
}

fn secrets_stand_nowhere(kind: Kind) {
    let mut desk = Desk::open_with(kind, vec![("LOG", "debug".into())]);
    let session = desk.hire("ann", &["artist"]);
    let next = desk.refresh(&text(&session, "refresh_token")).unwrap();
    let token = text(&next, "access_token");
    let key = desk.post("/auth/keys", &token, json!({ "name": "farm" }));
    let _ = desk.login("ann", "a wrong but long password");
    let set = json!({ "new_password": "another long password" });
    desk.post("/users/ann/password", &desk.admin, set);
    let _ = desk.login(PASSWORD, "the name and the password are mixed up");
    let everything = desk.everything();
    assert!(everything.contains("user.signed_in"), "nothing is looked at");
    for secret in [
        PASSWORD,
        "a wrong but long password",
        "another long password",
        "mixed up",
        &text(&session, "access_token"),
        &text(&session, "refresh_token"),
        &text(&next, "refresh_token"),
        &token,
        &text(&key, "secret"),
    ] {
        assert!(!everything.contains(secret), "{secret} stands somewhere");
    }
}

fn the_command_line_renews_by_itself(kind: Kind) {
    // An access token that ends in less than a minute is renewed at each use.
    let desk = Desk::open_with(kind, vec![("SIGNIN__ACCESS_SECONDS", "30".into())]);
    desk.post("/users", &desk.admin, json!({ "username": "ann", "password": PASSWORD }));
    let home = desk.folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("password"), PASSWORD).unwrap();
    let databridge = |words: &[&str]| {
        let mut command = Command::new(built("databridge"));
        command.env_clear().env("HOME", &home).args(["--server", &desk.running.url]).args(words);
        command
    };
    let file = home.join("password");
    run(&mut databridge(&["login", "ann", "--password-file", file.to_str().unwrap()]));
    let stored = || std::fs::read_to_string(home.join(".config/databridge/tokens.json")).unwrap();
    let before = stored();
    run(&mut databridge(&["transfer", "list"]));
    let after = stored();
    assert_ne!(before, after, "the session was not renewed");
    // Many at once share one session: none of them is taken for a thief.
    let children: Vec<_> =
        (0..4).map(|_| databridge(&["transfer", "list"]).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(desk.events("user.refresh_token_reused"), 0);
    let elsewhere = desk.login("ann", PASSWORD).unwrap();
    run(&mut databridge(&["logout"]));
    assert!(!stored().contains(&desk.running.url));
    assert!(desk.is_in(&text(&elsewhere, "access_token")), "another session was ended, too");
    let status = databridge(&["transfer", "list"]).output().unwrap().status;
    assert_eq!(status.code(), Some(3));
    run(&mut databridge(&["login", "ann", "--password-file", file.to_str().unwrap()]));
    run(&mut databridge(&["logout", "--everywhere"]));
    assert!(!desk.is_in(&text(&elsewhere, "access_token")));
}
