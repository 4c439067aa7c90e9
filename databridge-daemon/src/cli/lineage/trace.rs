//! `databridge trace …`

use clap::{Args, Subcommand};
use databridge_core::app::Call;
use databridge_core::app::call::{self, TraceCommon, TraceGraph, TracePath};
use databridge_core::domains::lineage::{Direction, Format};
use serde_json::Value;

use super::super::Outcome;
use super::super::backend::Backend;
use super::super::view::{Show, text};
use super::{lot_line, number, page, small};

/// How far, and which page.
#[derive(Debug, Args)]
pub struct Span {
    /// The lot.
    code: String,
    /// At most so many levels; then each lot's level is told.
    #[arg(long, value_name = "LEVELS")]
    depth: Option<i64>,
    /// Visit at most so many lots.
    #[arg(long, value_name = "LOTS")]
    max_lots: Option<i64>,
    /// The last code of the page before.
    #[arg(long)]
    after: Option<String>,
    /// 1 to 1,000.
    #[arg(long)]
    limit: Option<i64>,
}

impl From<Span> for call::Trace {
    fn from(span: Span) -> Self {
        let Span { code, depth, max_lots, after, limit } = span;
        Self { lot_code: code, max_depth: depth, max_lots, after, limit }
    }
}

#[derive(Debug, Subcommand)]
pub enum Trace {
    /// What a lot was made from.
    Ancestors(Span),
    /// What was made from a lot.
    Descendants(Span),
    /// What is touched if a lot is recalled.
    Blast(Span),
    /// What two lots both come from.
    Common {
        /// The one.
        code: String,
        /// The other.
        other: String,
        /// The last code of the page before.
        #[arg(long)]
        after: Option<String>,
        /// 1 to 1,000.
        #[arg(long)]
        limit: Option<i64>,
    },
    /// The shortest way between two lots.
    Path {
        /// The one.
        code: String,
        /// The other.
        other: String,
    },
    /// A drawing of the lots around one.
    Graph {
        /// The lot.
        code: String,
        /// `up` or `down`; both ways where it is not said.
        #[arg(long, value_parser = small::<Direction>)]
        direction: Option<Direction>,
        /// `mermaid` or `dot`.
        #[arg(long, default_value = "mermaid", value_parser = small::<Format>)]
        format: Format,
        /// At most so many levels.
        #[arg(long, value_name = "LEVELS")]
        depth: Option<i64>,
        /// 1 to 5,000 lots each way.
        #[arg(long)]
        limit: Option<i64>,
    },
}

impl Trace {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        match self {
            Self::Ancestors(span) => {
                walk(show, &on.call(Call::TraceAncestors(span.into()))?);
            }
            Self::Descendants(span) => {
                walk(show, &on.call(Call::TraceDescendants(span.into()))?);
            }
            Self::Blast(span) => {
                let found = on.call(Call::TraceBlast(span.into()))?;
                for share in found["shares"].as_array().into_iter().flatten() {
                    show.line(format!(
                        "{:<9} {:<10} {:>8} lots  {}",
                        text(&share["lot_type"]),
                        text(&share["status"]),
                        share["lots"],
                        number(&share["weight_kg"], "kg"),
                    ));
                }
                show.line(format!("{} of them are used up or finished", found["gone"]));
                walk(show, &found);
            }
            Self::Common { code, other, after, limit } => {
                let call = TraceCommon { lot_code: code, other, after, limit };
                page(show, &on.call(Call::TraceCommon(call))?, |hit| {
                    lot_line(show, hit);
                    if hit["nearest"] == true {
                        show.line("    (nearest)");
                    }
                });
            }
            Self::Path { code, other } => {
                let found = on.call(Call::TracePath(TracePath { lot_code: code, other }))?;
                let lots: Vec<_> =
                    found["lots"].as_array().into_iter().flatten().map(text).collect();
                match lots.is_empty() {
                    true => show.line("neither comes from the other"),
                    false => show.line(lots.join(" → ")),
                }
                show.document(&found);
            }
            Self::Graph { code, direction, format, depth, limit } => {
                let call =
                    TraceGraph { lot_code: code, direction, format, max_depth: depth, limit };
                let found = on.call(Call::TraceGraph(call))?;
                show.line(text(&found["text"]).trim_end());
                show.document(&found);
            }
        }
        Ok(0)
    }
}

fn walk(show: &Show, found: &Value) {
    let cut = if found["cut"] == true { "; cut: there may be more" } else { "" };
    show.line(format!("{} lots{cut}", found["total"]));
    page(show, found, |lot| lot_line(show, lot));
}
