//! A file of the source, being read.

use std::fs::File;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::media::storage::{
    Folder, Kind, Medium, Nearest, RelPath, Stat, aligned_down, aligned_up,
};

use super::error::Error;
use super::file::DIRECT_BYTES;

/// What tells that a file is the one that it was: inode, length, mtime and ctime
/// in nanoseconds. Not the device's number, which network mounts and btrfs change
/// at each mount. In the journal an array of four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts(u64, u64, i64, i64);

impl From<&Stat> for Facts {
    fn from(stat: &Stat) -> Self {
        Self(stat.ino, stat.size_bytes, stat.mtime_ns, stat.ctime_ns)
    }
}

impl Facts {
    /// Of what has none that matter: an empty folder.
    pub const NONE: Self = Self(0, 0, 0, 0);

    pub fn ino(&self) -> u64 {
        self.0
    }

    pub fn size_bytes(&self) -> u64 {
        self.1
    }

    /// All of them, in one order and length.
    pub fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let all = [self.0.to_be_bytes(), self.1.to_be_bytes()];
        let times = [self.2.to_be_bytes(), self.3.to_be_bytes()];
        for (to, from) in bytes.chunks_exact_mut(8).zip(all.iter().chain(&times)) {
            to.copy_from_slice(from);
        }
        bytes
    }
}

/// A source file, open. Where its server says that it knows the open file no more
/// (`ESTALE`, as after a failover), it is opened once more by its name and read on.
#[derive(Debug)]
pub struct Source<'a> {
    pub path: PathBuf,
    pub folder: &'a Folder,
    pub name: &'a RelPath,
    pub file: File,
    pub again: OnceLock<File>,
    /// What it was before the first byte was read; `None` for a small file of a
    /// source that was listed, which need not be asked twice.
    pub before: Option<Stat>,
    /// It takes up fewer blocks than its length asks for, so it may have holes.
    pub sparse: bool,
}

impl Source<'_> {
    /// The file as it is open now.
    pub fn file(&self) -> &File {
        self.again.get().unwrap_or(&self.file)
    }

    /// Where the next data stand from `at` on, and where they end; both are `size`
    /// if only a hole follows. A file system that knows no holes has data only.
    pub fn data_from(&self, at: u64, size: u64) -> (u64, u64) {
        if !self.sparse {
            return (at, size);
        }
        let start = match rustix::fs::seek(self.file(), SeekFrom::Data(at)) {
            Ok(start) => start.clamp(at, size),
            Err(Errno::NXIO) => return (size, size),
            Err(_) => return (at, size),
        };
        let end = rustix::fs::seek(self.file(), SeekFrom::Hole(start)).unwrap_or(size);
        // As written: in whole blocks.
        let start = aligned_down(start).max(at);
        (start, aligned_up(end).clamp(start, size))
    }

    /// Reads it from the front on. A short file, of which nothing was asked, is read
    /// as it comes.
    pub fn nearest(&self) -> Nearest<&File> {
        let large = self.before.is_some_and(|stat| stat.size_bytes >= DIRECT_BYTES);
        match large {
            true => Nearest::new(self.file(), Medium::of(self.file())),
            false => Nearest::as_it_comes(self.file()),
        }
    }

    /// Fills the buffer's first `len` bytes from `at`.
    ///
    /// # Errors
    /// [`Error::SourceChanged`] if the file ends earlier.
    pub fn fill<'f>(
        &'f self,
        nearest: &mut Nearest<&'f File>,
        buffer: &mut [u8],
        len: usize,
        at: u64,
    ) -> Result<(), Error> {
        let mut read = nearest.read(buffer, len, at);
        if read == Err(Errno::STALE) && self.again.get().is_none() {
            self.reopen()?;
            *nearest = self.nearest();
            read = nearest.read(buffer, len, at);
        }
        match read {
            Ok(count) if count == len => Ok(()),
            Ok(_) | Err(Errno::ISDIR) => Err(self.changed()),
            Err(errno) => Err(Error::at(&self.path, errno)),
        }
    }

    /// What it is after the last byte was read.
    ///
    /// # Errors
    /// [`Error::SourceChanged`] if it is not what it was before.
    pub fn settled(&self, listed: Option<&Facts>) -> Result<Stat, Error> {
        let after = Stat::of(self.file()).map_err(|error| Error::at(&self.path, error))?;
        let same = after.kind == Kind::File
            && self.before.is_none_or(|before| after.is_unchanged_since(&before))
            && listed.is_none_or(|listed| Facts::from(&after) == *listed);
        if same { Ok(after) } else { Err(self.changed()) }
    }

    /// Opens it once more.
    ///
    /// # Errors
    /// [`Error::SourceChanged`] if its name leads to another file by now. Where it is
    /// not known what it was, [`Self::settled`] will tell.
    fn reopen(&self) -> Result<(), Error> {
        let file = self.folder.open_any(self.name).map_err(Error::of_source)?;
        let now = Stat::of(&file).map_err(|error| Error::at(&self.path, error))?;
        if self.before.is_some_and(|before| Facts::from(&before) != Facts::from(&now)) {
            return Err(self.changed());
        }
        let _ = self.again.set(file);
        Ok(())
    }

    pub fn changed(&self) -> Error {
        Error::SourceChanged { path: self.path.clone() }
    }
}
