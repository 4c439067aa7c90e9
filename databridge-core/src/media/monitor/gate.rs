//! Where held work waits.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a wait looks whether it has become pointless.
const LOOK: Duration = Duration::from_millis(100);

/// Closed by the one who holds an operation, passed by its threads. Clones are the
/// same gate; a new one is open.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Whoever comes by from now on waits.
    pub fn close(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Lets everybody go on.
    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.1.notify_all();
    }

    /// Whether it is closed now.
    pub fn is_closed(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while it is closed, or until `enough` says that nobody wants the work
    /// any more.
    pub fn pass(&self, enough: impl Fn() -> bool) {
        let (closed, opened) = &*self.0;
        let mut closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
        while *closed && !enough() {
            (closed, _) = opened.wait_timeout(closed, LOOK).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::base::cancel::Cancel;

    #[test]
    fn a_closed_gate_lets_nobody_through_until_it_opens() {
        let gate = Gate::default();
        gate.pass(|| false);
        gate.close();
        let (passed, waits) = (Cancel::new(), std::sync::mpsc::channel());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                gate.pass(|| {
                    waits.0.send(()).unwrap();
                    false
                });
                passed.cancel();
            });
            waits.1.recv().unwrap();
            assert!(!passed.is_cancelled() && gate.is_closed());
            gate.open();
            waiter.join().unwrap();
        });
        assert!(passed.is_cancelled());
    }

    #[test]
    fn who_is_not_wanted_any_more_is_let_go() {
        let gate = Gate::default();
        gate.close();
        gate.pass(|| true);
        assert!(gate.is_closed());
    }
}
