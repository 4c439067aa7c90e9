//! Files read from where their bytes are nearest: memory, or else the device.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

use super::Medium;
use super::aligned::{ALIGN_BYTES, aligned_up};

/// Where a file is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The page cache, as long as it has what is asked for; nobody has looked yet.
    Unknown,
    /// The same, and so far it had it.
    Memory,
    /// The device, past the page cache (`O_DIRECT`): what the cache does not have
    /// would go through it for nothing, at the price of a copy of every byte.
    Device,
    /// However the file system does it.
    Buffered,
}

/// Reads a file front to back in large pieces. What the page cache holds (it was
/// written or hashed a moment ago) is taken from there and asked of no device; from
/// the first piece on that it lacks, the rest is read past it. For content that is
/// checked by its digest: for what has to come from the device see
/// [`super::DeviceFile`].
#[derive(Debug)]
pub(crate) struct Nearest<F> {
    file: F,
    way: Way,
}

impl<F: AsFd> Nearest<F> {
    /// Of a file on a disk of this host; elsewhere the file system does better what
    /// it does on its own.
    pub fn new(file: F, medium: Medium) -> Self {
        let way = if medium == Medium::Disk { Way::Unknown } else { Way::Buffered };
        // The look into the page cache is not to have anything fetched.
        let advice = if way == Way::Unknown { Advice::Random } else { Advice::Sequential };
        let _ = fadvise(&file, 0, None, advice);
        Self { file, way }
    }

    /// Of a short file: not worth a look.
    pub fn as_it_comes(file: F) -> Self {
        Self { file, way: Way::Buffered }
    }

    /// Reads `len` bytes from `at` on, or up to the end of the file. The buffer's
    /// start and length, and `at`, should be aligned: what is not is read buffered.
    pub fn read(&mut self, buffer: &mut [u8], len: usize, at: u64) -> Result<usize, Errno> {
        let len = len.min(buffer.len());
        let mut filled = 0;
        if matches!(self.way, Way::Unknown | Way::Memory) {
            if let Some(all) = self.remembered(&mut buffer[..len], at) {
                return Ok(all);
            }
            // What it had of the piece is not worth a seam.
            self.way = self.go_past();
        }
        while filled < len {
            let asked = match self.way {
                Way::Device => usize::try_from(aligned_up(len as u64)).unwrap_or(len),
                _ => len,
            };
            let end = asked.min(buffer.len());
            match pread(&self.file, &mut buffer[filled..end], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => continue,
                // Accepted when it was set and refused at the reading.
                Err(Errno::INVAL | Errno::OPNOTSUPP) if self.way == Way::Device => self.buffer()?,
                Err(errno) => return Err(errno),
            }
            if self.way == Way::Device && filled < len && !filled.is_multiple_of(ALIGN_BYTES) {
                // The end of the file, or a short read that has no other way on.
                self.buffer()?;
            }
        }
        Ok(filled.min(len))
    }

    /// Has the next piece fetched while this one is worked on, where the kernel does
    /// that.
    pub fn will_need(&self, at: u64, bytes: u64) {
        if self.way == Way::Buffered {
            let bytes = std::num::NonZeroU64::new(bytes);
            let _ = fadvise(&self.file, at, bytes, Advice::WillNeed);
        }
    }

    /// What the page cache gives without asking the device (`RWF_NOWAIT`), if that is
    /// all of it up to the end of the buffer or of the file.
    fn remembered(&mut self, buffer: &mut [u8], at: u64) -> Option<usize> {
        let look = |buffer: &mut [u8], at| {
            let mut slices = [IoSliceMut::new(buffer)];
            preadv2(&self.file, &mut slices, at, ReadWriteFlags::NOWAIT).ok()
        };
        let page = buffer.len().min(ALIGN_BYTES);
        if self.way == Way::Unknown {
            look(&mut buffer[..page], at)?;
        }
        let mut filled = 0;
        while filled < buffer.len() {
            match look(&mut buffer[filled..], at + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        self.way = Way::Memory;
        Some(filled)
    }

    fn go_past(&self) -> Way {
        let set = |flags| fcntl_setfl(&self.file, flags | OFlags::DIRECT);
        match fcntl_getfl(&self.file).and_then(set) {
            Ok(()) => Way::Device,
            Err(_) => {
                let _ = fadvise(&self.file, 0, None, Advice::Sequential);
                Way::Buffered
            }
        }
    }

    fn buffer(&mut self) -> Result<(), Errno> {
        fcntl_setfl(&self.file, fcntl_getfl(&self.file)? - OFlags::DIRECT)?;
        self.way = Way::Buffered;
        Ok(())
    }
}

impl<F: AsFd> AsFd for Nearest<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::File;
    use std::io::{Seek, Write};

    use super::super::Aligned;
    use super::*;

    const PIECE: usize = 4 * ALIGN_BYTES;

    fn all(file: &File, medium: Medium, size: u64) -> (Vec<u8>, Way) {
        let mut nearest = Nearest::new(file, medium);
        let mut buffer = Aligned::new(PIECE);
        let mut found = Vec::new();
        while (found.len() as u64) < size {
            let at = found.len() as u64;
            let len = usize::try_from(size - at).unwrap().min(PIECE);
            let count = nearest.read(&mut buffer, len, at).unwrap();
            if count == 0 {
                break;
            }
            found.extend_from_slice(&buffer[..count]);
            nearest.will_need(at + count as u64, PIECE as u64);
        }
        (found, nearest.way)
    }

    #[test]
    fn the_same_bytes_remembered_from_the_device_and_from_both() {
        let beside = env!("CARGO_MANIFEST_DIR").to_owned() + "/../target";
        for dir in
            [tempfile::tempdir_in(beside).unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()]
        {
            for len in [0, 1, ALIGN_BYTES, PIECE, PIECE + 1, 5 * PIECE + ALIGN_BYTES + 7] {
                let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
                let path = dir.path().join(len.to_string());
                std::fs::write(&path, &bytes).unwrap();
                let medium = Medium::of(File::open(&path).unwrap());
                let (found, way) = all(&File::open(&path).unwrap(), medium, len as u64);
                assert_eq!(found, bytes);
                if medium == Medium::Disk && len > 0 {
                    assert_eq!(way, Way::Memory, "it was just written");
                }
                let file = File::open(&path).unwrap();
                file.sync_all().unwrap();
                let _ = fadvise(&file, 0, None, Advice::DontNeed);
                let (found, _) = all(&file, medium, len as u64);
                assert_eq!(found, bytes, "{len} from the device");

                let file = File::open(&path).unwrap();
                let mut head = [0; 1];
                let _ = pread(&file, &mut head, 0);
                assert_eq!(all(&file, medium, len as u64).0, bytes, "{len} from both");
            }
        }
    }

    #[test]
    fn a_file_that_ends_early_gives_what_there_is() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; PIECE + 3]).unwrap();
        file.rewind().unwrap();
        let medium = Medium::of(&file);
        assert_eq!(all(&file, medium, 10 * PIECE as u64).0, vec![7; PIECE + 3]);
    }
}
