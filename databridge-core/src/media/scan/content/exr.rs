//! OpenEXR: its headers, its table of offsets, and whether its last chunk ends
//! inside the file. Source: "OpenEXR File Layout" of the OpenEXR project.

use std::collections::HashMap;

use super::bytes::{Bytes, Flaw, Order};

/// Headers of all parts; a preview image or a manifest of Cryptomatte may be large.
const HEADERS_BYTES: usize = 32 << 20;
const ATTRIBUTES: usize = 10_000;
const PARTS: usize = 4096;
/// Offsets looked at one by one.
const OFFSETS: u64 = 1 << 20;

const TILED: u64 = 0x200;
const DEEP: u64 = 0x800;
const MULTI_PART: u64 = 0x1000;

/// One part, as far as it tells how many chunks there must be.
#[derive(Default)]
struct Part {
    attributes: HashMap<Vec<u8>, Vec<u8>>,
}

pub(super) fn check(bytes: &Bytes<'_>) -> Result<(), Flaw> {
    let flags = Order::Little.number(&bytes.at(4, 4)?);
    if flags & 0xff != 2 {
        return Err(Flaw::Damaged(format!("its version is {}, not 2", flags & 0xff)));
    }
    let headers = match bytes.head().len() as u64 == bytes.size() {
        true => bytes.head().into(),
        false => match parse(bytes.head(), flags) {
            Ok(_) => bytes.head().into(),
            Err(_) => bytes.up_to(0, HEADERS_BYTES)?,
        },
    };
    let (parts, table) = parse(&headers, flags)?;
    let mut counts = Vec::new();
    for part in &parts {
        part.window()?;
        counts.push(part.chunks(flags)?);
    }
    let Some(chunks) = counts.iter().try_fold(0_u64, |sum, c| sum.checked_add((*c)?)) else {
        return Ok(());
    };
    offsets(bytes, table as u64, chunks, flags, &parts)
}

/// The parts and where their headers end.
fn parse(head: &[u8], flags: u64) -> Result<(Vec<Part>, usize), Flaw> {
    let (mut parts, mut at, mut attributes) = (Vec::new(), 8, 0);
    loop {
        let mut part = Part::default();
        while let Some(name) = text(head, &mut at)? {
            let kind = text(head, &mut at)?.unwrap_or_default();
            let size = Order::Little.number(take(head, &mut at, 4)?);
            let value = take(head, &mut at, usize::try_from(size).unwrap_or(usize::MAX))?;
            attributes += 1;
            if attributes > ATTRIBUTES || kind.is_empty() {
                return Err(Flaw::Damaged("its header has no end".into()));
            }
            if value.len() <= 64 {
                part.attributes.insert(name.to_vec(), value.to_vec());
            }
        }
        // An empty header ends those of several parts.
        let is_end = part.attributes.is_empty() && !parts.is_empty();
        if !is_end {
            parts.push(part);
        }
        if is_end || flags & MULTI_PART == 0 {
            return Ok((parts, at));
        }
        if parts.len() > PARTS {
            return Err(Flaw::Damaged("it has too many parts".into()));
        }
    }
}

fn take<'h>(head: &'h [u8], at: &mut usize, length: usize) -> Result<&'h [u8], Flaw> {
    let end = at.saturating_add(length);
    let cut = || Flaw::Truncated("it ends within its header".into());
    let taken = head.get(*at..end).ok_or_else(cut)?;
    *at = end;
    Ok(taken)
}

/// A name of at most 255 bytes; `None` for the empty one that ends a header.
fn text<'h>(head: &'h [u8], at: &mut usize) -> Result<Option<&'h [u8]>, Flaw> {
    let rest = head.get(*at..).unwrap_or_default();
    match rest.iter().take(256).position(|b| *b == 0) {
        Some(length) => {
            *at += length + 1;
            Ok(Some(&rest[..length]).filter(|name| !name.is_empty()))
        }
        None if rest.len() < 256 => Err(Flaw::Truncated("it ends within its header".into())),
        None => Err(Flaw::Damaged("a name in its header is too long".into())),
    }
}

impl Part {
    fn numbers<const N: usize>(&self, name: &str) -> Option<[i64; N]> {
        let value = self.attributes.get(name.as_bytes())?;
        let mut numbers = [0; N];
        for (i, number) in numbers.iter_mut().enumerate() {
            let bytes: [u8; 4] = value.get(i * 4..i * 4 + 4)?.try_into().ok()?;
            *number = i64::from(i32::from_le_bytes(bytes));
        }
        Some(numbers)
    }

    /// Width and height.
    fn window(&self) -> Result<(u64, u64), Flaw> {
        let Some([left, top, right, bottom]) = self.numbers::<4>("dataWindow") else {
            return Err(Flaw::Damaged("its header has no dataWindow".into()));
        };
        let side = |from: i64, to: i64| u64::try_from(to - from + 1).ok().filter(|s| *s > 0);
        match (side(left, right), side(top, bottom)) {
            (Some(width), Some(height)) if width <= 1 << 24 && height <= 1 << 24 => {
                Ok((width, height))
            }
            _ => Err(Flaw::Damaged(format!(
                "its dataWindow ({left} {top}) - ({right} {bottom}) cannot be"
            ))),
        }
    }

    fn kind(&self, flags: u64) -> (bool, bool) {
        let kind = self.attributes.get(&b"type"[..]).map(|k| k.strip_suffix(b"\0").unwrap_or(k));
        match kind {
            Some(kind) => {
                (kind.ends_with(b"tile") || kind.starts_with(b"tiled"), kind.starts_with(b"deep"))
            }
            None => (flags & TILED != 0, flags & DEEP != 0),
        }
    }

    /// How many chunks it has; `None` where we cannot tell.
    fn chunks(&self, flags: u64) -> Result<Option<u64>, Flaw> {
        if let Some([count]) = self.numbers::<1>("chunkCount") {
            let damaged = |_| Flaw::Damaged("its chunkCount is negative".into());
            return u64::try_from(count).map(Some).map_err(damaged);
        }
        let (width, height) = self.window()?;
        if self.kind(flags).0 {
            return Ok(self.tiles(width, height));
        }
        let Some(compression) = self.attributes.get(&b"compression"[..]).and_then(|c| c.first())
        else {
            return Err(Flaw::Damaged("its header has no compression".into()));
        };
        // Lines in a chunk: none, RLE, ZIPS; ZIP; PIZ; PXR24; B44, B44A, DWAA;
        // DWAB; HTJ2K of 256 and of 32.
        let lines = match compression {
            0..=2 => 1,
            3 | 5 => 16,
            4 | 6..=8 | 11 => 32,
            9 | 10 => 256,
            _ => return Ok(None),
        };
        Ok(Some(height.div_ceil(lines)))
    }

    fn tiles(&self, width: u64, height: u64) -> Option<u64> {
        let value = self.attributes.get(&b"tiles"[..])?;
        let side =
            |at: usize| Some(Order::Little.number(value.get(at..at + 4)?)).filter(|s| *s > 0);
        let (across, down, mode) = (side(0)?, side(4)?, *value.get(8)?);
        let up = mode >> 4 == 1;
        let at_level = |side: u64, level: u32| match up {
            true => side.div_ceil(1 << level).max(1),
            false => (side >> level).max(1),
        };
        let levels = |side: u64| match up {
            true => u64::BITS - (side - 1).leading_zeros() + 1,
            false => u64::BITS - side.leading_zeros(),
        };
        let count = |x: u32, y: u32| {
            at_level(width, x).div_ceil(across) * at_level(height, y).div_ceil(down)
        };
        Some(match mode & 0xf {
            0 => count(0, 0),
            1 => (0..levels(width.max(height))).map(|level| count(level, level)).sum(),
            2 => (0..levels(height))
                .flat_map(|y| (0..levels(width)).map(move |x| (x, y)))
                .map(|(x, y)| count(x, y))
                .sum(),
            _ => return None,
        })
    }
}

/// Every chunk must begin in the file, and the last must end there.
fn offsets(
    bytes: &Bytes<'_>,
    table: u64,
    chunks: u64,
    flags: u64,
    parts: &[Part],
) -> Result<(), Flaw> {
    let end = chunks.checked_mul(8).and_then(|length| length.checked_add(table));
    let Some(end) = end.filter(|end| *end <= bytes.size()) else {
        return Err(Flaw::Truncated(format!("it ends before its table of {chunks} chunks does")));
    };
    if chunks > OFFSETS {
        return Ok(());
    }
    let length = usize::try_from(end - table).unwrap_or(usize::MAX);
    let listed = bytes.at(table, length)?;
    let listed: Vec<u64> = listed.chunks_exact(8).map(|o| Order::Little.number(o)).collect();
    let missing = listed.iter().filter(|offset| **offset == 0).count();
    if missing > 0 {
        return Err(Flaw::Truncated(format!(
            "{missing} of its {chunks} chunks were never written"
        )));
    }
    if let Some(before) = listed.iter().find(|offset| **offset < end) {
        return Err(Flaw::Damaged(format!(
            "a chunk is said to begin at byte {before}, in its header"
        )));
    }
    let Some(last) = listed.into_iter().max() else { return Ok(()) };
    let chunk_end = chunk_end(bytes, last, flags, parts)?;
    if chunk_end > bytes.size() {
        let size = bytes.size();
        return Err(Flaw::Truncated(format!(
            "its last chunk ends at byte {chunk_end}, the file at {size}"
        )));
    }
    Ok(())
}

/// Where the chunk at an offset ends.
fn chunk_end(bytes: &Bytes<'_>, at: u64, flags: u64, parts: &[Part]) -> Result<u64, Flaw> {
    let number = |at: u64, length| Ok::<_, Flaw>(Order::Little.number(&bytes.at(at, length)?));
    let (part, at) = match flags & MULTI_PART {
        0 => (0, at),
        _ => (number(at, 4)?, at.saturating_add(4)),
    };
    let Some(part) = parts.get(usize::try_from(part).unwrap_or(usize::MAX)) else {
        return Err(Flaw::Damaged("a chunk belongs to no part".into()));
    };
    let (is_tiled, is_deep) = part.kind(flags);
    let sizes = at.saturating_add(if is_tiled { 16 } else { 4 });
    Ok(match is_deep {
        true => {
            let table = number(sizes, 8)?;
            let data = number(sizes.saturating_add(8), 8)?;
            sizes.saturating_add(24).saturating_add(table).saturating_add(data)
        }
        false => {
            let data = number(sizes, 4)?;
            sizes.saturating_add(4).saturating_add(data)
        }
    })
}
