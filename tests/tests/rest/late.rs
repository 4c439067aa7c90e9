//! An answer that does not come in time: the database is held by somebody else.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::desk::{Desk, Kind};

on_both!(what_takes_too_long_is_a_503_and_passes);

/// The database's own shell, in a transaction that keeps all others from writing
/// transfers. It ends with this value.
struct Hold(Child);

impl Hold {
    fn on(desk: &Desk) -> Self {
        let (mut command, lock) = match &desk.database {
            None => {
                let mut command = Command::new("sqlite3");
                command.args(["-bail", "-cmd", ".timeout 60000"]);
                command.arg(desk.place.data.join("databridge.db"));
                (command, "BEGIN IMMEDIATE; SELECT 'held';\n")
            }
            Some(database) => {
                let mut command = Command::new("psql");
                command.args(["-X", "-A", "-t", "-q", "-d", database.url()]);
                (command, "BEGIN; LOCK TABLE transfers; SELECT 'held';\n")
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(lock.as_bytes()).unwrap();
        let mut out = BufReader::new(child.stdout.as_mut().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "held");
        Self(child)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn what_takes_too_long_is_a_503_and_passes(kind: Kind) {
    let desk = Desk::open_with(kind, &vec![("HTTP__ANSWER_SECONDS", "1".into())]);
    let body = || json!({ "title": "a", "project": "film", "category": "plates" });
    let key = [("idempotency-key", "once")];
    let create = || desk.ask_with("artist", "POST", "/transfers", &key, body());
    let hold = Hold::on(&desk);
    let answer = create();
    answer.refused(503, "http.too_late");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    // Others do not wait for it.
    assert_eq!(desk.ok("", "GET", "/api/health", Value::Null)["status"], "ok");
    drop(hold);
    // On a busy machine one or another may be late once more; under its key it is made
    // once, however often it was asked for.
    let made =
        (0..60).map(|_| create()).find(|answer| answer.status == 200).expect("it stays late");
    let code = made.json()["code"].clone();
    let listed = (0..60)
        .map(|_| desk.ask("artist", "GET", "/transfers", Value::Null))
        .find(|answer| answer.status == 200)
        .expect("it stays late");
    let codes: Vec<Value> =
        listed.json().as_array().unwrap().iter().map(|t| t["code"].clone()).collect();
    assert_eq!(codes, [code]);
}
