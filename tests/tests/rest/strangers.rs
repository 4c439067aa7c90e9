//! Whoever does not belong here: forged tokens, and other people's things by their ids.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use databridge_tests::process::{PATIENCE, run};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::desk::{Desk, Kind, by_hand, databridge};
use crate::events::Stream;
use crate::input::{encode, plain};

on_both!(
    what_was_forged_or_is_over_opens_nothing,
    what_is_of_others_is_as_if_it_were_not,
    each_organisation_hears_its_own_and_counts_its_own_work,
);

/// The other organisation.
const OTHER: &str = "00000000-0000-7000-8000-00000000000a";

/// RFC 2104 over SHA-256.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with).to_vec();
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

fn jwt(alg: &str, claims: &Value, key: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": alg, "typ": "JWT" })), part(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac(key, signed.as_bytes())))
}

fn what_was_forged_or_is_over_opens_nothing(kind: Kind) {
    let mut desk = Desk::open(kind);
    let real = desk.people.token("artist").to_owned();
    let claims = URL_SAFE_NO_PAD.decode(real.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let key = std::fs::read(desk.place.data.join("keys/token.key")).unwrap();
    let with = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        claims
    };
    // The forger is good: with the right key it is as real.
    desk.people.add("forger", &jwt("HS256", &claims, &key));
    desk.ok("forger", "GET", "/transfers", Value::Null);
    let now = databridge_core::base::clock::Timestamp::now().as_micros() / 1_000_000;
    let other = json!(OTHER);
    let forged = [
        ("no algorithm", jwt("none", &claims, &key)),
        ("another algorithm", jwt("HS512", &claims, &key)),
        ("another key", jwt("HS256", &claims, &[7; 48])),
        ("expired", jwt("HS256", &with("exp", json!(now - 1)), &key)),
        ("for ever", jwt("HS256", &with("exp", json!(now + 10_000_000)), &key)),
        ("without an end", jwt("HS256", &with("exp", Value::Null), &key)),
        ("another organisation", jwt("HS256", &with("org", other.clone()), &key)),
        ("another person", jwt("HS256", &with("sub", other.clone()), &key)),
        ("another session", jwt("HS256", &with("sid", other), &key)),
        ("another issuer", jwt("HS256", &with("iss", json!("mallory")), &key)),
    ];
    for (what, token) in forged {
        desk.people.add(what, &token);
        for (method, path) in
            [("GET", "/transfers"), ("POST", "/transfers"), ("GET", "/events"), ("GET", "/metrics")]
        {
            let answer = desk.ask(what, method, path, Value::Null);
            assert_eq!(answer.status, 401, "{what} {method} {path}: {answer:?}");
            answer.refused(401, "identity.bad_token");
        }
        let put = [("authorization", format!("Bearer {token}"))];
        let path = "/api/v1/transfers/TRF-00001/files/a.exr";
        desk.raw("PUT", path, &put, b"bytes").refused(401, "identity.bad_token");
    }
    // Another installation's token, as good as it is there.
    let elsewhere = Desk::open(kind);
    let theirs = elsewhere.submitted();
    desk.people.add("neighbour", elsewhere.people.token("admin"));
    let answer = desk.ask("neighbour", "GET", &format!("/transfers/{theirs}"), Value::Null);
    match kind {
        // Installations on SQLite are copies of one in these tests, keys and all, and so
        // its admin is this one's: but what happened elsewhere did not happen here.
        Kind::Sqlite => answer.refused(404, "transfer.not_found"),
        Kind::Postgres => answer.refused(401, "identity.bad_token"),
    }
}

/// Founds the other organisation.
fn found(desk: &Desk) -> String {
    let made = run(&mut databridge(&desk.place, &["organisation", "create", "rival", "--json"]));
    let made: Value = serde_json::from_str(&made).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

/// One of each kind of thing, in another organisation: the parameter that names it, its
/// name, and a name that nobody has.
fn theirs(desk: &Desk) -> Vec<(&'static str, String, &'static str)> {
    let code = desk.submitted();
    desk.ok("admin", "POST", "/users", json!({ "username": "rival", "roles": ["artist"] }));
    desk.ok("admin", "POST", "/flows/profiles/food/install", json!({}));
    let lot = json!({ "lot_code": "RAW-1", "lot_type": "RAW", "weight_kg": 1.0 });
    desk.ok("admin", "POST", "/lots", lot);
    let other = found(desk);
    for (table, column, name) in [
        ("transfers", "code", &*code),
        ("users", "username", "rival"),
        ("lots", "lot_code", "RAW-1"),
    ] {
        let moved = format!("UPDATE {table} SET org_id = '{other}' WHERE {column} = '{name}'");
        desk.sql(&moved);
        // (Its own admin is there as well.)
        let there = format!(
            "SELECT count(*) FROM {table} WHERE org_id = '{other}' AND {column} = '{name}'"
        );
        assert_eq!(desk.sql(&there).trim(), "1", "{table}");
    }
    vec![
        ("code", code, "TRF-99999"),
        ("username", "rival".into(), "nobody"),
        ("lot_code", "RAW-1".into(), "RAW-99"),
        ("other", "RAW-1".into(), "RAW-99"),
    ]
}

fn what_is_of_others_is_as_if_it_were_not(kind: Kind) {
    let desk = Desk::open(kind);
    let document = desk.ok("", "GET", "/openapi.json", Value::Null);
    let theirs = theirs(&desk);
    let state = || {
        let rows = "SELECT state, version, stage FROM transfers UNION ALL
                    SELECT username, version, 0 FROM users UNION ALL
                    SELECT lot_code, 0, 0 FROM lots ORDER BY 1";
        desk.sql(rows)
    };
    let before = state();
    let mut hidden = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let Some((name, foreign, nobody)) =
            theirs.iter().find(|(name, ..)| path.contains(&format!("{{{name}}}")))
        else {
            continue;
        };
        // (OPTIONS says what the interface can do, and nothing of anything in it.)
        for (method, told) in methods.as_object().unwrap().iter().filter(|m| m.0 != "options") {
            let schema = &told["requestBody"]["content"]["application/json"]["schema"];
            let body = if schema.is_object() { plain(&document, schema) } else { Value::Null };
            let ask = |who: &str, id: &str| {
                let mut address = path.replace(&format!("{{{name}}}"), &encode(id));
                let mut query = Vec::new();
                for parameter in told["parameters"].as_array().unwrap() {
                    let Some(known) = parameter["name"].as_str() else { continue };
                    if parameter["in"] == "path" {
                        address = address.replace(&format!("{{{known}}}"), nobody);
                    } else if parameter["in"] == "query" && parameter["required"] == true {
                        query.push(format!("{known}=1"));
                    }
                }
                if !query.is_empty() {
                    address = format!("{address}?{}", query.join("&"));
                }
                let any = [("if-match", "*")];
                let headers = if method == "patch" { &any[..] } else { &[] };
                let answer =
                    desk.ask_with(who, &method.to_uppercase(), &address, headers, body.clone());
                // HEAD has no body.
                let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
                (answer.status, body["code"].clone())
            };
            for who in ["admin", "artist", "it"] {
                let found = ask(who, foreign);
                assert_eq!(found, ask(who, nobody), "{who} {method} {path}");
                assert!(found.0 >= 400, "{who} {method} {path}: {found:?}");
                hidden += usize::from(found.0 == 404);
            }
        }
    }
    assert!(hidden > 40, "{hidden} of them were looked for at all");
    assert_eq!(state(), before);
    for list in ["/transfers", "/users", "/lots", "/activity", "/approvals"] {
        let listed = desk.ok("admin", "GET", list, Value::Null).to_string();
        let seen = |row: &&(&str, String, &str)| {
            list != "/activity" && listed.contains(&format!("\"{}\"", row.1))
        };
        assert!(!theirs.iter().any(|row| seen(&row)), "{list}: {listed}");
    }
}

fn each_organisation_hears_its_own_and_counts_its_own_work(kind: Kind) {
    // The first has a copy in hand for good.
    let mut settings = by_hand();
    settings.push(("STEP", "copy.file_written:1:HANG".into()));
    settings.push(("LEASE_SECONDS", "600".into()));
    let mut desk = Desk::open_with(kind, &settings);
    let other = found(&desk);
    let rival = json!({ "username": "rival", "roles": ["artist", "admin"] });
    desk.ok("admin", "POST", "/users", rival);
    let key = json!({ "name": "theirs", "username": "rival" });
    let key = desk.ok("admin", "POST", "/auth/keys", key)["secret"].clone();
    desk.people.add("rival", key.as_str().unwrap());
    desk.sql(&format!("UPDATE users SET org_id = '{other}' WHERE username = 'rival'"));
    let code = desk.submitted();
    desk.approve(&code);
    // What happened when it was made is sealed then, and nobody hears of it later.
    desk.wait_for(&code, "transfer.submitted");
    let mut theirs = Stream::open(&desk, "rival", "/events", None);
    let mut ours = Stream::open(&desk, "admin", "/events", None);
    desk.ok("it", "POST", &format!("/transfer-ops/{code}/start"), json!({}));
    desk.running.daemon.wait_for_line(PATIENCE, |line| line.contains("hangs"));
    let jobs = |who: &str| {
        let hosts = desk.ok(who, "GET", "/transfer-ops/hosts", Value::Null);
        assert_eq!(hosts.as_array().unwrap().len(), 1, "{hosts}");
        hosts[0]["jobs"].clone()
    };
    assert_eq!((jobs("admin"), jobs("rival")), (json!(1), json!(0)));
    // How far that copy is, is told to whom it belongs.
    while ours.next().expect("it ended").event != "progress" {}

    let make = |who: &str| {
        let body = json!({ "title": "new", "project": "film", "category": "plates" });
        desk.ok(who, "POST", "/transfers", body)["code"].clone()
    };
    let made = [make("rival"), make("artist"), make("rival"), make("artist")];
    let hear = |stream: &mut Stream, last: &Value| {
        let mut heard = Vec::new();
        while heard.last() != Some(last) {
            let told = stream.next().expect("it ended");
            if told.data["kind"] == "transfer.created" {
                heard.push(told.data["subject"]["code"].clone());
            } else {
                // Of nothing else of the second's, and the first's copy is not for it.
                assert!(last != &made[2] || told.id.is_none() && told.event.is_empty(), "{told:?}");
            }
        }
        heard
    };
    assert_eq!(hear(&mut ours, &made[3]), [made[1].clone(), made[3].clone()]);
    assert_eq!(hear(&mut theirs, &made[2]), [made[0].clone(), made[2].clone()]);
}
