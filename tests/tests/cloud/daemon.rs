//! Transfers whose production is an object store, by a daemon that is killed.

use std::path::{Path, PathBuf};
use std::process::Command;

use databridge_tests::delivery::names;
use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::process::run;
use databridge_tests::s3::{ACCESS_KEY, SECRET_KEY, Server, found, objects};
use databridge_tests::studio::{Place, Settings, Trouble};
use databridge_tests::tree::Listing;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A daemon that delivers to an object store, killed at each of these steps in turn.
struct Traps {
    s3: Settings,
    left: Vec<&'static str>,
}

impl Accident for Traps {
    fn settings(&mut self) -> Settings {
        let trap = self.left.pop().map(|step| ("STEP", format!("{step}:KILL").into()));
        self.s3.iter().cloned().chain(trap).collect()
    }
}

struct Lab {
    server: Server,
    life: Life<Traps>,
    folder: TempDir,
}

fn s3(server: &Server, secret: &str) -> Settings {
    vec![
        ("PRODUCTION", "s3://production/studio".into()),
        ("S3__ENDPOINT", server.endpoint().into()),
        ("S3__REGION", "us-east-1".into()),
        ("S3__ALLOW_HTTP", "true".into()),
        ("S3__ACCESS_KEY_ID", ACCESS_KEY.into()),
        ("S3__SECRET_ACCESS_KEY", secret.into()),
        ("S3__RETRY_SECONDS", "5".into()),
    ]
}

impl Lab {
    fn new(traps: &[&'static str]) -> Self {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let source = Source::media(folder.path(), 21);
        let left = traps.iter().rev().copied().collect();
        let traps = Traps { s3: s3(&server, SECRET_KEY), left };
        let life = Life::new(Place::below(folder.path()), source, traps);
        Self { server, life, folder }
    }

    fn shelf(&self) -> PathBuf {
        self.server.path("studio/film/plates")
    }

    /// Payload, manifest object and proof stand, and nothing else does; as programs
    /// of others see them.
    fn assert_delivered(&mut self) {
        assert!(
            self.life.accident.left.is_empty(),
            "not every trap sprang: {:?}",
            self.life.accident.left
        );
        // Until it is tidied up, the claim stands there, too.
        self.life.jobs();
        let (code, shelf) = (self.life.code.clone(), self.shelf());
        let visible = [code.clone(), format!("{code}.manifest.json"), format!("{code}.proof")];
        let uploads = format!(".{code}.databridge-uploads");
        let standing: Vec<_> = names(&shelf).into_iter().filter(|name| *name != uploads).collect();
        assert_eq!(standing, visible);
        assert_eq!(found(&shelf.join(uploads)), Listing::new());
        assert_eq!(found(&shelf.join(&code)), objects(&self.life.source.listing));
        assert_eq!(self.server.parts(), [""; 0]);
        let proof = shelf.join(format!("{code}.proof"));
        assert_eq!(names(&proof), ["SHA256SUMS", "receipt.json", "receipt.pub", "receipt.txt"]);
        run(Command::new("sha256sum")
            .args(["--quiet", "--strict", "-c"])
            .arg(proof.join("SHA256SUMS"))
            .current_dir(shelf.join(&code)));
        let read = |path: &Path| -> Value {
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        };
        let record = read(&shelf.join(format!("{code}.manifest.json")));
        assert_eq!(record["manifest_sha256"], self.life.show()["manifest_digest"]);
        let told = self.life.call("it", "GET", &format!("/transfers/{code}/receipt"), json!({}));
        assert_eq!(told["payload"], read(&proof.join("receipt.json"))["payload"]);
        let text = std::fs::read_to_string(proof.join("receipt.txt")).unwrap();
        assert!(text.contains("s3://production/studio/film/plates"), "{text}");
        assert!(text.contains("server"), "what the read-back was worth: {text}");
        assert_eq!(self.life.sealed()["findings"], json!([]));
        self.assert_no_secret();
    }

    /// The secret is in no log, in no answer and in no file of ours.
    fn assert_no_secret(&mut self) {
        assert!(!self.life.log().contains(SECRET_KEY));
        let grep = Command::new("grep")
            .args(["-rl", SECRET_KEY])
            .arg(self.folder.path())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&grep.stdout), "");
    }
}

#[test]
fn a_transfer_is_delivered_to_an_object_store() {
    let mut lab = Lab::new(&[]);
    lab.life.live();
    lab.assert_delivered();
    // Nothing can be moved aside whole there, and nothing else is done instead.
    let code = lab.life.code.clone();
    let recall = format!("/transfer-ops/{code}/recall");
    let refused = lab.life.try_call("it", "POST", &recall, json!({ "reason": "wrong" }));
    let Err(Trouble::Problem { status, code, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((status, code.as_str()), (409, "transfer.no_recall"));
    assert_eq!(lab.life.show()["state"], "delivered");
    lab.assert_delivered();
}

#[test]
fn it_is_delivered_whatever_step_its_daemon_is_killed_in() {
    let mut lab = Lab::new(&[
        "cloud.claimed:1",
        "cloud.prepared:1",
        "cloud.file_written:7",
        "cloud.read_back:1",
    ]);
    lab.life.live();
    lab.assert_delivered();
    let mut lab =
        Lab::new(&["proof.written:1", "proof.renamed:1", "cloud.decided:1", "cloud.published:1"]);
    lab.life.live();
    lab.assert_delivered();
    let mut lab = Lab::new(&["copy.before_commit:1", "verify.published:1", "cloud.finished:1"]);
    lab.life.live();
    lab.assert_delivered();
}

#[test]
fn one_that_is_cancelled_leaves_nothing() {
    let mut lab = Lab::new(&["cloud.file_written:7"]);
    lab.life.up_to_scanned();
    lab.life.start();
    // The daemon dies over its work; the next one takes it up, and is told to stop.
    while !lab.life.accident.left.is_empty() {
        lab.life.events();
    }
    let told = lab.life.try_call(
        "it",
        "POST",
        &format!("/transfers/{}/cancel", lab.life.code),
        json!({ "reason": "withdrawn" }),
    );
    let state = lab.life.settle();
    match (told, state.as_str()) {
        (_, "delivered") => lab.assert_delivered(),
        (Ok(_), "cancelled") => assert_eq!(found(&lab.shelf()), Listing::new()),
        (told, state) => panic!("{state}: {told:?}"),
    }
}

#[test]
fn wrong_credentials_are_a_failed_step_with_a_name() {
    let mut lab = Lab::new(&[]);
    lab.life.accident.s3 = s3(&lab.server, "another-secret-altogether");
    lab.life.up_to_scanned();
    lab.life.start();
    lab.life.expect("prepare_failed");
    let failure = lab.life.show()["failure"].clone();
    assert_eq!(failure["code"], "cloud.credentials", "{failure}");
    assert!(failure["hint"].as_str().unwrap().contains("s3.access_key_id"));
    assert!(!lab.life.log().contains("another-secret-altogether"));
    lab.life.accident.s3 = s3(&lab.server, SECRET_KEY);
    lab.life.stop();
    lab.life.act("it", "transfer-ops", "retry", json!({}));
    lab.life.expect("delivered");
    lab.assert_delivered();
}

#[test]
fn what_stands_at_the_final_prefix_is_not_touched() {
    let mut lab = Lab::new(&[]);
    lab.life.up_to_scanned();
    let stranger = lab.shelf().join(&lab.life.code).join("stranger.txt");
    databridge_tests::s3::put(&stranger, b"theirs");
    lab.life.start();
    lab.life.expect("prepare_failed");
    assert_eq!(lab.life.show()["failure"]["code"], "copy.destination_exists");
    assert_eq!(std::fs::read(&stranger).unwrap(), b"theirs");
}
