//! Events as they happen: in order, each once, whatever happens to the daemon.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use databridge_tests::studio::{Running, Settings};
use serde_json::{Value, json};

use crate::desk::{Desk, Kind};

on_both!(
    events_arrive_as_they_happen_and_progress_beside_them,
    a_reader_who_comes_back_after_a_kill_missed_nothing,
    nobody_hears_what_they_may_not_see,
    a_hundred_listen_at_once,
);

/// An open stream.
pub struct Stream(BufReader<TcpStream>);

/// One thing that was told.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    pub id: Option<i64>,
    pub event: String,
    pub data: Value,
}

impl Stream {
    pub fn open(desk: &Desk, who: &str, path: &str, last: Option<i64>) -> Self {
        let mut stream = desk.connect();
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let token = desk.people.token(who);
        write!(
            stream,
            "GET /api/v1{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\n{last}\r\n"
        )
        .unwrap();
        let mut stream = Self(BufReader::new(stream));
        let head: Vec<String> =
            std::iter::from_fn(|| stream.line().filter(|l| !l.is_empty())).collect();
        assert!(head[0].contains(" 200 "), "{head:?}");
        assert!(head.contains(&"content-type: text/event-stream".to_owned()), "{head:?}");
        stream
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// The next thing that is told; `None` at the stream's end.
    pub fn next(&mut self) -> Option<Told> {
        let mut told = Told::default();
        loop {
            let line = self.line()?;
            if let Some(id) = line.strip_prefix("id: ") {
                told.id = Some(id.parse().unwrap());
            } else if let Some(event) = line.strip_prefix("event: ") {
                told.event = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                told.data = serde_json::from_str(data).unwrap_or_else(|_| json!(data));
            } else if line.is_empty() && told != Told::default() {
                return Some(told);
            }
        }
    }

    /// Events up to and with one of a kind: their positions and kinds.
    fn until(&mut self, kind: &str) -> Vec<(i64, String)> {
        let mut all = Vec::new();
        loop {
            let told = self.next().unwrap_or_else(|| panic!("it ended before {kind}: {all:?}"));
            let Some(id) = told.id else { continue };
            let found = told.data["kind"].as_str().unwrap().to_owned();
            assert_eq!(told.data["position"], id);
            all.push((id, found.clone()));
            if found == kind {
                return all;
            }
        }
    }
}

/// What the ledger says of a transfer.
fn history(desk: &Desk, code: &str) -> Vec<(i64, String)> {
    let events = desk.ok("admin", "GET", &format!("/transfers/{code}/history"), Value::Null);
    let read =
        |e: &Value| (e["position"].as_i64().unwrap(), e["kind"].as_str().unwrap().to_owned());
    events.as_array().unwrap().iter().map(read).collect()
}

fn events_arrive_as_they_happen_and_progress_beside_them(kind: Kind) {
    let desk = Desk::open(kind);
    let code = desk.transfer();
    let path = format!("/transfers/{code}/events");
    let mut stream = Stream::open(&desk, "artist", &path, Some(0));
    desk.ok("artist", "POST", &format!("/transfers/{code}/submit"), json!({}));
    stream.until("transfer.frozen");
    for (who, path) in [("lead", "approve"), ("supervisor", "approve"), ("producer", "approve")] {
        desk.ok(who, "POST", &format!("/approvals/{code}/{path}"), json!({}));
        stream.until("transfer.approved");
    }
    // From the beginning: everything that the ledger has, in its order.
    let mut again = Stream::open(&desk, "lead", &path, Some(0));
    let mut heard = Vec::new();
    while heard.len() < history(&desk, &code).len() {
        heard.push(again.until_any());
    }
    assert_eq!(heard, history(&desk, &code));
    desk.ask_with("artist", "GET", &path, &[("last-event-id", "x")], Value::Null)
        .refused(400, "http.bad_request");
}

impl Stream {
    /// The next event: its position and kind.
    pub fn until_any(&mut self) -> (i64, String) {
        loop {
            let told = self.next().expect("it ended");
            if let Some(id) = told.id {
                return (id, told.data["kind"].as_str().unwrap().to_owned());
            }
        }
    }
}

fn a_reader_who_comes_back_after_a_kill_missed_nothing(kind: Kind) {
    let mut desk = Desk::open(kind);
    let code = desk.transfer();
    let mut stream = Stream::open(&desk, "artist", "/events", Some(0));
    let mut heard = stream.until("transfer.files_added");
    let last = heard.last().unwrap().0;
    // What happens while nobody listens, and the daemon dies over it.
    desk.ok("artist", "POST", &format!("/transfers/{code}/submit"), json!({}));
    desk.running.daemon.kill_9();
    while stream.next().is_some() {}
    desk.running = Running::start(&desk.place, &Settings::new()).expect("it does not start");
    desk.wait(&code, "team_lead_review");
    let mut stream = Stream::open(&desk, "artist", "/events", Some(last));
    heard.extend(stream.until("transfer.frozen"));
    let mine: Vec<_> =
        heard.iter().filter(|(_, kind)| kind.starts_with("transfer.")).cloned().collect();
    assert_eq!(mine, history(&desk, &code));
    assert!(heard.windows(2).all(|pair| pair[0].0 < pair[1].0), "{heard:?}");
}

fn nobody_hears_what_they_may_not_see(kind: Kind) {
    let mut desk = Desk::open(kind);
    desk.hire("other");
    let code = desk.transfer();
    let path = format!("/transfers/{code}/events");
    desk.ask("other", "GET", &path, Value::Null).refused(404, "transfer.not_found");
    desk.ask("", "GET", &path, Value::Null).refused(401, "identity.no_token");
    desk.ask("other", "GET", "/transfers/TRF-99999/events", Value::Null)
        .refused(404, "transfer.not_found");
    // Of all that has happened they hear of themselves only, and what is their own.
    let mut stream = Stream::open(&desk, "other", "/events", Some(0));
    let body = json!({ "title": "mine", "project": "film", "category": "plates" });
    let mine = desk.ok("other", "POST", "/transfers", body)["code"].clone();
    loop {
        let told = stream.next().expect("it ended");
        if told.id.is_none() {
            continue;
        }
        let subject = &told.data["subject"];
        assert!([json!("other"), mine.clone()].contains(&subject["code"]), "{told:?}");
        if subject["code"] == mine {
            break;
        }
    }
    // Whoever is let go hears no more.
    let body = json!({ "active": false });
    desk.ok("admin", "POST", "/users/other/active", body);
    let mut heard = Vec::new();
    while let Some(told) = stream.next() {
        heard.push(told);
    }
    assert_eq!(heard.last().unwrap().event, "end", "{heard:?}");
}

fn a_hundred_listen_at_once(kind: Kind) {
    let many = 100;
    let desk = Desk::open(kind);
    let code = desk.transfer();
    let path = format!("/transfers/{code}/events");
    let mut streams: Vec<Stream> = (0..many)
        .map(|i| {
            let (who, path) = if i % 2 == 0 { ("artist", "/events") } else { ("lead", &*path) };
            Stream::open(&desk, who, path, None)
        })
        .collect();
    let open = desk.ask("it", "GET", "/metrics", Value::Null).text;
    assert!(open.contains(&format!("databridge_streams {many}\n")));
    desk.ok("artist", "POST", &format!("/transfers/{code}/submit"), json!({}));
    let first = streams[0].until("transfer.frozen");
    for stream in &mut streams[1..] {
        let heard = stream.until("transfer.frozen");
        assert_eq!(heard.last(), first.last());
    }
}

/// A connection on which nothing happens shows that it lives, to both sides.
#[test]
fn who_hears_nothing_hears_a_beat() {
    let desk = Desk::open(Kind::Sqlite);
    let mut stream = Stream::open(&desk, "artist", "/events", None);
    let beat = std::iter::from_fn(|| stream.line()).find(|line| line == ": beat");
    assert!(beat.is_some(), "the stream ended without one");
}
