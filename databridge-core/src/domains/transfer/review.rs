//! Approving and rejecting. An approval holds for one manifest digest.

use std::time::Duration;

use serde_json::json;

use super::service::{authorise, owns};
use super::state::{Action, MACHINE, State};
use super::types::{Approval, Transfer, check_text};
use super::{Error, Override, Service, TransferView, sql};
use crate::base::error::Error as AnyError;
use crate::base::id::UserId;
use crate::control::commands::{Unit, moved};
use crate::control::ctx::{Authority, Ctx};
use crate::media::freeze;

/// Characters of a reason or a comment.
pub(super) const LONGEST: usize = 2000;

/// The reason for what must not be done without one.
pub(super) fn reason<'a>(
    code: &str,
    action: &'static str,
    text: &'a str,
) -> Result<&'a str, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::NoReason { code: code.to_owned(), action });
    }
    check_text("reason", text, LONGEST)?;
    Ok(text)
}

impl Service {
    /// The reviewer of the current stage agrees to what they looked at. `digest`,
    /// where it is given, is the manifest digest they saw.
    ///
    /// # Errors
    /// [`Error::ContentChanged`], [`Error::SeparationOfDuties`], [`Error::BadField`],
    /// not permitted, illegal state.
    pub async fn approve(
        &self,
        ctx: &Ctx,
        code: &str,
        digest: Option<&str>,
        comment: Option<&str>,
    ) -> Result<TransferView, AnyError> {
        if let Some(comment) = comment {
            check_text("comment", comment, LONGEST)?;
        }
        self.check_unchanged(ctx, code, Action::Approve).await?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::Approve).await?;
        let seen = t.manifest_digest.map(|d| d.to_string()).unwrap_or_default();
        if let Some(digest) = digest.filter(|d| *d != seen) {
            let reason = format!("the transfer is now {seen}");
            return Err(
                Error::BadField { field: "manifest_digest", value: digest.into(), reason }.into()
            );
        }
        let before = t.clone();
        self.step(&mut unit, &mut t, Action::Approve).await?;
        let approval = self.decision(&mut unit, &before, "approve", comment).await?;
        sql::insert_approval(unit.tx(), t.id, ctx.actor.user_id, &approval).await?;
        if t.state == State::Review {
            t.stage += 1;
        }
        let data = json!({
            "stage": approval.stage_key, "role": approval.role, "manifest_digest": seen,
            "path": t.path,
            "separate": approval.separate, "comment": comment,
            "on_behalf_of": approval.on_behalf_of,
        });
        self.done(unit, t, "transfer.approved", data).await
    }

    /// The reviewer of the current stage gives it back to its artist.
    ///
    /// # Errors
    /// [`Error::NoReason`], not permitted, illegal state.
    pub async fn reject(&self, ctx: &Ctx, code: &str, why: &str) -> Result<TransferView, AnyError> {
        let why = reason(code, "reject", why)?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::Reject).await?;
        let before = t.clone();
        self.step(&mut unit, &mut t, Action::Reject).await?;
        let rejection = self.decision(&mut unit, &before, "reject", Some(why)).await?;
        sql::insert_approval(unit.tx(), t.id, ctx.actor.user_id, &rejection).await?;
        t.reason = Some(why.to_owned());
        let data = json!({
            "stage": rejection.stage_key, "role": rejection.role, "reason": why,
            "on_behalf_of": rejection.on_behalf_of,
        });
        self.done(unit, t, "transfer.rejected", data).await
    }

    /// An admin stands in for the stages that are left.
    ///
    /// # Errors
    /// [`Error::NoReason`], [`Error::ContentChanged`], not permitted, illegal state.
    pub async fn override_approval(
        &self,
        ctx: &Ctx,
        code: &str,
        why: &str,
    ) -> Result<TransferView, AnyError> {
        let why = reason(code, "override", why)?;
        self.check_unchanged(ctx, code, Action::Override).await?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::Override).await?;
        let stage = t.stage().map(|s| s.key.clone());
        self.step(&mut unit, &mut t, Action::Override).await?;
        self.keep_override(&mut unit, &t, "approval", why).await?;
        let data = json!({ "what": "approval", "stage": stage, "reason": why });
        self.done(unit, t, "transfer.overridden", data).await
    }

    pub(super) async fn keep_override(
        &self,
        unit: &mut Unit,
        t: &Transfer,
        what: &str,
        why: &str,
    ) -> Result<(), AnyError> {
        let record = Override {
            what: what.to_owned(),
            username: unit.ctx().actor.username.clone(),
            reason: why.to_owned(),
            decided_at: unit.now(),
        };
        Ok(sql::insert_override(unit.tx(), t.id, t.revision, &record).await?)
    }

    /// The decision as it is kept. Nobody approves their own transfer, nor two
    /// stages of one; who opens the store's files cannot be held to that, so there
    /// it is recorded instead.
    async fn decision(
        &self,
        unit: &mut Unit,
        t: &Transfer,
        decision: &str,
        why: Option<&str>,
    ) -> Result<Approval, AnyError> {
        let ctx = unit.ctx().clone();
        let stage = t
            .stage()
            .cloned()
            .unwrap_or_else(|| super::Stage { key: String::new(), role: String::new() });
        let earlier: Vec<_> = sql::approvals(unit.tx(), t.id)
            .await?
            .into_iter()
            .filter(|(_, a)| a.revision == t.revision && a.decision == "approve")
            .collect();
        // Whoever let somebody else decide in their place has decided.
        let broken = |user: UserId, name: &str| {
            let decided = |(by, a): &(UserId, Approval)| {
                *by == user || a.on_behalf_of.as_deref() == Some(name)
            };
            if t.owner_id == user {
                Some("nobody approves their own transfer")
            } else if earlier.iter().any(decided) {
                Some("nobody approves two stages of one transfer")
            } else {
                None
            }
        };
        let mut wrong = match owns(&ctx, t) {
            true => Some("nobody approves their own transfer"),
            false => broken(ctx.actor.user_id, &ctx.actor.username),
        };
        let mut on_behalf_of = ctx.actor.on_behalf_of.clone();
        if !ctx.has_role(&stage.role, Some(&t.project)) && wrong.is_none() {
            let away = ctx.in_place_of(&stage.role, &t.project);
            wrong = away.first().and_then(|first| broken(first.user_id, &first.username));
            if let Some(other) = away.iter().find(|a| broken(a.user_id, &a.username).is_none()) {
                (wrong, on_behalf_of) = (None, Some(other.username.clone()));
            }
        }
        let embedded = ctx.actor.authority == Authority::Embedded;
        if let (Some(why), "approve", false) = (wrong, decision, embedded) {
            let username = ctx.actor.username.clone();
            return Err(Error::SeparationOfDuties { code: t.code.clone(), username, why }.into());
        }
        Ok(Approval {
            revision: t.revision,
            stage: t.stage,
            stage_key: stage.key,
            role: stage.role,
            decision: decision.to_owned(),
            username: ctx.actor.username.clone(),
            on_behalf_of,
            separate: wrong.is_none() && !embedded,
            reason: why.map(str::to_owned),
            manifest_digest: t.manifest_digest.map(|d| d.to_string()).unwrap_or_default(),
            decided_at: unit.now(),
        })
    }

    /// Holds the frozen tree against the facts taken when it was frozen; where they
    /// differ, every approval is void and the transfer goes back to its artist.
    pub(super) async fn check_unchanged(
        &self,
        ctx: &Ctx,
        code: &str,
        action: Action,
    ) -> Result<(), AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = sql::by_code(&mut tx, ctx.org, code).await?;
        let t = super::service::visible(ctx, t, code)?;
        authorise(ctx, &t, action)?;
        // Where the step is not legal, the command itself says so: its files may be
        // gone for good reason.
        if t.manifest_digest.is_none() || !MACHINE.actions(t.state).contains(&action) {
            return Ok(());
        }
        let facts: Vec<freeze::Fact> = sql::files(&mut tx, t.id, t.revision)
            .await?
            .into_iter()
            .filter_map(|f| f.fact)
            .collect();
        drop(tx);
        let root = self.places.frozen(&t.code, t.revision);
        let changes = off_thread(move || Ok(freeze::changes(&root, &facts)?)).await?;
        if changes.is_empty() {
            return Ok(());
        }
        let files: Vec<String> = changes.iter().map(ToString::to_string).collect();
        self.void(&Ctx::system(ctx.org), &t, &files, None).await?;
        Err(Error::ContentChanged { code: code.to_owned(), files }.into())
    }

    /// Voids every approval because the content of the revision that was looked at is
    /// not what was approved; where a job noticed, it ends with that.
    pub(super) async fn void(
        &self,
        ctx: &Ctx,
        seen: &Transfer,
        files: &[String],
        lease: Option<&crate::control::jobs::Lease>,
    ) -> Result<(), AnyError> {
        let (mut unit, mut t) = self.begin(ctx, &seen.code, Action::Void).await?;
        // Somebody may have submitted another revision in the meantime.
        moved(u64::from(t.revision == seen.revision), &t.code)?;
        self.step(&mut unit, &mut t, Action::Void).await?;
        t.reason = Some("content_changed".into());
        let named: Vec<&String> = files.iter().take(100).collect();
        let data = json!({ "reason": "content_changed", "files": named, "count": files.len() });
        self.save(&mut unit, &mut t, "transfer.approvals_voided", data).await?;
        if let Some(lease) = lease {
            unit.finish(lease).await?;
        }
        unit.commit(()).await
    }
}

/// Runs what blocks on a thread of its own.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AnyError> + Send + 'static,
) -> Result<T, AnyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(Error::Io { path: "a worker thread".into(), source: std::io::Error::other(error) }
                .into())
        }
    }
}

/// A transaction is heard of so often while work beside it blocks: the server ends one that
/// is silent for ten seconds.
const HEARD: Duration = Duration::from_secs(2);

/// The same beside an open transaction, which stays open however long a mount takes.
pub(super) async fn beside<T: Send + 'static>(
    unit: &mut Unit,
    work: impl FnOnce() -> Result<T, AnyError> + Send + 'static,
) -> Result<T, AnyError> {
    let mut working = std::pin::pin!(off_thread(work));
    let mut heard = Ok(());
    loop {
        match tokio::time::timeout(HEARD, &mut working).await {
            Ok(done) => return heard.map_err(AnyError::from).and(done),
            // What is being done comes to its end whatever has become of the transaction.
            Err(_) if heard.is_err() => {}
            Err(_) => heard = unit.tx().now().await.map(drop),
        }
    }
}
