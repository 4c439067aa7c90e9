//! Adding what the daemon's own host has, over HTTP and by the command line.

use std::process::Command;

use databridge_tests::process::{built, run};
use serde_json::{Value, json};

use crate::desk::{Desk, Kind};

on_both!(files_of_the_daemon_s_host_are_added_by_their_path);

/// The command line at the daemon, as the artist.
fn databridge(desk: &Desk, words: &[&str]) -> Command {
    let mut command = Command::new(built("databridge"));
    command.env_clear().env("HOME", &desk.place.staging);
    command.env("DATABRIDGE_TOKEN", desk.people.token("artist"));
    command.args(["--server", &desk.running.url]).args(words);
    command
}

fn files_of_the_daemon_s_host_are_added_by_their_path(kind: Kind) {
    let mount = tempfile::tempdir().unwrap();
    let shot = mount.path().join("sh010");
    std::fs::create_dir_all(shot.join("sub")).unwrap();
    std::fs::write(shot.join("a.exr"), "aaaa").unwrap();
    std::fs::write(shot.join("sub/b.exr"), "bb").unwrap();
    std::os::unix::fs::symlink("/etc", mount.path().join("etc")).unwrap();
    let roots = json!([mount.path()]).to_string();
    let desk = Desk::open_with(kind, &vec![("UPLOADS__ADD_ROOTS", roots.into())]);
    let create = json!({ "title": "shot 010", "project": "film", "category": "plates" });
    let made = desk.ok("artist", "POST", "/transfers", create);
    let code = made["code"].as_str().unwrap();
    let files = format!("/transfers/{code}/files");
    let from = |path: &str| json!({ "from": mount.path().join(path) });
    let ask = |body: Value| desk.ask("artist", "POST", &files, body);
    ask(json!({ "from": "/etc/passwd" })).refused(403, "add.outside_roots");
    ask(from("../etc/passwd")).refused(422, "add.not_plain");
    ask(from("etc/passwd")).refused(422, "storage.link");
    ask(from("none")).refused(404, "transfer.no_source");
    ask(json!({})).refused(400, "http.bad_request");
    ask(json!({ "from": 7 })).refused(400, "http.bad_request");
    ask(json!({ "from": "/x", "to": "/y" })).refused(400, "http.bad_request");
    desk.ask("", "POST", &files, from("sh010")).refused(401, "identity.no_token");
    desk.ask("lead", "POST", &files, from("sh010")).refused(403, "identity.forbidden");
    desk.ok("artist", "POST", &files, from("sh010"));
    desk.wait_for(code, "transfer.files_added");
    let listed = desk.ok("artist", "GET", &files, Value::Null);
    let paths: Vec<_> = listed.as_array().unwrap().iter().map(|f| f["path"].clone()).collect();
    assert_eq!(paths, ["a.exr", "sub/b.exr"]);
    // A key that reaches no transfers adds nothing to them.
    let key = json!({ "name": "lots", "scopes": ["lots"] });
    let key = desk.ok("artist", "POST", "/auth/keys", key);
    let bearer = [("authorization", format!("Bearer {}", key["secret"].as_str().unwrap()))];
    let path = format!("/api/v1{files}");
    desk.raw("POST", &path, &bearer, b"").refused(400, "http.bad_request");
    let json = ("content-type", "application/json".to_owned());
    let body = from("sh010").to_string();
    let answer = desk.raw("POST", &path, &[bearer[0].clone(), json], body.as_bytes());
    answer.refused(403, "identity.out_of_scope");
    // By the command line, which follows it to its end.
    std::fs::write(mount.path().join("c.exr"), "c").unwrap();
    let one = mount.path().join("c.exr");
    let words = ["transfer", "add", code, "--from-server", "--wait", "--json"];
    let told = run(databridge(&desk, &words).arg(&one).arg(shot.join("sub")));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["file_count"], &told["failure"]), (&json!(4), &Value::Null), "{told}");
    std::os::unix::fs::symlink("/etc/passwd", shot.join("link")).unwrap();
    let failed = databridge(&desk, &words).arg(&shot).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert_eq!(failed.status.code(), Some(2), "{said}");
    assert!(said.contains("walk.refused"), "{said}");
    std::fs::remove_file(shot.join("link")).unwrap();
    // Without roots there are none.
    let closed = Desk::open(kind);
    let create = json!({ "title": "shot 010", "project": "film", "category": "plates" });
    let made = closed.ok("artist", "POST", "/transfers", create);
    let files = format!("/transfers/{}/files", made["code"].as_str().unwrap());
    closed.ask("artist", "POST", &files, from("sh010")).refused(403, "add.no_roots");
}
