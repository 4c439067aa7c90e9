//! How much may be put into transfers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domains::transfer::Limits;

const DAY: u64 = 24 * 3600;

/// Quotas, and how long an unfinished upload waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UploadsConfig {
    /// Seconds that an upload in pieces waits for its next one, 1 to 604,800.
    pub keep_seconds: u64,
    /// Bytes that a user's transfers may have in staging together, until they are
    /// delivered or cancelled.
    pub user_bytes: Option<u64>,
    /// Bytes that one transfer's files may come to.
    pub transfer_bytes: Option<u64>,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        Self { keep_seconds: 2 * DAY, user_bytes: None, transfer_bytes: None }
    }
}

impl UploadsConfig {
    /// Whether all of it can work; else which setting, and why not.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        // After seven days nobody comes back.
        if !(1..=7 * DAY).contains(&self.keep_seconds) {
            return Err(("uploads.keep_seconds", "1 to 604800"));
        }
        Ok(())
    }

    pub(super) fn limits(&self, max_bytes: u64) -> Limits {
        Limits {
            keep: Duration::from_secs(self.keep_seconds),
            max_bytes,
            user_bytes: self.user_bytes,
            transfer_bytes: self.transfer_bytes,
        }
    }
}
