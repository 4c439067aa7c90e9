//! What follows a delivery: the hooks of its project and category, asked for in the
//! transaction that says it is delivered, so that a kill in between loses none.

use serde_json::json;

use super::service::subject;
use super::state::Permission;
use super::types::Transfer;
use super::{Service, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::control::outbound::{self, HookView, Message};

/// What hooks are told of.
const DELIVERED: &str = "transfer.delivered";

impl Service {
    /// Asks for every hook that follows this delivery.
    pub(super) async fn ask_hooks(
        &self,
        unit: &mut Unit,
        t: &Transfer,
        receipt_sha256: &str,
    ) -> Result<(), AnyError> {
        let (files, bytes) = sql::totals(unit.tx(), t.id, t.revision).await?;
        let message = Message {
            kind: DELIVERED.into(),
            timestamp: unit.now(),
            data: json!({
                "code": t.code, "title": t.title, "project": t.project, "category": t.category,
                "owner": t.owner, "revision": t.revision, "destination": t.destination,
                "manifest_digest": t.manifest_digest, "file_count": files, "total_bytes": bytes,
                "receipt_sha256": receipt_sha256, "parents": t.parents,
            }),
        };
        let standing = json!({ "state": t.state_name(), "revision": t.revision });
        let hooks = self.policy.hooks.iter().filter(|hook| hook.follows(&t.project, &t.category));
        outbound::enqueue(unit, hooks, &subject(t), &standing, &message).await
    }

    /// Lets a hook that was given up run again, under its old id. Answers all hooks of
    /// the transfer.
    ///
    /// # Errors
    /// [`super::Error::NotFound`], [`outbound::Error::NotGivenUp`], not permitted.
    pub async fn retry_hook(
        &self,
        ctx: &Ctx,
        code: &str,
        hook: &str,
    ) -> Result<Vec<HookView>, AnyError> {
        let mut unit = self.store.begin(ctx).await?;
        let t = self.load(&mut unit, code).await?;
        ctx.require(super::state::MATRIX, Permission::Transfer, Some(&t.project))?;
        outbound::retry(&mut unit, &subject(&t), hook).await?;
        let data = json!({ "hook": hook, "state": t.state_name(), "revision": t.revision });
        unit.record(&subject(&t), "transfer.hook_retried", data);
        let found = outbound::of_subject(unit.tx(), t.id).await?;
        unit.commit(found).await
    }

    /// The hooks of a transfer, and what came of each.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    pub async fn hooks(&self, ctx: &Ctx, code: &str) -> Result<Vec<HookView>, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = super::service::visible(ctx, sql::by_code(&mut tx, ctx.org, code).await?, code)?;
        outbound::of_subject(&mut tx, t.id).await
    }
}
