//! A studio's content policy: the same file for the program and for the daemon.

use std::process::Output;

use serde_json::Value;

use crate::bench::{Tree, program, vdb};

const POLICY: &str = r#"
[scan]
engine = "rules"

[scan.content]
allow = ["image"]

[[scan.content.rule]]
project = "film"
allow = ["image", "vdb"]

[[scan.content.rule]]
project = "film"
category = "notes"
allow = ["text"]
waive = ["content.extension_mismatch"]

[[scan.content.rule]]
category = "tools"
allow = ["text"]
allow_executables = true
"#;

fn scan(tree: &Tree, policy: &str, arguments: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), policy).unwrap();
    let mut command = program("databridge");
    command.args(["--json", "scan", "--policy"]).arg(file.path());
    command.args(arguments).arg(tree.path()).output().unwrap()
}

/// The files that something was found in, with the rule.
fn found(tree: &Tree, arguments: &[&str]) -> (i32, Vec<String>) {
    let Output { status, stdout, stderr } = scan(tree, POLICY, arguments);
    let json: Value = serde_json::from_slice(&stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
    let files = json["report"]["files"].as_array().unwrap();
    let found = files.iter().filter_map(|file| {
        let rule = file["verdict"]["rule"].as_str()?;
        Some(format!("{} {rule}", file["path"].as_str().unwrap()))
    });
    (status.code().unwrap(), found.collect())
}

#[test]
fn allow_lists_are_by_project_and_category() {
    let tree = Tree::new(&[
        ("a.vdb", &vdb(100)),
        ("b.txt", b"note\n"),
        ("c.sh", b"#!/bin/sh\n"),
        ("d.exr", b"a note\n"),
    ]);
    let not = |name: &str| format!("{name} content.not_allowed");
    let program = "c.sh content.executable".to_owned();
    let odd = "d.exr content.extension_mismatch".to_owned();
    for (arguments, expected) in [
        (&[][..], vec![not("a.vdb"), not("b.txt"), program.clone(), not("d.exr")]),
        (&["--project", "film"], vec![not("b.txt"), program.clone(), not("d.exr")]),
        (&["--project", "film", "--category", "notes"], vec![not("a.vdb"), program.clone()]),
        (&["--project", "play", "--category", "tools"], vec![not("a.vdb"), odd.clone()]),
    ] {
        assert_eq!(found(&tree, arguments), (1, expected), "{arguments:?}");
    }
    let allowed = Tree::new(&[("a.vdb", &vdb(100))]);
    assert_eq!(found(&allowed, &["--project", "film"]), (0, vec![]));
    // What is said beside the policy wins: rules then say that they are not enough.
    let auto = ["--project", "film", "--engine", "auto", "--clamscan-database", "/nonexistent"];
    let auto = [&auto[..], &["--clamd", "/nonexistent.ctl"]].concat();
    assert_eq!(found(&allowed, &auto).0, 6);
}

/// What is printed, and the exit code.
fn refused(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn an_unknown_key_is_refused_with_its_line_by_the_program_and_by_the_daemon() {
    let tree = Tree::new(&[("a.vdb", &vdb(100))]);
    for (from, to, line) in [
        ("allow = [\"image\"]", "alow = [\"image\"]", 6),
        ("category = \"notes\"", "catgory = \"notes\"", 14),
        ("[scan.content]", "[scan.contents]", 5),
        ("allow_executables = true", "allow_executables = \"yes\"", 21),
    ] {
        let policy = POLICY.replacen(from, to, 1);
        let (code, said) = refused(&scan(&tree, &policy, &[]));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("scan.policy") && said.contains(&format!("line {line}:")), "{said}");
        let file = tree.path().join("databridge.toml");
        std::fs::write(&file, &policy).unwrap();
        for (name, arguments) in [
            ("databridge", &["config", "check"][..]),
            ("databridged", &["--listen", "127.0.0.1:0"]),
        ] {
            let mut command = program(name);
            command.arg("--config").arg(&file).arg("--data").arg(tree.path().join("data"));
            let (code, said) = refused(&command.args(arguments).output().unwrap());
            assert_eq!(code, Some(2), "{name}: {said}");
            assert!(said.contains(&format!("line {line},")), "{name}: {said}");
        }
        std::fs::remove_file(file).unwrap();
    }
    // A name that means nothing is no slip of the pen that TOML could tell.
    let (code, said) =
        refused(&scan(&tree, &POLICY.replace("\"vdb\"", "\"vbd\""), &["--project", "film"]));
    assert!(code == Some(2) && said.contains("vbd"), "{said}");
}
