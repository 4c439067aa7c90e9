//! Lots and what they were made from.

use uuid::Uuid;

use super::super::types::{Link, Lot, kg};
use crate::base::clock::Timestamp;
use crate::base::id::OrgId;
use crate::control::db::{Error, Row, Tx, Value};
use crate::params;
use crate::workflow::Symbol;

macro_rules! select_lot {
    ($rest:literal) => {
        concat!(
            "SELECT l.id, l.lot_code, l.lot_type, l.weight_mg, l.temp_mc, l.step_index, l.status,
                    l.resolution, l.run_id, r.run_code, l.phase_num, l.origin, l.version,
                    l.created_at, l.updated_at
             FROM lots l LEFT JOIN production_runs r ON r.id = l.run_id ",
            $rest
        )
    };
}

pub(super) fn lot(row: &Row) -> Result<Lot, Error> {
    Ok(Lot {
        id: row.get("id")?,
        lot_code: row.get("lot_code")?,
        lot_type: row.get("lot_type")?,
        weight_mg: row.opt("weight_mg")?,
        temp_mc: row.opt("temp_mc")?,
        step_index: row.get("step_index")?,
        status: row.symbol("status")?,
        resolution: row.opt("resolution")?,
        run_id: row.opt("run_id")?,
        run: row.opt("run_code")?,
        phase_num: row.opt("phase_num")?,
        origin: row.opt("origin")?,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

pub(crate) async fn lot_by_code(tx: &mut Tx, org: OrgId, code: &str) -> Result<Option<Lot>, Error> {
    tx.opt(select_lot!("WHERE l.org_id = $1 AND l.lot_code = $2"), params![org, code])
        .await?
        .map(|row| lot(&row))
        .transpose()
}

/// Which lots to list.
#[derive(Debug, Default)]
pub(crate) struct LotFilter<'a> {
    pub status: Option<&'a str>,
    pub lot_type: Option<&'a str>,
    pub run: Option<&'a str>,
    /// The code after which the page begins.
    pub after: Option<&'a str>,
}

/// Newest first.
pub(crate) async fn list_lots(
    tx: &mut Tx,
    org: OrgId,
    filter: &LotFilter<'_>,
    limit: i64,
) -> Result<Vec<Lot>, Error> {
    tx.all(
        select_lot!(
            "WHERE l.org_id = $1
               AND ($2 IS NULL OR l.status = $2)
               AND ($3 IS NULL OR l.lot_type = $3)
               AND ($4 IS NULL OR r.run_code = $4)
               AND ($5 IS NULL OR l.id < (SELECT id FROM lots WHERE org_id = $6 AND lot_code = $5))
             ORDER BY l.id DESC LIMIT $7"
        ),
        params![org, filter.status, filter.lot_type, filter.run, filter.after, org, limit],
    )
    .await?
    .iter()
    .map(lot)
    .collect()
}

pub(crate) async fn insert_lot(tx: &mut Tx, org: OrgId, lot: &Lot) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO lots (id, org_id, lot_code, lot_type, weight_mg, temp_mc, step_index, status,
                           run_id, phase_num, origin, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        params![
            lot.id,
            org,
            &lot.lot_code,
            &lot.lot_type,
            lot.weight_mg,
            lot.temp_mc,
            lot.step_index,
            lot.status.name(),
            lot.run_id,
            lot.phase_num,
            lot.origin.as_deref(),
            lot.version,
            lot.created_at,
            lot.updated_at
        ],
    )
    .await?;
    Ok(())
}

/// Writes what a step changes, if nobody changed the lot since it was read.
pub(crate) async fn update_lot(tx: &mut Tx, lot: &Lot, now: Timestamp) -> Result<u64, Error> {
    tx.exec(
        "UPDATE lots SET status = $1, resolution = $2, updated_at = $3, version = version + 1
         WHERE id = $4 AND version = $5",
        params![lot.status.name(), lot.resolution.as_deref(), now, lot.id, lot.version],
    )
    .await
}

/// The id and weight of each of these lots that is there; `hold` keeps others from
/// drawing on them until the transaction ends.
pub(crate) async fn lots_by_codes(
    tx: &mut Tx,
    org: OrgId,
    codes: &[&str],
    hold: bool,
) -> Result<Vec<(String, Uuid, Option<i64>)>, Error> {
    if codes.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (2..codes.len() + 2).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT lot_code, id, weight_mg FROM lots WHERE org_id = $1 AND lot_code IN ({}) ORDER BY id",
        places.join(", ")
    );
    let sql = if hold { super::held(tx, &sql) } else { sql };
    let mut values: Vec<Value> = params![org];
    values.extend(codes.iter().map(|code| Value::from(*code)));
    tx.all_built(sql, values)
        .await?
        .iter()
        .map(|row| Ok((row.get("lot_code")?, row.get("id")?, row.opt("weight_mg")?)))
        .collect()
}

/// `false` where the two are linked already.
pub(crate) async fn insert_link(
    tx: &mut Tx,
    parent: Uuid,
    child: Uuid,
    weight_mg: Option<i64>,
) -> Result<bool, Error> {
    let rows = tx
        .exec(
            "INSERT INTO lot_genealogy (parent_id, child_id, weight_mg) VALUES ($1, $2, $3)
             ON CONFLICT (parent_id, child_id) DO NOTHING",
            params![parent, child, weight_mg],
        )
        .await?;
    Ok(rows == 1)
}

/// What was drawn from a lot so far, in milligrams.
pub(crate) async fn drawn(tx: &mut Tx, parent: Uuid) -> Result<i64, Error> {
    tx.one(
        "SELECT CAST(COALESCE(SUM(weight_mg), 0) AS BIGINT) AS mg FROM lot_genealogy
         WHERE parent_id = $1",
        params![parent],
    )
    .await?
    .get("mg")
}

fn link(row: &Row) -> Result<Link, Error> {
    Ok(Link {
        lot_code: row.get("lot_code")?,
        lot_type: row.get("lot_type")?,
        status: row.symbol("status")?,
        weight_kg: row.opt("weight_mg")?.map(kg),
    })
}

pub(crate) async fn parents(tx: &mut Tx, lot: Uuid, limit: i64) -> Result<Vec<Link>, Error> {
    tx.all(
        "SELECT l.lot_code, l.lot_type, l.status, g.weight_mg FROM lot_genealogy g
         JOIN lots l ON l.id = g.parent_id WHERE g.child_id = $1 ORDER BY l.id LIMIT $2",
        params![lot, limit],
    )
    .await?
    .iter()
    .map(link)
    .collect()
}

pub(crate) async fn children(tx: &mut Tx, lot: Uuid, limit: i64) -> Result<Vec<Link>, Error> {
    tx.all(
        "SELECT l.lot_code, l.lot_type, l.status, g.weight_mg FROM lot_genealogy g
         JOIN lots l ON l.id = g.child_id WHERE g.parent_id = $1 ORDER BY l.id LIMIT $2",
        params![lot, limit],
    )
    .await?
    .iter()
    .map(link)
    .collect()
}

/// How far the ledger was read for this organisation, held until the transaction ends.
pub(crate) async fn cursor(tx: &mut Tx, org: OrgId) -> Result<i64, Error> {
    tx.exec(
        "INSERT INTO lineage_cursors (org_id, position) VALUES ($1, -1)
         ON CONFLICT (org_id) DO NOTHING",
        params![org],
    )
    .await?;
    let sql = super::held(tx, "SELECT position FROM lineage_cursors WHERE org_id = $1");
    let rows = tx.all_built(sql, params![org]).await?;
    rows.first().ok_or(Error::NoRow)?.get("position")
}

/// The same, without holding anybody up; -1 where nothing was read.
pub(crate) async fn peek_cursor(tx: &mut Tx, org: OrgId) -> Result<i64, Error> {
    let row =
        tx.opt("SELECT position FROM lineage_cursors WHERE org_id = $1", params![org]).await?;
    row.map_or(Ok(-1), |row| row.get("position"))
}

pub(crate) async fn move_cursor(tx: &mut Tx, org: OrgId, position: i64) -> Result<(), Error> {
    tx.exec("UPDATE lineage_cursors SET position = $1 WHERE org_id = $2", params![position, org])
        .await?;
    Ok(())
}
