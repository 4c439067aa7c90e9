//! A filled store of the first release is brought up to date, through every step since.
//!
//! What it is filled with was made by this program, and then laid column by column into
//! a schema that went through the first steps only: real deliveries, a real ledger, real
//! keys. A step that is added later is tried here without a word.

use std::collections::BTreeSet;
use std::path::Path;

use databridge_core::app::MIGRATIONS;
use databridge_core::control::db::backup::known;
use databridge_core::control::db::dialect::Dialect;
use databridge_core::domains::{lineage, transfer};
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

on_both!(
    a_filled_store_of_the_first_release_goes_through_every_step,
    an_event_that_cannot_be_read_keeps_no_store_closed,
);

/// What the first release knew: one step of the kernel, one of each domain.
const FIRST: [i64; 3] = [1001, 2001, 3001];
/// Of its tables, those that may be empty at a quiet moment.
const MAY_BE_EMPTY: &[&str] = &["idempotency", "ledger_pending", "sessions", "transfer_overrides"];

async fn a_filled_store_of_the_first_release_goes_through_every_step(kind: Kind) {
    let mut lab = Lab::open(kind).await;
    let delivered = lab.scanned(&[("a.exr", b"a"), ("b/c.exr", b"c")]).await;
    lab.deliver(&delivered).await;
    let waiting = lab.approved(&[("d.exr", b"d")]).await;
    let rejected = lab.create().await;
    lab.add(&rejected, &[("e.exr", b"e")]).await;
    lab.submit(&rejected).await;
    lab.act("team_lead", "reject", &rejected).await;
    lab.hire("manager", &["manager"]).await;
    line(&lab).await;
    lab.seal().await;
    lab.app.follow().await.unwrap();
    let codes = [&delivered, &waiting, &rejected];
    let mut before = Vec::new();
    for code in codes {
        before.push(seen(&lab, code).await);
    }

    lab.close().await;
    age(&lab);
    lab.open_again().await;

    let mut steps: Vec<i64> = known(MIGRATIONS);
    steps.sort_unstable();
    let taken = lab.sql("SELECT version FROM _sqlx_migrations ORDER BY version");
    let taken: Vec<i64> = taken.split_whitespace().map(|step| step.parse().unwrap()).collect();
    assert_eq!(taken, steps);
    for (code, before) in codes.into_iter().zip(before) {
        assert_eq!(seen(&lab, code).await, before, "{code}");
    }
    // Whoever had a key still has it, and work goes on from where it stood.
    let artist = lab.again("artist").await;
    assert_eq!(artist.actor.username, "artist");
    lab.scan_and_accept(&waiting).await;
    lab.deliver(&waiting).await;
    lab.add(&rejected, &[("f.exr", b"f")]).await;
    assert_eq!(lab.submit(&rejected).await, "team_lead_review");
    lab.approve_all(&rejected).await;
    let run = lab.ok("chief", "run_show", json!({ "run_code": "RUN-OLD" })).await;
    assert_eq!((&run["status"], run["steps"].as_array().unwrap().len()), (&json!("RUNNING"), 11));
    let above = lab.ok("chief", "trace_ancestors", json!({ "lot_code": "DEB-1" })).await;
    assert_eq!(above["items"][0]["lot_code"], "RAW-1");
    lab.seal().await;
    // What happened before is found by its subject, too.
    let told = lab.ok("chief", "activity", json!({ "subject": delivered })).await;
    assert_eq!(text(&told[0], "kind"), "transfer.created", "{told}");
    let report = lab.ok("chief", "ledger_verify", json!({})).await;
    assert_eq!(report["findings"], json!([]), "{report}");
}

/// On the day of the step that reads them all.
async fn an_event_that_cannot_be_read_keeps_no_store_closed(kind: Kind) {
    let mut lab = Lab::open(kind).await;
    let code = lab.create().await;
    lab.seal().await;
    lab.close().await;
    if kind == Kind::Postgres {
        lab.sql("DROP FUNCTION ledger_fill_code CASCADE; DROP FUNCTION ledger_code_of");
    }
    lab.sql(
        "DROP INDEX ledger_event_by_code; ALTER TABLE ledger_event DROP COLUMN subject_code;
         DELETE FROM _sqlx_migrations WHERE version = 1090;
         INSERT INTO ledger_event (id, org_id, subject_kind, subject_id, kind, actor, recorded_at,
                                   body)
         SELECT '00000000-0000-7000-8000-00000000000e', org_id, subject_kind, subject_id, kind,
                actor, recorded_at, 'no JSON'
         FROM ledger_event WHERE kind = 'transfer.created'",
    );
    lab.open_again().await;
    let told = lab.ok("chief", "activity", json!({ "subject": code })).await;
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    assert_eq!(text(&told[0], "kind"), "transfer.created", "{told}");
}

/// Two lots and a run.
async fn line(lab: &Lab) {
    // Nobody publishes what they wrote.
    lab.ok("manager", "profile_install", json!({ "name": "food" })).await;
    for (who, action) in [("manager", "request review"), ("chief", "publish")] {
        let step =
            json!({ "flow": "food", "version_num": 1, "action": action, "notes": "as it is" });
        lab.ok(who, "flow_move", step).await;
    }
    let run = lab.ok("chief", "run_create", json!({ "flow": "food" })).await;
    let code = text(&run, "run_code");
    lab.ok("chief", "run_advance", json!({ "run_code": code, "to": 0 })).await;
    let raw = json!({ "lot_code": "RAW-1", "lot_type": "RAW", "weight_kg": 2.0, "run": code });
    lab.ok("chief", "lot_register", raw).await;
    let quarantine = json!({ "lot_code": "RAW-1", "status": "QUARANTINE" });
    lab.ok("chief", "lot_move", quarantine).await;
    let decision = json!({
        "lot_code": "RAW-1", "gate": "receiving", "decision": "PASS",
        "answers": { "temperature": 2.5, "documents": true },
    });
    lab.ok("chief", "qc_decide", decision).await;
    let made = json!({
        "lot_code": "DEB-1", "lot_type": "DEB", "weight_kg": 1.0, "parents": ["RAW-1"],
    });
    lab.ok("chief", "lot_register", made).await;
    lab.sql(&format!("UPDATE production_runs SET run_code = 'RUN-OLD' WHERE run_code = '{code}'"));
}

/// What a transfer looks like to whoever asks.
async fn seen(lab: &Lab, code: &str) -> (Value, Vec<Value>, Value) {
    let files = lab.ok("chief", "transfer_files", json!({ "code": code })).await;
    (lab.show(code).await, lab.history(code).await, files)
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A table's columns, in whichever of the two schemas.
fn columns(lab: &Lab, schema: &str, table: &str) -> BTreeSet<String> {
    words(&sql(
        lab,
        &match lab.kind {
            Kind::Sqlite => format!("SELECT name FROM pragma_table_info('{table}', '{schema}')"),
            Kind::Postgres => format!(
                "SELECT column_name FROM information_schema.columns
             WHERE table_schema = '{schema}' AND table_name = '{table}'"
            ),
        },
    ))
}

/// Runs a statement that sees what was laid aside as `filled`.
fn sql(lab: &Lab, statement: &str) -> String {
    let aside = lab.app.config().data.join("filled.db");
    match lab.kind {
        Kind::Sqlite => lab.sql(&format!("ATTACH '{}' AS filled; {statement}", aside.display())),
        // No trigger and no foreign key looks at what is laid over.
        Kind::Postgres => lab.sql(&format!("SET session_replication_role = replica; {statement}")),
    }
}

/// Lays the store aside and makes one of the first release of what is in it.
fn age(lab: &Lab) {
    let kernel = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../databridge-core/src/control/db/migrations/1001_kernel.sql");
    let kernel = std::fs::read_to_string(kernel).unwrap();
    let first = [&*kernel, transfer::MIGRATIONS[0].sql, lineage::MIGRATIONS[0].sql];
    assert_eq!(FIRST[1..], [transfer::MIGRATIONS[0].version, lineage::MIGRATIONS[0].version]);
    let (dialect, schema) = match lab.kind {
        Kind::Sqlite => {
            let data = &lab.app.config().data;
            std::fs::rename(data.join("databridge.db"), data.join("filled.db")).unwrap();
            (Dialect::Sqlite, "main")
        }
        Kind::Postgres => {
            lab.sql("ALTER SCHEMA public RENAME TO filled; CREATE SCHEMA public");
            (Dialect::Postgres, "public")
        }
    };
    for text in first {
        lab.sql(&format!(
            "BEGIN; {}; COMMIT",
            dialect.schema(text).trim_end().trim_end_matches(';')
        ));
    }
    let tables = words(&lab.sql(match lab.kind {
        Kind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Kind::Postgres => "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    }));
    for table in &tables {
        let both = &columns(lab, schema, table) & &columns(lab, "filled", table);
        let list = both.into_iter().collect::<Vec<_>>().join(", ");
        sql(
            lab,
            &format!(
                "DELETE FROM {schema}.{table};
                 INSERT INTO {schema}.{table} ({list}) SELECT {list} FROM filled.{table}"
            ),
        );
    }
    let is_empty = |table: &&String| {
        let rows = lab.sql(&format!("SELECT count(*) FROM {table}"));
        rows.trim() == "0" && !MAY_BE_EMPTY.contains(&&***table)
    };
    let empty: Vec<&String> = tables.iter().filter(is_empty).collect();
    assert!(empty.is_empty(), "nothing is in {empty:?}");
    // As the first release called it.
    lab.sql("UPDATE production_runs SET status = 'ACTIVE'");
    let like = match lab.kind {
        Kind::Sqlite => {
            sql(lab, "SELECT sql FROM filled.sqlite_master WHERE name = '_sqlx_migrations'")
        }
        Kind::Postgres => {
            "CREATE TABLE _sqlx_migrations (LIKE filled._sqlx_migrations INCLUDING ALL)".into()
        }
    };
    let taken = FIRST.map(|step| step.to_string()).join(", ");
    sql(
        lab,
        &format!(
            "{like}; INSERT INTO {schema}._sqlx_migrations
             SELECT * FROM filled._sqlx_migrations WHERE version IN ({taken})"
        ),
    );
}
