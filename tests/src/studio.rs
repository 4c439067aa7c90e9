//! A studio on the built daemon: its folders, its people, and a client of our own
//! that speaks HTTP and shares no code with DataBridge's.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::postgres::Database;
use crate::process::{Daemon, PATIENCE, built, run};

/// Names another daemon than the one built beside the tests.
pub const VARIABLE: &str = "DATABRIDGE_TEST_DAEMON";

/// Longer than any answer is waited for by the tests' own calls.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Who takes part; each has the role that goes with the name.
pub const PEOPLE: [(&str, &str); 6] = [
    ("artist", "artist"),
    ("lead", "team_lead"),
    ("supervisor", "supervisor"),
    ("producer", "line_producer"),
    ("data", "data_team"),
    ("it", "it_team"),
];

/// The daemon to test.
pub fn daemon_program() -> PathBuf {
    std::env::var_os(VARIABLE).map_or_else(|| built("databridged"), PathBuf::from)
}

/// Where one installation keeps everything.
#[derive(Debug, Clone)]
pub struct Place {
    /// Database (unless it is a server), keys, checkpoints.
    pub data: PathBuf,
    /// Staging's root.
    pub staging: PathBuf,
    /// Production's root.
    pub production: PathBuf,
    /// `postgres://…`
    pub database: Option<String>,
}

impl Place {
    /// Everything below one folder, on SQLite.
    pub fn below(root: &Path) -> Self {
        Self {
            data: root.join("data"),
            staging: root.join("staging"),
            production: root.join("production"),
            database: None,
        }
    }

    /// The same on a PostgreSQL database.
    pub fn on(root: &Path, database: &Database) -> Self {
        Self { database: Some(database.url().to_owned()), ..Self::below(root) }
    }
}

/// A running daemon and its address.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub daemon: Daemon,
    /// `http://127.0.0.1:…`
    pub url: String,
    password: Option<String>,
}

/// A daemon that ended before it listened.
#[derive(Debug)]
pub struct Ended {
    /// By a signal, and not by itself.
    pub is_killed: bool,
    /// What it printed.
    pub output: String,
}

/// Settings of one start, as environment variables less their prefix
/// `DATABRIDGE_`.
pub type Settings = Vec<(&'static str, OsString)>;

impl Running {
    /// Starts the daemon on a free port, with a lease of a second.
    ///
    /// # Errors
    /// Where it ended before it listened, as one does that is trapped early.
    pub fn start(place: &Place, settings: &Settings) -> Result<Self, Ended> {
        Self::launch(Command::new(daemon_program()), place, settings)
    }

    /// The same behind the words of another program, which becomes the daemon.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub fn start_in(words: &[String], place: &Place, settings: &Settings) -> Result<Self, Ended> {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(daemon_program());
        Self::launch(command, place, settings)
    }

    fn launch(mut command: Command, place: &Place, settings: &Settings) -> Result<Self, Ended> {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DATABRIDGE_") {
                command.env_remove(name);
            }
        }
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(&place.data);
        command.env("DATABRIDGE_STAGING", &place.staging);
        command.env("DATABRIDGE_PRODUCTION", &place.production);
        command.env("DATABRIDGE_LEASE_SECONDS", "1");
        // A whole studio works here in seconds.
        for limit in ["LOGIN", "READS", "WRITES"] {
            command.env(format!("DATABRIDGE_LIMITS__{limit}_PER_MINUTE"), "0");
        }
        command.envs(place.database.iter().map(|url| ("DATABRIDGE_DATABASE", url)));
        command.envs(settings.iter().map(|(name, value)| (format!("DATABRIDGE_{name}"), value)));
        let mut daemon = Daemon::spawn(command);
        let line = daemon.find_line(PATIENCE, |line| line.starts_with("listening on "));
        let Ok(line) = line else {
            let status = daemon.wait(PATIENCE);
            return Err(Ended { is_killed: status.code().is_none(), output: daemon.output() });
        };
        let password = daemon
            .output()
            .lines()
            .find_map(|line| line.strip_prefix("one-time password for admin: ").map(str::to_owned));
        let url = line.strip_prefix("listening on ").unwrap().to_owned();
        Ok(Self { daemon, url, password })
    }
}

/// What came of a request.
#[derive(Debug)]
pub enum Trouble {
    /// There is nobody to answer, or he died over it.
    Lost(String),
    /// A refusal (RFC 9457).
    Problem {
        /// The HTTP status.
        status: u16,
        /// `code` of the problem document.
        code: String,
        /// The whole of it.
        body: Value,
    },
}

/// One request; what it takes to send it once more.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Below `/api/v1`, percent-encoded.
    pub path: String,
    /// Whose.
    pub token: String,
    /// Of a POST.
    pub body: Value,
    /// Of a PUT.
    pub bytes: Vec<u8>,
    /// The `Idempotency-Key`.
    pub key: String,
}

/// Sends a request once.
///
/// # Errors
/// [`Trouble`].
pub fn send(url: &str, request: &Request) -> Result<Value, Trouble> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .build()
        .into();
    let url = format!("{url}/api/v1{}", request.path);
    let bearer = format!("Bearer {}", request.token);
    let response = match request.method {
        "GET" => agent.get(&url).header("authorization", &bearer).call(),
        "DELETE" => agent.delete(&url).header("authorization", &bearer).call(),
        "PUT" => agent
            .put(&url)
            .header("authorization", &bearer)
            .header("content-type", "application/octet-stream")
            .send(&request.bytes[..]),
        _ => agent
            .post(&url)
            .header("authorization", &bearer)
            .header("idempotency-key", &request.key)
            .send_json(&request.body),
    };
    let lost = |error: ureq::Error| Trouble::Lost(error.to_string());
    let mut response = response.map_err(lost)?;
    let status = response.status().as_u16();
    // A receipt of 100,000 files is larger than the default of 10 MB.
    let text = response.body_mut().with_config().limit(1 << 30).read_to_string().map_err(lost)?;
    let body: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{url} answered {status} with {text:?}: {error}"));
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    Err(Trouble::Problem { status, code, body })
}

/// The tokens of everybody; they stay good while the installation stands.
#[derive(Debug, Clone)]
pub struct People(Vec<(String, String)>);

impl People {
    /// Somebody's token.
    pub fn token(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("nobody is called {name}")).1
    }

    /// Somebody else's.
    pub fn add(&mut self, name: &str, token: &str) {
        self.0.push((name.to_owned(), token.to_owned()));
    }

    /// Signs everybody in whom [`found`] made known.
    pub fn sign_in(running: &Running) -> Self {
        let names = ["admin"].into_iter().chain(PEOPLE.iter().map(|(name, _)| *name));
        let login = |name: &str| {
            let body = json!({ "username": name, "password": format!("the password of {name}") });
            let request = Request {
                method: "POST",
                path: "/auth/login".to_owned(),
                token: String::new(),
                body,
                bytes: Vec::new(),
                key: name.to_owned(),
            };
            let session = send(&running.url, &request);
            let session = session.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            (name.to_owned(), session["access_token"].as_str().unwrap().to_owned())
        };
        Self(names.map(login).collect())
    }

    /// Makes everybody known to a new installation.
    fn introduce(running: &Running) -> Self {
        let ask = |path: &str, token: &str, body: Value| {
            let request = Request {
                method: "POST",
                path: path.to_owned(),
                token: token.to_owned(),
                body,
                bytes: Vec::new(),
                key: path.to_owned(),
            };
            send(&running.url, &request).unwrap_or_else(|error| panic!("{path}: {error:?}"))
        };
        let login = |name: &str, password: &str, new: Option<&str>| {
            let body = json!({ "username": name, "password": password, "new_password": new });
            ask("/auth/login", "", body)["access_token"].as_str().unwrap().to_owned()
        };
        let one_time = running.password.as_deref().expect("the installation is not new");
        let admin = login("admin", one_time, Some("the password of admin"));
        let mut people = vec![("admin".to_owned(), admin.clone())];
        for (name, role) in PEOPLE {
            let password = format!("the password of {name}");
            let body = json!({ "username": name, "roles": [role], "password": password });
            let request = Request {
                method: "POST",
                path: "/users".to_owned(),
                token: admin.clone(),
                body,
                bytes: Vec::new(),
                key: format!("user {name}"),
            };
            send(&running.url, &request).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            people.push((name.to_owned(), login(name, &password, None)));
        }
        Self(people)
    }
}

/// Makes an installation: folders, schema, people. One on SQLite is made once in
/// a process and copied.
pub fn found(place: &Place) -> People {
    if place.database.is_some() {
        return establish(place);
    }
    static TEMPLATE: OnceLock<(TempDir, People)> = OnceLock::new();
    let (template, people) = TEMPLATE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let people = establish(&Place::below(folder.path()));
        (folder, people)
    });
    fs::create_dir_all(place.data.parent().unwrap()).unwrap();
    run(Command::new("cp").arg("-a").arg(Place::below(template.path()).data).arg(&place.data));
    people.clone()
}

fn establish(place: &Place) -> People {
    let mut running = Running::start(place, &Settings::new()).expect("the daemon does not start");
    let people = People::introduce(&running);
    running.daemon.end(Signal::TERM, PATIENCE);
    people
}
