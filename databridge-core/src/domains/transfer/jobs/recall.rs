//! Moving a delivery aside.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::super::review::off_thread;
use super::super::state::{Action, State};
use super::super::types::Transfer;
use super::super::{Error, proof, sql};
use super::Job;
use crate::base::error::{Error as AnyError, ErrorKind};
use crate::base::steps::reach;
use crate::control::jobs::Watch;
use crate::control::ledger;
use crate::media::checksum::Sha256;
use crate::media::delivery::{Aside, Delivery, Moved};
use crate::media::manifest::Manifest;
use crate::media::receipt::{self, Envelope};
use crate::media::storage::Location;

/// So many differences are kept of what was moved all the same.
const TOLD: usize = 100;

/// The number of the folder that stands there.
pub(super) fn inode(place: &Location) -> Option<u64> {
    let meta = place.as_path()?.symlink_metadata().ok()?;
    meta.is_dir().then(|| meta.ino())
}

/// How what stands at `path` differs from what was published there; nothing at all is no
/// difference.
fn stands(
    path: &Path,
    manifest: &Manifest,
    published: Option<u64>,
    digests: bool,
    watch: &Watch,
) -> Result<Vec<String>, AnyError> {
    let at = |source| Error::Io { path: path.display().to_string(), source };
    let meta = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        meta => meta.map_err(at)?,
    };
    if !meta.is_dir() {
        return Ok(vec!["it is no folder".into()]);
    }
    let mut found = Vec::new();
    if published.is_some_and(|inode| inode != meta.ino()) {
        found.push("it is another folder than the one that was published".into());
    }
    let differences = match digests {
        true => manifest.check_tree(path, None, watch)?,
        false => manifest.glance(path)?,
    };
    found.extend(differences.iter().map(ToString::to_string));
    Ok(found)
}

impl Job<'_> {
    /// Moves payload and proof aside, says so in a signed statement beside them, and
    /// only then on record. Each step finds done what an earlier life did.
    pub(super) async fn recall(&self) -> Result<(), AnyError> {
        let Some(mut t) = self.subject(State::Recalling).await? else { return Ok(()) };
        let (manifest, delivery) = self.delivery(&t).await?;
        let payload = delivery.destination().clone();
        let Some(path) = payload.as_path() else {
            return Err(Error::NoRecall { code: t.code.clone(), url: payload.url() }.into());
        };
        let aside = Arc::new(Aside::of(path, &t.code));
        if let Some(found) = self.differences(&t, manifest, &delivery, &aside).await? {
            self.tell(&mut t, found).await?;
        }
        reach("recall.looked");
        let work = aside.clone();
        let moved = off_thread(move || {
            // What only served the way there: the next delivery to this path must not
            // take it for another's.
            let _ = delivery.proof().fence()?;
            delivery.finish()?;
            Ok(work.take()?)
        })
        .await?;
        if !moved.payload && !moved.proof {
            return Err(Error::NothingToRecall { path: payload.to_string() }.into());
        }
        let statement = self.state_recall(&t, &aside, moved, &payload.url()).await?;
        reach("recall.before_commit");
        let (mut unit, mut t) = self.end(&t, Action::MovedAside).await?;
        let now = unit.now();
        if let Some(recall) = &mut t.recall {
            recall.place = Some(aside.place());
            recall.recalled_at = Some(now);
        }
        sql::set_recall_receipt(unit.tx(), t.id, &statement).await?;
        let data = json!({
            "destination": payload, "path": t.path, "place": aside.place(),
            "payload_moved": moved.payload, "proof_moved": moved.proof,
            "reason": t.recall.as_ref().map(|recall| &recall.reason),
            "differences": t.recall.as_ref().map(|recall| &recall.differences),
            "by": t.recall.as_ref().map(|recall| &recall.by),
            "manifest_digest": t.manifest_digest,
            "statement_sha256": Sha256::of(statement.as_bytes()),
        });
        self.save(unit, t, "transfer.recalled", data).await
    }

    /// Puts on record how it differs, before anything is moved: once it is, nobody can look
    /// again, and what is signed in the end is to say it.
    async fn tell(&self, t: &mut Transfer, found: Vec<String>) -> Result<(), AnyError> {
        let Some(recall) = t.recall.as_mut().filter(|recall| recall.differences != found) else {
            return Ok(());
        };
        let data = json!({ "differences": found });
        recall.differences = found;
        let mut unit = self.service.store.begin(&self.ctx()).await?;
        unit.hold(self.lease).await?;
        self.service.save(&mut unit, t, "transfer.recall_differs", data).await?;
        unit.commit(()).await
    }

    /// How what stands at the path differs from what was delivered; nothing to say where an
    /// earlier life moved it. Unless it was to be moved whatever it is, a difference ends
    /// the recall, and nothing has been touched.
    async fn differences(
        &self,
        t: &Transfer,
        manifest: Manifest,
        delivery: &Arc<dyn Delivery>,
        aside: &Arc<Aside>,
    ) -> Result<Option<Vec<String>>, AnyError> {
        let (force, digests) =
            t.recall.as_ref().map_or((false, false), |recall| (recall.force, recall.digests));
        let mut tx = self.service.store.db().read().await?;
        let published = sql::payload_inode(&mut tx, t.id).await?;
        drop(tx);
        let (ours, watch) = (self.proof_key(t), self.watch.clone());
        let (delivery, aside) = (delivery.clone(), aside.clone());
        let looked = off_thread(move || {
            let Some(path) = delivery.destination().as_path() else { return Ok(None) };
            // What an earlier life moved was looked at by it.
            if aside.has_payload()? {
                return Ok(None);
            }
            let mut found = stands(path, &manifest, published, digests, &watch)?;
            if let Err(error) = proof::find(&*delivery.proof(), &ours) {
                found.push(error.to_string());
            }
            Ok(Some(found))
        });
        let found = match looked.await {
            // It was to be moved unseen, too; but to be stopped is nothing that was seen.
            Err(error) if force && error.kind() != ErrorKind::Cancelled => {
                vec![error.to_string()]
            }
            found => match found? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let path = t.destination.clone().unwrap_or_default();
        match found.is_empty() || force {
            true => Ok(Some(found.into_iter().take(TOLD).collect())),
            false => Err(Error::NotTheDelivery { code: t.code.clone(), path, found }.into()),
        }
    }

    /// The statement as it stands beside what was moved: the one that an earlier life
    /// put there, or a new one.
    async fn state_recall(
        &self,
        t: &Transfer,
        aside: &Arc<Aside>,
        moved: Moved,
        from: &str,
    ) -> Result<String, AnyError> {
        let work = aside.clone();
        if let Some(text) = off_thread(move || Ok(work.statement()?)).await?
            && self.is_ours(t, &text)
        {
            return Ok(text);
        }
        let text = self.recall_statement(t, moved, from, &aside.url()).await?;
        let (work, written) = (aside.clone(), text.clone());
        off_thread(move || Ok(work.put_statement(&written)?)).await?;
        reach("recall.stated");
        Ok(text)
    }

    fn is_ours(&self, t: &Transfer, text: &str) -> bool {
        let options = receipt::Options { allow_embedded: true };
        let key = self.service.receipts.public_key();
        let read = Envelope::from_json(text).ok();
        let read = read.and_then(|envelope| receipt::verify_recall(&envelope, &key, options).ok());
        read.flatten().is_some_and(|recall| recall.transfer.id == t.id.to_string())
    }

    async fn recall_statement(
        &self,
        t: &Transfer,
        moved: Moved,
        from: &str,
        to: &str,
    ) -> Result<String, AnyError> {
        let service = self.service;
        // Under a lease that is still ours.
        let mut unit = service.store.begin(&self.ctx()).await?;
        unit.hold(self.lease).await?;
        let now = unit.now();
        unit.commit(()).await?;
        service.seal_all().await?;
        let mut tx = service.store.db().read().await?;
        let delivered = sql::receipt(&mut tx, t.id).await?.unwrap_or_default();
        let (size, root) = ledger::seal::head(&mut tx).await?;
        drop(tx);
        let decision = t.recall.as_ref().map(|recall| receipt::Decision {
            by: recall.by.clone(),
            reason: recall.reason.clone(),
            at: recall.asked_at,
        });
        let differences = t.recall.as_ref().map(|recall| recall.differences.clone());
        let differences = differences.unwrap_or_default();
        let nobody = || receipt::Decision { by: String::new(), reason: String::new(), at: now };
        let statement = receipt::Recall {
            transfer: proof::told(t),
            authority: proof::authority(t),
            manifest_sha256: t.manifest_digest.unwrap_or(Sha256([0; 32])),
            receipt_sha256: Sha256::of(delivered.as_bytes()),
            decision: decision.unwrap_or_else(nobody),
            from: from.to_owned(),
            to: to.to_owned(),
            payload_moved: moved.payload,
            proof_moved: moved.proof,
            forced: !differences.is_empty(),
            differences,
            ledger: service.ledger_at(size, root)?,
            issuer: service.issuer(),
            issued_at: now,
        };
        Ok(receipt::sign_recall(&statement, &service.receipts)?.to_json()?)
    }
}
