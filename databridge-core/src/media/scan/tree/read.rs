//! One read of a file: digested, kept, and shown to those that look on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::hand::Scan;
use crate::media::checksum::{Hasher, Sha256};
use crate::media::monitor::Progress;
use crate::media::scan::HEAD_BYTES;
use crate::media::scan::looks::Looks;
use crate::media::storage::Stat;

/// How much is read between two looks at whether to stop.
const BLOCK_BYTES: usize = 1 << 20;

/// What one read of a file brought up.
pub(super) struct Read {
    pub sha256: Sha256,
    /// Its beginning.
    pub head: Vec<u8>,
    /// That is all of it.
    pub whole: bool,
}

pub(super) enum Trouble {
    Cancelled,
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Scan<'_> {
    /// Reads a file from beginning to end, keeping all of it if it is small
    /// enough and else its head.
    pub(super) fn read(
        &self,
        file: &File,
        stat: Stat,
        looks: &mut Looks<'_>,
    ) -> Result<Read, Trouble> {
        let whole = stat.size_bytes <= self.engines.settings.rules_whole_bytes;
        let mut hasher = Hasher::new(&[]);
        let mut head = Vec::new();
        let mut buffer =
            vec![0; BLOCK_BYTES.min(usize::try_from(stat.size_bytes).unwrap_or(BLOCK_BYTES) + 1)];
        let mut offset = 0;
        loop {
            if self.monitor.cancelled() {
                return Err(Trouble::Cancelled);
            }
            let block = match file.read_at(&mut buffer, offset) {
                Ok(0) => break,
                Ok(n) => &buffer[..n],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            offset += block.len() as u64;
            if offset > stat.size_bytes {
                break;
            }
            hasher.update(block);
            looks.block(block);
            if whole || head.len() < HEAD_BYTES {
                head.extend_from_slice(block);
            }
            self.monitor.on(Progress::Bytes(block.len() as u64));
        }
        if offset != stat.size_bytes {
            return Err(io::Error::other("its length changed while it was read").into());
        }
        Ok(Read { sha256: hasher.finish().sha256(), head, whole })
    }
}
