//! What housekeeping takes from staging, and what it leaves to others and to people.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use databridge_core::app::Readiness;
use databridge_core::base::clock::Timestamp;
use databridge_core::control::ctx::Ctx;
use databridge_core::control::recovery;
use databridge_core::domains::transfer::{NewUpload, Piece};
use databridge_core::media::monitor::{Monitor, Progress};
use databridge_core::media::storage::RelPath;
use databridge_tests::faultfs::{FaultFs, Op};
use databridge_tests::mounts::require_root;
use databridge_tests::process::PATIENCE;
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, call, names, text};

on_both!(
    what_the_store_did_not_fill_is_left_to_people,
    one_thing_that_cannot_be_removed_stops_nothing_else,
    an_upload_that_was_moved_and_did_not_count_stays,
    an_ingest_keeps_all_that_it_took_in,
    what_is_sent_again_is_answered_as_it_was,
);

fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    std::fs::File::open(path).unwrap().set_modified(then).unwrap();
}

/// A file, and the folders that it made, as they were written eight days ago.
fn plant(staging: &Path, path: impl AsRef<Path>) -> PathBuf {
    let file = staging.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "left over").unwrap();
    for place in file.ancestors().take_while(|place| *place != staging) {
        age(place, 8);
    }
    file
}

async fn plan(lab: &Lab) -> Value {
    lab.ok("it_team", "housekeeping_plan", json!({})).await
}

fn paths(found: &Value) -> Vec<String> {
    let mut paths: Vec<_> = found.as_array().unwrap().iter().map(|i| text(i, "path")).collect();
    paths.sort();
    paths
}

async fn keep_house(lab: &Lab) -> Value {
    let root = lab.app.embedded(None).await.unwrap();
    lab.app.call(&root, call("housekeeping_run", json!({})), None).await.unwrap()
}

async fn what_the_store_did_not_fill_is_left_to_people(kind: Kind) {
    let lab = Lab::open(kind).await;
    let staging = lab.app.config().places().staging;
    let code = lab.create().await;
    lab.add(&code, &[("a.exr", b"a")]).await;
    let blob = format!("{code}/incoming-r1/0000000000000000000000000000dead");
    let planted = [
        plant(&staging, ".uploads/0000000000000000000000000000beef"),
        plant(&staging, &blob),
        plant(&staging, "TRF-77777/frozen-r1/x.exr"),
    ];
    let expected = [".uploads/0000000000000000000000000000beef", &blob, "TRF-77777"];
    // Another store's, or this one's before it was lost and made anew.
    let found = plan(&lab).await;
    assert_eq!(found["items"], json!([]), "{found}");
    assert_eq!(paths(&found["strangers"]), expected);
    assert_eq!(keep_house(&lab).await["state"], "done");
    assert!(planted.iter().all(|path| path.exists()));
    lab.mature();
    let found = plan(&lab).await;
    assert_eq!(
        (paths(&found["items"]), &found["strangers"]),
        (expected.map(Into::into).to_vec(), &json!([]))
    );
    // A store that was put back knows nothing of what came since its backup was taken.
    let mut unit = lab.store.begin(&Ctx::system(lab.app.org())).await.unwrap();
    recovery::leap(&mut unit, Timestamp::now(), "before_restore_1").await.unwrap();
    unit.commit(()).await.unwrap();
    let found = plan(&lab).await;
    assert_eq!(
        (&found["items"], paths(&found["strangers"])),
        (&json!([]), expected.map(Into::into).to_vec())
    );
    assert_eq!(keep_house(&lab).await["state"], "done");
    assert!(planted.iter().all(|path| path.exists()));
}

async fn one_thing_that_cannot_be_removed_stops_nothing_else(kind: Kind) {
    let fs = FaultFs::mount();
    let staging = fs.path().join("staging");
    let lab = Lab::open_with(kind, |config| config.staging = Some(staging.clone())).await;
    lab.mature();
    plant(&staging, "TRF-77771/frozen-r1/x.exr");
    plant(&staging, "TRF-77772/frozen-r1/x.exr");
    let gone = plant(&staging, "TRF-77773/frozen-r1/x.exr");
    let upload = plant(&staging, ".uploads/0000000000000000000000000000beef");
    // Names that are nobody's sort before those that are.
    for n in 0..60u8 {
        plant(&staging, Path::new(".uploads").join(OsStr::from_bytes(&[b'0', 0xff, 128 + n])));
    }
    fs.fail_from(Op::Rename, "/staging/TRF-77771", Errno::ACCESS, 1);
    fs.fail_from(Op::Readdir, "/staging/TRF-77772", Errno::ACCESS, 1);
    let job = keep_house(&lab).await;
    assert_eq!(job["state"], "done", "{job}");
    let error = text(&job, "last_error");
    assert!(error.contains("TRF-77771") && error.contains("TRF-77772"), "{error}");
    assert!(!gone.exists() && !upload.exists());
    let found = plan(&lab).await;
    assert_eq!(paths(&found["items"]), ["TRF-77771"]);
    assert_eq!(paths(&found["unreadable"]), ["TRF-77772"]);
    fs.clear_faults();
    let job = keep_house(&lab).await;
    assert_eq!((&job["state"], &job["last_error"]), (&json!("done"), &Value::Null));
    assert!(!staging.join("TRF-77771").exists() && !staging.join("TRF-77772").exists());
    assert_eq!(lab.sql("SELECT COUNT(*) FROM jobs WHERE state = 'dead'").trim(), "0");
}

async fn an_upload_that_was_moved_and_did_not_count_stays(kind: Kind) {
    let lab = Lab::open(kind).await;
    lab.mature();
    let (staging, code) = (lab.app.config().places().staging, lab.create().await);
    let (service, artist) = (lab.app.transfers(), lab.who("artist"));
    let path = RelPath::parse("a.exr").unwrap();
    let new = NewUpload { path, length_bytes: Some(4), metadata: String::new() };
    let upload = service.begin_upload(artist, &code, new).await.unwrap();
    let writer =
        service.take_up(artist, &code, upload.id, Piece::default()).await.unwrap().unwrap();
    let upload = service.append(artist, writer, std::io::Cursor::new(b"fo")).await.unwrap();
    // Whoever had its last piece was killed between the move and the commit.
    let name = upload.id.simple().to_string();
    let other = plant(&staging, format!("{code}/incoming-r1/0000000000000000000000000000dead"));
    let moved = other.with_file_name(&name);
    std::fs::rename(staging.join(".uploads").join(&name), &moved).unwrap();
    age(&moved, 8);
    keep_house(&lab).await;
    assert!(moved.exists() && !other.exists());
    let piece = Piece { offset: 2, ..Piece::default() };
    let writer = service.take_up(artist, &code, upload.id, piece).await.unwrap().unwrap();
    let done = service.append(artist, writer, std::io::Cursor::new(b"ur")).await.unwrap();
    assert!(done.done);
}

/// Stands still after the first file, until it is told to go on.
struct Slow {
    first: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Monitor for Slow {
    fn on(&self, progress: Progress<'_>) {
        if let Progress::File(_) = progress
            && let Some((here, on)) = self.first.lock().unwrap().take()
        {
            here.send(()).unwrap();
            on.recv_timeout(PATIENCE).unwrap();
        }
    }
}

async fn an_ingest_keeps_all_that_it_took_in(kind: Kind) {
    let lab = Lab::open(kind).await;
    lab.mature();
    let (staging, code) = (lab.app.config().places().staging, lab.create().await);
    let uploads = staging.join(".uploads");
    let older = plant(&staging, ".uploads/0000000000000000000000000000beef");
    age(&older, 10);
    let (here, is_here) = std::sync::mpsc::channel();
    let (go_on, on) = std::sync::mpsc::channel();
    let slow = Slow { first: Mutex::new(Some((here, on))) };
    let (app, artist) = (lab.app.clone(), lab.who("artist").clone());
    let (source, to) = (lab.tree(&[("a.exr", b"a"), ("b.exr", b"b")]), code.clone());
    let adding = tokio::spawn(async move { app.add(&artist, &to, &source, slow).await });
    tokio::task::spawn_blocking(move || is_here.recv_timeout(PATIENCE)).await.unwrap().unwrap();
    // It began nine days ago, and had the first file a day later.
    for name in names(&uploads).iter().filter(|name| !older.ends_with(name)) {
        age(&uploads.join(name), if name.starts_with('.') { 9 } else { 8 });
    }
    keep_house(&lab).await;
    assert!(!older.exists());
    go_on.send(()).unwrap();
    adding.await.unwrap().unwrap();
    assert_eq!(lab.files(&code).await.len(), 2);
    assert_eq!(names(&uploads), Vec::<String>::new());
    // Who was killed holds nothing.
    plant(&staging, ".uploads/.ingest-0000000000000000000000000000dead");
    plant(&staging, ".uploads/0000000000000000000000000000beef");
    keep_house(&lab).await;
    assert_eq!(names(&uploads), Vec::<String>::new());
}

/// A lab on PostgreSQL whose staging can hang.
async fn hanging() -> (Lab, Arc<FaultFs>, PathBuf) {
    let fs = Arc::new(FaultFs::mount());
    let staging = fs.path().join("staging");
    let lab = Lab::open_with(Kind::Postgres, |config| config.staging = Some(staging.clone())).await;
    lab.mature();
    (lab, fs, staging)
}

async fn until_hung(fs: &Arc<FaultFs>) {
    let fs = fs.clone();
    tokio::task::spawn_blocking(move || fs.wait_for_hung()).await.unwrap();
}

/// When the sessions whose transaction is open said something last.
fn idle(lab: &Lab) -> String {
    lab.sql(
        "SELECT query_start FROM pg_stat_activity
         WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_transaction_is_open_while_staging_is_walked() {
    let (lab, fs, staging) = hanging().await;
    plant(&staging, "TRF-77777/frozen-r1/x.exr");
    let code = lab.create().await;
    lab.add(&code, &[("a.exr", b"a")]).await;
    for folder in ["/staging/TRF-77777", &format!("/staging/{code}")] {
        fs.hang(Op::Readdir, folder);
        let (app, ctx) = (lab.app.clone(), lab.who("it_team").clone());
        let plan = tokio::spawn(async move {
            app.call(&ctx, call("housekeeping_plan", json!({})), None).await
        });
        until_hung(&fs).await;
        let idle = idle(&lab);
        fs.let_go();
        plan.await.unwrap().unwrap();
        assert_eq!(idle.trim(), "", "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_transaction_in_which_files_are_moved_is_not_silent() {
    let (lab, fs, staging) = hanging().await;
    let code = lab.create().await;
    let heard = async |path: &str, work: tokio::task::JoinHandle<()>| {
        until_hung(&fs).await;
        let first = idle(&lab);
        assert!(!first.trim().is_empty(), "{path}: no transaction is open");
        let end = std::time::Instant::now() + PATIENCE;
        while idle(&lab) == first {
            assert!(std::time::Instant::now() < end, "{path}: nothing was said");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        fs.let_go();
        work.await.unwrap();
    };
    let (app, artist, to) = (lab.app.clone(), lab.who("artist").clone(), code.clone());
    let source = lab.tree(&[("a.exr", b"a"), ("b.exr", b"b")]);
    fs.hang(Op::Rename, "/staging/.uploads/");
    let adding = tokio::spawn(async move {
        app.add(&artist, &to, &source, ()).await.unwrap();
    });
    heard("add", adding).await;
    assert_eq!(lab.files(&code).await.len(), 2);
    plant(&staging, "TRF-77777/frozen-r1/x.exr");
    fs.hang(Op::Rename, "/staging/TRF-77777");
    let (app, root) = (lab.app.clone(), lab.app.embedded(None).await.unwrap());
    let keeping = tokio::spawn(async move {
        app.call(&root, call("housekeeping_run", json!({})), None).await.unwrap();
    });
    heard("housekeeping", keeping).await;
    assert!(!staging.join("TRF-77777").exists());
}

#[tokio::test]
async fn a_session_that_the_server_ended_is_no_fault_of_the_statement() {
    let lab = Lab::open(Kind::Postgres).await;
    let mut tx = lab.store.db().read().await.unwrap();
    tx.exec("SET LOCAL idle_in_transaction_session_timeout = '1ms'", vec![]).await.unwrap();
    while !idle(&lab).trim().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(tx.now().await.unwrap_err().to_string(), "the database does not answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_mount_that_hangs_is_asked_once() {
    if !require_root("a_mount_that_hangs_is_asked_once") {
        return;
    }
    let fs = FaultFs::mount();
    let staging = fs.path().join("staging");
    let lab = Lab::open_with(Kind::Sqlite, |config| config.staging = Some(staging)).await;
    let waiting = fs.connection().join("waiting");
    let disk = |ready: Readiness| ready.checks.into_iter().find(|c| c.name == "disk").unwrap();
    fs.hang(Op::Statfs, "");
    let mut looks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let app = lab.app.clone();
        looks.spawn(async move { app.readiness().await });
    }
    for ready in looks.join_all().await {
        let found = disk(ready);
        assert_eq!((found.ok, found.detail.as_str()), (false, "staging does not answer"));
    }
    let measured = lab.app.measure().await.unwrap();
    assert!(measured.disks.iter().all(|(root, _, _)| *root != "staging"));
    assert_eq!(std::fs::read_to_string(waiting).unwrap().trim(), "1");
    fs.let_go();
    // The look that hung has to come back first.
    while !disk(lab.app.readiness().await).ok {}
    let measured = lab.app.measure().await.unwrap();
    assert!(measured.disks.iter().any(|(root, _, _)| *root == "staging"));
}

/// What is sent again under its key is answered as it was.
async fn what_is_sent_again_is_answered_as_it_was(kind: Kind) {
    let hook = json!({ "name": "index", "command": ["/bin/false"] });
    let lab = Lab::open_with(kind, |config| {
        config.hooks = vec![serde_json::from_value(hook).unwrap()];
    })
    .await;
    let code = lab.scanned(&[("a.exr", b"a")]).await;
    lab.deliver(&code).await;
    lab.sql("UPDATE jobs SET state = 'dead' WHERE kind = 'hook.run'");
    lab.seal().await;
    lab.app.follow().await.unwrap();
    for (who, op, fields) in [
        ("it_team", "hook_retry", json!({ "code": code, "hook": "index" })),
        ("it_team", "housekeeping_run", json!({})),
        ("artist", "notification_read", json!({ "positions": [], "read": true })),
    ] {
        let answer =
            async || lab.app.call(lab.who(who), call(op, fields.clone()), Some(op)).await.unwrap();
        let first = answer().await;
        assert!(!first.is_null(), "{op}");
        assert_eq!(answer().await, first, "{op}");
    }
}
