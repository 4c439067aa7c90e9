//! What stands beside a payload: checksums that anybody can check, the signed
//! receipt, and the same as a page to read.
//!
//! ```text
//! TRF-00042.proof/SHA256SUMS     from inside the payload: sha256sum -c ../TRF-00042.proof/SHA256SUMS
//! TRF-00042.proof/receipt.json   in-toto Statement in a DSSE envelope
//! TRF-00042.proof/receipt.txt    the same for people
//! TRF-00042.proof/receipt.pub    the public key, to be compared with one kept elsewhere
//! ```

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value as Json;
use uuid::Uuid;

use super::scanning::read_report;
use super::types::Transfer;
use super::{Error, Places, Service, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::control::ctx::Authority;
use crate::control::ledger;
use crate::media::checksum::Sha256;
use crate::media::copy::ReadBack;
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
    ) -> Result<Bundle, AnyError> {
        let sums = manifest.to_sha256sums();
        let statement = self.statement(t, manifest, &sums, read_back, verified_at).await?;
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
            transfer: receipt::Transfer {
                code: t.code.clone(),
                id: t.id.to_string(),
                revision: u32::try_from(t.revision).unwrap_or(u32::MAX),
                project: t.project.clone(),
                category: t.category.clone(),
                title: t.title.clone(),
            },
            authority: match t.authority {
                Authority::Embedded => receipt::Authority::Embedded,
                Authority::Daemon | Authority::System => receipt::Authority::Daemon,
            },
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
            copy: copy_facts(t, &copy, manifest, read_back, verified_at),
            ledger: receipt::Ledger {
                origin: self.checkpoints.origin().to_owned(),
                size,
                root: Sha256(root),
                checkpoint: self.checkpoints.sign(size, root)?,
            },
            issuer: receipt::Issuer {
                host: self.host.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            issued_at: verified_at,
        })
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
        decision,
        finished_at: report.finished_at,
    })
}

fn copy_facts(
    t: &Transfer,
    copy: &Json,
    manifest: &Manifest,
    read_back: &ReadBack,
    verified_at: Timestamp,
) -> receipt::Copy {
    let started = copy["started_at"].as_str().and_then(|at| at.parse().ok());
    receipt::Copy {
        method: copy["method"].as_str().unwrap_or("native").to_owned(),
        destination: format!("file://{}", t.destination.as_deref().unwrap_or_default()),
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

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Io { path, source }
}

/// The receipt that an earlier run of this delivery published, if it did.
///
/// # Errors
/// [`Error::ProofExists`] where something else stands in its place.
pub(super) fn find(payload: &Path, ours: &Ours) -> Result<Option<String>, AnyError> {
    let folder = Places::proof(payload);
    if folder.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let foreign = || Error::ProofExists { path: folder.display().to_string() };
    let text = std::fs::read_to_string(folder.join("receipt.json")).map_err(|_| foreign())?;
    let envelope = Envelope::from_json(&text).map_err(|_| foreign())?;
    let receipt = receipt::verify(&envelope, &ours.key, Options { allow_embedded: true })
        .map_err(|_| foreign())?;
    if receipt.transfer.id == ours.transfer && receipt.manifest.sha256 == ours.manifest {
        Ok(Some(text))
    } else {
        Err(foreign().into())
    }
}

/// Makes the proof appear whole, durably, replacing nothing.
pub(super) fn publish(
    payload: &Path,
    bundle: &Bundle,
    dir_mode: u32,
    file_mode: u32,
) -> Result<(), AnyError> {
    let folder = Places::proof(payload);
    let parent = folder.parent().unwrap_or(Path::new("/"));
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    sweep(parent, &name)?;
    let draft = parent.join(format!(".{name}.databridge-{}", Uuid::new_v4().simple()));
    std::fs::create_dir(&draft).map_err(io(&draft))?;
    let files = [
        ("SHA256SUMS", &bundle.sums),
        ("receipt.json", &bundle.receipt),
        ("receipt.txt", &bundle.text),
        ("receipt.pub", &bundle.key),
    ];
    for (name, text) in files {
        let path = draft.join(name);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(file_mode)
            .open(&path)
            .map_err(io(&path))?;
        file.write_all(text.as_bytes()).map_err(io(&path))?;
        file.set_permissions(std::fs::Permissions::from_mode(file_mode)).map_err(io(&path))?;
        file.sync_all().map_err(io(&path))?;
    }
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(dir_mode))
        .map_err(io(&draft))?;
    File::open(&draft).and_then(|f| f.sync_all()).map_err(io(&draft))?;
    reach("proof.written");
    rename_new(&draft, &folder)?;
    reach("proof.renamed");
    Ok(File::open(parent).and_then(|f| f.sync_all()).map_err(io(parent))?)
}

/// Renames without replacing; where the file system knows no such rename, after a
/// look.
fn rename_new(from: &Path, to: &Path) -> Result<(), Error> {
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST | Errno::NOTEMPTY) => {
            Err(Error::ProofExists { path: to.display().to_string() })
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if to.symlink_metadata().is_ok() {
                return Err(Error::ProofExists { path: to.display().to_string() });
            }
            std::fs::rename(from, to).map_err(io(to))
        }
        Err(error) => Err(io(to)(error.into())),
    }
}

/// Drafts of a proof, left by runs that were killed.
fn drafts(parent: &Path, name: &str) -> Result<Vec<PathBuf>, Error> {
    let prefix = format!(".{name}.databridge-");
    let entries = match std::fs::read_dir(parent) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io(parent))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io(parent))?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn sweep(parent: &Path, name: &str) -> Result<(), Error> {
    drafts(parent, name)?
        .iter()
        .try_for_each(|draft| std::fs::remove_dir_all(draft).map_err(io(draft)))
}

/// Takes the proof of a delivery that did not come to be away again; one that is
/// not ours stays.
pub(super) fn withdraw(payload: &Path, ours: &Ours) -> Result<(), AnyError> {
    let folder = Places::proof(payload);
    let parent = folder.parent().unwrap_or(Path::new("/"));
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    sweep(parent, &name)?;
    if !matches!(find(payload, ours), Ok(Some(_))) {
        return Ok(());
    }
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io(&folder)(error).into())
        }
        _ => Ok(()),
    }
}
