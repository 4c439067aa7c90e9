//! Three daemons and what is asked of them.

use std::path::PathBuf;
use std::process::Command;

use databridge_tests::delivery;
use databridge_tests::postgres::{Database, fresh_database};
use databridge_tests::process::{PATIENCE, run};
use databridge_tests::studio::{People, Place, Request, Running, Settings, Trouble, found, send};
use databridge_tests::tree::{Listing, digest_tree};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Three hosts, one database, one pair of mounts.
pub struct Farm {
    pub place: Place,
    pub people: People,
    pub hosts: Vec<Option<Running>>,
    /// What was printed by daemons that are gone.
    printed: String,
    _database: Database,
    _folder: TempDir,
}

const WORKING: [&str; 6] =
    ["submitting", "scanning", "preparing", "transferring", "verifying", "cancelling"];

impl Farm {
    pub fn new(settings: [Settings; 3]) -> Self {
        Self::on(fresh_database(), settings)
    }

    pub fn on(database: Database, settings: [Settings; 3]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::on(folder.path(), &database);
        let people = found(&place);
        let mut farm = Self {
            place,
            people,
            hosts: Vec::new(),
            printed: String::new(),
            _database: database,
            _folder: folder,
        };
        for (index, settings) in settings.iter().enumerate() {
            let data = farm.data(index);
            std::fs::create_dir(&data).unwrap();
            run(Command::new("cp").arg("-a").arg(farm.place.data.join("keys")).arg(&data));
            farm.hosts.push(None);
            farm.start(index, settings);
        }
        farm
    }

    pub fn data(&self, index: usize) -> PathBuf {
        self.place.data.with_file_name(format!("host{index}"))
    }

    pub fn start(&mut self, index: usize, settings: &Settings) {
        let mut place = self.place.clone();
        place.data = self.data(index);
        let mut settings = settings.clone();
        settings.push(("HOST", format!("host{index}").into()));
        let started = Running::start(&place, &settings);
        self.hosts[index] = Some(started.unwrap_or_else(|ended| panic!("{}", ended.output)));
    }

    /// SIGTERM: it ends by itself, well, and says so.
    pub fn drain(&mut self, index: usize) {
        let mut host = self.hosts[index].take().unwrap();
        let status = host.daemon.end(Signal::TERM, PATIENCE);
        let output = host.daemon.output();
        assert_eq!(status.code(), Some(0), "{output}");
        assert!(!output.contains("did not let go in time"), "{output}");
        self.printed += &output;
    }

    pub fn kill(&mut self, index: usize) {
        let mut host = self.hosts[index].take().unwrap();
        host.daemon.kill_9();
        self.printed += &host.daemon.output();
    }

    /// Asks whoever answers, one after the other, under one idempotency key.
    pub fn ask(&self, who: &str, method: &'static str, path: &str, body: Value) -> Value {
        let request = Request {
            method,
            path: path.to_owned(),
            token: self.people.token(who).to_owned(),
            body,
            bytes: b"the content of a frame".to_vec(),
            key: format!("{who} {method} {path} {}", uuid::Uuid::new_v4()),
        };
        for _ in 0..20 {
            for host in self.hosts.iter().flatten() {
                match send(&host.url, &request) {
                    Ok(answer) => return answer,
                    Err(Trouble::Lost(_)) => {}
                    // It is going down, and says so.
                    Err(Trouble::Problem { status: 503, .. }) => {}
                    Err(problem) => panic!("{who} {method} {path}: {problem:?}"),
                }
            }
        }
        panic!("{who} {method} {path}: nobody answers")
    }

    pub fn act(&self, who: &str, area: &str, code: &str, action: &str, body: Value) -> Value {
        self.ask(who, "POST", &format!("/{area}/{code}/{action}"), body)
    }

    fn state(&self, code: &str) -> String {
        let shown = self.ask("admin", "GET", &format!("/transfers/{code}"), json!({}));
        shown["state"].as_str().unwrap().to_owned()
    }

    /// Waits until the daemons have nothing to do with it.
    pub fn settle(&self, code: &str) -> String {
        let mut after = -1;
        for _ in 0..300 {
            let state = self.state(code);
            if !WORKING.contains(&state.as_str()) {
                return state;
            }
            let path = format!("/transfers/{code}/history?after={after}&wait=1");
            for event in self.ask("admin", "GET", &path, json!({})).as_array().unwrap() {
                after = event["position"].as_i64().unwrap();
            }
        }
        panic!("{code} does not settle: {}", self.state(code));
    }

    /// A draft with its files.
    pub fn drafted(&self) -> String {
        let body = json!({ "title": "shot", "project": "film", "category": "plates" });
        let made = self.ask("artist", "POST", "/transfers", body);
        let code = made["code"].as_str().unwrap().to_owned();
        for file in ["a.exr", "sub/b.exr"] {
            self.ask("artist", "PUT", &format!("/transfers/{code}/files/{file}"), json!({}));
        }
        code
    }

    /// A transfer that waits to be sent on its way.
    pub fn scanned(&self) -> String {
        let code = self.drafted();
        self.act("artist", "transfers", &code, "submit", json!({}));
        assert_eq!(self.settle(&code), "team_lead_review");
        for who in ["lead", "supervisor", "producer"] {
            self.act(who, "approvals", &code, "approve", json!({}));
        }
        self.act("data", "scanning", &code, "start", json!({}));
        assert_eq!(self.settle(&code), "undecided");
        let accept = json!({ "decision": "accept", "reason": "no antivirus on this host" });
        self.act("data", "scanning", &code, "decide", accept);
        code
    }

    pub fn start_delivery(&self, code: &str) {
        self.act("it", "transfer-ops", code, "start", json!({}));
    }

    /// What happened to a delivered transfer: an event stands in its history once it is
    /// sealed, which is soon.
    fn kinds(&self, code: &str) -> Vec<String> {
        for _ in 0..60 {
            let path = format!("/transfers/{code}/history");
            let history = self.ask("admin", "GET", &path, json!({}));
            let history = history.as_array().unwrap();
            let kinds: Vec<String> =
                history.iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect();
            if kinds.iter().any(|kind| kind == "transfer.delivered") {
                return kinds;
            }
            let last = history.last().map_or(-1, |e| e["position"].as_i64().unwrap());
            self.ask("admin", "GET", &format!("{path}?after={last}&wait=1"), json!({}));
        }
        panic!("the delivery of {code} is not in its history")
    }

    /// Delivered once, whole, and nothing else stands there.
    pub fn check(&self, codes: &[String]) {
        let folder = self.place.production.join("film/plates");
        let expected = expected();
        for code in codes {
            assert_eq!(self.settle(code), "delivered", "{code}");
            delivery::assert_same(&expected, &folder.join(code));
            let kinds = self.kinds(code);
            let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
            assert_eq!(count("transfer.delivered"), 1, "{code}: {kinds:?}");
            assert_eq!(count("transfer.step_failed"), 0, "{code}: {kinds:?}");
        }
        // Until it is tidied up, a journal stands there, too.
        let mut standing = delivery::names(&folder);
        standing.retain(|name| !name.ends_with(".proof") && !name.contains("databridge-journal"));
        let mut codes = codes.to_vec();
        codes.sort();
        assert_eq!(standing, codes, "what nobody ordered stands in production");
        let jobs = self.ask("admin", "GET", "/transfer-ops/jobs?state=dead", json!({}));
        assert_eq!(jobs, json!([]));
    }

    /// As [`Farm::scanned`], by a worker that comes for this and goes again.
    pub fn scanned_by_worker(&mut self) -> String {
        self.kill(2);
        self.start(2, &Settings::new());
        let code = self.scanned();
        self.drain(2);
        self.start(2, &vec![("ROLE", "serve".into())]);
        code
    }

    pub fn log(&mut self, index: usize) -> String {
        self.hosts[index].as_mut().map(|h| h.daemon.output()).unwrap_or_default()
    }
}

fn expected() -> Listing {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    for file in ["a.exr", "sub/b.exr"] {
        std::fs::write(folder.path().join(file), "the content of a frame").unwrap();
    }
    digest_tree(folder.path())
}
