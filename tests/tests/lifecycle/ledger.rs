//! The ledger tells whoever rewrites it, on either database.

use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

on_both!(
    a_life_leaves_a_ledger_that_proves_itself,
    events_take_no_update_and_no_delete,
    an_edit_is_named,
    a_change_beside_the_text_is_named,
    a_code_that_was_taken_away_is_named,
    a_removal_is_named,
    a_reordering_is_named,
    a_cut_tail_is_named_by_a_checkpoint_alone,
    an_event_that_nobody_sealed_is_named,
    a_rewritten_history_is_not_that_of_the_checkpoint,
    what_happened_to_one_subject_is_found_by_an_index,
);

async fn lived(kind: Kind) -> Lab {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(&[("a.exr", b"a")]).await;
    lab.deliver(&code).await;
    lab.seal().await;
    lab
}

async fn verify(lab: &Lab, notes: &[String]) -> Value {
    lab.ok("chief", "ledger_verify", json!({ "checkpoints": notes })).await
}

/// What is found, as `(finding, the whole of it)`.
async fn findings(lab: &Lab, notes: &[String]) -> Vec<(String, Value)> {
    let report = verify(lab, notes).await;
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|f| (text(f, "finding"), f.clone())).collect()
}

fn has(findings: &[(String, Value)], kind: &str, field: &str, value: &Value) -> bool {
    findings.iter().any(|(k, f)| k == kind && f[field] == *value)
}

async fn checkpoint(lab: &Lab) -> (u64, String) {
    let answer = lab.ok("chief", "ledger_checkpoint", json!({})).await;
    (answer["size"].as_u64().unwrap(), text(&answer, "note"))
}

fn event_at(lab: &Lab, position: u64) -> String {
    let sql = format!("SELECT event_id FROM ledger_leaf WHERE position = {position}");
    lab.sql(&sql).trim().to_owned()
}

async fn a_life_leaves_a_ledger_that_proves_itself(kind: Kind) {
    let lab = lived(kind).await;
    let report = verify(&lab, &[]).await;
    assert_eq!(report["findings"], json!([]));
    assert_eq!(report["proved_to"], Value::Null, "nothing proves the tail yet");
    let (size, note) = checkpoint(&lab).await;
    let report = verify(&lab, std::slice::from_ref(&note)).await;
    assert_eq!((&report["findings"], &report["proved_to"]), (&json!([]), &json!(size)));
    assert_eq!(report["events"], size);
    // An older one still holds when more has come.
    lab.create().await;
    if kind == Kind::Postgres {
        assert_eq!(verify(&lab, &[]).await["pending"], 1, "an event waits for its place");
        lab.seal().await;
    }
    let report = verify(&lab, std::slice::from_ref(&note)).await;
    assert_eq!((&report["pending"], &report["findings"]), (&json!(0), &json!([])));
    assert_eq!((&report["events"], &report["proved_to"]), (&json!(size + 1), &json!(size)));
    // A note that somebody wrote themselves proves nothing.
    let forged = note.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size - 1), 1);
    assert_ne!(forged, note);
    let error = lab.refused("chief", "ledger_verify", json!({ "checkpoints": [forged] })).await;
    assert_eq!(error.code(), "ledger.checkpoint");
}

async fn events_take_no_update_and_no_delete(kind: Kind) {
    let lab = lived(kind).await;
    let before = verify(&lab, &[]).await;
    for sql in [
        "UPDATE ledger_event SET actor = 'mallory'",
        "UPDATE ledger_event SET body = '{}'",
        "DELETE FROM ledger_event",
        "UPDATE ledger_leaf SET position = position + 1000",
        "DELETE FROM ledger_leaf",
    ] {
        assert!(lab.sql_refused(sql).contains("append-only"), "{sql}");
    }
    if kind == Kind::Postgres {
        for sql in ["TRUNCATE ledger_event CASCADE", "TRUNCATE ledger_leaf"] {
            assert!(lab.sql_refused(sql).contains("append-only"), "{sql}");
        }
    }
    assert_eq!(verify(&lab, &[]).await, before);
}

async fn an_edit_is_named(kind: Kind) {
    let lab = lived(kind).await;
    lab.disarm();
    let last = checkpoint(&lab).await.0 - 1;
    for position in [0, 7, last] {
        let id = event_at(&lab, position);
        let keep = lab.sql(&format!("SELECT body FROM ledger_event WHERE id = '{id}'"));
        let set = |body: &str| {
            let body = body.trim().replace('\'', "''");
            lab.sql(&format!("UPDATE ledger_event SET body = '{body}' WHERE id = '{id}'"));
        };
        // Even one that means the same.
        set(&format!(" {}", keep.trim()).replacen('{', "{ ", 1));
        let found = findings(&lab, &[]).await;
        assert!(has(&found, "edited", "position", &json!(position)), "{found:?}");
        assert!(has(&found, "edited", "event", &json!(id)), "{found:?}");
        set(&keep);
        assert_eq!(findings(&lab, &[]).await, []);
    }
}

async fn a_change_beside_the_text_is_named(kind: Kind) {
    let lab = lived(kind).await;
    lab.disarm();
    let other = "'00000000-0000-7000-8000-000000000000'";
    let time = match kind {
        Kind::Sqlite => "recorded_at + 1",
        Kind::Postgres => "recorded_at + interval '1 second'",
    };
    let columns = [
        ("org_id", other),
        ("subject_kind", "'nothing'"),
        ("subject_id", other),
        ("kind", "'transfer.nothing'"),
        ("actor", "'mallory'"),
        ("subject_code", "'TRF-99999'"),
        ("recorded_at", time),
    ];
    for (position, (column, value)) in (3..).zip(columns) {
        let id = event_at(&lab, position);
        lab.sql(&format!("UPDATE ledger_event SET {column} = {value} WHERE id = '{id}'"));
        let found = findings(&lab, &[]).await;
        assert!(has(&found, "projection", "event", &json!(id)), "{column}: {found:?}");
        assert_eq!(found.len() as u64, position - 2, "{found:?}");
    }
}

async fn a_code_that_was_taken_away_is_named(kind: Kind) {
    let lab = lived(kind).await;
    lab.disarm();
    let id = event_at(&lab, 5);
    lab.sql(&format!("UPDATE ledger_event SET subject_code = NULL WHERE id = '{id}'"));
    let found = findings(&lab, &[]).await;
    assert!(has(&found, "projection", "position", &json!(5)), "{found:?}");
}

/// Only PostgreSQL has hosts that are not yet updated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_of_the_version_before_writes_is_found_by_its_subject() {
    let lab = Lab::open(Kind::Postgres).await;
    let code = lab.create().await;
    let insert = |id: &str, body: &str| {
        lab.sql(&format!(
            "INSERT INTO ledger_event (id, org_id, subject_kind, subject_id, kind, actor,
                                       recorded_at, body)
             SELECT '{id}', org_id, subject_kind, subject_id, kind, actor, recorded_at, {body}
             FROM ledger_event WHERE subject_code = '{code}'"
        ))
    };
    // What cannot be read is written all the same, as it was before.
    insert("00000000-0000-7000-8000-00000000000a", "'no JSON'");
    insert("00000000-0000-7000-8000-00000000000b", "body");
    let found = format!("SELECT count(*) FROM ledger_event WHERE subject_code = '{code}'");
    assert_eq!(lab.sql(&found).trim(), "2");
    let without = lab.sql("SELECT body FROM ledger_event WHERE subject_code IS NULL");
    assert_eq!(without.trim(), "no JSON");
}

async fn a_removal_is_named(kind: Kind) {
    let lab = lived(kind).await;
    lab.disarm();
    let id = event_at(&lab, 5);
    lab.sql(&format!("DELETE FROM ledger_event WHERE id = '{id}'"));
    let found = findings(&lab, &[]).await;
    assert!(has(&found, "removed", "position", &json!(5)), "{found:?}");
    // Its place as well.
    lab.sql("DELETE FROM ledger_leaf WHERE position = 5");
    let found = findings(&lab, &[]).await;
    assert!(has(&found, "removed", "position", &json!(5)), "{found:?}");
}

async fn a_reordering_is_named(kind: Kind) {
    let lab = lived(kind).await;
    lab.disarm();
    let (one, two) = (event_at(&lab, 4), event_at(&lab, 9));
    for (id, position) in [("00000000-0000-7000-8000-000000000000", 4), (&*one, 9), (&*two, 4)] {
        lab.sql(&format!("UPDATE ledger_leaf SET event_id = '{id}' WHERE position = {position}"));
    }
    let found = findings(&lab, &[]).await;
    for position in [4, 9] {
        assert!(has(&found, "edited", "position", &json!(position)), "{found:?}");
    }
}

/// Cuts the last event off, as well as somebody can who knows everything: the
/// ledger as it was before that event came.
async fn cut(lab: &Lab) -> (u64, String) {
    let literal = |kind: Kind| match kind {
        Kind::Sqlite => "SELECT size || '|' || 'X''' || hex(root) || '''' FROM ledger_head",
        Kind::Postgres => {
            "SELECT size || '|' || '''\\x' || encode(root, 'hex') || '''' FROM ledger_head"
        }
    };
    let head = lab.sql(literal(lab.kind)).trim().to_owned();
    let nodes = lab.sql("SELECT max(idx) FROM ledger_node").trim().to_owned();
    lab.create().await;
    lab.seal().await;
    let (size, note) = checkpoint(lab).await;
    let id = event_at(lab, size - 1);
    let (old, root) = head.split_once('|').unwrap();
    assert_eq!(old.parse::<u64>().unwrap(), size - 1);
    lab.disarm();
    lab.sql(&format!("DELETE FROM ledger_leaf WHERE position = {}", size - 1));
    lab.sql(&format!("DELETE FROM ledger_event WHERE id = '{id}'"));
    lab.sql(&format!("DELETE FROM ledger_node WHERE idx > {nodes}"));
    lab.sql(&format!("UPDATE ledger_head SET size = {old}, root = {root}"));
    (size, note)
}

async fn a_cut_tail_is_named_by_a_checkpoint_alone(kind: Kind) {
    let lab = lived(kind).await;
    let (size, note) = cut(&lab).await;
    let report = verify(&lab, &[]).await;
    assert_eq!((&report["findings"], &report["proved_to"]), (&json!([]), &Value::Null));
    let found = findings(&lab, std::slice::from_ref(&note)).await;
    assert!(
        found.iter().any(|(kind, f)| kind == "checkpoint" && text(f, "detail").contains("cut")),
        "{found:?}"
    );
    // The one that the store keeps beside its database serves as well.
    let folder = lab.app.config().checkpoints();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{size:012}.checkpoint")), note).unwrap();
    assert!(findings(&lab, &[]).await.iter().any(|(kind, _)| kind == "checkpoint"));
}

async fn an_event_that_nobody_sealed_is_named(kind: Kind) {
    let lab = lived(kind).await;
    let id = "00000000-0000-7000-8000-00000000000e";
    lab.sql(&format!(
        "INSERT INTO ledger_event (id, org_id, subject_kind, subject_id, kind, actor, recorded_at, body)
         SELECT '{id}', org_id, subject_kind, subject_id, kind, actor, recorded_at, body
         FROM ledger_event WHERE kind = 'transfer.delivered'"
    ));
    let found = findings(&lab, &[]).await;
    assert!(has(&found, "unsealed", "event", &json!(id)), "{found:?}");
    // With a place at the end, but not in the tree.
    let size = checkpoint(&lab).await.0;
    lab.sql(&format!("INSERT INTO ledger_leaf VALUES ({size}, '{id}')"));
    let found = findings(&lab, &[]).await;
    assert!(has(&found, "edited", "position", &json!(size)), "{found:?}");
}

/// Only PostgreSQL has events that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_kept_from_its_place_is_named() {
    let lab = lived(Kind::Postgres).await;
    let code = lab.create().await;
    let id = lab.sql("SELECT event_id FROM ledger_pending").trim().to_owned();
    lab.sql("DELETE FROM ledger_pending");
    lab.seal().await;
    let found = findings(&lab, &[]).await;
    assert!(has(&found, "unsealed", "event", &json!(id)), "{found:?}");
    lab.sql(&format!("INSERT INTO ledger_pending VALUES ('{id}')"));
    assert_eq!(lab.kinds(&code).await, ["transfer.created"]);
    assert_eq!(findings(&lab, &[]).await, []);
}

async fn a_rewritten_history_is_not_that_of_the_checkpoint(kind: Kind) {
    let lab = lived(kind).await;
    let (size, note) = cut(&lab).await;
    // Another event in the place of the one that was cut, sealed by the book.
    lab.create().await;
    lab.seal().await;
    let report = verify(&lab, &[]).await;
    assert_eq!((&report["events"], &report["findings"]), (&json!(size), &json!([])));
    let found = findings(&lab, std::slice::from_ref(&note)).await;
    assert!(found.iter().any(|(kind, _)| kind == "checkpoint"), "{found:?}");
}

async fn what_happened_to_one_subject_is_found_by_an_index(kind: Kind) {
    let lab = Lab::open(kind).await;
    let (one, other) = (lab.create().await, lab.create().await);
    lab.add(&one, &[("a.exr", b"a")]).await;
    lab.seal().await;
    let of = async |subject: &str| -> Vec<(String, String)> {
        let told = lab.ok("chief", "activity", json!({ "subject": subject })).await;
        let event = |e: &Value| {
            (e["subject"]["code"].as_str().unwrap().into(), e["kind"].as_str().unwrap().into())
        };
        told.as_array().unwrap().iter().map(event).collect()
    };
    let made = |code: &str| (code.to_owned(), "transfer.created".to_owned());
    assert_eq!(of(&one).await, [made(&one), (one.clone(), "transfer.files_added".into())]);
    assert_eq!(of(&other).await, [made(&other)]);
    // Names, and not parts of them or patterns.
    for nobody in ["TRF-", "TRF-%", "' OR 1=1 --", ""] {
        assert_eq!(of(nobody).await, [], "{nobody}");
    }
    let query = format!(
        "SELECT id FROM ledger_event WHERE subject_code = '{one}'
           AND org_id = '00000000-0000-7000-8000-000000000000'"
    );
    let plan = match kind {
        Kind::Sqlite => lab.sql(&format!("EXPLAIN QUERY PLAN {query}")),
        // So few rows are sooner read than looked up.
        Kind::Postgres => lab.sql(&format!("SET enable_seqscan = off; EXPLAIN {query}")),
    };
    assert!(plan.contains("ledger_event_by_code"), "{plan}");
}
