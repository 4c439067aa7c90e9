//! What must be true of a delivery, told by programs that others wrote:
//! `sha256sum`, `openssl`, and our own reading of the tree.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::life::{Accident, Life};
use crate::process::run;
use crate::tree::{Listing, Node, digest_tree};

/// Panics unless `folder` holds just `expected`, byte for byte.
pub fn assert_same(expected: &Listing, folder: &Path) {
    let found = digest_tree(folder);
    for (path, node) in expected {
        assert_eq!(found.get(path), Some(node), "{} in {}", path, folder.display());
    }
    let extra: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(extra.is_empty(), "{} also holds {extra:?}", folder.display());
}

/// The names right in a folder; none where there is no such folder.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// How often each kind of event happened.
pub fn count(events: &[(i64, String)]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for (_, kind) in events {
        *counts.entry(kind.as_str()).or_default() += 1;
    }
    counts
}

/// Everything that must hold once a transfer is delivered, whatever happened on
/// the way.
pub fn check<A: Accident>(life: &mut Life<A>) {
    check_jobs(life);
    let now = life.show();
    assert_eq!(now["state"], "delivered", "{now}");
    check_delivered_files(life);
    let code = life.code.clone();
    assert_eq!(names(&life.place.staging), [".uploads", &code]);
    assert_eq!(names(&life.place.staging.join(&code)), ["frozen-r1"]);
    check_uploads(life);
    check_receipt(life, &life.payload().with_file_name(format!("{code}.proof")));
    check_ledger(life);
    let events = life.events();
    let counts = count(&events);
    for (kind, times) in [
        ("transfer.created", 1),
        ("transfer.submitted", 1),
        ("transfer.frozen", 1),
        ("transfer.approved", 3),
        ("transfer.scan_accepted", 1),
        ("transfer.started", 1),
        ("transfer.delivered", 1),
    ] {
        assert_eq!(counts.get(kind), Some(&times), "{kind} in {events:?}");
    }
}

/// Production holds the payload and its proof, all of them and nothing else.
pub fn check_delivered_files<A: Accident>(life: &mut Life<A>) {
    // Until it is tidied up, the journal stands there, too.
    life.jobs();
    let (code, payload) = (life.code.clone(), life.payload());
    assert_same(&life.source.listing, &payload);
    let proof = format!("{code}.proof");
    assert_eq!(names(&life.place.production), ["film"]);
    assert_eq!(names(&life.place.production.join("film")), ["plates"]);
    assert_eq!(names(payload.parent().unwrap()), [code.clone(), proof.clone()]);
    let sums = format!("../{proof}/SHA256SUMS");
    run(Command::new("sha256sum").args(["--quiet", "--strict", "-c", &sums]).current_dir(&payload));
    let text = std::fs::read_to_string(payload.with_file_name(&proof).join("SHA256SUMS")).unwrap();
    let files = life.source.listing.values().filter(|node| matches!(node, Node::File { .. }));
    assert_eq!(text.lines().count(), files.count(), "SHA256SUMS names other files");
}

/// Everything that must hold once a transfer is cancelled.
pub fn check_cancelled<A: Accident>(life: &mut Life<A>) {
    check_jobs(life);
    let now = life.show();
    assert_eq!(now["state"], "cancelled", "{now}");
    let shelf = life.place.production.join("film/plates");
    assert_eq!(names(&shelf), [""; 0], "left in production");
    assert_eq!(names(&life.place.staging), [".uploads"]);
    check_ledger(life);
    let events = life.events();
    let counts = count(&events);
    assert_eq!(counts.get("transfer.cancelled"), Some(&1), "{events:?}");
    assert_eq!(counts.get("transfer.delivered"), None, "{events:?}");
}

/// What an accident left of an upload is swept once it is old.
fn check_uploads<A: Accident>(life: &mut Life<A>) {
    let folder = life.place.staging.join(".uploads");
    let left = names(&folder);
    if left.is_empty() {
        return;
    }
    for name in left {
        let file = File::options().write(true).open(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(8 * 24 * 3600)).unwrap();
    }
    life.place.mature();
    life.call("it", "POST", "/transfer-ops/housekeeping", json!({}));
    life.jobs();
    assert_eq!(names(&folder), [""; 0]);
}

/// No job is lost, none is given up, none was done to double effect.
fn check_jobs<A: Accident>(life: &mut Life<A>) {
    for job in life.jobs() {
        let state = job["state"].as_str().unwrap();
        assert!(state == "done" || state == "withdrawn", "{job}\n{}", life.log());
    }
}

/// Nobody changed the ledger, and every event in it has its position.
fn check_ledger<A: Accident>(life: &mut Life<A>) {
    let report = life.sealed();
    assert_eq!(report["findings"], json!([]), "{report}");
}

/// The receipt is the daemon's own, signed by the key beside it, and about just
/// these files.
fn check_receipt<A: Accident>(life: &mut Life<A>, proof: &Path) {
    assert_eq!(names(proof), ["SHA256SUMS", "receipt.json", "receipt.pub", "receipt.txt"]);
    let text = std::fs::read_to_string(proof.join("receipt.json")).unwrap();
    let told = life.call("it", "GET", &format!("/transfers/{}/receipt", life.code), json!({}));
    let envelope: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["payload"], envelope["payload"], "the store keeps another receipt");
    let payload = BASE64.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let key = std::fs::read(proof.join("receipt.pub")).unwrap();
    assert_eq!(key, std::fs::read(life.place.data.join("keys/receipt.pub")).unwrap());
    // DSSE's pre-authentication encoding.
    let kind = envelope["payloadType"].as_str().unwrap();
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend_from_slice(&payload);
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let signature = envelope["signatures"][0]["sig"].as_str().unwrap();
    run(Command::new("openssl")
        .args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"])
        .arg(put("key", &key))
        .arg("-in")
        .arg(put("signed", &signed))
        .arg("-sigfile")
        .arg(put("signature", &BASE64.decode(signature).unwrap())));
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    let predicate = statement["predicate"].to_string();
    assert!(predicate.contains(&life.code), "{statement}");
    let digest = life.show()["manifest_digest"].as_str().unwrap().to_owned();
    assert!(payload_names(&statement, &digest), "{statement}");
}

fn payload_names(statement: &Value, digest: &str) -> bool {
    statement.to_string().contains(digest)
}
