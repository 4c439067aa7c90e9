//! MXF: header partition, and the footer that it or the index at the end
//! promises. Source: SMPTE ST 377-1, 6 and 7.

use super::bytes::{Bytes, Flaw, Order};
use super::find;

/// The run-in before the first partition.
const RUN_IN_BYTES: usize = 64 << 10;
/// A partition pack's key but for its kind, its status and its end.
const PARTITION: &[u8] = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01";
const HEADER: u8 = 2;
const FOOTER: u8 = 4;
const RANDOM_INDEX: u8 = 0x11;

pub(super) fn check(bytes: &Bytes<'_>) -> Result<(), Flaw> {
    let head = bytes.up_to(0, RUN_IN_BYTES + PARTITION.len())?;
    let Some(run_in) = find(&head, PARTITION) else {
        return Err(Flaw::Damaged("it has no partition".into()));
    };
    let run_in = run_in as u64;
    if bytes.at(run_in + 13, 1)?[0] != HEADER {
        return Err(Flaw::Damaged("its first partition is no header".into()));
    }
    let value = value_at(bytes, run_in + 16)?;
    // After version, KAG size, this and the previous partition.
    let footer = Order::Big.number(&bytes.at(value.saturating_add(24), 8)?);
    if footer != 0 {
        let at = run_in.saturating_add(footer);
        let key = bytes.up_to(at, PARTITION.len() + 1)?;
        return match key.len() > PARTITION.len() {
            false => Err(Flaw::Truncated(format!(
                "its footer should stand at byte {at}, the file ends at {}",
                bytes.size()
            ))),
            true if key.starts_with(PARTITION) && key[PARTITION.len()] == FOOTER => Ok(()),
            true => Err(Flaw::Damaged(format!("no footer stands at byte {at}"))),
        };
    }
    let tail = bytes.tail(RUN_IN_BYTES)?;
    let ends = |kind: u8| find(&tail, &[PARTITION, &[kind]].concat()).is_some();
    match ends(FOOTER) || ends(RANDOM_INDEX) {
        true => Ok(()),
        false => Err(Flaw::Truncated("it has no footer: its recording was not closed".into())),
    }
}

/// Where a value begins whose BER length stands at an offset.
fn value_at(bytes: &Bytes<'_>, at: u64) -> Result<u64, Flaw> {
    let first = bytes.at(at, 1)?[0];
    let more = if first < 0x80 { 0 } else { u64::from(first & 0x7f) };
    if more > 8 {
        return Err(Flaw::Damaged("a length in its header cannot be".into()));
    }
    Ok(at + 1 + more)
}
