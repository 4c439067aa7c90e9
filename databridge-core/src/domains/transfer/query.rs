//! Looking.

use serde::Serialize;

use super::service::{sees, view_of, visible};
use super::state::{MATRIX, Permission, State, work};
use super::types::Transfer;
use super::{
    Approval, Error, FileView, Filter, Override, RevisionView, Service, TransferView, sql,
};
use crate::base::error::Error as AnyError;
use crate::control::ctx::Ctx;
use crate::control::db::Tx;
use crate::control::jobs::{self, JobView};
use crate::control::ledger;
use crate::control::outbound::{self, HookView};

/// A transfer with all that is known of it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Detail {
    /// The transfer.
    #[serde(flatten)]
    pub transfer: TransferView,
    /// Every submission.
    pub revisions: Vec<RevisionView>,
    /// Every decision of every revision.
    pub approvals: Vec<Approval>,
    /// Rules set aside in this revision.
    pub overrides: Vec<Override>,
    /// The last scan of this revision.
    pub scan: Option<serde_json::Value>,
    /// The decision on it.
    pub scan_decision: Option<serde_json::Value>,
    /// What is being done, or was given up.
    pub jobs: Vec<JobView>,
    /// What followed its delivery.
    pub hooks: Vec<HookView>,
}

/// A scan, in hand or done.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScanView {
    /// Where the transfer stands.
    pub state: String,
    /// The newest scan job, with its progress.
    pub job: Option<JobView>,
    /// What the last scan of this revision came to.
    pub report: Option<serde_json::Value>,
    /// The decision on it.
    pub decision: Option<serde_json::Value>,
}

impl Service {
    async fn find(&self, ctx: &Ctx, tx: &mut Tx, code: &str) -> Result<Transfer, AnyError> {
        visible(ctx, sql::by_code(tx, ctx.org, code).await?, code)
    }

    /// Everything about a transfer.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show(&self, ctx: &Ctx, code: &str) -> Result<Detail, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = self.find(ctx, &mut tx, code).await?;
        let totals = sql::totals(&mut tx, t.id, t.revision).await?;
        let scan = sql::last_scan(&mut tx, t.id, t.revision).await?;
        let (scan, scan_decision) = scan.map_or((None, None), |s| (Some(s.report), s.decision));
        Ok(Detail {
            transfer: view_of(ctx, &t, totals),
            revisions: sql::revisions(&mut tx, t.id).await?,
            approvals: sql::approvals(&mut tx, t.id).await?.into_iter().map(|(_, a)| a).collect(),
            overrides: sql::overrides(&mut tx, t.id, t.revision).await?,
            scan,
            scan_decision,
            jobs: jobs::list(&mut tx, ctx.org, None, Some(t.id), 20).await?,
            hooks: outbound::of_subject(&mut tx, t.id).await?,
        })
    }

    /// The scan of the current revision: how far it is, and what it came to.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn scan_report(&self, ctx: &Ctx, code: &str) -> Result<ScanView, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = self.find(ctx, &mut tx, code).await?;
        let scan = sql::last_scan(&mut tx, t.id, t.revision).await?;
        let (report, decision) = scan.map_or((None, None), |s| (Some(s.report), s.decision));
        let jobs = jobs::list(&mut tx, ctx.org, None, Some(t.id), 20).await?;
        Ok(ScanView {
            state: t.state_name(),
            job: jobs.into_iter().find(|job| job.kind == work::SCAN),
            report,
            decision,
        })
    }

    /// Transfers, newest first: all that the caller may see.
    ///
    /// # Errors
    /// [`Error::BadField`].
    pub async fn list(&self, ctx: &Ctx, filter: &Filter) -> Result<Vec<TransferView>, AnyError> {
        let limit = filter.limit.unwrap_or(50);
        if !(1..=200).contains(&limit) {
            let reason = "1 to 200".to_owned();
            return Err(Error::BadField { field: "limit", value: limit.to_string(), reason }.into());
        }
        let mut tx = self.store.db().read().await?;
        let me = self.self_id(ctx, &mut tx).await?;
        // `sees` then looks closer: at projects, and at what is denied.
        let away = ctx.actor.stands_in_for.iter().flat_map(|away| &away.grants);
        let stands_in: Vec<&str> =
            away.filter(|grant| !grant.deny).map(|grant| grant.role.as_str()).collect();
        let sight = sql::Sight {
            me,
            all: ctx.reach(MATRIX, Permission::ViewAll),
            decides: filter
                .waiting_for_me
                .then(|| ctx.roles(None).into_iter().chain(stands_in.iter().copied()).collect()),
            stands_in: stands_in.clone(),
        };
        let mut page = sql::list(&mut tx, ctx.org, &sight, filter, limit).await?;
        page.retain(|t| sees(ctx, t));
        let revisions: Vec<_> = page.iter().map(|t| (t.id, t.revision)).collect();
        let totals = sql::totals_of(&mut tx, &revisions).await?;
        let totals = |t: &Transfer| totals.get(&t.id).copied().unwrap_or_default();
        Ok(page.iter().map(|t| view_of(ctx, t, totals(t))).collect())
    }

    async fn self_id(&self, ctx: &Ctx, tx: &mut Tx) -> Result<crate::base::id::UserId, AnyError> {
        match &ctx.actor.on_behalf_of {
            None => Ok(ctx.actor.user_id),
            Some(name) => {
                let user = crate::control::identity::user_by_name(tx, ctx.org, name).await?;
                Ok(user.map_or(ctx.actor.user_id, |u| u.id))
            }
        }
    }

    /// What waits for the caller's decision.
    ///
    /// # Errors
    /// [`Error::Db`].
    pub async fn waiting(&self, ctx: &Ctx) -> Result<Vec<TransferView>, AnyError> {
        let filter = Filter { waiting_for_me: true, limit: Some(200), ..Filter::default() };
        let mut views = self.list(ctx, &filter).await?;
        views.retain(|view| {
            let mine = |stage: &super::Stage| {
                ctx.has_role(&stage.role, Some(&view.project))
                    || !ctx.in_place_of(&stage.role, &view.project).is_empty()
            };
            view.stage.as_ref().is_some_and(mine)
        });
        Ok(views)
    }

    /// The files of the current revision.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn files(&self, ctx: &Ctx, code: &str) -> Result<Vec<FileView>, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = self.find(ctx, &mut tx, code).await?;
        let files = sql::files(&mut tx, t.id, t.revision).await?;
        Ok(files
            .into_iter()
            .map(|f| FileView {
                path: f.path.to_string(),
                kind: if f.sha256.is_some() { "file" } else { "empty_dir" }.into(),
                size_bytes: f.size_bytes,
                sha256: f.sha256.map(|d| d.to_string()),
                carried_from: f.carried,
            })
            .collect())
    }

    /// What happened to a transfer after a position, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn history(
        &self,
        ctx: &Ctx,
        code: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<ledger::Page>, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = self.find(ctx, &mut tx, code).await?;
        Ok(ledger::history(&mut tx, ctx.org, Some(t.id), after, limit.clamp(1, 1000)).await?)
    }

    /// The signed receipt of a delivery, as it stands beside the payload.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NoReceipt`].
    pub async fn receipt(&self, ctx: &Ctx, code: &str) -> Result<serde_json::Value, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = self.find(ctx, &mut tx, code).await?;
        let none = || Error::NoReceipt { code: code.to_owned(), state: t.state_name() };
        // What was taken out again was delivered all the same.
        let was_delivered =
            [State::Delivered, State::Recalling, State::RecallFailed, State::Recalled];
        if !was_delivered.contains(&t.state) {
            return Err(none().into());
        }
        let text = sql::receipt(&mut tx, t.id).await?.ok_or_else(none)?;
        serde_json::from_str(&text).map_err(|e| {
            let source = e.into();
            Error::Db(crate::control::db::Error::Column { column: "receipt".into(), source }).into()
        })
    }

    /// Whether the transfer waits for a person (also one who paused it) or is at its
    /// end, and its state.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn settled(&self, ctx: &Ctx, code: &str) -> Result<(bool, String), AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = self.find(ctx, &mut tx, code).await?;
        let rests = t.state.rests() && sql::coming(&mut tx, t.id).await?.is_empty();
        Ok((rests || t.paused.is_some(), t.state_name()))
    }
}
