//! Other people's clients upload a file while their connections are cut and the daemon is
//! killed under them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use databridge_core::remote::Remote;
use databridge_tests::process::run;
use databridge_tests::relay::Relay;
use databridge_tests::studio::{Running, Settings};
use sha2::Digest;

use super::{Tus, noise};
use crate::desk::{Desk, Kind};

const MIB: u64 = 1 << 20;

fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// `tuspy`, or `tus-js-client`.
fn client(name: &str) -> Command {
    let (tools, scripts) = (repo().join("target/rest-tools"), repo().join("tests/tus"));
    let (program, script) = match name {
        "tuspy" => (tools.join("venv/bin/python"), scripts.join("upload.py")),
        _ => (PathBuf::from("node"), scripts.join("upload.mjs")),
    };
    assert!(tools.join("tus.done").exists(), "{name} is missing: run tests/rest-tools.sh");
    let mut command = Command::new(program);
    command.arg(script).env("NODE_PATH", tools.join("node_modules"));
    command
}

/// Uploads so many MiB in pieces of so many, broken off at each of these places, where
/// every second time the daemon is killed, too.
fn survives(kind: Kind, name: &str, (length, piece): (u64, u64), stops: &[u64]) {
    let mut desk = Desk::open(kind);
    let tus = Tus::new(&desk);
    let (code, uploads) = (tus.code.clone(), tus.uploads());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shot.mov");
    let bytes = noise(usize::try_from(length * MIB).unwrap(), length);
    std::fs::write(&file, &bytes).unwrap();
    let relay = Relay::new(desk.address(), stops.iter().map(|stop| stop * MIB));
    let sending = client(name)
        .arg(format!("{}{uploads}", relay.url()))
        .arg(desk.people.token("artist"))
        .arg(&file)
        .args(["renders/shot.mov", &(piece * MIB).to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for n in 0..stops.len() {
        let stop = relay.stop();
        if n % 2 == 0 {
            desk.running.daemon.kill_9();
            desk.running = Running::start(&desk.place, &Settings::new()).unwrap();
            relay.lead_to(desk.address());
        }
        stop.cut();
    }
    let sent = sending.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&sent.stdout).into_owned();
    assert!(sent.status.success(), "{told}{}", String::from_utf8_lossy(&sent.stderr));
    let at = told.lines().last().unwrap().rsplit_once("/api/").unwrap().1;
    let tus = Tus { desk: &desk, code, who: "artist" };
    let files = tus.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0]["sha256"], hex::encode(sha2::Sha256::digest(&bytes)));
    tus.has(&format!("/api/{at}"), "renders/shot.mov", &bytes);
}

#[test]
fn tuspy_comes_to_its_end() {
    survives(Kind::Sqlite, "tuspy", (24, 4), &[6, 15]);
}

#[test]
fn tus_js_client_comes_to_its_end() {
    survives(Kind::Postgres, "tus-js-client", (24, 8), &[6, 15]);
}

/// Of something whose length it does not know before its end.
#[test]
fn tus_js_client_defers_the_length() {
    let desk = Desk::open(Kind::Sqlite);
    let tus = Tus::new(&desk);
    let folder = tempfile::tempdir().unwrap();
    let (file, bytes) = (folder.path().join("shot.mov"), noise(5 << 20, 8));
    std::fs::write(&file, &bytes).unwrap();
    let told = run(client("tus-js-client")
        .arg(format!("{}{}", desk.running.url, tus.uploads()))
        .arg(desk.people.token("artist"))
        .arg(&file)
        .args(["shot.mov", &(2 * MIB).to_string(), "deferred"]));
    let at = told.lines().last().unwrap().rsplit_once("/api/").unwrap().1;
    tus.has(&format!("/api/{at}"), "shot.mov", &bytes);
}

/// Ours, which the command line, Python and C share.
#[test]
fn our_own_client_comes_to_its_end() {
    let mut desk = Desk::open(Kind::Sqlite);
    let tus = Tus::new(&desk);
    let code = tus.code.clone();
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(24 << 20, 9);
    std::fs::write(folder.path().join("shot.mov"), &bytes).unwrap();
    std::fs::write(folder.path().join("notes.txt"), b"small").unwrap();
    let relay = Relay::new(desk.address(), [6 * MIB, 15 * MIB]);
    let remote = Remote::new(&relay.url(), Some(desk.people.token("artist").to_owned()));
    let (source, to) = (folder.path().to_owned(), code.clone());
    let sending = std::thread::spawn(move || remote.add(&to, &source, &()));
    let stop = relay.stop();
    desk.running.daemon.kill_9();
    desk.running = Running::start(&desk.place, &Settings::new()).unwrap();
    relay.lead_to(desk.address());
    stop.cut();
    relay.stop().cut();
    let transfer = sending.join().unwrap().unwrap();
    assert_eq!((&transfer["code"], &transfer["file_count"]), (&code.clone().into(), &2.into()));
    let tus = Tus { desk: &desk, code, who: "artist" };
    let file = tus.files().into_iter().find(|file| file["path"] == "shot.mov").unwrap();
    assert_eq!(file["sha256"], hex::encode(sha2::Sha256::digest(&bytes)));
}

#[test]
#[ignore = "long: `make test-long`"]
fn a_gigabyte_comes_to_its_end() {
    let stops = [50, 300, 310, 555, 900, 1000];
    for name in ["tuspy", "tus-js-client"] {
        survives(Kind::Sqlite, name, (1024, 64), &stops);
        survives(Kind::Postgres, name, (1024, 64), &stops);
    }
}
