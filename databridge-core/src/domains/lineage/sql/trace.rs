//! Walks through the genealogy: recursive queries, each bounded in what it may visit.
//!
//! `walk` visits each lot once, level by level, so where it is cut the nearest are
//! kept; `bounded` stops it, because both databases produce it row by row.

use uuid::Uuid;

use super::super::trace::{Direction, Hit, Share};
use super::lots::lot;
use crate::base::id::OrgId;
use crate::control::db::{Error, Row, Tx, Value};
use crate::params;

/// `(what is known, what is looked for)` as columns of an edge.
fn ends(direction: Direction) -> (&'static str, &'static str) {
    match direction {
        Direction::Up => ("child_id", "parent_id"),
        Direction::Down => ("parent_id", "child_id"),
    }
}

/// A CTE with the lots that are reached from parameter `$root` without itself. With
/// a depth (parameter `$depth`) every way to a lot counts, so that its level is known.
fn walk(name: &str, direction: Direction, root: usize, depth: Option<usize>) -> String {
    let (from, to) = ends(direction);
    match depth {
        None => format!(
            "{name} (id) AS (
               SELECT g.{to} FROM lot_genealogy g WHERE g.{from} = ${root}
               UNION SELECT g.{to} FROM {name} w JOIN lot_genealogy g ON g.{from} = w.id)"
        ),
        Some(depth) => format!(
            "{name} (id, depth) AS (
               SELECT g.{to}, CAST(1 AS BIGINT) FROM lot_genealogy g WHERE g.{from} = ${root}
               UNION SELECT g.{to}, w.depth + 1 FROM {name} w
               JOIN lot_genealogy g ON g.{from} = w.id WHERE w.depth < ${depth})"
        ),
    }
}

/// What a walk may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Levels, `None` without bound.
    pub depth: Option<i64>,
    /// Lots (with a depth: ways to lots) that are visited.
    pub most: i64,
}

/// `WITH` and the set `found (id, depth)` from `$1`, with `$2` as its bound and `$3` as
/// the depth; the root is in it where `with_root`.
fn found(direction: Direction, bounds: Bounds, with_root: bool) -> String {
    let depth = bounds.depth.is_some();
    let walk = walk("walk", direction, 1, depth.then_some(3));
    let (columns, grouped) = match depth {
        false => ("id", "SELECT id, CAST(NULL AS BIGINT) AS depth FROM bounded"),
        true => ("id, depth", "SELECT id, MIN(depth) AS depth FROM bounded GROUP BY id"),
    };
    // Every parameter is used, whatever the shape of the query.
    let unused = if depth { "" } else { " AND ($3 IS NULL OR $3 >= 0)" };
    let root = if with_root {
        format!(" UNION ALL SELECT id, CAST(0 AS BIGINT) FROM lots WHERE id = $1{unused}")
    } else {
        String::new()
    };
    let filter = if depth || with_root { "" } else { " WHERE $3 IS NULL OR $3 >= 0" };
    format!(
        "WITH RECURSIVE {walk},
         bounded AS MATERIALIZED (SELECT {columns} FROM walk LIMIT $2),
         found AS MATERIALIZED ({grouped}{filter}{root})"
    )
}

fn hit(row: &Row) -> Result<Hit, Error> {
    Ok(Hit { depth: row.opt("depth")?, lot: lot(row)?.view() })
}

const COLUMNS: &str = "l.id, l.lot_code, l.lot_type, l.weight_mg, l.temp_mc, l.step_index,
    l.status, l.resolution, l.run_id, r.run_code, l.phase_num, l.origin, l.version, l.created_at,
    l.updated_at";

/// A page of what is reached, in the order of birth, and how many there are.
pub(crate) async fn reached(
    tx: &mut Tx,
    root: Uuid,
    direction: Direction,
    bounds: Bounds,
    after: Option<&str>,
    limit: i64,
) -> Result<(Vec<Hit>, u64), Error> {
    let with = found(direction, bounds, false);
    let page = format!(
        "{with} SELECT {COLUMNS}, f.depth, (SELECT COUNT(*) FROM found) AS total
         FROM found f JOIN lots l ON l.id = f.id LEFT JOIN production_runs r ON r.id = l.run_id
         WHERE ($4 IS NULL OR l.id > (SELECT a.id FROM lots a WHERE a.org_id = l.org_id AND a.lot_code = $4))
         ORDER BY l.id LIMIT $5"
    );
    let rows = tx.all_built(page, params![root, bounds.most, bounds.depth, after, limit]).await?;
    let hits = rows.iter().map(hit).collect::<Result<Vec<_>, _>>()?;
    let total = match rows.first() {
        Some(row) => row.size("total")?,
        // Past the end, or nothing at all.
        None if after.is_some() => {
            let count = format!("{with} SELECT COUNT(*) AS total FROM found");
            let rows = tx.all_built(count, params![root, bounds.most, bounds.depth]).await?;
            rows.first().ok_or(Error::NoRow)?.size("total")?
        }
        None => 0,
    };
    Ok((hits, total))
}

/// What is reached with the lot itself, counted and weighed by type and status.
pub(crate) async fn shares(
    tx: &mut Tx,
    root: Uuid,
    direction: Direction,
    bounds: Bounds,
) -> Result<Vec<Share>, Error> {
    let sql = format!(
        "{} SELECT l.lot_type, l.status, COUNT(*) AS lots,
                   CAST(COALESCE(SUM(l.weight_mg), 0) AS BIGINT) AS weight_mg
         FROM found f JOIN lots l ON l.id = f.id
         GROUP BY l.lot_type, l.status ORDER BY l.lot_type, l.status",
        found(direction, bounds, true)
    );
    tx.all_built(sql, params![root, bounds.most, bounds.depth])
        .await?
        .iter()
        .map(|row| {
            Ok(Share {
                lot_type: row.get("lot_type")?,
                status: row.symbol("status")?,
                lots: row.size("lots")?,
                weight_kg: super::super::types::kg(row.get("weight_mg")?),
            })
        })
        .collect()
}

/// The lots that both come from, each of them or a lot itself included; those that
/// have no child among them are the nearest.
pub(crate) async fn common(
    tx: &mut Tx,
    one: Uuid,
    other: Uuid,
    most: i64,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<(Hit, bool)>, Error> {
    let sql = format!(
        "WITH RECURSIVE {}, {},
         ones AS MATERIALIZED (SELECT id FROM one LIMIT $3),
         others AS MATERIALIZED (SELECT id FROM other LIMIT $3),
         common AS MATERIALIZED (
           SELECT id FROM (SELECT id FROM ones UNION SELECT id FROM lots WHERE id = $1) a
           WHERE id IN (SELECT id FROM others UNION SELECT id FROM lots WHERE id = $2))
         SELECT {COLUMNS}, CAST(NULL AS BIGINT) AS depth,
                CAST((SELECT COUNT(*) FROM lot_genealogy g JOIN common d ON d.id = g.child_id
                      WHERE g.parent_id = l.id) AS BIGINT) AS below
         FROM common c JOIN lots l ON l.id = c.id LEFT JOIN production_runs r ON r.id = l.run_id
         WHERE ($4 IS NULL OR l.id > (SELECT a.id FROM lots a WHERE a.org_id = l.org_id AND a.lot_code = $4))
         ORDER BY l.id LIMIT $5",
        walk("one", Direction::Up, 1, None),
        walk("other", Direction::Up, 2, None),
    );
    tx.all_built(sql, params![one, other, most, after, limit])
        .await?
        .iter()
        .map(|row| Ok((hit(row)?, row.get::<i64>("below")? == 0)))
        .collect()
}

/// Whether `to` is reached from `from`, downstream.
pub(crate) async fn is_below(tx: &mut Tx, from: Uuid, to: Uuid) -> Result<bool, Error> {
    let sql = format!(
        "WITH RECURSIVE {} SELECT COUNT(*) AS n FROM (SELECT id FROM walk WHERE id = $2 LIMIT 1) hit",
        walk("walk", Direction::Down, 1, None)
    );
    let rows = tx.all_built(sql, params![from, to]).await?;
    Ok(rows.first().ok_or(Error::NoRow)?.get::<i64>("n")? > 0)
}

/// Edges among what lies between two lots, ends included: what is below the one and
/// above the other.
pub(crate) async fn between(
    tx: &mut Tx,
    from: Uuid,
    to: Uuid,
    most: i64,
    edges: i64,
) -> Result<Vec<(String, String)>, Error> {
    let sql = format!(
        "WITH RECURSIVE {}, {},
         below AS MATERIALIZED (SELECT id FROM down LIMIT $3),
         above AS MATERIALIZED (SELECT id FROM up LIMIT $3),
         span AS MATERIALIZED (SELECT id FROM below WHERE id IN (SELECT id FROM above)
                               UNION SELECT id FROM lots WHERE id = $1 OR id = $2)
         SELECT p.lot_code AS parent, c.lot_code AS child
         FROM span s JOIN lot_genealogy g ON g.parent_id = s.id
         JOIN span t ON t.id = g.child_id
         JOIN lots p ON p.id = g.parent_id JOIN lots c ON c.id = g.child_id
         ORDER BY g.parent_id, g.child_id LIMIT $4",
        walk("down", Direction::Down, 1, None),
        walk("up", Direction::Up, 2, None),
    );
    tx.all_built(sql, params![from, to, most, edges]).await?.iter().map(edge).collect()
}

fn edge(row: &Row) -> Result<(String, String), Error> {
    Ok((row.get("parent")?, row.get("child")?))
}

/// Lots around one, nearest first, at most `most`; itself first.
pub(crate) async fn around(
    tx: &mut Tx,
    root: Uuid,
    direction: Direction,
    bounds: Bounds,
) -> Result<Vec<(Uuid, Hit)>, Error> {
    let sql = format!(
        "{} SELECT {COLUMNS}, f.depth FROM found f JOIN lots l ON l.id = f.id
         LEFT JOIN production_runs r ON r.id = l.run_id ORDER BY l.id",
        found(direction, bounds, true)
    );
    tx.all_built(sql, params![root, bounds.most, bounds.depth])
        .await?
        .iter()
        .map(|row| Ok((row.get("id")?, hit(row)?)))
        .collect()
}

/// Edges whose both ends are among these lots.
pub(crate) async fn edges_among(
    tx: &mut Tx,
    org: OrgId,
    lots: &[Uuid],
) -> Result<Vec<(String, String)>, Error> {
    let mut edges = Vec::new();
    let known: std::collections::HashSet<&Uuid> = lots.iter().collect();
    // Databases bound the parameters of a statement.
    for part in lots.chunks(500) {
        let places: Vec<String> = (2..part.len() + 2).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT g.child_id, p.lot_code AS parent, c.lot_code AS child FROM lot_genealogy g
             JOIN lots p ON p.id = g.parent_id JOIN lots c ON c.id = g.child_id
             WHERE p.org_id = $1 AND g.parent_id IN ({}) ORDER BY g.parent_id, g.child_id",
            places.join(", ")
        );
        let mut values: Vec<Value> = params![org];
        values.extend(part.iter().map(|id| Value::from(*id)));
        for row in tx.all_built(sql, values).await? {
            if known.contains(&row.get::<Uuid>("child_id")?) {
                edges.push(edge(&row)?);
            }
        }
    }
    Ok(edges)
}

/// How many ways a walk with a depth went, at most as many as it may.
pub(crate) async fn ways(
    tx: &mut Tx,
    root: Uuid,
    direction: Direction,
    bounds: Bounds,
) -> Result<u64, Error> {
    let sql = format!(
        "WITH RECURSIVE {} SELECT COUNT(*) AS n FROM (SELECT id FROM walk LIMIT $2) ways",
        walk("walk", direction, 1, Some(3))
    );
    let rows = tx.all_built(sql, params![root, bounds.most, bounds.depth]).await?;
    rows.first().ok_or(Error::NoRow)?.size("n")
}
