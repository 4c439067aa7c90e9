//! Runs and their steps.

use uuid::Uuid;

use super::super::runs::{Run, RunFilter, StepView};
use super::super::schema::{Schema, Step};
use super::super::state::StepStatus;
use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::db::{Error, Row, Tx};
use crate::params;
use crate::workflow::Symbol;

macro_rules! select_run {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.run_code, r.status, d.name AS flow, v.version_num, r.flow_version_id,
                    r.current_step_index, r.started_by, r.idempotency_key, r.hold_reason,
                    r.summary, r.version, r.created_at, r.completed_at
             FROM production_runs r LEFT JOIN flow_versions v ON v.id = r.flow_version_id
             LEFT JOIN flow_definitions d ON d.id = v.definition_id ",
            $rest
        )
    };
}

fn run(row: &Row) -> Result<Run, Error> {
    Ok(Run {
        id: row.get("id")?,
        run_code: row.get("run_code")?,
        status: row.symbol("status")?,
        flow: row.opt("flow")?,
        version_num: row.opt("version_num")?,
        flow_version_id: row.opt("flow_version_id")?,
        current_step_index: row.get("current_step_index")?,
        started_by: row.opt("started_by")?,
        run_key: row.get("idempotency_key")?,
        hold_reason: row.opt("hold_reason")?,
        summary: row.opt("summary")?,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        completed_at: row.opt("completed_at")?,
    })
}

pub(crate) async fn run_by_code(tx: &mut Tx, org: OrgId, code: &str) -> Result<Option<Run>, Error> {
    tx.opt(select_run!("WHERE r.org_id = $1 AND r.run_code = $2"), params![org, code])
        .await?
        .map(|row| run(&row))
        .transpose()
}

pub(crate) async fn run_by_key(tx: &mut Tx, org: OrgId, key: &str) -> Result<Option<Run>, Error> {
    tx.opt(select_run!("WHERE r.org_id = $1 AND r.idempotency_key = $2"), params![org, key])
        .await?
        .map(|row| run(&row))
        .transpose()
}

pub(crate) async fn run_by_id(tx: &mut Tx, id: Uuid) -> Result<Option<Run>, Error> {
    tx.opt(select_run!("WHERE r.id = $1"), params![id]).await?.map(|row| run(&row)).transpose()
}

/// What the run's pinned version says.
pub(crate) async fn run_schema(tx: &mut Tx, id: Uuid) -> Result<Option<Schema>, Error> {
    tx.opt(
        "SELECT v.graph_schema FROM production_runs r
         JOIN flow_versions v ON v.id = r.flow_version_id WHERE r.id = $1",
        params![id],
    )
    .await?
    .map_or(Ok(None), |row| super::flows::schema(&row))
}

pub(crate) async fn list_runs(
    tx: &mut Tx,
    org: OrgId,
    filter: &RunFilter,
    limit: i64,
) -> Result<Vec<Run>, Error> {
    tx.all(
        select_run!(
            "WHERE r.org_id = $1
               AND (r.status = $2 OR ($2 IS NULL AND r.status <> 'ARCHIVED'))
               AND ($3 IS NULL OR d.name = $3)
               AND ($4 IS NULL OR r.id < (SELECT id FROM production_runs WHERE org_id = $5 AND run_code = $4))
             ORDER BY r.id DESC LIMIT $6"
        ),
        params![
            org,
            filter.status.map(Symbol::name),
            filter.flow.as_deref(),
            filter.after.as_deref(),
            org,
            limit
        ],
    )
    .await?
    .iter()
    .map(run)
    .collect()
}

pub(crate) async fn insert_run(tx: &mut Tx, org: OrgId, run: &Run) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO production_runs (id, org_id, run_code, status, flow_version_id,
                current_step_index, started_by, idempotency_key, version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            run.id,
            org,
            &run.run_code,
            run.status.name(),
            run.flow_version_id,
            run.current_step_index,
            run.started_by.as_deref(),
            &run.run_key,
            run.version,
            run.created_at
        ],
    )
    .await?;
    Ok(())
}

/// Writes what a step changes, if nobody changed the run since it was read.
pub(crate) async fn update_run(tx: &mut Tx, run: &Run) -> Result<u64, Error> {
    tx.exec(
        "UPDATE production_runs SET status = $1, current_step_index = $2, hold_reason = $3,
                summary = $4, completed_at = $5, version = version + 1
         WHERE id = $6 AND version = $7",
        params![
            run.status.name(),
            run.current_step_index,
            run.hold_reason.as_deref(),
            run.summary.clone(),
            run.completed_at,
            run.id,
            run.version
        ],
    )
    .await
}

pub(crate) async fn insert_step(
    tx: &mut Tx,
    run: Uuid,
    step: &Step,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO run_step_executions (id, run_id, step_index, node_id, status, created_at)
         VALUES ($1, $2, $3, $4, 'PENDING', $5)",
        params![Uuid::now_v7(), run, step.step_index, &step.node_id, now],
    )
    .await?;
    Ok(())
}

pub(crate) async fn steps(tx: &mut Tx, run: Uuid) -> Result<Vec<StepView>, Error> {
    tx.all(
        "SELECT id, step_index, node_id, status, started_at, completed_at, operator, created_at
         FROM run_step_executions WHERE run_id = $1 ORDER BY step_index",
        params![run],
    )
    .await?
    .iter()
    .map(|row| {
        Ok(StepView {
            id: row.get("id")?,
            step_index: row.get("step_index")?,
            node_id: row.get("node_id")?,
            status: row.symbol("status")?,
            started_at: row.opt("started_at")?,
            completed_at: row.opt("completed_at")?,
            operator: row.opt("operator")?,
            created_at: row.get("created_at")?,
        })
    })
    .collect()
}

pub(crate) async fn step_status(tx: &mut Tx, run: Uuid, index: i64) -> Result<StepStatus, Error> {
    tx.one(
        "SELECT status FROM run_step_executions WHERE run_id = $1 AND step_index = $2",
        params![run, index],
    )
    .await?
    .symbol("status")
}

pub(crate) async fn begin_step(
    tx: &mut Tx,
    run: Uuid,
    index: i64,
    (id, name): (UserId, &str),
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "UPDATE run_step_executions SET status = 'IN_PROGRESS', started_at = $1, operator_id = $2,
                operator = $3
         WHERE run_id = $4 AND step_index = $5",
        params![now, id, name, run, index],
    )
    .await?;
    Ok(())
}

/// Ends a step; whoever began it stays its operator.
pub(crate) async fn end_step(
    tx: &mut Tx,
    run: Uuid,
    index: i64,
    status: StepStatus,
    (id, name): (UserId, &str),
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "UPDATE run_step_executions SET status = $1, completed_at = $2,
                operator_id = COALESCE(operator_id, $3), operator = COALESCE(operator, $4)
         WHERE run_id = $5 AND step_index = $6",
        params![status.name(), now, id, name, run, index],
    )
    .await?;
    Ok(())
}

pub(crate) async fn skip_rest(tx: &mut Tx, run: Uuid, now: Timestamp) -> Result<(), Error> {
    tx.exec(
        "UPDATE run_step_executions SET status = 'SKIPPED', completed_at = $1
         WHERE run_id = $2 AND status IN ('PENDING', 'IN_PROGRESS')",
        params![now, run],
    )
    .await?;
    Ok(())
}

pub(crate) async fn lots_of_run(tx: &mut Tx, run: Uuid) -> Result<u64, Error> {
    tx.one("SELECT COUNT(*) AS n FROM lots WHERE run_id = $1", params![run]).await?.size("n")
}
