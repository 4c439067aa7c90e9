//! The right to do one job for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::base::id::{JobId, OrgId};
use crate::media::monitor::{Gate, Meter, Monitor, Phase, Progress};
use crate::media::throttle::Throttle;

/// What a worker holds.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The tenant.
    pub org: OrgId,
    /// Which handler.
    pub kind: String,
    /// About what.
    pub subject_id: Uuid,
    /// What the handler needs to know.
    pub payload: Value,
    /// Grows with every lease of this job; every write of the worker checks it.
    pub epoch: i64,
    /// How many times the job was taken up, this time included.
    pub attempts: i64,
}

/// What a job tells while it works, and how it is slowed, held and stopped.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    stop: Cancel,
    gate: Gate,
    throttle: Throttle,
    meter: Arc<Meter>,
    held: Arc<Mutex<Option<Hold>>>,
}

/// Why a job in hand stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Somebody paused it.
    Paused,
    /// It waits for its time window.
    Window,
}

impl Watch {
    /// Of a job of this kind, that shares `throttle` with the others of its host.
    pub(super) fn of(passes: &[Phase], throttle: Throttle) -> Self {
        Self { throttle, meter: Arc::new(Meter::over(passes)), ..Self::default() }
    }

    /// Asks the job to stop, also where it is held.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether the job is to stop: its lease is lost, or the worker ends.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Holds the job in its place or lets it go on; it stands still at its next
    /// look, well within a second.
    pub(super) fn hold(&self, hold: Option<Hold>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = hold;
        match hold {
            Some(_) => self.gate.close(),
            None => self.gate.open(),
        }
    }

    /// Bytes that the job moved so far, in all its phases.
    pub(super) fn moved(&self) -> u64 {
        self.meter.moved()
    }

    /// A [`Snapshot`](crate::media::monitor::Snapshot), and `held` where the job
    /// stands still by somebody's wish.
    pub fn progress(&self) -> Value {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_some() {
            self.meter.rest();
        }
        let mut progress =
            serde_json::to_value(self.meter.snapshot(Instant::now())).unwrap_or_default();
        if let (Some(hold), Some(fields)) = (held, progress.as_object_mut()) {
            fields.insert("held".into(), serde_json::json!(hold));
        }
        progress
    }
}

impl Monitor for Watch {
    fn on(&self, progress: Progress<'_>) {
        self.meter.on(progress);
    }

    fn cancelled(&self) -> bool {
        self.gate.pass(|| self.stop.is_cancelled());
        self.stop.is_cancelled()
    }

    fn held(&self) -> bool {
        self.gate.is_closed()
    }

    fn throttle(&self) -> Option<&Throttle> {
        Some(&self.throttle)
    }
}
