//! `databridge flow …`

use std::path::PathBuf;

use clap::Subcommand;
use databridge_core::app::Call;
use databridge_core::app::call::{FlowDiff, FlowEdit, FlowMove, FlowNote, FlowVersion};
use databridge_core::domains::lineage::NewFlow;
use databridge_core::domains::lineage::state::VersionAction;
use serde_json::Value;

use super::super::Outcome;
use super::super::backend::Backend;
use super::super::view::{Show, text};
use super::read;

#[derive(Debug, Subcommand)]
pub enum Flow {
    /// Begins a flow, or its next draft.
    Draft {
        /// What to call it.
        name: String,
        /// Its graph, as JSON; as its newest version where none is given.
        #[arg(long, value_name = "FILE")]
        graph: Option<PathBuf>,
    },
    /// Every version of every flow.
    List,
    /// A version; its graph with --json.
    Show {
        /// The flow.
        name: String,
        /// The newest where it is not said.
        #[arg(value_name = "VERSION")]
        number: Option<i64>,
    },
    /// Writes a draft's graph anew.
    Edit {
        /// The flow.
        name: String,
        /// Which draft.
        #[arg(value_name = "VERSION")]
        number: i64,
        /// Its graph, as JSON.
        #[arg(long, value_name = "FILE")]
        graph: PathBuf,
    },
    /// Asks for review.
    Submit {
        /// The flow.
        name: String,
        /// Which draft.
        #[arg(value_name = "VERSION")]
        number: i64,
    },
    /// What a reviewer has to say.
    Note {
        /// The flow.
        name: String,
        /// Which version.
        #[arg(value_name = "VERSION")]
        number: i64,
        /// In words.
        notes: String,
    },
    /// Puts a reviewed version into force; nobody does so with their own.
    Publish {
        /// The flow.
        name: String,
        /// Which version.
        #[arg(value_name = "VERSION")]
        number: i64,
        /// What the reviewer has to say.
        #[arg(long)]
        notes: Option<String>,
    },
    /// Takes a version out of use.
    Deprecate {
        /// The flow.
        name: String,
        /// Which version.
        #[arg(value_name = "VERSION")]
        number: i64,
        /// Why.
        #[arg(long)]
        notes: Option<String>,
    },
    /// What changed between two versions.
    Diff {
        /// The flow.
        name: String,
        /// The one.
        from: i64,
        /// The other.
        to: i64,
    },
    /// Lines of business that can be installed: food, vfx.
    Profiles,
    /// Writes a profile's lanes and the next draft of its flow.
    Install {
        /// food or vfx.
        profile: String,
    },
    /// Scenarios, every version; or defines one.
    Scenarios {
        /// A scenario to define, as JSON.
        #[arg(long, value_name = "FILE")]
        define: Option<PathBuf>,
    },
    /// What you may do with lots, runs, gates and flows.
    Access,
}

fn moving(flow: String, number: i64, action: VersionAction, notes: Option<String>) -> Call {
    Call::FlowMove(FlowMove { flow, version_num: Some(number), action, notes })
}

impl Flow {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let call = match self {
            Self::Draft { name, graph } => {
                let graph_schema = graph.map(|path| read(&path)).transpose()?;
                Call::FlowDraft(NewFlow { name, graph_schema })
            }
            Self::List => Call::FlowList {},
            Self::Show { name, number } => {
                Call::FlowShow(FlowVersion { flow: name, version_num: number })
            }
            Self::Edit { name, number, graph } => Call::FlowEdit(FlowEdit {
                flow: name,
                version_num: Some(number),
                graph_schema: read(&graph)?,
            }),
            Self::Submit { name, number } => {
                moving(name, number, VersionAction::RequestReview, None)
            }
            Self::Note { name, number, notes } => {
                Call::FlowNote(FlowNote { flow: name, version_num: Some(number), notes })
            }
            Self::Publish { name, number, notes } => {
                moving(name, number, VersionAction::Publish, notes)
            }
            Self::Deprecate { name, number, notes } => {
                moving(name, number, VersionAction::Deprecate, notes)
            }
            Self::Diff { name, from, to } => {
                let call = FlowDiff { flow: name, from: Some(from), to: Some(to) };
                let changes = on.call(Call::FlowDiff(call))?;
                for one in changes.as_array().into_iter().flatten() {
                    let (what, key) = (text(&one["what"]), text(&one["key"]));
                    show.line(format!("{:<8} {what} {key}", text(&one["change"])));
                }
                show.document(&changes);
                return Ok(0);
            }
            Self::Profiles => return profiles(on, show),
            Self::Install { profile } => Call::ProfileInstall { name: profile },
            Self::Scenarios { define: Some(path) } => Call::ScenarioDefine(read(&path)?),
            Self::Scenarios { define: None } => Call::ScenarioList {},
            Self::Access => Call::LineageAccess {},
        };
        let answer = on.call(call)?;
        match &answer {
            Value::Array(all) if all.is_empty() => {
                show.aside("there are none; `databridge flow install` brings a first one");
            }
            Value::Array(all) => all.iter().for_each(|one| line(show, one)),
            one => line(show, one),
        }
        show.document(&answer);
        Ok(0)
    }
}

fn words(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}

/// A version, a scenario, or what the caller may do.
fn line(show: &Show, one: &Value) {
    if let Some(flow) = one["flow"].as_str() {
        let name = format!("{flow}@{}", one["version_num"]);
        let can = words(&one["actions"]);
        let (status, author) = (text(&one["status"]), text(&one["author"]));
        show.line(format!("{name:<24} {status:<10} by {author}  can: {can}"));
    } else if let Some(name) = one["name"].as_str() {
        let streams = one["streams"].as_array().into_iter().flatten();
        let keys: Vec<_> = streams.map(|s| text(&s["stream_key"])).collect();
        show.line(format!("{name} v{}: {}", one["version"], keys.join(", ")));
    } else {
        show.line(format!("roles: {}", words(&one["roles"])));
        show.line(format!("may: {}", words(&one["permissions"])));
    }
}

fn profiles(on: &Backend, show: &Show) -> Outcome {
    let found = on.call(Call::ProfileList {})?;
    for profile in found.as_array().into_iter().flatten() {
        show.line(format!("{}: {}", text(&profile["name"]), text(&profile["title"])));
        for kind in profile["lot_types"].as_array().into_iter().flatten() {
            show.line(format!("  {:<9} {}", text(&kind["key"]), text(&kind["name"])));
        }
    }
    show.document(&found);
    Ok(0)
}
