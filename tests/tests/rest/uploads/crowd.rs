//! Senders that send nothing hold threads of the daemon's: how many it lets in.

use std::io::Write;
use std::net::TcpStream;

use databridge_core::remote::Remote;
use databridge_tests::process::PATIENCE;
use databridge_tests::studio::Settings;
use serde_json::Value;

use super::{Tus, noise};
use crate::desk::{Answer, Desk, Kind, read};

/// What one user may send at a time.
const EACH: usize = 64;

/// A file of five bytes that are not sent yet; its thread waits when this answers.
fn opened(tus: &Tus<'_>, name: &str) -> TcpStream {
    let path = format!("/api/v1/transfers/{}/files/{name}", tus.code);
    let headers = [("authorization", format!("Bearer {}", tus.desk.people.token(tus.who)))];
    tus.opened("PUT", &path, &headers, 5)
}

fn put(tus: &Tus<'_>, who: &str, name: &str) -> Answer {
    let path = format!("/api/v1/transfers/{}/files/{name}", tus.code);
    let signed = ("authorization", format!("Bearer {}", tus.desk.people.token(who)));
    tus.desk.raw("PUT", &path, &[signed], b"bytes")
}

#[test]
fn who_sends_nothing_keeps_no_more_than_a_share_of_the_threads() {
    let settings: Settings = vec![("HTTP__BODY_SECONDS", "600".into())];
    let desk = Desk::open_with(Kind::Sqlite, &settings);
    let tus = Tus::new(&desk);
    let at = tus.begin("large.exr", 5);
    let mut silent: Vec<_> = (0..EACH).map(|n| opened(&tus, &format!("{n}.exr"))).collect();
    for refused in [put(&tus, "artist", "more.exr"), tus.piece(&at, 0, b"bytes", &[])] {
        refused.refused(503, "http.crowded");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
    // Nobody else is kept out.
    assert_eq!(put(&tus, "admin", "others.exr").status, 200);
    let mut first = silent.pop().unwrap();
    first.write_all(b"bytes").unwrap();
    assert_eq!(read(first).status, 200);
    assert_eq!(tus.send(&at, 0, b"bytes"), 5);
    assert_eq!(put(&tus, "artist", "more.exr").status, 200);
    drop(silent);
}

#[test]
fn our_client_waits_for_its_place() {
    let settings: Settings = vec![("HTTP__BODY_SECONDS", "600".into())];
    let mut desk = Desk::open_with(Kind::Sqlite, &settings);
    let folder = tempfile::tempdir().unwrap();
    // In one piece, and in several.
    for name in ["short.exr", "long.mov"] {
        let length = if name == "short.exr" { 1 << 20 } else { 24 << 20 };
        std::fs::write(folder.path().join(name), noise(length, 5)).unwrap();
    }
    let (code, silent) = {
        let tus = Tus::new(&desk);
        let silent: Vec<_> = (0..EACH).map(|n| opened(&tus, &format!("{n}.exr"))).collect();
        (tus.code.clone(), silent)
    };
    let address = format!("http://{}", desk.address());
    let remote = Remote::new(&address, Some(desk.people.token("artist").to_owned()));
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| remote.add(&code, folder.path(), &()).map(drop));
        desk.running.daemon.wait_for_line(PATIENCE, |line| line.contains("status=503"));
        drop(silent);
        adding.join().unwrap().unwrap();
    });
    let files = desk.ok("artist", "GET", &format!("/transfers/{code}/files"), Value::Null);
    assert_eq!(files.as_array().unwrap().len(), 2, "{files}");
}
