//! What goes in and what comes out.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use super::chain::{Chain, Stage};
use super::layout::Metadata;
use super::priority::{Pause, Priority};
use super::recall::Recall;
use super::state::{Action, State};
use crate::base::clock::Timestamp;
use crate::base::id::UserId;
use crate::control::ctx::Authority;
use crate::media::checksum::Sha256;
use crate::media::storage::RelPath;

/// A transfer to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// What is in it, up to 200 characters.
    pub title: String,
    /// The production's short name: a folder in production.
    pub project: String,
    /// `plates`, `textures`, …: a folder in the project.
    pub category: String,
    /// Its approval chain; the default one where none is named.
    #[serde(default)]
    pub chain: Option<String>,
    /// How urgent it is; more than normal only by who executes transfers.
    #[serde(default)]
    pub priority: Option<Priority>,
    /// What it is made from: codes of transfers or lots, up to 1,000, each once. Told
    /// with its delivery, for whoever keeps genealogies.
    #[serde(default)]
    pub parents: Vec<String>,
    /// What else is known of it: `shot`, `version` and the like. The path in production
    /// may ask for some of them.
    #[serde(default)]
    pub metadata: Metadata,
}

/// One uploaded file, at its place in staging but not yet part of a transfer.
#[derive(Debug, Clone)]
pub struct UploadedFile {
    /// Where it belongs in the delivery.
    pub path: RelPath,
    /// Its name in the uploads folder.
    pub blob: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its digest, computed as it streamed in.
    pub sha256: Sha256,
}

/// What is added to a transfer.
#[derive(Debug, Clone)]
pub enum Upload {
    /// A file.
    File(UploadedFile),
    /// A folder with nothing in it.
    EmptyDir(RelPath),
}

/// A transfer as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TransferView {
    /// `TRF-00042`.
    pub code: String,
    /// What is in it.
    pub title: String,
    /// The production.
    pub project: String,
    /// The folder in it.
    pub category: String,
    /// The artist.
    pub owner: String,
    /// The state; in review the stage's name (`team_lead_review`).
    pub state: String,
    /// The stage that decides now.
    pub stage: Option<Stage>,
    /// Grows with every re-submission.
    pub revision: i64,
    /// Grows with every change.
    pub version: i64,
    /// Its chain and that chain's version.
    pub chain: String,
    /// The chain's version.
    pub chain_version: i64,
    /// The digest everything is bound to, once submitted.
    pub manifest_digest: Option<String>,
    /// Files of the revision.
    pub file_count: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// Why it was given back.
    pub reason: Option<String>,
    /// Why the last step failed: `{code, message, hint}`.
    pub failure: Option<serde_json::Value>,
    /// How urgent it is.
    pub priority: Priority,
    /// Who paused it, where it stands still.
    pub paused: Option<Pause>,
    /// Where it is, or will be, in production.
    pub destination: Option<String>,
    /// The same below production's root: decided when it was made, and bound by every
    /// approval.
    #[serde(default)]
    pub path: String,
    /// What else is known of it.
    #[serde(default)]
    pub metadata: Metadata,
    /// Who took it out of production again.
    #[serde(default)]
    pub recall: Option<Recall>,
    /// What it is made from.
    #[serde(default)]
    pub parents: Vec<String>,
    /// What the caller can do with it now.
    pub actions: Vec<Action>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
}

/// A file of the current revision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileView {
    /// Where it belongs.
    pub path: String,
    /// `file` or `empty_dir`.
    pub kind: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Option<String>,
    /// The revision it came with, where it was not changed since.
    pub carried_from: Option<i64>,
}

/// One submission.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RevisionView {
    /// From 1.
    pub revision: i64,
    /// What it is bound to.
    pub manifest_digest: String,
    /// Its files.
    pub file_count: u64,
    /// Their bytes.
    pub total_bytes: u64,
    /// When it was frozen.
    pub frozen_at: Timestamp,
}

/// A decision of a reviewer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approval {
    /// Which revision.
    pub revision: i64,
    /// The stage's place in the chain, from 0.
    pub stage: i64,
    /// Its name.
    pub stage_key: String,
    /// The role that decides there.
    pub role: String,
    /// `approve` or `reject`.
    pub decision: String,
    /// Who is answerable.
    pub username: String,
    /// Whose role they used, if not their own.
    pub on_behalf_of: Option<String>,
    /// Whether somebody else than the owner and the other approvers decided.
    pub separate: bool,
    /// Why, for a rejection.
    pub reason: Option<String>,
    /// What was looked at.
    pub manifest_digest: String,
    /// When.
    pub decided_at: Timestamp,
}

/// A rule that an admin set aside.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Override {
    /// `approval`, `scan` or `infection`.
    pub what: String,
    /// Who.
    pub username: String,
    /// Why.
    pub reason: String,
    /// When.
    pub decided_at: Timestamp,
}

/// Which transfers to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// In this state.
    #[serde(default)]
    pub state: Option<State>,
    /// Of this project.
    #[serde(default)]
    pub project: Option<String>,
    /// Of this artist.
    #[serde(default)]
    pub owner: Option<String>,
    /// What the caller can decide on, or move, now.
    #[serde(default)]
    pub waiting_for_me: bool,
    /// With this in their code or title, in either case.
    #[serde(default)]
    pub text: Option<String>,
    /// Made then or later.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Made before.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// After this code, newest first (the last one of the page before).
    #[serde(default)]
    pub after: Option<String>,
    /// At most so many, 1 to 200.
    #[serde(default)]
    pub limit: Option<i64>,
}

/// A transfer as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    pub id: Uuid,
    pub code: String,
    pub title: String,
    pub project: String,
    pub category: String,
    pub owner_id: UserId,
    pub owner: String,
    pub chain: Chain,
    pub state: State,
    pub stage: i64,
    pub revision: i64,
    pub version: i64,
    pub manifest_digest: Option<Sha256>,
    pub reason: Option<String>,
    pub failure: Option<serde_json::Value>,
    pub priority: Priority,
    pub paused: Option<Pause>,
    pub destination: Option<String>,
    pub path: String,
    pub metadata: Metadata,
    pub recall: Option<Recall>,
    pub parents: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub delivered_at: Option<Timestamp>,
    pub authority: Authority,
}

impl Transfer {
    pub(super) fn stage(&self) -> Option<&Stage> {
        let index = usize::try_from(self.stage).ok()?;
        (self.state == State::Review).then(|| self.chain.stages.get(index)).flatten()
    }

    /// The state as the source document names it.
    pub(super) fn state_name(&self) -> String {
        match self.stage() {
            Some(stage) => format!("{}_review", stage.key),
            None => self.state.to_string(),
        }
    }
}

/// A name that becomes a folder, or is typed by people: 1 to 64 of `a-z A-Z 0-9 .
/// _ -`, beginning with a letter or digit.
pub(super) fn check_name(field: &'static str, value: &str) -> Result<(), Error> {
    let bad = |reason: &str| {
        Err(Error::BadField { field, value: value.to_owned(), reason: reason.to_owned() })
    };
    if value.len() > 64 {
        return bad("it is longer than 64 characters");
    }
    match value.chars().next() {
        None => bad("it is empty"),
        Some(first) if !first.is_ascii_alphanumeric() => {
            bad("it must begin with a letter or digit")
        }
        Some(_) if value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) => Ok(()),
        Some(_) => bad("only letters, digits, dot, underscore and hyphen"),
    }
}

/// What a transfer is made from: names, each once.
pub(super) fn check_parents(parents: &[String]) -> Result<(), Error> {
    const MOST: usize = 1000;
    let bad = |value: String, reason: String| Error::BadField { field: "parents", value, reason };
    if parents.len() > MOST {
        return Err(bad(parents.len().to_string(), format!("at most {MOST}")));
    }
    for (i, parent) in parents.iter().enumerate() {
        check_name("parents", parent)?;
        if parents[..i].contains(parent) {
            return Err(bad(parent.clone(), "it is named twice".into()));
        }
    }
    Ok(())
}

/// Free text for people, one line.
pub(super) fn check_text(field: &'static str, value: &str, most: usize) -> Result<(), Error> {
    let bad = |reason: String| Err(Error::BadField { field, value: value.to_owned(), reason });
    match value.chars().count() {
        _ if value.trim().is_empty() => bad("it is empty".into()),
        n if n > most => bad(format!("it is longer than {most} characters")),
        _ if value.chars().any(|c| c.is_control() && c != '\n') => {
            bad("it has control characters".into())
        }
        _ => Ok(()),
    }
}
