//! A filled store of before the new run statuses is brought up to date.

use databridge_core::app::{App, Config, MIGRATIONS};
use databridge_core::control::db::Db;
use databridge_core::domains::{lineage, transfer};
use databridge_tests::postgres as server;
use databridge_tests::process::{find_program, run};
use serde_json::json;

use crate::lab::{Kind, call};

on_both!(runs_of_before_get_the_new_statuses_and_their_steps);

async fn runs_of_before_get_the_new_statuses_and_their_steps(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let database = (kind == Kind::Postgres).then(server::fresh_database);
    let mut config = Config::at(dir.path().join("data"));
    config.database = database.as_ref().map(|d| d.url().to_owned());
    config.make_folders().unwrap();
    let before = [transfer::MIGRATIONS, &lineage::MIGRATIONS[..1]];
    let db = Db::open(&config.target(), &before).await.unwrap();
    db.close().await;
    let (time, uuid) = match kind {
        Kind::Sqlite => ("1700000000000000", ""),
        Kind::Postgres => ("now()", "::uuid"),
    };
    let org = format!("'01890000-0000-7000-8000-0000000000aa'{uuid}");
    let mut sql = format!("INSERT INTO orgs VALUES ({org}, 'studio', 'Studio', {time});");
    let old = ["ACTIVE", "COMPLETED", "CANCELLED"];
    for (i, status) in old.iter().enumerate() {
        sql += &format!(
            "INSERT INTO production_runs VALUES
             ('01890000-0000-7000-8000-00000000000{i}'{uuid}, {org}, 'OLD-{i}', '{status}', NULL, {time});"
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
    assert_eq!(MIGRATIONS.len(), 2);
    let app = App::open(config).await.unwrap().app;
    let root = app.embedded(None).await.unwrap();
    for (i, status) in ["RUNNING", "COMPLETED", "ABORTED"].into_iter().enumerate() {
        let show = call("run_show", json!({ "run_code": format!("OLD-{i}") }));
        let run = app.call(&root, show, None).await.unwrap();
        assert_eq!(run["status"], status);
        let steps = run["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 11);
        let step = if i == 0 { "PENDING" } else { "SKIPPED" };
        assert!(steps.iter().enumerate().all(|(n, s)| s["step_index"] == n && s["status"] == step));
    }
    // What runs goes on.
    let go = call("run_advance", json!({ "run_code": "OLD-0", "to": 1 }));
    let run = app.call(&root, go, None).await.unwrap();
    assert_eq!(run["steps"][0]["status"], "COMPLETED");
    assert_eq!(run["steps"][1]["status"], "IN_PROGRESS");
    let put_away = json!({ "run_code": "OLD-1", "action": "archive" });
    app.call(&root, call("run_move", put_away), None).await.unwrap();
    app.close().await;
}
