//! `bench-daemon [--write]`: daemons under load on SQLite and on PostgreSQL, both
//! flushing every commit to the device; a page of a million transfers; deliveries by one
//! daemon, two and three. Figures are ratios within one run.
//!
//! CLIENTS, ASKS, ROWS, DELIVERIES and ROUNDS in the environment size it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod fill;
mod load;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use databridge_tests::postgres::{Database, Durability, Server};
use databridge_tests::studio::{People, Place, Running, Settings, found};
use load::{Client, Load, load};
use serde_json::json;

/// Of a list: what a page holds unless a client asks for another.
const PAGE: usize = 50;
const BEGIN: &str = "<!-- bench-daemon -->\n";
const END: &str = "<!-- /bench-daemon -->";

fn size(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

/// One daemon on one database.
struct Store {
    name: &'static str,
    place: Place,
    running: Running,
    studio: Studio,
}

/// How its people reach it.
struct Studio {
    url: String,
    people: People,
}

impl Store {
    fn open(name: &'static str, root: &Path, database: Option<&Database>) -> Self {
        let root = root.join(name);
        std::fs::create_dir(&root).unwrap();
        let place = database.map_or_else(|| Place::below(&root), |d| Place::on(&root, d));
        let people = found(&place);
        let running = Running::start(&place, &Settings::new()).expect("a daemon that starts");
        let studio = Studio { url: running.url.clone(), people };
        Self { name, place, running, studio }
    }

    /// Of the daemon, in MiB.
    fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.running.daemon.pid());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Studio {
    /// Waits until a transfer is where it is wanted.
    fn reach(&self, client: &Client, code: &str, state: &str) {
        let token = self.people.token("admin");
        let mut after = -1;
        loop {
            let shown = client.get(token, &format!("/api/v1/transfers/{code}"));
            let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
            if shown["state"] == state {
                return;
            }
            let path = format!("/api/v1/transfers/{code}/history?after={after}&wait=1");
            let events: serde_json::Value =
                serde_json::from_str(&client.get(token, &path)).unwrap();
            let last = events.as_array().and_then(|events| events.last());
            after = last.map_or(after, |event| event["position"].as_i64().unwrap());
        }
    }

    fn submitted(&self, count: usize) -> Vec<String> {
        let codes = std::sync::Mutex::new(Vec::new());
        load(&self.url, 8, count, |client, _| {
            let token = self.people.token("artist");
            let code = client.draft(token);
            client.post(token, &format!("/api/v1/transfers/{code}/submit"), &json!({}));
            self.reach(client, &code, "team_lead_review");
            codes.lock().unwrap().push(code);
        });
        codes.into_inner().unwrap()
    }

    fn approve(&self, clients: usize, codes: &[String], who: &str) -> Load {
        load(&self.url, clients, codes.len(), |client, index| {
            let path = format!("/api/v1/approvals/{}/approve", codes[index]);
            client.post(self.people.token(who), &path, &json!({}));
        })
    }
}

/// What one database was asked, and how it bore that.
struct Borne {
    loads: Vec<(&'static str, Load)>,
    idle_mib: u64,
    after_mib: u64,
    /// Of the first and of the last page.
    pages: (Duration, Duration),
}

fn bear(store: &Store) -> Borne {
    let (clients, asks) = (size("CLIENTS", 64), size("ASKS", 4000));
    let idle_mib = store.resident();
    let studio = &store.studio;
    let codes = studio.submitted(size("APPROVALS", 256));
    let (token, url) = (studio.people.token("lead"), &studio.url);
    let get = |path: &str| load(url, clients, asks, |client, _| drop(client.get(token, path)));
    let show = |client: &Client, index: usize| {
        client.get(token, &format!("/api/v1/transfers/{}", codes[index % codes.len()]));
    };
    let loads = vec![
        ("health (nothing is looked up)", get("/api/health")),
        ("list, a page of 50", get("/api/v1/transfers?limit=50")),
        ("show", load(url, clients, asks, show)),
        ("approve", studio.approve(clients, &codes, "lead")),
    ];
    let after_mib = store.resident();
    println!("{}: loads done", store.name);
    Borne { loads, idle_mib, after_mib, pages: pages(store) }
}

/// The first page and the last of very many transfers, in turn.
fn pages(store: &Store) -> (Duration, Duration) {
    let database = store.place.database.as_deref();
    let before_last = fill::fill(database, &store.place.data, size("ROWS", 1_000_000), PAGE);
    println!("{}: filled", store.name);
    let (client, token) = (Client::new(&store.studio.url), store.studio.people.token("admin"));
    let paths = [
        format!("/api/v1/transfers?limit={PAGE}"),
        format!("/api/v1/transfers?limit={PAGE}&after={before_last}"),
    ];
    let mut waited = [Vec::new(), Vec::new()];
    for _ in 0..size("ROUNDS", 100) {
        for (path, waited) in paths.iter().zip(&mut waited) {
            let asked = Instant::now();
            let page = client.get(token, path);
            waited.push(asked.elapsed());
            let page: serde_json::Value = serde_json::from_str(&page).unwrap();
            let rows = page.as_array().map_or_else(|| page["items"].as_array(), Some);
            assert_eq!(rows.map(Vec::len), Some(PAGE), "a whole page");
        }
    }
    let [first, last] = waited.map(|mut all| {
        all.sort();
        all[all.len() / 2]
    });
    (first, last)
}

/// Deliveries by one, two and three daemons on one PostgreSQL, each from `start` on.
fn deliveries(root: &Path, server: &Server) -> Vec<f64> {
    let count = size("DELIVERIES", 120);
    (1..=3)
        .map(|hosts| {
            let database = server.fresh_database();
            let folder = root.join(format!("hosts{hosts}"));
            std::fs::create_dir(&folder).unwrap();
            let store = Store::open("first", &folder, Some(&database));
            let others: Vec<Running> =
                (1..hosts).map(|index| other(&store.place, &folder, index)).collect();
            let studio = &store.studio;
            let codes = studio.submitted(count);
            for who in ["lead", "supervisor", "producer"] {
                studio.approve(8, &codes, who);
            }
            load(&studio.url, 8, count, |client, index| {
                let (code, data) = (&codes[index], studio.people.token("data"));
                client.post(data, &format!("/api/v1/scanning/{code}/start"), &json!({}));
                studio.reach(client, code, "undecided");
                let accept = json!({ "decision": "accept", "reason": "no antivirus here" });
                client.post(data, &format!("/api/v1/scanning/{code}/decide"), &accept);
            });
            let began = Instant::now();
            load(&studio.url, 16, count, |client, index| {
                let path = format!("/api/v1/transfer-ops/{}/start", codes[index]);
                client.post(studio.people.token("it"), &path, &json!({}));
                studio.reach(client, &codes[index], "delivered");
            });
            drop(others);
            println!("{hosts} daemons: done");
            #[allow(clippy::cast_precision_loss)]
            let rate = count as f64 / began.elapsed().as_secs_f64();
            rate
        })
        .collect()
}

fn other(place: &Place, folder: &Path, index: usize) -> Running {
    let mut place = place.clone();
    let data = folder.join(format!("data{index}"));
    std::fs::create_dir(&data).unwrap();
    let keys =
        std::process::Command::new("cp").arg("-a").arg(place.data.join("keys")).arg(&data).status();
    assert!(keys.unwrap().success());
    place.data = data;
    let settings = vec![("HOST", format!("host{index}").into())];
    Running::start(&place, &settings).expect("a daemon that starts")
}

fn report(sqlite: &Borne, postgres: &Borne, rates: &[f64]) -> String {
    let clients = size("CLIENTS", 64);
    let mut text = format!(
        "{clients} clients at once, on the same two cores as the daemon and the database; \
         requests a second over those of `health` on the same database, and how long the \
         slowest of a hundred waited over the median of `health`.\n\n\
         | request | SQLite | slowest of 100 | PostgreSQL | slowest of 100 |\n\
         |---|---:|---:|---:|---:|\n"
    );
    for (index, (name, _)) in sqlite.loads.iter().enumerate() {
        write!(text, "| {name} |").unwrap();
        for borne in [sqlite, postgres] {
            let (base, load) = (borne.loads[0].1, borne.loads[index].1);
            let rate = load.per_second / base.per_second;
            let p99 = load.p99.as_secs_f64() / base.median.as_secs_f64();
            write!(text, " {rate:.2} | {p99:.1} |").unwrap();
        }
        text.push('\n');
    }
    let page = |pages: (Duration, Duration)| pages.1.as_secs_f64() / pages.0.as_secs_f64();
    let rows = size("ROWS", 1_000_000);
    writeln!(
        text,
        "\n| | SQLite | PostgreSQL |\n|---|---:|---:|\n\
         | the last page of {rows} transfers over the first | {:.2} | {:.2} |\n\
         | memory of the idle daemon | {} MiB | {} MiB |\n\
         | after that load | {} MiB | {} MiB |\n",
        page(sqlite.pages),
        page(postgres.pages),
        sqlite.idle_mib,
        postgres.idle_mib,
        sqlite.after_mib,
        postgres.after_mib,
    )
    .unwrap();
    writeln!(
        text,
        "Deliveries of one small file each, from `start` to `delivered`, on one PostgreSQL: two \
         daemons make {:.2} times as many as one, three {:.2} times, all on the same two cores \
         and one device.",
        rates[1] / rates[0],
        rates[2] / rates[0],
    )
    .unwrap();
    text
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench-daemon");
    std::fs::create_dir_all(&root).unwrap();
    // On the disk where the store would be, and not in memory.
    let folder = tempfile::tempdir_in(&root).unwrap();
    let sqlite = bear(&Store::open("sqlite", folder.path(), None));
    let server = Server::start(Durability::On);
    let database = server.fresh_database();
    let postgres = bear(&Store::open("postgres", folder.path(), Some(&database)));
    let rates = deliveries(folder.path(), &server);
    for (name, borne) in [("sqlite", &sqlite), ("postgres", &postgres)] {
        for (what, load) in &borne.loads {
            println!(
                "{name} {what}: {:.0} a second, median {:?}, p99 {:?}",
                load.per_second, load.median, load.p99
            );
        }
        println!("{name} pages: {:?}", borne.pages);
    }
    println!("deliveries a second by 1, 2, 3 daemons: {rates:.1?}\n");
    let text = report(&sqlite, &postgres, &rates);
    println!("{text}");
    if std::env::args().any(|word| word == "--write") {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance.md");
        let old = std::fs::read_to_string(&page).unwrap();
        let (before, rest) = old.split_once(BEGIN).expect("where the table stands");
        let (_, after) = rest.split_once(END).expect("where the table ends");
        std::fs::write(&page, format!("{before}{BEGIN}{text}{END}{after}")).unwrap();
    }
}
