//! The bytes of a list, number by number.

/// Bytes yet to be read; `None` at their end.
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A number whose first byte says by its leading ones how many follow.
    pub fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        let more = first.leading_ones() as usize;
        let mut bytes = [0; 8];
        bytes[..more].copy_from_slice(self.take(more)?);
        let high = u64::from(first) & (0x7f_u64 >> more);
        Some(u64::from_le_bytes(bytes) | high.checked_shl(8 * more as u32).unwrap_or(0))
    }

    /// One bit for each of `count`, the highest first.
    pub fn bits(&mut self, count: usize) -> Option<Vec<bool>> {
        let bytes = self.take(count.div_ceil(8))?;
        Some((0..count).map(|i| bytes[i / 8] & (0x80 >> (i % 8)) != 0).collect())
    }

    /// The same, where one byte may say all of them.
    pub fn all_or_bits(&mut self, count: usize) -> Option<Vec<bool>> {
        match self.byte()? {
            0 => self.bits(count),
            _ => Some(vec![true; count]),
        }
    }

    pub fn sums(&mut self, count: usize) -> Option<Vec<Option<u32>>> {
        let defined = self.all_or_bits(count)?;
        defined.into_iter().map(|is| if is { self.u32().map(Some) } else { Some(None) }).collect()
    }
}
