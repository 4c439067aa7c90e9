//! WAV with its successors, AVI and AIFF: their outer chunk's length. Sources:
//! EBU Tech 3285 and 3306, ITU-R BS.2088, AIFF 1.3.

use super::bytes::{Bytes, Flaw, Order};

pub(super) fn check(bytes: &Bytes<'_>) -> Result<(), Flaw> {
    let head = bytes.at(0, 12)?;
    let order = if head.starts_with(b"FORM") { Order::Big } else { Order::Little };
    let length = match order.number(&head[4..8]) {
        // Told elsewhere, or by a program that could not go back to tell.
        0xffff_ffff if head.starts_with(b"R") && !head.starts_with(b"RIFF") => ds64(bytes)?,
        0xffff_ffff if head.starts_with(b"BW64") => ds64(bytes)?,
        0 | 0xffff_ffff => return Ok(()),
        length => length,
    };
    // AIFF and WAV alike count what comes after the length itself.
    let end = length.saturating_add(8);
    match end > bytes.size() {
        false => Ok(()),
        true => {
            Err(Flaw::Truncated(format!("its header says {end} bytes, there are {}", bytes.size())))
        }
    }
}

/// The 64-bit length, in a chunk that must come first.
fn ds64(bytes: &Bytes<'_>) -> Result<u64, Flaw> {
    let chunk = bytes.at(12, 16)?;
    match chunk.starts_with(b"ds64") {
        true => Ok(Order::Little.number(&chunk[8..16])),
        false => Err(Flaw::Damaged("it does not begin with ds64".into())),
    }
}
