//! How many files a device is asked for at a time, by all copies together.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::Drive;
use crate::media::throttle::Throttle;

use super::error::Error;

/// How often a wait for a lane looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// The lanes of one device.
#[derive(Debug)]
pub struct Lanes {
    width: usize,
    short_width: usize,
    /// Whether those in the lanes are counted.
    shared: bool,
    busy: Mutex<usize>,
    freed: Condvar,
}

/// By device number, as long as some copy is at it.
static DEVICES: Mutex<BTreeMap<u64, Weak<Lanes>>> = Mutex::new(BTreeMap::new());

impl Lanes {
    /// Of the device that `file` stands on, shared with every other copy of this
    /// process; or as many as `asked`, which nobody else counts.
    pub fn of(file: impl AsFd, asked: Option<NonZeroUsize>) -> Arc<Self> {
        if let Some(jobs) = asked {
            return Arc::new(Self::new(jobs.get(), jobs.get(), false));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let drive = Drive::of(&file);
        #[allow(clippy::useless_conversion)]
        let device = rustix::fs::fstat(&file).map_or(0, |stat| u64::from(stat.st_dev));
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        devices.retain(|_, lanes| lanes.strong_count() > 0);
        if let Some(lanes) = devices.get(&device).and_then(Weak::upgrade) {
            return lanes;
        }
        let lanes = Arc::new(Self::new(drive.width(cores), drive.short_width(), true));
        devices.insert(device, Arc::downgrade(&lanes));
        lanes
    }

    fn new(width: usize, short_width: usize, shared: bool) -> Self {
        Self { width, short_width, shared, busy: Mutex::new(0), freed: Condvar::new() }
    }

    /// Files at a time.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Short files at a time, which need no lane.
    pub fn short_width(&self) -> usize {
        self.short_width
    }

    /// Whether it does many things at a time as well as one, and all lanes are ours to
    /// give.
    pub fn is_quick(&self) -> bool {
        self.shared && self.short_width >= Drive::Quick.short_width()
    }

    /// Waits for a free lane.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn enter<'a>(&'a self, monitor: &'a dyn Monitor) -> Result<Lane<'a>, Error> {
        match self.take(monitor) {
            true => Ok(Lane { lanes: self, monitor, held: Mutex::new(true) }),
            false => Err(Error::Cancelled),
        }
    }

    fn take(&self, monitor: &dyn Monitor) -> bool {
        if !self.shared {
            return true;
        }
        loop {
            let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut busy, _) = self
                .freed
                .wait_timeout_while(busy, LOOK, |busy| *busy >= self.width)
                .unwrap_or_else(PoisonError::into_inner);
            if *busy < self.width {
                *busy += 1;
                return true;
            }
            drop(busy);
            if monitor.cancelled() {
                return false;
            }
        }
    }

    fn leave(&self) {
        if self.shared {
            *self.busy.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
            self.freed.notify_one();
        }
    }
}

/// A lane of a device, until it is dropped. Work watches through it: while it is
/// held, others have the lane.
#[derive(Debug)]
pub struct Lane<'a> {
    lanes: &'a Lanes,
    monitor: &'a dyn Monitor,
    held: Mutex<bool>,
}

impl std::fmt::Debug for dyn Monitor + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Monitor")
    }
}

impl Monitor for Lane<'_> {
    fn on(&self, progress: Progress<'_>) {
        self.monitor.on(progress);
    }

    fn cancelled(&self) -> bool {
        if !self.monitor.held() {
            return self.monitor.cancelled();
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *held, false) {
            self.lanes.leave();
        }
        let cancelled = self.monitor.cancelled();
        *held = !cancelled && self.lanes.take(self.monitor);
        !*held
    }

    fn throttle(&self) -> Option<&Throttle> {
        self.monitor.throttle()
    }

    fn held(&self) -> bool {
        self.monitor.held()
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        if *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            self.lanes.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::media::monitor::Gate;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Watch {
        gate: Gate,
        stop: AtomicBool,
    }

    impl Monitor for Watch {
        fn cancelled(&self) -> bool {
            self.gate.pass(|| self.stop.load(Ordering::Acquire));
            self.stop.load(Ordering::Acquire)
        }
        fn held(&self) -> bool {
            self.gate.is_closed()
        }
    }

    #[test]
    fn copies_to_one_device_share_its_lanes_unless_asked_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let open = || std::fs::File::open(dir.path()).unwrap();
        assert!(Arc::ptr_eq(&Lanes::of(open(), None), &Lanes::of(open(), None)));
        let asked = Lanes::of(open(), NonZeroUsize::new(3));
        assert_eq!(asked.width(), 3);
        assert!(!Arc::ptr_eq(&asked, &Lanes::of(open(), None)));
    }

    #[test]
    fn a_full_device_lets_in_who_comes_when_another_is_held_or_done() {
        let lanes = Lanes::new(1, 1, true);
        let (first, second) = (Watch::default(), Watch::default());
        let lane = lanes.enter(&first).unwrap();
        second.stop.store(true, Ordering::Release);
        assert!(matches!(lanes.enter(&second), Err(Error::Cancelled)));
        second.stop.store(false, Ordering::Release);
        first.gate.close();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lane.cancelled());
            // Comes in only because the one that is held left.
            let other = lanes.enter(&second).unwrap();
            first.gate.open();
            drop(other);
            assert!(!waiting.join().unwrap());
        });
        drop(lane);
        assert_eq!(*lanes.busy.lock().unwrap(), 0);
    }
}
