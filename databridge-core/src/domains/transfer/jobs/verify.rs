//! Reading back, signing, publishing.

use std::sync::Arc;

use serde_json::json;

use super::super::review::off_thread;
use super::super::state::{Action, State};
use super::super::types::Transfer;
use super::super::{proof, sql};
use super::{Job, fenced};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::control::jobs::Fenced;
use crate::media::checksum::Sha256;
use crate::media::copy::ReadBack;
use crate::media::delivery::{Delivery, Overtaken};
use crate::media::manifest::Manifest;

impl Job<'_> {
    pub(super) fn proof_key(&self, t: &Transfer) -> proof::Ours {
        proof::Ours {
            key: self.service.receipts.public_key(),
            transfer: t.id.to_string(),
            manifest: t.manifest_digest.unwrap_or(Sha256([0; 32])),
        }
    }

    /// Reads every byte back from production, signs what was found, publishes the
    /// proof and then the payload, and only then says that it is delivered.
    pub(super) async fn verify(&self) -> Result<(), AnyError> {
        let Some(t) = self.subject(State::Verifying).await? else { return Ok(()) };
        let (manifest, delivery) = self.delivery(&t).await?;
        let read_back = self.read_back(&delivery).await?;
        let receipt = self.publish_proof(&t, &manifest, &delivery, &read_back).await?;
        reach("verify.proof_published");
        let (work, watch) = (delivery.clone(), self.watch.clone());
        let (published, inode) = off_thread(move || {
            let published = work.publish(&watch);
            Ok((published, super::recall::inode(work.destination())))
        })
        .await?;
        let published = published.map_err(|e| fenced(self.lease, e))?;
        reach("verify.published");
        let (mut unit, mut t) = self.end(&t, Action::Deliver).await?;
        t.delivered_at = Some(unit.now());
        t.failure = None;
        sql::set_receipt(unit.tx(), t.id, &receipt).await?;
        if let Some(inode) = inode {
            sql::set_payload_inode(unit.tx(), t.id, inode).await?;
        }
        let data = json!({
            "destination": delivery.destination(), "published": published,
            "manifest_digest": t.manifest_digest, "project": t.project, "category": t.category,
            "parents": t.parents,
            "receipt_sha256": Sha256::of(receipt.as_bytes()), "receipt_key": self.service.receipts.public_key().key_id(),
        });
        let digest = Sha256::of(receipt.as_bytes()).to_string();
        self.service.ask_hooks(&mut unit, &t, &digest).await?;
        self.save(unit, t, "transfer.delivered", data).await
    }

    async fn read_back(&self, delivery: &Arc<dyn Delivery>) -> Result<ReadBack, AnyError> {
        let prepared = self.claim(delivery).await?.map_err(|e| fenced(self.lease, e))?;
        let (work, watch) = (delivery.clone(), self.watch.clone());
        off_thread(move || {
            // Whatever an earlier worker left behind is written before it is read;
            // where it left nothing to do this only looks.
            if !prepared.adopting
                && let Err(error) = work.transfer(&watch)
            {
                return Ok(Err(error));
            }
            Ok(work.verify(&watch))
        })
        .await?
        .map_err(|e| fenced(self.lease, e))
    }

    /// The proof as it stands beside the payload: the one that an earlier run
    /// published, or a new one.
    async fn publish_proof(
        &self,
        t: &Transfer,
        manifest: &Manifest,
        delivery: &Arc<dyn Delivery>,
        read_back: &ReadBack,
    ) -> Result<String, AnyError> {
        let service = self.service;
        let ours = self.proof_key(t);
        let site = delivery.proof();
        let place = site.clone();
        if let Some(receipt) = off_thread(move || proof::find(&*place, &ours)).await? {
            return Ok(receipt);
        }
        let place = site.clone();
        off_thread(move || Ok(place.claim()?)).await?.map_err(|gone| self.overtaken(gone))?;
        let verified_at = match self.record_verified(t, read_back).await {
            Ok(at) => at,
            Err(error) => {
                let _ = off_thread(move || {
                    site.step_back();
                    Ok::<_, AnyError>(())
                })
                .await;
                return Err(error);
            }
        };
        reach("verify.recorded");
        service.seal_all().await?;
        let bundle = service.bundle(t, manifest, read_back, verified_at, &**delivery).await?;
        let receipt = bundle.receipt.clone();
        off_thread(move || site.publish(&bundle.files()).map_err(|e| proof::taken(&*site, e)))
            .await?
            .map_err(|gone| self.overtaken(gone))?;
        Ok(receipt)
    }

    /// Says that production holds what was approved, under a lease that is still
    /// ours: whoever comes later finds the draft of our proof and moves it away.
    async fn record_verified(
        &self,
        t: &Transfer,
        read_back: &ReadBack,
    ) -> Result<Timestamp, AnyError> {
        let mut unit = self.service.store.begin(&self.ctx()).await?;
        unit.hold(self.lease).await?;
        let verified_at = unit.now();
        let data = json!({
            "manifest_digest": t.manifest_digest, "read_back": read_back,
            "state": t.state, "revision": t.revision,
        });
        unit.record(&super::super::service::subject(t), "transfer.verified", data);
        unit.commit(()).await?;
        Ok(verified_at)
    }

    fn overtaken(&self, _: Overtaken) -> Fenced {
        Fenced { job: self.lease.job }
    }
}
