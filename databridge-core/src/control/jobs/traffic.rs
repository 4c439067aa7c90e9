//! How much of a host's bandwidth its jobs may use, and when.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::lease::{Hold, Lease, Watch};
use super::sql::{self, Renewed};
use crate::base::clock::Timestamp;
use crate::base::error::Error;
use crate::base::schedule::Schedule;
use crate::control::commands::Store;
use crate::control::ctx::Ctx;
use crate::control::db::Tx;
use crate::control::identity::{MATRIX, Permission};
use crate::control::ledger::Subject;
use crate::media::throttle::Throttle;

/// From this priority on a job waits for no window.
pub const URGENT: i64 = 20;
/// The rule for hosts that have none of their own.
pub const EVERY_HOST: &str = "*";

/// What the jobs of one process go by.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// What all copies of this host share.
    pub throttle: Throttle,
    /// This host's name.
    pub host: String,
    /// What the configuration says, as it was last read.
    rules: Arc<RwLock<Rules>>,
}

/// What a host's configuration says of its bandwidth.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The host's limit, where nobody set another at run time.
    pub limit_bytes_per_second: Option<u64>,
    /// When bulk jobs go at full speed.
    pub windows: Option<Windows>,
}

/// Hours of full speed.
#[derive(Debug, Clone)]
pub struct Windows {
    /// When.
    pub open: Schedule,
    /// The host's limit outside of them; `None`: bulk jobs stand still.
    pub outside_bytes_per_second: Option<u64>,
}

impl Traffic {
    /// What the jobs of a process on `host` go by.
    pub fn new(throttle: Throttle, host: String, rules: Rules) -> Self {
        Self { throttle, host, rules: Arc::new(RwLock::new(rules)) }
    }

    /// Other rules from now on; jobs in hand follow within a second.
    pub fn set(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Whether bulk jobs that are not urgent stand still at that time.
    pub fn is_closed(&self, now: Timestamp) -> bool {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.windows.as_ref().is_some_and(|windows| {
            windows.outside_bytes_per_second.is_none() && !windows.open.is_open(now)
        })
    }

    /// The limit at that time; `set` is what somebody set at run time.
    fn limit(&self, now: Timestamp, set: Option<Rate>) -> Option<u64> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let limit = set.map_or(rules.limit_bytes_per_second, |set| set.bytes_per_second);
        let outside = rules.windows.as_ref().filter(|windows| !windows.open.is_open(now));
        let outside = outside.and_then(|windows| windows.outside_bytes_per_second);
        limit.into_iter().chain(outside).min()
    }

    /// Applies what holds now to a job in hand; `bulk` if windows are meant for it.
    pub(super) fn apply(&self, watch: &Watch, bulk: bool, renewed: &Renewed) -> Option<Hold> {
        self.throttle.set(self.limit(renewed.now, renewed.rate));
        let hold = if renewed.held {
            Some(Hold::Paused)
        } else if bulk && renewed.priority < URGENT && self.is_closed(renewed.now) {
            Some(Hold::Window)
        } else {
            None
        };
        watch.hold(hold);
        hold
    }

    /// What holds for a job now.
    pub(super) async fn look(&self, tx: &mut Tx, lease: &Lease) -> Result<Option<Renewed>, Error> {
        Ok(sql::look(tx, lease, &self.host).await?)
    }
}

/// A rate that somebody set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// `None` is as fast as it goes.
    pub bytes_per_second: Option<u64>,
}

/// A limit that was set at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bandwidth {
    /// A host's name, or `*` for all that have no limit of their own.
    pub host: String,
    /// `null` is as fast as it goes, whatever the configuration says.
    pub bytes_per_second: Option<u64>,
    /// Who set it.
    pub set_by: String,
    /// When.
    pub set_at: Timestamp,
}

/// What to do with a host's limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetBandwidth {
    /// A host's name; every host without a limit of its own where none is named.
    #[serde(default)]
    pub host: Option<String>,
    /// The limit; without one copies go as fast as they can.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
    /// Takes the limit back: the configuration holds again.
    #[serde(default)]
    pub reset: bool,
}

/// The limits that were set.
///
/// # Errors
/// Not permitted; [`crate::control::db::Error`].
pub async fn bandwidth(store: &Store, ctx: &Ctx) -> Result<Vec<Bandwidth>, Error> {
    ctx.require(MATRIX, Permission::ManageTraffic, None)?;
    let mut tx = store.db().read().await?;
    Ok(sql::bandwidth(&mut tx, ctx.org).await?)
}

/// Sets or takes back a limit; copies that run follow it within a second.
///
/// # Errors
/// Not permitted; [`crate::control::db::Error`].
pub async fn set_bandwidth(
    store: &Store,
    ctx: &Ctx,
    wish: SetBandwidth,
) -> Result<Vec<Bandwidth>, Error> {
    ctx.require(MATRIX, Permission::ManageTraffic, None)?;
    let mut unit = store.begin(ctx).await?;
    let host = wish.host.unwrap_or_else(|| EVERY_HOST.to_owned());
    let (org, now) = (unit.org(), unit.now());
    sql::drop_bandwidth(unit.tx(), org, &host).await?;
    if !wish.reset {
        let limit = Bandwidth {
            host: host.clone(),
            bytes_per_second: wish.bytes_per_second.filter(|&rate| rate > 0),
            set_by: ctx.actor.username.clone(),
            set_at: now,
        };
        sql::insert_bandwidth(unit.tx(), org, &limit).await?;
    }
    let subject = Subject { kind: "bandwidth".into(), id: subject_id(&host), code: host };
    let data = serde_json::json!({
        "bytes_per_second": wish.bytes_per_second, "reset": wish.reset,
    });
    unit.record(&subject, "bandwidth.set", data);
    let all = sql::bandwidth(unit.tx(), org).await?;
    unit.commit(all).await
}

/// A host has no id of its own: the ledger knows it by its name.
fn subject_id(host: &str) -> Uuid {
    let digest = crate::media::checksum::Sha256::of(host.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.0[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn traffic(outside: Option<u64>) -> Traffic {
        let open = Schedule::parse(&["19:00-07:00"], "UTC").unwrap();
        let windows = Some(Windows { open, outside_bytes_per_second: outside });
        let rules = Rules { limit_bytes_per_second: Some(500), windows };
        Traffic::new(Throttle::default(), String::new(), rules)
    }

    #[test]
    fn the_least_of_what_holds_is_the_limit() {
        let (day, night) = ("2026-11-20T12:00:00Z", "2026-11-20T20:00:00Z");
        let (day, night) = (day.parse().unwrap(), night.parse().unwrap());
        let set = |bytes_per_second| Some(Rate { bytes_per_second });
        let limited = traffic(Some(100));
        assert_eq!(limited.limit(day, None), Some(100));
        assert_eq!(limited.limit(night, None), Some(500));
        assert_eq!(limited.limit(day, set(Some(50))), Some(50));
        assert_eq!(limited.limit(day, set(None)), Some(100));
        assert_eq!(limited.limit(night, set(None)), None);
        assert!(!limited.is_closed(day));
        let closed = traffic(None);
        assert!(closed.is_closed(day) && !closed.is_closed(night));
        assert!(!Traffic::default().is_closed(day));
    }

    #[test]
    fn other_rules_hold_for_every_clone() {
        let (day, one) = ("2026-11-20T12:00:00Z".parse().unwrap(), traffic(None));
        let other = one.clone();
        one.set(Rules { limit_bytes_per_second: Some(7), windows: None });
        assert_eq!((other.limit(day, None), other.is_closed(day)), (Some(7), false));
    }

    #[test]
    fn urgent_jobs_wait_for_no_window_but_stand_still_when_paused() {
        let (traffic, watch) = (traffic(None), Watch::default());
        let day = "2026-11-20T12:00:00Z".parse().unwrap();
        let at = |priority, held| Renewed { now: day, held, priority, rate: None };
        assert_eq!(traffic.apply(&watch, true, &at(0, false)), Some(Hold::Window));
        assert_eq!(traffic.apply(&watch, true, &at(URGENT, false)), None);
        assert_eq!(traffic.apply(&watch, true, &at(URGENT, true)), Some(Hold::Paused));
        assert_eq!(traffic.apply(&watch, false, &at(0, false)), None);
        assert_eq!(traffic.throttle.rate(), Some(500));
    }
}
