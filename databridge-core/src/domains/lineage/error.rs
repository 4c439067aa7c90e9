//! What can go wrong with lots, runs, gates and flows.

use crate::base::error::{ErrorKind, Fault};
use crate::control::db;

/// Failures of the lineage domain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// None that the caller may see.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// `lot`, `run`, `gate`, `flow`, …
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// The code or name is taken.
    #[error("there is a {what} {name:?} already")]
    Exists {
        /// `lot`, `flow`, …
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A field is not acceptable.
    #[error("{field} {value:?} is not acceptable: {reason}")]
    BadField {
        /// Which.
        field: &'static str,
        /// What was given.
        value: String,
        /// Why not.
        reason: String,
    },
    /// A parent that is not there.
    #[error("{child} cannot have the parent {parent:?}: there is no such lot")]
    UnknownParent {
        /// The lot.
        child: String,
        /// The parent that was named.
        parent: String,
    },
    /// A lot would be its own ancestor.
    #[error("{parent} cannot be a parent of {child}: it was made from it")]
    Cycle {
        /// The lot.
        child: String,
        /// The parent that was named.
        parent: String,
    },
    /// More would be drawn from a lot than it weighs.
    #[error("{child} does not balance: {detail}")]
    MassBalance {
        /// The lot.
        child: String,
        /// By how much.
        detail: String,
    },
    /// A decision without a word.
    #[error("{subject}: to {action}, say why")]
    NoReason {
        /// The subject.
        subject: String,
        /// What was asked for.
        action: &'static str,
    },
    /// The gate belongs to another flow version than the lot's run.
    #[error("{gate} is no gate of {run}")]
    ForeignGate {
        /// The gate.
        gate: String,
        /// The lot's run.
        run: String,
    },
    /// This lot was decided on at this gate.
    #[error("{lot} was decided on at {gate} already")]
    Decided {
        /// The lot.
        lot: String,
        /// The gate.
        gate: String,
    },
    /// A blocking gate has not let the run through.
    #[error("{run} cannot leave step {step}: {gate} {why}")]
    Blocked {
        /// The run.
        run: String,
        /// The step it is at.
        step: i64,
        /// The gate.
        gate: String,
        /// What the gate says.
        why: &'static str,
    },
    /// The run is not where the caller believes.
    #[error("{run} is at step {current}, so it cannot advance to step {asked}")]
    StepMoved {
        /// The run.
        run: String,
        /// Where it is.
        current: i64,
        /// Where the caller wanted to go.
        asked: i64,
    },
    /// The flow has no version that runs may use.
    #[error("{flow} has no published version")]
    NotPublished {
        /// The flow.
        flow: String,
    },
    /// Only a draft is edited.
    #[error("{version} is {status}: {rule}")]
    Immutable {
        /// Which.
        version: String,
        /// Its status.
        status: &'static str,
        /// What may be changed.
        rule: &'static str,
    },
    /// Nobody approves their own version.
    #[error("{username} wrote {version} and so may not approve it")]
    SeparationOfDuties {
        /// The version.
        version: String,
        /// Who tried.
        username: String,
    },
    /// The database failed.
    #[error("lineage could not be read or written")]
    Db(#[from] db::Error),
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Exists { .. } | Self::Decided { .. } | Self::StepMoved { .. } => {
                ErrorKind::Conflict
            }
            Self::BadField { .. }
            | Self::UnknownParent { .. }
            | Self::Cycle { .. }
            | Self::MassBalance { .. }
            | Self::NoReason { .. }
            | Self::ForeignGate { .. } => ErrorKind::Invalid,
            Self::Blocked { .. } | Self::NotPublished { .. } | Self::Immutable { .. } => {
                ErrorKind::IllegalState
            }
            Self::SeparationOfDuties { .. } => ErrorKind::Forbidden,
            Self::Db(error) => error.kind(),
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::NotFound { .. } => "lineage.not_found",
            Self::Exists { .. } => "lineage.exists",
            Self::BadField { .. } => "lineage.bad_field",
            Self::UnknownParent { .. } => "lineage.unknown_parent",
            Self::Cycle { .. } => "lineage.cycle",
            Self::MassBalance { .. } => "lineage.mass_balance",
            Self::NoReason { .. } => "lineage.no_reason",
            Self::ForeignGate { .. } => "lineage.foreign_gate",
            Self::Decided { .. } => "lineage.decided",
            Self::Blocked { .. } => "lineage.blocked",
            Self::StepMoved { .. } => "lineage.step_moved",
            Self::NotPublished { .. } => "lineage.not_published",
            Self::Immutable { .. } => "lineage.immutable",
            Self::SeparationOfDuties { .. } => "lineage.separation_of_duties",
            Self::Db(error) => error.code(),
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::NotFound { what: "profile", .. } => {
                "`databridge flow profiles` shows what there is".into()
            }
            Self::NotFound { what: "scenario", .. } => {
                "`databridge flow scenarios` shows what there is".into()
            }
            Self::NotFound { what, .. } => {
                format!("`databridge {what} list` shows what there is").into()
            }
            Self::Exists { .. } => "choose another name".into(),
            Self::UnknownParent { .. } => "register the parent first".into(),
            Self::Cycle { .. } => "`databridge trace path` shows how they are related".into(),
            Self::MassBalance { .. } => {
                "check the weights, and what was drawn from each parent".into()
            }
            Self::NoReason { .. } => "it is kept and shown".into(),
            Self::ForeignGate { .. } => {
                "`databridge gate list` shows the gates of each flow".into()
            }
            Self::Decided { .. } => "a held lot is moved by hand, with a note".into(),
            Self::Blocked { .. } => {
                "decide at the gate, or resolve the lot that is held there".into()
            }
            Self::StepMoved { .. } => "look at the run again: somebody else was faster".into(),
            Self::NotPublished { .. } => "have a version reviewed and published".into(),
            Self::Immutable { .. } => "make the next draft from it".into(),
            Self::SeparationOfDuties { .. } => "somebody else has to approve it".into(),
            Self::Db(error) => return error.hint(),
            Self::BadField { field: "graph_schema", .. } => {
                "give a graph (docs/lineage.md), or begin with `databridge flow install`".into()
            }
            Self::BadField { field, .. } => format!("give another {field}, or leave it out").into(),
        })
    }
}
