//! The media wing's deliveries to and from an object store.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use databridge_core::Fault;
use databridge_core::base::cancel::Cancel;
use databridge_core::media::cloud::{self, Settings};
use databridge_core::media::copy::{Aborted, Attempt, Error, Options, Policy};
use databridge_core::media::delivery::{self, Delivery, Found, Methods, Plan};
use databridge_core::media::manifest::Manifest;
use databridge_core::media::monitor::{Monitor, Progress};
use databridge_core::media::storage::{Location, ObjectLocation};
use databridge_tests::delivery::names;
use databridge_tests::process::run;
use databridge_tests::relay::Relay;
use databridge_tests::s3::{ACCESS_KEY, SECRET_KEY, Server, bent_wire, found, objects};
use databridge_tests::tree::{Listing, Random, digest_tree, write_media};
use tempfile::TempDir;
use uuid::Uuid;

fn settings(port: u16) -> Settings {
    Settings {
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        region: Some("us-east-1".into()),
        allow_http: true,
        access_key_id: Some(ACCESS_KEY.into()),
        secret_access_key: Some(SECRET_KEY.into()),
        retry_seconds: Some(20),
        ..Settings::default()
    }
}

fn at(key: &str) -> ObjectLocation {
    match Location::parse(&format!("s3://production/{key}")).unwrap() {
        Location::Object(at) => at,
        Location::Path(_) => panic!("not an object"),
    }
}

/// A server, a source, and what is in it.
struct Lab {
    server: Server,
    source: TempDir,
    listing: Listing,
}

impl Lab {
    fn new() -> Self {
        let source = tempfile::tempdir().unwrap();
        let listing = write_media(source.path(), 11);
        Self { server: Server::start(), source, listing }
    }

    /// With one file of 21 MB beside, which goes in parts.
    fn with_large() -> Self {
        let mut lab = Self::new();
        let bytes = Random::new(5).bytes(21_000_001);
        std::fs::write(lab.source.path().join("large.mov"), bytes).unwrap();
        lab.listing = digest_tree(lab.source.path());
        lab
    }

    fn settings(&self) -> Settings {
        settings(self.server.port())
    }

    fn delivery(&self, id: Uuid, epoch: u64) -> Arc<dyn Delivery> {
        self.deliver(id, epoch, self.settings())
    }

    fn deliver(&self, id: Uuid, epoch: u64, s3: Settings) -> Arc<dyn Delivery> {
        let plan = Plan {
            source: self.source.path().to_owned(),
            destination: Location::Object(at("film/TRF-1")),
            manifest: Manifest::of_tree(self.source.path(), None, &()).unwrap(),
            attempt: Attempt { id, epoch },
            policy: Policy::default(),
        };
        delivery::open(plan, &Methods { s3, ..Methods::default() }).unwrap()
    }

    fn payload(&self) -> std::path::PathBuf {
        self.server.path("film/TRF-1")
    }

    /// The delivery stands whole, and nothing else does.
    #[track_caller]
    fn assert_delivered(&self) {
        assert_eq!(found(&self.payload()), objects(&self.listing));
        // The server leaves folders of keys that are gone.
        let beside: BTreeSet<_> = found(&self.server.path("film"))
            .into_keys()
            .map(|key| key.split('/').next().unwrap().to_owned())
            .collect();
        assert!(beside.iter().eq(["TRF-1", "TRF-1.manifest.json"]), "{beside:?}");
        assert_eq!(self.server.parts(), [""; 0]);
        let text = std::fs::read(self.server.path("film/TRF-1.manifest.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let sums: String = record["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| {
                format!("{}  {}\n", f["sha256"].as_str().unwrap(), f["path"].as_str().unwrap())
            })
            .collect();
        let list = self.source.path().with_extension("sums");
        std::fs::write(&list, sums).unwrap();
        run(Command::new("sha256sum")
            .args(["--quiet", "--strict", "-c"])
            .arg(&list)
            .current_dir(self.payload()));
        std::fs::remove_file(list).unwrap();
    }

    #[track_caller]
    fn assert_nothing(&self) {
        assert_eq!(found(&self.server.path("film")), Listing::new());
        assert_eq!(self.server.parts(), [""; 0]);
    }
}

fn phases(delivery: &dyn Delivery) -> Result<(), Error> {
    delivery.prepare()?;
    delivery.transfer(&())?;
    delivery.verify(&())?;
    delivery.publish(&())?;
    delivery.finish()
}

fn code(result: Result<impl std::fmt::Debug, Error>) -> String {
    result.unwrap_err().code().to_owned()
}

fn write(path: &Path, bytes: &[u8]) {
    databridge_tests::s3::put(path, bytes);
}

#[test]
fn a_tree_goes_there_and_comes_back() {
    let lab = Lab::with_large();
    let s3 = lab.settings();
    let place = at("film/TRF-1");
    let report = cloud::upload(lab.source.path(), &place, &Options::default(), &s3, &()).unwrap();
    assert_eq!(report.read_back.bytes, report.bytes);
    lab.assert_delivered();

    let back = tempfile::tempdir().unwrap();
    let to = back.path().join("again");
    let done = cloud::download(&place, &to, &Options::default(), &s3, &()).unwrap();
    assert_eq!(done.against, "manifest_object");
    assert_eq!(digest_tree(&to), lab.listing, "empty folders too");
    assert_eq!(names(back.path()), ["again"]);

    let described = cloud::describe(&place, &s3, None, &()).unwrap();
    let manifest = Manifest::of_tree(lab.source.path(), None, &()).unwrap();
    assert_eq!(described.manifest, manifest);
    let again = cloud::upload(lab.source.path(), &place, &Options::default(), &s3, &());
    assert_eq!(code(again), "copy.destination_exists");
    lab.assert_delivered();
}

#[test]
fn a_single_file_is_its_object() {
    let lab = Lab::with_large();
    let s3 = lab.settings();
    let file = lab.source.path().join("large.mov");
    cloud::upload(&file, &at("large.mov"), &Options::default(), &s3, &()).unwrap();
    assert_eq!(std::fs::read(lab.server.path("large.mov")).unwrap(), std::fs::read(&file).unwrap());
    let again = cloud::upload(&file, &at("large.mov"), &Options::default(), &s3, &());
    assert_eq!(code(again), "copy.destination_exists");
    let to = lab.source.path().join("back.mov");
    let done = cloud::download(&at("large.mov"), &to, &Options::default(), &s3, &()).unwrap();
    assert_eq!(done.against, "two_reads", "nothing vouches for it but itself");
    assert_eq!(std::fs::read(&to).unwrap(), std::fs::read(&file).unwrap());
}

#[test]
fn what_stands_there_is_not_touched() {
    for key in ["film/TRF-1/stranger.txt", "film/TRF-1.manifest.json"] {
        let lab = Lab::new();
        write(&lab.server.path(key), b"theirs");
        let delivery = lab.delivery(Uuid::now_v7(), 1);
        assert_eq!(code(phases(&*delivery)), "copy.destination_exists", "{key}");
        assert_eq!(delivery.abort().unwrap(), Aborted::Removed);
        assert_eq!(found(&lab.server.path("film")).len(), 1, "{key}");
    }
    // One that comes in the midst of it, in the way of a file and beside all of them.
    for name in ["edges/0000512.bin", "stranger.txt"] {
        let lab = Lab::new();
        let id = Uuid::now_v7();
        lab.delivery(id, 1).prepare().unwrap();
        write(&lab.payload().join(name), b"theirs");
        let delivery = lab.delivery(id, 2);
        delivery.prepare().unwrap();
        assert_eq!(code(delivery.transfer(&())), "copy.destination_exists", "{name}");
        assert_eq!(std::fs::read(lab.payload().join(name)).unwrap(), b"theirs");
    }
}

#[test]
fn a_tampered_object_is_caught_by_the_read_back_and_mended() {
    let lab = Lab::new();
    let id = Uuid::now_v7();
    let delivery = lab.delivery(id, 1);
    delivery.prepare().unwrap();
    delivery.transfer(&()).unwrap();
    // The storage turns a byte; ETag and length stay.
    let victim = lab.payload().join("edges/0065537.bin");
    let mut bytes = std::fs::read(&victim).unwrap();
    bytes[40_000] ^= 1;
    std::fs::write(&victim, bytes).unwrap();
    let error = delivery.verify(&()).unwrap_err();
    assert!(
        matches!(&error, Error::ReadBackMismatch { path, others: 0 } if path == "edges/0065537.bin"),
        "{error}"
    );
    assert_eq!(code(delivery.publish(&())), "copy.not_verified");
    assert!(!lab.server.path("film/TRF-1.manifest.json").exists());
    phases(&*lab.delivery(id, 2)).unwrap();
    lab.assert_delivered();
}

#[test]
fn what_changes_between_read_back_and_publishing_is_seen() {
    let lab = Lab::new();
    let delivery = lab.delivery(Uuid::now_v7(), 1);
    delivery.prepare().unwrap();
    delivery.transfer(&()).unwrap();
    delivery.verify(&()).unwrap();
    std::fs::remove_file(lab.payload().join(".hidden")).unwrap();
    assert_eq!(code(delivery.publish(&())), "copy.not_verified");
    assert!(!lab.server.path("film/TRF-1.manifest.json").exists());
}

#[test]
fn a_worker_that_was_overtaken_can_do_nothing_any_more() {
    let lab = Lab::new();
    let id = Uuid::now_v7();
    let (old, new) = (lab.delivery(id, 1), lab.delivery(id, 2));
    old.prepare().unwrap();
    old.transfer(&()).unwrap();
    old.verify(&()).unwrap();
    new.prepare().unwrap();
    assert_eq!(code(old.publish(&())), "copy.fenced");
    assert_eq!(code(old.transfer(&())), "copy.fenced");
    assert_eq!(code(old.verify(&())), "copy.fenced");
    assert_eq!(code(old.prepare()), "copy.fenced");
    assert_eq!(code(old.abort()), "copy.fenced");
    assert_eq!(code(old.finish()), "copy.fenced");
    assert!(old.proof().claim().unwrap().is_err());
    assert!(!lab.server.path("film/TRF-1.manifest.json").exists());
    let other = lab.delivery(Uuid::now_v7(), 9);
    assert_eq!(code(other.prepare()), "copy.other_delivery");
    let kept = new.transfer(&()).unwrap();
    assert_eq!(kept.files, 0, "all of it was read again, and none written");
    new.verify(&()).unwrap();
    new.publish(&()).unwrap();
    new.finish().unwrap();
    lab.assert_delivered();
    // What was done is found done.
    let late = lab.delivery(id, 3);
    assert!(late.prepare().unwrap().adopting);
    late.verify(&()).unwrap();
    assert!(late.publish(&()).unwrap().adopted);
    assert_eq!(late.abort().unwrap(), Aborted::AlreadyPublished);
    late.finish().unwrap();
    lab.assert_delivered();
}

#[test]
fn an_abort_leaves_nothing_and_nobody_goes_on_after_it() {
    let lab = Lab::with_large();
    let id = Uuid::now_v7();
    let old = lab.delivery(id, 1);
    old.prepare().unwrap();
    old.transfer(&()).unwrap();
    old.verify(&()).unwrap();
    old.proof().claim().unwrap().unwrap();
    old.proof().publish(&[("receipt.json", "{}"), ("SHA256SUMS", "")]).unwrap().unwrap();
    let new = lab.delivery(id, 2);
    assert_eq!(new.abort().unwrap(), Aborted::Removed);
    new.proof().take_away().unwrap();
    assert_eq!(new.abort().unwrap(), Aborted::Removed, "twice is no error");
    assert_eq!(code(old.publish(&())), "copy.fenced");
    assert_eq!(code(old.transfer(&())), "copy.fenced");
    lab.assert_nothing();
}

#[test]
fn a_proof_stands_once_its_receipt_does_and_is_replaced_by_nobody() {
    let lab = Lab::new();
    let id = Uuid::now_v7();
    let delivery = lab.delivery(id, 1);
    delivery.prepare().unwrap();
    let proof = delivery.proof();
    assert_eq!(proof.find().unwrap(), Found::Nothing);
    proof.claim().unwrap().unwrap();
    write(&lab.server.path("film/TRF-1.proof/receipt.json"), b"theirs");
    let refused = proof.publish(&[("receipt.json", "ours")]);
    assert_eq!(code(refused), "copy.destination_exists");
    proof.take_away().unwrap();
    assert_eq!(std::fs::read(lab.server.path("film/TRF-1.proof/receipt.json")).unwrap(), b"theirs");
}

#[test]
fn a_changed_source_does_not_become_an_object() {
    let lab = Lab::with_large();
    let delivery = lab.delivery(Uuid::now_v7(), 1);
    delivery.prepare().unwrap();
    let victim = lab.source.path().join("large.mov");
    let mut bytes = std::fs::read(&victim).unwrap();
    bytes[20_000_000] ^= 1;
    std::fs::write(&victim, bytes).unwrap();
    assert_eq!(code(delivery.transfer(&())), "copy.source_differs");
    assert!(!lab.payload().join("large.mov").exists());
    delivery.abort().unwrap();
    lab.assert_nothing();
}

#[test]
fn refusals_have_their_names_and_tell_no_secret() {
    let lab = Lab::new();
    let try_with = |settings: Settings, bucket: &str| {
        let Location::Object(place) = Location::parse(&format!("s3://{bucket}/x")).unwrap() else {
            panic!("not an object")
        };
        let error = cloud::upload(lab.source.path(), &place, &Options::default(), &settings, &())
            .unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains(SECRET_KEY) && !told.contains("wrong-secret"), "{told}");
        error.code().to_owned()
    };
    let ok = lab.settings();
    let wrong = Settings { secret_access_key: Some("wrong-secret".into()), ..ok.clone() };
    assert_eq!(try_with(wrong, "production"), "cloud.credentials");
    let unknown = Settings { access_key_id: Some("NOBODY".into()), ..ok.clone() };
    assert_eq!(try_with(unknown, "production"), "cloud.credentials");
    assert_eq!(try_with(ok.clone(), "no-such-bucket"), "cloud.bucket_missing");
    let nowhere = Settings {
        endpoint: Some(format!("http://127.0.0.1:{}", databridge_tests::process::free_port())),
        retry_seconds: Some(1),
        ..ok.clone()
    };
    assert_eq!(try_with(nowhere, "production"), "cloud.unavailable");
    let plain = Settings { allow_http: false, ..ok };
    assert_eq!(try_with(plain, "production"), "cloud.settings");
}

#[test]
fn what_the_wire_bends_the_server_refuses() {
    let lab = Lab::new();
    std::fs::write(lab.source.path().join("marked.bin"), b"what was sent: AAAA").unwrap();
    let port = bent_wire(lab.server.port(), b"sent: AAAA", b"sent: AABA");
    let delivery_id = Uuid::now_v7();
    let delivery = lab.deliver(delivery_id, 1, settings(port));
    delivery.prepare().unwrap();
    assert_eq!(code(delivery.transfer(&())), "cloud.checksum_refused");
    // The server refuses, and keeps the bent file all the same: it is read, and no
    // object of ours.
    let next = lab.delivery(delivery_id, 2);
    next.prepare().unwrap();
    assert!(next.transfer(&()).is_err());
    assert!(!lab.server.path("film/TRF-1.manifest.json").exists());
}

/// Stops once so many bytes are through.
struct StopAfter(u64, AtomicU64, Cancel);

impl Monitor for StopAfter {
    fn on(&self, progress: Progress<'_>) {
        if let Progress::Bytes(bytes) = progress
            && self.1.fetch_add(bytes, Ordering::SeqCst) + bytes >= self.0
        {
            self.2.cancel();
        }
    }
    fn cancelled(&self) -> bool {
        self.2.is_cancelled()
    }
}

#[test]
fn a_cancel_leaves_no_parts_and_the_next_life_goes_on() {
    let lab = Lab::with_large();
    let id = Uuid::now_v7();
    let delivery = lab.delivery(id, 1);
    delivery.prepare().unwrap();
    let stop = StopAfter(9_000_000, AtomicU64::new(0), Cancel::new());
    assert_eq!(code(delivery.transfer(&stop)), "copy.cancelled");
    assert_eq!(lab.server.parts(), [""; 0], "parts are paid for");
    assert!(!lab.server.path("film/TRF-1.manifest.json").exists());
    phases(&*lab.delivery(id, 2)).unwrap();
    lab.assert_delivered();
}

#[test]
fn an_upload_with_a_part_under_way_is_given_up_once_more_by_the_next_life() {
    let lab = Lab::with_large();
    // In the midst of the parts: all that goes in one piece is less.
    let relay = Relay::new(&format!("127.0.0.1:{}", lab.server.port()), [12 << 20]);
    let (id, cancel) = (Uuid::now_v7(), Cancel::new());
    let s3 = Settings { endpoint: Some(relay.url()), ..lab.settings() };
    let delivery = lab.deliver(id, 1, s3);
    delivery.prepare().unwrap();
    let notes = || found(&lab.server.path("film/.TRF-1.databridge-uploads"));
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| delivery.transfer(&cancel));
        let stop = relay.stop();
        cancel.cancel();
        assert_eq!(code(sent.join().unwrap()), "copy.cancelled");
        assert_eq!(notes().len(), 1, "nobody knows whether the part arrives");
        stop.cut();
    });
    phases(&*lab.delivery(id, 2)).unwrap();
    lab.assert_delivered();
}

/// Ends the server in the midst of an upload, and starts it again.
struct Outage<'a>(&'a std::sync::Mutex<&'a mut Server>, AtomicU64);

impl Monitor for Outage<'_> {
    fn on(&self, progress: Progress<'_>) {
        if matches!(progress, Progress::File(_)) && self.1.fetch_add(1, Ordering::SeqCst) == 5 {
            self.0.lock().unwrap().restart();
        }
    }
}

#[test]
fn a_server_that_dies_and_comes_back_is_waited_for() {
    let mut lab = Lab::with_large();
    let delivery = lab.delivery(Uuid::now_v7(), 1);
    delivery.prepare().unwrap();
    {
        let server = std::sync::Mutex::new(&mut lab.server);
        let outage = Outage(&server, AtomicU64::new(0));
        delivery.transfer(&outage).unwrap();
        assert!(outage.1.load(Ordering::SeqCst) > 5);
    }
    delivery.verify(&()).unwrap();
    delivery.publish(&()).unwrap();
    delivery.finish().unwrap();
    lab.assert_delivered();
}

#[test]
fn an_upload_that_a_dead_worker_left_is_given_up() {
    let lab = Lab::with_large();
    let id = Uuid::now_v7();
    let delivery = lab.delivery(id, 1);
    delivery.prepare().unwrap();
    // What a kill between two parts leaves: a note, and an upload nobody knows of else.
    let note = lab.server.path("film/.TRF-1.databridge-uploads/x");
    let upload = Uuid::new_v4();
    write(&note, format!("{upload}\nfilm/TRF-1/large.mov\n").as_bytes());
    phases(&*lab.delivery(id, 2)).unwrap();
    lab.assert_delivered();
}
