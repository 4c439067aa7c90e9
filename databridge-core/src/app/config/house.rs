//! What is removed in time, and when it is looked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::retention;
use crate::domains::transfer::Keep;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// What is removed in time, and when it is looked for. Production, the ledger, receipts and
/// what is in quarantine are never removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HousekeepingConfig {
    /// How often, in hours; 0 leaves it to whoever asks for it, but for uploads in pieces,
    /// whose time is `uploads.keep_seconds`.
    pub every_hours: u64,
    /// Hours after which nobody comes back for an upload, or for a folder in staging that
    /// no transfer knows; at least a day.
    pub orphans_hours: u64,
    /// Days that the staging copy of a delivery is kept, or of a recalled one from then on;
    /// for ever where it is not said.
    pub delivered_days: Option<u64>,
    /// Days that finished jobs are kept; jobs that were given up are kept until
    /// their step is tried again.
    pub jobs_days: u64,
    /// Days for which a command that is sent again is answered from memory.
    pub idempotency_days: u64,
    /// Days that notifications are kept.
    pub notifications_days: u64,
}

impl Default for HousekeepingConfig {
    fn default() -> Self {
        Self {
            every_hours: 1,
            orphans_hours: 7 * 24,
            delivered_days: None,
            jobs_days: 30,
            idempotency_days: 7,
            notifications_days: 365,
        }
    }
}

impl HousekeepingConfig {
    /// Whether all of it can work; else which setting, and why not.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let days = [
            ("housekeeping.jobs_days", self.jobs_days),
            ("housekeeping.idempotency_days", self.idempotency_days),
            ("housekeeping.notifications_days", self.notifications_days),
        ];
        if let Some((setting, _)) = days.into_iter().find(|(_, n)| !(1..=36_500).contains(n)) {
            return Err((setting, "1 to 36500 days"));
        }
        if self.delivered_days.is_some_and(|days| days > 36_500) {
            return Err(("housekeeping.delivered_days", "at most 36500 days"));
        }
        if !(24..=24 * 36_500).contains(&self.orphans_hours) {
            return Err(("housekeeping.orphans_hours", "at least 24"));
        }
        if self.every_hours > 24 * 31 {
            return Err(("housekeeping.every_hours", "at most a month"));
        }
        Ok(())
    }

    /// How often, if it is done by itself.
    pub(in crate::app) fn period(&self) -> Option<Duration> {
        (self.every_hours > 0).then(|| Duration::from_secs(self.every_hours * HOUR))
    }

    /// What of staging is kept.
    pub(in crate::app) fn keep(&self) -> Keep {
        Keep {
            orphans: Duration::from_secs(self.orphans_hours * HOUR),
            delivered: self.delivered_days.map(|days| Duration::from_secs(days * DAY)),
        }
    }

    /// What of the store's own bookkeeping is kept.
    pub(in crate::app) fn retention(&self) -> retention::Settings {
        retention::Settings {
            jobs: Duration::from_secs(self.jobs_days * DAY),
            idempotency: Duration::from_secs(self.idempotency_days * DAY),
            notifications: Duration::from_secs(self.notifications_days * DAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_live_is_out_of_reach() {
        assert!(HousekeepingConfig::default().check().is_ok());
        for wrong in [
            HousekeepingConfig { orphans_hours: 23, ..HousekeepingConfig::default() },
            HousekeepingConfig { jobs_days: 0, ..HousekeepingConfig::default() },
            HousekeepingConfig { delivered_days: Some(1 << 40), ..HousekeepingConfig::default() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        assert_eq!(HousekeepingConfig::default().keep().delivered, None);
    }
}
