//! QuickTime and MP4: boxes of the top level and those in `moov`. Source: ISO/IEC
//! 14496-12, 4.2.

use super::bytes::{Bytes, Flaw, Order};

/// Boxes looked at; a fragmented film has two to a fragment.
const BOXES: usize = 100_000;

struct Atom {
    kind: [u8; 4],
    start: u64,
    end: u64,
    header: u64,
}

pub(super) fn check(bytes: &Bytes<'_>) -> Result<(), Flaw> {
    let (mut at, mut has_moov, mut has_fragments) = (0, false, false);
    for _ in 0..BOXES {
        if at == bytes.size() {
            break;
        }
        let atom = atom(bytes, at, bytes.size())?;
        let name = String::from_utf8_lossy(&atom.kind).into_owned();
        if atom.end > bytes.size() {
            return Err(Flaw::Truncated(format!(
                "its {name} box ends at byte {}, the file at {}",
                atom.end,
                bytes.size()
            )));
        }
        match &atom.kind {
            b"moov" => {
                has_moov = true;
                inside(bytes, &atom)?;
            }
            b"moof" | b"styp" => has_fragments = true,
            _ => {}
        }
        at = atom.end;
    }
    match has_moov || has_fragments {
        true => Ok(()),
        false => Err(Flaw::Truncated("it has no moov box, so that nothing can play it".into())),
    }
}

fn inside(bytes: &Bytes<'_>, moov: &Atom) -> Result<(), Flaw> {
    let mut at = moov.start + moov.header;
    for _ in 0..BOXES {
        // QuickTime may end a list of boxes with a zero.
        if moov.end - at < 8 {
            return Ok(());
        }
        let atom = atom(bytes, at, moov.end)?;
        if atom.end > moov.end {
            return Err(Flaw::Damaged("a box reaches beyond the moov box that holds it".into()));
        }
        at = atom.end;
    }
    Ok(())
}

fn atom(bytes: &Bytes<'_>, start: u64, limit: u64) -> Result<Atom, Flaw> {
    let head = bytes.at(start, 8)?;
    let mut kind = [0; 4];
    kind.copy_from_slice(&head[4..]);
    // QuickTime's own kinds use the byte of the copyright sign.
    if !kind.iter().all(|b| matches!(b, 0x20..=0x7e | 0xa9 | 0)) {
        return Err(Flaw::Damaged(format!("at byte {start} stands no box")));
    }
    let (length, header) = match Order::Big.number(&head[..4]) {
        0 => (limit - start, 8),
        1 => (Order::Big.number(&bytes.at(start.saturating_add(8), 8)?), 16),
        length => (length, 8),
    };
    if length < header {
        return Err(Flaw::Damaged(format!("the box at byte {start} is {length} bytes long")));
    }
    Ok(Atom { kind, start, end: start.saturating_add(length), header })
}
