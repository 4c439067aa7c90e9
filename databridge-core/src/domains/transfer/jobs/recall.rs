//! Moving a delivery aside.

use std::sync::Arc;

use serde_json::json;

use super::super::review::off_thread;
use super::super::state::{Action, State};
use super::super::types::Transfer;
use super::super::{Error, proof, sql};
use super::Job;
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::control::ledger;
use crate::media::checksum::Sha256;
use crate::media::delivery::{Aside, Moved};
use crate::media::receipt::{self, Envelope};

impl Job<'_> {
    /// Moves payload and proof aside, says so in a signed statement beside them, and
    /// only then on record. Each step finds done what an earlier life did.
    pub(super) async fn recall(&self) -> Result<(), AnyError> {
        let Some(t) = self.subject(State::Recalling).await? else { return Ok(()) };
        let (_, delivery) = self.delivery(&t).await?;
        let payload = delivery.destination().clone();
        let Some(path) = payload.as_path() else {
            return Err(Error::NoRecall { code: t.code.clone(), url: payload.url() }.into());
        };
        let aside = Arc::new(Aside::of(path, &t.code));
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
            "by": t.recall.as_ref().map(|recall| &recall.by),
            "manifest_digest": t.manifest_digest,
            "statement_sha256": Sha256::of(statement.as_bytes()),
        });
        self.save(unit, t, "transfer.recalled", data).await
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
            ledger: service.ledger_at(size, root)?,
            issuer: service.issuer(),
            issued_at: now,
        };
        Ok(receipt::sign_recall(&statement, &service.receipts)?.to_json()?)
    }
}
