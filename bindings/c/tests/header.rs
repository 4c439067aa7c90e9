//! The header is the sources': `DATABRIDGE_BLESS=1` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use databridge_tests::process::run;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// In the order in which the header has them.
const SOURCES: [&str; 6] = ["version", "error", "text", "watch", "files", "client"];

fn header() -> String {
    let mut builder = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file(here().join("cbindgen.toml")).unwrap());
    for source in SOURCES {
        builder = builder.with_src(here().join(format!("src/{source}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    // What Rust's documentation heads so.
    String::from_utf8(text).unwrap().replace("\n # Safety\n ", "\n Required: ")
}

/// The first line in which a written header is not what the sources say.
fn stale(written: &str, made: &str) -> Option<String> {
    let mut lines = made.lines().map(Some).chain(std::iter::repeat(None));
    let differs = written.lines().find(|line| Some(*line) != lines.next().flatten());
    differs.map(str::to_owned).or_else(|| lines.next().flatten().map(str::to_owned))
}

#[test]
fn the_header_is_fresh() {
    let (path, made) = (here().join("include/databridge.h"), header());
    if std::env::var_os("DATABRIDGE_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let found = stale(&fs::read_to_string(&path).unwrap_or_default(), &made);
    assert_eq!(found, None, "databridge.h is stale: run the test with DATABRIDGE_BLESS=1");
}

#[test]
fn the_check_finds_a_stale_header() {
    let made = header();
    assert_eq!(stale(&made, &made), None);
    let changed = made.replace("uint64_t total_bytes", "uint32_t total_bytes");
    assert!(stale(&changed, &made).unwrap().contains("uint32_t"));
    let without = made.replace("databridge_verify", "databridge_verified");
    assert!(stale(&without, &made).unwrap().contains("databridge_verified"));
    let (cut, _) = made.rsplit_once('\n').unwrap().0.rsplit_once('\n').unwrap();
    assert!(stale(cut, &made).is_some());
}

/// Every function that the sources export is in the header, and behind a guard.
#[test]
fn every_entry_is_declared_and_guarded() {
    let made = header();
    let mut entries = 0;
    for source in SOURCES {
        let text = fs::read_to_string(here().join(format!("src/{source}.rs"))).unwrap();
        for entry in text.split("#[unsafe(no_mangle)]").skip(1) {
            let (name, body) = entry.split_once("fn ").unwrap().1.split_once('(').unwrap();
            assert!(made.contains(&format!("{name}(")), "{name} is not in the header");
            let body = &body[..body.find("\n}").unwrap()];
            let plain = ["databridge_abi_version", "databridge_version"];
            let reads = body.contains("recall(");
            assert!(body.contains("guard(|| ") || reads || plain.contains(&name), "{name}");
            entries += 1;
        }
    }
    assert_eq!(entries, 23);
}

#[test]
fn the_header_is_c_and_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"];
    for (compiler, standard, name) in [("gcc", "-std=c99", "h.c"), ("g++", "-std=c++17", "h.cpp")] {
        let source = folder.path().join(name);
        fs::write(
            &source,
            "#include <databridge.h>\nint main(void) { return DATABRIDGE_STATUS_OK; }\n",
        )
        .unwrap();
        let mut compile = Command::new(compiler);
        compile.arg(standard).args(strict).arg("-I").arg(here().join("include")).arg(source);
        run(&mut compile);
    }
}
