//! Two organisations in one store: over HTTP nothing of the one is there for the other, by
//! whatever id, in whatever list, and nothing of it moves.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use databridge_core::app::App;
use databridge_core::app::routes::{Method, PREFIX, ROUTES, Route};
use databridge_tests::process::PATIENCE;
use serde_json::{Value, json};

use crate::http::Served;
use crate::lab::{Kind, Lab, call, text};
use crate::lineage::{self, plain_flow, run};

on_both!(
    nothing_of_another_organisation_is_there,
    a_second_organisation_is_told_of_its_own,
    what_fails_for_one_organisation_holds_up_no_other,
    who_measures_the_host_counts_every_organisation,
    organisations_are_made_by_who_has_the_store,
);

/// Paths whose names are the product's own, the same for everybody.
const NO_ID: [&str; 1] = ["profile_install"];

/// What the calls that take an id take besides.
fn body(op: &str) -> Value {
    match op {
        "reject" | "override_approval" | "transfer_cancel" | "transfer_recall" => {
            json!({ "reason": "because" })
        }
        "decide" => json!({ "decision": "accept", "reason": "because" }),
        "transfer_priority" => json!({ "priority": "low" }),
        "lot_link" => json!({ "parent": "lot-of-a" }),
        "lot_move" => json!({ "status": "HOLD" }),
        "transfer_add" => json!({ "from": "/mnt/renders/a" }),
        "run_advance" => json!({ "to": 1 }),
        "run_skip" => json!({ "to": 2, "reason": "because" }),
        "run_move" => json!({ "action": "hold" }),
        "flow_edit" => json!({ "graph_schema": lineage::plain_schema() }),
        "flow_move" => json!({ "action": "request review" }),
        "flow_note" => json!({ "notes": "because" }),
        "user_change" => json!({ "display_name": "Mallory" }),
        "user_role" => json!({ "role": "artist" }),
        "user_active" => json!({ "active": false }),
        "user_password" => json!({ "new_password": "a password of some length" }),
        _ => json!({}),
    }
}

/// What one organisation has, by the names of the fields of paths.
struct Ids(Vec<(&'static str, String)>);

impl Ids {
    fn of(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| *known == name);
        &found.unwrap_or_else(|| panic!("no id for {{{name}}}")).1
    }

    fn path(&self, route: &Route) -> String {
        let mut path = PREFIX.to_owned();
        for part in route.path.split('/').skip(1) {
            path.push('/');
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                None => path.push_str(part),
                Some(name) => path.push_str(self.of(name.trim_start_matches('*'))),
            }
        }
        if route.op == "flow_diff" {
            path.push_str("?from=1&to=1");
        }
        path
    }
}

fn method(route: &Route) -> &'static str {
    match route.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// A's people, work and words.
async fn settle_in(lab: &mut Lab) -> Ids {
    lab.hire("ann-of-a", &["artist"]).await;
    let key = json!({ "name": "key-of-a", "username": "ann-of-a" });
    lab.ok("chief", "key_create", key).await;
    let away =
        json!({ "username": "ann-of-a", "deputy": "other", "until": "2099-01-01T00:00:00Z" });
    // At most a year at a time: from just before its end.
    let mut away = away;
    away["from"] = json!("2098-06-01T00:00:00Z");
    let absence = text(&lab.ok("chief", "absence_set", away).await, "id");
    plain_flow(lab, "flow-of-a", |_| {}).await;
    let run = run(lab, "flow-of-a").await;
    let lot = json!({ "lot_code": "lot-of-a", "lot_type": "RAW", "run": run });
    lab.ok("operator", "lot_register", lot).await;
    let code = lab.scanned(&[("a.exr", b"a")]).await;
    lab.deliver(&code).await;
    let history = lab.history(&code).await;
    let position = history[0]["position"].to_string();
    Ids(vec![
        ("code", code),
        ("hook", "index".into()),
        ("path", "a.exr".into()),
        ("id", absence),
        ("lot_code", "lot-of-a".into()),
        ("other", "lot-of-a".into()),
        ("run_code", run),
        ("flow", "flow-of-a".into()),
        ("version_num", "1".into()),
        ("username", "ann-of-a".into()),
        ("name", "key-of-a".into()),
        ("position", position),
    ])
}

/// Another organisation with one person who may do everything; answers its id, and the
/// key of that person.
async fn rival(lab: &Lab) -> (String, String) {
    let (id, key) = lab.organisation("rival").await;
    let admin = lab.app.authenticate(&key).await.unwrap();
    let new = json!({ "username": "rival", "roles": App::roles() });
    lab.app.call(&admin, call("user_create", new), None).await.unwrap();
    let key = json!({ "name": "of-b", "username": "rival" });
    let made = lab.app.call(&admin, call("key_create", key), None).await.unwrap();
    (id, text(&made, "secret"))
}

/// Who has the store's files makes organisations, and nobody else: no role of one reaches
/// beyond it.
async fn organisations_are_made_by_who_has_the_store(kind: Kind) {
    let lab = Lab::open(kind).await;
    for who in ["chief", "it_team", "artist"] {
        let error = lab.refused(who, "organisation_create", json!({ "code": "rival" })).await;
        assert_eq!(error.code(), "identity.forbidden", "{who}");
    }
    let (id, key) = lab.organisation("rival").await;
    let root = lab.app.embedded(None).await.unwrap();
    for (code, wanted) in [
        ("rival", "identity.organisation_exists"),
        ("", "identity.bad_field"),
        ("A b", "identity.bad_field"),
    ] {
        let again = call("organisation_create", json!({ "code": code }));
        assert_eq!(lab.app.call(&root, again, None).await.unwrap_err().code(), wanted, "{code}");
    }
    // Its admin is admin there, and there alone.
    let admin = lab.app.authenticate(&key).await.unwrap();
    assert_eq!(admin.org.to_string(), id);
    let people = lab.app.call(&admin, call("user_list", json!({})), None).await.unwrap();
    let people: Vec<_> = people.as_array().unwrap().iter().map(|u| text(u, "username")).collect();
    assert_eq!(people, ["admin"]);
    let new = json!({ "username": "artist", "roles": ["artist"] });
    lab.app.call(&admin, call("user_create", new), None).await.unwrap();
    let key = json!({ "name": "k", "username": "artist" });
    let key = lab.app.call(&admin, call("key_create", key), None).await.unwrap();
    let artist = lab.app.authenticate(&text(&key, "secret")).await.unwrap();
    let new = json!({ "title": "theirs", "project": "film", "category": "plates" });
    lab.app.call(&artist, call("transfer_create", new), None).await.unwrap();
    assert_eq!(lab.ok("chief", "transfer_list", json!({})).await, json!([]));
    // What happened in it is in its own history, and what a daemon does by itself it does
    // for every one.
    lab.seal().await;
    let told = lab.app.call(&admin, call("activity", json!({})), None).await.unwrap();
    assert_eq!(text(&told[0], "kind"), "organisation.created", "{told}");
    lab.app.follow().await.unwrap();
    lab.app.ask_for_housekeeping().await.unwrap();
    let jobs = lab.app.call(&admin, call("job_list", json!({})), None).await.unwrap();
    assert_eq!(text(&jobs[0], "kind"), "housekeeping", "{jobs}");
}

/// All of A that could move.
async fn standing(lab: &Lab, ids: &Ids, rival: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let code = json!({ "code": ids.of("code") });
    for (op, fields) in [
        ("transfer_show", code.clone()),
        ("transfer_files", code.clone()),
        ("transfer_list", json!({})),
        ("lot_show", json!({ "lot_code": "lot-of-a" })),
        ("run_show", json!({ "run_code": ids.of("run_code") })),
        ("flow_show", json!({ "flow": "flow-of-a" })),
        ("flow_list", json!({})),
        ("chain_list", json!({})),
        ("user_list", json!({})),
        ("absence_list", json!({})),
        ("bandwidth_list", json!({})),
        ("job_list", json!({ "limit": 200 })),
    ] {
        all.push(lab.ok("chief", op, fields).await);
    }
    let keys = lab.ok("chief", "key_list", json!({ "username": "ann-of-a" })).await;
    all.push(keys);
    let events = format!("SELECT COUNT(*) FROM ledger_event WHERE org_id <> '{rival}'");
    all.push(lab.sql(&events).trim().into());
    all
}

async fn nothing_of_another_organisation_is_there(kind: Kind) {
    let mut lab = lineage::open(kind).await;
    let ids = settle_in(&mut lab).await;
    let (rival, key) = rival(&lab).await;
    // What a daemon would do of A's by itself is done.
    for _ in 0..2 {
        lab.seal().await;
        lab.app.follow().await.unwrap();
    }
    lab.seal().await;
    let served = Served::of(&lab);
    let before = standing(&lab, &ids, &rival).await;
    let marks =
        [ids.of("code"), ids.of("run_code"), "ann-of-a", "lot-of-a", "flow-of-a", "Shot 010"];
    let clean = |place: &str, text: &str| {
        for mark in marks {
            assert!(!text.contains(mark), "{place} tells of {mark}: {text}");
        }
    };
    let (mut by_id, mut lists) = (0, 0);
    for route in ROUTES {
        let has_id = route.path.contains('{') && !NO_ID.contains(&route.op);
        if has_id {
            let (mut path, method) = (ids.path(route), method(route));
            if route.op == "transfer_where" {
                path += "?system=linux";
            }
            let tag = (method == "PATCH").then_some("*");
            let answer = served.ask(&key, method, &path, tag, &body(route.op));
            assert_eq!(answer.status, 404, "{} {method} {path}: {answer:?}", route.op);
            assert_ne!(answer.code(), "http.no_route", "{} {path}", route.op);
            // It may name what was asked for, and nothing else.
            for mark in marks.iter().filter(|mark| !path.contains(**mark)) {
                assert!(!answer.text.contains(mark), "{path} tells of {mark}: {}", answer.text);
            }
            by_id += 1;
        } else if route.method == Method::Get && route.op != "path_translate" {
            // (That one asks of no record, only of what clients call the mounts.)
            let path = format!("{PREFIX}{}", route.path);
            let answer = served.ask(&key, "GET", &path, None, &Value::Null);
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            clean(&path, &answer.text);
            lists += 1;
        }
    }
    assert!(by_id > 40 && lists > 20, "{by_id} {lists}");
    beside_the_table(&served, &key, &ids, clean);
    named_in_fields(&served, &key, &ids);
    stream(&served, &key, clean);
    for (before, now) in before.into_iter().zip(standing(&lab, &ids, &rival).await) {
        assert_eq!(now, before, "something moved");
    }
}

/// What the daemon does by itself it does for all: here, that their lead hears whose turn it
/// is.
async fn a_second_organisation_is_told_of_its_own(kind: Kind) {
    let lab = Lab::open(kind).await;
    let artist = lab.app.authenticate(&rival(&lab).await.1).await.unwrap();
    let new = json!({ "username": "their-lead", "roles": ["team_lead"] });
    lab.app.call(&artist, call("user_create", new), None).await.unwrap();
    let key = json!({ "name": "of-lead", "username": "their-lead" });
    let key = lab.app.call(&artist, call("key_create", key), None).await.unwrap();
    let lead = lab.app.authenticate(&text(&key, "secret")).await.unwrap();
    let new = json!({ "title": "Theirs", "project": "film", "category": "theirs" });
    let made = lab.app.call(&artist, call("transfer_create", new), None).await.unwrap();
    let code = text(&made, "code");
    lab.app.add(&artist, &code, &lab.tree(&[("a.exr", b"a")]), ()).await.unwrap();
    let submit = call("transfer_submit", json!({ "code": code }));
    lab.app.call(&artist, submit, None).await.unwrap();
    while lab.step().await {}
    lab.seal().await;
    lab.app.follow().await.unwrap();
    let inbox = lab.app.call(&lead, call("notification_list", json!({})), None).await.unwrap();
    let told: Vec<_> = inbox["items"].as_array().unwrap().iter().collect();
    assert_eq!(told.len(), 1, "{inbox}");
    assert_eq!((&told[0]["subject"], &told[0]["reason"]), (&json!(code), &json!("your_turn")));
    let ours = lab.ok("team_lead", "notification_list", json!({})).await;
    assert_eq!(ours["items"], json!([]));
}

/// An event of the first that nobody can read any more.
async fn what_fails_for_one_organisation_holds_up_no_other(kind: Kind) {
    let lab = Lab::open(kind).await;
    let (id, key) = rival(&lab).await;
    lab.seal().await;
    lab.disarm();
    let ours = lab.app.org();
    lab.sql(&format!("UPDATE ledger_event SET body = 'no JSON' WHERE org_id = '{ours}'"));
    let ctx = lab.app.authenticate(&key).await.unwrap();
    let new = json!({ "title": "Theirs", "project": "film", "category": "theirs" });
    lab.app.call(&ctx, call("transfer_create", new), None).await.unwrap();
    lab.seal().await;
    assert_eq!(lab.app.follow().await.unwrap_err().code(), "db.column");
    let place = lab.sql(&format!("SELECT position FROM inbox_cursor WHERE org_id = '{id}'"));
    assert_eq!(place, lab.sql("SELECT MAX(position) FROM ledger_leaf"));
}

async fn who_measures_the_host_counts_every_organisation(kind: Kind) {
    let lab = Lab::open(kind).await;
    let ctx = lab.app.authenticate(&rival(&lab).await.1).await.unwrap();
    let new = json!({ "title": "Theirs", "project": "film", "category": "theirs" });
    lab.app.call(&ctx, call("transfer_create", new), None).await.unwrap();
    lab.create().await;
    lab.app.ask_for_housekeeping().await.unwrap();
    let all = lab.app.measure().await.unwrap();
    let theirs = lab.app.measure_for(&ctx).await.unwrap();
    for (measured, count) in [(all, 2), (theirs, 1)] {
        assert_eq!(measured.jobs, [("housekeeping".to_owned(), "ready".to_owned(), count)]);
        assert!(measured.transfers.contains(&("draft".to_owned(), count)), "{measured:?}");
    }
}

/// What is no call: uploads, exports, metrics, streams of one transfer.
fn beside_the_table(served: &Served, key: &str, ids: &Ids, clean: impl Fn(&str, &str)) {
    let of = |rest: &str| format!("{PREFIX}/transfers/{}/{rest}", ids.of("code"));
    let put = served.ask(key, "PUT", &of("files/b.exr"), None, &Value::Null);
    assert_eq!(put.status, 404, "{put:?}");
    let events = served.ask(key, "GET", &of("events"), None, &Value::Null);
    assert_eq!(events.status, 404, "{events:?}");
    for path in ["/api/v1/activity/export?format=csv", "/api/v1/activity/export?format=json"] {
        let answer = served.ask(key, "GET", path, None, &Value::Null);
        assert_eq!(answer.status, 200, "{answer:?}");
        clean(path, &answer.text);
    }
    let metrics = served.ask(key, "GET", "/metrics", None, &Value::Null);
    assert_eq!(metrics.status, 200, "{metrics:?}");
    let counted = |line: &&str| {
        let samples = ["databridge_jobs{", "databridge_transfers{"];
        samples.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
    };
    let leaks: Vec<_> = metrics.text.lines().filter(counted).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
}

/// Ids of the one in what the other asks for.
fn named_in_fields(served: &Served, key: &str, ids: &Ids) {
    let until = "2098-12-01T00:00:00Z";
    for (path, fields, code) in [
        (
            "/lots",
            json!({ "lot_code": "b", "lot_type": "RAW", "parents": ["lot-of-a"] }),
            "lineage.unknown_parent",
        ),
        ("/runs", json!({ "flow": "flow-of-a" }), "lineage.not_found"),
        (
            "/approvals/absences",
            json!({ "deputy": "ann-of-a", "from": "2098-06-01T00:00:00Z", "until": until }),
            "identity.no_user",
        ),
        ("/auth/keys", json!({ "name": "k", "username": "ann-of-a" }), "identity.no_user"),
    ] {
        let answer = served.ask(key, "POST", &format!("{PREFIX}{path}"), None, &fields);
        assert_eq!(answer.code(), code, "{path}: {answer:?}");
    }
    let code = ids.of("code");
    for path in [
        format!("/activity?subject={code}"),
        "/activity?actor=ann-of-a".to_owned(),
        format!("/transfers?text={code}"),
        "/transfers?owner=artist".to_owned(),
    ] {
        let answer = served.ask(key, "GET", &format!("{PREFIX}{path}"), None, &Value::Null);
        assert_eq!((answer.status, answer.text.as_str()), (200, "[]"), "{path}");
    }
    let keys = format!("{PREFIX}/auth/keys?username=ann-of-a");
    assert_eq!(served.ask(key, "GET", &keys, None, &Value::Null).status, 404);
}

/// A stream from the beginning: the first thing it tells is the listener's own.
fn stream(served: &Served, key: &str, clean: impl Fn(&str, &str)) {
    let address = served.running.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {PREFIX}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         last-event-id: 0\r\n\r\n"
    )
    .unwrap();
    let mut told = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        told.push_str(&line);
        told.push('\n');
        if line.starts_with("data: ") && line.contains("user.created") {
            break;
        }
    }
    assert!(told.contains(" 200 OK"), "{told}");
    assert!(told.contains("\"rival\""), "{told}");
    clean("/events", &told);
}
