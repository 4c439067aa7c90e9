//! A delivered transfer becomes a lot, through the ledger alone.

use serde_json::json;

use super::{lot, open, refused};
use crate::lab::{Kind, Lab, text};

on_both!(a_delivery_becomes_a_lot_with_its_parents, parents_of_a_transfer_are_names);

/// A delivered transfer with these parents.
async fn delivered(lab: &Lab, category: &str, parents: &[&str]) -> String {
    let new = json!({
        "title": "Shot 010", "project": "film", "category": category, "parents": parents,
    });
    let code = text(&lab.ok("artist", "transfer_create", new).await, "code");
    lab.add(&code, &[("sh010.1001.exr", b"frame")]).await;
    lab.submit(&code).await;
    lab.approve_all(&code).await;
    lab.scan_and_accept(&code).await;
    lab.deliver(&code).await;
    code
}

async fn a_delivery_becomes_a_lot_with_its_parents(kind: Kind) {
    let lab = open(kind).await;
    lot(&lab, "rig-v003", &[]).await;
    let plate = delivered(&lab, "plates", &["rig-v003"]).await;
    lab.seal().await;
    let (one, other) = tokio::join!(lab.app.follow(), lab.app.follow());
    one.unwrap();
    other.unwrap();
    let cache = delivered(&lab, "cache", &[&plate, "unknown-v001"]).await;
    lab.seal().await;
    lab.app.follow().await.unwrap();
    lab.app.follow().await.unwrap();
    let shown = lab.ok("viewer", "lot_show", json!({ "lot_code": cache })).await;
    assert_eq!((text(&shown, "lot_type"), text(&shown, "origin")), ("CACHE".into(), cache.clone()));
    assert_eq!(shown["status"], "CREATED");
    // Which deliveries are touched if the rig is withdrawn?
    let blast = lab.ok("viewer", "trace_blast", json!({ "lot_code": "rig-v003" })).await;
    assert_eq!(blast["total"], 2);
    let path =
        lab.ok("viewer", "trace_path", json!({ "lot_code": "rig-v003", "other": cache })).await;
    assert_eq!(path["lots"], json!(["rig-v003", plate, cache]));
    // What could not be linked is told, and can be linked later.
    lab.seal().await;
    let told = lab.ok("viewer", "lot_history", json!({ "lot_code": cache })).await;
    let told = told.as_array().unwrap();
    assert_eq!(told[0]["by"]["username"], "databridge");
    assert_eq!(told[1]["kind"], "lot.parents_unknown");
    assert_eq!(told[1]["data"]["parents"], json!(["unknown-v001"]));
    lot(&lab, "unknown-v001", &[]).await;
    let link = json!({ "lot_code": cache, "parent": "unknown-v001" });
    lab.ok("operator", "lot_link", link).await;
    // A transfer that was not delivered is no lot.
    let draft = lab.create().await;
    lab.seal().await;
    lab.app.follow().await.unwrap();
    refused(&lab, "viewer", "lot_show", json!({ "lot_code": draft }), "lineage.not_found").await;
}

async fn parents_of_a_transfer_are_names(kind: Kind) {
    let lab = open(kind).await;
    let new = |parents: serde_json::Value| json!({ "title": "x", "project": "film", "category": "comp", "parents": parents });
    for parents in [json!(["a b"]), json!(["a", "a"]), json!([""]), json!(vec!["a"; 1001])] {
        refused(&lab, "artist", "transfer_create", new(parents), "transfer.bad_field").await;
    }
    let made = lab.ok("artist", "transfer_create", new(json!(["b", "a"]))).await;
    assert_eq!(made["parents"], json!(["b", "a"]));
}
