//! `databridge checksum`, `manifest`, `verify`, `copy --manifest` on lists of every
//! format, as a person or a script runs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

const FILES: [(&str, &[u8]); 4] = [
    ("A/clip 1.mov", b"one"),
    ("A/clip-2.mov", b"two"),
    ("A.txt", b""),
    ("B/C/x=y (1).exr", b"four"),
];

/// Exit code, standard output, standard error.
fn run(here: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_databridge"))
        .args(args)
        .current_dir(here)
        .env_clear()
        .env("HOME", here)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn code(here: &Path, args: &[&str], expected: i32, says: &str) -> String {
    let (code, out, err) = run(here, args);
    assert_eq!(code, expected, "{args:?}: {out}{err}");
    assert!(out.contains(says) || err.contains(says), "{args:?}: {says:?} not in {out}{err}");
    out
}

#[track_caller]
fn json(here: &Path, args: &[&str], expected: i32) -> Value {
    let mut args = args.to_vec();
    args.push("--json");
    serde_json::from_str(&code(here, &args, expected, "")).unwrap()
}

fn shoot() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in FILES {
        let path = folder.path().join("card").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn shell(here: &Path, line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).current_dir(here).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn differences(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = report["differences"].as_array().unwrap();
    all.iter().map(|one| (text(&one["path"]), text(&one["difference"]))).collect()
}

#[test]
fn a_tree_is_hashed_in_the_order_of_its_paths() {
    let folder = shoot();
    let here = folder.path();
    let ours = code(here, &["checksum", "card", "--jobs", "3"], 0, "");
    let theirs =
        shell(here, "find card -type f | LC_ALL=C sort | tr '\\n' '\\0' | xargs -0 sha256sum");
    assert_eq!(ours, theirs);
    symlink("A.txt", here.join("card/link")).unwrap();
    fs::write(here.join("card/a.TXT"), "").unwrap();
    let (status, _, err) = run(here, &["checksum", "card"]);
    assert_eq!(status, 2);
    assert!(err.contains("link: symbolic link") && err.contains("a.TXT"), "{err}");
}

#[test]
fn a_cache_saves_reading_and_says_so() {
    let folder = shoot();
    let here = folder.path();
    let args = ["checksum", "card", "--cache", "cache"];
    let plain = code(here, &["checksum", "card"], 0, "");
    // These files are younger than it trusts.
    assert_eq!(code(here, &args, 0, "0 of 4 files came from the cache"), plain);
    assert_eq!(code(here, &args, 0, "0 of 4 files came from the cache"), plain);
    fs::write(here.join("letters"), "dear all\n").unwrap();
    code(here, &["checksum", "card", "--cache", "letters"], 2, "not a checksum cache");
    assert_eq!(fs::read(here.join("letters")).unwrap(), b"dear all\n");
}

#[test]
fn lists_of_other_tools_are_held_against_a_tree() {
    let folder = shoot();
    let here = folder.path();
    for (tool, list) in [
        ("md5sum", "MD5SUMS"),
        ("sha1sum --tag", "SHA1SUMS"),
        ("sha256sum -b", "list"),
        ("sha512sum", "list512"),
    ] {
        shell(&here.join("card"), &format!("find . -type f -print0 | xargs -0 {tool} > ../{list}"));
        let args = ["verify", "card", "--manifest", list];
        let report = json(here, &args, 0);
        assert_eq!((&report["files"], &report["verified"]), (&4.into(), &true.into()), "{tool}");
        assert!(report["worth"].is_string(), "{report}");
    }
    fs::write(here.join("card/A/clip 1.mov"), "onE").unwrap();
    fs::remove_file(here.join("card/A.txt")).unwrap();
    fs::create_dir(here.join("card/A.txt")).unwrap();
    fs::rename(here.join("card/B/C"), here.join("card/B/D")).unwrap();
    symlink("/etc/passwd", here.join("card/passwd")).unwrap();
    let report = json(here, &["verify", "card", "--manifest", "MD5SUMS"], 1);
    let expected = [
        ("A.txt", "kind"),
        ("A/clip 1.mov", "digest"),
        ("B/C/x=y (1).exr", "missing"),
        ("B/D/x=y (1).exr", "extra"),
        ("passwd", "extra"),
    ];
    assert_eq!(differences(&report), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(report["differences"][1]["algorithm"], "md5");
    fs::write(here.join("bad"), format!("{}  a\nnonsense\n", "0".repeat(64))).unwrap();
    code(here, &["verify", "card", "--manifest", "bad"], 2, "line 2");
    fs::write(here.join("bomb"), "<!DOCTYPE a [<!ENTITY a \"&a;\">]>\n<hashlist/>").unwrap();
    code(here, &["verify", "card", "--manifest", "bomb"], 2, "document types are not read");
}

#[test]
fn what_has_no_digest_that_we_know_is_undecided() {
    let folder = shoot();
    let here = folder.path();
    let hashes: String = FILES
        .iter()
        .map(|(path, bytes)| {
            let size = bytes.len();
            format!("<hash><file>{path}</file><size>{size}</size><xxhash>1</xxhash></hash>")
        })
        .collect();
    let list = format!("<hashlist version=\"1.1\">{hashes}</hashlist>");
    fs::write(here.join("card.mhl"), list).unwrap();
    code(here, &["verify", "card", "--manifest", "card.mhl"], 6, "nothing to compare it with");
}

#[test]
fn a_history_grows_and_its_chain_is_believed() {
    let folder = shoot();
    let here = folder.path();
    let create = ["manifest", "create", "card", "--format", "ascmhl"];
    assert_eq!(json(here, &create, 0)["generation"], 1);
    let report = json(here, &["verify", "card"], 0);
    assert_eq!((&report["format"], &report["files"]), (&"ascmhl".into(), &4.into()));
    fs::write(here.join("card/.DS_Store"), "finder").unwrap();
    fs::write(here.join("card/new.mov"), "new").unwrap();
    let report = json(here, &["verify", "card", "--mhl"], 1);
    assert_eq!(differences(&report), [("new.mov".to_owned(), "extra".to_owned())]);
    let second = json(here, &create, 0);
    assert_eq!((&second["generation"], &second["file_count"]), (&2.into(), &5.into()));
    code(here, &["verify", "card"], 0, "5 files");
    fs::write(here.join("card/new.mov"), "neW").unwrap();
    let third = json(here, &create, 1);
    assert_eq!(differences(&third), [("new.mov".to_owned(), "content".to_owned())]);
    let report = json(here, &["verify", "card"], 1);
    assert_eq!(differences(&report), [("new.mov".to_owned(), "content".to_owned())]);
    // Somebody rewrites a list.
    let list = third["path"].as_str().unwrap();
    let text = fs::read_to_string(here.join(list)).unwrap();
    fs::write(here.join(list), text.replace("failed", "verified")).unwrap();
    let report = json(here, &["verify", "card"], 1);
    let name = list.strip_prefix("card/").unwrap().to_owned();
    assert!(differences(&report).contains(&(name, "digest".to_owned())), "{report}");
    code(here, &create, 2, "damaged");
}

#[test]
fn a_bag_is_made_and_held_against_itself() {
    let folder = shoot();
    let here = folder.path();
    code(here, &["manifest", "create", "card", "--format", "bagit"], 2, "card/data");
    code(here, &["copy", "card", "bag/data"], 0, "");
    code(here, &["manifest", "create", "bag", "--format", "bagit"], 0, "a bag of 4 files");
    code(here, &["verify", "bag"], 0, "");
    fs::write(here.join("bag/notes.txt"), "allowed beside the payload").unwrap();
    code(here, &["verify", "bag"], 0, "");
    fs::write(here.join("bag/data/extra"), "").unwrap();
    fs::write(here.join("bag/bag-info.txt"), "Payload-Oxum: 0.0\n").unwrap();
    let report = json(here, &["verify", "bag"], 1);
    let expected = [("bag-info.txt", "content"), ("data/extra", "extra")];
    assert_eq!(differences(&report), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    fs::create_dir_all(here.join("odd/data")).unwrap();
    fs::write(here.join("odd/data/100%.txt"), "").unwrap();
    code(here, &["manifest", "create", "odd", "--format", "bagit"], 2, "BagIt cannot hold");
}

#[test]
fn nights_end_and_the_next_one_goes_on() {
    let folder = shoot();
    let here = folder.path();
    code(here, &["manifest", "create", "card", "--format", "json", "--output", "list.json"], 0, "");
    let args = ["verify", "card", "--manifest", "list.json", "--state", "state"];
    let ended = json(here, &[&args[..], &["--for", "0s"]].concat(), 6);
    assert_eq!((&ended["complete"], &ended["left_files"]), (&false.into(), &4.into()));
    // What is younger than two seconds is right, and not remembered.
    assert_eq!(json(here, &args, 0)["files"], 4);
    let again = std::iter::repeat_with(|| json(here, &args, 0));
    let again = again.take(10_000).find(|report| report["remembered_files"] == 4).unwrap();
    assert_eq!(again["files"], 0);
    let aged = json(here, &[&args[..], &["--max-age", "0s"]].concat(), 0);
    assert_eq!((&aged["files"], &aged["remembered_files"]), (&4.into(), &0.into()));
    fs::write(here.join("card/A/clip 1.mov"), "onE").unwrap();
    let changed = json(here, &args, 1);
    assert_eq!(changed["remembered_files"], 3);
    assert_eq!(differences(&changed), [("A/clip 1.mov".to_owned(), "content".to_owned())]);
    code(here, &["verify", "card", "--for", "soon"], 2, "6h");
}

#[test]
fn a_known_source_is_copied_as_it_is_known_or_not_at_all() {
    let folder = shoot();
    let here = folder.path();
    fs::create_dir(here.join("card/empty")).unwrap();
    shell(&here.join("card"), "find . -type f -print0 | xargs -0 sha256sum > ../SUMS");
    code(here, &["copy", "card", "there", "--manifest", "SUMS"], 0, "4 files");
    assert!(here.join("there/empty").is_dir());
    fs::write(here.join("card/A/clip 1.mov"), "onE").unwrap();
    code(here, &["copy", "card", "again", "--manifest", "SUMS"], 1, "clip 1.mov");
    assert!(!here.join("again").exists());
    shell(&here.join("card"), "find . -type f -print0 | xargs -0 md5sum > ../MD5SUMS");
    // Any digest will do: it is made in the read that copies.
    let copied = json(here, &["copy", "card", "again", "--manifest", "MD5SUMS"], 0);
    let md5 = shell(here, "md5sum < 'again/A/clip 1.mov'");
    let files = copied["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == "A/clip 1.mov").unwrap();
    assert_eq!(file["digests"]["md5"], md5.split(' ').next().unwrap());
    fs::write(here.join("card/A/clip 1.mov"), "0nE").unwrap();
    let args = ["copy", "card", "third", "--manifest", "MD5SUMS"];
    let said = code(here, &args, 1, "md5");
    assert!(!here.join("third").exists(), "{said}");
    fs::remove_file(here.join("card/A/clip 1.mov")).unwrap();
    code(here, &args, 1, "A/clip 1.mov: missing");
    assert!(!here.join("third").exists());
}

#[test]
fn names_of_one_file_are_copied_kept_or_refused() {
    let folder = shoot();
    let here = folder.path();
    fs::hard_link(here.join("card/A/clip 1.mov"), here.join("card/B/again.mov")).unwrap();
    code(here, &["copy", "card", "own"], 0, "1 hard links of the source are files of their own");
    let kept = ["copy", "card", "kept", "--hard-links", "keep"];
    code(here, &kept, 0, "1 names are hard links, as in the source");
    let inode = |path: &str| shell(here, &format!("stat -c %i '{path}'"));
    assert_ne!(inode("own/A/clip 1.mov"), inode("own/B/again.mov"));
    assert_eq!(inode("kept/A/clip 1.mov"), inode("kept/B/again.mov"));
    let refuse = ["copy", "card", "none", "--hard-links", "refuse"];
    code(here, &refuse, 2, "B/again.mov is a hard link of A/clip 1.mov");
    assert!(!here.join("none").exists());
    code(here, &["copy", "card", "none", "--hard-links", "soft"], 2, "copy, keep or refuse");
}

/// Starts the program, sends it SIGINT once `ready` says so, and gives its exit code.
fn interrupted(here: &Path, args: &[&str], ready: impl Fn() -> bool) -> Option<i32> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_databridge"));
    program.args(args).current_dir(here).env_clear().env("HOME", here);
    let mut child = program.stdout(std::process::Stdio::null()).spawn().unwrap();
    while !ready() {
        assert_eq!(child.try_wait().unwrap(), None, "{args:?} was too fast");
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    child.wait().unwrap().code()
}

/// Files that take a while at a megabyte a second.
fn reels(here: &Path) {
    fs::create_dir(here.join("card")).unwrap();
    for number in 1..=8u8 {
        let path = here.join(format!("card/reel{number}.mov"));
        fs::write(path, vec![number; 1_500_000]).unwrap();
    }
}

#[test]
fn ctrl_c_ends_a_copy_which_shows_nothing_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    reels(here);
    let third = || {
        let beside = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().path());
        let partial = |path: &Path| path.to_string_lossy().contains("databridge-partial");
        beside.filter(|path| partial(path)).any(|path| path.join("reel3.mov").exists())
    };
    let args = ["copy", "card", "there", "--jobs", "1"];
    let slow = [&args[..], &["--limit", "2M"]].concat();
    assert_eq!(interrupted(here, &slow, third), Some(130));
    assert!(!here.join("there").exists());
    let done = json(here, &args, 0);
    assert_eq!(done["files"].as_array().unwrap().len(), 8);
    assert!(done["transferred"]["kept_files"].as_u64().unwrap() >= 2, "{done}");
    shell(here, "diff -r card there");
    assert_eq!(fs::read_dir(here).unwrap().count(), 2, "nothing is left beside it");
}

#[test]
fn ctrl_c_ends_a_verification_undecided_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    reels(here);
    shell(&here.join("card"), "sha256sum *.mov > ../SUMS");
    let verify = |state: &'static str| {
        ["verify", "card", "--manifest", "SUMS", "--jobs", "1", "--state", state]
    };
    // What is younger than two seconds is not remembered.
    let old = std::iter::repeat_with(|| json(here, &verify("other"), 0));
    assert!(old.take(10_000).any(|report| report["remembered_files"] == 8));
    let slow = [&verify("state")[..], &["--limit", "2M"]].concat();
    let remembers = || {
        let state = fs::read_to_string(here.join("state")).unwrap_or_default();
        state.lines().count() >= 3
    };
    assert_eq!(interrupted(here, &slow, remembers), Some(6));
    let report = json(here, &verify("state"), 0);
    let remembered = report["remembered_files"].as_u64().unwrap();
    assert!((1..8).contains(&remembered), "{report}");
    assert_eq!(report["files"].as_u64().unwrap() + remembered, 8);
}

#[test]
fn a_verification_has_an_end_and_a_limit() {
    let folder = shoot();
    let here = folder.path();
    shell(&here.join("card"), "find . -type f -print0 | xargs -0 sha256sum > ../SUMS");
    let verify = |more: &[&'static str]| [&["verify", "card", "--manifest", "SUMS"], more].concat();
    // Whatever the time is, one of the two is hours away.
    let ends = ["--until", "00:30"];
    let other = ["--until", "12:30"];
    let complete = |more: &[&'static str]| json(here, &verify(more), 0)["complete"] == true;
    assert!(complete(&ends) || complete(&other));
    assert!(complete(&["--limit", "50M"]));
    code(here, &verify(&["--until", "25:00"]), 2, "--until");
    code(here, &verify(&["--until", "07:00", "--for", "1h"]), 2, "cannot be used with");
    code(here, &verify(&["--limit", "fast"]), 2, "--limit");
}

#[test]
fn a_copy_tells_a_program_how_far_each_long_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("card")).unwrap();
    fs::write(here.join("card/reel.mov"), vec![7; 24 << 20]).unwrap();
    fs::write(here.join("card/note"), "short").unwrap();
    let args = ["copy", "card", "there", "--json", "--progress", "--limit", "12M"];
    let (code, out, err) = run(here, &args);
    assert_eq!(code, 0, "{err}");
    assert!(serde_json::from_str::<Value>(&out).unwrap()["destination"].is_string());
    let told: Vec<Value> = err
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["progress"].take())
        .collect();
    let phases: Vec<_> = told.iter().map(|line| line["phase"].as_str().unwrap()).collect();
    assert!(phases.contains(&"copy") && phases.contains(&"read_back"), "{phases:?}");
    assert!(told.iter().all(|line| line["total_bytes"] == (24 << 20) + 5));
    let parts = told.iter().flat_map(|line| line["parts"].as_array().cloned().unwrap_or_default());
    let parts: Vec<_> = parts.collect();
    assert!(!parts.is_empty(), "{told:?}");
    for part in parts {
        assert_eq!((&part["path"], &part["size_bytes"]), (&"reel.mov".into(), &(24 << 20).into()));
        assert!((1..=24 << 20).contains(&part["bytes"].as_u64().unwrap()), "{part}");
    }
}

#[test]
fn a_mode_is_no_part_of_a_list_and_the_page_says_so() {
    let folder = shoot();
    let here = folder.path();
    code(here, &["copy", "card", "there"], 0, "");
    let list = ["manifest", "create", "there", "--format", "json", "--output", "list.json"];
    code(here, &list, 0, "");
    shell(here, "chmod 0600 there/A.txt && chmod 0700 there/B");
    code(here, &["verify", "there", "--manifest", "list.json"], 0, "");
    let page = include_str!("../../docs/lists.md");
    assert!(page.contains("A mode is no part of a manifest"));
}
