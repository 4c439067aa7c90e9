//! What is left in staging that nobody needs any more: found as a plan, which can be
//! looked at, and removed by a job that a kill stops nowhere.
//!
//! An item is first condemned (remembered by the job), then, under a lock and after
//! another look, moved into `.housekeeping`, then deleted; then the ledger says so. Whoever
//! takes the job up after a kill finds at each point where it stood.

mod find;
mod remove;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::symbols;

symbols! {
    /// What something in staging is left from.
    pub enum What {
        /// Bytes that were taken in and never added to a transfer.
        Upload = "upload",
        /// A file of an open transfer that none of its revisions names.
        Blob = "blob",
        /// A folder that is named like a transfer's, and no transfer has its name.
        Folder = "folder",
        /// The folder of a transfer that was withdrawn.
        Cancelled = "cancelled",
        /// The staging copy of a delivery, kept as long as the policy says.
        Delivered = "delivered",
        /// The same of one that was recalled, from the recall on.
        Recalled = "recalled",
        /// What an earlier run moved aside and could not delete.
        Aside = "aside",
    }
}

/// How long what is kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// What belongs to nobody, since it was last written.
    pub orphans: Duration,
    /// Staging copies since their delivery, or its recall; for ever by `None`.
    pub delivered: Option<Duration>,
}

/// One thing that can be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Leftover {
    /// What it is.
    pub what: What,
    /// Below staging.
    pub path: String,
    /// The transfer that it belonged to.
    pub transfer: Option<String>,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When it was last written, delivered or withdrawn.
    pub since_at: Timestamp,
}

/// All that can be removed now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Leftovers {
    /// Each of them, at most 1,000.
    pub items: Vec<Leftover>,
    /// Whether there are more, which the next run finds.
    pub more: bool,
    /// Files of those listed.
    pub files: u64,
    /// Bytes of those listed.
    pub bytes: u64,
    /// What no transfer knows and this store did not write, at most 1,000: it is older than
    /// the store, or than the backup that it was restored from. It is left to a person.
    pub strangers: Vec<Leftover>,
    /// What could not be looked at, at most 1,000.
    pub unreadable: Vec<Stuck>,
}

/// What could not be read or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stuck {
    /// Below staging.
    pub path: String,
    /// Why.
    pub error: String,
}
