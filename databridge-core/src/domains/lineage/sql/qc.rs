//! Gates and what was decided there.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use uuid::Uuid;

use super::super::gates::{GateView, StoredGate};
use super::super::state::{Decision, LotStatus};
use super::super::types::DecisionView;
use crate::base::clock::Timestamp;
use crate::base::id::OrgId;
use crate::control::db::{Error, Row, Tx};
use crate::params;
use crate::workflow::Symbol;

macro_rules! select_gate {
    ($rest:literal) => {
        concat!(
            "SELECT g.id, g.flow_version_id, d.name AS flow, v.version_num, g.gate_key,
                    g.step_index, g.gate_type, g.is_ccp, g.blocking, g.checklist
             FROM qc_gates g JOIN flow_versions v ON v.id = g.flow_version_id
             JOIN flow_definitions d ON d.id = v.definition_id ",
            $rest
        )
    };
}

/// `food@1:metal`.
fn code(row: &Row) -> Result<String, Error> {
    let (flow, version, key): (String, i64, String) =
        (row.get("flow")?, row.get("version_num")?, row.get("gate_key")?);
    Ok(format!("{flow}@{version}:{key}"))
}

fn gate(row: &Row) -> Result<StoredGate, Error> {
    Ok(StoredGate {
        id: row.get("id")?,
        flow_version_id: row.get("flow_version_id")?,
        view: GateView {
            gate: code(row)?,
            step_index: row.get("step_index")?,
            gate_type: row.get("gate_type")?,
            is_ccp: row.get("is_ccp")?,
            blocking: row.get("blocking")?,
            checklist: row.json("checklist")?,
        },
    })
}

/// The gate of a flow version, by its name there.
pub(crate) async fn gate_of_version(
    tx: &mut Tx,
    version: Uuid,
    key: &str,
) -> Result<Option<StoredGate>, Error> {
    tx.opt(select_gate!("WHERE g.flow_version_id = $1 AND g.gate_key = $2"), params![version, key])
        .await?
        .map(|row| gate(&row))
        .transpose()
}

/// The gate of that full name.
pub(crate) async fn gate_by_code(
    tx: &mut Tx,
    org: OrgId,
    flow: &str,
    version: i64,
    key: &str,
) -> Result<Option<StoredGate>, Error> {
    tx.opt(
        select_gate!(
            "WHERE g.org_id = $1 AND d.name = $2 AND v.version_num = $3 AND g.gate_key = $4"
        ),
        params![org, flow, version, key],
    )
    .await?
    .map(|row| gate(&row))
    .transpose()
}

/// Every gate, or those of one flow, newest version first.
pub(crate) async fn gates(
    tx: &mut Tx,
    org: OrgId,
    flow: Option<&str>,
    limit: i64,
) -> Result<Vec<GateView>, Error> {
    tx.all(
        select_gate!(
            "WHERE g.org_id = $1 AND ($2 IS NULL OR d.name = $2)
             ORDER BY d.name, v.version_num DESC, g.step_index, g.gate_key LIMIT $3"
        ),
        params![org, flow, limit],
    )
    .await?
    .iter()
    .map(|row| Ok(gate(row)?.view))
    .collect()
}

pub(crate) struct NewDecision<'a> {
    pub id: Uuid,
    pub gate: Uuid,
    pub lot: Uuid,
    pub run: Option<Uuid>,
    pub decision: Decision,
    pub notes: Option<&'a str>,
    pub answers: &'a Json,
    pub by: &'a str,
}

pub(crate) async fn insert_decision(
    tx: &mut Tx,
    org: OrgId,
    new: &NewDecision<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO qc_decisions (id, org_id, gate_id, lot_id, run_id, decision, notes, answers,
                                   decided_by, decided_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            new.id,
            org,
            new.gate,
            new.lot,
            new.run,
            new.decision.name(),
            new.notes,
            new.answers,
            new.by,
            now
        ],
    )
    .await?;
    Ok(())
}

fn decision(row: &Row) -> Result<DecisionView, Error> {
    Ok(DecisionView {
        id: row.get("id")?,
        gate: code(row)?,
        gate_type: row.get("gate_type")?,
        is_ccp: row.get("is_ccp")?,
        lot_code: row.get("lot_code")?,
        run: row.opt("run_code")?,
        decision: row.symbol("decision")?,
        notes: row.opt("notes")?,
        answers: row.get("answers")?,
        decided_by: row.get("decided_by")?,
        decided_at: row.get("decided_at")?,
    })
}

/// Which decisions besides, and where the page begins.
#[derive(Debug, Default)]
pub(crate) struct DecisionFilter {
    pub decision: Option<Decision>,
    pub after: Option<Uuid>,
}

/// Decisions, newest first: of a lot, of a run, or of all.
pub(crate) async fn decisions(
    tx: &mut Tx,
    org: OrgId,
    lot: Option<Uuid>,
    run: Option<Uuid>,
    filter: Option<DecisionFilter>,
    limit: i64,
) -> Result<Vec<DecisionView>, Error> {
    let filter = filter.unwrap_or_default();
    tx.all(
        "SELECT q.id, d.name AS flow, v.version_num, g.gate_key, g.gate_type, g.is_ccp,
                l.lot_code, r.run_code, q.decision, q.notes, q.answers, q.decided_by, q.decided_at
         FROM qc_decisions q JOIN qc_gates g ON g.id = q.gate_id
         JOIN flow_versions v ON v.id = g.flow_version_id
         JOIN flow_definitions d ON d.id = v.definition_id
         JOIN lots l ON l.id = q.lot_id LEFT JOIN production_runs r ON r.id = q.run_id
         WHERE q.org_id = $1 AND ($2 IS NULL OR q.lot_id = $2) AND ($3 IS NULL OR q.run_id = $3)
           AND ($4 IS NULL OR q.decision = $4) AND ($5 IS NULL OR q.id < $5)
         ORDER BY q.id DESC LIMIT $6",
        params![org, lot, run, filter.decision.map(Symbol::name), filter.after, limit],
    )
    .await?
    .iter()
    .map(decision)
    .collect()
}

/// How many decisions of each kind a run saw.
pub(crate) async fn decisions_of_run(
    tx: &mut Tx,
    run: Uuid,
) -> Result<BTreeMap<String, u64>, Error> {
    tx.all(
        "SELECT decision, COUNT(*) AS n FROM qc_decisions WHERE run_id = $1 GROUP BY decision",
        params![run],
    )
    .await?
    .iter()
    .map(|row| Ok((row.get("decision")?, row.size("n")?)))
    .collect()
}

/// The blocking gates of a step, each with why it does not let the run through.
pub(crate) async fn blocking_gates(
    tx: &mut Tx,
    run: Uuid,
    version: Uuid,
    step: i64,
) -> Result<Vec<(String, Option<&'static str>)>, Error> {
    let rows = tx
        .all(
            "SELECT d.name AS flow, v.version_num, g.gate_key, q.decision, l.status
             FROM qc_gates g JOIN flow_versions v ON v.id = g.flow_version_id
             JOIN flow_definitions d ON d.id = v.definition_id
             LEFT JOIN qc_decisions q ON q.gate_id = g.id AND q.run_id = $1
             LEFT JOIN lots l ON l.id = q.lot_id
             WHERE g.flow_version_id = $2 AND g.step_index = $3 AND g.blocking = TRUE
             ORDER BY g.gate_key, q.id",
            params![run, version, step],
        )
        .await?;
    let mut gates: BTreeMap<String, Option<&'static str>> = BTreeMap::new();
    let mut held: BTreeMap<String, bool> = BTreeMap::new();
    for row in &rows {
        let gate = code(row)?;
        // In the order of decisions: the last word counts.
        let word = match row.opt::<String>("decision")?.as_deref().and_then(Decision::parse) {
            None => Some("has not decided"),
            Some(Decision::Pass) => None,
            Some(Decision::Fail) => Some("failed"),
            Some(Decision::Hold) => {
                let open = row.symbol::<LotStatus>("status")? == LotStatus::Hold;
                *held.entry(gate.clone()).or_default() |= open;
                // Looked into since, and let go or refused.
                let released = row.symbol::<LotStatus>("status")? != LotStatus::Rejected;
                if released { None } else { Some("failed") }
            }
        };
        gates.insert(gate, word);
    }
    Ok(gates
        .into_iter()
        .map(|(gate, word)| {
            let open = held.get(&gate).copied().unwrap_or_default();
            let word = if open { Some("holds a lot") } else { word };
            (gate, word)
        })
        .collect())
}
