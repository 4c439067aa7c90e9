//! Genealogy against an oracle that knows nothing of databases, on random graphs.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::{lot, open, refused};
use crate::lab::{Kind, Lab, text};

on_both!(
    walks_are_what_a_naive_search_finds,
    a_walk_is_paged_and_says_when_it_was_cut,
    a_recall_counts_what_it_touches,
    a_lot_is_drawn_with_what_is_around_it,
    a_ladder_of_diamonds_is_walked_in_no_time,
);

/// `i` has parents among `0..i`: any acyclic graph, up to names.
type Dag = Vec<BTreeSet<usize>>;

fn dags() -> impl Strategy<Value = Dag> {
    proptest::collection::vec(
        proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
        2..25,
    )
    .prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(
                |(i, picks)| {
                    if i == 0 {
                        BTreeSet::new()
                    } else {
                        picks.iter().map(|p| p.index(i)).collect()
                    }
                },
            )
            .collect()
    })
}

/// Everything upstream of `i`, with the fewest steps to it.
fn above(dag: &Dag, i: usize) -> BTreeMap<usize, i64> {
    let mut found = BTreeMap::new();
    let mut level: BTreeSet<usize> = dag[i].clone();
    let mut depth = 1;
    while !level.is_empty() {
        let mut next = BTreeSet::new();
        for j in level {
            found.entry(j).or_insert_with(|| {
                next.extend(dag[j].iter().copied());
                depth
            });
        }
        level = next;
        depth += 1;
    }
    found
}

fn below(dag: &Dag, i: usize) -> BTreeSet<usize> {
    (0..dag.len()).filter(|j| above(dag, *j).contains_key(&i)).collect()
}

fn codes(answer: &Value) -> BTreeSet<String> {
    answer["items"].as_array().unwrap().iter().map(|l| text(l, "lot_code")).collect()
}

async fn walks_are_what_a_naive_search_finds(kind: Kind) {
    let lab = open(kind).await;
    let mut runner = TestRunner::deterministic();
    for round in 0..12 {
        let dag = dags().new_tree(&mut runner).unwrap().current();
        let name = |i: usize| format!("G{round}-{i}");
        let lots: Vec<Value> = dag
            .iter()
            .enumerate()
            .map(|(i, parents)| {
                let parents: Vec<_> = parents.iter().map(|p| name(*p)).collect();
                json!({ "lot_code": name(i), "lot_type": "RAW", "parents": parents })
            })
            .collect();
        lab.ok("operator", "lot_register_all", json!({ "lots": lots })).await;
        for i in 0..dag.len() {
            check_walks(&lab, &dag, i, &name).await;
        }
        for (i, j) in [(0, dag.len() - 1), (dag.len() / 2, dag.len() - 1), (1, dag.len() / 2)] {
            check_pair(&lab, &dag, i, j, &name).await;
        }
    }
}

async fn check_walks(lab: &Lab, dag: &Dag, i: usize, name: &impl Fn(usize) -> String) {
    let (up, down) = (above(dag, i), below(dag, i));
    let code = name(i);
    let found = lab.ok("viewer", "trace_ancestors", json!({ "lot_code": code })).await;
    assert_eq!(codes(&found), up.keys().map(|j| name(*j)).collect(), "above {i} in {dag:?}");
    assert_eq!(found["total"].as_u64(), Some(up.len() as u64));
    assert_eq!(found["cut"], false);
    let found = lab.ok("viewer", "trace_descendants", json!({ "lot_code": code })).await;
    assert_eq!(codes(&found), down.iter().map(|j| name(*j)).collect(), "below {i} in {dag:?}");
    // With a bound, each at its shortest distance and no further.
    let bounded =
        lab.ok("viewer", "trace_ancestors", json!({ "lot_code": code, "max_depth": 2 })).await;
    let near: BTreeMap<String, i64> =
        up.iter().filter(|(_, d)| **d <= 2).map(|(j, d)| (name(*j), *d)).collect();
    let told: BTreeMap<String, i64> = bounded["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (text(l, "lot_code"), l["depth"].as_i64().unwrap()))
        .collect();
    assert_eq!(told, near, "near {i} in {dag:?}");
}

async fn check_pair(lab: &Lab, dag: &Dag, i: usize, j: usize, name: &impl Fn(usize) -> String) {
    let own = |k: usize| -> BTreeSet<usize> { above(dag, k).into_keys().chain([k]).collect() };
    let common: BTreeSet<usize> = own(i).intersection(&own(j)).copied().collect();
    let pair = json!({ "lot_code": name(i), "other": name(j) });
    let found = lab.ok("viewer", "trace_common", pair.clone()).await;
    assert_eq!(codes(&found), common.iter().map(|k| name(*k)).collect(), "{i} {j} in {dag:?}");
    let nearest: BTreeSet<String> = common
        .iter()
        .filter(|k| common.iter().all(|other| !above(dag, *other).contains_key(k)))
        .map(|k| name(*k))
        .collect();
    let told: BTreeSet<String> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|l| l["nearest"] == true)
        .map(|l| text(l, "lot_code"))
        .collect();
    assert_eq!(told, nearest, "{i} {j} in {dag:?}");
    let path = lab.ok("viewer", "trace_path", pair).await;
    let lots: Vec<String> =
        path["lots"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned()).collect();
    match (i == j, above(dag, j).get(&i)) {
        (true, _) => assert_eq!(lots, [name(i)]),
        (false, Some(distance)) => {
            assert_eq!(lots.len() as i64, distance + 1, "{i} {j} in {dag:?}");
            assert_eq!((&lots[0], lots.last().unwrap()), (&name(i), &name(j)));
            assert_eq!(path["direction"], "down");
            let index = |code: &String| code.rsplit('-').next().unwrap().parse::<usize>().unwrap();
            assert!(lots.windows(2).all(|w| dag[index(&w[1])].contains(&index(&w[0]))));
        }
        (false, None) => assert!(lots.is_empty(), "{i} {j} in {dag:?}: {lots:?}"),
    }
}

/// A root with `n` children, each with the next one's.
async fn fan(lab: &Lab, n: usize) {
    lot(lab, "root", &[]).await;
    let lots: Vec<_> = (0..n)
        .map(|i| json!({ "lot_code": format!("F{i}"), "lot_type": "PAL", "weight_kg": 1.5, "parents": ["root"] }))
        .collect();
    lab.ok("operator", "lot_register_all", json!({ "lots": lots })).await;
}

async fn a_walk_is_paged_and_says_when_it_was_cut(kind: Kind) {
    let lab = open(kind).await;
    fan(&lab, 250).await;
    // Without a limit: a page, how many there are, and where to go on.
    let first = lab.ok("viewer", "trace_descendants", json!({ "lot_code": "root" })).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 100);
    assert_eq!((first["total"].as_i64(), first["cut"].as_bool()), (Some(250), Some(false)));
    let mut seen = codes(&first);
    let mut next = first["next"].clone();
    while !next.is_null() {
        let fields = json!({ "lot_code": "root", "after": next });
        let page = lab.ok("viewer", "trace_descendants", fields).await;
        assert_eq!(page["total"], 250);
        let here = codes(&page);
        assert!(seen.is_disjoint(&here));
        seen.extend(here);
        next = page["next"].clone();
    }
    assert_eq!(seen.len(), 250);
    for depth in [json!(null), json!(3)] {
        let fields =
            json!({ "lot_code": "root", "max_lots": 20, "limit": 1000, "max_depth": depth });
        let cut = lab.ok("viewer", "trace_descendants", fields).await;
        assert_eq!((cut["total"].as_i64(), cut["cut"].as_bool()), (Some(20), Some(true)));
    }
    let bad = "lineage.bad_field";
    for (field, value) in [
        ("limit", 0),
        ("limit", 1001),
        ("max_depth", 0),
        ("max_depth", 1001),
        ("max_lots", 1_000_001),
    ] {
        let fields = json!({ "lot_code": "root", field: value });
        refused(&lab, "viewer", "trace_descendants", fields, bad).await;
    }
    let graph = json!({ "lot_code": "root", "limit": 5001 });
    refused(&lab, "viewer", "trace_graph", graph, bad).await;
    refused(&lab, "viewer", "trace_ancestors", json!({ "lot_code": "none" }), "lineage.not_found")
        .await;
}

async fn a_recall_counts_what_it_touches(kind: Kind) {
    let lab = open(kind).await;
    fan(&lab, 30).await;
    for (code, way) in [("F0", &["HOLD"][..]), ("F1", &["QUARANTINE", "RELEASED", "CONSUMED"][..])]
    {
        for to in way {
            lab.ok("operator", "lot_move", json!({ "lot_code": code, "status": to })).await;
        }
    }
    let blast = lab.ok("viewer", "trace_blast", json!({ "lot_code": "root", "limit": 10 })).await;
    let shares: BTreeSet<String> = blast["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            format!(
                "{} {} {} {}",
                text(s, "lot_type"),
                text(s, "status"),
                s["lots"],
                s["weight_kg"]
            )
        })
        .collect();
    let expected =
        ["PAL CONSUMED 1 1.5", "PAL CREATED 28 42.0", "PAL HOLD 1 1.5", "RAW CREATED 1 0.0"];
    assert_eq!(shares, expected.map(str::to_owned).into());
    assert_eq!((blast["gone"].as_i64(), blast["total"].as_i64()), (Some(1), Some(30)));
    assert_eq!(blast["items"].as_array().unwrap().len(), 10);
}

async fn a_lot_is_drawn_with_what_is_around_it(kind: Kind) {
    let lab = open(kind).await;
    lot(&lab, "A", &[]).await;
    lot(&lab, "B", &["A"]).await;
    lot(&lab, "C", &["A", "B"]).await;
    lot(&lab, "D", &["C"]).await;
    let drawn = |format: &str| json!({ "lot_code": "B", "format": format });
    let found = lab.ok("viewer", "trace_graph", drawn("json")).await;
    assert_eq!(found["edges"], json!([["A", "B"], ["A", "C"], ["B", "C"], ["C", "D"]]));
    assert_eq!(
        (found["nodes"].as_array().unwrap().len(), found["cut"].as_bool()),
        (4, Some(false))
    );
    let mermaid = text(&lab.ok("viewer", "trace_graph", drawn("mermaid")).await, "text");
    assert!(mermaid.starts_with("flowchart TD\n"), "{mermaid}");
    assert_eq!(mermaid.matches(" --> ").count(), 4, "{mermaid}");
    let dot = text(&lab.ok("viewer", "trace_graph", drawn("dot")).await, "text");
    assert!(dot.contains("\"B\" -> \"C\";"), "{dot}");
    let up = json!({ "lot_code": "D", "direction": "up", "max_depth": 1 });
    let near = lab.ok("viewer", "trace_graph", up).await;
    assert_eq!(near["edges"], json!([["C", "D"]]));
    let small = lab.ok("viewer", "trace_graph", json!({ "lot_code": "A", "limit": 2 })).await;
    assert_eq!(small["cut"], true);
    assert_eq!(small["nodes"].as_array().unwrap().len(), 3, "two, and the lot itself: {small}");
}

/// Sixty rungs of two lots, each made from both below: 2^60 ways, 121 lots.
async fn a_ladder_of_diamonds_is_walked_in_no_time(kind: Kind) {
    let lab = open(kind).await;
    let mut lots = vec![json!({ "lot_code": "top", "lot_type": "RAW" })];
    let mut last = vec!["top".to_owned()];
    for i in 0..60 {
        let now = vec![format!("l{i}"), format!("r{i}")];
        lots.extend(
            now.iter().map(|c| json!({ "lot_code": c, "lot_type": "RAW", "parents": last })),
        );
        last = now;
    }
    lab.ok("operator", "lot_register_all", json!({ "lots": lots })).await;
    for depth in [json!(null), json!(1000)] {
        let fields = json!({ "lot_code": "l59", "max_depth": depth, "limit": 1000 });
        let up = lab.ok("viewer", "trace_ancestors", fields).await;
        assert_eq!((up["total"].as_i64(), up["cut"].as_bool()), (Some(119), Some(false)));
    }
    let path = lab.ok("viewer", "trace_path", json!({ "lot_code": "top", "other": "r59" })).await;
    assert_eq!(path["lots"].as_array().unwrap().len(), 61);
}
