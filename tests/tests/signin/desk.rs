//! A daemon, its admin, and short words for what is asked of it.

use std::process::Command;

use databridge_tests::postgres::{Database, fresh_database};
use databridge_tests::process::{PATIENCE, find_program, run};
use databridge_tests::studio::{Place, Request, Running, Settings, Trouble, send};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

pub const PASSWORD: &str = "correct horse battery";

pub struct Desk {
    pub running: Running,
    pub place: Place,
    pub admin: String,
    settings: Settings,
    database: Option<Database>,
    pub folder: TempDir,
}

impl Desk {
    pub fn open(kind: Kind) -> Self {
        Self::open_with(kind, Settings::new())
    }

    pub fn open_with(kind: Kind, settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = (kind == Kind::Postgres).then(fresh_database);
        let place = match &database {
            Some(database) => Place::on(folder.path(), database),
            None => Place::below(folder.path()),
        };
        let mut running = start(&place, &settings);
        let output = running.daemon.output();
        let one_time = output
            .lines()
            .find_map(|line| line.strip_prefix("one-time password for admin: "))
            .expect("no one-time password was printed");
        let body = json!({
            "username": "admin", "password": one_time, "new_password": "the password of admin",
        });
        let session = ask(&running.url, "POST", "/auth/login", "", body).unwrap();
        let admin = text(&session, "access_token");
        Self { running, place, admin, settings, database, folder }
    }

    /// A further daemon on the same database, with a data folder of its own.
    pub fn second(&self) -> Running {
        let mut place = self.place.clone();
        place.data = place.data.with_file_name("second");
        std::fs::create_dir(&place.data).unwrap();
        run(Command::new("cp").arg("-a").arg(self.place.data.join("keys")).arg(&place.data));
        start(&place, &self.settings)
    }

    pub fn restart(&mut self) {
        self.running.daemon.end(Signal::TERM, PATIENCE);
        self.running = start(&self.place, &self.settings);
    }

    pub fn ask(
        &self,
        method: &'static str,
        path: &str,
        token: &str,
        body: Value,
    ) -> Result<Value, Trouble> {
        ask(&self.running.url, method, path, token, body)
    }

    #[track_caller]
    pub fn post(&self, path: &str, token: &str, body: Value) -> Value {
        let shown = format!("{path} {body}");
        self.ask("POST", path, token, body).unwrap_or_else(|e| panic!("{shown}: {e:?}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str, token: &str) -> Value {
        self.ask("GET", path, token, json!({})).unwrap_or_else(|e| panic!("{path}: {e:?}"))
    }

    /// Status and code of a refusal.
    #[track_caller]
    pub fn refused(
        &self,
        method: &'static str,
        path: &str,
        token: &str,
        body: Value,
    ) -> (u16, String) {
        refusal(self.ask(method, path, token, body))
    }

    pub fn login(&self, name: &str, password: &str) -> Result<Value, Trouble> {
        self.ask("POST", "/auth/login", "", json!({ "username": name, "password": password }))
    }

    #[track_caller]
    pub fn login_refused(&self, name: &str, password: &str) -> (u16, String) {
        refusal(self.login(name, password))
    }

    pub fn refresh(&self, token: &str) -> Result<Value, Trouble> {
        self.ask("POST", "/auth/refresh", "", json!({ "refresh_token": token }))
    }

    /// Somebody with [`PASSWORD`].
    pub fn hire(&self, name: &str, roles: &[&str]) -> Value {
        let body = json!({ "username": name, "roles": roles, "password": PASSWORD });
        self.post("/users", &self.admin, body);
        self.login(name, PASSWORD).unwrap()
    }

    pub fn is_in(&self, token: &str) -> bool {
        self.ask("GET", "/auth/me", token, json!({})).is_ok()
    }

    /// A statement in the database's own shell.
    pub fn sql(&self, statement: &str) -> String {
        match &self.database {
            Some(database) => run(Command::new(find_program("psql", &[], "install postgresql"))
                .args([database.url(), "-v", "ON_ERROR_STOP=1", "-Atqc", statement])),
            None => run(Command::new("sqlite3")
                .args(["-cmd", ".timeout 10000"])
                .arg(self.place.data.join("databridge.db"))
                .arg(statement)),
        }
    }

    /// Everything that stands in the database, the ledger or the log, as text.
    pub fn everything(&mut self) -> String {
        let tables = "SELECT body FROM ledger_event";
        let mut all = self.sql(tables) + &self.running.daemon.output();
        for table in
            ["users", "sessions", "api_keys", "refresh_tokens", "signin_failures", "idempotency"]
        {
            all += &self.sql(&format!("SELECT * FROM {table}"));
        }
        all
    }

    pub fn events(&self, kind: &str) -> usize {
        self.sql(&format!("SELECT count(*) FROM ledger_event WHERE kind = '{kind}'"))
            .trim()
            .parse()
            .unwrap()
    }
}

fn start(place: &Place, settings: &Settings) -> Running {
    Running::start(place, settings).unwrap_or_else(|e| panic!("{}", e.output))
}

pub fn ask(
    url: &str,
    method: &'static str,
    path: &str,
    token: &str,
    body: Value,
) -> Result<Value, Trouble> {
    let request = Request {
        method,
        path: path.to_owned(),
        token: token.to_owned(),
        body,
        bytes: Vec::new(),
        key: uuid::Uuid::new_v4().to_string(),
    };
    send(url, &request)
}

#[track_caller]
pub fn refusal(answer: Result<Value, Trouble>) -> (u16, String) {
    match answer {
        Err(Trouble::Problem { status, code, .. }) => (status, code),
        other => panic!("no refusal: {other:?}"),
    }
}

pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

pub const BAD_TOKEN: (u16, &str) = (401, "identity.bad_token");
pub const WRONG: (u16, &str) = (401, "identity.wrong_credentials");

#[track_caller]
pub fn same(found: (u16, String), expected: (u16, &str)) {
    assert_eq!((found.0, found.1.as_str()), expected);
}
