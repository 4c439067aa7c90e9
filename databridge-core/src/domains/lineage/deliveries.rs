//! A delivered transfer is a lot whose parents are the versions that it was made
//! from. The two domains meet in the ledger only: this reads sealed events in order,
//! and keeps its place together with the lots that it registers, so that none is
//! missed and none is made twice.

use serde_json::{Value as Json, json};

use super::lots::register;
use super::service::lot_subject;
use super::types::{NewLot, Parent};
use super::{Service, profiles, sql};
use crate::base::error::Error as AnyError;
use crate::base::id::OrgId;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::control::ledger::{self, Event};

/// Events read at a time.
const BATCH: i64 = 200;
/// What is looked for.
const DELIVERED: &str = "transfer.delivered";

impl Service {
    /// Registers the lots of what was delivered since it last looked; answers how many
    /// events it read.
    ///
    /// # Errors
    /// Of the store.
    pub async fn follow_deliveries(&self, org: OrgId) -> Result<usize, AnyError> {
        // Most of the time there is nothing to do, which needs no write.
        let mut tx = self.store.db().read().await?;
        let place = sql::peek_cursor(&mut tx, org).await?;
        if ledger::history(&mut tx, org, None, place, 1).await?.is_empty() {
            return Ok(0);
        }
        drop(tx);
        let mut unit = self.store.begin(&Ctx::system(org)).await?;
        let place = sql::cursor(unit.tx(), org).await?;
        let page = ledger::history(unit.tx(), org, None, place, BATCH).await?;
        let Some(last) = page.last().map(|entry| entry.position) else { return Ok(0) };
        for entry in page.iter().filter(|entry| entry.event.kind == DELIVERED) {
            arrive(&mut unit, &entry.event).await?;
        }
        sql::move_cursor(unit.tx(), org, last).await?;
        unit.commit(page.len()).await
    }
}

/// Registers the lot of one delivery, under the transfer's own code. Parents that are
/// not known are told in its history: they can be linked when they are.
async fn arrive(unit: &mut Unit, event: &Event) -> Result<(), AnyError> {
    let (org, code) = (unit.org(), event.subject.code.as_str());
    if sql::lot_by_code(unit.tx(), org, code).await?.is_some() {
        return Ok(());
    }
    let category = event.data["category"].as_str().unwrap_or_default();
    let Some(lot_type) = profiles::delivered(category) else { return Ok(()) };
    let named: Vec<&str> =
        event.data["parents"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let known = sql::lots_by_codes(unit.tx(), org, &named, false).await?;
    let is_known = |code: &&str| known.iter().any(|(known, ..)| known == code);
    let (parents, unknown): (Vec<&str>, Vec<&str>) = named.into_iter().partition(is_known);
    let new = NewLot {
        lot_code: Some(code.to_owned()),
        lot_type: lot_type.to_owned(),
        weight_kg: None,
        temp_c: None,
        step_index: None,
        phase_num: None,
        run: None,
        parents: parents.into_iter().map(|code| Parent::Code(code.to_owned())).collect(),
    };
    let lot = register(unit, new, Some(code)).await?;
    if !unknown.is_empty() {
        unit.record(&lot_subject(&lot), "lot.parents_unknown", json!({ "parents": unknown }));
    }
    Ok(())
}
