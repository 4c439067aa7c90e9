//! Harmless files that show what an antivirus tells and how far it reads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};

/// Nested so often; ClamAV allows at most 100.
const DEPTH: usize = 120;

/// A ZIP (APPNOTE 6.3, stored entries) in a ZIP, [`DEPTH`] times.
pub fn nested_archive() -> Vec<u8> {
    // Varied bytes: the engine does not descend for the sake of a few equal ones.
    let seed = (0u32..512).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    (0..DEPTH).fold(seed, |inner, _| stored_zip(&inner))
}

/// A ZIP with one stored entry.
pub fn stored_zip(content: &[u8]) -> Vec<u8> {
    stored_entry(content, 0)
}

/// The same with general-purpose flags; bit 0 says that it is encrypted.
pub fn stored_entry(content: &[u8], flags: u16) -> Vec<u8> {
    let mut zip = local_entry(content, flags);
    let directory = directory_entry(content, flags, 0);
    let end = end_of_directory(1, directory.len() as u32, zip.len() as u32);
    zip.extend(directory);
    zip.extend(end);
    zip
}

const NAME: &[u8] = b"a.zip";

/// What an entry's two headers have in common.
fn header(content: &[u8], flags: u16) -> Vec<u8> {
    let length = content.len() as u32;
    let mut common = Vec::new();
    // Version needed, flags, method, time, date.
    for field in [20u16, flags, 0, 0, 0x21] {
        common.extend(field.to_le_bytes());
    }
    for field in [crc32(content), length, length] {
        common.extend(field.to_le_bytes());
    }
    common.extend((NAME.len() as u16).to_le_bytes());
    common.extend([0; 2]);
    common
}

fn local_entry(content: &[u8], flags: u16) -> Vec<u8> {
    [b"PK\x03\x04", &header(content, flags)[..], NAME, content].concat()
}

fn directory_entry(content: &[u8], flags: u16, offset: u32) -> Vec<u8> {
    let mut entry = [b"PK\x01\x02", &20u16.to_le_bytes()[..], &header(content, flags)].concat();
    entry.extend([0; 10]);
    entry.extend(offset.to_le_bytes());
    entry.extend(NAME);
    entry
}

fn end_of_directory(entries: u16, length: u32, offset: u32) -> Vec<u8> {
    let mut end = Vec::from(b"PK\x05\x06\0\0\0\0");
    end.extend(entries.to_le_bytes());
    end.extend(entries.to_le_bytes());
    end.extend(length.to_le_bytes());
    end.extend(offset.to_le_bytes());
    end.extend([0; 2]);
    end
}

/// A PDF (ISO 32000-1, 7.6) that says of itself that it is encrypted.
pub fn encrypted_pdf() -> Vec<u8> {
    let key = "0123456789abcdef0123456789abcdef";
    format!(
        "%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n\
         2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n\
         3 0 obj\n<< /Filter /Standard /V 1 /R 2 /O ({key}) /U ({key}) /P -4 >>\nendobj\n\
         trailer\n<< /Root 1 0 R /Encrypt 3 0 R /ID [<00><00>] /Size 4 >>\n\
         startxref\n0\n%%EOF\n"
    )
    .into_bytes()
}

/// The test file that every antivirus knows (EICAR, Anti-Malware Testfile). It is
/// kept masked, so that no scanner stops at this program.
pub fn test_virus() -> Vec<u8> {
    const MASK: u8 = 0x2a;
    const MASKED: [u8; 68] = [
        0x72, 0x1f, 0x65, 0x0b, 0x7a, 0x0f, 0x6a, 0x6b, 0x7a, 0x71, 0x1e, 0x76, 0x7a, 0x70, 0x72,
        0x1f, 0x1e, 0x02, 0x7a, 0x74, 0x03, 0x1d, 0x69, 0x69, 0x03, 0x1d, 0x57, 0x0e, 0x6f, 0x63,
        0x69, 0x6b, 0x78, 0x07, 0x79, 0x7e, 0x6b, 0x64, 0x6e, 0x6b, 0x78, 0x6e, 0x07, 0x6b, 0x64,
        0x7e, 0x63, 0x7c, 0x63, 0x78, 0x7f, 0x79, 0x07, 0x7e, 0x6f, 0x79, 0x7e, 0x07, 0x6c, 0x63,
        0x66, 0x6f, 0x0b, 0x0e, 0x62, 0x01, 0x62, 0x00,
    ];
    let mask = std::hint::black_box(MASK);
    MASKED.iter().map(|byte| byte ^ mask).collect()
}

/// What stands at the end of [`at_the_limit`], beyond the test file, and some more:
/// what is unpacked counts against limits too.
const MARGIN_BYTES: u64 = 64 << 10;
/// How much of it takes as long to look at as media does.
const NOISE_BYTES: usize = 24 << 20;

/// A ZIP almost `limit_bytes` long whose last entry is the test file: found, it
/// proves that a file of this length is read to its end, and that as long as it
/// took is not too long. Answers its length, too.
pub fn at_the_limit(limit_bytes: u64) -> io::Result<(File, u64)> {
    let size = limit_bytes.saturating_sub(MARGIN_BYTES).max(4 * MARGIN_BYTES);
    let first = noise(512);
    let virus = test_virus();
    let local = local_entry(&virus, 0);
    let place = size - MARGIN_BYTES / 2;
    let at = |place: u64| u32::try_from(place).map_err(io::Error::other);
    let directory =
        [directory_entry(&first, 0, 0), directory_entry(&virus, 0, at(place)?)].concat();
    let behind = place + local.len() as u64;
    let end = end_of_directory(2, directory.len() as u32, at(behind)?);
    let tail = [local, directory, end].concat();

    let file = File::from(memfd_create("databridge-probe", MemfdFlags::CLOEXEC)?);
    let head = local_entry(&first, 0);
    file.write_all_at(&head, 0)?;
    let room = usize::try_from(place).unwrap_or(usize::MAX) - head.len();
    file.write_all_at(&noise(room.min(NOISE_BYTES)), head.len() as u64)?;
    file.write_all_at(&tail, place)?;
    Ok((file, place + tail.len() as u64))
}

/// Bytes without a pattern, always the same (xorshift64, Marsaglia 2003).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// CRC-32 as ZIP has it (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn crc32_known_answer() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn the_archive_stays_small() {
        assert!(nested_archive().len() < 16 << 10);
    }
}
