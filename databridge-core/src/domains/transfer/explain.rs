//! Where a transfer stands, in a paragraph.

use std::time::Duration;

use serde::Serialize;

use super::service::{asked, roles, visible};
use super::state::{Action, MACHINE, MATRIX, Permission, State, work};
use super::types::Transfer;
use super::{Service, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::ctx::Ctx;
use crate::control::jobs::{self, JobView};
use crate::control::ledger;
use crate::control::outbound::{self, HookView};
use crate::symbols;
use crate::workflow::Symbol;

/// So many of the newest events are looked through for when a state began.
const EVENTS: i64 = 200;

symbols! {
    /// What a transfer waits for.
    pub enum Waits {
        /// Somebody's decision or deed.
        Person = "person",
        /// A worker, or the end of its work.
        Work = "work",
        /// Nothing: it is at its end.
        Nothing = "nothing",
    }
}

/// What can be done next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Step {
    /// What, as the table of steps calls it; `resume` for one that was paused.
    pub action: &'static str,
    /// Who may: roles, or its artist by name.
    pub by: Vec<String>,
    /// How, on the command line.
    pub command: String,
}

/// Where a transfer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// `TRF-00042`.
    pub code: String,
    /// The state; in review the stage's name.
    pub state: String,
    /// Since when, at the latest.
    pub since_at: Timestamp,
    /// What it waits for.
    pub waits_for: Waits,
    /// What can be done about it, besides withdrawing it and setting rules aside.
    pub next: Vec<Step>,
    /// All of it, for people.
    pub text: String,
}

/// What an explanation is made from.
struct Facts<'a> {
    t: &'a Transfer,
    files: u64,
    since: Timestamp,
    now: Timestamp,
    /// The newest job that is not at its end.
    job: Option<&'a JobView>,
    /// That production has not the room for it now.
    shortage: Option<String>,
    hooks: &'a [HookView],
}

impl Service {
    /// Where a transfer stands, since when, what it waits for and who does what next.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    pub async fn explain(&self, ctx: &Ctx, code: &str) -> Result<Explanation, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = visible(ctx, sql::by_code(&mut tx, ctx.org, code).await?, code)?;
        let (files, bytes) = sql::totals(&mut tx, t.id, t.revision).await?;
        let state = t.state_name();
        let events = ledger::latest(&mut tx, ctx.org, t.id, EVENTS).await?;
        let same = events.iter().take_while(|event| event.data["state"] == state.as_str());
        let since = same.last().map_or(t.updated_at, |event| event.at);
        let jobs = jobs::list(&mut tx, ctx.org, None, Some(t.id), 20).await?;
        let is_open =
            |job: &&JobView| matches!(job.state, jobs::State::Ready | jobs::State::Leased);
        let job = jobs.iter().find(is_open);
        let hooks = outbound::of_subject(&mut tx, t.id).await?;
        drop(tx);
        let shortage = self.shortage(&t, bytes).await;
        let now = Timestamp::now();
        Ok(Facts { t: &t, files, since, now, job, shortage, hooks: &hooks }.explain())
    }
}

/// Steps that are always there, or set a rule aside: not what is next.
fn is_usual(state: State, action: Action) -> bool {
    !matches!(
        (state, action),
        (_, Action::Cancel | Action::Override | Action::OverrideScan | Action::Recall)
            | (State::Scanned, Action::Scan)
    )
}

fn command(action: Action, code: &str) -> String {
    let rest = match action {
        Action::Upload => format!("add {code} PATH"),
        Action::Reject => format!("reject {code} --reason WHY"),
        Action::Recall => format!("recall {code} --reason WHY"),
        Action::Accept | Action::Release => format!("decide {code} {action} --reason WHY"),
        Action::SendBack => format!("decide {code} send-back --reason WHY"),
        action => format!("{action} {code}"),
    };
    format!("databridge transfer {rest}")
}

/// `3 days`: the largest unit, rounded down.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..60 => return "less than a minute".into(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// `2026-11-21 17:03 UTC`.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} UTC", text.chars().take(16).collect::<String>().replace('T', " "))
}

impl Facts<'_> {
    fn explain(&self) -> Explanation {
        let t = self.t;
        let waits_for = match t.state {
            state if state.is_over() => Waits::Nothing,
            _ if t.paused.is_some() => Waits::Person,
            _ if self.is_adding() => Waits::Work,
            state if state.rests() => Waits::Person,
            _ => Waits::Work,
        };
        let next = self.next();
        let mut text = format!(
            "{} ({:?}, {}/{}, by {}) has been in state {} since {}, {}. {}",
            t.code,
            t.title,
            t.project,
            t.category,
            t.owner,
            t.state_name(),
            minute(self.since),
            span(self.now.since(self.since)),
            self.situation(),
        );
        let failed = t.failure.as_ref().is_some_and(|failure| failure["from"].is_string());
        if failed && !self.is_adding() {
            text.push_str(&format!(" What was to be added last was not. {}", self.failure()));
        }
        if let Some(shortage) = &self.shortage {
            text.push_str(&format!(" As things are, {shortage}."));
        }
        for (at, step) in next.iter().enumerate() {
            let or = if at == 0 { " Next:" } else { " Or" };
            text.push_str(&format!("{or} {} ({}): `{}`.", step.action, who(step), step.command));
        }
        Explanation {
            code: t.code.clone(),
            state: t.state_name(),
            since_at: self.since,
            waits_for,
            next,
            text,
        }
    }

    fn next(&self) -> Vec<Step> {
        let t = self.t;
        if t.paused.is_some() {
            return vec![Step {
                action: "resume",
                by: roles(t, Action::Start),
                command: format!("databridge transfer resume {}", t.code),
            }];
        }
        let can = |action: &Action| {
            is_usual(t.state, *action) && (*action != Action::Submit || self.files > 0)
        };
        let step = |action: Action| Step {
            action: action.name(),
            // Others can only by setting a rule aside.
            by: match asked(t, action) {
                Some(Permission::Create) => vec![t.owner.clone()],
                _ => roles(t, action),
            },
            command: command(action, &t.code),
        };
        let hook = |hook: &HookView| Step {
            action: "retry_hook",
            by: holders(Permission::Transfer),
            command: format!("databridge transfer retry-hook {} {}", t.code, hook.hook),
        };
        let hooks = self.hooks.iter().filter(|hook| hook.is_given_up()).map(hook);
        MACHINE.choices(t.state).into_iter().filter(can).map(step).chain(hooks).collect()
    }

    /// What is the matter, in a sentence or two.
    fn situation(&self) -> String {
        let t = self.t;
        if let Some(pause) = &t.paused {
            let why = pause.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let since = minute(pause.at);
            return format!("{} has let the work stand still since {since}{why}.", pause.by);
        }
        match t.state {
            State::Uploading if self.is_adding() => {
                format!("Files of the daemon's own are being added. {}", self.work())
            }
            State::Draft => "There is nothing in it yet.".into(),
            State::Uploading if self.files == 0 => "There is nothing in it any more.".into(),
            State::Uploading => format!("It has {} files and is not submitted yet.", self.files),
            State::Review => self.review(),
            State::Approved => "Every stage agreed; nobody has started the scan.".into(),
            State::Undecided => {
                "The scan came to no verdict that passes by itself; somebody decides.".into()
            }
            State::Infected => {
                "Something was found, and is in quarantine (`databridge transfer show` names it)."
                    .into()
            }
            State::Scanned => "It may go to production; nobody has sent it.".into(),
            State::Delivered => {
                let place = t.destination.as_deref().unwrap_or("production");
                format!(
                    "It is at its end: read back and published as {place}, with its receipt.{}",
                    self.followed()
                )
            }
            State::Recalled => {
                let recall = t.recall.as_ref();
                let who = recall.map(|r| format!(" by {}: {}", r.by, r.reason)).unwrap_or_default();
                let kept = recall.and_then(|r| r.place.as_ref());
                let kept =
                    kept.map(|place| format!(", and is kept as {place}")).unwrap_or_default();
                format!("It is at its end: moved aside, out of production{who}{kept}.")
            }
            State::Rejected => {
                let why = t.reason.as_deref().unwrap_or("no reason is recorded");
                format!("It was given back to its artist: {why}.")
            }
            State::Cancelled => {
                let why = t.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("It is at its end: withdrawn{why}.")
            }
            State::SubmitFailed
            | State::ScanFailed
            | State::PrepareFailed
            | State::TransferFailed
            | State::VerifyFailed
            | State::RecallFailed
            | State::CancelFailed => self.failure(),
            State::Submitting
            | State::Scanning
            | State::Preparing
            | State::Transferring
            | State::Verifying
            | State::Recalling
            | State::Cancelling => self.work(),
        }
    }

    /// What came of the hooks that followed the delivery, a sentence each.
    fn followed(&self) -> String {
        let told = self.hooks.iter().map(|hook| {
            let (name, times) = (&hook.hook, hook.attempts);
            let why = hook.last_error.as_deref().unwrap_or("no error is recorded");
            match hook.finished_at {
                Some(at) if hook.is_done() => format!(" Hook {name} succeeded at {}.", minute(at)),
                _ if hook.is_given_up() => {
                    format!(" Hook {name} was given up after {times} attempts: {why}.")
                }
                _ if hook.run_at > self.now => format!(
                    " Hook {name} did not succeed {times} times ({why}) and is tried again at {}.",
                    minute(hook.run_at)
                ),
                _ => format!(" Hook {name} is due."),
            }
        });
        told.collect()
    }

    /// Whether a job is still to add something.
    fn is_adding(&self) -> bool {
        self.job.is_some_and(|job| job.kind == work::TAKE_IN)
    }

    fn review(&self) -> String {
        let t = self.t;
        let Some(stage) = t.stage() else { return "Its chain has no such stage.".into() };
        format!(
            "Stage {} of {} in chain {} waits for a {}, who is neither its artist nor approved \
             another stage.",
            t.stage + 1,
            t.chain.stages.len(),
            t.chain.name,
            stage.role,
        )
    }

    fn failure(&self) -> String {
        let part = |name: &str| {
            let failure = self.t.failure.as_ref();
            failure.and_then(|failure| failure[name].as_str()).map(str::to_owned)
        };
        let what = part("message").unwrap_or_else(|| "nothing is recorded of it".into());
        let hint = part("hint").map(|hint| format!(" What to do: {hint}")).unwrap_or_default();
        let dot = if hint.is_empty() || hint.ends_with('.') { "" } else { "." };
        format!("The step was given up: {what}.{hint}{dot}")
    }

    fn work(&self) -> String {
        let Some(job) = self.job else {
            return "No work is queued for it, which should not be: please report it.".into();
        };
        let count = |name: &str| job.progress.as_ref().and_then(|at| at[name].as_u64());
        let held = job.progress.as_ref().and_then(|at| at["held"].as_str());
        match job.state {
            jobs::State::Leased if held == Some("window") => {
                "A worker has it and waits for its time window; an urgent one waits for none."
                    .into()
            }
            jobs::State::Leased => match (count("bytes"), count("total_bytes")) {
                (Some(done), Some(all)) if all > 0 => {
                    format!("A worker is at it: {}% of this pass.", done.min(all) * 100 / all)
                }
                _ => "A worker is at it.".into(),
            },
            _ if job.run_at > self.now => format!(
                "It did not succeed {} times ({}) and is tried again at {}.",
                job.attempts,
                job.last_error.as_deref().unwrap_or("no error is recorded"),
                minute(job.run_at),
            ),
            _ => format!(
                "It has waited for a worker for {}: if that lasts, see that a daemon runs \
                 (`databridge doctor`).",
                span(self.now.since(job.run_at)),
            ),
        }
    }
}

/// The roles that have a permission.
fn holders(permission: Permission) -> Vec<String> {
    let has = |row: &&(&str, &[Permission])| row.1.contains(&permission);
    MATRIX.iter().filter(has).map(|(role, _)| (*role).to_owned()).collect()
}

fn who(step: &Step) -> String {
    match step.by.is_empty() {
        true => "nobody".into(),
        false => step.by.join(" or "),
    }
}

#[cfg(test)]
mod tests;
