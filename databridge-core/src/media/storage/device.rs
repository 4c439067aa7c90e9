//! Files read from their device, and not from what memory remembers of them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, pread};

use super::aligned::{ALIGN_BYTES, aligned_up};
use super::{Medium, Stat, Worth};

/// An open file that is read past the page cache (`O_DIRECT`) where its file system
/// takes that; elsewhere each file is dropped from the page cache before it is read.
/// What is dirty must have been flushed before, or memory keeps it.
#[derive(Debug)]
pub(crate) struct DeviceFile {
    file: OwnedFd,
    medium: Medium,
    direct: bool,
}

impl DeviceFile {
    /// Takes an open file over.
    pub fn new(file: impl Into<OwnedFd>, medium: Medium) -> Self {
        let mut new = Self { file: file.into(), medium, direct: false };
        if medium != Medium::Memory {
            let set = |flags| fcntl_setfl(&new.file, flags | OFlags::DIRECT);
            new.direct = fcntl_getfl(&new.file).and_then(set).is_ok();
        }
        if !new.direct {
            new.without_readahead();
        }
        new
    }

    /// Takes over one that was opened past the page cache.
    pub fn opened_direct(file: impl Into<OwnedFd>, medium: Medium) -> Self {
        Self { file: file.into(), medium, direct: true }
    }

    /// What it stands on.
    pub fn medium(&self) -> Medium {
        self.medium
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
            let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
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
            match pread(&self.file, &mut buffer[range], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => continue,
                // Accepted when it was set and refused at the reading.
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
        fcntl_setfl(&self.file, fcntl_getfl(&self.file)? - OFlags::DIRECT)?;
        self.direct = false;
        self.forget();
        self.without_readahead();
        Ok(())
    }

    /// What is read ahead is not there to be dropped, and may not be written yet.
    fn without_readahead(&self) {
        let _ = fadvise(&self.file, 0, None, Advice::Random);
    }
}

impl AsFd for DeviceFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::File;

    use super::super::Aligned;
    use super::*;

    #[test]
    fn whole_blocks_and_a_ragged_end_are_read() {
        for dir in [tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()] {
            for len in [0, 1, ALIGN_BYTES, 3 * ALIGN_BYTES + 7] {
                let path = dir.path().join("file");
                let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
                std::fs::write(&path, &bytes).unwrap();
                let file = File::open(&path).unwrap();
                file.sync_all().unwrap();
                let medium = Medium::of(&file);
                let mut file = DeviceFile::new(file, medium);
                file.forget();
                let mut buffer = Aligned::new(2 * ALIGN_BYTES);
                let mut found = Vec::new();
                loop {
                    let count = file.read(found.len() as u64, u64::MAX, &mut buffer).unwrap();
                    found.extend_from_slice(&buffer[..count]);
                    if count == 0 || !count.is_multiple_of(ALIGN_BYTES) {
                        break;
                    }
                }
                assert_eq!(found, bytes);
                assert_eq!(file.worth() == Worth::Memory, medium == Medium::Memory);
            }
        }
    }
}
