//! Adding what lies on a mount of the service's already, by its path.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use databridge_core::app::App;
use databridge_tests::process::run;
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, call, names, text};

on_both!(
    what_lies_below_a_root_is_added_as_what_it_is,
    nothing_outside_of_the_roots_is_reached,
    what_is_no_file_is_refused_by_name,
    what_is_coming_can_be_given_up,
    what_is_still_to_come_keeps_the_transfer_from_review,
    quotas_and_lengths_hold,
    it_is_done_in_the_name_of_who_asked,
    what_an_earlier_life_left_is_removed,
    a_key_asks_once,
);

/// A lab with one root, in which there is a shot.
async fn lab(kind: Kind) -> (Lab, PathBuf) {
    let root = tempfile::Builder::new().prefix("databridge-mount-").tempdir().unwrap().keep();
    let shot = root.join("sh010");
    std::fs::create_dir_all(shot.join("sub")).unwrap();
    std::fs::create_dir(shot.join("empty")).unwrap();
    std::fs::write(shot.join("a.exr"), b"aaaa").unwrap();
    std::fs::write(shot.join("sub/b.exr"), b"bb").unwrap();
    let roots = vec![root.clone()];
    let lab = Lab::open_with(kind, |config| config.uploads.add_roots = roots).await;
    (lab, root)
}

struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn add(code: &str, from: &Path) -> Value {
    json!({ "code": code, "from": from })
}

fn uploads(lab: &Lab) -> Vec<String> {
    names(&lab.app.config().places().uploads())
}

async fn what_lies_below_a_root_is_added_as_what_it_is(kind: Kind) {
    let (lab, root) = lab(kind).await;
    let _mount = Mount(root.clone());
    let code = lab.create().await;
    let asked = lab.ok("artist", "transfer_add", add(&code, &root.join("sh010"))).await;
    assert_eq!((text(&asked, "state"), &asked["file_count"]), ("uploading".into(), &json!(0)));
    let told = lab.ok("artist", "transfer_explain", json!({ "code": code })).await;
    assert_eq!(told["waits_for"], "work", "{told}");
    assert_eq!(lab.settle(&code).await, "uploading");
    let files = lab.ok("artist", "transfer_files", json!({ "code": code })).await;
    let shown: Vec<_> = files
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (text(f, "path"), f["size_bytes"].clone(), f["sha256"].clone()))
        .collect();
    // `printf aaaa | sha256sum`, `printf bb | sha256sum`
    let (a, b) = (
        "61be55a8e2f6b4e172338bddf184d6dbee29c98853e0a0485ecee7f27b9af0b4",
        "3b64db95cb55c763391c707108489ae18b4112d783300de38e033b4c98c3deaf",
    );
    assert_eq!(
        shown,
        [
            ("a.exr".into(), json!(4), json!(a)),
            ("empty".into(), json!(0), Value::Null),
            ("sub/b.exr".into(), json!(2), json!(b)),
        ]
    );
    assert_eq!(uploads(&lab), Vec::<String>::new());
    // One file, in the place of the one that is there, and beside it.
    std::fs::write(root.join("a.exr"), b"other").unwrap();
    lab.ok("artist", "transfer_add", add(&code, &root.join("a.exr"))).await;
    lab.settle(&code).await;
    let shown = lab.show(&code).await;
    assert_eq!((&shown["file_count"], &shown["total_bytes"]), (&json!(2), &json!(7)));
    let history = lab.history(&code).await;
    let kinds: Vec<_> = history.iter().map(|event| text(event, "kind")).collect();
    let twice = ["transfer.files_asked", "transfer.files_added"];
    assert_eq!(kinds[1..], [twice, twice].concat());
    let last = history.last().unwrap();
    assert_eq!(last["data"]["from"], root.join("a.exr").display().to_string());
    assert_eq!(last["by"]["username"], "artist");
    // It goes its way as any other, also once what was on the mount is gone.
    std::fs::remove_dir_all(root.join("sh010")).unwrap();
    assert_eq!(lab.submit(&code).await, "team_lead_review");
    let frozen = lab.frozen(&code, 1);
    assert_eq!(std::fs::read(frozen.join("a.exr")).unwrap(), b"other");
    assert_eq!(std::fs::read(frozen.join("sub/b.exr")).unwrap(), b"bb");
    // From now on nothing is added, and nobody is told what is there.
    let refused = lab.refused("artist", "transfer_add", add(&code, &root.join("none"))).await;
    assert_eq!(refused.code(), "workflow.illegal_state");
}

async fn nothing_outside_of_the_roots_is_reached(kind: Kind) {
    let (lab, root) = lab(kind).await;
    let _mount = Mount(root.clone());
    let outside = lab.tree(&[("dir/secret", b"secret"), ("secret", b"secret")]);
    symlink(outside.join("dir"), root.join("out")).unwrap();
    symlink(outside.join("secret"), root.join("link")).unwrap();
    symlink("..", root.join("sh010/up")).unwrap();
    let at = |rest: &str| format!("{}/{rest}", root.display());
    let code = lab.create().await;
    let secret = outside.join("secret").display().to_string();
    for (from, wanted) in [
        (secret.clone(), "add.outside_roots"),
        ("/etc/passwd".into(), "add.outside_roots"),
        ("/".into(), "add.outside_roots"),
        (root.display().to_string(), "add.outside_roots"),
        (format!("{}x/a", root.display()), "add.outside_roots"),
        (at("../etc/passwd"), "add.not_plain"),
        (at("sh010/../../etc/passwd"), "add.not_plain"),
        ("sh010".into(), "add.not_plain"),
        (format!("file://{}", at("sh010")), "add.not_plain"),
        (at("out/secret"), "storage.link"),
        (at("out"), "storage.link"),
        (at("link"), "storage.link"),
        (at("sh010/up"), "storage.link"),
        (at("none"), "transfer.no_source"),
        (at(".databridge-x"), "storage.path"),
        (at("a\\b"), "storage.path"),
        (at(&"x".repeat(300)), "storage.path"),
        (at(&"x/".repeat(1000)), "storage.path"),
        (at("a\nb"), "storage.path"),
        (at("a\0b"), "call.bad_field"),
        ("x".repeat(5000), "call.bad_field"),
    ] {
        let refused =
            lab.refused("artist", "transfer_add", json!({ "code": code, "from": from })).await;
        assert_eq!(refused.code(), wanted, "{from:?}: {refused}");
        assert!(!refused.to_string().contains("secret") || from.contains("secret"), "{refused}");
    }
    assert!(!lab.step().await, "a job was asked for");
    // What became a link after it was asked for is found out when it is done.
    std::fs::create_dir(root.join("later")).unwrap();
    lab.ok("artist", "transfer_add", add(&code, &root.join("later"))).await;
    std::fs::remove_dir(root.join("later")).unwrap();
    symlink(outside.join("dir"), root.join("later")).unwrap();
    lab.settle(&code).await;
    let shown = lab.show(&code).await;
    assert_eq!(
        (&shown["file_count"], &shown["failure"]["code"]),
        (&json!(0), &json!("storage.link"))
    );
    // Others learn nothing, whatever they ask for.
    let refused =
        lab.refused("other", "transfer_add", json!({ "code": code, "from": secret })).await;
    assert_eq!(refused.code(), "transfer.not_found");
    let refused =
        lab.refused("team_lead", "transfer_add", json!({ "code": code, "from": secret })).await;
    assert_eq!(refused.code(), "identity.forbidden");
    // Without roots there is nothing below them.
    let plain = Lab::open(kind).await;
    let code = plain.create().await;
    let refused = plain.refused("artist", "transfer_add", add(&code, &root.join("sh010"))).await;
    assert_eq!((refused.code(), refused.kind().http_status()), ("add.no_roots", 403));
}

async fn what_is_no_file_is_refused_by_name(kind: Kind) {
    let (lab, root) = lab(kind).await;
    let _mount = Mount(root.clone());
    let code = lab.create().await;
    let shot = root.join("sh010");
    run(std::process::Command::new("mkfifo").arg(root.join("pipe")));
    let refused = lab.refused("artist", "transfer_add", add(&code, &root.join("pipe"))).await;
    assert_eq!(refused.code(), "storage.not_a_file");
    for (make, wanted, name) in [
        ("mkfifo", "walk.refused", "sub/pipe"),
        ("ln", "walk.refused", "sub/link"),
        ("touch", "walk.refused", "A.EXR"),
        ("touch", "walk.refused", "new\\line"),
    ] {
        let path = shot.join(name);
        let mut command = std::process::Command::new(make);
        if make == "ln" {
            command.args(["-s", "/etc/passwd"]);
        }
        run(command.arg(&path));
        lab.ok("artist", "transfer_add", add(&code, &shot)).await;
        assert_eq!(lab.settle(&code).await, "uploading");
        let failure = lab.show(&code).await["failure"].clone();
        assert_eq!(failure["code"], wanted, "{name}: {failure}");
        std::fs::remove_file(&path).unwrap();
    }
    // Nothing of it came, and nothing is left of it.
    assert_eq!(lab.files(&code).await.len(), 0);
    assert_eq!(uploads(&lab), Vec::<String>::new());
    let told = lab.ok("artist", "transfer_explain", json!({ "code": code })).await;
    assert!(text(&told, "text").contains("What was to be added"), "{told}");
    // What is there already and differs by case alone.
    lab.add(&code, &[("SUB/B.EXR", b"x")]).await;
    lab.ok("artist", "transfer_add", add(&code, &shot)).await;
    lab.settle(&code).await;
    let failure = lab.show(&code).await["failure"].clone();
    assert_eq!(failure["code"], "transfer.collision", "{failure}");
    // Another that comes in does not make up for it; the same one does.
    lab.ok("artist", "transfer_add", add(&code, &shot.join("a.exr"))).await;
    lab.settle(&code).await;
    let shown = lab.show(&code).await;
    assert_eq!(text(&shown["failure"], "from"), shot.display().to_string());
    assert_eq!(shown["file_count"], 2);
    let taken = json!({ "code": code, "path": "SUB/B.EXR" });
    lab.ok("artist", "transfer_remove_file", taken).await;
    lab.ok("artist", "transfer_add", add(&code, &shot)).await;
    lab.settle(&code).await;
    let shown = lab.show(&code).await;
    assert_eq!((&shown["failure"], &shown["file_count"]), (&Value::Null, &json!(2)));
    // Nobody has to look at those that were given up before.
    assert_eq!(lab.sql("SELECT COUNT(*) FROM jobs WHERE state = 'dead'").trim(), "0");
}

async fn what_is_coming_can_be_given_up(kind: Kind) {
    let (lab, root) = lab(kind).await;
    let _mount = Mount(root.clone());
    let code = lab.create().await;
    lab.add(&code, &[("c.exr", b"c")]).await;
    let shot = root.join("sh010");
    lab.ok("artist", "transfer_add", add(&code, &shot)).await;
    let refused = lab.refused("artist", "transfer_submit", json!({ "code": code })).await;
    assert_eq!(refused.code(), "upload.unfinished");
    assert!(refused.hint().unwrap().contains("upload end"), "{refused:?}");
    let coming = lab.ok("artist", "upload_list", json!({ "code": code })).await;
    let coming = &coming.as_array().unwrap()[0];
    assert_eq!(text(coming, "from"), shot.display().to_string());
    assert_eq!(text(coming, "username"), "artist");
    let end = json!({ "code": code, "id": coming["id"] });
    assert_eq!(lab.refused("team_lead", "upload_end", end.clone()).await.kind().http_status(), 403);
    lab.ok("artist", "upload_end", end.clone()).await;
    assert_eq!(lab.refused("artist", "upload_end", end).await.code(), "upload.not_found");
    assert_eq!(lab.kinds(&code).await.last().unwrap(), "transfer.add_withdrawn");
    assert_eq!(lab.submit(&code).await, "team_lead_review");
    assert_eq!(lab.files(&code).await.len(), 1);
}

async fn what_is_still_to_come_keeps_the_transfer_from_review(kind: Kind) {
    let (lab, root) = lab(kind).await;
    let _mount = Mount(root.clone());
    let code = lab.create().await;
    lab.add(&code, &[("first.exr", b"first")]).await;
    lab.ok("artist", "transfer_add", add(&code, &root.join("sh010"))).await;
    let refused = lab.refused("artist", "transfer_submit", json!({ "code": code })).await;
    assert_eq!(refused.code(), "upload.unfinished");
    assert!(refused.to_string().contains("sh010 (being added)"), "{refused}");
    lab.settle(&code).await;
    assert_eq!(lab.submit(&code).await, "team_lead_review");
    // A transfer that is withdrawn takes in nothing more.
    let code = lab.create().await;
    lab.ok("artist", "transfer_add", add(&code, &root.join("sh010"))).await;
    lab.act("artist", "transfer_cancel", &code).await;
    assert_eq!(lab.settle(&code).await, "cancelled");
    assert_eq!(lab.files(&code).await.len(), 0);
    // What came back from review gets its next revision by it.
    let code = lab.create().await;
    lab.add(&code, &[("first.exr", b"first")]).await;
    lab.submit(&code).await;
    lab.act("team_lead", "reject", &code).await;
    lab.ok("artist", "transfer_add", add(&code, &root.join("sh010"))).await;
    lab.settle(&code).await;
    let shown = lab.show(&code).await;
    assert_eq!((&shown["revision"], &shown["file_count"]), (&json!(2), &json!(3)));
}

async fn quotas_and_lengths_hold(kind: Kind) {
    let (mut lab, root) = lab(kind).await;
    let _mount = Mount(root.clone());
    lab.reopen(|config| {
        config.uploads.transfer_bytes = Some(7);
        config.max_upload_bytes = 5;
    })
    .await;
    let shot = root.join("sh010");
    let code = lab.create().await;
    lab.add(&code, &[("more.exr", b"1")]).await;
    lab.ok("artist", "transfer_add", add(&code, &shot)).await;
    lab.settle(&code).await;
    assert_eq!(lab.show(&code).await["total_bytes"], 7);
    // What is replaced makes room for what comes in its place; one byte more does not fit.
    lab.ok("artist", "transfer_add", add(&code, &shot)).await;
    lab.settle(&code).await;
    assert_eq!(lab.show(&code).await["failure"], Value::Null);
    std::fs::write(shot.join("sub/b.exr"), b"bbb").unwrap();
    lab.ok("artist", "transfer_add", add(&code, &shot)).await;
    lab.settle(&code).await;
    let shown = lab.show(&code).await;
    assert_eq!(shown["failure"]["code"], "upload.transfer_quota", "{shown}");
    assert_eq!(shown["total_bytes"], 7);
    std::fs::write(shot.join("a.exr"), b"123456").unwrap();
    lab.ok("artist", "transfer_add", add(&code, &shot)).await;
    lab.settle(&code).await;
    assert_eq!(lab.show(&code).await["failure"]["code"], "add.too_long");
    assert_eq!(uploads(&lab), Vec::<String>::new());
}

async fn it_is_done_in_the_name_of_who_asked(kind: Kind) {
    let (lab, root) = lab(kind).await;
    let _mount = Mount(root.clone());
    let code = lab.create().await;
    let shot = root.join("sh010");
    lab.ok("artist", "transfer_add", add(&code, &shot)).await;
    lab.ok("chief", "user_active", json!({ "username": "artist", "active": false })).await;
    lab.settle(&code).await;
    let shown = lab.show(&code).await;
    assert_eq!(
        (&shown["file_count"], &shown["failure"]["code"]),
        (&json!(0), &json!("identity.inactive"))
    );
    lab.ok("chief", "user_active", json!({ "username": "artist", "active": true })).await;
    lab.ok("chief", "transfer_add", add(&code, &shot)).await;
    let take = json!({ "username": "chief", "role": "admin", "granted": false });
    let root_of_all = lab.app.embedded(None).await.unwrap();
    lab.app.call(&root_of_all, call("user_role", take), None).await.unwrap();
    while lab.step().await {}
    let shown = lab.app.call(&root_of_all, call("transfer_show", json!({ "code": code })), None);
    let shown = shown.await.unwrap();
    assert_eq!(shown["file_count"], 0, "{shown}");
    assert_eq!(shown["failure"]["code"], "transfer.not_found", "{}", shown["failure"]);
}

async fn what_an_earlier_life_left_is_removed(kind: Kind) {
    let (lab, root) = lab(kind).await;
    let _mount = Mount(root.clone());
    let code = lab.create().await;
    lab.ok("artist", "transfer_add", add(&code, &root.join("sh010"))).await;
    let job = lab.show(&code).await["jobs"][0]["id"].as_str().unwrap().replace('-', "");
    let folder = lab.app.config().places().uploads();
    std::fs::create_dir_all(&folder).unwrap();
    for name in [format!("{job}.0.1"), format!("{job}.0.2"), "0000.0.1".into()] {
        std::fs::write(folder.join(name), "half").unwrap();
    }
    lab.settle(&code).await;
    assert_eq!(lab.files(&code).await.len(), 3);
    assert_eq!(uploads(&lab), ["0000.0.1"], "what is nobody's waits for housekeeping");
}

async fn a_key_asks_once(kind: Kind) {
    let (lab, root) = lab(kind).await;
    let _mount = Mount(root.clone());
    let code = lab.create().await;
    let ask = |app: App| {
        let call = call("transfer_add", add(&code, &root.join("sh010")));
        let who = lab.who("artist").clone();
        async move { app.call(&who, call, Some("once")).await.unwrap() }
    };
    let first = ask(lab.app.clone()).await;
    lab.settle(&code).await;
    assert_eq!(ask(lab.app.clone()).await, first);
    assert!(!lab.step().await, "it was asked for twice");
    let jobs = lab.show(&code).await["jobs"].as_array().unwrap().len();
    assert_eq!(jobs, 1);
}
