//! The fields of calls on one's own sessions.

use serde::{Deserialize, Serialize};

use super::query::flag;

/// Which sessions of the caller's end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Logout {
    /// All of them, and not only the one that asks.
    #[serde(default, deserialize_with = "flag")]
    pub everywhere: Option<bool>,
}
