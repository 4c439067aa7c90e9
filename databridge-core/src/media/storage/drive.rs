//! What a file system stands on, and so how much to ask it for at a time.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::Medium;

/// Files at a time, at most, on anything.
const WIDEST: usize = 8;
/// Short files at a time on what has no heads to move: each is a request or two that
/// the device answers when it likes, so that many are to be under way.
const SHORT: usize = 16;

/// What a file system stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drive {
    /// A disk with heads: they had better not move to and fro.
    Rotational,
    /// Solid, memory, or nobody says.
    Quick,
    /// Behind a network, where each answer takes its time.
    Far,
}

impl Drive {
    pub fn of(file: impl AsFd) -> Self {
        match Medium::of(&file) {
            Medium::Server => Self::Far,
            Medium::Disk | Medium::Cached | Medium::Unknown if turns(&file) => Self::Rotational,
            _ => Self::Quick,
        }
    }

    /// Files at a time, of those that keep it busy.
    pub fn width(self, cores: usize) -> usize {
        match self {
            Self::Rotational => 2.min(cores),
            // Two more than can hash: they wait for the device meanwhile.
            Self::Quick => (cores + 2).min(WIDEST),
            Self::Far => (2 * cores).clamp(4, WIDEST),
        }
    }

    /// Short files at a time.
    pub fn short_width(self) -> usize {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn devices_differ_in_width() {
        assert_eq!(Drive::Rotational.width(16), 2);
        assert_eq!(Drive::Quick.width(4), 6);
        assert_eq!(Drive::Quick.width(64), 8);
        assert_eq!(Drive::Far.width(1), 4);
        assert!(Drive::Rotational.short_width() < Drive::Quick.short_width());
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
}
