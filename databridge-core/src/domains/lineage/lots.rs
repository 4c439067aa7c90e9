//! Registering lots, linking them, moving them.

use std::collections::HashSet;

use serde_json::json;
use uuid::Uuid;

use super::service::{choices, lot, lot_subject, none, step, takes_lots};
use super::state::{LOTS, LotAction, LotStatus, Permission, RUNS};
use super::types::{
    self, List, Lot, LotDetail, LotView, MOST, NewLot, Parent, check_code, check_limit, check_note,
    check_step, millidegrees, milligrams,
};
use super::{Error, Service, profiles, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::{Unit, moved};
use crate::control::ctx::Ctx;
use crate::control::ledger;
use crate::workflow::Symbol;

/// What a run means for a lot that is made in it.
struct Place {
    run_id: Uuid,
    run: String,
    step_index: i64,
    flow: Option<super::schema::Schema>,
}

impl Service {
    /// Registers a lot with its parents.
    ///
    /// # Errors
    /// [`Error::BadField`], [`Error::UnknownParent`], [`Error::Exists`],
    /// [`Error::MassBalance`], not permitted.
    pub async fn register(&self, ctx: &Ctx, new: NewLot) -> Result<LotView, AnyError> {
        let mut unit = self.begin(ctx, Permission::CreateLots).await?;
        let lot = register(&mut unit, new, None).await?;
        unit.commit(lot.view()).await
    }

    /// Registers up to 1,000 lots, in order, all or none: a later one may name an
    /// earlier one as its parent.
    ///
    /// # Errors
    /// As [`Service::register`].
    pub async fn register_all(
        &self,
        ctx: &Ctx,
        lots: Vec<NewLot>,
    ) -> Result<Vec<LotView>, AnyError> {
        check_limit(i64::try_from(lots.len()).ok(), 0, 1000)?;
        let mut unit = self.begin(ctx, Permission::CreateLots).await?;
        let mut views = Vec::with_capacity(lots.len());
        for new in lots {
            views.push(register(&mut unit, new, None).await?.view());
        }
        unit.commit(views).await
    }

    /// Links a lot to another parent, after the fact.
    ///
    /// # Errors
    /// [`Error::Cycle`], [`Error::UnknownParent`], [`Error::NotFound`],
    /// [`Error::Exists`], [`Error::MassBalance`], not permitted.
    pub async fn link(&self, ctx: &Ctx, code: &str, parent: Parent) -> Result<LotView, AnyError> {
        let mut unit = self.begin(ctx, Permission::CreateLots).await?;
        let org = unit.org();
        // One link at a time: two that are each fine could together be a cycle.
        unit.tx().next_number("lineage.links").await?;
        let child = lot(unit.tx(), org, code).await?;
        let flow = match child.run_id {
            Some(run) => sql::run_schema(unit.tx(), run).await?,
            None => None,
        };
        if sql::lot_by_code(unit.tx(), org, parent.code()).await?.is_none() {
            let parent = parent.code().to_owned();
            return Err(Error::UnknownParent { child: child.lot_code, parent }.into());
        }
        let above = lot(unit.tx(), org, parent.code()).await?;
        if above.id == child.id || sql::is_below(unit.tx(), child.id, above.id).await? {
            let (child, parent) = (child.lot_code, above.lot_code);
            return Err(Error::Cycle { child, parent }.into());
        }
        attach(&mut unit, &child, std::slice::from_ref(&parent), flow.as_ref()).await?;
        unit.record(&lot_subject(&child), "lot.linked", json!({ "parents": [parent] }));
        unit.commit(child.view()).await
    }

    /// Moves a lot by hand. `note` says why; leaving HOLD takes one.
    ///
    /// # Errors
    /// [`Error::NotFound`], not permitted, illegal state, no resolution.
    pub async fn move_lot(
        &self,
        ctx: &Ctx,
        code: &str,
        to: LotStatus,
        note: Option<&str>,
    ) -> Result<LotView, AnyError> {
        let note = check_note(note)?;
        let mut unit = self.begin(ctx, Permission::UpdateLotStatus).await?;
        let org = unit.org();
        let mut lot = lot(unit.tx(), org, code).await?;
        let row = step(ctx, &LOTS, lot.status, to.action(), note.is_some())?;
        settle(&mut unit, &mut lot, row.to, note).await?;
        let data = json!({ "from": row.from, "to": row.to, "note": note });
        unit.record(&lot_subject(&lot), "lot.moved", data);
        unit.commit(lot.view()).await
    }

    /// Everything about a lot.
    ///
    /// # Errors
    /// [`Error::NotFound`], not permitted.
    pub async fn show_lot(&self, ctx: &Ctx, code: &str) -> Result<LotDetail, AnyError> {
        let mut tx = self.look(ctx, Permission::ViewLots).await?;
        let lot = lot(&mut tx, ctx.org, code).await?;
        let most = i64::try_from(MOST).unwrap_or(i64::MAX);
        let mut actions: Vec<LotAction> = choices(ctx, &LOTS, lot.status);
        actions.dedup();
        Ok(LotDetail {
            parents: sql::parents(&mut tx, lot.id, most).await?,
            children: sql::children(&mut tx, lot.id, most).await?,
            decisions: sql::decisions(&mut tx, ctx.org, Some(lot.id), None, None, most).await?,
            actions,
            lot: lot.view(),
        })
    }

    /// Lots, newest first.
    ///
    /// # Errors
    /// [`Error::BadField`], not permitted.
    pub async fn list_lots(
        &self,
        ctx: &Ctx,
        filter: &LotFilter,
    ) -> Result<List<LotView>, AnyError> {
        let limit = check_limit(filter.limit, 50, 200)?;
        let mut tx = self.look(ctx, Permission::ViewLots).await?;
        let wanted = sql::LotFilter {
            status: filter.status.map(Symbol::name),
            lot_type: filter.lot_type.as_deref(),
            run: filter.run.as_deref(),
            after: filter.after.as_deref(),
        };
        let lots = sql::list_lots(&mut tx, ctx.org, &wanted, limit + 1).await?;
        let views = lots.iter().map(Lot::view).collect();
        Ok(List::cut(views, limit, |lot: &LotView| lot.lot_code.clone()))
    }

    /// What happened to a lot after a position, oldest first: append-only, from the
    /// ledger.
    ///
    /// # Errors
    /// [`Error::NotFound`], not permitted.
    pub async fn lot_history(
        &self,
        ctx: &Ctx,
        code: &str,
        after: i64,
        limit: Option<i64>,
    ) -> Result<Vec<ledger::Page>, AnyError> {
        let limit = check_limit(limit, 100, 1000)?;
        let mut tx = self.look(ctx, Permission::ViewLots).await?;
        let lot = lot(&mut tx, ctx.org, code).await?;
        Ok(ledger::history(&mut tx, ctx.org, Some(lot.id), after, limit).await?)
    }
}

/// Which lots to list.
#[derive(Debug, Clone, Default)]
pub struct LotFilter {
    /// In this status.
    pub status: Option<LotStatus>,
    /// Of this type.
    pub lot_type: Option<String>,
    /// Of this run.
    pub run: Option<String>,
    /// The last code of the page before.
    pub after: Option<String>,
    /// 1 to 200.
    pub limit: Option<i64>,
}

/// Writes the lot's new status; leaving HOLD keeps how that was resolved.
pub(super) async fn settle(
    unit: &mut Unit,
    lot: &mut Lot,
    to: LotStatus,
    note: Option<&str>,
) -> Result<(), AnyError> {
    if lot.status == LotStatus::Hold {
        lot.resolution = note.map(str::to_owned);
    }
    lot.status = to;
    let now = unit.now();
    moved(sql::update_lot(unit.tx(), lot, now).await?, &lot.lot_code)?;
    lot.version += 1;
    lot.updated_at = now;
    Ok(())
}

/// Registers a lot in an open unit; `origin` is what brought it, if nobody registered
/// it.
pub(super) async fn register(
    unit: &mut Unit,
    new: NewLot,
    origin: Option<&str>,
) -> Result<Lot, AnyError> {
    let (org, now) = (unit.org(), unit.now());
    if !profiles::lot_types().any(|known| known == new.lot_type) {
        let known: Vec<_> = profiles::lot_types().collect();
        let reason = format!("the types are {}", known.join(", "));
        return Err(Error::BadField { field: "lot_type", value: new.lot_type, reason }.into());
    }
    let place = place(unit, new.run.as_deref()).await?;
    let usual = place.as_ref().map_or(0, |place| place.step_index);
    let step_index = check_step(new.step_index.unwrap_or(usual))?;
    let lot_code = match new.lot_code {
        Some(code) => check_code("lot_code", &code)?.to_owned(),
        None => {
            let number = unit.tx().next_number(&format!("lot.{}", new.lot_type)).await?;
            format!("{}-{number:06}", new.lot_type)
        }
    };
    let of_step = place.as_ref().and_then(|p| p.flow.as_ref()?.phase(step_index));
    let lot = Lot {
        id: Uuid::now_v7(),
        lot_code,
        lot_type: new.lot_type,
        weight_mg: new.weight_kg.map(milligrams).transpose()?,
        temp_mc: new.temp_c.map(millidegrees).transpose()?,
        step_index,
        status: LOTS.initial,
        resolution: None,
        run_id: place.as_ref().map(|p| p.run_id),
        run: place.as_ref().map(|p| p.run.clone()),
        phase_num: new.phase_num.or(of_step),
        origin: origin.map(str::to_owned),
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let exists = || Error::Exists { what: "lot", name: lot.lot_code.clone() };
    sql::taken(sql::insert_lot(unit.tx(), org, &lot).await, exists)?;
    let flow = place.as_ref().and_then(|p| p.flow.as_ref());
    attach(unit, &lot, &new.parents, flow).await?;
    let data = json!({
        "status": lot.status, "lot_type": lot.lot_type, "weight_kg": lot.weight_mg.map(types::kg),
        "temp_c": lot.temp_mc.map(types::celsius), "step_index": lot.step_index, "run": lot.run,
        "parents": new.parents, "origin": lot.origin,
    });
    unit.record(&lot_subject(&lot), "lot.registered", data);
    Ok(lot)
}

async fn place(unit: &mut Unit, run: Option<&str>) -> Result<Option<Place>, AnyError> {
    let Some(code) = run else { return Ok(None) };
    let org = unit.org();
    let run = sql::run_by_code(unit.tx(), org, code).await?.ok_or_else(|| none("run", code))?;
    if !takes_lots(&RUNS, run.status) {
        let reason = format!("it is {}", run.status);
        return Err(Error::BadField { field: "run", value: code.to_owned(), reason }.into());
    }
    let flow = sql::run_schema(unit.tx(), run.id).await?;
    let step_index = run.current_step_index;
    Ok(Some(Place { run_id: run.id, run: run.run_code, step_index, flow }))
}

/// Links a lot to its parents, and checks that masses balance where its flow says so.
async fn attach(
    unit: &mut Unit,
    child: &Lot,
    parents: &[Parent],
    flow: Option<&super::schema::Schema>,
) -> Result<(), AnyError> {
    if parents.is_empty() {
        return Ok(());
    }
    let org = unit.org();
    if parents.len() > MOST {
        let (field, value) = ("parents", parents.len().to_string());
        return Err(Error::BadField { field, value, reason: format!("at most {MOST}") }.into());
    }
    let mut seen = HashSet::new();
    for parent in parents {
        let code = parent.code();
        if code == child.lot_code {
            let (child, parent) = (child.lot_code.clone(), code.to_owned());
            return Err(Error::Cycle { child, parent }.into());
        }
        if !seen.insert(code) {
            let (field, value) = ("parents", code.to_owned());
            return Err(Error::BadField { field, value, reason: "it is named twice".into() }.into());
        }
    }
    let tolerance = flow.and_then(|f| f.mass_balance.as_ref());
    let codes: Vec<&str> = parents.iter().map(Parent::code).collect();
    let known = sql::lots_by_codes(unit.tx(), org, &codes, tolerance.is_some()).await?;
    let mut found = Vec::with_capacity(parents.len());
    for parent in parents {
        let Some((_, id, weight_mg)) = known.iter().find(|(code, ..)| code == parent.code()) else {
            let (child, parent) = (child.lot_code.clone(), parent.code().to_owned());
            return Err(Error::UnknownParent { child, parent }.into());
        };
        let drawn = match parent {
            Parent::Code(_) => None,
            Parent::Drawn { weight_kg, .. } => Some(milligrams(*weight_kg)?),
        };
        found.push(super::balance::Source {
            code: parent.code(),
            id: *id,
            weight_mg: *weight_mg,
            drawn,
        });
    }
    if let Some(balance) = tolerance {
        super::balance::apply(unit, child, &mut found, balance).await?;
    }
    for source in &found {
        if !sql::insert_link(unit.tx(), source.id, child.id, source.drawn).await? {
            let name = format!("{} → {}", source.code, child.lot_code);
            return Err(Error::Exists { what: "link", name }.into());
        }
    }
    Ok(())
}
