//! Bandwidth that many copies share.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

/// A bucket holds so much of a second's worth for who comes after a pause.
const BURST_SECONDS: f64 = 0.25;
/// Who holds the shared file needs microseconds; one that has it longer was stopped.
const LOCK_PATIENCE: Duration = Duration::from_millis(50);
const LOCK_NAP: Duration = Duration::from_micros(200);

/// A token bucket: it fills at a rate that may be changed at any time, and whoever
/// takes from it waits until what was taken has flowed in. Clones share it; one
/// made by [`Throttle::shared`] is also shared by every process of the host that
/// names the same file.
#[derive(Debug, Clone, Default)]
pub struct Throttle(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Bytes a second; 0 is as fast as it goes.
    rate: AtomicU64,
    bucket: Mutex<Bucket>,
    file: Option<File>,
    /// Somebody holds the file and does not let go of it.
    stuck: AtomicBool,
}

/// What has flowed in and what was taken since the beginning, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bucket {
    earned: f64,
    spent: f64,
    /// Of the clock since boot, which every process of a host reads alike.
    at: Duration,
}

/// A place in the queue: when so much has flowed in, it is one's turn.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(f64);

impl Bucket {
    fn fill(&mut self, rate: f64, now: Duration) {
        // The clock begins anew at each boot.
        let passed = now.checked_sub(self.at).unwrap_or_default().as_secs_f64();
        self.earned = (self.earned + passed * rate).min(self.spent + rate * BURST_SECONDS);
        self.at = now;
    }

    fn to_bytes(self) -> [u8; 24] {
        let at = u64::try_from(self.at.as_nanos()).unwrap_or(u64::MAX);
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.earned.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.spent.to_le_bytes());
        bytes[16..].copy_from_slice(&at.to_le_bytes());
        bytes
    }

    /// `None` where the bytes make no sense, as those of a new file.
    fn from_bytes(bytes: &[u8; 24]) -> Option<Self> {
        let part = |at: usize| <[u8; 8]>::try_from(&bytes[at..at + 8]).ok();
        let (earned, spent) = (f64::from_le_bytes(part(0)?), f64::from_le_bytes(part(8)?));
        let at = Duration::from_nanos(u64::from_le_bytes(part(16)?));
        (earned.is_finite() && spent.is_finite()).then_some(Self { earned, spent, at })
    }
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Throttle {
    /// For this process; `None` or zero: as fast as it goes.
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        let throttle = Self::default();
        throttle.set(bytes_per_second);
        throttle
    }

    /// For every process of this host that names this file, which is made where it
    /// is missing. Each of them says the rate for itself.
    ///
    /// # Errors
    /// What the system said when it was opened.
    pub fn shared(path: &Path, bytes_per_second: Option<u64>) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o660);
        let inner = Inner { file: Some(file.open(path)?), ..Inner::default() };
        let throttle = Self(Arc::new(inner));
        throttle.set(bytes_per_second);
        Ok(throttle)
    }

    /// Changes the rate, also for who waits already.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        self.0.rate.store(bytes_per_second.unwrap_or(0), Ordering::Relaxed);
    }

    /// The rate, in bytes a second.
    pub fn rate(&self) -> Option<u64> {
        Some(self.0.rate.load(Ordering::Relaxed)).filter(|&rate| rate > 0)
    }

    /// Takes `bytes`, on credit if need be; `None` where nothing is limited.
    pub fn take(&self, bytes: u64) -> Option<Ticket> {
        let rate = self.rate()?;
        Some(self.change(|bucket, now| {
            bucket.fill(rate as f64, now);
            bucket.spent += bytes as f64;
            Ticket(bucket.spent)
        }))
    }

    /// How long it is still until a ticket's turn, at the rate of now.
    pub fn wait(&self, ticket: Ticket) -> Duration {
        let Some(rate) = self.rate() else { return Duration::ZERO };
        self.change(|bucket, now| {
            // Taken while the file could not be had, it is not written there yet: what
            // nobody spent would never flow in.
            bucket.spent = bucket.spent.max(ticket.0);
            bucket.fill(rate as f64, now);
            Duration::try_from_secs_f64((ticket.0 - bucket.earned) / rate as f64)
                .unwrap_or_default()
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Bucket, Duration) -> T) -> T {
        let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &self.0.file else { return change(&mut bucket, since_boot()) };
        // Where the file cannot be locked or read, the process's own bucket serves.
        let locked = self.lock(file);
        let mut bytes = [0; 24];
        if locked && file.read_exact_at(&mut bytes, 0).is_ok() {
            *bucket = Bucket::from_bytes(&bytes).unwrap_or_default();
        }
        let done = change(&mut bucket, since_boot());
        if locked {
            let _ = file.write_all_at(&bucket.to_bytes(), 0);
            let _ = flock(file, FlockOperation::Unlock);
        }
        done
    }

    /// Waits for the file, but for no process that was stopped while it had it.
    fn lock(&self, file: &File) -> bool {
        let was_stuck = self.0.stuck.load(Ordering::Relaxed);
        let end = Instant::now() + if was_stuck { Duration::ZERO } else { LOCK_PATIENCE };
        loop {
            match flock(file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) if Instant::now() < end => std::thread::sleep(LOCK_NAP),
                done => {
                    self.0.stuck.store(done == Err(Errno::WOULDBLOCK), Ordering::Relaxed);
                    return done.is_ok();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn credit_is_paid_back_at_the_rate_and_rest_earns_a_quarter_second() {
        let mut bucket = Bucket { at: SECOND, ..Bucket::default() };
        bucket.spent = 1000.0;
        bucket.fill(1000.0, SECOND * 2);
        assert!((bucket.earned - 1000.0).abs() < 1e-6);
        bucket.fill(1000.0, SECOND * 60);
        assert!((bucket.earned - 1250.0).abs() < 1e-6);
    }

    #[test]
    fn a_clock_that_begins_anew_gives_nothing() {
        let mut bucket = Bucket { earned: 5.0, spent: 10.0, at: SECOND * 100 };
        bucket.fill(1000.0, SECOND);
        assert_eq!(bucket, Bucket { earned: 5.0, spent: 10.0, at: SECOND });
    }

    #[test]
    fn who_comes_second_waits_for_both_and_a_new_rate_holds_for_who_waits() {
        let throttle = Throttle::new(Some(1000));
        let first = throttle.take(100_000).unwrap();
        let second = throttle.clone().take(100_000).unwrap();
        assert!(throttle.wait(first) > SECOND * 90);
        assert!(throttle.wait(second) > SECOND * 190);
        throttle.set(Some(10_000_000_000));
        assert!(throttle.wait(second) < SECOND);
        throttle.set(None);
        assert_eq!(throttle.wait(second), Duration::ZERO);
        assert!(throttle.take(u64::MAX).is_none());
    }

    #[test]
    fn two_that_name_the_same_file_share_one_bucket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bandwidth");
        let one = Throttle::shared(&path, Some(1000)).unwrap();
        let other = Throttle::shared(&path, Some(1000)).unwrap();
        one.take(1_000_000).unwrap();
        let late = other.take(1).unwrap();
        assert!(other.wait(late) > SECOND * 900);
        std::fs::write(&path, [0xFF; 24]).unwrap();
        assert!(one.wait(one.take(1).unwrap()) < SECOND, "nonsense in the file is no limit");
    }

    #[test]
    fn a_holder_that_was_stopped_holds_up_nobody_and_nothing_goes_unlimited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bandwidth");
        let throttle = Throttle::shared(&path, Some(1000)).unwrap();
        let holder = File::open(&path).unwrap();
        flock(&holder, FlockOperation::LockExclusive).unwrap();
        let ticket = throttle.take(1_000_000).unwrap();
        assert!(throttle.wait(ticket) > SECOND * 900);
        drop(holder);
        assert!(throttle.wait(ticket) > SECOND * 900);
        assert!(throttle.0.bucket.lock().unwrap().spent >= 1_000_000.0, "it is paid in time");
        assert!(throttle.wait(throttle.take(1_000_000).unwrap()) > SECOND * 900);
        assert!(!throttle.0.stuck.load(Ordering::Relaxed));
    }
}
