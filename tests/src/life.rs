//! The life of one transfer, from upload to delivery, lived through accidents.
//!
//! The client does what a patient one would do: a call that got no answer is made
//! again under the same idempotency key once the daemon is back. What was told is
//! remembered, and after each accident held against what the daemon still knows.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::delivery;
use crate::studio::{People, Place, Request, Running, Settings, Trouble, found, send};
use crate::tree::{Listing, Node};

/// What happens to a daemon in its life.
pub trait Accident {
    /// The settings of the next start: a trap, perhaps.
    fn settings(&mut self) -> Settings;

    /// Whether something is broken now, so that refusals by the server (5xx) and
    /// steps that failed are to be expected.
    fn is_broken(&self) -> bool {
        false
    }

    /// The daemon is down by an accident: repairs what is broken.
    fn repair(&mut self) {}
}

/// Kills at named steps: the first start gets the first trap, and so on; when all
/// have sprung, nothing happens any more.
#[derive(Debug, Default)]
pub struct Traps {
    /// `name:count:signal`, the next one last.
    left: Vec<String>,
    sprung: usize,
    /// Where the steps are logged, if they are.
    pub log: Option<PathBuf>,
}

impl Traps {
    /// These, in this order.
    pub fn of(traps: impl IntoIterator<Item = String>) -> Self {
        let mut left: Vec<String> = traps.into_iter().collect();
        left.reverse();
        Self { left, sprung: 0, log: None }
    }

    /// How many have sprung.
    pub fn sprung(&self) -> usize {
        self.sprung
    }
}

impl Accident for Traps {
    fn settings(&mut self) -> Settings {
        let trap = self.left.pop().map(|trap| ("STEP", trap.into()));
        let log = self.log.iter().map(|log| ("STEP_LOG", log.into()));
        trap.into_iter().chain(log).collect()
    }

    fn repair(&mut self) {
        self.sprung += 1;
    }
}

/// States in which the daemon works and a client waits.
const WORKING: [&str; 7] =
    ["submitting", "scanning", "preparing", "transferring", "verifying", "recalling", "cancelling"];

/// So many events, or seconds without one, are waited for: a copy of a large file
/// takes its time.
const WAITS: u32 = 500;
/// How often a look is taken at what no event tells.
const LOOK: Duration = Duration::from_millis(50);

/// The folder of the source that is uploaded.
#[derive(Debug)]
pub struct Source {
    /// Its root.
    pub root: PathBuf,
    /// What stands in it.
    pub listing: Listing,
}

/// An installation with one transfer in it.
pub struct Life<A> {
    /// Where it is.
    pub place: Place,
    /// Everybody's tokens.
    pub people: People,
    /// What happens to it.
    pub accident: A,
    /// The transfer, once it is made.
    pub code: String,
    /// What is in it.
    pub source: Source,
    running: Option<Running>,
    /// Calls, for idempotency keys.
    calls: u32,
    /// The transfer's version as it was last told.
    version: i64,
    /// Its history as it was last told: position and kind.
    history: Vec<(i64, String)>,
    /// Paths that were told to be in it.
    added: Vec<String>,
    /// What daemons printed that are gone.
    printed: String,
}

impl<A: Accident> Life<A> {
    /// A new installation at `place`; nothing happens while it is founded.
    pub fn new(place: Place, source: Source, accident: A) -> Self {
        let people = found(&place);
        Self::at(place, people, source, accident)
    }

    /// The same where people are known already.
    pub fn at(place: Place, people: People, source: Source, accident: A) -> Self {
        Self {
            place,
            people,
            accident,
            code: String::new(),
            source,
            running: None,
            calls: 0,
            version: 0,
            history: Vec::new(),
            added: Vec::new(),
            printed: String::new(),
        }
    }

    /// Where the payload is to appear.
    pub fn payload(&self) -> PathBuf {
        self.place.production.join("film/plates").join(&self.code)
    }

    /// The daemon, started if there is none.
    pub fn running(&mut self) -> &mut Running {
        while self.running.is_none() {
            let settings = self.accident.settings();
            match Running::start(&self.place, &settings) {
                Ok(running) => self.running = Some(running),
                // What ends by itself would end again, for ever.
                Err(ended) => {
                    let expected = ended.is_killed || self.accident.is_broken();
                    assert!(expected, "the daemon does not start:\n{}", ended.output);
                    self.accident.repair();
                }
            }
        }
        self.running.as_mut().unwrap()
    }

    /// All that was printed, for a failure's report.
    pub fn log(&mut self) -> String {
        let last = self.running.as_mut().map(|r| r.daemon.output()).unwrap_or_default();
        format!("{}\n---\n{last}", self.printed)
    }

    /// The daemon is gone or must go: looks at what it left, repairs, starts the
    /// next and holds it against what the last one told.
    fn next_life(&mut self) {
        self.stop();
        self.accident.repair();
        self.check_visible();
        self.running();
        self.check_memory();
    }

    /// Ends the daemon at once.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.daemon.kill_9();
            self.printed += &running.daemon.output();
        }
    }

    /// What stands at the final path is whole, whenever one looks.
    fn check_visible(&self) {
        let payload = self.payload();
        if !self.code.is_empty() && payload.symlink_metadata().is_ok() {
            delivery::assert_same(&self.source.listing, &payload);
        }
    }

    /// What was told before still holds.
    fn check_memory(&mut self) {
        if self.code.is_empty() {
            return;
        }
        let (version, told) = (self.version, self.history.clone());
        let now = self.show();
        assert!(now["version"].as_i64().unwrap() >= version, "a told success is gone: {now}");
        let history = self.events();
        assert!(history.starts_with(&told), "history was {told:?} and is {history:?}");
        let files =
            self.call("artist", "GET", &format!("/transfers/{}/files", self.code), json!({}));
        for path in &self.added {
            let file = files.as_array().unwrap().iter().find(|file| file["path"] == path.as_str());
            let file = file.unwrap_or_else(|| panic!("{path} was taken in and is gone"));
            match &self.source.listing[path] {
                Node::File { size_bytes, sha256 } => {
                    assert_eq!(file["sha256"].as_str(), Some(sha256.as_str()), "{path}");
                    assert_eq!(file["size_bytes"].as_u64(), Some(*size_bytes), "{path}");
                }
                _ => assert_eq!(file["kind"], "empty_dir", "{path}"),
            }
        }
    }

    /// Makes a call and makes it again until it is answered. Panics on a refusal.
    pub fn call(&mut self, who: &str, method: &'static str, path: &str, body: Value) -> Value {
        self.try_call(who, method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error:?}\n{}", self.log()))
    }

    /// The same; a refusal is the answer.
    ///
    /// # Errors
    /// [`Trouble::Problem`].
    pub fn try_call(
        &mut self,
        who: &str,
        method: &'static str,
        path: &str,
        body: Value,
    ) -> Result<Value, Trouble> {
        self.calls += 1;
        let request = Request {
            method,
            path: path.to_owned(),
            token: self.people.token(who).to_owned(),
            body,
            bytes: Vec::new(),
            key: format!("call {}", self.calls),
        };
        self.insist(&request)
    }

    fn insist(&mut self, request: &Request) -> Result<Value, Trouble> {
        loop {
            let url = self.running().url.clone();
            match send(&url, request) {
                Ok(answer) => {
                    // Of the transfer, and not a list or something else.
                    if let Some(version) = answer["version"].as_i64() {
                        assert!(version >= self.version, "{answer}");
                        self.version = version;
                    }
                    return Ok(answer);
                }
                Err(Trouble::Problem { status, .. })
                    if status >= 500 && self.accident.is_broken() =>
                {
                    self.next_life();
                }
                Err(Trouble::Lost(_)) => self.next_life(),
                Err(problem) => return Err(problem),
            }
        }
    }

    /// A call on the transfer.
    pub fn act(&mut self, who: &str, area: &str, action: &str, body: Value) -> Value {
        self.call(who, "POST", &format!("/{area}/{}/{action}", self.code), body)
    }

    /// The transfer as it is now.
    pub fn show(&mut self) -> Value {
        self.call("admin", "GET", &format!("/transfers/{}", self.code), json!({}))
    }

    /// Its whole history: positions and kinds.
    pub fn events(&mut self) -> Vec<(i64, String)> {
        let answer =
            self.call("admin", "GET", &format!("/transfers/{}/history", self.code), json!({}));
        let event = |event: &Value| {
            (event["position"].as_i64().unwrap(), event["kind"].as_str().unwrap().to_owned())
        };
        self.history = answer.as_array().unwrap().iter().map(event).collect();
        self.history.clone()
    }

    /// Makes the transfer, or the next one, and puts every file into it.
    pub fn upload(&mut self) {
        self.version = 0;
        self.code.clear();
        self.history.clear();
        self.added.clear();
        let body = json!({ "title": "shot 010", "project": "film", "category": "plates" });
        let made = self.call("artist", "POST", "/transfers", body);
        self.code = made["code"].as_str().unwrap().to_owned();
        let listing = self.source.listing.clone();
        for (path, node) in &listing {
            let inside = format!("{path}/");
            let (kind, bytes) = match node {
                Node::File { .. } => ("file", std::fs::read(self.source.root.join(path)).unwrap()),
                // A folder with something in it comes with that.
                _ if listing.keys().any(|other| other.starts_with(&inside)) => continue,
                _ => ("empty_dir", Vec::new()),
            };
            self.calls += 1;
            let request = Request {
                method: "PUT",
                path: format!("/transfers/{}/files/{}?kind={kind}", self.code, encode(path)),
                token: self.people.token("artist").to_owned(),
                body: json!({}),
                bytes,
                key: format!("call {}", self.calls),
            };
            self.insist(&request).unwrap_or_else(|error| panic!("{path}: {error:?}"));
            self.added.push(path.clone());
        }
    }

    /// Waits until the daemon has nothing to do with the transfer; answers its state.
    pub fn settle(&mut self) -> String {
        for _ in 0..WAITS {
            let now = self.show();
            let state = now["state"].as_str().unwrap().to_owned();
            if !WORKING.contains(&state.as_str()) {
                if state.ends_with("_failed") && self.accident.is_broken() {
                    self.next_life();
                    continue;
                }
                return state;
            }
            let after = self.events().last().map_or(-1, |(position, _)| *position);
            self.wait_for_event(after);
            if self.accident.is_broken() {
                self.next_life();
            }
        }
        panic!("{} does not settle: {}\n{}", self.code.clone(), self.show(), self.log())
    }

    /// Waits until every event has its position: on PostgreSQL it gets one within a
    /// second, and history shows none without. Answers what the ledger's own
    /// verification says then.
    pub fn sealed(&mut self) -> Value {
        let end = Instant::now() + Duration::from_secs(WAITS.into());
        while Instant::now() < end {
            let report = self.call("admin", "POST", "/activity/verify", json!({}));
            if report["pending"] == 0 {
                return report;
            }
            std::thread::sleep(LOOK);
        }
        panic!("events stay without a position\n{}", self.log())
    }

    /// Returns when something happens to the transfer, or after a second: what a
    /// dead disk keeps a daemon from doing is never told.
    fn wait_for_event(&mut self, after: i64) {
        let path = format!("/transfers/{}/history?after={after}&wait=1", self.code);
        self.call("admin", "GET", &path, json!({}));
    }

    /// Settles, and expects `state`.
    pub fn expect(&mut self, state: &str) {
        let found = self.settle();
        if found != state {
            let (now, log) = (self.show(), self.log());
            panic!("{found} instead of {state}: {now}\n{log}");
        }
    }

    /// From nothing to `scanned`, when only the way to production is left.
    pub fn up_to_scanned(&mut self) {
        self.upload();
        self.submit_to_scanned();
    }

    /// From uploaded to `scanned`.
    pub fn submit_to_scanned(&mut self) {
        self.act("artist", "transfers", "submit", json!({}));
        self.expect("team_lead_review");
        for who in ["lead", "supervisor", "producer"] {
            self.act(who, "approvals", "approve", json!({}));
        }
        self.act("data", "scanning", "start", json!({}));
        self.expect("undecided");
        let body = json!({ "decision": "accept", "reason": "no antivirus on this host" });
        self.act("data", "scanning", "decide", body);
    }

    /// Sends it on its way to production.
    pub fn start(&mut self) {
        self.act("it", "transfer-ops", "start", json!({}));
    }

    /// The whole life.
    pub fn live(&mut self) {
        self.up_to_scanned();
        self.start();
        self.expect("delivered");
    }

    /// Waits until no job is left; answers all there were.
    pub fn jobs(&mut self) -> Vec<Value> {
        let end = Instant::now() + Duration::from_secs(WAITS.into());
        while Instant::now() < end {
            let jobs = self.call("admin", "GET", "/transfer-ops/jobs?limit=200", json!({}));
            let jobs = jobs.as_array().unwrap().clone();
            let open = |job: &Value| job["state"] == "ready" || job["state"] == "leased";
            if !jobs.iter().any(open) {
                return jobs;
            }
            // No event tells that a job is done.
            std::thread::sleep(LOOK);
            if self.accident.is_broken() {
                self.next_life();
            }
        }
        panic!("jobs are left\n{}", self.log())
    }
}

/// Percent-encodes a path for a URL, slashes kept (RFC 3986).
fn encode(path: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
    path.bytes()
        .map(
            |byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") },
        )
        .collect()
}

impl Source {
    /// A small shot in `root`, by its seed.
    pub fn media(root: &Path, seed: u64) -> Self {
        let root = root.join("source");
        let listing = crate::tree::write_media(&root, seed);
        Self { root, listing }
    }

    /// Some files of given sizes in `root`, by their seed.
    pub fn files(root: &Path, seed: u64, sizes: &[(&str, usize)]) -> Self {
        let root = root.join("source");
        let mut random = crate::tree::Random::new(seed);
        for (path, size) in sizes {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, random.bytes(*size)).unwrap();
        }
        let listing = crate::tree::digest_tree(&root);
        Self { root, listing }
    }
}
