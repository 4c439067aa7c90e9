//! Not faster than asked, and not longer than wanted.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::media::monitor::Monitor;

use super::error::Error;

/// The longest nap between two looks at the cancel flag.
const NAP: Duration = Duration::from_millis(100);

/// A token bucket shared by all workers of one copy: it fills at `rate` and
/// holds a quarter of a second's worth.
#[derive(Debug)]
pub struct Pace {
    bucket: Option<(f64, Mutex<Bucket>)>,
}

#[derive(Debug)]
struct Bucket {
    bytes: f64,
    at: Instant,
}

impl Bucket {
    /// Takes `bytes`, on credit if need be, and says how long that must be waited for.
    fn take(&mut self, bytes: f64, rate: f64, now: Instant) -> Duration {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.bytes = (self.bytes + earned).min(rate / 4.0) - bytes;
        self.at = now;
        Duration::try_from_secs_f64(-self.bytes / rate).unwrap_or_default()
    }
}

impl Pace {
    /// `None` or zero: as fast as it goes.
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        let bucket = bytes_per_second
            .filter(|&rate| rate > 0)
            .map(|rate| (rate as f64, Mutex::new(Bucket { bytes: 0.0, at: Instant::now() })));
        Self { bucket }
    }

    /// Accounts for `bytes` and waits for their turn.
    ///
    /// # Errors
    /// [`Error::Cancelled`] as soon as somebody asks, also in the wait.
    pub fn spend(&self, bytes: u64, monitor: &dyn Monitor) -> Result<(), Error> {
        let mut wait = match &self.bucket {
            None => Duration::ZERO,
            Some((rate, bucket)) => bucket.lock().unwrap_or_else(PoisonError::into_inner).take(
                bytes as f64,
                *rate,
                Instant::now(),
            ),
        };
        loop {
            if monitor.cancelled() {
                return Err(Error::Cancelled);
            }
            if wait.is_zero() {
                return Ok(());
            }
            let nap = wait.min(NAP);
            std::thread::sleep(nap);
            wait -= nap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_paid_back_at_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket { bytes: 0.0, at: start };
        assert_eq!(bucket.take(1000.0, 1000.0, start), Duration::from_secs(1));
        assert_eq!(bucket.take(0.0, 1000.0, start + Duration::from_secs(1)), Duration::ZERO);
        let rested = start + Duration::from_secs(60);
        assert_eq!(bucket.take(500.0, 1000.0, rested), Duration::from_millis(250));
    }

    #[test]
    fn a_wait_ends_when_it_is_cancelled() {
        struct Stop;
        impl Monitor for Stop {
            fn cancelled(&self) -> bool {
                true
            }
        }
        let pace = Pace::new(Some(1));
        assert!(matches!(pace.spend(u64::MAX, &Stop), Err(Error::Cancelled)));
    }
}
