//! Making the place ready, and writing into it.

use std::sync::Arc;

use serde_json::json;
use tracing::warn;

use super::super::review::off_thread;
use super::super::state::{Action, State};
use super::super::types::Transfer;
use super::super::{proof, sql};
use super::{Job, fenced};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::media::copy::{self, Attempt, Prepared};
use crate::media::delivery::{self, Delivery, Plan};
use crate::media::manifest::Manifest;

impl Job<'_> {
    /// How the payload gets to production, under the next fence: whoever worked on
    /// it before can no longer.
    pub(super) async fn delivery(
        &self,
        t: &Transfer,
    ) -> Result<(Manifest, Arc<dyn Delivery>), AnyError> {
        let service = self.service;
        let manifest = self.manifest(t).await?;
        let mut unit = service.store.begin(&self.ctx()).await?;
        unit.hold(self.lease).await?;
        let epoch = sql::next_fence(unit.tx(), t.id).await?;
        unit.commit(()).await?;
        let mut policy = service.policy.copy.clone();
        // What was written already needs no room.
        if matches!(t.state, State::Preparing | State::Transferring) {
            policy.reserve_bytes = service.policy.reserve.production_bytes;
        }
        let plan = Plan {
            source: service.places.frozen(&t.code, t.revision),
            destination: service.places.payload(&t.path),
            manifest: manifest.clone(),
            attempt: Attempt { id: t.id, epoch: u64::try_from(epoch).unwrap_or(0) },
            policy,
        };
        Ok((manifest, delivery::open(plan, &service.policy.methods)?))
    }

    /// Takes the delivery's files up under this fence, and then looks once more
    /// whether the lease is still ours: a worker that slept in between left nothing
    /// behind that its successor could have fenced off. Where the transfer was cancelled
    /// meanwhile nobody comes after us, and what we announced is ours to take back: it
    /// would keep the path from every other delivery.
    pub(super) async fn claim(
        &self,
        delivery: &Arc<dyn Delivery>,
    ) -> Result<Result<Prepared, copy::Error>, AnyError> {
        let work = delivery.clone();
        reach("claim.begun");
        let prepared = off_thread(move || Ok(work.prepare())).await?;
        let mut unit = self.service.store.begin(&self.ctx()).await?;
        match unit.hold(self.lease).await {
            Ok(()) => unit.commit(()).await?,
            Err(lost) => {
                let t = sql::by_id(unit.tx(), self.lease.org, self.lease.subject_id).await?;
                drop(unit);
                if t.is_some_and(|t| matches!(t.state, State::Cancelling | State::Cancelled)) {
                    self.take_back(delivery).await;
                }
                return Err(lost);
            }
        }
        Ok(prepared)
    }

    /// Undoes what we announced for nothing. Whoever cancels at the same time holds a later
    /// epoch, and refuses us.
    async fn take_back(&self, delivery: &Arc<dyn Delivery>) {
        let work = delivery.clone();
        if let Err(error) = off_thread(move || Ok(work.abort()?)).await {
            let error = error.chain();
            warn!(job = %self.lease.job, error, "what was announced was not taken back");
        }
    }

    /// Claims the final path; proves that nothing stands there.
    pub(super) async fn prepare(&self) -> Result<(), AnyError> {
        let Some(t) = self.subject(State::Preparing).await? else { return Ok(()) };
        let (_, delivery) = self.delivery(&t).await?;
        let changed = self.changes(&t).await?;
        if !changed.is_empty() {
            return self.void(&t, &delivery, &changed).await;
        }
        let (proof, ours) = (delivery.proof(), self.proof_key(&t));
        // Refused early what would be refused at the end.
        off_thread(move || proof::find(&*proof, &ours)).await?;
        let prepared = self.claim(&delivery).await?.map_err(|e| fenced(self.lease, e))?;
        reach("prepare.before_commit");
        let (unit, t) = self.end(&t, Action::Prepared).await?;
        let data = json!({ "destination": delivery.destination(), "prepared": prepared });
        self.save(unit, t, "transfer.prepared", data).await
    }

    /// Writes into the hidden partial folder, hashing what it reads.
    pub(super) async fn copy(&self) -> Result<(), AnyError> {
        let Some(t) = self.subject(State::Transferring).await? else { return Ok(()) };
        let (manifest, delivery) = self.delivery(&t).await?;
        let started_at = Timestamp::now();
        let prepared = match self.claim(&delivery).await? {
            Ok(prepared) => prepared,
            Err(error) => return self.copy_failed(&t, &delivery, error).await,
        };
        // The copy reads what the manifest names; what was added beside it only a
        // look at the whole tree finds. Once published, its source matters no more.
        let changed = self.changes(&t).await?;
        if !prepared.adopting && !changed.is_empty() {
            return self.void(&t, &delivery, &changed).await;
        }
        let (watch, work) = (self.watch.clone(), delivery.clone());
        let copied = match off_thread(move || Ok(work.transfer(&watch))).await? {
            Ok(copied) => copied,
            Err(error) => return self.copy_failed(&t, &delivery, error).await,
        };
        reach("copy.before_commit");
        let (mut unit, t) = self.end(&t, Action::Copied).await?;
        let report = json!({
            "method": delivery.method(), "started_at": started_at, "written_bytes": manifest.total_bytes(),
            "transferred": copied,
        });
        sql::set_copy_report(unit.tx(), t.id, &report).await?;
        self.save(unit, t, "transfer.copied", report).await
    }

    /// A source that is not what was approved voids the approvals.
    async fn copy_failed(
        &self,
        t: &Transfer,
        delivery: &Arc<dyn Delivery>,
        error: copy::Error,
    ) -> Result<(), AnyError> {
        let source = self.service.places.frozen(&t.code, t.revision);
        let file = match &error {
            copy::Error::SourceMissing { path }
            | copy::Error::SourceChanged { path }
            | copy::Error::SourceDiffers { path, .. } => {
                path.strip_prefix(&source).unwrap_or(path).display().to_string()
            }
            _ => return Err(fenced(self.lease, error)),
        };
        self.void(t, delivery, &[format!("{file}: {error}")]).await
    }

    /// Voids the approvals; nothing of the copy stays in production.
    async fn void(
        &self,
        t: &Transfer,
        delivery: &Arc<dyn Delivery>,
        files: &[String],
    ) -> Result<(), AnyError> {
        self.undo(t, delivery.clone()).await?;
        self.service.void(&self.ctx(), t, files, Some(self.lease)).await
    }
}
