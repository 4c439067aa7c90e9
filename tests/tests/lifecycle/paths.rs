//! Where deliveries belong in production: templates, what they ask for, whose a path is.

use databridge_core::app::{App, Config};
use databridge_core::control::db::Db;
use databridge_core::domains::transfer::{FieldKind, LayoutRule, Template};
use databridge_core::domains::{lineage, transfer};
use databridge_tests::postgres as server;
use databridge_tests::process::{find_program, run};
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, call, text};

on_both!(
    a_delivery_goes_where_its_template_says,
    a_template_that_changes_moves_nothing_that_was_made,
    what_a_template_asks_for_is_checked_when_a_transfer_is_made,
    a_path_belongs_to_one_transfer,
    of_two_that_want_one_path_at_once_one_has_it,
    what_was_made_before_there_were_templates_stays_where_it_was,
);

const SHOTS: &str = "{project}/{sequence}/{shot}/{category}_v{version:03}";

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn rule(category: &str, text: &str) -> LayoutRule {
    LayoutRule { project: None, category: Some(category.into()), template: template(text) }
}

/// Plates by shot and version, everything else as ever.
async fn studio(kind: Kind) -> Lab {
    Lab::open_with(kind, |config| {
        config.layout.rule = vec![rule("plates", SHOTS), rule("audio", "{project}/sound/{reel}")];
        config.layout.fields.insert("reel".into(), FieldKind::Name);
    })
    .await
}

fn plates(shot: &str, version: u32) -> Value {
    json!({
        "title": "Shot", "project": "film", "category": "plates",
        "metadata": { "sequence": "sq010", "shot": shot, "version": version },
    })
}

async fn make(lab: &Lab, new: Value) -> String {
    text(&lab.ok("artist", "transfer_create", new).await, "code")
}

async fn deliver(lab: &Lab, code: &str) {
    lab.add(code, &[("a.exr", b"aaaa")]).await;
    lab.submit(code).await;
    lab.approve_all(code).await;
    lab.scan_and_accept(code).await;
    lab.deliver(code).await;
}

async fn a_delivery_goes_where_its_template_says(kind: Kind) {
    let lab = studio(kind).await;
    let code = make(&lab, plates("sh0010", 7)).await;
    let made = lab.show(&code).await;
    assert_eq!(made["path"], "film/sq010/sh0010/plates_v007");
    assert_eq!(made["metadata"], json!({ "sequence": "sq010", "shot": "sh0010", "version": 7 }));
    let production = lab.app.config().places().production.join("film/sq010/sh0010/plates_v007");
    assert_eq!(text(&made, "destination"), production.to_string());
    deliver(&lab, &code).await;
    let payload = lab.destination(&code).await;
    assert_eq!(std::fs::read(payload.join("a.exr")).unwrap(), b"aaaa");
    assert_eq!(lab.around(&code).await, ["plates_v007", "plates_v007.proof"]);
    // Whoever approved it saw where it goes, and the receipt says so.
    let history = lab.history(&code).await;
    let told: Vec<_> = history
        .iter()
        .filter(|e| {
            ["transfer.created", "transfer.frozen", "transfer.approved"]
                .contains(&&*text(e, "kind"))
        })
        .map(|event| event["data"]["path"].clone())
        .collect();
    assert_eq!(told, vec![json!("film/sq010/sh0010/plates_v007"); 5]);
    let page = std::fs::read_to_string(payload.with_file_name("plates_v007.proof/receipt.txt"));
    let page = page.unwrap();
    assert!(page.contains("Path        film/sq010/sh0010/plates_v007\n"), "{page}");
    assert!(page.contains("shot        sh0010\n") && page.contains("version     7\n"), "{page}");
    // Where no rule says otherwise, it is as ever.
    let other = lab.create().await;
    assert!(text(&lab.show(&other).await, "path").ends_with(&format!("/{other}")));
}

async fn a_template_that_changes_moves_nothing_that_was_made(kind: Kind) {
    let mut lab = studio(kind).await;
    let code = make(&lab, plates("sh0010", 1)).await;
    lab.add(&code, &[("a.exr", b"aaaa")]).await;
    lab.submit(&code).await;
    lab.approve_all(&code).await;
    lab.reopen(|config| {
        config.layout.rule.clear();
        config.layout.template = template("elsewhere/{code}");
    })
    .await;
    assert_eq!(lab.show(&code).await["path"], "film/sq010/sh0010/plates_v001");
    lab.scan_and_accept(&code).await;
    lab.deliver(&code).await;
    let root = lab.app.config().places().production;
    let payload = root.join("film/sq010/sh0010/plates_v001");
    assert!(payload.as_path().unwrap().join("a.exr").exists());
    let next = make(&lab, plates("sh0010", 2)).await;
    assert_eq!(lab.show(&next).await["path"], format!("elsewhere/{next}"));
}

async fn what_a_template_asks_for_is_checked_when_a_transfer_is_made(kind: Kind) {
    let lab = studio(kind).await;
    let with = |category: &str, metadata: Value| json!({ "title": "Shot", "project": "film", "category": category, "metadata": metadata });
    for (category, metadata, code, says) in [
        ("plates", json!({ "sequence": "sq010" }), "transfer.missing_field", "shot, version"),
        ("plates", json!({}), "transfer.missing_field", "film/plates"),
        ("plates", json!({ "shop": "x" }), "transfer.unknown_field", "reel, sequence, shot"),
        ("audio", json!({ "reel": "../../etc" }), "transfer.bad_field", "../../etc"),
        ("audio", json!({ "reel": ".." }), "transfer.bad_field", "begin"),
        ("audio", json!({ "reel": "a/b" }), "transfer.bad_field", "a/b"),
        ("audio", json!({ "reel": 7 }), "transfer.bad_field", "reel=7"),
        ("audio", json!({ "reel": "x".repeat(65) }), "transfer.bad_field", "longer than 64"),
        ("audio", json!({ "reel": "CON" }), "transfer.bad_path", "device"),
        ("audio", json!({ "reel": "r1.proof" }), "transfer.bad_path", "beside a delivery"),
        ("audio", json!({ "reel": "r1." }), "transfer.bad_path", "dot"),
        ("audio", json!({ "reel": "r1", "version": "x" }), "transfer.bad_field", "a number"),
    ] {
        let error =
            lab.refused("artist", "transfer_create", with(category, metadata.clone())).await;
        assert_eq!(error.code(), code, "{metadata}: {error}");
        assert!(error.to_string().contains(says), "{metadata}: {error}");
        assert!(error.hint().is_some());
    }
    // No number was used up, and what is known besides is kept.
    let kept = with("audio", json!({ "reel": "r1", "vendor": "moonlight", "version": "12" }));
    let code = make(&lab, kept).await;
    assert_eq!(code, "TRF-00001");
    let metadata = json!({ "reel": "r1", "vendor": "moonlight", "version": 12 });
    assert_eq!(lab.show(&code).await["metadata"], metadata);
}

async fn a_path_belongs_to_one_transfer(kind: Kind) {
    let lab = studio(kind).await;
    let audio = |reel: &str| {
        json!({
            "title": "Reel", "project": "film", "category": "audio", "metadata": { "reel": reel },
        })
    };
    let first = make(&lab, audio("r1")).await;
    // Also where only some file systems take the two for one.
    for reel in ["r1", "R1"] {
        let error = lab.refused("artist", "transfer_create", audio(reel)).await;
        assert_eq!(error.code(), "transfer.path_taken");
        assert!(error.to_string().contains(&first), "{error}");
        // Whoever may not see the other is not told which it is.
        let error = lab.refused("other", "transfer_create", audio(reel)).await;
        assert!(error.to_string().contains("another transfer"), "{error}");
    }
    // Nor inside another delivery, nor around one.
    let inside = |project: &str, category: &str| json!({ "title": "x", "project": project, "category": category });
    lab.sql(&format!(
        "UPDATE transfers SET path = 'show/c0', path_key = 'show/c0' WHERE code = '{first}'"
    ));
    let error = lab.refused("artist", "transfer_create", inside("show", "c0")).await;
    assert_eq!(error.code(), "transfer.path_taken", "inside another");
    lab.sql(&format!(
        "UPDATE transfers SET path_key = 'film/sound/r1/deep' WHERE code = '{first}'"
    ));
    let error = lab.refused("artist", "transfer_create", audio("r1")).await;
    assert_eq!(error.code(), "transfer.path_taken", "around another");
    lab.sql(&format!("UPDATE transfers SET path_key = 'film/sound/r1' WHERE code = '{first}'"));
    // Names that only begin alike are no matter; and what was withdrawn frees its path.
    make(&lab, audio("r10")).await;
    lab.act("artist", "transfer_cancel", &first).await;
    lab.settle(&first).await;
    let second = make(&lab, audio("r1")).await;
    deliver(&lab, &second).await;
    let error = lab.refused("artist", "transfer_create", audio("r1")).await;
    assert!(error.to_string().contains(&second), "a delivery keeps its path: {error}");
}

async fn of_two_that_want_one_path_at_once_one_has_it(kind: Kind) {
    let lab = studio(kind).await;
    let tries: Vec<_> = (0..6)
        .map(|_| {
            let (app, who) = (lab.app.clone(), lab.who("artist").clone());
            let create = call("transfer_create", plates("sh0010", 1));
            tokio::spawn(async move { app.call(&who, create, None).await })
        })
        .collect();
    let mut made = 0;
    for one in tries {
        match one.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.code(), "transfer.path_taken", "{error:?}"),
        }
    }
    assert_eq!(made, 1);
}

async fn what_was_made_before_there_were_templates_stays_where_it_was(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let database = (kind == Kind::Postgres).then(server::fresh_database);
    let mut config = Config::at(dir.path().join("data"));
    config.database = database.as_ref().map(|d| d.url().to_owned());
    config.layout.template = template("{project}/{shot}/{task}");
    config.make_folders().unwrap();
    let old = transfer::MIGRATIONS.iter().position(|step| step.version >= 2070).unwrap();
    let before = [&transfer::MIGRATIONS[..old], lineage::MIGRATIONS];
    let db = Db::open(&config.target(), &before).await.unwrap();
    db.close().await;
    let (time, uuid, json_of) = match kind {
        Kind::Sqlite => ("1700000000000000", "", ""),
        Kind::Postgres => ("now()", "::uuid", "::jsonb"),
    };
    let id = |n: u32| format!("'01890000-0000-7000-8000-0000000000{n:02x}'{uuid}");
    let mut sql = format!(
        "INSERT INTO orgs VALUES ({org}, 'studio', 'Studio', {time});
         INSERT INTO users (id, org_id, username, display_name, kind, must_change_password, active,
                            version, created_at)
         VALUES ({user}, {org}, 'ada', 'Ada', 'human', {yes}, {yes}, 1, {time});
         INSERT INTO counters VALUES ('transfer', 3);
         INSERT INTO approval_chains VALUES ({chain}, {org}, 'default', 1, '[]'{json_of}, {time});",
        org = id(0xaa),
        user = id(0xbb),
        chain = id(0xcc),
        yes = if kind == Kind::Sqlite { "1" } else { "true" },
    );
    let transfers =
        [("Film", "plates", "delivered"), ("film", "plates", "approved"), ("f", "c", "cancelled")];
    for (n, (project, category, state)) in (1..).zip(transfers) {
        sql +=
            &format!(
            "INSERT INTO transfers (id, org_id, code, title, project, category, owner_id, chain_id,
                                    state, stage, revision, version, fence, destination, authority,
                                    created_at, updated_at)
             VALUES ({}, {}, 'TRF-0000{n}', 't', '{project}', '{category}', {}, {}, '{state}', 0, 1,
                     1, 0, '/old/{project}/{category}/TRF-0000{n}', 'daemon', {time}, {time});",
            id(n), id(0xaa), id(0xbb), id(0xcc),
        );
    }
    match &database {
        Some(database) => database.psql(&sql),
        None => {
            let shell = find_program("sqlite3", &[], "on Debian `apt-get install sqlite3`");
            let file = config.data.join("databridge.db");
            run(std::process::Command::new(shell).arg(file).arg(&sql))
        }
    };
    let app = App::open(config).await.unwrap().app;
    let root = app.embedded(None).await.unwrap();
    for (n, (project, category, _)) in (1..).zip(transfers) {
        let show = call("transfer_show", json!({ "code": format!("TRF-0000{n}") }));
        let shown = app.call(&root, show, None).await.unwrap();
        assert_eq!(shown["path"], format!("{project}/{category}/TRF-0000{n}"));
        assert_eq!((&shown["metadata"], &shown["recall"]), (&json!({}), &Value::Null));
    }
    // Their paths are theirs, in either case, but for what was withdrawn.
    let wanting = |project: &str, shot: &str, task: &str| {
        let metadata = json!({ "shot": shot, "task": task });
        json!({ "title": "x", "project": project, "category": "any", "metadata": metadata })
    };
    for (project, shot, task, free) in [
        ("film", "plates", "TRF-00001", false),
        ("film", "plates", "TRF-00002", false),
        ("f", "c", "TRF-00003", true),
    ] {
        let create = call("transfer_create", wanting(project, shot, task));
        let made = app.call(&root, create, None).await;
        let code = made.as_ref().err().map(|error| error.code().to_owned());
        assert_eq!(code.as_deref(), (!free).then_some("transfer.path_taken"), "{task}");
    }
    app.close().await;
}
