//! DPX, PNG, JPEG and TIFF: whether they end where they say. Sources: SMPTE
//! ST 268-1, the PNG specification (5.3, 5.6), ITU-T T.81 (B.1), TIFF 6.0 and
//! BigTIFF.

use super::bytes::{Bytes, Flaw, Order};
use super::{find, rfind};

/// How far before the end an ending may stand, since cameras append to files.
const TAIL_BYTES: usize = 64 << 10;
const END_PNG: &[u8] = b"IEND\xae\x42\x60\x82";

pub(super) fn dpx(bytes: &Bytes<'_>) -> Result<(), Flaw> {
    let head = bytes.at(0, 20)?;
    let order = if head.starts_with(b"SDPX") { Order::Big } else { Order::Little };
    let (image, size) = (order.number(&head[4..8]), order.number(&head[16..20]));
    // All ones: not told.
    if size != u64::from(u32::MAX) && size > bytes.size() {
        let found = bytes.size();
        return Err(Flaw::Truncated(format!("its header says {size} bytes, there are {found}")));
    }
    if image != u64::from(u32::MAX) && image >= bytes.size() {
        return Err(Flaw::Truncated(format!("its picture should begin at byte {image}")));
    }
    Ok(())
}

pub(super) fn png(bytes: &Bytes<'_>) -> Result<(), Flaw> {
    let ihdr = bytes.at(8, 8)?;
    if *ihdr != *b"\0\0\0\x0dIHDR" {
        return Err(Flaw::Damaged("it does not begin with IHDR".into()));
    }
    match rfind(&bytes.tail(TAIL_BYTES)?, END_PNG) {
        Some(_) => Ok(()),
        None => Err(Flaw::Truncated("it does not end with IEND".into())),
    }
}

pub(super) fn jpeg(bytes: &Bytes<'_>) -> Result<(), Flaw> {
    match find(&bytes.tail(TAIL_BYTES)?, b"\xff\xd9") {
        Some(_) => Ok(()),
        None => Err(Flaw::Truncated("it has no end-of-image mark".into())),
    }
}

/// Directories looked at.
const DIRECTORIES: usize = 64;
/// Strips or tiles looked at in each.
const PIECES: u64 = 1 << 20;

/// How a TIFF writes its numbers.
struct Layout {
    order: Order,
    /// Length of an offset.
    word: usize,
    /// Length of the number of entries.
    count: usize,
    /// Length of an entry.
    entry: usize,
}

pub(super) fn tiff(bytes: &Bytes<'_>) -> Result<(), Flaw> {
    let head = bytes.at(0, 8)?;
    let order = if head.starts_with(b"II") { Order::Little } else { Order::Big };
    let (layout, mut at) = match order.number(&head[2..4]) {
        43 => {
            let layout = Layout { order, word: 8, count: 8, entry: 20 };
            (layout, order.number(&bytes.at(8, 8)?))
        }
        _ => (Layout { order, word: 4, count: 2, entry: 12 }, order.number(&head[4..8])),
    };
    for _ in 0..DIRECTORIES {
        if at == 0 {
            break;
        }
        at = layout.directory(bytes, at)?;
    }
    Ok(())
}

impl Layout {
    /// Checks a directory and answers where the next one stands.
    fn directory(&self, bytes: &Bytes<'_>, at: u64) -> Result<u64, Flaw> {
        let count = self.order.number(&bytes.at(at, self.count)?);
        if count == 0 || count > 65_535 {
            return Err(Flaw::Damaged(format!("a directory has {count} entries")));
        }
        let first = at.saturating_add(self.count as u64);
        let length = usize::try_from(count).unwrap_or(0) * self.entry;
        let entries = bytes.at(first, length + self.word)?;
        let field = |tags: [u64; 2]| {
            let is = |e: &&[u8]| tags.contains(&self.order.number(&e[..2]));
            entries[..length].chunks_exact(self.entry).find(is)
        };
        // Where strips or tiles stand, and how long they are.
        if let (Some(offsets), Some(lengths)) = (field([273, 324]), field([279, 325])) {
            let offsets = self.numbers(bytes, offsets)?;
            let lengths = self.numbers(bytes, lengths)?;
            for (offset, length) in offsets.into_iter().zip(lengths) {
                let end = offset.saturating_add(length);
                if end > bytes.size() {
                    return Err(Flaw::Truncated(format!(
                        "a strip or tile ends at byte {end}, the file at {}",
                        bytes.size()
                    )));
                }
            }
        }
        Ok(self.order.number(&entries[length..]))
    }

    /// The numbers of an entry, in it or where it points.
    fn numbers(&self, bytes: &Bytes<'_>, entry: &[u8]) -> Result<Vec<u64>, Flaw> {
        let width = match self.order.number(&entry[2..4]) {
            3 => 2,
            4 => 4,
            16 => 8,
            _ => return Ok(Vec::new()),
        };
        let count = self.order.number(&entry[4..4 + self.word]).min(PIECES);
        let length = usize::try_from(count).unwrap_or(0) * width;
        let value = &entry[4 + self.word..];
        let list = match length <= self.word {
            true => value[..length].into(),
            false => bytes.at(self.order.number(value), length)?,
        };
        Ok(list.chunks_exact(width).map(|number| self.order.number(number)).collect())
    }
}
