//! `databridge transfer …`

mod show;

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use databridge_core::app::Call;
use databridge_core::app::call::{AddFrom, Because, Code, Decision, TransferHook};
use databridge_core::domains::transfer::{Create, Meta, Priority, RecallRequest};
use databridge_core::workflow::Symbol;
use serde_json::Value;

use super::Outcome;
use super::backend::Backend;
use super::error::usage;
use super::places::{meta, metadata};
use super::view::{Show, size, text};
pub use show::progress;
use show::{detail, event, list};

#[derive(Debug, Subcommand)]
pub enum Transfer {
    /// Makes a transfer and prints its code.
    Create {
        /// What is in it.
        title: String,
        /// The production's short name.
        #[arg(long)]
        project: String,
        /// `plates`, `textures`, …
        #[arg(long)]
        category: String,
        /// Its approval chain.
        #[arg(long)]
        chain: Option<String>,
        /// low or normal; high and urgent by who executes transfers.
        #[arg(long, value_parser = priority)]
        priority: Option<Priority>,
        /// What it is made from: a transfer's or a lot's code, as often as needed.
        #[arg(long = "parent", value_name = "CODE")]
        parents: Vec<String>,
        /// What else is known of it (shot=sh010, version=3), as often as needed; its path
        /// in production may ask for some.
        #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = meta)]
        metadata: Vec<(String, Meta)>,
    },
    /// Adds files, or the content of folders.
    Add {
        /// TRF-00042
        code: String,
        /// Files or folders.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// They lie on the daemon's host, below one of its roots (uploads.add_roots):
        /// nothing is sent, a job adds them there.
        #[arg(long)]
        from_server: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Takes a file out.
    Remove {
        /// TRF-00042
        code: String,
        /// The file, as `files` names it.
        path: String,
    },
    /// Asks for review.
    Submit(Step),
    /// Agrees, at the current stage.
    Approve {
        /// TRF-00042
        code: String,
        /// Refuse where the manifest digest is another than this.
        #[arg(long, value_name = "SHA256")]
        digest: Option<String>,
        /// A word with it.
        #[arg(long)]
        comment: Option<String>,
    },
    /// Gives it back to its artist.
    Reject(Reasoned),
    /// Stands in for the stages that are left (admin).
    Override(Reasoned),
    /// Starts the scan.
    Scan(Step),
    /// Decides on what a scan left open.
    Decide {
        /// TRF-00042
        code: String,
        /// What.
        decision: DecisionArg,
        /// Why: it stands on the receipt.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Starts the way to production.
    Start(Step),
    /// Takes a failed step up again.
    Retry(Step),
    /// Takes a wrong delivery out of production: it is moved aside whole (IT).
    Recall {
        /// TRF-00042
        code: String,
        /// Why: it is kept and told to whoever approved it.
        #[arg(long)]
        reason: String,
        /// Also where what stands there is not what was delivered any more.
        #[arg(long)]
        force: bool,
        /// Read every file first, and not only names and lengths.
        #[arg(long)]
        digests: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Lets a hook run again that was given up.
    RetryHook {
        /// TRF-00042
        code: String,
        /// The hook, as `show` names it.
        hook: String,
    },
    /// Withdraws it.
    Cancel {
        /// TRF-00042
        code: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Says how urgent it is: low, normal, high or urgent.
    Priority {
        /// TRF-00042
        code: String,
        /// Urgent ones also wait for no time window.
        #[arg(value_parser = priority)]
        priority: Priority,
    },
    /// Lets the work on it stand still, in its place.
    Pause {
        /// TRF-00042
        code: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Lets it go on.
    Resume(Step),
    /// Transfers, newest first.
    List {
        /// Only in this state.
        #[arg(long)]
        state: Option<String>,
        /// Only of this project.
        #[arg(long)]
        project: Option<String>,
        /// Only what waits for your decision.
        #[arg(long, conflicts_with_all = ["state", "project", "after"])]
        waiting: bool,
        /// After this code: the last one of the page before.
        #[arg(long)]
        after: Option<String>,
        /// At most so many, 1 to 200.
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// Everything about a transfer.
    Show {
        /// TRF-00042
        code: String,
    },
    /// Its files.
    Files {
        /// TRF-00042
        code: String,
    },
    /// What happened to it.
    History {
        /// TRF-00042
        code: String,
    },
    /// Follows it until it waits for a person or is at its end.
    Watch {
        /// TRF-00042
        code: String,
    },
}

/// A step that work follows.
#[derive(Debug, clap::Args)]
pub struct Step {
    /// TRF-00042
    code: String,
    #[command(flatten)]
    wait: Wait,
}

/// Whether to wait until what follows is done.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Wait {
    /// Do not wait for what follows.
    #[arg(long)]
    no_wait: bool,
    /// On a daemon: wait for what follows.
    #[arg(long, conflicts_with = "no_wait")]
    wait: bool,
}

impl Wait {
    fn is_wanted(self, on: &Backend) -> bool {
        !self.no_wait && (self.wait || on.works_itself())
    }
}

/// A decision that needs a reason.
#[derive(Debug, clap::Args)]
pub struct Reasoned {
    /// TRF-00042
    code: String,
    /// Why: it is kept and shown.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DecisionArg {
    /// Lets an undecided scan pass.
    Accept,
    /// Gives it back to its artist.
    SendBack,
    /// Declares a finding wrong (admin).
    Release,
    /// Goes on without a scan (admin).
    OverrideScan,
}

impl From<DecisionArg> for Decision {
    fn from(arg: DecisionArg) -> Self {
        match arg {
            DecisionArg::Accept => Self::Accept,
            DecisionArg::SendBack => Self::SendBack,
            DecisionArg::Release => Self::Release,
            DecisionArg::OverrideScan => Self::OverrideScan,
        }
    }
}

fn because(r: Reasoned) -> Because {
    Because { code: r.code, reason: r.reason }
}

impl Transfer {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        match self {
            Self::Create {
                title,
                project,
                category,
                chain,
                priority,
                parents,
                metadata: given,
            } => {
                let metadata = metadata(given)?;
                let create =
                    Create { title, project, category, chain, priority, parents, metadata };
                let made = on.call(Call::TransferCreate(create))?;
                show.line(text(&made["code"]));
                show.document(&made);
                show.aside(format!("it goes to {}", text(&made["destination"])));
                next(on, show, text(&made["code"]));
                Ok(0)
            }
            Self::Add { code, paths, from_server: true, wait } => {
                add_from(on, show, &code, &paths, wait)
            }
            Self::Add { code, paths, .. } => {
                let mut answer = Value::Null;
                for path in &paths {
                    answer = on.add(&code, path)?;
                }
                brief(on, show, &answer)
            }
            Self::Remove { code, path } => {
                brief(on, show, &on.call(Call::TransferRemoveFile { code, path })?)
            }
            Self::Submit(s) => step(on, show, &s, Call::TransferSubmit),
            Self::Scan(s) => step(on, show, &s, Call::Scan),
            Self::Start(s) => step(on, show, &s, Call::Start),
            Self::Retry(s) => step(on, show, &s, Call::Retry),
            Self::RetryHook { code, hook } => {
                show::hooks(show, &on.call(Call::HookRetry(TransferHook { code, hook }))?)
            }
            Self::Resume(s) => step(on, show, &s, Call::TransferResume),
            Self::Priority { code, priority } => {
                brief(on, show, &on.call(Call::TransferPriority { code, priority })?)
            }
            Self::Pause { code, reason } => {
                brief(on, show, &on.call(Call::TransferPause { code, reason })?)
            }
            Self::Approve { code, digest, comment } => {
                brief(on, show, &on.call(Call::Approve { code, manifest_digest: digest, comment })?)
            }
            Self::Reject(r) => brief(on, show, &on.call(Call::Reject(because(r)))?),
            Self::Override(r) => brief(on, show, &on.call(Call::OverrideApproval(because(r)))?),
            Self::Decide { code, decision, reason, wait } => {
                let call = Call::Decide { code: code.clone(), decision: decision.into(), reason };
                follow(on, show, &code, call, wait.is_wanted(on))
            }
            Self::Recall { code, reason, force, digests, wait } => {
                let wish = RecallRequest { code: code.clone(), reason, force, digests };
                let call = Call::TransferRecall(wish);
                follow(on, show, &code, call, wait.is_wanted(on))
            }
            Self::Cancel { code, reason, wait } => {
                let call = Call::TransferCancel { code: code.clone(), reason };
                follow(on, show, &code, call, wait.is_wanted(on))
            }
            other => other.look(on, show),
        }
    }

    fn look(self, on: &Backend, show: &Show) -> Outcome {
        match self {
            Self::List { waiting: true, .. } => list(show, &on.call(Call::ApprovalsWaiting {})?),
            Self::List { state, project, after, limit, .. } => {
                let state = state.map(|name| parse_state(&name)).transpose()?;
                let limit = Some(limit);
                list(
                    show,
                    &on.call(Call::TransferList {
                        state,
                        project,
                        owner: None,
                        waiting_for_me: None,
                        text: None,
                        since: None,
                        until: None,
                        after,
                        limit,
                    })?,
                )
            }
            Self::Show { code } => {
                let shown = on.call(Call::TransferShow(Code { code }))?;
                detail(show, &shown);
                Ok(0)
            }
            Self::Files { code } => {
                let files = on.call(Call::TransferFiles(Code { code }))?;
                for file in files.as_array().into_iter().flatten() {
                    let bytes = file["size_bytes"].as_u64().unwrap_or(0);
                    show.line(format!("{:>10}  {}", size(bytes), text(&file["path"])));
                }
                show.document(&files);
                Ok(0)
            }
            Self::History { code } => {
                let mut after = -1;
                loop {
                    let events = on.history(&code, after, None)?;
                    let Some(last) = events.last() else { return Ok(0) };
                    after = last["position"].as_i64().unwrap_or(i64::MAX);
                    events.iter().for_each(|e| event(show, e));
                }
            }
            Self::Watch { code } => {
                let shown = on.settle(&code, -1, |e| event(show, e))?;
                show.line(format!("{} is {}", code, text(&shown["state"])));
                Ok(outcome_of_work(&shown))
            }
            _ => Ok(0),
        }
    }
}

fn priority(name: &str) -> Result<Priority, String> {
    Priority::parse(name).ok_or_else(|| "low, normal, high or urgent".into())
}

fn parse_state(
    name: &str,
) -> Result<databridge_core::domains::transfer::state::State, databridge_core::Error> {
    use databridge_core::domains::transfer::state::State;
    State::parse(name).ok_or_else(|| {
        let known: Vec<_> = State::ALL.iter().map(|s| s.name()).collect();
        usage(
            format!("{name:?} is no state; the states are {}", known.join(", ")),
            "choose one of them",
        )
    })
}

fn step(on: &Backend, show: &Show, step: &Step, call: fn(Code) -> Call) -> Outcome {
    let call = call(Code { code: step.code.clone() });
    follow(on, show, &step.code, call, step.wait.is_wanted(on))
}

/// Takes the step and, where it is wanted, waits for what follows.
fn follow(on: &Backend, show: &Show, code: &str, call: Call, wait: bool) -> Outcome {
    let answer = if wait { settled(on, show, code, call)? } else { on.call(call)? };
    brief(on, show, &answer)
}

/// Takes the step, tells of what follows, and answers how the transfer stands in the end.
fn settled(
    on: &Backend,
    show: &Show,
    code: &str,
    call: Call,
) -> Result<Value, databridge_core::Error> {
    on.call(call)?;
    let seen = on.history(code, -1, None)?.last().and_then(|e| e["position"].as_i64());
    let quiet = Show { json: show.json };
    on.settle(code, seen.unwrap_or(-1), |e| {
        if !quiet.json {
            event(&quiet, e);
        }
    })
}

/// Asks for files that the daemon's host has to be added, and follows that.
fn add_from(on: &Backend, show: &Show, code: &str, paths: &[PathBuf], wait: Wait) -> Outcome {
    let waits = wait.is_wanted(on);
    let (mut answer, mut failed) = (Value::Null, None);
    for path in paths {
        let from = path.to_str().ok_or_else(|| {
            usage(format!("{} is not UTF-8", path.display()), "rename it, or upload it")
        })?;
        let call = Call::TransferAdd(AddFrom { code: code.to_owned(), from: from.to_owned() });
        if !waits {
            answer = on.call(call)?;
            continue;
        }
        answer = settled(on, show, code, call)?;
        // Another that failed before, and was not asked for anew, is told beside.
        if answer["failure"]["from"].as_str().map(Path::new) == Some(path) {
            failed = Some(kind_of_failure(&answer));
            break;
        }
    }
    let exit = brief(on, show, &answer)?;
    if !waits {
        show.aside(format!("a job adds them; databridge transfer watch {code} waits for it"));
    }
    Ok(failed.unwrap_or(exit))
}

/// `databridge explain`
pub fn explain(on: &Backend, show: &Show, code: String) -> Outcome {
    let explained = on.call(Call::TransferExplain(Code { code }))?;
    show.document(&explained);
    show.line(text(&explained["text"]));
    Ok(0)
}

/// One line about a transfer. A step that failed is told, and is no success.
fn brief(on: &Backend, show: &Show, transfer: &Value) -> Outcome {
    show.document(transfer);
    let state = text(&transfer["state"]);
    let paused = if transfer["paused"].is_null() { "" } else { ", paused" };
    show.line(format!(
        "{}  {state}{paused}  {} files, {}",
        text(&transfer["code"]),
        transfer["file_count"],
        size(transfer["total_bytes"].as_u64().unwrap_or(0)),
    ));
    for (name, value) in
        [("reason", &transfer["reason"]), ("failure", &transfer["failure"]["message"])]
    {
        if !value.is_null() {
            show.line(format!("  {name}: {}", text(value)));
        }
    }
    if let Some(hint) = transfer["failure"]["hint"].as_str() {
        show.line(format!("  hint: {hint}"));
    }
    next(on, show, text(&transfer["code"]));
    Ok(outcome(transfer))
}

/// To a person at a terminal: who can do what next, and how.
fn next(on: &Backend, show: &Show, code: &str) {
    if !show.has_reader() {
        return;
    }
    // A word beside the answer: without it nothing is missing.
    let Ok(explained) = on.call(Call::TransferExplain(Code { code: code.to_owned() })) else {
        return;
    };
    for step in explained["next"].as_array().into_iter().flatten() {
        let by: Vec<_> = step["by"].as_array().into_iter().flatten().map(text).collect();
        show.aside(format!("next: {}  ({})", text(&step["command"]), by.join(" or ")));
    }
}

/// What a transfer's state means to a script.
fn outcome(transfer: &Value) -> u8 {
    match text(&transfer["state"]) {
        "infected" => 1,
        "undecided" => 6,
        state if state.ends_with("_failed") => kind_of_failure(transfer),
        _ => 0,
    }
}

/// The same, where a job was waited for that may have been to add something.
fn outcome_of_work(transfer: &Value) -> u8 {
    match transfer["failure"]["from"].is_string() {
        true => kind_of_failure(transfer),
        false => outcome(transfer),
    }
}

fn kind_of_failure(transfer: &Value) -> u8 {
    let kind = serde_json::from_value(transfer["failure"]["kind"].clone());
    kind.map_or(5, |kind: databridge_core::ErrorKind| kind.exit_code())
}
