//! `databridge run …`, `databridge gate …`

use std::collections::BTreeMap;

use clap::Subcommand;
use databridge_core::Error;
use databridge_core::app::Call;
use databridge_core::app::call::{
    QcList, RunAdvance, RunCode, RunHistory, RunList, RunMove, RunSkip,
};
use databridge_core::domains::lineage::state::{Decision, RunAction, RunStatus};
use databridge_core::domains::lineage::{NewDecision, NewRun};
use serde_json::Value;

use super::super::Outcome;
use super::super::backend::Backend;
use super::super::error::usage;
use super::super::view::{Show, text, time};
use super::{capital, decision_line, events, page};

#[derive(Debug, Subcommand)]
pub enum Run {
    /// Creates a run of a flow.
    Create {
        /// The flow.
        flow: String,
        /// Which published version.
        #[arg(long = "flow-version", value_name = "NUMBER")]
        version_num: Option<i64>,
        /// The same key is the same run.
        #[arg(long = "key")]
        run_key: Option<String>,
    },
    /// Runs, newest first.
    List {
        /// In this status.
        #[arg(long, value_parser = capital::<RunStatus>)]
        status: Option<RunStatus>,
        /// Of this flow.
        #[arg(long)]
        flow: Option<String>,
        /// The last code of the page before.
        #[arg(long)]
        after: Option<String>,
        /// 1 to 200.
        #[arg(long)]
        limit: Option<i64>,
    },
    /// A run with its steps.
    Show {
        /// `RUN-00042`.
        code: String,
    },
    /// What happened to it.
    History {
        /// `RUN-00042`.
        code: String,
        /// After this position.
        #[arg(long)]
        after: Option<i64>,
    },
    /// The next step begins.
    Advance {
        /// `RUN-00042`.
        code: String,
        /// Which step begins; the one after what the run now shows where it is not said.
        #[arg(long, value_name = "INDEX")]
        to: Option<i64>,
    },
    /// The next step begins, and the current one was not done.
    Skip {
        /// `RUN-00042`.
        code: String,
        /// As for advancing.
        #[arg(long, value_name = "INDEX")]
        to: Option<i64>,
        /// Why it was not done.
        #[arg(long)]
        reason: String,
    },
    /// Ends it; what is not done is skipped.
    End {
        /// `RUN-00042`.
        code: String,
    },
    /// Pauses it.
    Hold {
        /// `RUN-00042`.
        code: String,
        /// Why.
        #[arg(long)]
        note: String,
    },
    /// Goes on.
    Resume {
        /// `RUN-00042`.
        code: String,
        /// What was done about it.
        #[arg(long)]
        note: String,
    },
    /// Ends it early.
    Abort {
        /// `RUN-00042`.
        code: String,
        /// Why.
        #[arg(long)]
        note: String,
    },
    /// Puts an ended run away.
    Archive {
        /// `RUN-00042`.
        code: String,
    },
}

/// The step after what the run now shows.
fn next(on: &Backend, code: &str, to: Option<i64>) -> Result<i64, Error> {
    match to {
        Some(to) => Ok(to),
        None => {
            let run = on.call(Call::RunShow(RunCode { run_code: code.to_owned() }))?;
            let current = run["current_step_index"].as_i64().unwrap_or_default();
            Ok(if run["status"] == "IDLE" { 0 } else { current + 1 })
        }
    }
}

fn moving(code: String, action: RunAction, note: Option<String>) -> Call {
    Call::RunMove(RunMove { run_code: code, action, note })
}

impl Run {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let call = match self {
            Self::Create { flow, version_num, run_key } => {
                Call::RunCreate(NewRun { flow, version_num, run_key })
            }
            Self::List { status, flow, after, limit } => {
                let list = RunList { status, flow, after, limit };
                page(show, &on.call(Call::RunList(list))?, |run| run_line(show, run));
                return Ok(0);
            }
            Self::Show { code } => Call::RunShow(RunCode { run_code: code }),
            Self::History { code, after } => {
                let history = RunHistory { run_code: code, after, limit: Some(1000) };
                events(show, &on.call(Call::RunHistory(history))?);
                return Ok(0);
            }
            Self::Advance { code, to } => {
                let to = next(on, &code, to)?;
                Call::RunAdvance(RunAdvance { run_code: code, to })
            }
            Self::Skip { code, to, reason } => {
                let to = next(on, &code, to)?;
                Call::RunSkip(RunSkip { run_code: code, to, reason })
            }
            Self::End { code } => Call::RunEnd(RunCode { run_code: code }),
            Self::Hold { code, note } => moving(code, RunAction::Hold, Some(note)),
            Self::Resume { code, note } => moving(code, RunAction::Resume, Some(note)),
            Self::Abort { code, note } => moving(code, RunAction::Abort, Some(note)),
            Self::Archive { code } => moving(code, RunAction::Archive, None),
        };
        let run = on.call(call)?;
        run_line(show, &run);
        for step in run["steps"].as_array().into_iter().flatten() {
            show.line(format!(
                "  {:>2}  {:<12} {:<12} {:<19} {}",
                step["step_index"],
                text(&step["node_id"]),
                text(&step["status"]),
                time(&step["started_at"]),
                text(&step["operator"]),
            ));
        }
        let decisions = run["decisions"].as_array().into_iter().flatten();
        decisions.for_each(|one| decision_line(show, one));
        show.document(&run);
        Ok(0)
    }
}

fn run_line(show: &Show, run: &Value) {
    let flow = match (run["flow"].as_str(), run["version_num"].as_i64()) {
        (Some(flow), Some(version)) => format!("{flow}@{version}"),
        _ => String::new(),
    };
    show.line(format!(
        "{:<12} {:<10} step {:<2} {flow} {}",
        text(&run["run_code"]),
        text(&run["status"]),
        run["current_step_index"],
        text(&run["hold_reason"]),
    ));
}

#[derive(Debug, Subcommand)]
pub enum Gate {
    /// Gates of published flow versions.
    List {
        /// Of this flow.
        #[arg(long)]
        flow: Option<String>,
    },
    /// Decides on a lot: the system then releases, holds or rejects it.
    Decide {
        /// The lot.
        lot: String,
        /// The gate: its name in the flow of the lot's run, or in full (`food@1:metal`).
        gate: String,
        /// pass, hold or fail.
        #[arg(value_parser = capital::<Decision>)]
        decision: Decision,
        /// In words; hold and fail take some.
        #[arg(long)]
        notes: Option<String>,
        /// An answer to the checklist, as often as needed.
        #[arg(long = "answer", value_name = "KEY=ANSWER")]
        answers: Vec<String>,
    },
    /// Decisions, newest first.
    Decisions {
        /// Of this lot.
        #[arg(long)]
        lot: Option<String>,
        /// Of this run.
        #[arg(long)]
        run: Option<String>,
        /// Only these.
        #[arg(long, value_parser = capital::<Decision>)]
        decision: Option<Decision>,
        /// The last id of the page before.
        #[arg(long)]
        after: Option<uuid::Uuid>,
        /// 1 to 200.
        #[arg(long)]
        limit: Option<i64>,
    },
}

/// `yes`, `no`, a number or a text.
fn answer(text: &str) -> Result<(String, Value), Error> {
    let (key, said) = text
        .split_once('=')
        .ok_or_else(|| usage(format!("{text:?} is no answer"), "write it KEY=ANSWER"))?;
    let value = match said {
        "yes" | "true" => Value::Bool(true),
        "no" | "false" => Value::Bool(false),
        other => other.parse::<f64>().map_or_else(|_| Value::from(other), Value::from),
    };
    Ok((key.to_owned(), value))
}

impl Gate {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        match self {
            Self::List { flow } => {
                let gates = on.call(Call::GateList { flow })?;
                for gate in gates.as_array().into_iter().flatten() {
                    let ccp = if gate["is_ccp"] == true { " critical" } else { "" };
                    let blocking = if gate["blocking"] == true { " blocking" } else { "" };
                    let asked: Vec<_> = gate["checklist"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|question| text(&question["key"]))
                        .collect();
                    show.line(format!(
                        "{:<28} step {:<2} {}{ccp}{blocking}  [{}]",
                        text(&gate["gate"]),
                        gate["step_index"],
                        text(&gate["gate_type"]),
                        asked.join(", "),
                    ));
                }
                show.document(&gates);
            }
            Self::Decide { lot, gate, decision, notes, answers } => {
                let answers =
                    answers.iter().map(|a| answer(a)).collect::<Result<BTreeMap<_, _>, _>>()?;
                let new = NewDecision { lot_code: lot, gate, decision, notes, answers };
                let made = on.call(Call::QcDecide(new))?;
                decision_line(show, &made);
                show.document(&made);
            }
            Self::Decisions { lot, run, decision, after, limit } => {
                let list = QcList { lot, run, decision, after, limit };
                page(show, &on.call(Call::QcList(list))?, |one| decision_line(show, one));
            }
        }
        Ok(0)
    }
}
