//! The statements behind hooks, which are jobs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::KIND;
use crate::base::clock::Timestamp;
use crate::control::db::{Error, Tx};
use crate::control::jobs::State;
use crate::params;

/// A hook of one subject, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HookView {
    /// What it is called.
    pub hook: String,
    /// Where its job stands: `done` is that it succeeded, `dead` that a person has to look.
    pub state: State,
    /// How often it was tried.
    pub attempts: i64,
    /// Why it did not succeed the last time.
    pub last_error: Option<String>,
    /// When it is tried (again).
    pub run_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The end of what it said, where it succeeded.
    pub output: Option<String>,
}

pub(super) async fn of_subject(tx: &mut Tx, subject: Uuid) -> Result<Vec<HookView>, Error> {
    tx.all(
        "SELECT payload, state, attempts, last_error, run_at, finished_at FROM jobs
         WHERE subject_id = $1 AND kind = $2 ORDER BY id",
        params![subject, KIND],
    )
    .await?
    .iter()
    .map(|row| {
        let payload: serde_json::Value = row.get("payload")?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Ok(HookView {
            hook: text(&payload["hook"]).unwrap_or_default(),
            state: row.symbol("state")?,
            attempts: row.get("attempts")?,
            last_error: row.opt("last_error")?,
            run_at: row.get("run_at")?,
            finished_at: row.opt("finished_at")?,
            output: text(&payload["outcome"]["output"]),
        })
    })
    .collect()
}

/// Makes a job that was given up ready again; 0 rows: there is none.
pub(super) async fn revive(
    tx: &mut Tx,
    subject: Uuid,
    hook: &str,
    now: Timestamp,
) -> Result<u64, Error> {
    let dead = tx
        .all(
            "SELECT id, payload FROM jobs WHERE subject_id = $1 AND kind = $2 AND state = 'dead'",
            params![subject, KIND],
        )
        .await?;
    let mut revived = 0;
    for row in &dead {
        let payload: serde_json::Value = row.get("payload")?;
        if payload["hook"] == hook {
            let id: crate::base::id::JobId = row.get("id")?;
            revived += tx
                .exec(
                    "UPDATE jobs SET state = 'ready', attempts = 0, run_at = $1, finished_at = NULL
                     WHERE id = $2 AND state = 'dead'",
                    params![now, id],
                )
                .await?;
        }
    }
    Ok(revived)
}
