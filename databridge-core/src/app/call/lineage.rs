//! The fields of calls on lots, runs, gates and flows.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::number;
use crate::domains::lineage::schema::Schema;
use crate::domains::lineage::state::{Decision, LotStatus, RunAction, RunStatus, VersionAction};
use crate::domains::lineage::{
    DecisionFilter, Direction, Format, LotFilter, Parent, RunFilter, Span,
};

/// One lot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LotCode {
    /// Its code.
    pub lot_code: String,
}

/// Which lots.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LotList {
    /// In this status.
    #[serde(default)]
    pub status: Option<LotStatus>,
    /// Of this type.
    #[serde(default)]
    pub lot_type: Option<String>,
    /// Of this run.
    #[serde(default)]
    pub run: Option<String>,
    /// The last code of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// 1 to 200; 50 where it is not said.
    #[serde(default, deserialize_with = "number")]
    pub limit: Option<i64>,
}

impl From<LotList> for LotFilter {
    fn from(list: LotList) -> Self {
        let LotList { status, lot_type, run, after, limit } = list;
        Self { status, lot_type, run, after, limit }
    }
}

/// What happened to a lot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LotHistory {
    /// Its code.
    pub lot_code: String,
    /// After this position; -1 is from the beginning.
    #[serde(default, deserialize_with = "number")]
    pub after: Option<i64>,
    /// 1 to 1000.
    #[serde(default, deserialize_with = "number")]
    pub limit: Option<i64>,
}

/// A lot and another parent of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LotLink {
    /// The child.
    pub lot_code: String,
    /// The parent: its code, or that with what was drawn from it.
    pub parent: Parent,
}

/// A lot and where it goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LotMove {
    /// Its code.
    pub lot_code: String,
    /// The status.
    pub status: LotStatus,
    /// Why; leaving HOLD takes one.
    #[serde(default)]
    pub note: Option<String>,
}

/// A walk from a lot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// Where it begins.
    pub lot_code: String,
    /// Levels, 1 to 1,000.
    #[serde(default, deserialize_with = "number")]
    pub max_depth: Option<i64>,
    /// Lots that may be visited, 1 to 1,000,000.
    #[serde(default, deserialize_with = "number")]
    pub max_lots: Option<i64>,
    /// The last code of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// 1 to 1,000; 100 where it is not said.
    #[serde(default, deserialize_with = "number")]
    pub limit: Option<i64>,
}

impl Trace {
    /// Where it begins, and how far it goes.
    pub fn split(self) -> (String, Span) {
        let Self { lot_code, max_depth, max_lots, after, limit } = self;
        (lot_code, Span { max_depth, after, limit, max_lots })
    }
}

/// Two lots and a page of what they both come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TraceCommon {
    /// The one.
    pub lot_code: String,
    /// The other.
    pub other: String,
    /// The last code of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// 1 to 1,000; 100 where it is not said.
    #[serde(default, deserialize_with = "number")]
    pub limit: Option<i64>,
}

/// Two lots.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TracePath {
    /// The one.
    pub lot_code: String,
    /// The other.
    pub other: String,
}

/// The lots around one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TraceGraph {
    /// The one.
    pub lot_code: String,
    /// `up` or `down`; both ways where it is not said.
    #[serde(default)]
    pub direction: Option<Direction>,
    /// `json`, `mermaid` or `dot`.
    #[serde(default)]
    pub format: Format,
    /// Levels, 1 to 1,000.
    #[serde(default, deserialize_with = "number")]
    pub max_depth: Option<i64>,
    /// 1 to 5,000 lots each way; 200 where it is not said.
    #[serde(default, deserialize_with = "number")]
    pub limit: Option<i64>,
}

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunCode {
    /// `RUN-00042`.
    pub run_code: String,
}

/// Which runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunList {
    /// In this status; all but archived ones where it is not said.
    #[serde(default)]
    pub status: Option<RunStatus>,
    /// Of this flow.
    #[serde(default)]
    pub flow: Option<String>,
    /// The last code of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// 1 to 200; 50 where it is not said.
    #[serde(default, deserialize_with = "number")]
    pub limit: Option<i64>,
}

impl From<RunList> for RunFilter {
    fn from(list: RunList) -> Self {
        let RunList { status, flow, after, limit } = list;
        Self { status, flow, after, limit }
    }
}

/// What happened to a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunHistory {
    /// `RUN-00042`.
    pub run_code: String,
    /// After this position; -1 is from the beginning.
    #[serde(default, deserialize_with = "number")]
    pub after: Option<i64>,
    /// 1 to 1000.
    #[serde(default, deserialize_with = "number")]
    pub limit: Option<i64>,
}

/// A run and the step that begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunAdvance {
    /// `RUN-00042`.
    pub run_code: String,
    /// The step that begins: one more than the current one, 0 for the first; 11 ends
    /// the last.
    pub to: i64,
}

/// The same, where the step that is left was not done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunSkip {
    /// `RUN-00042`.
    pub run_code: String,
    /// As for advancing.
    pub to: i64,
    /// Why it was not done.
    pub reason: String,
}

/// A run and what is done with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunMove {
    /// `RUN-00042`.
    pub run_code: String,
    /// `hold`, `resume`, `abort` or `archive`.
    pub action: RunAction,
    /// Why; all but archiving take one.
    #[serde(default)]
    pub note: Option<String>,
}

/// Which decisions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct QcList {
    /// Of this lot.
    #[serde(default)]
    pub lot: Option<String>,
    /// Of this run.
    #[serde(default)]
    pub run: Option<String>,
    /// Only these.
    #[serde(default)]
    pub decision: Option<Decision>,
    /// The last id of the page before.
    #[serde(default)]
    pub after: Option<Uuid>,
    /// 1 to 200; 50 where it is not said.
    #[serde(default, deserialize_with = "number")]
    pub limit: Option<i64>,
}

impl From<QcList> for DecisionFilter {
    fn from(list: QcList) -> Self {
        let QcList { lot, run, decision, after, limit } = list;
        Self { lot, run, decision, after, limit }
    }
}

/// A version of a flow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FlowVersion {
    /// Its name.
    pub flow: String,
    /// The newest where it is not said.
    #[serde(default, deserialize_with = "number")]
    pub version_num: Option<i64>,
}

/// A draft and what it is to say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FlowEdit {
    /// Its name.
    pub flow: String,
    /// Which draft.
    #[serde(deserialize_with = "number")]
    pub version_num: Option<i64>,
    /// What it is to say.
    pub graph_schema: Schema,
}

/// A version and what is done with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FlowMove {
    /// Its name.
    pub flow: String,
    /// Which version.
    #[serde(deserialize_with = "number")]
    pub version_num: Option<i64>,
    /// `request review`, `publish` or `deprecate`.
    pub action: VersionAction,
    /// What the reviewer has to say.
    #[serde(default)]
    pub notes: Option<String>,
}

/// A version in review and what its reviewer has to say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FlowNote {
    /// Its name.
    pub flow: String,
    /// Which version.
    #[serde(deserialize_with = "number")]
    pub version_num: Option<i64>,
    /// In words.
    pub notes: String,
}

/// Two versions of a flow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FlowDiff {
    /// Its name.
    pub flow: String,
    /// The one.
    #[serde(deserialize_with = "number")]
    pub from: Option<i64>,
    /// The other.
    #[serde(deserialize_with = "number")]
    pub to: Option<i64>,
}
