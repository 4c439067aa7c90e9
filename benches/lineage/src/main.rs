//! `bench-lineage GRAPH.json RESULT.json FOLDER`: registers the lots of a graph on
//! SQLite and on a PostgreSQL of its own, both flushing every commit to the device,
//! and walks it. `oracle.py` makes the graph and compares.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::time::Instant;

use databridge_core::app::call::Trace;
use databridge_core::app::{App, Call, Config, MIGRATIONS};
use databridge_core::control::commands::Store;
use databridge_core::control::ctx::Ctx;
use databridge_core::control::db::Db;
use databridge_core::domains::lineage::{NewLot, Parent};
use databridge_tests::postgres::{Durability, Server};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Lots registered one by one, each in a transaction of its own.
const SINGLES: usize = 500;
/// The same, by so many at once.
const WRITERS: usize = 8;
const BATCH: usize = 1000;
const ROUNDS: usize = 7;

#[derive(Deserialize)]
struct Graph {
    /// Of each lot the indexes of its parents, all smaller than its own.
    parents: Vec<Vec<usize>>,
    queries: Vec<Query>,
}

#[derive(Deserialize)]
struct Query {
    name: String,
    direction: String,
    lot: usize,
}

fn code(index: usize) -> String {
    format!("N{index}")
}

fn new(lot_code: String, parents: &[usize]) -> NewLot {
    NewLot {
        lot_code: Some(lot_code),
        lot_type: "BULK".into(),
        weight_kg: Some(1.5),
        temp_c: None,
        step_index: None,
        phase_num: None,
        run: None,
        parents: parents.iter().map(|p| Parent::Code(code(*p))).collect(),
    }
}

#[allow(clippy::cast_precision_loss)]
fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

struct Bench {
    app: App,
    ctx: Ctx,
    store: Store,
}

impl Bench {
    async fn open(data: &Path, database: Option<String>) -> Self {
        let config = Config { database, ..Config::at(data) };
        let app = App::open(config).await.unwrap().app;
        let ctx = app.embedded(None).await.unwrap();
        let db = Db::open(&app.config().target(), MIGRATIONS).await.unwrap();
        Self { app, ctx, store: Store::new(db) }
    }

    async fn call(&self, call: Call) -> Value {
        self.app.call(&self.ctx, call, None).await.unwrap()
    }

    async fn register(&self, graph: &Graph) -> Value {
        let (first, rest) = graph.parents.split_at(SINGLES);
        let began = Instant::now();
        for (i, parents) in first.iter().enumerate() {
            self.call(Call::LotRegister(new(code(i), parents))).await;
        }
        let single = rate(SINGLES, began);
        let began = Instant::now();
        let writers = (0..WRITERS).map(|w| async move {
            for i in 0..SINGLES {
                self.call(Call::LotRegister(new(format!("W{w}-{i}"), &[]))).await;
            }
        });
        join(writers.collect()).await;
        let at_once = rate(SINGLES * WRITERS, began);
        let began = Instant::now();
        for (n, part) in rest.chunks(BATCH).enumerate() {
            let from = SINGLES + n * BATCH;
            let lots = part.iter().enumerate().map(|(i, p)| new(code(from + i), p)).collect();
            self.call(Call::LotRegisterAll { lots }).await;
        }
        let batch = rate(rest.len(), began);
        let began = Instant::now();
        let mut sealed = 0;
        loop {
            match self.store.seal().await.unwrap() {
                0 => break,
                n => sealed += n,
            }
        }
        let sealing = if sealed > 0 { json!(rate(sealed, began)) } else { Value::Null };
        json!({
            "one_by_one_per_second": single, "eight_writers_per_second": at_once,
            "batches_of_1000_per_second": batch, "sealed_later_per_second": sealing,
        })
    }

    async fn page(&self, query: &Query, after: Option<String>) -> Value {
        let lot_code = code(query.lot);
        let limit = Some(1000);
        let trace = Trace { lot_code, max_depth: None, max_lots: None, after, limit };
        match query.direction.as_str() {
            "ancestors" => self.call(Call::TraceAncestors(trace)).await,
            _ => self.call(Call::TraceDescendants(trace)).await,
        }
    }

    /// The median of the first page with the count of all, and once all pages.
    async fn walk(&self, query: &Query) -> Value {
        let mut seconds = Vec::new();
        let mut total = 0;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let page = self.page(query, None).await;
            seconds.push(began.elapsed().as_secs_f64());
            total = page["total"].as_u64().unwrap();
            assert_eq!(page["cut"], false);
        }
        seconds.sort_by(f64::total_cmp);
        let began = Instant::now();
        let mut codes: Vec<String> = Vec::new();
        let mut after = None;
        loop {
            let page = self.page(query, after).await;
            let items = page["items"].as_array().unwrap();
            codes.extend(items.iter().map(|l| l["lot_code"].as_str().unwrap().to_owned()));
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() {
                break;
            }
        }
        let all = began.elapsed().as_secs_f64();
        codes.sort_unstable();
        assert_eq!(codes.len() as u64, total);
        json!({
            "name": query.name, "lots": total, "median_seconds": seconds[ROUNDS / 2],
            "all_pages_seconds": all,
            "sha256": hex::encode(Sha256::digest(codes.join("\n").as_bytes())),
        })
    }
}

/// Waits for all, at once.
async fn join<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures: Vec<_> = futures.into_iter().map(|f| Some(Box::pin(f))).collect();
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for slot in &mut futures {
            if let Some(future) = slot {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(()) => *slot = None,
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
}

async fn measure(bench: &Bench, graph: &Graph, settle: impl FnOnce()) -> Value {
    let registered = bench.register(graph).await;
    settle();
    let mut walks = Vec::new();
    for query in &graph.queries {
        walks.push(bench.walk(query).await);
    }
    bench.app.close().await;
    json!({ "register": registered, "walks": walks })
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [graph, result, folder] = args.as_slice() else {
        eprintln!("usage: bench-lineage GRAPH.json RESULT.json FOLDER");
        std::process::exit(2);
    };
    let graph: Graph = serde_json::from_slice(&std::fs::read(graph).unwrap()).unwrap();
    let dir = tempfile::tempdir_in(folder).unwrap();
    let bench = Bench::open(&dir.path().join("sqlite"), None).await;
    let sqlite = measure(&bench, &graph, || {}).await;
    let server = Server::start(Durability::On);
    let database = server.fresh_database();
    let bench = Bench::open(&dir.path().join("postgres"), Some(database.url().to_owned())).await;
    // What autovacuum does by itself within a minute.
    let postgres = measure(&bench, &graph, || drop(database.psql("ANALYZE"))).await;
    let answer = json!({ "sqlite": sqlite, "postgres": postgres });
    std::fs::write(result, serde_json::to_vec_pretty(&answer).unwrap()).unwrap();
}
