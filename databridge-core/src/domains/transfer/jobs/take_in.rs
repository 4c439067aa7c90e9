//! Taking in what lies on a mount.

use serde_json::json;

use super::super::adding::{Asked, forget_failure};
use super::super::review::off_thread;
use super::super::state::Action;
use super::super::{Upload, sql};
use super::Job;
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::control::ctx::Ctx;

impl Job<'_> {
    /// Copies what was asked for into the uploads folder, or shares it, and makes all of
    /// it part of the transfer in the name of who asked, or nothing.
    pub(super) async fn take_in(&self) -> Result<(), AnyError> {
        let service = self.service;
        let mut tx = service.store.db().read().await?;
        let t = sql::by_id(&mut tx, self.lease.org, self.lease.subject_id).await?;
        drop(tx);
        let asked = serde_json::from_value::<Asked>(self.lease.payload.clone());
        let (Some(t), Ok(asked)) = (t, asked) else {
            let mut unit = service.store.begin(&self.ctx()).await?;
            unit.finish(self.lease).await?;
            return unit.commit(()).await;
        };
        let ctx = asked.by.ctx(&service.store, &self.ctx()).await?;
        // As long as it is not added, housekeeping is to know that somebody will.
        let begun = service.clone();
        let _ingest = off_thread(move || Ok(begun.ingest()?)).await?;
        let uploads = self.receive(&ctx, &t.code, &asked).await?;
        reach("take_in.received");
        match self.put(&ctx, &t.code, &asked, &uploads).await {
            Ok(ended) => {
                service.forget_blobs(&ended);
                Ok(())
            }
            Err(error) => {
                let service = service.clone();
                let _ = off_thread(move || {
                    service.forget_all(&uploads);
                    Ok(())
                })
                .await;
                Err(error)
            }
        }
    }

    /// Takes all of it in, where the quotas have room for it.
    async fn receive(&self, ctx: &Ctx, code: &str, asked: &Asked) -> Result<Vec<Upload>, AnyError> {
        let (service, lease) = (self.service.clone(), self.lease);
        let (job, epoch) = (lease.job.0.simple().to_string(), lease.epoch);
        let from = asked.from.clone();
        let (service, job, source) = off_thread(move || {
            service.forget_earlier(&job, epoch)?;
            let source = service.source(&from)?;
            Ok((service, job, source))
        })
        .await?;
        let (mut unit, mut t) = service.begin(ctx, code, Action::Upload).await?;
        service.step(&mut unit, &mut t, Action::Upload).await?;
        // What is there already may be what is replaced: `put_in` counts exactly.
        let (_, there) = sql::totals(unit.tx(), t.id, t.revision).await?;
        let room = service.room(&mut unit, &t, None).await?;
        room.hold(source.bytes().saturating_sub(there))?;
        drop(unit);
        let watch = self.watch.clone();
        off_thread(move || {
            let mut n = 0_u64;
            let name = || {
                n += 1;
                format!("{job}.{epoch}.{n}")
            };
            service.receive_all(source, name, &watch)
        })
        .await
    }

    /// Makes it part of the transfer, in one transaction with the end of the job: a
    /// worker that lost its lease moves nothing.
    async fn put(
        &self,
        ctx: &Ctx,
        code: &str,
        asked: &Asked,
        uploads: &[Upload],
    ) -> Result<Vec<uuid::Uuid>, AnyError> {
        let service = self.service;
        let (mut unit, mut t) = service.begin(ctx, code, Action::Upload).await?;
        unit.finish(self.lease).await?;
        let (mut data, ended) = service.put_in(&mut unit, &mut t, uploads).await?;
        data["from"] = json!(asked.from);
        forget_failure(&mut t, &asked.from);
        service.save(&mut unit, &mut t, "transfer.files_added", data).await?;
        unit.commit(()).await?;
        Ok(ended)
    }
}
