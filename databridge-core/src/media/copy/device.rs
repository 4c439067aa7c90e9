//! A file of the copy, read past the page cache.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Advice, Mode, OFlags};
use rustix::io::Errno;

use crate::media::storage::Stat;

use super::aligned::{ALIGN_BYTES, aligned_up};
use super::medium::{Medium, Worth};
use super::site::Site;

/// An open file of the destination. By `O_DIRECT` where the file system takes it;
/// elsewhere each range is dropped from the page cache before it is read.
#[derive(Debug)]
pub struct Device {
    file: OwnedFd,
    medium: Medium,
    direct: bool,
}

impl Device {
    /// Opens a path below the parent.
    pub fn open(site: &Site, place: &Path, medium: Medium) -> Result<Self, Errno> {
        let open = |flags| site.open(place, OFlags::RDONLY | flags, Mode::empty());
        if medium != Medium::Memory {
            match open(OFlags::DIRECT) {
                Ok(file) => return Ok(Self { file, medium, direct: true }),
                Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno),
            }
        }
        let file = open(OFlags::empty())?;
        let device = Self { file, medium, direct: false };
        device.without_readahead();
        Ok(device)
    }

    /// What is known of it now.
    pub fn stat(&self) -> Result<Stat, Errno> {
        Ok(rustix::fs::fstat(&self.file)?.into())
    }

    /// Brings what was written to it to the device.
    pub fn flush(&self) -> Result<(), Errno> {
        if self.medium == Medium::Memory { Ok(()) } else { rustix::fs::fdatasync(&self.file) }
    }

    /// What reading it was worth.
    pub fn worth(&self) -> Worth {
        self.medium.worth(self.direct)
    }

    /// Lets the page cache forget it. Also before a direct read: some file systems
    /// quietly serve that buffered.
    pub fn forget(&self) {
        if self.medium != Medium::Memory {
            let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
        }
    }

    /// Reads what stands from `at` to `end`, or to the end of the file, or as much
    /// as the buffer holds. `at` must be aligned.
    pub fn read(&mut self, at: u64, end: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let asked = usize::try_from(aligned_up(wanted as u64)).unwrap_or(wanted).min(buffer.len());
        let mut filled = 0;
        while filled < wanted {
            let range = if self.direct { filled..asked } else { filled..wanted };
            match rustix::io::pread(&self.file, &mut buffer[range], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => continue,
                // Accepted at the opening and refused at the reading.
                Err(Errno::INVAL | Errno::OPNOTSUPP) if self.direct => self.leave_direct()?,
                Err(errno) => return Err(errno),
            }
            // Where the file ends within a block, so does a direct read; a short one
            // elsewhere cannot be gone on with.
            if self.direct && filled < wanted && !filled.is_multiple_of(ALIGN_BYTES) {
                if self.stat()?.size_bytes == at + filled as u64 {
                    break;
                }
                self.leave_direct()?;
            }
        }
        Ok(filled.min(wanted))
    }

    fn leave_direct(&mut self) -> Result<(), Errno> {
        rustix::fs::fcntl_setfl(&self.file, OFlags::empty())?;
        self.direct = false;
        self.forget();
        self.without_readahead();
        Ok(())
    }

    /// What is read ahead is not there to be dropped, and may not be written yet.
    fn without_readahead(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::Random);
    }
}
