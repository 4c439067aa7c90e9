//! The built `databridge`, as a person or a script runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the command line in `folder`, with nothing of this environment but the path.
fn run_with(folder: &Path, args: &[&str], stdin: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_databridge"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn run(folder: &Path, args: &[&str]) -> Ran {
    run_with(folder, args, "")
}

#[track_caller]
fn ok(folder: &Path, args: &[&str]) -> String {
    let ran = run(folder, args);
    assert_eq!(ran.code, 0, "{args:?}: {}{}", ran.out, ran.err);
    ran.out
}

#[track_caller]
fn fails(folder: &Path, args: &[&str], code: i32, says: &str) {
    let ran = run(folder, args);
    assert_eq!(ran.code, code, "{args:?}: {}{}", ran.out, ran.err);
    assert!(ran.err.contains(says) || ran.out.contains(says), "{says:?} in {}{}", ran.out, ran.err);
}

/// What `--json` says of a refusal; it always has a hint.
#[track_caller]
fn error_of(ran: &Ran) -> Value {
    let mut said: Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert!(said["error"]["hint"].is_string(), "{said}");
    said["error"].take()
}

/// A picture of one line, as OpenEXR has it.
const FRAME: &[u8] = b"\x76\x2f\x31\x01\x02\0\0\0\
    dataWindow\0box2i\0\x10\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\
    compression\0compression\0\x01\0\0\0\0\0\
    \x53\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0line";

/// A folder with `src/plates/a.exr`, `src/notes.txt` and an empty `src/empty`.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("src/plates")).unwrap();
    fs::create_dir(folder.path().join("src/empty")).unwrap();
    fs::write(folder.path().join("src/plates/a.exr"), FRAME).unwrap();
    fs::write(folder.path().join("src/notes.txt"), b"hold the last frames\n").unwrap();
    folder
}

#[test]
fn checksums_are_those_of_other_tools() {
    let folder = folder();
    let here = folder.path();
    let ours = ok(here, &["checksum", "src/notes.txt"]);
    let theirs = Command::new("sha256sum").arg("src/notes.txt").current_dir(here).output().unwrap();
    assert_eq!(ours.as_bytes(), theirs.stdout);
    let json = ok(here, &["checksum", "src", "--algo", "sha256,md5", "--json", "--jobs", "2"]);
    let lines: Vec<Value> = json.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|l| l["digests"]["md5"].is_string()));
    fs::write(here.join("abc"), b"abc").unwrap();
    let several = ok(here, &["checksum", "--algo", "md5,sha1", "abc"]);
    assert_eq!(
        several,
        "md5:900150983cd24fb0d6963f7d28e17f72  abc\n\
         sha1:a9993e364706816aba3e25717850c26c9cd0d89d  abc\n"
    );
    fails(here, &["checksum", "missing"], 2, "missing");
    fails(here, &["checksum", "src", "--algo", "crc"], 2, "no algorithm");
    for none in [&["checksum", "src"] as &[_], &["verify", "src"], &["copy", "src", "dst"]] {
        fails(here, &[none, &["--jobs", "0"]].concat(), 2, "1 at least");
    }
}

#[test]
fn a_copy_is_given_what_was_asked_for() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    fs::create_dir_all(at.join("shot/bin")).unwrap();
    fs::write(at.join("shot/bin/run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(at.join("shot/bin/run.sh"), PermissionsExt::from_mode(0o4755)).unwrap();
    let mode = |path: &str| at.join(path).metadata().unwrap().mode() & 0o7777;
    ok(at, &["copy", "shot", "kept", "--keep-mode", "--keep-dir-mtime", "--xattrs", "--acls"]);
    assert_eq!(mode("kept/bin/run.sh"), 0o755);
    let mtime = |path: &str| at.join(path).metadata().unwrap().modified().unwrap();
    assert_eq!(mtime("kept/bin"), mtime("shot/bin"));
    let fixed = ["copy", "shot", "fixed", "--file-mode", "0640", "--dir-mode", "0750"];
    let shared = ["--limit", "1G", "--limit-file", "bandwidth", "--json"];
    let report: Value = serde_json::from_str(&ok(at, &[&fixed[..], &shared].concat())).unwrap();
    assert_eq!(report["transferred"]["lost_attributes"]["count"], 0);
    assert_eq!((mode("fixed/bin"), mode("fixed/bin/run.sh")), (0o750, 0o640));
    assert!(at.join("bandwidth").metadata().unwrap().len() > 0, "the bucket is shared");
    fails(at, &["copy", "shot", "x", "--file-mode", "4755"], 2, "no octal mode");
    fails(at, &["copy", "shot", "x", "--chown", "nobody-is-called-so"], 2, "no such user");
    fails(
        at,
        &["copy", "shot", "x", "--file-mode", "0600", "--readable-by", "others"],
        5,
        "others could not read it",
    );
    assert!(!at.join("x").exists());
}

#[test]
fn a_copy_appears_whole_and_replaces_nothing() {
    let folder = folder();
    let here = folder.path();
    let report = ok(here, &["copy", "src", "dst", "--json", "--limit", "100M"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["files"].as_array().unwrap().len(), 2);
    assert!(here.join("dst/empty").is_dir());
    fails(here, &["copy", "src", "dst"], 4, "already stands");
    let taken = run(here, &["copy", "src", "dst", "--json"]);
    assert_eq!(error_of(&taken)["code"], "copy.destination_exists");
    ok(here, &["manifest", "create", "src", "--output", "SHA256SUMS"]);
    ok(here, &["verify", "dst", "--manifest", "SHA256SUMS"]);
    fs::write(here.join("dst/notes.txt"), b"hold the last frame!\n").unwrap();
    fs::write(here.join("dst/extra"), b"").unwrap();
    fs::remove_file(here.join("dst/plates/a.exr")).unwrap();
    let verdict = run(here, &["verify", "dst", "--manifest", "SHA256SUMS", "--json"]);
    assert_eq!(verdict.code, 1);
    let verdict: Value = serde_json::from_str(&verdict.out).unwrap();
    assert_eq!(verdict["differences"].as_array().unwrap().len(), 3, "{verdict}");
    fails(here, &["copy", "src", "dst2", "--limit", "fast"], 2, "200M");
}

#[test]
fn names_that_cannot_be_delivered_are_named() {
    let folder = folder();
    let here = folder.path();
    symlink("notes.txt", here.join("src/link")).unwrap();
    fails(here, &["manifest", "show", "src"], 2, "link");
    fails(here, &["copy", "src", "dst"], 2, "link");
    assert!(!here.join("dst").exists());
}

#[test]
fn a_scan_never_calls_clean_what_no_antivirus_read() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["scan", "--engine", "rules", "src/notes.txt"]);
    fails(here, &["scan", "--clamd", "/nonexistent.sock", "src/notes.txt"], 6, "no_antivirus");
    let clamd = run(here, &["scan", "--engine", "clamd", "--clamd", "/nonexistent.sock", "src"]);
    assert_eq!(clamd.code, 5, "{}", clamd.err);
    // Put together here, so that no scanner takes this file for it.
    let eicar = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];
    fs::write(here.join("src/eicar.txt"), eicar.concat()).unwrap();
    fails(here, &["scan", "--engine", "rules", "src"], 1, "eicar.txt");
}

fn people(here: &Path) {
    for (name, role) in [
        ("artist", "artist"),
        ("lead", "team_lead"),
        ("supervisor", "supervisor"),
        ("producer", "line_producer"),
        ("data", "data_team"),
        ("it", "it_team"),
    ] {
        let args =
            ["--data", "store", "user", "create", name, "--role", role, "--password-file", "-"];
        let ran = run_with(here, &args, &format!("a long password for {name}\n"));
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
}

fn at<'a>(who: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["--data", "store", "--as", who];
    all.extend(args);
    all
}

#[test]
fn the_main_job_on_a_local_store() {
    let folder = folder();
    let here = folder.path();
    people(here);
    let create = ["transfer", "create", "shot", "--project", "film", "--category", "plates"];
    let code = ok(here, &at("artist", &create)).trim().to_owned();
    assert_eq!(code, "TRF-00001");
    fails(here, &at("artist", &["transfer", "submit", &code]), 4, "submit");
    ok(here, &at("artist", &["transfer", "add", &code, "src"]));
    ok(here, &at("artist", &["transfer", "submit", &code]));
    fails(here, &at("supervisor", &["transfer", "approve", &code]), 3, "team_lead");
    fails(here, &at("lead", &["transfer", "reject", &code, "--reason", " "]), 2, "reason");
    for who in ["lead", "supervisor", "producer"] {
        ok(here, &at(who, &["transfer", "approve", &code]));
    }
    fails(here, &at("lead", &["transfer", "approve", &code]), 4, "from here it can: scan");
    fails(here, &at("data", &["transfer", "scan", &code]), 6, "undecided");
    let decide = ["transfer", "decide", &code, "accept", "--reason", "looked at by hand"];
    ok(here, &at("data", &decide));
    let done = ok(here, &at("it", &["transfer", "start", &code]));
    assert!(done.contains("delivered"), "{done}");
    let payload = here.join("store/production/film/plates/TRF-00001");
    let sums = Command::new("sha256sum")
        .args(["-c", "../TRF-00001.proof/SHA256SUMS"])
        .current_dir(&payload)
        .output()
        .unwrap();
    assert!(sums.status.success(), "{sums:?}");
    let hidden = |p: &fs::DirEntry| p.file_name().to_string_lossy().starts_with('.');
    let parent = payload.parent().unwrap();
    assert!(!fs::read_dir(parent).unwrap().any(|e| hidden(&e.unwrap())));
    ok(here, &["--data", "store", "ledger", "verify"]);
    let shown = ok(here, &at("it", &["transfer", "show", &code, "--json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["approvals"][0]["on_behalf_of"], "lead");
    assert_eq!(shown["approvals"][0]["separate"], false);
    receipts(here, &payload);
    recall(here, &code, &payload);
}

fn recall(here: &Path, code: &str, payload: &Path) {
    let settings = "[space]\nproduction_reserve_bytes = 4611686018427387904\n";
    fs::write(here.join("full.toml"), settings).unwrap();
    let doctor = run(here, &["--data", "store", "--config", "full.toml", "doctor"]);
    assert!(doctor.code == 5 && doctor.out.contains("are kept in reserve: nothing more fits"));
    let found = ok(here, &at("it", &["where", code, "--for", "linux"]));
    assert_eq!(fs::canonicalize(found.trim()).unwrap(), fs::canonicalize(payload).unwrap());
    fails(here, &at("it", &["where", code, "--for", "windows"]), 2, "[[mounts]]");
    fails(here, &at("it", &["where", code, "--for", "amiga"]), 2, "linux, windows or macos");
    fails(here, &at("it", &["where", "film", "--from", "macos"]), 2, "slash");
    let same = ok(here, &at("it", &["where", "/a//b", "--from", "linux", "--for", "linux"]));
    assert_eq!(same, "/a/b\n");
    let staging = ok(here, &at("it", &["where", code, "--for", "linux", "--staging"]));
    assert!(staging.ends_with("TRF-00001/frozen-r1\n"), "{staging}");
    let recall = ["transfer", "recall", code, "--reason", "the wrong plate"];
    fails(here, &at("lead", &recall), 3, "it_team");
    // The receipt that stands there now was tampered with.
    fails(here, &at("it", &recall), 4, "is not the proof of this delivery");
    let done = ok(here, &at("it", &[&recall[..], &["--force"]].concat()));
    assert!(done.contains("recalled"), "{done}");
    assert!(!payload.exists());
    let shown = ok(here, &at("it", &["transfer", "show", code]));
    assert!(shown.contains(".recalled/TRF-00001") && shown.contains("the wrong plate"), "{shown}");
    let kept = payload.with_file_name(".recalled").join("TRF-00001/TRF-00001.recall.json");
    let kept = kept.to_str().unwrap();
    let key = ["--key", "store/keys/receipt.pub"];
    let verify = |extra: &[&str]| run(here, &[&["receipt", "verify", kept], extra].concat());
    assert_eq!(verify(&key).code, 6, "an embedded store's word is not enough");
    let verified = verify(&[&key[..], &["--allow-embedded"]].concat());
    assert!(verified.code == 0 && verified.out.contains("the wrong plate"), "{}", verified.err);
    for args in [vec!["receipt", "show", kept], at("it", &["receipt", "show", code, "--recall"])] {
        let text = ok(here, &args);
        assert!(text.contains("Because     the wrong plate"), "{text}");
    }
}

fn receipts(here: &Path, payload: &Path) {
    let file = "store/production/film/plates/TRF-00001.proof/receipt.json";
    let tree = payload.to_str().unwrap();
    let verify = |extra: &[&str]| {
        let mut args = vec!["receipt", "verify", file];
        args.extend(extra);
        run(here, &args)
    };
    assert_eq!(verify(&[]).code, 6, "an embedded store's word is not enough");
    assert_eq!(verify(&["--allow-embedded", "--tree", tree]).code, 0);
    let key = ["--allow-embedded", "--key", "store/keys/receipt.pub"];
    assert_eq!(verify(&key).code, 0);
    let text = ok(here, &["receipt", "show", file]);
    assert!(text.contains("looked at by hand") && text.contains("EMBEDDED"), "{text}");
    let by_receipt = |extra: &[&str]| {
        let mut args = vec!["verify", tree, "--receipt", file];
        args.extend(extra);
        run(here, &args)
    };
    assert_eq!(by_receipt(&[]).code, 6, "an embedded store's word is not enough");
    assert_eq!(by_receipt(&["--allow-embedded"]).code, 0);
    assert_eq!(by_receipt(&["--allow-embedded", "--key", "store/keys/receipt.pub"]).code, 0);
    let list = here.join(file).with_file_name("SHA256SUMS");
    let lines = fs::read_to_string(&list).unwrap();
    fs::write(&list, lines.replacen(['a', 'b'], "c", 1)).unwrap();
    let told = by_receipt(&["--allow-embedded"]);
    assert_eq!(told.code, 1, "a list that the receipt does not vouch for: {}", told.err);
    fs::write(&list, lines).unwrap();
    let flip = || {
        let mut bytes = fs::read(payload.join("plates/a.exr")).unwrap();
        bytes[0] ^= 1;
        fs::write(payload.join("plates/a.exr"), bytes).unwrap();
    };
    flip();
    assert_eq!(verify(&["--allow-embedded", "--tree", tree]).code, 1);
    fails(here, &["verify", tree], 1, "plates/a.exr");
    assert_eq!(by_receipt(&["--allow-embedded"]).code, 1);
    flip();
    assert_eq!(verify(&["--allow-embedded", "--tree", tree]).code, 0);
    ok(here, &["verify", tree]);
    fs::write(payload.join("notes.txt"), b"hold the last frame!\n").unwrap();
    let damaged = verify(&["--allow-embedded", "--tree", tree]);
    assert_eq!(damaged.code, 1);
    assert!(damaged.err.contains("notes.txt"), "{}", damaged.err);
    let proof = here.join(file);
    let mut tampered: Value = serde_json::from_slice(&fs::read(&proof).unwrap()).unwrap();
    let payload = tampered["payload"].as_str().unwrap().replacen('A', "B", 1);
    tampered["payload"] = payload.into();
    fs::write(&proof, tampered.to_string()).unwrap();
    assert_eq!(verify(&["--allow-embedded"]).code, 1);
}

#[test]
fn errors_say_what_to_do_next() {
    let folder = folder();
    let here = folder.path();
    fails(here, &["transfer", "list"], 2, "--server");
    ok(here, &["--data", "store", "init"]);
    let unknown = run(here, &["--data", "store", "transfer", "show", "TRF-99999", "--json"]);
    assert_eq!(unknown.code, 2);
    assert_eq!(error_of(&unknown)["code"], "transfer.not_found");
    fails(here, &["--data", "store", "--as", "nobody", "transfer", "list"], 2, "nobody");
    fails(here, &["--server", "http://127.0.0.1:9", "transfer", "list"], 5, "does not answer");
    fails(here, &["transfer", "frobnicate"], 2, "Usage");
}

#[test]
fn what_surrounds_a_store() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["--data", "store", "config", "check"]);
    assert!(ok(here, &["--data", "store", "config", "show"]).contains("lease_seconds"));
    fs::write(here.join("bad.toml"), "lease_secons = 3\n").unwrap();
    fails(here, &["--config", "bad.toml", "config", "check"], 2, "lease_secons");
    ok(here, &["--data", "store", "init"]);
    let define =
        ["--data", "store", "chain", "define", "short", "team_lead", "final=line_producer"];
    assert!(ok(here, &define).contains("team_lead → final"));
    let doctor = run(here, &["--data", "store", "doctor", "--json"]);
    let findings: Value = serde_json::from_str(doctor.out.trim()).unwrap();
    assert!(findings.as_array().unwrap().iter().any(|f| f["what"] == "ledger" && f["ok"] == true));
    assert!(ok(here, &["completions", "bash"]).contains("databridge"));
    assert!(ok(here, &["man"]).contains("databridge"));
    let proof = ok(here, &["--data", "store", "ledger", "prove", "0"]);
    assert!(serde_json::from_str::<Value>(&proof).unwrap()["hashes"].is_array());
    fails(here, &["--data", "store", "ledger", "prove", "9999"], 2, "no event");
}

#[test]
fn a_checkpoint_kept_elsewhere_proves_the_ledger() {
    let folder = folder();
    let here = folder.path();
    people(here);
    let note = ok(here, &["--data", "store", "ledger", "checkpoint"]);
    fs::write(here.join("note"), &note).unwrap();
    let create = ["transfer", "create", "shot", "--project", "film", "--category", "plates"];
    ok(here, &at("artist", &create));
    ok(here, &["--data", "store", "ledger", "verify", "--checkpoint", "note"]);
    // The second line of a note is the size of the tree (C2SP tlog-checkpoint).
    let size = note.lines().nth(1).unwrap();
    fs::write(here.join("forged"), note.replacen(&format!("\n{size}\n"), "\n1\n", 1)).unwrap();
    let forged = run(here, &["--data", "store", "ledger", "verify", "--checkpoint", "forged"]);
    assert_ne!(forged.code, 0, "{}{}", forged.out, forged.err);
}

#[test]
fn a_verdict_outlives_its_reader_and_lost_output_is_a_failure() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["manifest", "create", "src", "--output", "SHA256SUMS"]);
    fs::write(here.join("src/notes.txt"), b"other\n").unwrap();
    let shell = |line: &str| {
        let program = env!("CARGO_BIN_EXE_databridge");
        let line = line.replace("databridge", program);
        Command::new("bash").args(["-c", &line]).current_dir(here).output().unwrap()
    };
    let closed = "databridge verify src --manifest SHA256SUMS > >(exec <&-); exit $?";
    assert_eq!(shell(closed).status.code(), Some(1));
    let full = shell("databridge checksum src > /dev/full");
    assert_eq!(full.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&full.stderr).contains("standard output"));
}

#[test]
fn a_list_inside_the_folder_does_not_list_itself() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["manifest", "create", "src", "--output", "SHA256SUMS"]);
    fs::rename(here.join("SHA256SUMS"), here.join("src/SHA256SUMS")).unwrap();
    ok(here, &["verify", "src", "--manifest", "./src/SHA256SUMS"]);
    ok(here, &["verify", "./src"]);
    fails(here, &["manifest", "create", "src", "--output", "src/SHA256SUMS"], 4, "SHA256SUMS");
}

#[test]
fn what_was_typed_outweighs_the_environment() {
    let folder = folder();
    let here = folder.path();
    let output = Command::new(env!("CARGO_BIN_EXE_databridge"))
        .args(["init", "--data", "store"])
        .env("DATABRIDGE_SERVER", "http://127.0.0.1:9")
        .current_dir(here)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("one-time password"));
    fails(here, &["--data", "store", "transfer", "add", "TRF-00001", "missing"], 2, "TRF-00001");
    run(here, &["--data", "other", "doctor"]);
    assert!(!here.join("other").exists(), "looking made a store");
}

#[test]
fn a_mistyped_folder_makes_no_store() {
    let folder = folder();
    let here = folder.path();
    for words in [
        &["transfer", "list"][..],
        &["transfer", "create", "shot", "--project", "film", "--category", "plates"],
        &["user", "list"],
        &["ledger", "verify"],
        &["token", "create", "farm"],
        &["organisation", "create", "rival"],
    ] {
        let ran = run(here, &[&["--data", "stroe"], words].concat());
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.err);
        assert!(ran.err.contains("there is no store in stroe"), "{}", ran.err);
        assert!(ran.err.contains("databridge init"), "{}", ran.err);
        assert!(!here.join("stroe").exists(), "{words:?} made a store");
    }
    let made = run(here, &["--data", "store", "init"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.err.contains("one-time password for admin: "), "{}", made.err);
    let again = run(here, &["--data", "store", "init"]);
    assert_eq!((again.code, again.out.trim()), (0, "the store is there already"), "{}", again.err);
    ok(here, &["--data", "store", "transfer", "list"]);
    let key = ok(here, &["--data", "store", "organisation", "create", "rival"]);
    assert!(key.trim().starts_with("dbk_"), "{key}");
    fails(here, &["--data", "store", "organisation", "create", "rival"], 4, "rival");
}

#[test]
fn doctor_looks_at_hooks_and_roots() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["--data", "store", "init"]);
    let doctor = |config: &str| {
        fs::write(here.join("databridge.toml"), config).unwrap();
        let ran =
            run(here, &["--data", "store", "--config", "databridge.toml", "--json", "doctor"]);
        let found: Value = serde_json::from_str(&ran.out).unwrap();
        let found = found.as_array().unwrap().clone();
        move |what: &str| {
            let one = found.iter().find(|f| f["what"] == what);
            let one = one.unwrap_or_else(|| panic!("no {what} in {found:?}"));
            (one["ok"].as_bool().unwrap(), one["detail"].as_str().unwrap().to_owned())
        }
    };
    let of = doctor(
        "[[hooks]]\nname = \"there\"\ncommand = [\"/bin/true\"]\n\
         [[hooks]]\nname = \"gone\"\ncommand = [\"/nowhere/hook\"]\n\
         [[hooks]]\nname = \"web\"\nurl = \"https://x.example/token-of-ours\"\n\
         secret_file = \"/nowhere/secret\"\n\
         [uploads]\nadd_roots = [\"/nowhere/renders\"]\n",
    );
    assert_eq!(of("hook there"), (true, "/bin/true".into()));
    let (ok, told) = of("hook gone");
    assert!(!ok && told.contains("/nowhere/hook cannot be found"), "{told}");
    let (ok, told) = of("hook web");
    assert!(!ok && told.contains("cannot be read") && !told.contains("token-of-ours"), "{told}");
    let (ok, told) = of("add_roots");
    assert!(!ok && told.contains("/nowhere/renders"), "{told}");
}

#[test]
fn lots_are_registered_decided_on_and_traced() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let lab = |args: &[&str]| ok(at, &[&["--data", "store"], args].concat());
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&ok(at, &[&["--data", "store", "--json"], args].concat())).unwrap()
    };
    for name in ["manager", "second"] {
        lab(&["user", "create", name, "--role", "manager", "--no-password"]);
    }
    lab(&["--as", "manager", "flow", "install", "food"]);
    lab(&["--as", "manager", "flow", "submit", "food", "1"]);
    let own = ["--data", "store", "--as", "manager", "flow", "publish", "food", "1"];
    fails(at, &own, 3, "may not approve it");
    lab(&["--as", "second", "flow", "publish", "food", "1", "--notes", "as in the plant"]);
    assert!(lab(&["flow", "list"]).contains("PUBLISHED"));
    assert!(lab(&["gate", "list"]).contains("food@1:metal"));
    let run = json(&["run", "create", "food"])["run_code"].as_str().unwrap().to_owned();
    lab(&["run", "advance", &run]);
    lab(&["lot", "register", "RAW", "--code", "R1", "--weight", "10.5", "--run", &run]);
    fails(at, &["--data", "store", "lot", "register", "RAW", "--weight", "-1"], 2, "negative");
    fails(at, &["--data", "store", "run", "advance", &run], 4, "food@1:receiving");
    lab(&["lot", "move", "R1", "quarantine"]);
    let decide = ["gate", "decide", "R1", "receiving", "pass"];
    lab(&[&decide[..], &["--answer", "temperature=2.5", "--answer", "documents=yes"]].concat());
    assert!(lab(&["run", "advance", &run]).contains("COMPLETED"));
    fs::write(
        at.join("lots.json"),
        r#"[{"lot_code":"D1","lot_type":"DEB","parents":["R1"]},{"lot_code":"P1","lot_type":"PAL","parents":["D1"]}]"#,
    )
    .unwrap();
    lab(&["lot", "import", "lots.json"]);
    assert_eq!(json(&["trace", "descendants", "R1"])["total"], 2);
    assert!(lab(&["trace", "path", "P1", "R1"]).contains("R1 → D1 → P1"));
    assert!(lab(&["trace", "blast", "R1"]).contains("PAL"));
    assert!(lab(&["trace", "common", "D1", "P1"]).contains("(nearest)"));
    assert!(lab(&["trace", "graph", "D1"]).starts_with("flowchart TD"));
    assert!(lab(&["trace", "graph", "D1", "--format", "dot"]).starts_with("digraph"));
    assert!(lab(&["lot", "show", "R1"]).contains("made into D1"));
    assert!(lab(&["lot", "history", "R1"]).contains("QUARANTINE → RELEASED"));
    fails(at, &["--data", "store", "lot", "link", "R1", "P1"], 2, "was made from it");
    lab(&["run", "hold", &run, "--note", "no more boxes"]);
    lab(&["run", "resume", &run, "--note", "boxes came"]);
    assert!(lab(&["run", "end", &run]).contains("SKIPPED"));
    assert!(lab(&["flow", "access"]).contains("create lots"));
}

#[test]
fn sequences_are_folded_and_what_is_wrong_is_told() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("shot")).unwrap();
    for (frame, bytes) in [(1, 9), (2, 9), (3, 0), (5, 9), (6, 9), (7, 9), (8, 2)] {
        fs::write(root.join(format!("shot/comp_v003.{frame:04}.dpx")), vec![1; bytes]).unwrap();
    }
    fs::write(root.join("shot/shot_v002.ma"), "x").unwrap();
    let ran = run(root, &["sequences", "shot"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert_eq!(
        ran.out,
        "        47 B  shot/comp_v003.1-3,5-8####.dpx  7 frames\n\
         \u{20}             missing: 4 (1)\n\
         \u{20}             empty: 3 (1)\n\
         \u{20}             of another size: 8 (1)\n"
    );
    let ran = run(root, &["sequences", "shot", "--json", "--singles", "--padding", "hash4"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told[0]["padding"], &told[0]["missing"]), (&"#".into(), &"4".into()));
    assert_eq!((&told[1]["kind"], &told[1]["basename"]), (&"single".into(), &"shot_v002".into()));
    fails(root, &["sequences", "shot", "--step", "0"], 2, "1 is every frame");
    fails(root, &["sequences", "nowhere"], 2, "nowhere");

    let out = ok(root, &["manifest", "show", "shot", "--sequences"]);
    assert!(out.contains("comp_v003.1-3,5-8####.dpx  7 frames"), "{out}");
    assert!(out.contains("1 B  shot_v002.ma"), "{out}");
    assert!(!out.contains("comp_v003.0001.dpx"), "{out}");
}
