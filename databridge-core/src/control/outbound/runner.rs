//! Hooks as jobs: asked for in the transaction of the change that they follow, run at
//! least once under one id, tried again with backoff, and left to a person at the end.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::hook::{ATTEMPTS, BACKOFF_SECONDS};
use super::{Error, Hook, command, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::control::commands::{Store, Unit};
use crate::control::ctx::Ctx;
use crate::control::jobs::{self, Capability, Handler, HandlerFuture, Lease, NewJob, Retry, Watch};
use crate::control::ledger::Subject;

pub use sql::HookView;

/// The kind of their jobs.
pub const KIND: &str = "hook.run";
/// Behind everything else, and left alone by a pause of their subject.
const PRIORITY: i64 = -10;
const LONGEST_BACKOFF: Duration = jobs::LONGEST_BACKOFF;

/// What a hook is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// `transfer.delivered`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What.
    pub data: Value,
}

/// What a job of ours knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wish {
    hook: String,
    subject: Subject,
    /// Stands in the events of its outcome, as in every event of the subject.
    standing: Value,
    message: Message,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Value>,
}

impl Wish {
    fn of(lease: &Lease) -> Result<Self, AnyError> {
        serde_json::from_value(lease.payload.clone()).map_err(|e| {
            let source = e.into();
            crate::control::db::Error::Column { column: "payload".into(), source }.into()
        })
    }

    /// The event that tells what came of it.
    fn event(&self, how: Value) -> Value {
        let mut data = json!({ "hook": self.hook });
        if let Some(fields) = data.as_object_mut() {
            for part in [&self.standing, &how] {
                fields.extend(
                    part.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())),
                );
            }
        }
        data
    }
}

/// Asks, with this change, for every one of `hooks`.
///
/// # Errors
/// Of the store.
pub async fn enqueue<'a>(
    unit: &mut Unit,
    hooks: impl Iterator<Item = &'a Hook>,
    subject: &Subject,
    standing: &Value,
    message: &Message,
) -> Result<(), AnyError> {
    for hook in hooks {
        let wish = Wish {
            hook: hook.name.clone(),
            subject: subject.clone(),
            standing: standing.clone(),
            message: message.clone(),
            outcome: None,
        };
        unit.enqueue(NewJob {
            kind: KIND,
            subject_id: subject.id,
            key: format!("{}:{}:hook:{}", subject.id, message.kind, hook.name),
            payload: json!(wish),
            priority: PRIORITY,
            held: false,
        })
        .await?;
    }
    Ok(())
}

/// The hooks of a subject, in the order in which they were asked for.
///
/// # Errors
/// Of the store.
pub async fn of_subject(
    tx: &mut crate::control::db::Tx,
    subject: Uuid,
) -> Result<Vec<HookView>, AnyError> {
    Ok(sql::of_subject(tx, subject).await?)
}

/// Lets a hook that was given up run again, under its old id.
///
/// # Errors
/// [`Error::NotGivenUp`].
pub async fn retry(unit: &mut Unit, subject: &Subject, hook: &str) -> Result<(), AnyError> {
    let now = unit.now();
    if sql::revive(unit.tx(), subject.id, hook, now).await? == 0 {
        let (subject, hook) = (subject.code.clone(), hook.to_owned());
        return Err(Error::NotGivenUp { subject, hook }.into());
    }
    Ok(())
}

/// Runs the hooks of a configuration.
#[derive(Debug, Clone)]
pub struct Hooks {
    store: Store,
    hooks: Arc<[Hook]>,
}

impl Hooks {
    /// Over an open store.
    pub fn new(store: Store, hooks: &[Hook]) -> Self {
        Self { store, hooks: hooks.into() }
    }

    fn find(&self, name: &str) -> Option<&Hook> {
        self.hooks.iter().find(|hook| hook.name == name)
    }

    async fn call(&self, lease: &Lease, wish: &Wish, watch: &Watch) -> Result<String, AnyError> {
        let unknown = || Error::Unknown(wish.hook.clone());
        let hook = self.find(&wish.hook).ok_or_else(unknown)?.clone();
        let id = format!("hook_{}", lease.job);
        let mut message = json!(wish.message);
        if let Some(fields) = message.as_object_mut() {
            fields.insert("id".into(), id.clone().into());
            fields.insert("hook".into(), wish.hook.clone().into());
        }
        let body = message.to_string();
        let ear = watch.clone();
        let called = tokio::task::spawn_blocking(move || match hook.url {
            None => command::run(&hook, &id, body, || ear.is_stopped()),
            #[cfg(feature = "remote")]
            Some(_) => super::webhook::post(&hook, &id, &body),
            #[cfg(not(feature = "remote"))]
            Some(_) => Err(Error::NotBuilt),
        });
        // A receiver that does not answer holds up nobody who wants to end: the message
        // is sent again then.
        let stopped = async {
            while !watch.is_stopped() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // A command is killed first, and says so itself.
            tokio::time::sleep(Duration::from_secs(2)).await;
        };
        tokio::select! {
            said = called => {
                Ok(said.map_err(|e| Error::NotRun {
                    program: wish.hook.clone(),
                    source: std::io::Error::other(e),
                })??)
            }
            () = stopped => Err(Error::Stopped.into()),
        }
    }
}

impl Handler for Hooks {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn needs(&self, _kind: &str) -> &'static [Capability] {
        &[Capability::Hooks]
    }

    fn retry(&self, lease: &Lease) -> Option<Retry> {
        // One that this host does not know may be known to it soon, or to another.
        let hook = lease.payload["hook"].as_str().and_then(|name| self.find(name));
        let (attempts, seconds) =
            hook.map_or((ATTEMPTS, BACKOFF_SECONDS), |hook| (hook.attempts, hook.backoff_seconds));
        let backoff = Duration::from_secs(seconds);
        Some(Retry { attempts, backoff, longest: LONGEST_BACKOFF })
    }

    fn run<'a>(&'a self, lease: &'a Lease, watch: &'a Watch) -> HandlerFuture<'a> {
        Box::pin(async move {
            let mut wish = Wish::of(lease)?;
            reach("hook.begun");
            let output = self.call(lease, &wish, watch).await?;
            reach("hook.called");
            let outcome = json!({ "attempts": lease.attempts, "output": output });
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            wish.outcome = Some(outcome.clone());
            unit.remember(lease, json!(wish)).await?;
            let kind = format!("{}.hook_done", wish.subject.kind);
            unit.record(&wish.subject, &kind, wish.event(outcome));
            unit.finish(lease).await?;
            unit.commit(()).await
        })
    }

    fn give_up<'a>(&'a self, lease: &'a Lease, error: &'a AnyError) -> HandlerFuture<'a> {
        Box::pin(async move {
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            if let Ok(wish) = Wish::of(lease) {
                let how = json!({
                    "attempts": lease.attempts, "code": error.code(), "message": error.chain(),
                });
                let kind = format!("{}.hook_given_up", wish.subject.kind);
                unit.record(&wish.subject, &kind, wish.event(how));
            }
            unit.bury(lease, &error.chain()).await?;
            unit.commit(()).await
        })
    }
}

impl HookView {
    /// Whether a person has to look.
    pub fn is_given_up(&self) -> bool {
        self.state == jobs::State::Dead
    }

    /// Whether it ran.
    pub fn is_done(&self) -> bool {
        self.state == jobs::State::Done
    }
}
