//! A daemon with people at it, and raw ways to talk to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use databridge_tests::postgres::{self, Database};
use databridge_tests::process::{built, run};
use databridge_tests::studio::{People, Place, Running, Settings, found};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// So long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Desk {
    pub people: People,
    pub place: Place,
    pub running: Running,
    pub database: Option<Database>,
    _folder: Option<TempDir>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// That it is a refusal as all are: status, content type, fields.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert_eq!(body["type"], format!("urn:databridge:error:{code}"));
        for field in ["title", "detail", "kind"] {
            assert!(body[field].is_string(), "{field}: {self:?}");
        }
    }
}

impl Desk {
    pub fn open(kind: Kind) -> Self {
        Self::open_with(kind, &Settings::new())
    }

    pub fn open_with(kind: Kind, settings: &Settings) -> Self {
        let folder = tempfile::Builder::new().prefix("databridge-desk-").tempdir().unwrap();
        let database = (kind == Kind::Postgres).then(postgres::fresh_database);
        let place = match &database {
            None => Place::below(folder.path()),
            Some(database) => Place::on(folder.path(), database),
        };
        let people = found(&place);
        let running = Running::start(&place, settings).expect("the daemon does not start");
        Self { people, place, running, database, _folder: Some(folder) }
    }

    /// At a place that somebody else looks after.
    pub fn of(people: People, place: Place, running: Running) -> Self {
        Self { people, place, running, database: None, _folder: None }
    }

    /// One more artist, who signs in.
    pub fn hire(&mut self, name: &str) {
        let password = format!("the password of {name}");
        let user = json!({ "username": name, "roles": ["artist"], "password": password });
        self.ok("admin", "POST", "/users", user);
        let session = json!({ "username": name, "password": password });
        let token = self.ok("", "POST", "/auth/login", session)["access_token"].clone();
        self.people.add(name, token.as_str().unwrap());
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        self.running.url.strip_prefix("http://").unwrap()
    }

    /// Asks as somebody; `who` may be nobody.
    pub fn ask(&self, who: &str, method: &str, path: &str, body: Value) -> Answer {
        self.ask_with(who, method, path, &[], body)
    }

    pub fn ask_with(
        &self,
        who: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let mut all: Vec<(&str, String)> =
            headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if !who.is_empty() {
            all.push(("authorization", format!("Bearer {}", self.people.token(who))));
        }
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json".into()));
        }
        let path = if path.starts_with("/api/") || path == "/metrics" {
            path.to_owned()
        } else {
            format!("/api/v1{path}")
        };
        self.raw(method, &path, &all, &body)
    }

    /// Answers what was asked, having gone well.
    #[track_caller]
    pub fn ok(&self, who: &str, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(who, method, path, body);
        assert_eq!(answer.status, 200, "{who} {method} {path}: {answer:?}");
        answer.json()
    }

    /// One request in bytes, on a connection of its own.
    pub fn raw(&self, method: &str, path: &str, headers: &[(&str, String)], body: &[u8]) -> Answer {
        raw(self.address(), method, path, headers, body)
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address())
    }

    /// A statement in the database's own shell.
    pub fn sql(&self, statement: &str) -> String {
        match &self.database {
            Some(database) => database.psql(statement),
            None => run(Command::new("sqlite3")
                .args(["-bail", "-cmd", ".timeout 10000"])
                .arg(self.place.data.join("databridge.db"))
                .arg(statement)),
        }
    }

    /// A transfer of the artist's with a file in it.
    pub fn transfer(&self) -> String {
        let body = json!({ "title": "shot 010", "project": "film", "category": "plates" });
        let code = self.ok("artist", "POST", "/transfers", body)["code"].clone();
        let code = code.as_str().unwrap().to_owned();
        let put = self.raw(
            "PUT",
            &format!("/api/v1/transfers/{code}/files/a.exr"),
            &[("authorization", format!("Bearer {}", self.people.token("artist")))],
            b"bytes",
        );
        assert_eq!(put.status, 200, "{put:?}");
        code
    }

    /// Submits it and waits until the first stage has it.
    pub fn submitted(&self) -> String {
        let code = self.transfer();
        self.ok("artist", "POST", &format!("/transfers/{code}/submit"), json!({}));
        self.wait(&code, "team_lead_review");
        code
    }

    /// From its first review to production; an antivirus of this machine is not asked
    /// where the daemon was started with [`by_hand`].
    pub fn deliver(&self, code: &str) {
        self.approve(code);
        self.ok("it", "POST", &format!("/transfer-ops/{code}/start"), json!({}));
        self.wait(code, "delivered");
    }

    /// From its first review to where IT sends it on its way.
    pub fn approve(&self, code: &str) {
        for who in ["lead", "supervisor", "producer"] {
            self.ok(who, "POST", &format!("/approvals/{code}/approve"), json!({}));
        }
        self.ok("data", "POST", &format!("/scanning/{code}/start"), json!({}));
        self.wait(code, "undecided");
        let decision = json!({ "decision": "accept", "reason": "looked at by hand" });
        self.ok("data", "POST", &format!("/scanning/{code}/decide"), decision);
    }

    /// Waits until a transfer's history has an event of a kind.
    pub fn wait_for(&self, code: &str, kind: &str) {
        for _ in 0..600 {
            let path = format!("/transfers/{code}/history");
            let events = self.ok("admin", "GET", &path, Value::Null);
            let events = events.as_array().unwrap();
            if events.iter().any(|event| event["kind"] == kind) {
                return;
            }
            let last = events.last().map_or(json!(-1), |event| event["position"].clone());
            self.ok("admin", "GET", &format!("{path}?after={last}&wait=1"), Value::Null);
        }
        panic!("{code} has no {kind}");
    }

    /// Waits by long polls until the transfer is in a state.
    pub fn wait(&self, code: &str, state: &str) {
        let mut after = -1;
        for _ in 0..600 {
            let now = self.ok("admin", "GET", &format!("/transfers/{code}"), Value::Null);
            if now["state"] == state {
                return;
            }
            let path = format!("/transfers/{code}/history?after={after}&wait=1");
            let events = self.ok("admin", "GET", &path, Value::Null);
            after = events
                .as_array()
                .unwrap()
                .last()
                .map_or(after, |e| e["position"].as_i64().unwrap());
        }
        panic!("{code} does not come to {state}");
    }
}

/// The same by its address, for threads.
pub fn raw(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers.iter().any(|(name, _)| *name == "transfer-encoding") {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("connection: close\r\n\r\n");
    let mut stream = connect(address);
    stream.write_all(head.as_bytes()).unwrap();
    // What is refused early may not be read to its end.
    let _ = stream.write_all(body);
    read(stream)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Nothing is called clean but by a person.
pub fn by_hand() -> Settings {
    vec![("SCAN__ENGINE", "rules".into())]
}

/// The command line on the files of a place.
pub fn databridge(place: &Place, words: &[&str]) -> Command {
    let mut command = Command::new(built("databridge"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", &place.staging).arg("--data").arg(&place.data).args(words);
    command.env("DATABRIDGE_STAGING", &place.staging);
    command.env("DATABRIDGE_PRODUCTION", &place.production);
    command.envs(place.database.iter().map(|url| ("DATABRIDGE_DATABASE", url)));
    command
}

/// Reads an answer to the end of the connection.
pub fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("0");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers.iter().any(|(n, v)| n == "transfer-encoding" && v == "chunked");
    let text = if chunked { unchunk(body) } else { body.to_owned() };
    Answer { status: status.parse().unwrap_or(0), headers, text }
}

fn unchunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        if size == 0 || rest.len() < size {
            break;
        }
        out.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    out
}
