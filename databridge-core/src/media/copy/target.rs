//! A file of the copy, being written.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::media::storage::{ALIGN_BYTES, aligned_down};

use super::error::Error;
use super::site::Site;

/// How often a name is cleared when something stands in the way.
const TRIES: usize = 4;

/// A new inode, written at given offsets: past the page cache (`O_DIRECT`) as far
/// as it goes, through it from the first refusal on and for what ends within a
/// block. The kernel keeps the two ways coherent.
#[derive(Debug)]
pub struct Target {
    file: File,
    direct: bool,
}

impl Target {
    /// Creates it. What stands in the way (a fenced worker's last call may have put
    /// it there) is unlinked.
    pub fn create(site: &Site, name: &Path) -> Result<Self, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        for _ in 0..TRIES {
            match site.open(name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(Self { file: File::from(file), direct: false }),
                Err(Errno::EXIST) => match site.unlink(name) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(site.blame(name, errno)),
                },
                Err(errno) => return Err(site.blame(name, errno)),
            }
        }
        Err(Error::at(site.path(name), Errno::EXIST))
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// From here on past the page cache, if the file system takes that. (Not at the
    /// creation: one that refuses would leave an empty file behind.)
    pub fn go_direct(&mut self) {
        self.direct = rustix::fs::fcntl_setfl(&self.file, OFlags::DIRECT).is_ok();
    }

    /// Through the page cache again.
    fn leave_direct(&mut self) -> Result<(), Errno> {
        self.direct = false;
        rustix::fs::fcntl_setfl(&self.file, OFlags::empty())
    }

    /// Sets the blocks aside, so that a full disk shows at once. With `sized` the
    /// file has its full length from now on: on some file systems a write that
    /// lengthens a file keeps all readers of it out meanwhile.
    pub fn reserve(&self, size_bytes: u64, sized: bool) -> Result<(), Errno> {
        let flags = if sized { FallocateFlags::empty() } else { FallocateFlags::KEEP_SIZE };
        match rustix::fs::fallocate(&self.file, flags, 0, size_bytes) {
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS | Errno::STALE)) => {
                Err(errno)
            }
            // Where it is not known, writing will show.
            _ => Ok(()),
        }
    }

    /// Gives it its length; what is not written is a hole.
    pub fn set_len(&self, size_bytes: u64) -> Result<(), Errno> {
        rustix::fs::ftruncate(&self.file, size_bytes)
    }

    /// Makes it share the blocks of another file (`FICLONE`). `false` where these
    /// two file systems know no such thing.
    pub fn clone_from(&self, source: impl AsFd) -> Result<bool, Errno> {
        match rustix::fs::ioctl_ficlone(&self.file, source) {
            Ok(()) => Ok(true),
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS | Errno::STALE)) => {
                Err(errno)
            }
            Err(_) => Ok(false),
        }
    }

    /// Writes all of `bytes` at `offset`, which must be aligned.
    pub fn put(&mut self, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        let whole = usize::try_from(aligned_down(bytes.len() as u64)).unwrap_or(0);
        let mut done = 0;
        while done < bytes.len() {
            if self.direct && (done == whole || !done.is_multiple_of(ALIGN_BYTES)) {
                self.leave_direct()?;
            }
            let end = if self.direct { whole } else { bytes.len() };
            match rustix::io::pwrite(&self.file, &bytes[done..end], offset + done as u64) {
                Ok(0) => return Err(Errno::IO),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(Errno::INVAL | Errno::OPNOTSUPP) if self.direct => self.leave_direct()?,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}
