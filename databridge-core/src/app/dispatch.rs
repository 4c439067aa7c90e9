//! From a [`Call`] to the service that answers it.

mod lineage;
mod uploads;

use std::ops::ControlFlow::{self, Break, Continue};
use std::pin::Pin;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::answers::{Me, Newest, Proof, ReceiptKey};
use super::call::Decision;
use super::{App, Call, fields, routes};
use crate::base::error::Error;
use crate::control::ctx::{Ctx, Idempotency};
use crate::control::identity::{self, MATRIX, Permission};
use crate::control::{inbox, jobs, ledger};
use crate::domains::transfer::Filter;
use crate::media::checksum::Sha256;

/// The longest a history is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Events of other processes make no noise here: they are looked for.
const LOOK: Duration = Duration::from_millis(250);

/// The answer, or the call, where it is another room's.
type Told = Result<ControlFlow<Value, Call>, Error>;

macro_rules! unless_answered {
    ($told:expr) => {
        match apart(|| $told).await? {
            Break(answer) => return Ok(answer),
            Continue(call) => call,
        }
    };
}

/// Work on the heap, made in a frame that is gone before the work begins: without
/// optimisation a function has room on the stack for all that any of its branches makes,
/// and here that would be every call there is.
fn apart<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

fn json<T: Serialize>(value: T) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|e| {
        let source = e.into();
        crate::control::db::Error::Column { column: "response".into(), source }.into()
    })
}

impl App {
    /// Answers `call` for `ctx`. With an idempotency key, the same call twice is
    /// done once and answered twice.
    ///
    /// # Errors
    /// What the service says.
    pub async fn call(&self, ctx: &Ctx, call: Call, key: Option<&str>) -> Result<Value, Error> {
        if ctx.actor.scopes.is_some()
            && let Some(route) = routes::of(&call)
        {
            ctx.within_scope(route.part(), call.writes())?;
        }
        let mut ctx = ctx.clone();
        let asked = json(&call)?;
        fields::check(&asked)?;
        if let Some(key) = key.filter(|_| call.writes()) {
            fields::check_key(key)?;
            let text = asked.to_string();
            let request = match call.has_secret() {
                true => self.keys.digest(text.as_bytes()),
                false => Sha256::of(text.as_bytes()).0.to_vec(),
            };
            ctx.idempotency = Some(Idempotency { key: key.to_owned(), request });
            if let Some(answer) = self.store.replay(&ctx).await? {
                return Ok(answer);
            }
        }
        let answer = apart(|| self.answer(&ctx, call)).await;
        // The same key at the same time: the other one was first, and what is left
        // to this one is refused in many ways.
        if answer.is_err()
            && let Ok(Some(first)) = self.store.replay(&ctx).await
        {
            return Ok(first);
        }
        answer
    }

    /// Asks one room after the other. Each is on the heap, and none within another: what
    /// all of their calls need would be more than a thread's stack.
    async fn answer(&self, ctx: &Ctx, call: Call) -> Result<Value, Error> {
        let call = unless_answered!(self.answer_transfers(ctx, call));
        let call = unless_answered!(self.answer_uploads(ctx, call));
        let call = unless_answered!(self.answer_lineage(ctx, call));
        let call = unless_answered!(self.answer_runs(ctx, call));
        let call = unless_answered!(self.answer_flows(ctx, call));
        apart(|| self.answer_kernel(ctx, call)).await
    }

    async fn answer_transfers(&self, ctx: &Ctx, call: Call) -> Told {
        let t = &self.transfers;
        let answer = match call {
            Call::TransferCreate(create) => json(apart(|| t.create(ctx, create)).await?),
            Call::TransferList {
                state,
                project,
                owner,
                waiting_for_me,
                text,
                since,
                until,
                after,
                limit,
            } => {
                let waiting_for_me = waiting_for_me.unwrap_or_default();
                let filter = Filter {
                    state,
                    project,
                    owner,
                    waiting_for_me,
                    text,
                    since,
                    until,
                    after,
                    limit,
                };
                json(apart(|| t.list(ctx, &filter)).await?)
            }
            Call::TransferShow(c) => json(apart(|| t.show(ctx, &c.code)).await?),
            Call::TransferExplain(c) => json(apart(|| t.explain(ctx, &c.code)).await?),
            Call::TransferFiles(c) => json(apart(|| t.files(ctx, &c.code)).await?),
            Call::TransferRemoveFile { code, path } => {
                json(apart(|| t.remove_file(ctx, &code, &path)).await?)
            }
            Call::TransferSubmit(c) => json(apart(|| t.submit(ctx, &c.code)).await?),
            Call::TransferCancel { code, reason } => {
                json(apart(|| t.cancel(ctx, &code, reason.as_deref())).await?)
            }
            Call::TransferHistory { code, after, limit, wait } => {
                json(apart(|| self.history(ctx, &code, after, limit, wait)).await?)
            }
            Call::TransferReceipt(c) => apart(|| t.receipt(ctx, &c.code)).await,
            Call::TransferWhere(w) => json(apart(|| t.whereabouts(ctx, &w.code, w.system)).await?),
            Call::PathTranslate(p) => json(t.translate(p.from, p.to, &p.path)?),
            Call::TransferRecall(wish) => json(apart(|| t.recall(ctx, wish)).await?),
            Call::TransferRecallReceipt(c) => apart(|| t.recall_receipt(ctx, &c.code)).await,
            Call::ApprovalsWaiting {} => json(apart(|| t.waiting(ctx)).await?),
            Call::Approve { code, manifest_digest, comment } => json(
                apart(|| t.approve(ctx, &code, manifest_digest.as_deref(), comment.as_deref()))
                    .await?,
            ),
            Call::Reject(b) => json(apart(|| t.reject(ctx, &b.code, &b.reason)).await?),
            Call::OverrideApproval(b) => {
                json(apart(|| t.override_approval(ctx, &b.code, &b.reason)).await?)
            }
            Call::Scan(c) => json(apart(|| t.scan(ctx, &c.code)).await?),
            Call::ScanReport(c) => json(apart(|| t.scan_report(ctx, &c.code)).await?),
            Call::ScanEngines {} => json(apart(|| t.engines(ctx)).await?),
            Call::Decide { code, decision, reason } => json(match decision {
                Decision::Accept => apart(|| t.accept(ctx, &code, &reason)).await?,
                Decision::SendBack => apart(|| t.send_back(ctx, &code, &reason)).await?,
                Decision::Release => apart(|| t.release(ctx, &code, &reason)).await?,
                Decision::OverrideScan => apart(|| t.override_scan(ctx, &code, &reason)).await?,
            }),
            Call::Start(c) => json(apart(|| t.start(ctx, &c.code)).await?),
            Call::Retry(c) => json(apart(|| t.retry(ctx, &c.code)).await?),
            Call::TransferPriority { code, priority } => {
                json(apart(|| t.prioritise(ctx, &code, priority)).await?)
            }
            Call::TransferPause { code, reason } => {
                json(apart(|| t.pause(ctx, &code, reason.as_deref())).await?)
            }
            Call::TransferResume(c) => json(apart(|| t.resume(ctx, &c.code)).await?),
            Call::HookRetry(of) => json(apart(|| t.retry_hook(ctx, &of.code, &of.hook)).await?),
            Call::ChainList {} => json(apart(|| t.chains(ctx)).await?),
            Call::ChainDefine(new) => json(apart(|| t.define_chain(ctx, new)).await?),
            other => return Ok(Continue(other)),
        };
        answer.map(Break)
    }

    /// What the kernel itself answers.
    async fn answer_kernel(&self, ctx: &Ctx, call: Call) -> Result<Value, Error> {
        let (store, roles) = (&self.store, Self::roles());
        match call {
            Call::UserList {} => json(apart(|| identity::list_users(store, ctx)).await?),
            Call::UserCreate(new) => {
                json(apart(|| identity::create_user(store, ctx, &roles, new)).await?)
            }
            Call::UserShow { username } => {
                json(apart(|| identity::show_user(store, ctx, &username)).await?)
            }
            Call::UserChange(change) => {
                json(apart(|| identity::change_user(store, ctx, change)).await?)
            }
            Call::UserRole(change) => {
                json(apart(|| identity::set_role(store, ctx, &roles, change)).await?)
            }
            Call::UserActive { username, active } => {
                json(apart(|| identity::set_active(store, ctx, &username, active)).await?)
            }
            Call::UserPassword { username, new_password } => {
                json(apart(|| identity::set_password(store, ctx, &username, new_password)).await?)
            }
            Call::UserUnlock { username } => {
                json(apart(|| identity::unlock(store, ctx, &username)).await?)
            }
            Call::AbsenceSet(new) => json(apart(|| identity::set_absence(store, ctx, new)).await?),
            Call::AbsenceList {} => json(apart(|| identity::absences(store, ctx)).await?),
            Call::AbsenceEnd { id } => json(apart(|| identity::end_absence(store, ctx, id)).await?),
            Call::Me {} => json(Me {
                username: ctx.actor.username.clone(),
                on_behalf_of: ctx.actor.on_behalf_of.clone(),
                authority: ctx.actor.authority,
                grants: ctx.actor.grants.clone(),
                scopes: ctx.actor.scopes.clone(),
                stands_in_for: ctx
                    .actor
                    .stands_in_for
                    .iter()
                    .map(|away| away.username.clone())
                    .collect(),
            }),
            Call::Logout(of) => json(
                apart(|| identity::logout(store, ctx, of.everywhere.unwrap_or_default())).await?,
            ),
            Call::OrganisationCreate(new) => {
                json(apart(|| identity::create_organisation(store, ctx, new)).await?)
            }
            Call::KeyCreate(wish) => {
                let parts = routes::parts();
                json(apart(|| identity::create_key(store, ctx, &parts, wish)).await?)
            }
            Call::KeyList { username } => {
                json(apart(|| identity::list_keys(store, ctx, username.as_deref())).await?)
            }
            Call::KeyRevoke { name, username } => {
                json(apart(|| identity::revoke_key(store, ctx, &name, username.as_deref())).await?)
            }
            Call::Activity { subject, kind, actor, since, until, after, limit } => {
                let filter = ledger::Filter { subject, kind, actor, since, until };
                json(apart(|| self.activity(ctx, &filter, after, limit)).await?)
            }
            Call::NotificationList { unread, before, limit } => json(
                apart(|| inbox::list(store, ctx, unread.unwrap_or_default(), before, limit))
                    .await?,
            ),
            Call::NotificationRead { positions, read } => {
                json(apart(|| inbox::mark(store, ctx, &positions, read)).await?)
            }
            Call::JobList { state, limit } => {
                ctx.require(MATRIX, Permission::ManageJobs, None)?;
                let mut tx = store.db().read().await?;
                let limit = limit.unwrap_or(50).clamp(1, 200);
                json(apart(|| jobs::list(&mut tx, ctx.org, state, None, limit)).await?)
            }
            Call::HousekeepingPlan {} => json(apart(|| self.housekeeping_plan(ctx)).await?),
            Call::HousekeepingRun {} => json(apart(|| self.housekeeping_run(ctx)).await?),
            Call::HostList {} => json(apart(|| jobs::hosts::hosts(store, ctx)).await?),
            Call::BandwidthList {} => json(apart(|| jobs::bandwidth(store, ctx)).await?),
            Call::BandwidthSet(wish) => {
                json(apart(|| jobs::set_bandwidth(store, ctx, wish)).await?)
            }
            Call::LedgerVerify { checkpoints } => {
                ctx.require(MATRIX, Permission::ReadLedger, None)?;
                json(apart(|| self.verify_ledger(&checkpoints)).await?)
            }
            Call::LedgerProve { position } => {
                ctx.require(MATRIX, Permission::ReadLedger, None)?;
                apart(|| self.prove(ctx, position.unwrap_or(0))).await
            }
            Call::LedgerCheckpoint {} => {
                let (size, note) = apart(|| self.checkpoint()).await?;
                json(Newest { size, note, verifier_key: self.signer.verifier_key() })
            }
            Call::ReceiptKey {} => {
                let key = self.keys.receipt_key();
                json(ReceiptKey { pem: key.to_pem(), key_id: key.key_id().to_owned() })
            }
            _ => Err(crate::control::db::Error::NoRow.into()),
        }
    }

    /// What happened after a position, for who may read everybody's events.
    ///
    /// # Errors
    /// Not permitted.
    pub async fn activity(
        &self,
        ctx: &Ctx,
        filter: &ledger::Filter,
        after: Option<i64>,
        limit: Option<i64>,
    ) -> Result<Vec<ledger::Page>, Error> {
        ctx.require(MATRIX, Permission::ReadLedger, None)?;
        let mut tx = self.store.db().read().await?;
        let limit = limit.unwrap_or(100).clamp(1, 1000);
        Ok(apart(|| ledger::search(&mut tx, ctx.org, filter, after.unwrap_or(-1), limit)).await?)
    }

    /// The history after a position; where there is none yet and the caller wants
    /// to wait, as soon as there is.
    async fn history(
        &self,
        ctx: &Ctx,
        code: &str,
        after: Option<i64>,
        limit: Option<i64>,
        wait: Option<u64>,
    ) -> Result<Vec<ledger::Page>, Error> {
        let (after, limit) = (after.unwrap_or(-1), limit.unwrap_or(1000));
        let deadline = Instant::now() + Duration::from_secs(wait.unwrap_or(0)).min(LONGEST_WAIT);
        let mut changes = self.store.changes();
        loop {
            let page = apart(|| self.transfers.history(ctx, code, after, limit)).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !page.is_empty() || left.is_zero() {
                return Ok(page);
            }
            let _ = apart(|| tokio::time::timeout(left.min(LOOK), changes.changed())).await;
        }
    }

    /// All that somebody needs to check, without us, that an event is in the ledger:
    /// its bytes, the hashes up to the root, and the signed checkpoint over that root.
    async fn prove(&self, ctx: &Ctx, position: u64) -> Result<Value, Error> {
        let mut tx = self.store.db().read().await?;
        let (size, root) = apart(|| ledger::seal::head(&mut tx)).await?;
        let event = apart(|| ledger::seal::record(&mut tx, position)).await?;
        // One tree has the events of every organisation, and each sees its own; what made
        // the store is nobody's.
        let of = serde_json::from_str::<ledger::Event>(&event).map(|event| event.org);
        if !of.is_ok_and(|org| org == ctx.org || org.0.is_nil()) {
            return Err(ledger::Error::NoEvent { position }.into());
        }
        let hashes = apart(|| ledger::seal::inclusion(&mut tx, size, position)).await?;
        let hashes: Vec<String> = hashes.iter().map(hex::encode).collect();
        json(Proof {
            position,
            event,
            size,
            root: hex::encode(root),
            hashes,
            checkpoint: self.signer.sign(size, root)?,
            verifier_key: self.signer.verifier_key(),
        })
    }

    /// Signs the ledger as it now is.
    pub(super) async fn checkpoint(&self) -> Result<(u64, String), Error> {
        let mut tx = self.store.db().read().await?;
        let (size, root) = apart(|| ledger::seal::head(&mut tx)).await?;
        Ok((size, self.signer.sign(size, root)?))
    }
}
