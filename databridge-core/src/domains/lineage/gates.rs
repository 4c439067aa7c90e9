//! Deciding at gates. A person decides; the system moves the lot, holds the run and
//! raises the alert. All of it is recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::lots::settle;
use super::schema::Question;
use super::service::{acting, lot, lot_subject, none, system_step};
use super::state::{Decision, LOTS, Permission};
use super::types::{DecisionView, List, Lot, check_limit, check_note, check_text, reason};
use super::{Error, Service, runs, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;

/// A decision to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewDecision {
    /// The lot.
    pub lot_code: String,
    /// The gate: its name in the flow of the lot's run, or in full (`food@1:metal`).
    pub gate: String,
    /// What.
    pub decision: Decision,
    /// In words; HOLD and FAIL take some.
    #[serde(default)]
    pub notes: Option<String>,
    /// Answers to the checklist: `true`, `false`, a number or a text each.
    #[serde(default)]
    pub answers: BTreeMap<String, Json>,
}

/// A gate as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GateView {
    /// `food@1:metal`.
    pub gate: String,
    /// The step it stands at.
    pub step_index: i64,
    /// What is looked at.
    pub gate_type: String,
    /// Whether its failure puts the run on HOLD.
    pub is_ccp: bool,
    /// Whether the run waits for it.
    pub blocking: bool,
    /// What has to be answered.
    pub checklist: Vec<Question>,
}

/// A gate as it is stored.
#[derive(Debug)]
pub(super) struct StoredGate {
    pub id: Uuid,
    pub flow_version_id: Uuid,
    pub view: GateView,
}

/// Which decisions to list.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter {
    /// Of this lot.
    pub lot: Option<String>,
    /// Of this run.
    pub run: Option<String>,
    /// Only these: HOLD and FAIL are the alerts.
    pub decision: Option<Decision>,
    /// The last id of the page before.
    pub after: Option<Uuid>,
    /// 1 to 200.
    pub limit: Option<i64>,
}

fn check_answers(gate: &GateView, answers: &BTreeMap<String, Json>) -> Result<(), Error> {
    let bad = |value: &str, reason: String| Error::BadField {
        field: "answers",
        value: value.to_owned(),
        reason,
    };
    for (key, answer) in answers {
        if !gate.checklist.iter().any(|q| q.key == *key) {
            return Err(bad(key, format!("{} does not ask that", gate.gate)));
        }
        match answer {
            Json::Bool(_) | Json::Number(_) => {}
            Json::String(text) => check_text("answers", text, 500)?,
            _ => return Err(bad(key, "an answer is yes, no, a number or a text".into())),
        }
    }
    match gate.checklist.iter().find(|q| q.required && !answers.contains_key(&q.key)) {
        None => Ok(()),
        Some(open) => Err(bad(&open.key, format!("it has to be answered: {}", open.text))),
    }
}

/// The gate that is meant: of the lot's run, or the one of that full name.
async fn gate_for(unit: &mut Unit, lot: &Lot, name: &str) -> Result<StoredGate, AnyError> {
    let org = unit.org();
    let pinned = match lot.run_id {
        None => None,
        Some(id) => sql::run_by_id(unit.tx(), id).await?.and_then(|run| run.flow_version_id),
    };
    let full = name.split_once(':').and_then(|(version, key)| {
        let (flow, number) = version.split_once('@')?;
        Some((flow, number.parse().ok()?, key))
    });
    let found = match (full, pinned) {
        (Some((flow, number, key)), _) => {
            sql::gate_by_code(unit.tx(), org, flow, number, key).await?
        }
        (None, Some(version)) => sql::gate_of_version(unit.tx(), version, name).await?,
        (None, None) => None,
    };
    let gate = found.ok_or_else(|| none("gate", name))?;
    match (pinned, &lot.run) {
        (Some(version), Some(run)) if version != gate.flow_version_id => {
            Err(Error::ForeignGate { gate: gate.view.gate, run: run.clone() }.into())
        }
        _ => Ok(gate),
    }
}

impl Service {
    /// Decides on a lot at a gate. The system then moves the lot: PASS releases,
    /// HOLD holds, FAIL rejects; a failed control point holds the run.
    ///
    /// # Errors
    /// [`Error::Decided`], [`Error::ForeignGate`], [`Error::NotFound`],
    /// [`Error::BadField`], [`Error::NoReason`], not permitted, illegal state.
    pub async fn decide(&self, ctx: &Ctx, new: NewDecision) -> Result<DecisionView, AnyError> {
        let mut unit = self.begin(ctx, Permission::DecideQc).await?;
        let (org, now) = (unit.org(), unit.now());
        let mut lot = lot(unit.tx(), org, &new.lot_code).await?;
        let gate = gate_for(&mut unit, &lot, &new.gate).await?;
        check_answers(&gate.view, &new.answers)?;
        let notes = match new.decision {
            Decision::Pass => check_note(new.notes.as_deref())?,
            _ => Some(reason(&lot.lot_code, "hold or fail a lot", new.notes.as_deref())?),
        };
        let answers = json!(new.answers);
        let decision = sql::NewDecision {
            id: Uuid::now_v7(),
            gate: gate.id,
            lot: lot.id,
            run: lot.run_id,
            decision: new.decision,
            notes,
            answers: &answers,
            by: acting(ctx),
        };
        let twice = || Error::Decided { lot: lot.lot_code.clone(), gate: gate.view.gate.clone() };
        sql::taken(sql::insert_decision(unit.tx(), org, &decision, now).await, twice)?;
        let data = json!({
            "gate": gate.view.gate, "gate_type": gate.view.gate_type, "is_ccp": gate.view.is_ccp,
            "decision": new.decision, "notes": notes, "answers": answers, "run": lot.run,
        });
        unit.record(&lot_subject(&lot), "qc.decided", data.clone());
        self.follow(&mut unit, &mut lot, new.decision, &gate.view, notes).await?;
        if new.decision != Decision::Pass {
            unit.record_as_system(&lot_subject(&lot), "qc.alert", data);
        }
        let view = DecisionView {
            id: decision.id,
            gate: gate.view.gate.clone(),
            gate_type: gate.view.gate_type.clone(),
            is_ccp: gate.view.is_ccp,
            lot_code: lot.lot_code.clone(),
            run: lot.run.clone(),
            decision: new.decision,
            notes: notes.map(str::to_owned),
            answers: answers.clone(),
            decided_by: acting(ctx).to_owned(),
            decided_at: now,
        };
        unit.commit(view).await
    }

    /// What the system does on a decision.
    async fn follow(
        &self,
        unit: &mut Unit,
        lot: &mut Lot,
        decision: Decision,
        gate: &GateView,
        notes: Option<&str>,
    ) -> Result<(), AnyError> {
        let from = lot.status;
        // A held lot is released by hand, with a resolution; PASS is for what waits
        // in quarantine.
        let resolved = decision == Decision::Fail;
        let to = system_step(&LOTS, from, decision.action(), resolved)?;
        settle(unit, lot, to, notes).await?;
        let data = json!({ "from": from, "to": to, "note": notes, "gate": gate.gate });
        unit.record_as_system(&lot_subject(lot), "lot.moved", data);
        match lot.run_id {
            Some(run) if decision == Decision::Fail && gate.is_ccp => {
                let why = format!("{} failed on {}", gate.gate, lot.lot_code);
                runs::hold(unit, run, &why).await
            }
            _ => Ok(()),
        }
    }

    /// Every gate of published versions, or those of one flow; up to 1,000.
    ///
    /// # Errors
    /// Not permitted.
    pub async fn gates(&self, ctx: &Ctx, flow: Option<&str>) -> Result<Vec<GateView>, AnyError> {
        let mut tx = self.look(ctx, Permission::ViewRuns).await?;
        Ok(sql::gates(&mut tx, ctx.org, flow, 1000).await?)
    }

    /// Decisions, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadField`], not permitted.
    pub async fn decisions(
        &self,
        ctx: &Ctx,
        filter: &DecisionFilter,
    ) -> Result<List<DecisionView>, AnyError> {
        let limit = check_limit(filter.limit, 50, 200)?;
        let mut tx = self.look(ctx, Permission::ViewRuns).await?;
        let lot_id = match &filter.lot {
            None => None,
            Some(code) => Some(lot(&mut tx, ctx.org, code).await?.id),
        };
        let run_id = match &filter.run {
            None => None,
            Some(code) => {
                let run = sql::run_by_code(&mut tx, ctx.org, code).await?;
                Some(run.ok_or_else(|| none("run", code))?.id)
            }
        };
        let more = sql::DecisionFilter { decision: filter.decision, after: filter.after };
        let found = sql::decisions(&mut tx, ctx.org, lot_id, run_id, Some(more), limit + 1).await?;
        Ok(List::cut(found, limit, |d: &DecisionView| d.id.to_string()))
    }
}
