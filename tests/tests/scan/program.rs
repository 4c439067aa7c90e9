//! `databridge scan`: its exit codes and its JSON.

use std::process::{Command, Output};

use databridge_tests::clamd::{Server, eicar};
use databridge_tests::process::built;
use serde_json::Value;

use crate::bench::{Tree, signatures, vdb};

fn scan(tree: &Tree, arguments: &[&str]) -> (i32, Value) {
    let Output { status, stdout, stderr } = Command::new(built("databridge"))
        .args(["--json", "scan", "--any-signature-age"])
        .args(arguments)
        .arg(tree.path())
        .output()
        .unwrap();
    let text = String::from_utf8(stdout).unwrap();
    let json = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text} {}", String::from_utf8_lossy(&stderr)));
    (status.code().unwrap(), json)
}

#[test]
fn exit_codes() {
    let mut server = Server::start();
    let socket = server.socket().display().to_string();
    let database = signatures().display().to_string();
    let clean = Tree::new(&[("a.vdb", &vdb(100)), ("b.txt", b"note\n")]);
    let bad = Tree::new(&[("a.vdb", &vdb(100)), ("b.com", &eicar())]);
    let secret = Tree::new(&[]);
    secret.archives();
    for name in
        ["bomb.zip", "eicar.tar.gz", "eicar.tar.xz", "eicar.zip", "eicar_bomb.zip", "nested.zip"]
    {
        std::fs::remove_file(secret.path().join(name)).unwrap();
    }
    let clamd = ["--engine", "clamd", "--clamd", &socket];
    let clamscan = ["--engine", "clamscan", "--clamscan-database", &database];
    for (tree, arguments, code, kind) in [
        (&clean, &clamd, 0, "clean"),
        (&bad, &clamd, 1, "infected"),
        (&secret, &clamd, 6, "not_scanned"),
        (&clean, &clamscan, 0, "clean"),
        (&bad, &clamscan, 1, "infected"),
        (&secret, &clamscan, 6, "not_scanned"),
    ] {
        let (found, json) = scan(tree, arguments);
        assert_eq!((found, &json["report"]["verdict"]["kind"]), (code, &kind.into()), "{json}");
    }
    let rules = ["--engine", "rules"];
    assert_eq!(scan(&clean, &rules).0, 0);
    assert_eq!(scan(&bad, &rules).0, 1);
    server.daemon().kill_9();
    let none = ["--clamd", &socket, "--clamscan-database", "/nonexistent"];
    assert_eq!(scan(&clean, &none).0, 6, "auto, and nobody there");
    let gone = Command::new(built("databridge"))
        .args(["scan", "--engine", "clamd", "--clamd", &socket])
        .arg(clean.path())
        .status()
        .unwrap();
    assert_eq!(gone.code(), Some(5));
}
