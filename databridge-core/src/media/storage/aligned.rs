//! Memory that begins where direct I/O wants it.

use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

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

/// From this length on a buffer stands in huge pages, if the kernel has some to give:
/// a request of one stretch of memory goes to the device two to three times as fast
/// as one that gathers a thousand pages.
const HUGE_BYTES: usize = 2 << 20;

/// An aligned buffer of a fixed length.
#[derive(Debug)]
pub(crate) struct Aligned {
    memory: Memory,
    skip: usize,
    len: usize,
}

#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    Huge(MmapMut),
}

impl Aligned {
    /// Of so many bytes, all zero.
    pub fn new(len: usize) -> Self {
        Self::huge(len).unwrap_or_else(|| {
            let memory = vec![0; len + ALIGN_BYTES];
            let skip = memory.as_ptr().align_offset(ALIGN_BYTES).min(ALIGN_BYTES);
            Self { memory: Memory::Heap(memory), skip, len }
        })
    }

    /// What stands around it is address space only, and no memory.
    fn huge(len: usize) -> Option<Self> {
        if !len.is_multiple_of(HUGE_BYTES) || len == 0 {
            return None;
        }
        let memory = MmapMut::map_anon(len + HUGE_BYTES).ok()?;
        memory.advise(Advice::HugePage).ok()?;
        let skip = memory.as_ptr().align_offset(HUGE_BYTES).min(HUGE_BYTES);
        Some(Self { memory: Memory::Huge(memory), skip, len })
    }
}

impl Deref for Aligned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let range = self.skip..self.skip + self.len;
        match &self.memory {
            Memory::Heap(memory) => &memory[range],
            Memory::Huge(memory) => &memory[range],
        }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        let range = self.skip..self.skip + self.len;
        match &mut self.memory {
            Memory::Heap(memory) => &mut memory[range],
            Memory::Huge(memory) => &mut memory[range],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_aligned_wherever_it_is_moved() {
        let lens = [0, 1, 4095, 4096, 4097, HUGE_BYTES, HUGE_BYTES + 1, 1 << 22];
        let mut all: Vec<Aligned> = lens.map(Aligned::new).into();
        for (buffer, len) in all.iter_mut().zip(lens) {
            assert_eq!(buffer.as_ptr().align_offset(ALIGN_BYTES), 0);
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&byte| byte == 0));
            buffer.fill(7);
            assert!(buffer.iter().all(|&byte| byte == 7));
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
