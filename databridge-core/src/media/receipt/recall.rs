//! The signed statement that a delivery was taken out of production again: by whom,
//! why, and where it is kept. It stands beside what was moved aside; the delivery's own
//! receipt is what it was, a statement about the past.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::statement::{self, RECALL_TYPE};
use super::text::Said;
use super::{
    Authority, Decision, Envelope, Error, Issuer, Ledger, Options, PublicKey, SigningKey, Transfer,
};
use crate::base::clock::Timestamp;
use crate::media::checksum::Sha256;

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// What had been delivered.
    pub transfer: Transfer,
    /// Who enforced the rules.
    pub authority: Authority,
    /// Its manifest digest; also the statement's subject.
    pub manifest_sha256: Sha256,
    /// Digest of the delivery's own receipt.
    pub receipt_sha256: Sha256,
    /// Who took it back, and why.
    pub decision: Decision,
    /// The URL of the folder where the payload stood.
    pub from: String,
    /// The URL of the folder where it is kept.
    pub to: String,
    /// Whether the payload still stood there and was moved.
    pub payload_moved: bool,
    /// Whether its proof did.
    pub proof_moved: bool,
    /// Whether what stood there was not what had been delivered, and was moved all the
    /// same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// How it differed; the first hundred differences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// The history that this rests on.
    pub ledger: Ledger,
    /// Who issued this.
    pub issuer: Issuer,
    /// When.
    pub issued_at: Timestamp,
}

fn about(recall: &Recall) -> (&str, Sha256) {
    (&recall.transfer.code, recall.manifest_sha256)
}

/// Signs it.
///
/// # Errors
/// As [`super::sign`].
pub fn sign_recall(recall: &Recall, key: &SigningKey) -> Result<Envelope, Error> {
    Envelope::sign(statement::to_payload(RECALL_TYPE, about(recall), recall)?, key)
}

/// Verifies the signature, then reads the statement; `None` where it speaks of something
/// else than a recall.
///
/// # Errors
/// As [`super::verify`].
pub fn verify_recall(
    envelope: &Envelope,
    key: &PublicKey,
    options: Options,
) -> Result<Option<Recall>, Error> {
    if statement::kind_of(&envelope.payload).as_deref() != Some(RECALL_TYPE) {
        return Ok(None);
    }
    let recall = statement::from_payload(RECALL_TYPE, envelope.verify(key)?, about)?;
    if recall.authority == Authority::Embedded && !options.allow_embedded {
        return Err(Error::Embedded { code: recall.transfer.code });
    }
    Ok(Some(recall))
}

/// Everything that it says, one fact a line.
pub fn recall_text(recall: &Recall) -> String {
    let Recall { transfer, decision, ledger, issuer, .. } = recall;
    let kept = |moved: bool| if moved { "moved" } else { "was gone already" };
    let mut text = format!("Recall of {}\n\n", Said(&transfer.code));
    let lines = [
        ("Title", Said(&transfer.title).to_string()),
        ("Revision", transfer.revision.to_string()),
        ("Id", Said(&transfer.id).to_string()),
        ("Manifest", format!("sha256:{}", recall.manifest_sha256)),
        ("Receipt", format!("sha256:{}", recall.receipt_sha256)),
        ("Taken back", format!("{}  by {}", decision.at, Said(&decision.by))),
        ("Because", Said(&decision.reason).to_string()),
        ("From", Said(&recall.from).to_string()),
        ("To", Said(&recall.to).to_string()),
        ("Payload", kept(recall.payload_moved).to_owned()),
        ("Proof", kept(recall.proof_moved).to_owned()),
        (
            "Issued",
            format!("{}  by {}, {}", recall.issued_at, Said(&issuer.host), Said(&issuer.version)),
        ),
        (
            "Ledger",
            format!("{} at {} events, root {}", Said(&ledger.origin), ledger.size, ledger.root),
        ),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<11} {value}");
    }
    if recall.forced {
        text.push_str("Moved       BY FORCE: it was not what had been delivered\n");
    }
    for difference in &recall.differences {
        let _ = writeln!(text, "{:<11} {}", "Differs", Said(difference));
    }
    if recall.authority == Authority::Embedded {
        text.push_str("Authority   EMBEDDED; the owner of the store could have written anything\n");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn recall() -> Recall {
        let at = Timestamp::from_micros(1_795_000_000_000_000);
        Recall {
            transfer: Transfer {
                code: "TRF-00042".into(),
                id: "0190".into(),
                revision: 2,
                project: "film".into(),
                category: "plates".into(),
                title: "shot 010".into(),
                path: Some("film/plates/TRF-00042".into()),
                metadata: Default::default(),
            },
            authority: Authority::Daemon,
            manifest_sha256: Sha256([1; 32]),
            receipt_sha256: Sha256([2; 32]),
            decision: Decision { by: "it".into(), reason: "the wrong\nplate".into(), at },
            from: "file:///p/film/plates/TRF-00042".into(),
            to: "file:///p/film/plates/.recalled/TRF-00042".into(),
            payload_moved: true,
            proof_moved: false,
            forced: false,
            differences: Vec::new(),
            ledger: Ledger {
                origin: "databridge".into(),
                size: 3,
                root: Sha256([3; 32]),
                checkpoint: String::new(),
            },
            issuer: Issuer { host: "h".into(), version: "1".into() },
            issued_at: at,
        }
    }

    #[test]
    fn a_recall_is_signed_and_is_no_receipt() {
        let key = SigningKey::generate().unwrap();
        let envelope = sign_recall(&recall(), &key).unwrap();
        let read = verify_recall(&envelope, &key.public_key(), Options::default()).unwrap();
        assert_eq!(read, Some(recall()));
        // Whoever takes it for the receipt of a delivery is told.
        let error = super::super::verify(&envelope, &key.public_key(), Options::default());
        assert!(error.unwrap_err().to_string().contains("predicate"));
        let other = SigningKey::generate().unwrap().public_key();
        assert!(verify_recall(&envelope, &other, Options::default()).is_err());
        let mut altered = envelope.clone();
        let text = String::from_utf8(altered.payload).unwrap().replace("TRF-00042", "TRF-00043");
        altered.payload = text.into_bytes();
        assert!(verify_recall(&altered, &key.public_key(), Options::default()).is_err());
    }

    #[test]
    fn no_reason_forges_a_line() {
        let text = recall_text(&recall());
        assert!(text.contains("Because     the wrong\\nplate\n"), "{text}");
        assert!(text.contains("Payload     moved\n") && text.contains("Proof       was gone"));
    }

    #[test]
    fn what_was_forced_says_what_differed() {
        let differences = vec!["a.exr: extra\nregular file".to_owned()];
        let text = recall_text(&Recall { forced: true, differences, ..recall() });
        assert!(text.contains("Moved       BY FORCE"), "{text}");
        assert!(text.contains("Differs     a.exr: extra\\nregular file\n"), "{text}");
        assert!(!recall_text(&recall()).contains("Moved"));
    }

    #[test]
    fn an_embedded_store_says_so() {
        let key = SigningKey::generate().unwrap();
        let embedded = Recall { authority: Authority::Embedded, ..recall() };
        let envelope = sign_recall(&embedded, &key).unwrap();
        assert!(verify_recall(&envelope, &key.public_key(), Options::default()).is_err());
        let options = Options { allow_embedded: true };
        assert!(verify_recall(&envelope, &key.public_key(), options).is_ok());
        assert!(recall_text(&embedded).contains("EMBEDDED"));
    }
}
