//! A store with everybody in it, and short words for what they do.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use databridge_core::app::{App, Config, MIGRATIONS, routes};
use databridge_core::base::cancel::Cancel;
use databridge_core::base::error::Error;
use databridge_core::control::commands::Store;
use databridge_core::control::ctx::Ctx;
use databridge_core::control::db::Db;
use databridge_core::control::jobs::{Handler, NewJob, Settings, Worker};
use databridge_core::media::scan::Engine;
use databridge_tests::postgres::{self, Database};
use databridge_tests::process::{find_program, run};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// Who works here, and in which role.
pub const PEOPLE: [(&str, &str); 8] = [
    ("artist", "artist"),
    ("other", "artist"),
    ("team_lead", "team_lead"),
    ("supervisor", "supervisor"),
    ("line_producer", "line_producer"),
    ("data_team", "data_team"),
    ("it_team", "it_team"),
    ("chief", "admin"),
];

pub struct Lab {
    pub app: App,
    pub kind: Kind,
    /// The same database over connections of its own.
    pub store: Store,
    pub one_time_password: String,
    worker: Worker,
    people: BTreeMap<String, Ctx>,
    secrets: BTreeMap<String, String>,
    count: AtomicU32,
    database: Option<Database>,
    dir: TempDir,
}

impl Lab {
    pub async fn open(kind: Kind) -> Self {
        Self::open_with(kind, |_| {}).await
    }

    pub async fn open_with(kind: Kind, set: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::Builder::new().prefix("databridge-life-").tempdir().unwrap();
        let database = (kind == Kind::Postgres).then(postgres::fresh_database);
        let mut config = Config::at(dir.path().join("data"));
        config.database = database.as_ref().map(|d| d.url().to_owned());
        // Empty: a broken rule in it is a scan that cannot be carried out.
        let rules = dir.path().join("rules");
        std::fs::create_dir(&rules).unwrap();
        config.scan.rules_dir = Some(rules);
        // Whatever antivirus this machine may have.
        config.scan.engine = Engine::Rules;
        set(&mut config);
        let opened = App::open(config).await.unwrap();
        let db = Db::open(&opened.app.config().target(), MIGRATIONS).await.unwrap();
        let store = Store::new(db);
        let worker = hasty(&store, Arc::new(opened.app.transfers().clone()), "lab");
        let mut lab = Self {
            app: opened.app,
            kind,
            store,
            one_time_password: opened.one_time_password.unwrap(),
            worker,
            people: BTreeMap::new(),
            secrets: BTreeMap::new(),
            count: AtomicU32::new(0),
            database,
            dir,
        };
        for (name, role) in PEOPLE {
            lab.hire(name, &[role]).await;
        }
        lab
    }

    /// Makes the store older than all that stands in its staging.
    pub fn mature(&self) {
        let then = match self.kind {
            Kind::Sqlite => "1480000000000000",
            Kind::Postgres => "to_timestamp(1480000000)",
        };
        self.sql(&format!("UPDATE orgs SET created_at = {then}"));
    }

    /// Lets go of the store.
    pub async fn close(&self) {
        self.app.close().await;
        self.store.db().close().await;
    }

    /// Opens the store again that was closed, with everybody in it.
    pub async fn open_again(&mut self) {
        self.app = App::open(self.app.config().clone()).await.unwrap().app;
        let db = Db::open(&self.app.config().target(), MIGRATIONS).await.unwrap();
        self.store = Store::new(db);
        let handler = Arc::new(self.app.transfers().clone());
        self.worker = hasty(&self.store, handler, "lab");
    }

    /// The same store with other settings, as after a restart.
    pub async fn reopen(&mut self, set: impl FnOnce(&mut Config)) {
        let mut config = self.app.config().clone();
        set(&mut config);
        self.app = App::open(config).await.unwrap().app;
        self.worker = hasty(&self.store, Arc::new(self.app.transfers().clone()), "lab");
    }

    /// Makes somebody known and signs them in by an API key.
    pub async fn hire(&mut self, name: &str, roles: &[&str]) -> String {
        let root = self.app.embedded(None).await.unwrap();
        let new = json!({ "username": name, "roles": roles });
        self.app.call(&root, call("user_create", new), None).await.unwrap();
        let key = json!({ "name": "lab", "username": name });
        let key = self.app.call(&root, call("key_create", key), None).await.unwrap();
        let secret = key["secret"].as_str().unwrap().to_owned();
        let ctx = self.app.authenticate(&secret).await.unwrap();
        self.people.insert(name.to_owned(), ctx);
        self.secrets.insert(name.to_owned(), secret.clone());
        secret
    }

    /// Makes another organisation; answers its id, and the API key of its admin.
    pub async fn organisation(&self, code: &str) -> (String, String) {
        let root = self.app.embedded(None).await.unwrap();
        let new = call("organisation_create", json!({ "code": code }));
        let made = self.app.call(&root, new, None).await.unwrap();
        (text(&made, "id"), text(&made, "api_key"))
    }

    /// Somebody with the roles they have by now.
    pub async fn again(&self, name: &str) -> Ctx {
        self.app.authenticate(&self.secrets[name]).await.unwrap()
    }

    /// The API key by which somebody signs in.
    pub fn secret(&self, name: &str) -> &str {
        &self.secrets[name]
    }

    pub fn who(&self, name: &str) -> &Ctx {
        &self.people[name]
    }

    pub async fn call(&self, who: &str, op: &str, fields: Value) -> Result<Value, Error> {
        self.app.call(self.who(who), call(op, fields), None).await
    }

    pub async fn ok(&self, who: &str, op: &str, fields: Value) -> Value {
        let shown = format!("{op} {fields}");
        self.call(who, op, fields).await.unwrap_or_else(|e| panic!("{who} {shown}: {e:?}"))
    }

    pub async fn refused(&self, who: &str, op: &str, fields: Value) -> Error {
        let shown = format!("{op} {fields}");
        match self.call(who, op, fields).await {
            Err(error) => error,
            Ok(answer) => panic!("{who} {shown} was let through: {answer}"),
        }
    }

    /// A number that this lab has not given before.
    fn next(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// A folder in the lab.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A new folder with these files in it; a name with `/` at its end is a folder.
    pub fn tree(&self, files: &[(&str, &[u8])]) -> PathBuf {
        let root = self.dir(&format!("source-{}", self.next()));
        for (name, bytes) in files {
            let path = root.join(name);
            if name.ends_with('/') {
                std::fs::create_dir_all(path).unwrap();
            } else {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        }
        root
    }

    /// A transfer of the artist's, in a category of its own.
    pub async fn create(&self) -> String {
        self.create_in("default").await
    }

    pub async fn create_in(&self, chain: &str) -> String {
        let category = format!("c{}", self.next());
        let new = json!({
            "title": "Shot 010", "project": "film", "category": category, "chain": chain,
        });
        text(&self.ok("artist", "transfer_create", new).await, "code")
    }

    pub async fn try_add(&self, who: &str, code: &str, source: &Path) -> Result<Value, Error> {
        self.app.add(self.who(who), code, source, ()).await
    }

    pub async fn add(&self, code: &str, files: &[(&str, &[u8])]) {
        self.try_add("artist", code, &self.tree(files)).await.unwrap();
    }

    /// One job of this kind, of nothing in particular.
    pub async fn enqueue(&self, kind: &'static str) {
        let mut unit = self.store.begin(&Ctx::system(self.app.org())).await.unwrap();
        let job = NewJob {
            kind,
            subject_id: uuid::Uuid::now_v7(),
            key: "the only one".into(),
            payload: json!({}),
            priority: 0,
            held: false,
        };
        unit.enqueue(job).await.unwrap();
        unit.commit(()).await.unwrap();
    }

    /// Does one job, if one is due.
    pub async fn step(&self) -> bool {
        self.worker.step(&Cancel::new()).await.unwrap()
    }

    /// Works until the transfer waits for a person; then whatever else is due.
    pub async fn settle(&self, code: &str) -> String {
        while !self.app.transfers().settled(self.who("chief"), code).await.unwrap().0 {
            assert!(self.step().await, "{code} is {} and nothing is due", self.state(code).await);
        }
        while self.step().await {}
        self.state(code).await
    }

    /// Works one job at a time until the transfer is in `state`.
    pub async fn work_to(&self, code: &str, state: &str) {
        while self.state(code).await != state {
            assert!(self.step().await, "{code} is {} and nothing is due", self.state(code).await);
        }
    }

    pub async fn show(&self, code: &str) -> Value {
        self.ok("chief", "transfer_show", json!({ "code": code })).await
    }

    pub async fn state(&self, code: &str) -> String {
        text(&self.show(code).await, "state")
    }

    /// What happened, sealed: its events in order.
    pub async fn history(&self, code: &str) -> Vec<Value> {
        self.seal().await;
        let pages = self.ok("chief", "transfer_history", json!({ "code": code })).await;
        pages.as_array().unwrap().clone()
    }

    pub async fn kinds(&self, code: &str) -> Vec<String> {
        self.history(code).await.iter().map(|event| text(event, "kind")).collect()
    }

    pub async fn seal(&self) {
        if self.kind == Kind::Postgres {
            while self.store.seal().await.unwrap() > 0 {}
        }
    }

    pub async fn act(&self, who: &str, op: &str, code: &str) -> Value {
        self.ok(who, op, with(code, op)).await
    }

    /// Submits and waits for the review.
    pub async fn submit(&self, code: &str) -> String {
        self.act("artist", "transfer_submit", code).await;
        self.settle(code).await
    }

    pub async fn approve_all(&self, code: &str) {
        for who in ["team_lead", "supervisor", "line_producer"] {
            self.act(who, "approve", code).await;
        }
    }

    /// A transfer of these files that everybody approved.
    pub async fn approved(&self, files: &[(&str, &[u8])]) -> String {
        let code = self.create().await;
        self.add(&code, files).await;
        assert_eq!(self.submit(&code).await, "team_lead_review");
        self.approve_all(&code).await;
        code
    }

    /// Scanned by rules alone, and let through.
    pub async fn scan_and_accept(&self, code: &str) {
        self.act("data_team", "scan", code).await;
        assert_eq!(self.settle(code).await, "undecided");
        self.decide("data_team", code, "accept").await.unwrap();
    }

    pub async fn scanned(&self, files: &[(&str, &[u8])]) -> String {
        let code = self.approved(files).await;
        self.scan_and_accept(&code).await;
        code
    }

    pub async fn deliver(&self, code: &str) {
        self.act("it_team", "start", code).await;
        let state = self.settle(code).await;
        assert_eq!(state, "delivered", "{}", self.show(code).await["failure"]);
    }

    pub async fn decide(&self, who: &str, code: &str, decision: &str) -> Result<Value, Error> {
        let fields = json!({ "code": code, "decision": decision, "reason": "because" });
        self.call(who, "decide", fields).await
    }

    /// Its files as `(path, carried_from)`.
    pub async fn files(&self, code: &str) -> BTreeMap<String, Option<i64>> {
        let files = self.ok("chief", "transfer_files", json!({ "code": code })).await;
        let files = files.as_array().unwrap();
        files.iter().map(|f| (text(f, "path"), f["carried_from"].as_i64())).collect()
    }

    pub fn frozen(&self, code: &str, revision: i64) -> PathBuf {
        self.app.config().places().frozen(code, revision)
    }

    /// Where it belongs in production.
    pub async fn destination(&self, code: &str) -> PathBuf {
        text(&self.show(code).await, "destination").into()
    }

    /// Everything in the folder of production that the payload belongs in.
    pub async fn around(&self, code: &str) -> Vec<String> {
        let destination = self.destination(code).await;
        names(destination.parent().unwrap())
    }

    /// A revision's files in quarantine.
    pub fn quarantine(&self, code: &str, revision: i64) -> PathBuf {
        self.app.config().places().quarantine(code, revision)
    }

    /// Makes every scan impossible, or possible again.
    pub fn break_rules(&self, broken: bool) {
        let rule = self.dir("rules").join("broken.yar");
        match broken {
            true => std::fs::write(rule, "rule {").unwrap(),
            false => std::fs::remove_file(rule).unwrap(),
        }
    }

    /// Runs SQL by the database's own shell, which shares nothing with our code
    /// and obeys neither our foreign keys nor, after [`Lab::disarm`], our triggers.
    pub fn sql(&self, sql: &str) -> String {
        match &self.database {
            Some(database) => database.psql(sql),
            None => run(self.sqlite3().arg(sql)),
        }
    }

    /// The same, where the database is to refuse; answers what it said.
    pub fn sql_refused(&self, sql: &str) -> String {
        let output = match &self.database {
            Some(database) => {
                let psql = find_program("psql", &[], "install PostgreSQL's client");
                let mut command = Command::new(psql);
                command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database.url(), "-c"]);
                command.arg(sql).output()
            }
            None => self.sqlite3().arg(sql).output(),
        }
        .unwrap();
        assert!(!output.status.success(), "not refused: {sql}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn sqlite3(&self) -> Command {
        let shell = find_program("sqlite3", &[], "on Debian `apt-get install sqlite3`");
        let mut command = Command::new(shell);
        command.args(["-bail", "-cmd", ".timeout 10000"]);
        command.arg(self.app.config().data.join("databridge.db"));
        command
    }

    /// What an administrator with bad intentions does first.
    pub fn disarm(&self) {
        match self.kind {
            Kind::Sqlite => {
                for trigger in self
                    .sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                    .split_whitespace()
                {
                    self.sql(&format!("DROP TRIGGER {trigger}"));
                }
            }
            Kind::Postgres => {
                self.sql(
                    "DROP TRIGGER ledger_event_append_only ON ledger_event;
                     DROP TRIGGER ledger_leaf_append_only ON ledger_leaf;
                     ALTER TABLE ledger_leaf DROP CONSTRAINT ledger_leaf_event_id_fkey;
                     ALTER TABLE ledger_leaf DROP CONSTRAINT ledger_leaf_event_id_key",
                );
            }
        }
    }
}

/// A worker that retries at once.
pub fn hasty(store: &Store, handler: Arc<dyn Handler>, owner: &str) -> Worker {
    let settings = Settings { backoff: Duration::ZERO, ..Settings::default() };
    Worker::new(store.clone(), vec![handler], settings, owner.to_owned())
}

pub fn call(op: &str, fields: Value) -> databridge_core::app::Call {
    let Value::Object(fields) = fields else { panic!("no object: {fields}") };
    routes::call(op, fields).unwrap()
}

/// The fields of a call that takes little.
fn with(code: &str, op: &str) -> Value {
    match op {
        "reject" | "override_approval" => json!({ "code": code, "reason": "because" }),
        _ => json!({ "code": code }),
    }
}

pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// The names in a folder, sorted; none where there is no folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Changes one byte and puts the length and the time of the last change back.
pub fn flip(path: &Path) {
    let meta = std::fs::metadata(path).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    std::fs::set_permissions(path, meta.permissions()).unwrap();
}
