//! Not faster than asked, and not longer than wanted.

use std::time::Duration;

use crate::media::monitor::Monitor;
use crate::media::throttle::Throttle;

use super::error::Error;

/// The longest nap between two looks at the cancel flag.
const NAP: Duration = Duration::from_millis(100);

/// The limit of one copy, shared by its workers; what it shares with others it has
/// from its [monitor](Monitor::throttle).
#[derive(Debug)]
pub struct Pace(Throttle);

impl Pace {
    /// `None` or zero: as fast as it goes.
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self(Throttle::new(bytes_per_second))
    }

    /// Accounts for `bytes` and waits for their turn.
    ///
    /// # Errors
    /// [`Error::Cancelled`] as soon as somebody asks, also in the wait.
    pub fn spend(&self, bytes: u64, monitor: &dyn Monitor) -> Result<(), Error> {
        let limits = [Some(&self.0), monitor.throttle()].map(|limit| {
            let limit = limit?;
            Some((limit, limit.take(bytes)?))
        });
        loop {
            if monitor.cancelled() {
                return Err(Error::Cancelled);
            }
            let waits = limits.iter().flatten().map(|(limit, ticket)| limit.wait(*ticket));
            let wait = waits.max().unwrap_or_default();
            if wait.is_zero() {
                return Ok(());
            }
            std::thread::sleep(wait.min(NAP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stop(Throttle);

    impl Monitor for Stop {
        fn cancelled(&self) -> bool {
            true
        }
        fn throttle(&self) -> Option<&Throttle> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_wait_ends_when_it_is_cancelled() {
        let free = Throttle::new(None);
        assert!(matches!(Pace::new(Some(1)).spend(u64::MAX, &Stop(free)), Err(Error::Cancelled)));
        let tight = Throttle::new(Some(1));
        assert!(matches!(Pace::new(None).spend(u64::MAX, &Stop(tight)), Err(Error::Cancelled)));
    }
}
