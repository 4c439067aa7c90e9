//! Memory that begins where direct I/O wants it.

use std::ops::{Deref, DerefMut};

/// What `O_DIRECT` asks of addresses, offsets and lengths on every common device.
pub(crate) const ALIGN_BYTES: usize = 4096;

/// `bytes` up to the next aligned length.
pub(crate) const fn aligned_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN_BYTES as u64)
}

/// `bytes` down to the last aligned length.
pub(crate) const fn aligned_down(bytes: u64) -> u64 {
    bytes - bytes % ALIGN_BYTES as u64
}

/// An aligned buffer of a fixed length.
#[derive(Debug)]
pub(crate) struct Aligned {
    memory: Vec<u8>,
    skip: usize,
    len: usize,
}

impl Aligned {
    /// Of so many bytes, all zero.
    pub fn new(len: usize) -> Self {
        let memory = vec![0; len + ALIGN_BYTES];
        let skip = memory.as_ptr().align_offset(ALIGN_BYTES).min(ALIGN_BYTES);
        Self { memory, skip, len }
    }
}

impl Deref for Aligned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[self.skip..self.skip + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.skip..self.skip + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_aligned_wherever_it_is_moved() {
        let all: Vec<Aligned> = [0, 1, 4095, 4096, 4097, 1 << 22].map(Aligned::new).into();
        for (buffer, len) in all.iter().zip([0, 1, 4095, 4096, 4097, 1 << 22]) {
            assert_eq!(buffer.as_ptr().align_offset(ALIGN_BYTES), 0);
            assert_eq!(buffer.len(), len);
        }
    }

    #[test]
    fn lengths_are_rounded() {
        for (bytes, down, up) in
            [(0, 0, 0), (1, 0, 4096), (4095, 0, 4096), (4096, 4096, 4096), (4097, 4096, 8192)]
        {
            assert_eq!((aligned_down(bytes), aligned_up(bytes)), (down, up), "{bytes}");
        }
    }
}
