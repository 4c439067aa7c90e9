#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::os::unix::fs::MetadataExt;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::base::clock::Timestamp;
use crate::base::error::{ErrorKind, Fault};
use crate::media::checksum::Sha256;
use crate::media::manifest::Manifest;
use crate::media::scan::{EngineInfo, Policy, Reason, Verdict};

const EMBEDDED: Options = Options { allow_embedded: true };

fn about(receipt: &Receipt) -> (&str, Sha256) {
    (&receipt.transfer.code, receipt.manifest.sha256)
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_790_000_000 + seconds) * 1_000_000)
}

fn approval(stage: &str, digest: Sha256) -> Approval {
    Approval {
        stage: stage.into(),
        role: stage.into(),
        user: format!("{stage}@studio"),
        on_behalf_of: (stage == "supervisor").then(|| "boss@studio".into()),
        at: at(60),
        manifest_digest: digest,
        separation_of_duties: stage != "line_producer",
    }
}

fn scan() -> Scan {
    Scan {
        verdict: Verdict::not_scanned(Reason::NoAntivirus),
        engines: vec![EngineInfo {
            name: "clamd".into(),
            version: "1.4.3".into(),
            signature_version: Some("27800".into()),
            signature_date: Some(at(-3600)),
            antivirus: true,
        }],
        policy: Policy { rules_suffice: true, ..Policy::default() },
        accepted: [("frames of our own farm".to_owned(), 3)].into(),
        decision: Some(Decision {
            by: "data@studio".into(),
            reason: "known vendor".into(),
            at: at(90),
        }),
        finished_at: at(80),
    }
}

fn receipt(manifest: &Manifest) -> Receipt {
    let digest = manifest.digest();
    Receipt {
        transfer: Transfer {
            path: None,
            metadata: Default::default(),
            code: "TRF-00042".into(),
            id: "0199a4c2-0000-7000-8000-000000000042".into(),
            revision: 2,
            project: "apollo".into(),
            category: "comp".into(),
            title: "Shot 010 – final".into(),
        },
        authority: Authority::Daemon,
        manifest: ManifestFacts {
            sha256: digest,
            sums_sha256: Sha256::of(manifest.to_sha256sums().as_bytes()),
            file_count: manifest.file_count(),
            total_bytes: manifest.total_bytes(),
        },
        approvals: ["team_lead", "supervisor", "line_producer"].map(|s| approval(s, digest)).into(),
        overrides: vec![Override {
            what: "stage line_producer".into(),
            by: "admin@studio".into(),
            reason: "deadline".into(),
            at: at(70),
        }],
        scan: scan(),
        copy: Copy {
            method: "native".into(),
            destination: "file:///mnt/production/apollo/comp/TRF-00042".into(),
            written_bytes: manifest.total_bytes(),
            read_back_bytes: manifest.total_bytes(),
            read_back: "direct".into(),
            started_at: at(100),
            finished_at: at(110),
        },
        ledger: Ledger {
            origin: "databridge.test/ledger".into(),
            size: 17,
            root: Sha256::of(b"root"),
            checkpoint: "databridge.test/ledger\n17\n…\n".into(),
        },
        issuer: Issuer { host: "transfer-1".into(), version: "databridge 0.1.0".into() },
        issued_at: at(120),
    }
}

fn signed() -> (Receipt, Envelope) {
    let receipt = receipt(&Manifest::default());
    let envelope = sign(&receipt, &key()).unwrap();
    (receipt, envelope)
}

#[test]
fn what_is_signed_comes_back_from_its_file() {
    let (receipt, envelope) = signed();
    let read = Envelope::from_json(&envelope.to_json().unwrap()).unwrap();
    assert_eq!(read, envelope);
    assert_eq!(verify(&read, &key().public_key(), Options::default()).unwrap(), receipt);
}

/// The vectors of the DSSE specification, `protocol.md`.
#[test]
fn pae_known_answer() {
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
}

/// RFC 8032, 7.1, test 1.
#[test]
fn ed25519_known_answer() {
    let bytes = |hex: &str| hex::decode(hex).unwrap();
    let seed = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let key = SigningKey::from_seed(&seed.clone().try_into().unwrap()).unwrap();
    assert_eq!(key.seed().unwrap().to_vec(), seed);
    assert_eq!(
        hex::encode(key.public_key().as_bytes()),
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
    assert_eq!(
        hex::encode(key.sign(b"").unwrap()),
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    );
}

#[test]
fn the_statement_is_what_in_toto_reads() {
    let (receipt, envelope) = signed();
    let file: Value = serde_json::from_str(&envelope.to_json().unwrap()).unwrap();
    assert_eq!(file["payloadType"], "application/vnd.in-toto+json");
    assert_eq!(file["signatures"][0]["keyid"], key().public_key().key_id());
    let statement: Value = serde_json::from_slice(&envelope.payload).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://databridge.dev/receipt/v1");
    let subject = json!([{
        "name": "TRF-00042",
        "digest": {"sha256": receipt.manifest.sha256.to_string()},
    }]);
    assert_eq!(statement["subject"], subject);
}

/// Every leaf of a JSON value, each changed in a copy of the whole.
fn tampered(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, inner)| {
                let mut gone = map.clone();
                gone.remove(key);
                let changed = tampered(inner).into_iter().map(|inner| {
                    let mut map = map.clone();
                    map.insert(key.clone(), inner);
                    Value::Object(map)
                });
                changed.chain([Value::Object(gone)]).collect::<Vec<_>>()
            })
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .flat_map(|(i, inner)| {
                let mut gone = list.clone();
                gone.remove(i);
                let changed = tampered(inner).into_iter().map(move |inner| {
                    let mut list = list.clone();
                    list[i] = inner;
                    Value::Array(list)
                });
                changed.chain([Value::Array(gone)]).collect::<Vec<_>>()
            })
            .collect(),
        Value::String(text) => vec![json!(format!("{text}x")), Value::Null],
        Value::Number(number) => vec![json!(number.as_u64().unwrap() + 1)],
        Value::Bool(flag) => vec![json!(!flag)],
        Value::Null => vec![json!("x")],
    }
}

#[test]
fn no_field_can_be_changed_or_taken_away() {
    let (_, envelope) = signed();
    let statement: Value = serde_json::from_slice(&envelope.payload).unwrap();
    let variants = tampered(&statement);
    assert!(variants.len() > 100);
    let public = key().public_key();
    for variant in variants {
        let mut file: Value = serde_json::from_str(&envelope.to_json().unwrap()).unwrap();
        use base64::Engine;
        let payload =
            base64::engine::general_purpose::STANDARD.encode(serde_json::to_vec(&variant).unwrap());
        file["payload"] = json!(payload);
        let forged = Envelope::from_json(&file.to_string()).unwrap();
        let error = verify(&forged, &public, EMBEDDED).unwrap_err();
        assert!(matches!(error, Error::BadSignature { .. }), "{variant}");
        assert_eq!(error.kind(), ErrorKind::CheckFailed);
    }
}

#[test]
fn no_bit_of_payload_or_signature_can_flip() {
    let (_, envelope) = signed();
    let public = key().public_key();
    let flip = |bytes: &mut [u8], bit: usize| bytes[bit / 8] ^= 1 << (bit % 8);
    for bit in 0..envelope.payload.len() * 8 {
        let mut forged = envelope.clone();
        flip(&mut forged.payload, bit);
        assert!(verify(&forged, &public, EMBEDDED).is_err());
    }
    for bit in 0..64 * 8 {
        let mut forged = envelope.clone();
        flip(&mut forged.signatures[0].sig, bit);
        assert!(verify(&forged, &public, EMBEDDED).is_err());
    }
}

#[test]
fn a_signed_statement_of_another_kind_is_refused() {
    let receipt = receipt(&Manifest::default());
    let good: Value = serde_json::from_slice(
        &statement::to_payload(PREDICATE_TYPE, about(&receipt), &receipt).unwrap(),
    )
    .unwrap();
    let with = |path: &str, value: Value| {
        let mut statement = good.clone();
        *statement.pointer_mut(path).unwrap() = value;
        let payload = serde_json::to_vec(&statement).unwrap();
        let envelope = Envelope::sign(payload, &key()).unwrap();
        verify(&envelope, &key().public_key(), EMBEDDED)
    };
    assert!(with("/subject/0/name", json!("TRF-00042")).is_ok());
    for (path, value) in [
        ("/_type", json!("https://in-toto.io/Statement/v0.1")),
        ("/predicateType", json!("https://slsa.dev/provenance/v1")),
        ("/subject/0/name", json!("TRF-00043")),
        ("/subject/0/digest/sha256", json!(Sha256::of(b"x").to_string())),
        ("/subject", json!([])),
        ("/predicate/authority", json!("nobody")),
    ] {
        assert!(matches!(with(path, value), Err(Error::Malformed { .. })), "{path}");
    }
}

#[test]
fn whose_word_it_is_matters() {
    let (mut receipt, envelope) = signed();
    let other = SigningKey::generate().unwrap().public_key();
    let error = verify(&envelope, &other, Options::default()).unwrap_err();
    assert!(matches!(error, Error::UnknownKey { .. }));
    assert_eq!(error.kind().exit_code(), 6);

    let mut claimed = envelope.clone();
    claimed.signatures[0].key_id = other.key_id();
    assert!(matches!(verify(&claimed, &other, EMBEDDED), Err(Error::BadSignature { .. })));
    let mut unnamed = envelope.clone();
    unnamed.signatures[0].key_id.clear();
    assert!(verify(&unnamed, &key().public_key(), EMBEDDED).is_ok());
    let mut unsigned = envelope.clone();
    unsigned.signatures.clear();
    assert!(matches!(verify(&unsigned, &other, EMBEDDED), Err(Error::UnknownKey { .. })));
    let mut typed = envelope;
    typed.payload_type = "application/json".into();
    assert!(matches!(
        verify(&typed, &key().public_key(), EMBEDDED),
        Err(Error::PayloadType { .. })
    ));

    receipt.authority = Authority::Embedded;
    let embedded = sign(&receipt, &key()).unwrap();
    let public = key().public_key();
    let error = verify(&embedded, &public, Options::default()).unwrap_err();
    assert!(matches!(error, Error::Embedded { .. }));
    assert_eq!(error.kind().exit_code(), 6);
    assert_eq!(verify(&embedded, &public, EMBEDDED).unwrap(), receipt);
}

#[test]
fn keys_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipt.key");
    let key = SigningKey::generate().unwrap();
    key.create_file(&path).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    assert!(matches!(key.create_file(&path), Err(Error::Io { .. })), "never overwritten");
    let read = SigningKey::read_file(&path).unwrap();
    assert_eq!(read.seed().unwrap(), key.seed().unwrap());

    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(SigningKey::read_file(&path), Err(Error::Io { .. })));

    let public = key.public_key();
    assert_eq!(PublicKey::parse(&public.to_pem()).unwrap(), public);
    assert_eq!(PublicKey::parse(&public.to_base64()).unwrap(), public);
    assert!(PublicKey::parse("c2hvcnQ=").is_err());
    assert!(PublicKey::parse(&key.to_pem().unwrap()).is_err());
    assert!(SigningKey::from_pem(&public.to_pem()).is_err());
}

#[test]
fn the_page_says_everything() {
    let (mut receipt, _) = signed();
    receipt.approvals[0].manifest_digest = Sha256::of(b"other");
    receipt.transfer.title = "line\nOverrides \u{202e}none".into();
    let page = text(&receipt);
    for fact in [
        "TRF-00042",
        "team_lead@studio as team_lead; OTHER CONTENT",
        "on behalf of boss@studio",
        "line_producer@studio as line_producer; WITHOUT separation of duties",
        "stage line_producer: by admin@studio, because: deadline",
        "not_scanned(no_antivirus)",
        "clamd 1.4.3, signatures 27800 of 2026-",
        "3 files that are not clean passed by policy, because: frames of our own farm",
        "passed by decision of data@studio, because: known vendor",
        "rules suffice",
        "Read back 0 bytes (direct)",
        "databridge.test/ledger at 17 events",
        "line\\nOverrides \\u{202e}none",
    ] {
        assert!(page.contains(fact), "{fact}\n{page}");
    }
    assert!(!page.contains("EMBEDDED"));
    receipt.authority = Authority::Embedded;
    assert!(text(&receipt).contains("EMBEDDED"));
}

#[test]
fn the_tree_against_the_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("a/empty")).unwrap();
    std::fs::write(root.join("a/one"), b"1").unwrap();
    std::fs::write(root.join("two"), b"22").unwrap();
    let manifest = Manifest::of_tree(root, None, &()).unwrap();
    let receipt = receipt(&manifest);
    let sums = manifest.to_sha256sums();
    let check = || verify_tree(&receipt, &sums, root, &());
    check().unwrap();
    assert!(matches!(
        verify_tree(&receipt, &sums.replace("two", "2wo"), root, &()),
        Err(Error::OtherManifest { what: "SHA256SUMS", .. })
    ));

    std::fs::write(root.join("two"), b"2x").unwrap();
    std::fs::write(root.join("three"), b"").unwrap();
    std::fs::remove_file(root.join("a/one")).unwrap();
    let error = check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CheckFailed);
    let Error::Tree { differences, .. } = error else { panic!("{error}") };
    let paths: Vec<_> = differences.iter().map(|d| d.path.as_str()).collect();
    assert_eq!(paths, ["a/one", "three", "two"]);

    std::fs::write(root.join("two"), b"22").unwrap();
    std::fs::remove_file(root.join("three")).unwrap();
    std::fs::write(root.join("a/one"), b"1").unwrap();
    check().unwrap();
    std::fs::remove_dir(root.join("a/empty")).unwrap();
    assert!(matches!(check(), Err(Error::OtherManifest { .. })), "an empty folder is content");
    std::fs::create_dir(root.join("a/empty")).unwrap();
    std::os::unix::fs::symlink("two", root.join("link")).unwrap();
    assert!(matches!(check(), Err(Error::Tree { .. })), "a link is not passed over");
}

proptest! {
    /// A byte of the file may change only where it changes nothing that is said:
    /// between the tokens, in how base64 is written, and in the name of the key
    /// id, which DSSE leaves optional (a field of another name is passed over).
    #[test]
    fn any_byte_of_the_file(position in any::<prop::sample::Index>(), byte: u8) {
        let (receipt, envelope) = signed();
        let json = envelope.to_json().unwrap();
        let key_id = json.find("keyid").unwrap();
        let mut file = json.into_bytes();
        let position = position.index(file.len());
        prop_assume!(file[position] != byte);
        file[position] = byte;
        let verified = String::from_utf8(file)
            .ok()
            .and_then(|json| Envelope::from_json(&json).ok())
            .and_then(|envelope| verify(&envelope, &key().public_key(), EMBEDDED).ok());
        if let Some(verified) = verified {
            let unsaid = byte.is_ascii_whitespace()
                || b"-_".contains(&byte)
                || (key_id..key_id + "keyid".len()).contains(&position);
            prop_assert!(unsaid, "byte {} as {}", position, byte);
            prop_assert_eq!(verified, receipt);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = Envelope::from_json(&text);
        let _ = PublicKey::parse(&text);
        let _ = SigningKey::from_pem(&text);
    }
}
