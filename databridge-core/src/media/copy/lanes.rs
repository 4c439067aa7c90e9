//! How many files a device is asked for at a time, by all copies together.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::Medium;
use crate::media::throttle::Throttle;

use super::error::Error;

/// How often a wait for a lane looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// Files at a time, at most, on anything.
const WIDEST: usize = 8;
/// Short files at a time on what has no heads to move: each is a request or two that
/// the device answers when it likes, so that many are to be under way.
const SHORT: usize = 16;

/// What a file system stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Device {
    /// A disk with heads: they had better not move to and fro.
    Rotational,
    /// Solid, memory, or nobody says.
    Quick,
    /// Behind a network, where each answer takes its time.
    Far,
}

impl Device {
    fn of(file: impl AsFd) -> Self {
        match Medium::of(&file) {
            Medium::Server => Self::Far,
            Medium::Disk | Medium::Cached | Medium::Unknown if turns(&file) => Self::Rotational,
            _ => Self::Quick,
        }
    }

    /// Files at a time.
    fn width(self, cores: usize) -> usize {
        match self {
            Self::Rotational => 2.min(cores),
            // Two more than can hash: they wait for the device meanwhile.
            Self::Quick => (cores + 2).min(WIDEST),
            Self::Far => (2 * cores).clamp(4, WIDEST),
        }
    }

    /// Short files at a time.
    fn short_width(self) -> usize {
        if self == Self::Rotational { 4 } else { SHORT }
    }
}

/// Whether the block device says that it rotates (sysfs, `queue/rotational`); a
/// partition is asked through the disk that it is on.
fn turns(file: impl AsFd) -> bool {
    let Ok(stat) = rustix::fs::fstat(file) else { return false };
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let device = PathBuf::from(format!("/sys/dev/block/{major}:{minor}")).canonicalize();
    device.is_ok_and(|device| says_it_turns(&device))
}

fn says_it_turns(device: &Path) -> bool {
    let disk = match device.join("queue").exists() {
        true => device,
        false => device.parent().unwrap_or(device),
    };
    // A virtual machine's disk says so whatever it stands on (`virtio_blk` has no way to
    // know): that nobody knows it.
    let driver = disk.join("device/driver").read_link().ok();
    if driver.is_some_and(|driver| driver.ends_with("virtio_blk")) {
        return false;
    }
    std::fs::read_to_string(disk.join("queue/rotational")).is_ok_and(|text| text.trim() == "1")
}

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
    pub fn of(file: impl AsFd, asked: Option<usize>) -> Arc<Self> {
        if let Some(jobs) = asked {
            return Arc::new(Self::new(jobs.max(1), jobs.max(1), false));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kind = Device::of(&file);
        #[allow(clippy::useless_conversion)]
        let device = rustix::fs::fstat(&file).map_or(0, |stat| u64::from(stat.st_dev));
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        devices.retain(|_, lanes| lanes.strong_count() > 0);
        if let Some(lanes) = devices.get(&device).and_then(Weak::upgrade) {
            return lanes;
        }
        let lanes = Arc::new(Self::new(kind.width(cores), kind.short_width(), true));
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
        self.shared && self.short_width >= SHORT
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
    fn devices_differ_in_width() {
        assert_eq!(Device::Rotational.width(16), 2);
        assert_eq!(Device::Quick.width(4), 6);
        assert_eq!(Device::Quick.width(64), 8);
        assert_eq!(Device::Far.width(1), 4);
        assert!(Device::Rotational.short_width() < Device::Quick.short_width());
    }

    #[test]
    fn a_disk_is_believed_unless_it_cannot_know() {
        let sys = tempfile::tempdir().unwrap();
        let disk = sys.path().join("disk");
        for folder in ["queue", "device", "disk1"] {
            std::fs::create_dir_all(disk.join(folder)).unwrap();
        }
        for (says, driver, turns) in
            [("1\n", "sd", true), ("0\n", "sd", false), ("1\n", "virtio_blk", false)]
        {
            std::fs::write(disk.join("queue/rotational"), says).unwrap();
            let link = disk.join("device/driver");
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(sys.path().join("drivers").join(driver), &link).unwrap();
            assert_eq!(says_it_turns(&disk), turns, "{driver} says {says}");
            assert_eq!(says_it_turns(&disk.join("disk1")), turns, "its partition: {driver}");
        }
        assert!(!says_it_turns(sys.path()), "what says nothing");
    }

    #[test]
    fn copies_to_one_device_share_its_lanes_unless_asked_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let open = || std::fs::File::open(dir.path()).unwrap();
        assert!(Arc::ptr_eq(&Lanes::of(open(), None), &Lanes::of(open(), None)));
        let asked = Lanes::of(open(), Some(3));
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
