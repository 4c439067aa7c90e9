//! Genealogy: what a lot was made from, what was made from it, and what two lots have
//! in common. The truth is in the database; every answer is bounded and says when it
//! was cut.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::graph::{Format, Node, render};
use super::service::lot;
use super::state::{LotStatus, Permission};
use super::types::{LotView, check_limit};
use super::{Error, Service, sql};
use crate::base::error::Error as AnyError;
use crate::control::ctx::Ctx;
use crate::control::db::Tx;

/// Lots (with a depth: ways to lots) that one walk visits at most.
pub const MOST_VISITED: i64 = 1_000_000;
/// Levels that may be asked for.
pub const MOST_DEPTH: i64 = 1000;
/// Lots that one diagram holds at most.
pub const MOST_DRAWN: i64 = 5000;
/// Edges that a search for a path looks at.
const MOST_EDGES: i64 = 1_000_000;

/// Which way a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To what it was made from.
    Up,
    /// To what was made from it.
    Down,
}

/// A lot that a walk reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hit {
    /// The fewest steps from where the walk began; known where a depth was given.
    pub depth: Option<i64>,
    /// The lot.
    #[serde(flatten)]
    pub lot: LotView,
}

/// A page of a walk, in the order of registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Walk {
    /// Where it began.
    pub lot_code: String,
    /// Which way it went.
    pub direction: Direction,
    /// The lots of this page.
    pub items: Vec<Hit>,
    /// How many were reached, on all pages.
    pub total: u64,
    /// Whether there may be more than the bound let it visit.
    pub cut: bool,
    /// Give it as `after` to go on; `None` at the end.
    pub next: Option<String>,
}

/// How far and how much.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// Levels, 1 to 1,000; without bound where none is given.
    pub max_depth: Option<i64>,
    /// The last code of the page before.
    pub after: Option<String>,
    /// 1 to 1,000; 100 where none is given.
    pub limit: Option<i64>,
    /// Lots that the walk may visit, 1 to 1,000,000.
    pub max_lots: Option<i64>,
}

impl Span {
    fn bounds(&self) -> Result<sql::Bounds, Error> {
        let depth = match self.max_depth {
            None => None,
            Some(depth) if (1..=MOST_DEPTH).contains(&depth) => Some(depth),
            Some(depth) => {
                let reason = format!("1 to {MOST_DEPTH}");
                return Err(Error::BadField {
                    field: "max_depth",
                    value: depth.to_string(),
                    reason,
                });
            }
        };
        Ok(sql::Bounds { depth, most: check_limit(self.max_lots, MOST_VISITED, MOST_VISITED)? })
    }
}

/// Lots of one type and status.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Share {
    /// The type.
    pub lot_type: String,
    /// The status.
    pub status: LotStatus,
    /// How many.
    pub lots: u64,
    /// What they weigh together, kilograms.
    pub weight_kg: f64,
}

/// What is touched if a lot is recalled: itself and everything made from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Blast {
    /// All of it, counted and weighed.
    pub shares: Vec<Share>,
    /// What is in nobody's hands any more: consumed, or finished.
    pub gone: u64,
    /// The lots, a page at a time, without the recalled one.
    #[serde(flatten)]
    pub walk: Walk,
}

/// What two lots have in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Common {
    /// The common ancestors of this page; a lot counts as its own.
    pub items: Vec<CommonHit>,
    /// Give it as `after` to go on.
    pub next: Option<String>,
}

/// A common ancestor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommonHit {
    /// Whether none of its children is common too.
    pub nearest: bool,
    /// The lot.
    #[serde(flatten)]
    pub hit: Hit,
}

/// How two lots are related.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Path {
    /// The shortest way, from the older to the younger; empty where there is none.
    pub lots: Vec<String>,
    /// `down` where the first is an ancestor of the second, `up` the other way.
    pub direction: Option<Direction>,
}

/// Lots and edges around one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Graph {
    /// The lots.
    pub nodes: Vec<Hit>,
    /// `[parent, child]`.
    pub edges: Vec<(String, String)>,
    /// Whether lots were left out.
    pub cut: bool,
    /// Mermaid or DOT, where that was asked for.
    pub text: Option<String>,
}

impl Service {
    async fn walk(
        &self,
        ctx: &Ctx,
        tx: &mut Tx,
        code: &str,
        direction: Direction,
        span: &Span,
    ) -> Result<(Uuid, Walk), AnyError> {
        let (bounds, limit) = (span.bounds()?, check_limit(span.limit, 100, 1000)?);
        let root = lot(tx, ctx.org, code).await?;
        let after = span.after.as_deref();
        let (mut items, total) =
            sql::reached(tx, root.id, direction, bounds, after, limit + 1).await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > most;
        items.truncate(most);
        let next = items.last().filter(|_| more).map(|hit| hit.lot.lot_code.clone());
        let visited = match bounds.depth {
            None => total,
            // Ways were counted, not lots: they may have run out before the lots did.
            Some(_) => sql::ways(tx, root.id, direction, bounds).await?,
        };
        let cut = visited >= u64::try_from(bounds.most).unwrap_or(u64::MAX);
        let walk = Walk { lot_code: root.lot_code, direction, items, total, cut, next };
        Ok((root.id, walk))
    }

    /// What a lot was made from, or what was made from it, a page at a time.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadField`], not permitted.
    pub async fn trace(
        &self,
        ctx: &Ctx,
        code: &str,
        direction: Direction,
        span: &Span,
    ) -> Result<Walk, AnyError> {
        let mut tx = self.look(ctx, Permission::ViewLots).await?;
        Ok(self.walk(ctx, &mut tx, code, direction, span).await?.1)
    }

    /// What is touched if a lot is recalled.
    ///
    /// # Errors
    /// As [`Service::trace`].
    pub async fn blast(&self, ctx: &Ctx, code: &str, span: &Span) -> Result<Blast, AnyError> {
        let mut tx = self.look(ctx, Permission::ViewLots).await?;
        let (root, walk) = self.walk(ctx, &mut tx, code, Direction::Down, span).await?;
        let shares = sql::shares(&mut tx, root, Direction::Down, span.bounds()?).await?;
        let out = |s: &&Share| matches!(s.status, LotStatus::Consumed | LotStatus::Finished);
        let gone = shares.iter().filter(out).map(|s| s.lots).sum();
        Ok(Blast { shares, gone, walk })
    }

    /// What two lots both come from.
    ///
    /// # Errors
    /// As [`Service::trace`].
    pub async fn common(
        &self,
        ctx: &Ctx,
        one: &str,
        other: &str,
        span: &Span,
    ) -> Result<Common, AnyError> {
        let (bounds, limit) = (span.bounds()?, check_limit(span.limit, 100, 1000)?);
        let mut tx = self.look(ctx, Permission::ViewLots).await?;
        let (one, other) = (lot(&mut tx, ctx.org, one).await?, lot(&mut tx, ctx.org, other).await?);
        let after = span.after.as_deref();
        let found = sql::common(&mut tx, one.id, other.id, bounds.most, after, limit + 1).await?;
        let hits = found.into_iter().map(|(hit, nearest)| CommonHit { nearest, hit }).collect();
        let list =
            super::types::List::cut(hits, limit, |hit: &CommonHit| hit.hit.lot.lot_code.clone());
        Ok(Common { items: list.items, next: list.next })
    }

    /// The shortest way between two lots, whichever is the ancestor.
    ///
    /// # Errors
    /// As [`Service::trace`].
    pub async fn path(&self, ctx: &Ctx, from: &str, to: &str) -> Result<Path, AnyError> {
        let mut tx = self.look(ctx, Permission::ViewLots).await?;
        let (from, to) = (lot(&mut tx, ctx.org, from).await?, lot(&mut tx, ctx.org, to).await?);
        if from.id == to.id {
            return Ok(Path { lots: vec![from.lot_code], direction: None });
        }
        for (old, young, direction) in [(&from, &to, Direction::Down), (&to, &from, Direction::Up)]
        {
            let edges = sql::between(&mut tx, old.id, young.id, MOST_VISITED, MOST_EDGES).await?;
            if let Some(lots) = shortest(&edges, &old.lot_code, &young.lot_code) {
                return Ok(Path { lots, direction: Some(direction) });
            }
        }
        Ok(Path { lots: Vec::new(), direction: None })
    }

    /// The lots around one with the edges between them, nearest first where it must
    /// be cut; `limit` is 1 to 5,000 lots, 200 where none is given.
    ///
    /// # Errors
    /// As [`Service::trace`].
    pub async fn graph(
        &self,
        ctx: &Ctx,
        code: &str,
        direction: Option<Direction>,
        format: Format,
        span: &Span,
    ) -> Result<Graph, AnyError> {
        let limit = check_limit(span.limit, 200, MOST_DRAWN)?;
        let bounds = sql::Bounds { most: limit, ..span.bounds()? };
        let mut tx = self.look(ctx, Permission::ViewLots).await?;
        let root = lot(&mut tx, ctx.org, code).await?;
        let ways = direction.map_or(vec![Direction::Up, Direction::Down], |one| vec![one]);
        let (mut seen, mut ids, mut nodes, mut cut) =
            (HashSet::new(), Vec::new(), Vec::new(), false);
        for way in ways {
            let found = sql::around(&mut tx, root.id, way, bounds).await?;
            // The lot itself comes on top.
            cut |= i64::try_from(found.len()).is_ok_and(|n| n > limit);
            for (id, hit) in found {
                if seen.insert(id) {
                    ids.push(id);
                    nodes.push(hit);
                }
            }
        }
        let edges = sql::edges_among(&mut tx, ctx.org, &ids).await?;
        let drawn: Vec<Node<'_>> = nodes
            .iter()
            .map(|n| Node {
                code: &n.lot.lot_code,
                lot_type: &n.lot.lot_type,
                status: n.lot.status,
            })
            .collect();
        let text = render(format, &root.lot_code, &drawn, &edges, cut);
        Ok(Graph { nodes, edges, cut, text })
    }
}

/// The shortest way along the edges.
fn shortest(edges: &[(String, String)], from: &str, to: &str) -> Option<Vec<String>> {
    let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
    for (parent, child) in edges {
        children.entry(parent).or_default().push(child);
    }
    let mut came: HashMap<&str, &str> = HashMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(here) = next.pop_front() {
        if here == to {
            let mut way = vec![to.to_owned()];
            let mut at = to;
            while let Some(before) = came.get(at).filter(|_| at != from) {
                way.push((*before).to_owned());
                at = before;
            }
            way.reverse();
            return Some(way);
        }
        for child in children.get(here).into_iter().flatten() {
            if *child != from && !came.contains_key(child) {
                came.insert(child, here);
                next.push_back(child);
            }
        }
    }
    None
}
