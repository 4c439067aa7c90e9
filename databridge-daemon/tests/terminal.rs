//! The built `databridge` at a terminal, in a pipe and in a script: what it draws,
//! what it says where it was misunderstood, and what shells and `man` get of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_databridge");

fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command
}

fn piped(folder: &Path, args: &[&str]) -> Output {
    command(folder, PROGRAM).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a person sees: util-linux's `script` gives the program a terminal.
fn at_a_terminal(folder: &Path, line: &str, variables: &[(&str, &str)]) -> String {
    let mut script = command(folder, "script");
    script.args(["-qec", &format!("{PROGRAM} {line}"), "/dev/null"]);
    let output = script.env("TERM", "xterm").envs(variables.iter().copied()).output().unwrap();
    text(&output.stdout)
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let line = "checksum missing";
    assert!(at_a_terminal(here, line, &[]).contains("\x1b[31merror:"));
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = at_a_terminal(here, line, &[variable]);
        assert!(shown.contains("error: ") && !shown.contains("\x1b["), "{shown:?}");
    }
    // As no-color.org has it, an empty one says nothing.
    assert!(at_a_terminal(here, line, &[("NO_COLOR", "")]).contains("\x1b[31m"));
    assert!(!text(&piped(here, &["checksum", "missing"]).stderr).contains('\x1b'));
    assert!(!text(&piped(here, &["checksum"]).stderr).contains('\x1b'));
}

#[test]
fn bars_are_for_terminals() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    fs::write(here.join("plate"), vec![7; 8 << 20]).unwrap();
    let shown = at_a_terminal(here, "copy plate first", &[]);
    assert!(shown.contains("1 files, 8.4 MB") && shown.contains("of 8.4 MB"), "{shown:?}");
    let quiet = piped(here, &["copy", "plate", "second"]);
    assert_eq!(text(&quiet.stderr), "");
    let json = piped(here, &["copy", "plate", "third", "--json"]);
    assert_eq!(text(&json.stderr), "");
    assert!(serde_json::from_slice::<Value>(&json.stdout).is_ok());
}

/// The refusal on standard error.
#[track_caller]
fn refusal(output: &Output, exit: i32) -> Value {
    assert_eq!(output.status.code(), Some(exit), "{}", text(&output.stderr));
    // A store that was made on the way says so on a line before.
    let said: Value = serde_json::from_str(text(&output.stderr).lines().last().unwrap()).unwrap();
    let said = &said["error"];
    assert!(said["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{said}");
    said.clone()
}

#[test]
fn misuse_is_json_too_where_json_is_wanted() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    for (args, says, hint) in [
        (&["--json"][..], "a command is missing", "Usage: databridge"),
        (&["checksum", "--json"], "<PATH>...", "Usage: databridge checksum"),
        (&["qqq", "--json"], "unrecognized subcommand 'qqq'", "Usage"),
        (&["transfer", "sumbit", "TRF-1", "--json"], "'sumbit'", "'submit'"),
        (&["copy", "--json", "a", "b", "--limit", "fast"], "200M or 1.5G", "--help"),
        (&["completions", "tcsh", "--json"], "[possible values: bash", "'zsh'"),
    ] {
        let said = refusal(&piped(here, args), 2);
        assert_eq!((&said["code"], &said["kind"]), (&"cli.usage".into(), &"invalid".into()));
        assert!(said["message"].as_str().unwrap().contains(says), "{args:?}: {said}");
        assert!(said["hint"].as_str().unwrap().contains(hint), "{args:?}: {said}");
    }
    // A path that is called so is no wish.
    let output = piped(here, &["checksum", "--bogus", "--", "--json"]);
    assert!(text(&output.stderr).starts_with("error: unexpected argument"));
    let help = piped(here, &["checksum", "--help", "--json"]);
    assert!(help.status.success() && text(&help.stdout).contains("Usage:"));
}

#[test]
fn a_newcomer_is_told_the_next_step() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("src")).unwrap();
    fs::write(here.join("file"), "x").unwrap();
    for (args, exit, message, hint) in [
        (&["transfer", "list"][..], 2, "no store is named", "--server URL or --data DIR"),
        (&["--server", "studio", "transfer", "list"], 2, "\"studio\"", "http://host:8080"),
        (&["receipt", "show", "TRF-00001"], 2, "no file TRF-00001", "--server URL"),
        (&["receipt", "verify", "src"], 5, "cannot read src", "name a file"),
        (&["verify", "missing"], 2, "No such file", "check the path"),
        (&["verify", "file"], 5, "Not a directory", "name a folder"),
        (&["verify", "src"], 2, "no SHA256SUMS", "--manifest"),
        (&["manifest", "create", "src", "--output", "file"], 4, "file", "nothing is replaced"),
        (&["manifest", "create", "missing"], 2, "missing: not found", "mount"),
        (&["checksum", "src", "--algo", "crc"], 2, "sha256, sha512", "choose one"),
        (&["copy", "src", "/proc/x"], 5, "/proc/", "try again"),
        (&["user", "create", "me", "--data", "store"], 2, "no terminal", "--password-file"),
        (&["config", "check", "--config", "missing.toml"], 2, "missing.toml", "operations.md"),
    ] {
        let json = [args, &["--json"]].concat();
        let said = refusal(&piped(here, &json), exit);
        assert!(said["message"].as_str().unwrap().contains(message), "{args:?}: {said}");
        assert!(said["hint"].as_str().unwrap().contains(hint), "{args:?}: {said}");
        let said = text(&piped(here, args).stderr);
        assert!(said.contains("error: ") && said.contains("\nhint: "), "{args:?}: {said}");
        assert!(!said.contains("\n in "), "one line each: {said}");
    }
}

#[test]
fn several_paths_are_a_line_each() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("src")).unwrap();
    for name in ["src/b", "src/a", "c"] {
        fs::write(here.join(name), name).unwrap();
    }
    let output = piped(here, &["checksum", "--json", "src", "c", "src/a"]);
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["path"].clone();
    let paths: Vec<Value> = text(&output.stdout).lines().map(line).collect();
    assert_eq!(paths, ["src/a", "src/b", "c", "src/a"]);
    // What was found before a failure stands; the failure is a document of its own.
    let output = piped(here, &["checksum", "--json", "c", "missing", "src/a"]);
    assert_eq!(text(&output.stdout).lines().count(), 1);
    assert_eq!(refusal(&output, 2)["code"], "storage.not_found");
    // A report survives a destination that is no text.
    let mut copy = command(here, PROGRAM);
    let output = copy.args(["copy", "c", "--json"]).arg(OsStr::from_bytes(b"d\xff")).output();
    let report: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    assert_eq!(report["bytes"], 1);
}

#[test]
fn shells_and_man_know_every_command() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    for (shell, check) in [("bash", Some("bash")), ("zsh", None), ("fish", None)] {
        let script = piped(here, &["completions", shell]).stdout;
        for word in ["transfer", "override", "limit-file", "checksum"] {
            assert!(text(&script).contains(word), "{shell} lacks {word}");
        }
        if let Some(program) = check {
            let mut parse = command(here, program).arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            parse.stdin.take().unwrap().write_all(&script).unwrap();
            assert!(parse.wait().unwrap().success());
        }
    }
    let made = piped(here, &["man", "pages/man1"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    for page in ["databridge", "databridge-copy", "databridge-transfer-submit"] {
        let page = fs::read_to_string(here.join(format!("pages/man1/{page}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains("OPTIONS"), "{page}");
    }
    assert!(text(&piped(here, &["man"]).stdout).contains(".SH NAME"));
    fs::write(here.join("taken"), "").unwrap();
    assert_eq!(refusal(&piped(here, &["man", "taken", "--json"]), 4)["code"], "cli.io");
}

#[test]
fn the_next_step_is_told_at_a_terminal_and_explained_anywhere() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    for store in ["store", "other"] {
        assert!(piped(here, &["--data", store, "init"]).status.success());
    }
    let line = "--data store transfer create shot --project film --category plates";
    let shown = at_a_terminal(here, line, &[]);
    assert!(shown.contains("next: databridge transfer add TRF-00001 PATH  ("), "{shown:?}");
    assert!(at_a_terminal(here, "--data other transfer list", &[]).contains("transfer create"));
    let quiet = piped(here, &["--data", "store", "transfer", "cancel", "TRF-00001"]);
    assert_eq!(text(&quiet.stderr), "");
    let explained = text(&piped(here, &["--data", "store", "explain", "TRF-00001"]).stdout);
    assert!(explained.contains("in state cancelled since"), "{explained}");
    let json = piped(here, &["--data", "store", "explain", "TRF-00001", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["waits_for"], &json["next"]), (&"nothing".into(), &Value::Array(vec![])));
    let unknown = piped(here, &["--data", "store", "explain", "TRF-00009", "--json"]);
    assert_eq!(refusal(&unknown, 2)["code"], "transfer.not_found");
}

/// Commands that messages tell people to type, as far as they are plain words.
fn told(folder: &Path, found: &mut Vec<Vec<String>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            told(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for command in text.split("`databridge ").skip(1) {
            let command = command.split('`').next().unwrap();
            let is_plain = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            let words = command.split(' ').take_while(|word| is_plain(word) && !word.is_empty());
            found.push(words.map(str::to_owned).collect());
        }
    }
}

#[test]
fn what_messages_say_to_type_can_be_typed() {
    let folder = TempDir::new().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut commands = Vec::new();
    for sources in ["databridge-core/src", "databridge-daemon/src", "bindings/c/src"] {
        told(&root.join(sources), &mut commands);
    }
    commands.sort();
    commands.dedup();
    assert!(commands.len() > 10, "{commands:?}");
    for words in commands {
        let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
        // As far as they are commands, and not values.
        args.truncate(2);
        args.push("--help");
        let output = piped(folder.path(), &args);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    }
}

/// One transfer up to where only the way to production is left.
fn ready(here: &Path) {
    fs::create_dir(here.join("src")).unwrap();
    fs::write(here.join("src/plate"), vec![7; 1 << 20]).unwrap();
    fs::write(here.join("secret"), "a password that is long").unwrap();
    fs::write(here.join("slow.toml"), "[copy]\nlimit_bytes_per_second = 1000\n").unwrap();
    let run = |args: &[&str], exit: i32| {
        let output = piped(here, &[&["--data", "store"], args].concat());
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", text(&output.stderr));
    };
    for role in ["artist", "team_lead", "data_team", "it_team"] {
        run(&["user", "create", role, "--role", role, "--password-file", "secret"], 0);
    }
    run(&["chain", "define", "short", "team_lead"], 0);
    let create = ["--project", "film", "--category", "plates", "--chain", "short"];
    run(&[&["--as", "artist", "transfer", "create", "shot"], &create[..]].concat(), 0);
    for step in [&["add", "TRF-00001", "src"][..], &["submit", "TRF-00001"]] {
        run(&[&["--as", "artist", "transfer"], step].concat(), 0);
    }
    run(&["--as", "team_lead", "transfer", "approve", "TRF-00001"], 0);
    run(&["--as", "data_team", "transfer", "scan", "TRF-00001"], 6);
    let why = ["--reason", "looked at by hand"];
    let decide = ["--as", "data_team", "transfer", "decide", "TRF-00001", "accept"];
    run(&[&decide, &why[..]].concat(), 0);
    run(&["--as", "it_team", "transfer", "start", "TRF-00001", "--no-wait"], 0);
}

#[test]
fn watching_a_local_store_is_live() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    ready(here);
    // So slow that it would not end: what is read comes from under way.
    let args = ["--data", "store", "--config", "slow.toml", "--as", "it_team"];
    let mut watch = command(here, PROGRAM);
    watch.args(args).args(["transfer", "watch", "TRF-00001", "--json"]).stdout(Stdio::piped());
    let mut watch = watch.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut events = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    assert!(events.any(|event| event["data"]["state"] == "transferring"));
    let pid = watch.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(watch.wait().unwrap().code(), Some(130));
    assert!(!here.join("store/production/film/plates/TRF-00001").exists());
}
