//! Flows, their versions, scenarios.

use uuid::Uuid;

use super::super::flows::Version;
use super::super::scenarios::{Phase, Scenario, Stream};
use super::super::schema::{Gate, Schema};
use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::db::{Error, Row, Tx};
use crate::params;
use crate::workflow::Symbol;

macro_rules! select_version {
    ($rest:literal) => {
        concat!(
            "SELECT v.id, d.name AS flow, v.version_num, v.status, v.graph_schema, v.author,
                    v.review_notes, v.reviewed_by, v.published_by, v.separate, v.version,
                    v.created_at, v.published_at
             FROM flow_versions v JOIN flow_definitions d ON d.id = v.definition_id ",
            $rest
        )
    };
}

pub(super) fn schema(row: &Row) -> Result<Option<Schema>, Error> {
    let text: Option<String> = row.opt("graph_schema")?;
    text.map(|text| {
        serde_json::from_str(&text)
            .map_err(|e| Error::Column { column: "graph_schema".into(), source: e.into() })
    })
    .transpose()
}

fn version_of(row: &Row) -> Result<Version, Error> {
    Ok(Version {
        id: row.get("id")?,
        flow: row.get("flow")?,
        version_num: row.get("version_num")?,
        status: row.symbol("status")?,
        author: row.get("author")?,
        review_notes: row.opt("review_notes")?,
        reviewed_by: row.opt("reviewed_by")?,
        published_by: row.opt("published_by")?,
        separate: row.opt("separate")?,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        published_at: row.opt("published_at")?,
        schema: schema(row)?.ok_or(Error::NoRow)?,
    })
}

pub(crate) async fn version(
    tx: &mut Tx,
    org: OrgId,
    flow: &str,
    number: Option<i64>,
) -> Result<Option<Version>, Error> {
    tx.opt(
        select_version!(
            "WHERE d.org_id = $1 AND d.name = $2 AND ($3 IS NULL OR v.version_num = $3)
             ORDER BY v.version_num DESC LIMIT 1"
        ),
        params![org, flow, number],
    )
    .await?
    .map(|row| version_of(&row))
    .transpose()
}

pub(crate) async fn versions(tx: &mut Tx, org: OrgId, limit: i64) -> Result<Vec<Version>, Error> {
    tx.all(
        select_version!("WHERE d.org_id = $1 ORDER BY d.name, v.version_num DESC LIMIT $2"),
        params![org, limit],
    )
    .await?
    .iter()
    .map(version_of)
    .collect()
}

/// What is in force of a flow.
pub(crate) async fn published(tx: &mut Tx, org: OrgId, flow: &str) -> Result<Vec<Version>, Error> {
    tx.all(
        select_version!(
            "WHERE d.org_id = $1 AND d.name = $2 AND v.status = 'PUBLISHED'
             ORDER BY v.version_num DESC"
        ),
        params![org, flow],
    )
    .await?
    .iter()
    .map(version_of)
    .collect()
}

/// The flow of that name, made where there is none, and held until the transaction
/// ends: its versions are numbered one after the other.
pub(crate) async fn definition(
    tx: &mut Tx,
    org: OrgId,
    name: &str,
    by: UserId,
    now: Timestamp,
) -> Result<Uuid, Error> {
    tx.one(
        "INSERT INTO flow_definitions (id, org_id, name, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (org_id, name) DO UPDATE SET name = excluded.name RETURNING id",
        params![Uuid::now_v7(), org, name, by, now],
    )
    .await?
    .get("id")
}

fn text(schema: &Schema) -> String {
    serde_json::to_string(schema).unwrap_or_default()
}

pub(crate) async fn insert_version(
    tx: &mut Tx,
    definition: Uuid,
    v: &Version,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO flow_versions (id, definition_id, version_num, status, graph_schema, author,
                                    version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            v.id,
            definition,
            v.version_num,
            v.status.name(),
            text(&v.schema),
            &v.author,
            v.version,
            v.created_at
        ],
    )
    .await?;
    Ok(())
}

/// Writes what a step changes, if nobody changed the version since it was read.
pub(crate) async fn update_version(tx: &mut Tx, v: &Version) -> Result<u64, Error> {
    tx.exec(
        "UPDATE flow_versions SET status = $1, review_notes = $2, reviewed_by = $3,
                published_by = $4, separate = $5, published_at = $6, version = version + 1
         WHERE id = $7 AND version = $8",
        params![
            v.status.name(),
            v.review_notes.as_deref(),
            v.reviewed_by.as_deref(),
            v.published_by.as_deref(),
            v.separate,
            v.published_at,
            v.id,
            v.version
        ],
    )
    .await
}

/// Writes a draft anew. Its graph and author are never written otherwise: the
/// database refuses that once it left DRAFT.
pub(crate) async fn update_draft(tx: &mut Tx, v: &Version) -> Result<u64, Error> {
    tx.exec(
        "UPDATE flow_versions SET graph_schema = $1, author = $2, version = version + 1
         WHERE id = $3 AND version = $4",
        params![text(&v.schema), &v.author, v.id, v.version],
    )
    .await
}

pub(crate) async fn insert_gate(
    tx: &mut Tx,
    org: OrgId,
    version: Uuid,
    gate: &Gate,
) -> Result<(), Error> {
    let checklist = serde_json::to_value(&gate.checklist).unwrap_or_default();
    tx.exec(
        "INSERT INTO qc_gates (id, org_id, flow_version_id, gate_key, step_index, gate_type,
                               is_ccp, blocking, checklist)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            Uuid::now_v7(),
            org,
            version,
            &gate.key,
            gate.step_index,
            &gate.gate_type,
            gate.is_ccp,
            gate.blocking,
            checklist
        ],
    )
    .await?;
    Ok(())
}

pub(crate) async fn newest_scenario(
    tx: &mut Tx,
    org: OrgId,
    name: &str,
) -> Result<Option<i64>, Error> {
    tx.one(
        "SELECT MAX(version) AS n FROM scenarios WHERE org_id = $1 AND name = $2",
        params![org, name],
    )
    .await?
    .opt("n")
}

pub(crate) async fn insert_scenario(
    tx: &mut Tx,
    org: OrgId,
    id: Uuid,
    scenario: &Scenario,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO scenarios (id, org_id, name, version, created_at) VALUES ($1, $2, $3, $4, $5)",
        params![id, org, &scenario.name, scenario.version, now],
    )
    .await?;
    for stream in &scenario.streams {
        let stream_id = Uuid::now_v7();
        tx.exec(
            "INSERT INTO streams (id, scenario_id, stream_key, color, sort_order)
             VALUES ($1, $2, $3, $4, $5)",
            params![stream_id, id, &stream.stream_key, &stream.color, stream.sort_order],
        )
        .await?;
        for phase in &stream.phases {
            tx.exec(
                "INSERT INTO phases (id, stream_id, phase_num, name) VALUES ($1, $2, $3, $4)",
                params![Uuid::now_v7(), stream_id, phase.phase_num, &phase.name],
            )
            .await?;
        }
    }
    Ok(())
}

/// Every version of every scenario, newest first, with its streams and phases.
pub(crate) async fn scenarios(tx: &mut Tx, org: OrgId) -> Result<Vec<Scenario>, Error> {
    let rows = tx
        .all(
            "SELECT c.name, c.version, s.stream_key, s.color, s.sort_order, p.phase_num,
                    p.name AS phase
             FROM scenarios c LEFT JOIN streams s ON s.scenario_id = c.id
             LEFT JOIN phases p ON p.stream_id = s.id
             WHERE c.org_id = $1
             ORDER BY c.name, c.version DESC, s.sort_order, s.stream_key, p.phase_num LIMIT 10000",
            params![org],
        )
        .await?;
    let mut scenarios: Vec<Scenario> = Vec::new();
    for row in &rows {
        let (name, version): (String, i64) = (row.get("name")?, row.get("version")?);
        if scenarios.last().is_none_or(|s| s.name != name || s.version != version) {
            scenarios.push(Scenario { name, version, streams: Vec::new() });
        }
        let (Some(scenario), Some(stream_key)) =
            (scenarios.last_mut(), row.opt::<String>("stream_key")?)
        else {
            continue;
        };
        if scenario.streams.last().is_none_or(|s| s.stream_key != stream_key) {
            scenario.streams.push(Stream {
                stream_key,
                color: row.get("color")?,
                sort_order: row.get("sort_order")?,
                phases: Vec::new(),
            });
        }
        if let (Some(stream), Some(name)) =
            (scenario.streams.last_mut(), row.opt::<String>("phase")?)
        {
            stream.phases.push(Phase { phase_num: row.get("phase_num")?, name });
        }
    }
    Ok(scenarios)
}
