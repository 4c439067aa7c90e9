//! Who may come in, and that what changes holds at the very next request.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use databridge_core::app::Note;
use databridge_core::base::cancel::Cancel;
use databridge_core::base::clock::Timestamp;
use databridge_core::base::error::ErrorKind;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::lab::{Kind, Lab, call, text};

on_both!(
    passwords_open_only_to_those_who_know_them,
    a_deactivated_person_is_out_at_once,
    a_changed_role_holds_at_once,
    what_follows_the_loss_of_a_role_is_not_told,
    a_forged_token_is_refused,
    an_api_key_ends_when_it_is_revoked_or_has_expired,
    a_grant_ends_with_its_time_and_a_denial_wins,
    another_organisation_is_not_there,
    only_an_admin_manages_people,
);

const PASSWORD: &str = "correct horse battery";

async fn with_password(lab: &Lab, name: &str, roles: &[&str]) {
    let new = json!({ "username": name, "roles": roles, "password": PASSWORD });
    lab.ok("chief", "user_create", new).await;
}

async fn token(lab: &Lab, name: &str) -> String {
    lab.app.login(name, PASSWORD.into(), None).await.unwrap().access_token
}

async fn passwords_open_only_to_those_who_know_them(kind: Kind) {
    let lab = Lab::open(kind).await;
    // The first admin must choose a password before anything else.
    let first = lab.one_time_password.clone();
    let error = lab.app.login("admin", first.clone(), None).await.unwrap_err();
    assert_eq!(
        (error.code(), error.kind()),
        ("identity.must_change_password", ErrorKind::Unauthenticated)
    );
    let error = lab.app.login("admin", first.clone(), Some("short".into())).await.unwrap_err();
    assert_eq!(error.code(), "identity.weak_password");
    let session = lab.app.login("admin", first.clone(), Some(PASSWORD.into())).await.unwrap();
    assert_eq!(session.roles, ["admin"]);
    assert!(!format!("{session:?}").contains(&session.access_token));
    // The one-time password has had its time; one answer for every wrong pair.
    let wrong =
        [("admin", first.as_str()), ("admin", ""), ("nobody", PASSWORD), ("artist", PASSWORD)];
    let mut said = Vec::new();
    for (name, password) in wrong {
        let error = lab.app.login(name, password.into(), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        said.push((error.code().to_owned(), error.chain()));
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].0, "identity.wrong_credentials");
    // Nothing of it stands in the ledger or in the table.
    lab.seal().await;
    assert_eq!(
        lab.sql(&format!("SELECT count(*) FROM ledger_event WHERE body LIKE '%{PASSWORD}%'"))
            .trim(),
        "0"
    );
    let hash = lab.sql("SELECT password_hash FROM users WHERE username = 'admin'");
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    // A password that an admin sets ends the sessions.
    let set = json!({ "username": "admin", "new_password": "another long password" });
    lab.ok("chief", "user_password", set).await;
    let error = lab.app.authenticate(&session.access_token).await.unwrap_err();
    assert_eq!(error.code(), "identity.bad_token");
}

async fn a_deactivated_person_is_out_at_once(kind: Kind) {
    let mut lab = Lab::open(kind).await;
    with_password(&lab, "ann", &["artist"]).await;
    with_password(&lab, "carl", &["artist"]).await;
    let key = lab.hire("bob", &["artist"]).await;
    let token = token(&lab, "ann").await;
    lab.app.authenticate(&token).await.unwrap();
    for name in ["ann", "bob"] {
        lab.ok("chief", "user_active", json!({ "username": name, "active": false })).await;
    }
    for bearer in [&token, &key] {
        let error = lab.app.authenticate(bearer).await.unwrap_err();
        assert_eq!(
            (error.code(), error.kind()),
            ("identity.bad_token", ErrorKind::Unauthenticated)
        );
    }
    let error = lab.app.login("ann", PASSWORD.into(), None).await.unwrap_err();
    assert_eq!(error.code(), "identity.wrong_credentials");
    // Sessions that ended so do not come back with the person.
    lab.ok("chief", "user_active", json!({ "username": "ann", "active": true })).await;
    assert!(lab.app.authenticate(&token).await.is_err(), "an ended session came back");
    lab.app.login("ann", PASSWORD.into(), None).await.unwrap();
    // Signing out ends the one session, or all of one's own.
    let token = async |name| self::token(&lab, name).await;
    let tokens = [token("ann").await, token("ann").await, token("ann").await];
    let ctx = lab.app.authenticate(&tokens[0]).await.unwrap();
    lab.app.call(&ctx, call("logout", json!({})), None).await.unwrap();
    assert!(lab.app.authenticate(&tokens[0]).await.is_err());
    let ctx = lab.app.authenticate(&tokens[1]).await.unwrap();
    lab.app.authenticate(&tokens[2]).await.unwrap();
    let other = token("carl").await;
    lab.app.call(&ctx, call("logout", json!({ "everywhere": true })), None).await.unwrap();
    for token in &tokens {
        assert!(lab.app.authenticate(token).await.is_err(), "a session lives on");
    }
    lab.app.authenticate(&other).await.unwrap();
    // A key is no session, and may still end all of them.
    let error = lab.refused("artist", "logout", json!({})).await;
    assert_eq!((error.code(), error.kind().http_status()), ("identity.no_session", 409));
    lab.ok("artist", "logout", json!({ "everywhere": true })).await;
}

async fn a_changed_role_holds_at_once(kind: Kind) {
    let lab = Lab::open(kind).await;
    with_password(&lab, "ann", &["team_lead"]).await;
    let token = token(&lab, "ann").await;
    let code = lab.create().await;
    lab.add(&code, &[("a.exr", b"a")]).await;
    lab.submit(&code).await;
    let take = json!({ "username": "ann", "role": "team_lead", "granted": false });
    lab.ok("chief", "user_role", take).await;
    // The token still says team lead; the store does not.
    let ctx = lab.app.authenticate(&token).await.unwrap();
    let approve = || call("approve", json!({ "code": code }));
    let error = lab.app.call(&ctx, approve(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "no role, nothing to see: {error:?}");
    lab.ok("chief", "user_role", json!({ "username": "ann", "role": "team_lead" })).await;
    let ctx = lab.app.authenticate(&token).await.unwrap();
    lab.app.call(&ctx, approve(), None).await.unwrap();
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::digest([&block.map(|b| b ^ 0x36)[..], message].concat());
    Sha256::digest([&block.map(|b| b ^ 0x5c)[..], &inner].concat()).to_vec()
}

fn jwt(header: &Value, claims: &Value, key: Option<&[u8]>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key.map(|key| hmac(key, signed.as_bytes())).unwrap_or_default();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn what_follows_the_loss_of_a_role_is_not_told(kind: Kind) {
    let mut lab = Lab::open(kind).await;
    let secret = lab.hire("second", &["admin"]).await;
    let ctx = lab.who("second").clone();
    lab.seal().await;
    let size = lab.ok("chief", "ledger_checkpoint", json!({})).await["size"].as_i64().unwrap();
    // Read in one: the loss, what they may not see from then on, and what is theirs.
    let role = |role: &str, granted: bool| -> Value {
        json!({ "username": "second", "role": role, "granted": granted })
    };
    lab.ok("chief", "user_role", role("admin", false)).await;
    lab.create().await;
    lab.ok("chief", "user_role", role("artist", true)).await;
    lab.seal().await;
    let stop = Cancel::new();
    let (app, ended) = (lab.app.clone(), stop.clone());
    let running = tokio::spawn(async move { app.run(&ended).await });
    let mut listener = lab.app.listen(ctx, secret, None, Some(size - 1)).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        if let Note::Event(page) = listener.next().await.unwrap() {
            told.push(page.event.kind.clone());
        }
    }
    assert_eq!(told, ["user.role_taken", "user.role_granted"]);
    stop.cancel();
    running.await.unwrap();
}

async fn a_forged_token_is_refused(kind: Kind) {
    let lab = Lab::open(kind).await;
    with_password(&lab, "ann", &["artist"]).await;
    let real = token(&lab, "ann").await;
    let claims = real.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let key = std::fs::read(lab.app.config().data.join("keys/token.key")).unwrap();
    let hs256 = json!({ "alg": "HS256", "typ": "JWT" });
    // The forger is good: with the right key and claims the token is as real.
    lab.app.authenticate(&jwt(&hs256, &claims, Some(&key))).await.unwrap();
    let with = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        claims
    };
    let without = |field: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(field);
        claims
    };
    let none = |alg: &str| json!({ "alg": alg, "typ": "JWT" });
    let now = Timestamp::now().as_micros() / 1_000_000;
    let other = "00000000-0000-7000-8000-000000000000";
    let bad = [
        ("alg none", jwt(&none("none"), &claims, None)),
        ("alg None", jwt(&none("None"), &claims, None)),
        ("alg none, signed", jwt(&none("none"), &claims, Some(&key))),
        ("another algorithm", jwt(&none("HS512"), &claims, Some(&key))),
        ("no signature", jwt(&hs256, &claims, None)),
        ("another key", jwt(&hs256, &claims, Some(b"0123456789abcdef0123456789abcdef"))),
        ("expired", jwt(&hs256, &with("exp", json!(now - 1)), Some(&key))),
        ("no end", jwt(&hs256, &without("exp"), Some(&key))),
        ("another issuer", jwt(&hs256, &with("iss", json!("mallory")), Some(&key))),
        ("another audience", jwt(&hs256, &with("aud", json!("mallory")), Some(&key))),
        ("another session", jwt(&hs256, &with("sid", json!(other)), Some(&key))),
        ("another person", jwt(&hs256, &with("sub", json!(other)), Some(&key))),
        ("another organisation", jwt(&hs256, &with("org", json!(other)), Some(&key))),
        ("cut", real[..real.len() - 2].to_owned()),
        ("nothing", String::new()),
        ("noise", "dbk_0000".to_owned()),
    ];
    for (what, token) in bad {
        let error = lab.app.authenticate(&token).await.unwrap_err();
        assert_eq!(error.code(), "identity.bad_token", "{what}: {error:?}");
        assert!(!error.chain().contains(&real), "{what}");
    }
    // Roles that a token claims give nothing: the store's count.
    let proud = jwt(&hs256, &with("roles", json!(["admin"])), Some(&key));
    let ctx = lab.app.authenticate(&proud).await.unwrap();
    let error = lab.app.call(&ctx, call("user_list", json!({})), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
}

async fn an_api_key_ends_when_it_is_revoked_or_has_expired(kind: Kind) {
    let lab = Lab::open(kind).await;
    let made = lab.ok("artist", "key_create", json!({ "name": "render farm" })).await;
    let secret = text(&made, "secret");
    let ctx = lab.app.authenticate(&secret).await.unwrap();
    assert_eq!(ctx.actor.username, "artist");
    assert_eq!(
        lab.sql(&format!("SELECT count(*) FROM ledger_event WHERE body LIKE '%{secret}%'")).trim(),
        "0"
    );
    let listed = lab.ok("artist", "key_list", json!({})).await.to_string();
    assert!(listed.contains("render farm") && !listed.contains(&secret));
    lab.ok("artist", "key_revoke", json!({ "name": "render farm" })).await;
    assert_eq!(lab.app.authenticate(&secret).await.unwrap_err().code(), "identity.bad_token");
    let again = json!({ "name": "render farm" });
    assert_eq!(lab.refused("artist", "key_revoke", again).await.code(), "identity.no_key");
    let past = (Timestamp::now() - Duration::from_secs(1)).to_string();
    let made = lab.ok("artist", "key_create", json!({ "name": "old", "expires_at": past })).await;
    assert!(lab.app.authenticate(&text(&made, "secret")).await.is_err());
    // Another's keys are for who manages users.
    let theirs = json!({ "name": "x", "username": "team_lead" });
    assert_eq!(lab.refused("artist", "key_create", theirs).await.kind(), ErrorKind::Forbidden);
}

async fn a_grant_ends_with_its_time_and_a_denial_wins(kind: Kind) {
    let lab = Lab::open(kind).await;
    let sees = async |lab: &Lab| {
        let ctx = lab.again("other").await;
        let waiting = lab.app.call(&ctx, call("approvals_waiting", json!({})), None).await.unwrap();
        waiting.as_array().unwrap().len()
    };
    let code = lab.create().await;
    lab.add(&code, &[("a.exr", b"a")]).await;
    lab.submit(&code).await;
    assert_eq!(sees(&lab).await, 0);
    let role = |more: Value| {
        let mut fields = json!({ "username": "other", "role": "team_lead" });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    let now = Timestamp::now();
    let until = |t: Timestamp| role(json!({ "until": t.to_string() }));
    lab.ok("chief", "user_role", until(now - Duration::from_secs(1))).await;
    assert_eq!(sees(&lab).await, 0, "a grant that has ended");
    lab.ok("chief", "user_role", until(now + Duration::from_secs(3600))).await;
    assert_eq!(sees(&lab).await, 1);
    // Only in another project; then in this one.
    lab.ok("chief", "user_role", role(json!({ "granted": false }))).await;
    lab.ok("chief", "user_role", role(json!({ "project": "series" }))).await;
    assert_eq!(sees(&lab).await, 0, "a grant in another project");
    lab.ok("chief", "user_role", role(json!({ "project": "film" }))).await;
    assert_eq!(sees(&lab).await, 1);
    // Denied here, whatever else is granted.
    lab.ok("chief", "user_role", role(json!({}))).await;
    lab.ok("chief", "user_role", role(json!({ "project": "film", "deny": true }))).await;
    let ctx = lab.again("other").await;
    let error =
        lab.app.call(&ctx, call("approve", json!({ "code": code })), None).await.unwrap_err();
    assert!([ErrorKind::Forbidden, ErrorKind::NotFound].contains(&error.kind()), "{error:?}");
    assert_eq!(sees(&lab).await, 0, "a denial");
    lab.ok(
        "chief",
        "user_role",
        role(json!({ "project": "film", "deny": true, "granted": false })),
    )
    .await;
    assert_eq!(sees(&lab).await, 1);
    let unknown = json!({ "username": "other", "role": "janitor" });
    assert_eq!(lab.refused("chief", "user_role", unknown).await.code(), "identity.bad_field");
}

async fn another_organisation_is_not_there(kind: Kind) {
    let lab = Lab::open(kind).await;
    let mine = lab.approved(&[("a.exr", b"a")]).await;
    let theirs = lab.scanned(&[("b.exr", b"b")]).await;
    while lab.step().await {}
    let (other, key) = lab.organisation("rival").await;
    lab.sql(&format!("UPDATE transfers SET org_id = '{other}' WHERE code = '{theirs}'"));
    let rival = lab.app.authenticate(&key).await.unwrap();
    let spy = call("user_create", json!({ "username": "spy", "roles": ["admin"] }));
    lab.app.call(&rival, spy, None).await.unwrap();
    let plain = json!({ "code": theirs });
    for op in [
        "transfer_show",
        "transfer_files",
        "transfer_history",
        "transfer_receipt",
        "scan_report",
        "approve",
        "scan",
        "start",
        "retry",
        "transfer_cancel",
        "transfer_submit",
    ] {
        for who in ["chief", "it_team", "artist"] {
            let error = lab.refused(who, op, plain.clone()).await;
            assert_eq!(
                (error.code(), error.kind().http_status()),
                ("transfer.not_found", 404),
                "{who} {op}"
            );
        }
    }
    let listed = lab.ok("chief", "transfer_list", json!({})).await;
    let codes: Vec<_> = listed.as_array().unwrap().iter().map(|t| text(t, "code")).collect();
    assert_eq!(codes, [mine]);
    let people = lab.ok("chief", "user_list", json!({})).await.to_string();
    assert!(!people.contains("spy"), "{people}");
    let error =
        lab.refused("chief", "user_active", json!({ "username": "spy", "active": false })).await;
    assert_eq!(error.code(), "identity.no_user");
}

async fn only_an_admin_manages_people(kind: Kind) {
    let lab = Lab::open(kind).await;
    let calls = [
        ("user_create", json!({ "username": "mallory", "roles": ["admin"] })),
        ("user_role", json!({ "username": "artist", "role": "admin" })),
        ("user_active", json!({ "username": "chief", "active": false })),
        ("user_password", json!({ "username": "chief", "new_password": PASSWORD })),
        ("user_list", json!({})),
        ("job_list", json!({})),
        ("activity", json!({})),
        ("ledger_verify", json!({})),
    ];
    for (name, role) in crate::lab::PEOPLE {
        for (op, fields) in calls.iter().filter(|_| role != "admin") {
            let error = lab.refused(name, op, fields.clone()).await;
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{name} {op}: {error:?}");
            assert_eq!(error.required_roles(), ["admin"]);
        }
    }
    for name in ["", "Ann", "a b", "-a", "os:root", &"a".repeat(65)] {
        let error = lab.refused("chief", "user_create", json!({ "username": name })).await;
        assert!(error.code().ends_with(".bad_field"), "{name:?}: {error:?}");
    }
    let taken = json!({ "username": "artist" });
    assert_eq!(lab.refused("chief", "user_create", taken).await.code(), "identity.user_exists");
}
