//! What kind of file system something stands on, and so what flushing it takes
//! and what reading it back is worth.

use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

/// What a read-back proves, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worth {
    /// The bytes came from memory: tmpfs, ramfs, or a cache that cannot be
    /// passed by (ZFS).
    Memory,
    /// A server gave them (a network mount or FUSE); what it read them from is
    /// its own affair.
    Server,
    /// They were read after the page cache had been told to let them go.
    Dropped,
    /// They were read past the page cache (`O_DIRECT`).
    Direct,
}

/// A family of file systems (`statfs(2)`, `f_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A local file system that `syncfs(2)` is known to flush whole.
    Disk,
    /// Nothing but memory.
    Memory,
    /// ZFS: a disk, read through a cache of its own.
    Cached,
    /// A network mount or FUSE.
    Server,
    /// Anything else: flushed file by file.
    Unknown,
}

impl Medium {
    /// Of the file system that an open file stands on.
    pub fn of(file: impl AsFd) -> Self {
        let Ok(stat) = rustix::fs::fstatfs(file) else { return Self::Unknown };
        // The magic numbers are 32-bit, some of them sign-extended by the kernel.
        match stat.f_type as u32 {
            0xEF53 | 0x5846_5342 | 0x9123_683E | 0xF2F5_2010 | 0xCA45_1A4E => Self::Disk,
            0x0102_1994 | 0x8584_58F6 => Self::Memory,
            0x2FC1_2FC1 => Self::Cached,
            // NFS, SMB and CIFS, Ceph, FUSE, 9p, AFS, Lustre, GPFS, BeeGFS.
            0x6969 | 0x517B | 0xFF53_4D42 | 0xFE53_4D42 | 0x00C3_6400 | 0x6573_5546
            | 0x0102_1997 | 0x5346_414F | 0x0BD0_0BD0 | 0x4750_4653 | 0x1983_0326 => Self::Server,
            _ => Self::Unknown,
        }
    }

    /// Whether one `syncfs(2)` stands for a flush of every file and folder.
    pub fn flushes_whole(self) -> bool {
        matches!(self, Self::Disk | Self::Memory)
    }

    /// What a read is worth here, if it went past the page cache (`direct`) or
    /// came after the cache was dropped.
    pub fn worth(self, direct: bool) -> Worth {
        match self {
            Self::Memory | Self::Cached => Worth::Memory,
            Self::Server => Worth::Server,
            Self::Disk | Self::Unknown if direct => Worth::Direct,
            Self::Disk | Self::Unknown => Worth::Dropped,
        }
    }
}
