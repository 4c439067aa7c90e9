//! What every command of the domain shares: loading, stepping, committing.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::state::{Action, Guard, MACHINE, MATRIX, Permission, State, work};
use super::types::{Transfer, TransferView};
use super::{Error, Layout, Limits, Places, Reserve, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::{Store, Unit, bound, moved};
use crate::control::ctx::{Authority, Ctx};
use crate::control::jobs::NewJob;
use crate::control::ledger::{Signer, Subject};
use crate::control::outbound::Hook;
use crate::media::mounts::Mounts;
use crate::media::receipt::SigningKey;
use crate::media::{copy, delivery, scan};

/// What a studio decides once.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How files are scanned.
    pub scan: scan::Settings,
    /// How they are written.
    pub copy: copy::Policy,
    /// By what.
    pub methods: delivery::Methods,
    /// How much may be put into transfers, and how long unfinished uploads wait.
    pub uploads: Limits,
    /// Where deliveries belong.
    pub layout: Layout,
    /// What clients call these places.
    pub mounts: Mounts,
    /// What is to stay free.
    pub reserve: Reserve,
    /// What follows a delivery.
    pub hooks: Vec<Hook>,
}

/// The transfer domain over a store and two folders. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(super) store: Store,
    pub(super) places: Places,
    pub(super) policy: Arc<Policy>,
    pub(super) receipts: Arc<SigningKey>,
    pub(super) checkpoints: Signer,
    /// Which host this is, on receipts.
    pub(super) host: String,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Service {
    /// Over an open store.
    pub fn new(
        store: Store,
        places: Places,
        policy: Policy,
        receipts: SigningKey,
        checkpoints: Signer,
        host: String,
    ) -> Self {
        Self {
            store,
            places,
            policy: Arc::new(policy),
            receipts: Arc::new(receipts),
            checkpoints,
            host,
        }
    }

    /// The store was put back to an earlier time: what production was held to since is
    /// outdone, so that deliveries can be taken up again.
    ///
    /// # Errors
    /// [`Error::Db`].
    pub async fn raise_fences(&self, unit: &mut Unit, by: i64) -> Result<(), AnyError> {
        sql::raise_fences(unit.tx(), by).await?;
        Ok(())
    }

    /// The transfer of that code, if the caller may see it; else there is none.
    pub(super) async fn load(&self, unit: &mut Unit, code: &str) -> Result<Transfer, AnyError> {
        let org = unit.org();
        let t = sql::by_code(unit.tx(), org, code).await?;
        visible(unit.ctx(), t, code)
    }

    /// Loads the transfer and checks that the caller may take `action` on it now.
    pub(super) async fn begin(
        &self,
        ctx: &Ctx,
        code: &str,
        action: Action,
    ) -> Result<(Unit, Transfer), AnyError> {
        // An upload is no call, so that its key's reach is looked at here.
        if action == Action::Upload {
            ctx.within_scope("transfers", true)?;
        }
        let mut unit = self.store.begin(ctx).await?;
        // Files come from many at once, and with the last one many submit.
        if matches!(action, Action::Upload | Action::Submit) {
            sql::hold_transfer(unit.tx(), ctx.org, code).await?;
        }
        let mut t = self.load(&mut unit, code).await?;
        authorise(ctx, &t, action)?;
        bound(ctx, &t.code, t.version)?;
        if ctx.actor.authority == Authority::Embedded {
            t.authority = Authority::Embedded;
        }
        Ok((unit, t))
    }

    /// Takes the step in memory and enqueues the work that follows it. The caller
    /// sets what else changes and then [`save`]s.
    pub(super) async fn step(
        &self,
        unit: &mut Unit,
        t: &mut Transfer,
        action: Action,
    ) -> Result<(), AnyError> {
        let (files, _) = sql::totals(unit.tx(), t.id, t.revision).await?;
        let last = usize::try_from(t.stage).is_ok_and(|stage| stage + 1 >= t.chain.stages.len());
        let row = MACHINE.step(t.state, action, |guard| match guard {
            Guard::HasFiles => files > 0,
            Guard::LastStage => last,
            Guard::StagesLeft => !last,
        })?;
        if t.state_name().ends_with("_failed") {
            // Whatever is done about it, it is not how the transfer stands any more.
            t.failure = None;
        }
        t.state = row.to;
        if t.state.rests() || !t.state.is_directed() {
            t.paused = None;
        }
        if matches!(t.state, State::Cancelled | State::Recalled) {
            sql::release_path(unit.tx(), t.id).await?;
        }
        if let Some(kind) = row.work {
            let job = NewJob {
                kind,
                subject_id: t.id,
                // One step of one version is one piece of work, however often the
                // command is tried.
                key: format!("{}:{kind}:{}", t.code, t.version),
                payload: json!({ "revision": t.revision }),
                priority: if kind == work::TIDY { -10 } else { t.priority.of_jobs() },
                held: t.paused.is_some() && kind != work::TIDY,
            };
            unit.enqueue_anew(job).await?;
        }
        Ok(())
    }

    /// Writes the transfer as it now is, and the fact that made it so.
    pub(super) async fn save(
        &self,
        unit: &mut Unit,
        t: &mut Transfer,
        kind: &str,
        mut data: Json,
    ) -> Result<(), AnyError> {
        let now = unit.now();
        moved(sql::update(unit.tx(), t, now).await?, &t.code)?;
        t.version += 1;
        t.updated_at = now;
        if let Some(object) = data.as_object_mut() {
            object.insert("state".into(), t.state_name().into());
            object.insert("revision".into(), t.revision.into());
        }
        unit.record(&subject(t), kind, data);
        Ok(())
    }

    /// The transfer as `ctx` sees it.
    pub(super) async fn view(
        &self,
        unit: &mut Unit,
        t: &Transfer,
    ) -> Result<TransferView, AnyError> {
        let ctx = unit.ctx().clone();
        let totals = sql::totals(unit.tx(), t.id, t.revision).await?;
        Ok(view_of(&ctx, t, totals))
    }

    /// Saves, commits and answers the view.
    pub(super) async fn done(
        &self,
        mut unit: Unit,
        mut t: Transfer,
        kind: &str,
        data: Json,
    ) -> Result<TransferView, AnyError> {
        self.save(&mut unit, &mut t, kind, data).await?;
        let view = self.view(&mut unit, &t).await?;
        unit.commit(view).await
    }
}

/// What the ledger calls it.
pub(super) fn subject(t: &Transfer) -> Subject {
    Subject { kind: "transfer".into(), id: t.id, code: t.code.clone() }
}

/// A transfer that the caller may not see is not there.
pub(super) fn visible(ctx: &Ctx, t: Option<Transfer>, code: &str) -> Result<Transfer, AnyError> {
    t.filter(|t| sees(ctx, t)).ok_or_else(|| Error::NotFound(code.to_owned()).into())
}

/// Whether the caller may know of it.
pub(super) fn sees(ctx: &Ctx, t: &Transfer) -> bool {
    ctx.actor.authority == Authority::System
        || owns(ctx, t)
        || ctx.may(MATRIX, Permission::ViewAll, Some(&t.project))
        || (t.state == State::Review && reviews(ctx, t))
}

/// Whether it is the caller's own. On an embedded store also that of whoever they
/// act for.
pub(super) fn owns(ctx: &Ctx, t: &Transfer) -> bool {
    t.owner_id == ctx.actor.user_id
        || ctx.actor.on_behalf_of.as_ref().is_some_and(|name| *name == t.owner)
}

/// Whether the stage at which it stands is the caller's, or that of somebody who is away
/// and whose deputy they are.
pub(super) fn reviews(ctx: &Ctx, t: &Transfer) -> bool {
    t.stage().is_none_or(|stage| {
        ctx.has_role(&stage.role, Some(&t.project))
            || !ctx.in_place_of(&stage.role, &t.project).is_empty()
    })
}

/// Whether the caller's roles permit `action` on this transfer.
fn permitted(ctx: &Ctx, t: &Transfer, action: Action) -> bool {
    let project = Some(t.project.as_str());
    // The same action may ask for different things in different states.
    match asked(t, action) {
        None => ctx.actor.authority == Authority::System,
        Some(Permission::Review) => reviews(ctx, t),
        Some(permission @ (Permission::Create | Permission::Cancel)) => {
            let beyond_own = match permission {
                Permission::Cancel => Permission::Transfer,
                _ => Permission::Override,
            };
            ctx.may(MATRIX, permission, project)
                && (owns(ctx, t) || ctx.may(MATRIX, beyond_own, project))
        }
        Some(permission) => ctx.may(MATRIX, permission, project),
    }
}

/// As [`permitted`], as a refusal that names the roles that would do.
pub(super) fn authorise(ctx: &Ctx, t: &Transfer, action: Action) -> Result<(), AnyError> {
    if permitted(ctx, t, action) {
        return Ok(());
    }
    let permission = asked(t, action);
    let name = permission.map_or("take the system's own steps", crate::workflow::Symbol::name);
    Err(ctx.forbidden(name, roles(t, action)).into())
}

/// What `action` asks for in the state the transfer is in.
pub(super) fn asked(t: &Transfer, action: Action) -> Option<Permission> {
    let row = MACHINE.transitions.iter().find(|row| row.from == t.state && row.action == action);
    row.map_or_else(|| MACHINE.permission(action), |row| row.permission)
}

/// The roles that permit `action` on this transfer.
pub(super) fn roles(t: &Transfer, action: Action) -> Vec<String> {
    match (asked(t, action), t.stage()) {
        (Some(Permission::Review), Some(stage)) => vec![stage.role.clone()],
        (Some(permission), _) => MATRIX
            .iter()
            .filter(|(_, granted)| granted.contains(&permission))
            .map(|(role, _)| (*role).to_owned())
            .collect(),
        (None, _) => Vec::new(),
    }
}

/// The transfer as `ctx` sees it, with what they can do.
pub(super) fn view_of(ctx: &Ctx, t: &Transfer, (files, bytes): (u64, u64)) -> TransferView {
    let mut actions = MACHINE.choices(t.state);
    actions.retain(|action| permitted(ctx, t, *action));
    TransferView {
        code: t.code.clone(),
        title: t.title.clone(),
        project: t.project.clone(),
        category: t.category.clone(),
        owner: t.owner.clone(),
        state: t.state_name(),
        stage: t.stage().cloned(),
        revision: t.revision,
        version: t.version,
        chain: t.chain.name.clone(),
        chain_version: t.chain.version,
        manifest_digest: t.manifest_digest.map(|d| d.to_string()),
        file_count: files,
        total_bytes: bytes,
        reason: t.reason.clone(),
        failure: t.failure.clone(),
        priority: t.priority,
        paused: t.paused.clone(),
        destination: t.destination.clone(),
        path: t.path.clone(),
        metadata: t.metadata.clone(),
        recall: t.recall.clone(),
        parents: t.parents.clone(),
        actions,
        created_at: t.created_at,
        updated_at: t.updated_at,
        delivered_at: t.delivered_at,
    }
}
