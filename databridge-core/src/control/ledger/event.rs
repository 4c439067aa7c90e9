//! One fact.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::id::{EventId, OrgId};
use crate::control::ctx::{Authority, Ctx};

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subject {
    /// `transfer`, `user`, …
    pub kind: String,
    /// Its id.
    pub id: uuid::Uuid,
    /// What people call it (`TRF-00042`).
    pub code: String,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct By {
    /// The answerable person.
    pub username: String,
    /// Whose roles they used, if not their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// What stands behind the name.
    pub authority: Authority,
}

/// A fact about a subject, as it is written, hashed and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// The tenant.
    pub org: OrgId,
    /// What it is about.
    pub subject: Subject,
    /// `transfer.approved`, …
    pub kind: String,
    /// Who did it.
    pub by: By,
    /// When, by the store's clock. Order is the sealed position, not this.
    pub at: Timestamp,
    /// What else is to be known.
    pub data: serde_json::Value,
}

impl Event {
    /// A fact that `ctx` makes true now.
    pub fn new(
        ctx: &Ctx,
        subject: Subject,
        kind: &str,
        at: Timestamp,
        data: serde_json::Value,
    ) -> Self {
        let by = By {
            username: ctx.actor.username.clone(),
            on_behalf_of: ctx.actor.on_behalf_of.clone(),
            authority: ctx.actor.authority,
        };
        Self { id: EventId::new(), org: ctx.org, subject, kind: kind.to_owned(), by, at, data }
    }

    /// The bytes that are stored and hashed.
    pub fn body(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
