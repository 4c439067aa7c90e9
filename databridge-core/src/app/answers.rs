//! What the store itself answers, where no service has a type for it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::ctx::{Authority, Grant, Scope};

/// Who the caller is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Me {
    /// Their name.
    pub username: String,
    /// Whose roles they use, if not their own.
    pub on_behalf_of: Option<String>,
    /// What stands behind the name.
    pub authority: Authority,
    /// Their roles.
    pub grants: Vec<Grant>,
    /// What their API key is limited to, if it is one that is.
    pub scopes: Option<Vec<Scope>>,
    /// Who is away and has named them as deputy.
    pub stands_in_for: Vec<String>,
}

/// What it takes to check, without us, that an event is in the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Proof {
    /// The event's position.
    pub position: u64,
    /// Its bytes, as they were sealed.
    pub event: String,
    /// Events in the tree.
    pub size: u64,
    /// The tree's root, hex.
    pub root: String,
    /// The way from the event up to the root (RFC 6962), hex.
    pub hashes: Vec<String>,
    /// The signed checkpoint over that root (C2SP).
    pub checkpoint: String,
    /// What verifies its signature.
    pub verifier_key: String,
}

/// The newest signed checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Newest {
    /// Events in the tree.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// What verifies its signature.
    pub verifier_key: String,
}

/// The key that verifies receipts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReceiptKey {
    /// As PEM.
    pub pem: String,
    /// Its name on receipts.
    pub key_id: String,
}

/// A signed receipt: an in-toto statement in a DSSE envelope.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Receipt(pub serde_json::Map<String, Value>);

/// A refusal (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// `urn:databridge:error:` and the code.
    #[serde(rename = "type")]
    pub kind_of_problem: String,
    /// The status in words.
    pub title: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// What happened to what.
    pub detail: String,
    /// Stable; `docs/errors.md` explains each.
    pub code: String,
    /// What it means to the caller.
    pub kind: crate::base::error::ErrorKind,
    /// What to do next.
    pub hint: Option<String>,
    /// Roles that would have been allowed, on a 403.
    pub required_roles: Vec<String>,
}

/// That the daemon lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The daemon's version.
    pub version: String,
}
