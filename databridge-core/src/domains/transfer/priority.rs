//! What goes first, and what stands still.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::review::reason;
use super::service::visible;
use super::state::{MATRIX, Permission};
use super::types::Transfer;
use super::{Error, Service, TransferView};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::commands::{Unit, bound};
use crate::control::ctx::Ctx;
use crate::control::jobs::URGENT;
use crate::symbols;

symbols! {
    /// How urgent a transfer is.
    #[derive(Default)]
    pub enum Priority {
        /// When nothing else is to be done.
        Low = "low",
        /// In its turn.
        #[default]
        Normal = "normal",
        /// Before its turn.
        High = "high",
        /// First of all, and in no time window's keeping.
        Urgent = "urgent",
    }
}

impl Priority {
    /// Of its jobs.
    pub(super) fn of_jobs(self) -> i64 {
        match self {
            Self::Low => -5,
            Self::Normal => 0,
            Self::High => 10,
            Self::Urgent => URGENT,
        }
    }
}

/// That a transfer stands still by somebody's wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pause {
    /// Whose.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
    /// Why, where they said so.
    pub reason: Option<String>,
}

impl Service {
    /// Loads a transfer for somebody who directs how it is executed.
    async fn direct(&self, ctx: &Ctx, code: &str) -> Result<(Unit, Transfer), AnyError> {
        let mut unit = self.store.begin(ctx).await?;
        let t = self.load(&mut unit, code).await?;
        let t = visible(ctx, Some(t), code)?;
        ctx.require(MATRIX, Permission::Transfer, Some(&t.project))?;
        bound(ctx, &t.code, t.version)?;
        Ok((unit, t))
    }

    /// Says how urgent a transfer is; work that waits is sorted anew, work in hand
    /// goes on.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotUnderWay`] where it is at its end, not
    /// permitted.
    pub async fn prioritise(
        &self,
        ctx: &Ctx,
        code: &str,
        priority: Priority,
    ) -> Result<TransferView, AnyError> {
        let (mut unit, mut t) = self.direct(ctx, code).await?;
        if t.state.is_over() {
            return Err(Error::NotUnderWay { code: t.code.clone(), state: t.state_name() }.into());
        }
        let before = std::mem::replace(&mut t.priority, priority);
        unit.direct(t.id, t.paused.is_some(), priority.of_jobs()).await?;
        let data = json!({ "priority": priority, "before": before });
        self.done(unit, t, "transfer.prioritised", data).await
    }

    /// Lets the work on a transfer stand still, within a second and in its place.
    ///
    /// # Errors
    /// [`Error::NotUnderWay`] where nothing is being done, or it is paused already.
    pub async fn pause(
        &self,
        ctx: &Ctx,
        code: &str,
        why: Option<&str>,
    ) -> Result<TransferView, AnyError> {
        let why = why.map(|why| reason(code, "pause", why)).transpose()?;
        let (mut unit, mut t) = self.direct(ctx, code).await?;
        if t.state.rests() || !t.state.is_directed() || t.paused.is_some() {
            return Err(Error::NotUnderWay { code: t.code.clone(), state: shown(&t) }.into());
        }
        t.paused = Some(Pause {
            by: ctx.actor.username.clone(),
            at: unit.now(),
            reason: why.map(str::to_owned),
        });
        unit.direct(t.id, true, t.priority.of_jobs()).await?;
        self.done(unit, t, "transfer.paused", json!({ "reason": why })).await
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// [`Error::NotPaused`].
    pub async fn resume(&self, ctx: &Ctx, code: &str) -> Result<TransferView, AnyError> {
        let (mut unit, mut t) = self.direct(ctx, code).await?;
        let Some(pause) = t.paused.take() else {
            return Err(Error::NotPaused { code: t.code.clone(), state: t.state_name() }.into());
        };
        unit.direct(t.id, false, t.priority.of_jobs()).await?;
        self.done(unit, t, "transfer.resumed", json!({ "paused_by": pause.by })).await
    }
}

fn shown(t: &Transfer) -> String {
    match t.paused {
        Some(_) => format!("{}, paused", t.state_name()),
        None => t.state_name(),
    }
}

/// Who may only create may not go before others.
pub(super) fn check_wish(ctx: &Ctx, project: &str, wish: Option<Priority>) -> Result<(), AnyError> {
    if wish.is_some_and(|wish| wish > Priority::Normal) {
        ctx.require(MATRIX, Permission::Transfer, Some(project))?;
    }
    Ok(())
}
