//! Where a call is kept waiting.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::faults::Op;

/// A call that never comes would be waited for by nobody any more.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Closed {
    op: Op,
    /// What the path begins with.
    path: String,
    /// Whether one waits.
    met: bool,
}

/// Open, until it is closed to one kind of call.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: Mutex<Option<Closed>>,
    changed: Condvar,
}

impl Gate {
    pub fn close(&self, op: Op, path: &str) {
        *self.closed.lock().unwrap() = Some(Closed { op, path: path.to_owned(), met: false });
    }

    pub fn open(&self) {
        *self.closed.lock().unwrap() = None;
        self.changed.notify_all();
    }

    /// Waits before it.
    pub fn pass(&self, op: Op, path: impl Fn() -> String) {
        let mut closed = self.closed.lock().unwrap();
        while let Some(to) = closed.as_mut()
            && to.op == op
            && path().starts_with(&to.path)
        {
            to.met = true;
            self.changed.notify_all();
            closed = self.changed.wait(closed).unwrap();
        }
    }

    /// Returns when somebody waits before it.
    pub fn wait(&self) {
        let closed = self.closed.lock().unwrap();
        let no = |closed: &mut Option<Closed>| !closed.as_ref().is_some_and(|to| to.met);
        let (_closed, late) = self.changed.wait_timeout_while(closed, PATIENCE, no).unwrap();
        assert!(!late.timed_out(), "no such call came");
    }
}
