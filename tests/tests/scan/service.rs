//! The same verdicts over REST, by a daemon's job and on a terminal, from one policy.

use std::path::{Path, PathBuf};

use databridge_tests::clamd::{Server, eicar};
use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::studio::{Place, Settings};
use databridge_tests::tree::digest_tree;
use serde_json::{Value, json};

use crate::bench::{Tree, program, vdb};

/// A daemon with this configuration.
struct Configured(PathBuf);

impl Accident for Configured {
    fn settings(&mut self) -> Settings {
        vec![("CONFIG", self.0.clone().into())]
    }
}

fn policy(server: &Server) -> String {
    format!(
        r#"
[scan]
engine = "clamd"
clamd = {{ address = "{}", retry_seconds = 1 }}
[scan.policy]
signature_max_age_seconds = "any"
[scan.content]
allow = ["archive"]
[[scan.content.rule]]
project = "film"
category = "plates"
allow = ["archive", "text", "vdb"]
"#,
        server.socket().display()
    )
}

/// What the program says of the same files under the same policy, and its exit code.
fn on_a_terminal(config: &Path, tree: &Path) -> (i32, Value) {
    let output = program("databridge")
        .args(["--json", "scan", "--project", "film", "--category", "plates", "--policy"])
        .arg(config)
        .arg(tree)
        .output()
        .unwrap();
    let code = output.status.code().unwrap();
    (code, serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// What a report says of the files, without its times.
fn essence(report: &Value) -> Value {
    let fields = ["verdict", "files", "counts", "reasons", "engines", "policy", "bytes"];
    fields.iter().map(|field| ((*field).to_owned(), report[*field].clone())).collect()
}

/// An approved transfer of these files, whose scan the data team asks for.
fn ask(tree: &Tree, config: &Path, folder: &Path) -> Life<Configured> {
    let source = Source { root: tree.path().to_owned(), listing: digest_tree(tree.path()) };
    let mut life = Life::new(Place::below(folder), source, Configured(config.to_owned()));
    life.upload();
    life.act("artist", "transfers", "submit", json!({}));
    life.expect("team_lead_review");
    for who in ["lead", "supervisor", "producer"] {
        life.act(who, "approvals", "approve", json!({}));
    }
    life.act("data", "scanning", "start", json!({}));
    life
}

#[test]
fn a_job_says_over_rest_what_the_program_says() {
    let mut server = Server::start();
    let clean = Tree::new(&[("a.vdb", &vdb(100)), ("b.txt", b"note\n")]);
    let packed = Tree::new(&[("a.txt", b"note\n")]);
    packed.archives();
    for name in
        ["eicar.tar.gz", "eicar.tar.xz", "eicar.zip", "eicar_bomb.zip", "nested.zip", "bomb.zip"]
    {
        std::fs::remove_file(packed.path().join(name)).unwrap();
    }
    let odd = Tree::new(&[("a.txt", b"note\n"), ("b.png", b"\x89PNG\r\n\x1a\n")]);
    let bad = Tree::new(&[("a.vdb", &vdb(100)), ("b.com", &eicar())]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("databridge.toml");
    std::fs::write(&config, policy(&server)).unwrap();
    for (name, tree, state, code, kind) in [
        ("clean", &clean, "scanned", 0, "clean"),
        ("packed", &packed, "undecided", 6, "not_scanned"),
        ("odd", &odd, "undecided", 1, "suspicious"),
        ("bad", &bad, "infected", 1, "infected"),
    ] {
        let mut life = ask(tree, &config, &folder.path().join(name));
        life.expect(state);
        let shown = life.call("data", "GET", &format!("/scanning/{}", life.code), json!({}));
        let report = &shown["report"];
        let (exit, said) = on_a_terminal(&config, tree.path());
        assert_eq!((exit, &report["verdict"]["kind"]), (code, &kind.into()), "{name}: {report}");
        assert_eq!(essence(report), essence(&said["report"]), "{name}");
        let engines = life.call("data", "GET", "/scanning/engines", json!({}));
        let clamd = engines.as_array().unwrap().iter().find(|e| e["engine"]["name"] == "clamd");
        let clamd = clamd.unwrap_or_else(|| panic!("{engines}"));
        assert!(clamd["limits"].as_str().unwrap().contains("read up to"), "{clamd}");
        assert_eq!(clamd["is_fresh"], true, "{clamd}");
    }
    // Fail closed: without the engine that the policy names there is no verdict.
    server.daemon().kill_9();
    assert_eq!(on_a_terminal(&config, clean.path()), (5, Value::Null));
    let mut life = ask(&clean, &config, &folder.path().join("gone"));
    life.expect("scan_failed");
    let failure = life.show()["failure"].to_string();
    assert!(failure.contains("scan.engine_gone"), "{failure}");
}
