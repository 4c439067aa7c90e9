//! Traceability: lots with their genealogy, the gates that decide on them, the runs
//! that they are made in, and the versioned flows that runs follow.

mod balance;
mod deliveries;
mod error;
mod flows;
mod gates;
mod graph;
mod lots;
pub mod profiles;
mod runs;
mod scenarios;
pub mod schema;
mod service;
mod sql;
pub mod state;
mod trace;
mod types;

pub use balance::MassBalance;
pub use error::Error;
pub use flows::{NewFlow, VersionDetail, VersionView};
pub use gates::{DecisionFilter, GateView, NewDecision};
pub use graph::Format;
pub use lots::LotFilter;
pub use runs::{NewRun, RunDetail, RunFilter, RunView, StepView};
pub use scenarios::{Phase, Scenario, Stream};
pub use service::Service;
pub use trace::{
    Blast, Common, CommonHit, Direction, Graph, Hit, MOST_DEPTH, MOST_DRAWN, MOST_VISITED, Path,
    Share, Span, Walk,
};
pub use types::{DecisionView, Link, List, LotDetail, LotView, MOST, NewLot, Parent};

use crate::control::db::Migration;

/// The domain's steps of the schema.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 3001,
        name: "lineage",
        sql: include_str!("lineage/migrations/3001_lineage.sql"),
    },
    Migration {
        version: 3002,
        name: "runs",
        sql: include_str!("lineage/migrations/3002_runs.sql"),
    },
];
