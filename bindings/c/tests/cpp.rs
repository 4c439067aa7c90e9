//! C++ programs on the library as it is installed, under AddressSanitizer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use databridge_tests::process::{built, run};
use databridge_tests::studio::{Place, Request, Running, Settings, found, send};
use serde_json::{Value, json};
use tempfile::TempDir;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The library, installed as users install it.
fn installed() -> &'static Path {
    static PREFIX: OnceLock<TempDir> = OnceLock::new();
    let prefix = PREFIX.get_or_init(|| {
        let prefix = TempDir::new().unwrap();
        let test = std::env::current_exe().unwrap();
        let mut install = Command::new(here().join("install.sh"));
        run(install.arg(prefix.path()).arg(test.parent().unwrap()).env_remove("DESTDIR"));
        prefix
    });
    prefix.path()
}

/// Compiles a program as its first lines say, with the sanitizers.
fn compiled(source: &str, folder: &Path) -> PathBuf {
    let program = folder.join("program");
    let mut ask = Command::new("pkg-config");
    ask.env("PKG_CONFIG_PATH", installed().join("lib/pkgconfig"));
    let flags = run(ask.args(["--cflags", "--libs", "databridge"]));
    let mut compile = Command::new("g++");
    compile.args(["-std=c++17", "-g", "-Wall", "-Wextra", "-Werror"]);
    compile.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    compile.arg(here().join(source)).arg("-o").arg(&program).args(flags.split_whitespace());
    run(&mut compile);
    program
}

fn ran(program: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).env("LD_LIBRARY_PATH", installed().join("lib"));
    command.env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99");
    command.output().unwrap()
}

#[track_caller]
fn ok(program: &Path, args: &[&str]) -> String {
    let output = ran(program, args);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

#[test]
fn misuse_is_answered_and_nothing_leaks() {
    let folder = TempDir::new().unwrap();
    let program = compiled("tests/misuse.cpp", folder.path());
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("tree")).unwrap();
    fs::write(data.join("tree/a"), "abc").unwrap();
    let data = data.to_str().unwrap();
    // The sanitizer sees what is wrong, so its silence counts.
    for (wrong, says) in [("leak", "LeakSanitizer"), ("twice", "heap-use-after-free")] {
        let output = ran(&program, &[data, wrong]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(99), "{said}");
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(ok(&program, &[data]), "as it should be\n");
}

#[test]
fn the_example_publishes_a_shot() {
    built("databridged");
    let folder = TempDir::new().unwrap();
    let program = compiled("examples/publish.cpp", folder.path());
    let shot = folder.path().join("shot");
    fs::create_dir_all(shot.join("empty")).unwrap();
    fs::write(shot.join("frame.txt"), "abc").unwrap();
    let archive = folder.path().join("archive");
    let place = Place::below(&folder.path().join("studio"));
    let people = found(&place);
    let daemon = Running::start(&place, &Settings::new()).expect("the daemon starts");
    let (url, artist) = (daemon.url.as_str(), people.token("artist"));
    let said = ok(&program, &[url, artist, shot.to_str().unwrap(), archive.to_str().unwrap()]);
    assert_eq!(
        said,
        "first file frame.txt, SHA-256 \
         ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
         copied 3 bytes, read back, told on the way\n\
         refused: copy.destination_exists\n\
         TRF-00001 is in team_lead_review\n"
    );
    assert_eq!(fs::read(archive.join("frame.txt")).unwrap(), b"abc");
    // No receipt yet, and the library says what to do.
    let early = ran(&program, &[url, artist, "--receipt", "TRF-00001"]);
    let said = String::from_utf8_lossy(&early.stderr).into_owned();
    assert_eq!(early.status.code(), Some(1), "{said}");
    assert!(said.contains("transfer.no_receipt") && said.contains("hint: "), "{said}");
    let act = |who: &str, path: &str, body: Value| {
        let request = Request {
            method: "POST",
            path: path.to_owned(),
            token: people.token(who).to_owned(),
            body,
            bytes: Vec::new(),
            key: format!("{who} {path}"),
        };
        send(url, &request).unwrap_or_else(|error| panic!("{path}: {error:?}"))
    };
    for who in ["lead", "supervisor", "producer"] {
        act(who, "/approvals/TRF-00001/approve", json!({}));
    }
    let waived = json!({ "decision": "override_scan", "reason": "no antivirus here" });
    act("admin", "/scanning/TRF-00001/decide", waived);
    act("it", "/transfer-ops/TRF-00001/start", json!({}));
    // The program waits for the delivery, as it did for the review.
    let receipt: Value =
        serde_json::from_str(&ok(&program, &[url, artist, "--receipt", "TRF-00001"])).unwrap();
    assert!(receipt["signatures"][0]["sig"].is_string());
}
