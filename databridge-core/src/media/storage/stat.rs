//! What a file system says about one name.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// Something this system invented.
    Unknown,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "regular file",
            Self::Dir => "folder",
            Self::Symlink => "symbolic link",
            Self::Fifo => "named pipe (FIFO)",
            Self::Socket => "socket",
            Self::Device => "device",
            Self::Unknown => "unknown kind of file",
        })
    }
}

/// Facts about one inode, a link's own if it is one. Times are nanoseconds since
/// 1970-01-01T00:00:00Z, cut to the range of `i64` (the years 1677 to 2262).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Length.
    pub size_bytes: u64,
    /// Last change of the content.
    pub mtime_ns: i64,
    /// Last change of content or inode.
    pub ctime_ns: i64,
    /// The file system's number; network mounts and btrfs get another at each
    /// mount.
    pub dev: u64,
    /// The inode's number.
    pub ino: u64,
    /// Permission bits with set-id and sticky bits (`0o7777`).
    pub mode: u32,
    /// Names of this inode.
    pub links: u64,
    /// The owner's number.
    pub uid: u32,
}

impl Stat {
    /// Of an open file.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from(rustix::fs::fstat(file)?))
    }

    /// Whether size, mtime and ctime are what they were: nobody wrote meanwhile.
    pub fn is_unchanged_since(&self, earlier: &Self) -> bool {
        (self.size_bytes, self.mtime_ns, self.ctime_ns)
            == (earlier.size_bytes, earlier.mtime_ns, earlier.ctime_ns)
    }
}

fn nanoseconds(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

// The fields' types differ between processors.
#[allow(clippy::unnecessary_cast)]
impl From<rustix::fs::Stat> for Stat {
    fn from(stat: rustix::fs::Stat) -> Self {
        let kind = Kind::from(FileType::from_raw_mode(stat.st_mode));
        Self {
            kind,
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            mode: stat.st_mode & 0o7777,
            links: stat.st_nlink as u64,
            uid: stat.st_uid,
        }
    }
}
