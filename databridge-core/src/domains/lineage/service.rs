//! What every command of the domain shares.

use super::Error;
use super::sql;
use super::state::{MATRIX, Permission, RunAction};
use super::types::Lot;
use crate::base::error::Error as AnyError;
use crate::base::id::OrgId;
use crate::control::commands::{Store, Unit};
use crate::control::ctx::Ctx;
use crate::control::db::Tx;
use crate::control::ledger::Subject;
use crate::workflow::{Machine, Refusal, Symbol, Transition};

use super::state::Guard;

/// The lineage domain over a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    pub(super) store: Store,
}

impl Service {
    /// Over an open store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// A unit of work of somebody who may do this.
    pub(super) async fn begin(&self, ctx: &Ctx, permission: Permission) -> Result<Unit, AnyError> {
        ctx.require(MATRIX, permission, None)?;
        self.store.begin(ctx).await
    }

    /// A view for somebody who may do this.
    pub(super) async fn look(&self, ctx: &Ctx, permission: Permission) -> Result<Tx, AnyError> {
        ctx.require(MATRIX, permission, None)?;
        Ok(self.store.db().read().await?)
    }
}

/// The lot of that code; another organisation's is not there.
pub(super) async fn lot(tx: &mut Tx, org: OrgId, code: &str) -> Result<Lot, AnyError> {
    let found = sql::lot_by_code(tx, org, code).await?;
    found.ok_or_else(|| none("lot", code).into())
}

/// Nothing of that name.
pub(super) fn none(what: &'static str, name: &str) -> Error {
    Error::NotFound { what, name: name.to_owned() }
}

/// What the ledger calls a lot.
pub(super) fn lot_subject(lot: &Lot) -> Subject {
    Subject { kind: "lot".into(), id: lot.id, code: lot.lot_code.clone() }
}

/// The name under which somebody acts: whose roles they use.
pub(super) fn acting(ctx: &Ctx) -> &str {
    ctx.actor.on_behalf_of.as_deref().unwrap_or(&ctx.actor.username)
}

/// A step for a person whose roles permit it; a refusal names the roles that would do.
pub(super) fn step<S: Symbol, A: Symbol>(
    ctx: &Ctx,
    machine: &Machine<S, A, Guard, Permission>,
    state: S,
    action: A,
    resolved: bool,
) -> Result<&'static Transition<S, A, Guard, Permission>, AnyError> {
    let row = machine.transitions.iter().find(|row| row.from == state && row.action == action);
    let asked = row.map_or_else(|| machine.permission(action), |row| row.permission);
    if let Some(permission) = asked {
        ctx.require(MATRIX, permission, None)?;
    }
    Ok(machine.step(state, action, |guard| guarded(guard, resolved))?)
}

/// The same as the system, on somebody's decision.
pub(super) fn system_step<S: Symbol, A: Symbol>(
    machine: &Machine<S, A, Guard, Permission>,
    state: S,
    action: A,
    resolved: bool,
) -> Result<S, Refusal> {
    Ok(machine.step(state, action, |guard| guarded(guard, resolved))?.to)
}

fn guarded(guard: Guard, resolved: bool) -> bool {
    match guard {
        Guard::Resolved => resolved,
    }
}

/// What `ctx` can do in `state`.
pub(super) fn choices<S: Symbol, A: Symbol>(
    ctx: &Ctx,
    machine: &Machine<S, A, Guard, Permission>,
    state: S,
) -> Vec<A> {
    let mut actions = machine.choices(state);
    actions.retain(|action| {
        machine
            .transitions
            .iter()
            .filter(|row| row.from == state && row.action == *action)
            .any(|row| row.permission.is_some_and(|p| ctx.may(MATRIX, p, None)))
    });
    actions
}

/// Why a run that must be there to be moved in cannot be used.
pub(super) fn takes_lots(
    machine: &Machine<super::state::RunStatus, RunAction, Guard, Permission>,
    status: super::state::RunStatus,
) -> bool {
    !machine.is_final(status) && status != super::state::RunStatus::Completed
}
