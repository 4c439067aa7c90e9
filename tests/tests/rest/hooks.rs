//! What follows a delivery: commands and signed webhooks, beside it and never in its way.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use databridge_tests::process::{Daemon, PATIENCE};
use databridge_tests::slapd::certificates;
use databridge_tests::studio::Settings;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::contract::tool;
use crate::desk::{Desk, Kind};

on_both!(a_command_reads_what_was_delivered_and_is_run_again);

/// 32 bytes that stand nowhere else.
const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0ISE=";

/// A daemon with these hooks; `{dir}` in them is a folder of the test.
fn desk(kind: Kind, hooks: &str) -> (Desk, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display().to_string();
    std::fs::write(dir.path().join("secret"), format!("{SECRET}\n")).unwrap();
    let config = dir.path().join("databridge.toml");
    std::fs::write(&config, hooks.replace("{dir}", &at)).unwrap();
    let settings: Settings = vec![("CONFIG", config.into()), ("LOG", "debug".into())];
    (Desk::open_with(kind, &settings), dir)
}

impl Desk {
    /// From nothing to production.
    fn delivered(&self) -> String {
        let code = self.submitted();
        for who in ["lead", "supervisor", "producer"] {
            self.ok(who, "POST", &format!("/approvals/{code}/approve"), json!({}));
        }
        self.ok("data", "POST", &format!("/scanning/{code}/start"), json!({}));
        self.wait(&code, "undecided");
        let accept = json!({ "decision": "accept", "reason": "no antivirus on this host" });
        self.ok("data", "POST", &format!("/scanning/{code}/decide"), accept);
        self.ok("it", "POST", &format!("/transfer-ops/{code}/start"), json!({}));
        self.wait(&code, "delivered");
        code
    }

    /// The events of a kind in a transfer's history.
    fn told(&self, code: &str, kind: &str) -> Vec<Value> {
        let path = format!("/transfers/{code}/history");
        let events = self.ok("admin", "GET", &path, Value::Null);
        events.as_array().unwrap().iter().filter(|e| e["kind"] == kind).cloned().collect()
    }

    /// All that the daemon ever says of a transfer and of anything, in one text.
    fn everything(&mut self, code: &str) -> String {
        let mut all = self.running.daemon.output();
        for path in [
            "/activity?limit=1000".to_owned(),
            "/transfer-ops/jobs".into(),
            format!("/transfers/{code}"),
            format!("/transfers/{code}/explain"),
        ] {
            all.push_str(&self.ok("admin", "GET", &path, Value::Null).to_string());
        }
        all
    }
}

/// A program that is run as a hook.
fn script(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn a_command_reads_what_was_delivered_and_is_run_again(kind: Kind) {
    let hooks = r#"
        [[hooks]]
        name = "index"
        command = ["{dir}/index", "{dir}"]
        backoff_seconds = 1
        [[hooks]]
        name = "elsewhere"
        projects = ["other"]
        command = ["{dir}/no-such-program"]
    "#;
    let (desk, dir) = desk(kind, hooks);
    // It cannot the first time, and says why.
    script(
        dir.path(),
        "index",
        "cat >> \"$1/told\"; echo >> \"$1/told\"; echo $DATABRIDGE_HOOK_ID >> \"$1/ids\"\n\
         if [ ! -e \"$1/once\" ]; then touch \"$1/once\"; echo the index is locked >&2; exit 75; fi\n\
         echo indexed",
    );
    let code = desk.delivered();
    desk.wait_for(&code, "transfer.hook_done");
    let done = desk.told(&code, "transfer.hook_done");
    assert_eq!(done.len(), 1);
    assert_eq!(done[0]["data"]["hook"], "index");
    assert_eq!(done[0]["data"]["attempts"], 2);
    assert_eq!(done[0]["data"]["output"], "indexed");
    assert_eq!(done[0]["data"]["state"], "delivered");
    assert_eq!(done[0]["by"]["authority"], "system");
    let told = std::fs::read_to_string(dir.path().join("told")).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], told[1]);
    let shown = desk.ok("admin", "GET", &format!("/transfers/{code}"), Value::Null);
    assert_eq!(told[0]["type"], "transfer.delivered");
    assert_eq!(told[0]["hook"], "index");
    let data = &told[0]["data"];
    for field in ["code", "title", "project", "category", "owner", "destination", "manifest_digest"]
    {
        assert_eq!(data[field], shown[field], "{field}");
    }
    assert_eq!((&data["file_count"], &data["total_bytes"]), (&json!(1), &json!(5)));
    // Both times under one id.
    let ids = std::fs::read_to_string(dir.path().join("ids")).unwrap();
    let id = told[0]["id"].as_str().unwrap();
    assert_eq!(ids, format!("{id}\n{id}\n"));
    let hooks = shown["hooks"].as_array().unwrap();
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    assert_eq!((&hooks[0]["hook"], &hooks[0]["state"]), (&json!("index"), &json!("done")));
    let explained = desk.ok("admin", "GET", &format!("/transfers/{code}/explain"), Value::Null);
    assert!(
        explained["text"].as_str().unwrap().contains("Hook index succeeded at "),
        "{explained}"
    );
}

#[test]
fn a_hook_that_waits_holds_up_no_other() {
    let hooks = r#"
        [[hooks]]
        name = "first"
        timeout_seconds = 3600
        command = ["/bin/sh", "-c", "while [ ! -e {dir}/second ]; do sleep 0.05; done"]

        [[hooks]]
        name = "second"
        command = ["/bin/sh", "-c", "touch {dir}/second"]
    "#;
    let (desk, dir) = desk(Kind::Sqlite, hooks);
    let code = desk.delivered();
    desk.wait_for(&code, "transfer.hook_done");
    assert!(dir.path().join("second").exists());
}

#[test]
fn a_hook_that_is_given_up_changes_nothing_and_is_run_again_by_hand() {
    let hooks = r#"
        [[hooks]]
        name = "index"
        command = ["{dir}/index", "{dir}"]
        attempts = 1
    "#;
    let (desk, dir) = desk(Kind::Sqlite, hooks);
    script(dir.path(), "index", "[ -e \"$1/mended\" ] || { echo broken; exit 3; }");
    let code = desk.delivered();
    desk.wait_for(&code, "transfer.hook_given_up");
    let shown = desk.ok("artist", "GET", &format!("/transfers/{code}"), Value::Null);
    assert_eq!(shown["state"], "delivered");
    assert_eq!(shown["failure"], Value::Null);
    assert_eq!(shown["hooks"][0]["state"], "dead");
    let why = shown["hooks"][0]["last_error"].as_str().unwrap();
    assert!(why.ends_with("ended with exit code 3: broken"), "{why}");
    let explained = desk.ok("it", "GET", &format!("/transfers/{code}/explain"), Value::Null);
    assert!(explained["text"].as_str().unwrap().contains("was given up after 1 attempts"));
    assert_eq!(explained["next"][0]["action"], "retry_hook");
    // Those who can see to it are told.
    desk.wait_until_told("it", "transfer.hook_given_up");
    let path = format!("/transfer-ops/{code}/hooks/index/retry");
    let refused = desk.ask("artist", "POST", &path, json!({}));
    refused.refused(403, "identity.forbidden");
    assert_eq!(refused.header("x-required-roles"), Some("it_team, admin"));
    let other = format!("/transfer-ops/{code}/hooks/other/retry");
    desk.ask("it", "POST", &other, json!({})).refused(404, "hook.not_given_up");
    std::fs::write(dir.path().join("mended"), "").unwrap();
    desk.ok("it", "POST", &path, json!({}));
    desk.wait_for(&code, "transfer.hook_done");
    desk.ask("it", "POST", &path, json!({})).refused(404, "hook.not_given_up");
}

impl Desk {
    /// Waits until somebody's inbox has a kind.
    fn wait_until_told(&self, who: &str, kind: &str) {
        let has = |inbox: &Value| {
            inbox["items"].as_array().unwrap().iter().any(|item| item["kind"] == kind)
        };
        for _ in 0..600 {
            if has(&self.ok(who, "GET", "/notifications", Value::Null)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{who} is not told of {kind}");
    }
}

/// Somebody else's receiver, which verifies by somebody else's package.
struct Receiver {
    daemon: Daemon,
    port: String,
}

impl Receiver {
    fn start(statuses: &str, tls: Option<&Path>) -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/receiver.py");
        let mut command = Command::new(tool("venv/bin/python"));
        command.arg(fixture).args([SECRET, statuses]);
        if let Some(folder) = tls {
            command.arg(folder.join("server.pem")).arg(folder.join("server.key"));
        }
        let mut daemon = Daemon::spawn(command);
        let line = daemon.wait_for_line(PATIENCE, |line| line.starts_with("listening on "));
        let port = line.strip_prefix("listening on ").unwrap().to_owned();
        Self { daemon, port }
    }

    fn next(&mut self) -> Value {
        let line = self.daemon.wait_for_line(PATIENCE, |line| line.starts_with('{'));
        serde_json::from_str(&line).unwrap()
    }

    /// How many requests there were.
    fn count(&mut self) -> usize {
        self.daemon.output().lines().filter(|line| line.starts_with('{')).count()
    }
}

#[test]
fn a_webhook_is_signed_and_sent_again_under_one_id() {
    let mut receiver = Receiver::start("500,204", None);
    let hooks = format!(
        "[[hooks]]\nname = \"pipeline\"\nurl = \"http://127.0.0.1:{}/hooks/T0PATH\"\n\
         secret_file = \"{{dir}}/secret\"\nbackoff_seconds = 1\n",
        receiver.port
    );
    let (mut desk, _dir) = desk(Kind::Sqlite, &hooks);
    let code = desk.delivered();
    let (first, second) = (receiver.next(), receiver.next());
    for told in [&first, &second] {
        assert_eq!(told["error"], Value::Null, "{told}");
        assert_eq!(told["path"], "/hooks/T0PATH");
        assert_eq!(told["message"]["type"], "transfer.delivered");
        assert_eq!(told["message"]["data"]["code"], code.as_str());
        assert_eq!(told["message"]["id"], told["id"]);
        assert_eq!(told["headers"]["content-type"], "application/json");
    }
    assert_eq!(first["id"], second["id"]);
    assert_eq!(first["message"], second["message"]);
    desk.wait_for(&code, "transfer.hook_done");
    let all = desk.everything(&code);
    let word = SECRET.strip_prefix("whsec_").unwrap();
    assert!(!all.contains(word), "the secret is told");
    assert!(!all.contains("T0PATH"), "the path is told, which may be a password");
    assert!(all.contains("answered 500: answer 500"), "why it did not succeed is not told");
}

#[test]
fn a_redirect_is_not_followed_and_410_ends_it() {
    for (status, code) in [("307", "hook.redirected"), ("410", "hook.gone")] {
        let mut receiver = Receiver::start(status, None);
        let hooks = format!(
            "[[hooks]]\nname = \"moved\"\nurl = \"http://127.0.0.1:{}/a\"\n\
             secret_file = \"{{dir}}/secret\"\nbackoff_seconds = 1\n",
            receiver.port
        );
        let (desk, _dir) = desk(Kind::Sqlite, &hooks);
        let transfer = desk.delivered();
        desk.wait_for(&transfer, "transfer.hook_given_up");
        let given_up = desk.told(&transfer, "transfer.hook_given_up");
        assert_eq!(given_up[0]["data"]["code"], code);
        assert_eq!(given_up[0]["data"]["attempts"], 1);
        assert_eq!(receiver.next()["path"], "/a");
        assert_eq!(receiver.count(), 1, "it was sent on, or again");
    }
}

#[test]
fn a_webhook_goes_by_tls_to_whom_it_trusts() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let mut receiver = Receiver::start("200", Some(folder.path()));
    let port = &receiver.port;
    let hooks = format!(
        "[[hooks]]\nname = \"trusted\"\nurl = \"https://127.0.0.1:{port}/yes\"\n\
         secret_file = \"{{dir}}/secret\"\nca_file = \"{0}/ca.pem\"\n\
         [[hooks]]\nname = \"stranger\"\nurl = \"https://127.0.0.1:{port}/no\"\n\
         secret_file = \"{{dir}}/secret\"\nattempts = 1\n\
         [[hooks]]\nname = \"unsigned\"\nurl = \"https://127.0.0.1:{port}/no\"\n\
         secret_file = \"{{dir}}/no-such-file\"\nca_file = \"{0}/ca.pem\"\nattempts = 1\n",
        folder.path().display()
    );
    let (desk, _dir) = desk(Kind::Sqlite, &hooks);
    let code = desk.delivered();
    desk.wait_for(&code, "transfer.hook_done");
    let told = receiver.next();
    assert_eq!((&told["error"], &told["path"]), (&Value::Null, &json!("/yes")));
    // The others wait for nobody: each is tried once and given up, in any order.
    while desk.told(&code, "transfer.hook_given_up").len() < 2 {
        let last = desk.ok("admin", "GET", &format!("/transfers/{code}/history"), Value::Null);
        let at = last.as_array().unwrap().last().unwrap()["position"].clone();
        let path = format!("/transfers/{code}/history?after={at}&wait=1");
        desk.ok("admin", "GET", &path, Value::Null);
    }
    let mut given_up: Vec<(String, String)> = desk
        .told(&code, "transfer.hook_given_up")
        .iter()
        .map(|event| {
            let part = |name: &str| event["data"][name].as_str().unwrap().to_owned();
            (part("hook"), part("code"))
        })
        .collect();
    given_up.sort();
    let pair = |hook: &str, code: &str| (hook.to_owned(), code.to_owned());
    assert_eq!(given_up, [pair("stranger", "hook.unanswered"), pair("unsigned", "hook.material")]);
    assert_eq!(receiver.count(), 1, "something was sent to whom nobody trusts");
}
