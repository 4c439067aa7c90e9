//! What stands beside a payload: checksums that anybody can check, the signed
//! receipt, and the same as a page to read.
//!
//! ```text
//! TRF-00042.proof/SHA256SUMS     from inside the payload: sha256sum -c ../TRF-00042.proof/SHA256SUMS
//! TRF-00042.proof/receipt.json   in-toto Statement in a DSSE envelope
//! TRF-00042.proof/receipt.txt    the same for people
//! TRF-00042.proof/receipt.pub    the public key, to be compared with one kept elsewhere
//! ```

use serde_json::Value as Json;

use super::scanning::read_report;
use super::types::Transfer;
use super::{Error, Service, sql};
use crate::base::clock::Timestamp;
use crate::base::error::{Error as AnyError, Fault};
use crate::control::ctx::Authority;
use crate::control::ledger;
use crate::media::checksum::Sha256;
use crate::media::copy::{self, ReadBack};
use crate::media::delivery::{Delivery, Found, Proof};
use crate::media::manifest::Manifest;
use crate::media::receipt::{self, Envelope, Options, PublicKey, Receipt};
use crate::media::scan;

/// The files of a proof.
pub(super) struct Bundle {
    pub receipt: String,
    sums: String,
    text: String,
    key: String,
}

impl Bundle {
    /// The files, by name.
    pub fn files(&self) -> [(&'static str, &str); 4] {
        [
            ("SHA256SUMS", &self.sums),
            ("receipt.json", &self.receipt),
            ("receipt.txt", &self.text),
            ("receipt.pub", &self.key),
        ]
    }
}

/// How we know a proof as ours.
pub(super) struct Ours {
    pub key: PublicKey,
    pub transfer: String,
    pub manifest: Sha256,
}

impl Service {
    /// Gives every event its position, so that the receipt's checkpoint covers them.
    pub(super) async fn seal_all(&self) -> Result<(), AnyError> {
        if self.store.db().dialect() == crate::control::db::dialect::Dialect::Postgres {
            while self.store.seal().await? > 0 {}
        }
        Ok(())
    }

    /// Writes the statement down and signs it.
    pub(super) async fn bundle(
        &self,
        t: &Transfer,
        manifest: &Manifest,
        read_back: &ReadBack,
        verified_at: Timestamp,
        delivery: &dyn Delivery,
    ) -> Result<Bundle, AnyError> {
        let sums = manifest.to_sha256sums();
        let statement =
            self.statement(t, manifest, &sums, read_back, verified_at, delivery).await?;
        let envelope = receipt::sign(&statement, &self.receipts)?;
        Ok(Bundle {
            receipt: envelope.to_json()?,
            sums,
            text: receipt::text(&statement),
            key: self.receipts.public_key().to_pem(),
        })
    }

    async fn statement(
        &self,
        t: &Transfer,
        manifest: &Manifest,
        sums: &str,
        read_back: &ReadBack,
        verified_at: Timestamp,
        delivery: &dyn Delivery,
    ) -> Result<Receipt, AnyError> {
        let mut tx = self.store.db().read().await?;
        let approvals = sql::approvals(&mut tx, t.id).await?;
        let overrides = sql::overrides(&mut tx, t.id, t.revision).await?;
        // A scan counts for the bytes it read, and for no others.
        let scan = sql::last_scan(&mut tx, t.id, t.revision)
            .await?
            .filter(|scan| scan.manifest_digest == manifest.digest().to_string());
        let copy = sql::copy_report(&mut tx, t.id).await?.unwrap_or_default();
        let (size, root) = ledger::seal::head(&mut tx).await?;
        drop(tx);
        let approvals = approvals
            .into_iter()
            .filter(|(_, a)| a.revision == t.revision && a.decision == "approve")
            .map(|(_, a)| {
                Ok(receipt::Approval {
                    stage: a.stage_key,
                    role: a.role,
                    user: a.username,
                    on_behalf_of: a.on_behalf_of,
                    at: a.decided_at,
                    manifest_digest: sql::parse_digest(&a.manifest_digest)?,
                    separation_of_duties: a.separate,
                })
            })
            .collect::<Result<_, AnyError>>()?;
        Ok(Receipt {
            transfer: told(t),
            authority: authority(t),
            manifest: receipt::ManifestFacts {
                sha256: manifest.digest(),
                sums_sha256: Sha256::of(sums.as_bytes()),
                file_count: manifest.file_count(),
                total_bytes: manifest.total_bytes(),
            },
            approvals,
            overrides: overrides
                .into_iter()
                .map(|o| receipt::Override {
                    what: o.what,
                    by: o.username,
                    reason: o.reason,
                    at: o.decided_at,
                })
                .collect(),
            scan: scan_facts(scan, &self.policy.scan, verified_at)?,
            copy: copy_facts(&copy, manifest, read_back, verified_at, delivery),
            ledger: self.ledger_at(size, root)?,
            issuer: self.issuer(),
            issued_at: verified_at,
        })
    }

    /// The history at this size, signed.
    pub(super) fn ledger_at(&self, size: u64, root: [u8; 32]) -> Result<receipt::Ledger, AnyError> {
        Ok(receipt::Ledger {
            origin: self.checkpoints.origin().to_owned(),
            size,
            root: Sha256(root),
            checkpoint: self.checkpoints.sign(size, root)?,
        })
    }

    /// This host.
    pub(super) fn issuer(&self) -> receipt::Issuer {
        receipt::Issuer { host: self.host.clone(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// The transfer, as statements tell of it.
pub(super) fn told(t: &Transfer) -> receipt::Transfer {
    receipt::Transfer {
        code: t.code.clone(),
        id: t.id.to_string(),
        revision: u32::try_from(t.revision).unwrap_or(u32::MAX),
        project: t.project.clone(),
        category: t.category.clone(),
        title: t.title.clone(),
        path: Some(t.path.clone()),
        metadata: t
            .metadata
            .iter()
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect(),
    }
}

/// Who enforced the rules.
pub(super) fn authority(t: &Transfer) -> receipt::Authority {
    match t.authority {
        Authority::Embedded => receipt::Authority::Embedded,
        Authority::Daemon | Authority::System => receipt::Authority::Daemon,
    }
}

/// What stands for a scan that an admin set aside: nobody looked.
fn scan_facts(
    stored: Option<sql::StoredScan>,
    settings: &scan::Settings,
    now: Timestamp,
) -> Result<receipt::Scan, AnyError> {
    let Some(stored) = stored else {
        return Ok(receipt::Scan {
            verdict: scan::Verdict::not_scanned(scan::Reason::Overridden),
            engines: Vec::new(),
            policy: settings.policy.clone(),
            accepted: Default::default(),
            decision: None,
            finished_at: now,
        });
    };
    let report = read_report(stored.report)?;
    let decision = stored.decision.map(serde_json::from_value).transpose().map_err(|e| {
        Error::Db(crate::control::db::Error::Column { column: "decision".into(), source: e.into() })
    })?;
    Ok(receipt::Scan {
        verdict: report.verdict,
        engines: report.engines,
        policy: report.policy,
        accepted: report.accepted,
        decision,
        finished_at: report.finished_at,
    })
}

fn copy_facts(
    copy: &Json,
    manifest: &Manifest,
    read_back: &ReadBack,
    verified_at: Timestamp,
    delivery: &dyn Delivery,
) -> receipt::Copy {
    let started = copy["started_at"].as_str().and_then(|at| at.parse().ok());
    receipt::Copy {
        method: copy["method"].as_str().unwrap_or(delivery.method()).to_owned(),
        destination: delivery.destination().url(),
        written_bytes: manifest.total_bytes(),
        read_back_bytes: read_back.bytes,
        read_back: serde_json::to_value(read_back.worth)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default(),
        started_at: started.unwrap_or(verified_at),
        finished_at: verified_at,
    }
}

/// The receipt that an earlier run of this delivery published, if it did.
///
/// # Errors
/// [`Error::ProofExists`] where something else stands in its place.
pub(super) fn find(proof: &dyn Proof, ours: &Ours) -> Result<Option<String>, AnyError> {
    let foreign = || Error::ProofExists { path: proof.place() };
    let (text, maybe_late) = match proof.find()? {
        Found::Nothing => return Ok(None),
        Found::Receipt { text, maybe_late } => (text, maybe_late),
        Found::Foreign => return Err(foreign().into()),
    };
    let envelope = Envelope::from_json(&text).map_err(|_| foreign())?;
    let receipt = receipt::verify(&envelope, &ours.key, Options { allow_embedded: true })
        .map_err(|_| foreign())?;
    if receipt.transfer.id != ours.transfer {
        return Err(foreign().into());
    }
    match receipt.manifest.sha256 == ours.manifest {
        true => Ok(Some(text)),
        false if maybe_late => Ok(None),
        false => Err(foreign().into()),
    }
}

/// Takes the proof of a delivery that did not come to be away again, with every
/// draft of it; one that is not ours stays.
pub(super) fn withdraw(proof: &dyn Proof, ours: &Ours) -> Result<(), AnyError> {
    if proof.fence()?.is_err() {
        return Ok(());
    }
    let foreign = Error::ProofExists { path: proof.place() };
    match find(proof, ours) {
        Ok(_) => Ok(proof.take_away()?),
        Err(error) if error.code() == foreign.code() => Ok(()),
        // What cannot be looked at may be ours: a signed proof of what is not there must
        // not be left behind.
        Err(error) => Err(error),
    }
}

/// What stands where the proof belongs, by its own name.
pub(super) fn taken(proof: &dyn Proof, error: copy::Error) -> AnyError {
    match error {
        copy::Error::DestinationExists { .. } => Error::ProofExists { path: proof.place() }.into(),
        other => other.into(),
    }
}
