//! A tree of a million lots, asked for without a limit.

use serde_json::json;

use super::open;
use crate::lab::{Kind, Lab};

const LOTS: i64 = 1_000_100;

/// Lot 0 with ten children, each of these with ten, and so on.
fn plant(lab: &Lab) {
    let insert = match lab.kind {
        Kind::Sqlite => {
            "INSERT INTO lots (id, org_id, lot_code, lot_type, weight_mg, step_index, status, version, created_at, updated_at)
             SELECT printf('01890000-0000-7000-8000-%012x', i), (SELECT id FROM orgs), 'T' || i, 'RAW', 1000, 0, 'CREATED', 1, 0, 0
             FROM seq;
             INSERT INTO lot_genealogy SELECT printf('01890000-0000-7000-8000-%012x', (i - 1) / 10),
                 printf('01890000-0000-7000-8000-%012x', i), NULL FROM seq WHERE i > 0;"
        }
        Kind::Postgres => {
            "INSERT INTO lots (id, org_id, lot_code, lot_type, weight_mg, step_index, status, version, created_at, updated_at)
             SELECT ('01890000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, (SELECT id FROM orgs), 'T' || i, 'RAW', 1000, 0, 'CREATED', 1, now(), now()
             FROM seq;
             INSERT INTO lot_genealogy SELECT ('01890000-0000-7000-8000-' || lpad(to_hex((i - 1) / 10), 12, '0'))::uuid,
                 ('01890000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, NULL FROM seq WHERE i > 0;"
        }
    };
    let numbers = format!(
        "CREATE TABLE seq AS WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {LOTS}) SELECT i FROM n;"
    );
    lab.sql(&format!("{numbers} {insert} DROP TABLE seq; ANALYZE;"));
}

async fn asked_without_a_limit(kind: Kind) {
    let lab = open(kind).await;
    plant(&lab);
    let whole = lab.ok("viewer", "trace_descendants", json!({ "lot_code": "T0" })).await;
    assert_eq!(whole["items"].as_array().unwrap().len(), 100);
    assert_eq!((whole["total"].as_i64(), whole["cut"].as_bool()), (Some(1_000_000), Some(true)));
    assert!(whole["next"].is_string());
    let blast = lab.ok("viewer", "trace_blast", json!({ "lot_code": "T0" })).await;
    assert_eq!(
        (blast["shares"][0]["lots"].as_i64(), blast["cut"].as_bool()),
        (Some(1_000_001), Some(true))
    );
    let part = lab.ok("viewer", "trace_descendants", json!({ "lot_code": "T1" })).await;
    assert_eq!(part["cut"], false);
    assert_eq!(part["total"].as_i64(), Some(111_110));
    let leaf = json!({ "lot_code": format!("T{LOTS}") });
    assert_eq!(lab.ok("viewer", "trace_ancestors", leaf).await["total"], 6);
    let drawn = lab.ok("viewer", "trace_graph", json!({ "lot_code": "T0", "format": "dot" })).await;
    assert_eq!(
        (drawn["nodes"].as_array().unwrap().len(), drawn["cut"].as_bool()),
        (201, Some(true))
    );
    // Cut to what is near: the ten children are there before any grandchild's child.
    let codes: Vec<_> = drawn["nodes"].as_array().unwrap().iter().map(|n| &n["lot_code"]).collect();
    assert!((1..=10).all(|i| codes.iter().any(|c| **c == format!("T{i}"))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million lots: for the long run"]
async fn sqlite() {
    asked_without_a_limit(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million lots: for the long run"]
async fn postgres() {
    asked_without_a_limit(Kind::Postgres).await;
}
