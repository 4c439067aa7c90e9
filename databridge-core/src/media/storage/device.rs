//! Files read from their device, and not from what memory remembers of it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, pread};

use super::{Medium, Worth};

const ALIGN_BYTES: usize = DeviceFile::ALIGN_BYTES;

/// Memory that begins where `O_DIRECT` wants it.
pub(crate) struct Aligned {
    memory: Vec<u8>,
    skip: usize,
    len: usize,
}

impl Aligned {
    /// `len` bytes, rounded up to whole blocks.
    pub fn new(len: usize) -> Self {
        let len = len.next_multiple_of(ALIGN_BYTES);
        let memory = vec![0; len + ALIGN_BYTES];
        let skip = memory.as_ptr().align_offset(ALIGN_BYTES).min(ALIGN_BYTES);
        Self { memory, skip, len }
    }

    /// All of it, to be read into.
    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.skip..self.skip + self.len]
    }

    /// All of it.
    pub fn as_slice(&self) -> &[u8] {
        &self.memory[self.skip..self.skip + self.len]
    }
}

/// An open file that is read past the page cache where its file system allows
/// that, and otherwise after the cache was told to let it go. What is dirty must
/// have been flushed before, or memory keeps it.
pub(crate) struct DeviceFile {
    file: OwnedFd,
    medium: Medium,
    is_direct: bool,
}

impl DeviceFile {
    /// What `O_DIRECT` asks of addresses, offsets and lengths on every common device.
    pub const ALIGN_BYTES: usize = 4096;

    /// Takes an open file over.
    pub fn new(file: impl Into<OwnedFd>, medium: Medium) -> Self {
        let file = file.into();
        if medium == Medium::Memory {
            return Self { file, medium, is_direct: false };
        }
        // Also before direct reads: some file systems quietly serve them buffered.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        let set = |flags| fcntl_setfl(&file, flags | OFlags::DIRECT);
        let is_direct = fcntl_getfl(&file).and_then(set).is_ok();
        Self { file, medium, is_direct }
    }

    /// Reads at `offset`, a multiple of [`Self::ALIGN_BYTES`], into an [`Aligned`]; 0 at
    /// the end. A direct read that ends within a block ended with the file.
    pub fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        loop {
            match pread(&self.file, &mut *buffer, offset) {
                Err(Errno::INTR) => {}
                // Accepted when it was set and refused at the reading.
                Err(Errno::INVAL | Errno::OPNOTSUPP) if self.is_direct => self.be_buffered()?,
                done => return done,
            }
        }
    }

    /// What its reads are worth.
    pub fn worth(&self) -> Worth {
        self.medium.worth(self.is_direct)
    }

    fn be_buffered(&mut self) -> Result<(), Errno> {
        self.is_direct = false;
        fcntl_setfl(&self.file, fcntl_getfl(&self.file)? - OFlags::DIRECT)
    }
}

impl AsFd for DeviceFile {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::File;

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
                let mut buffer = Aligned::new(2 * ALIGN_BYTES - 1);
                let mut found = Vec::new();
                loop {
                    let count = file.read_at(buffer.as_mut(), found.len() as u64).unwrap();
                    found.extend_from_slice(&buffer.as_slice()[..count]);
                    if count % ALIGN_BYTES != 0 || count == 0 {
                        break;
                    }
                }
                assert_eq!(found, bytes);
                assert_eq!(file.worth() == Worth::Memory, medium == Medium::Memory);
            }
        }
    }
}
