//! A harmless archive that exceeds every configuration's depth.

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
    const NAME: &[u8] = b"a.zip";
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

    let mut zip = Vec::new();
    zip.extend(b"PK\x03\x04");
    zip.extend(&common);
    zip.extend(NAME);
    zip.extend(content);
    let directory = zip.len() as u32;
    zip.extend(b"PK\x01\x02");
    zip.extend(20u16.to_le_bytes());
    zip.extend(&common);
    zip.extend([0; 14]);
    zip.extend(NAME);
    let directory_length = zip.len() as u32 - directory;
    zip.extend(b"PK\x05\x06");
    zip.extend([0, 0, 0, 0, 1, 0, 1, 0]);
    zip.extend(directory_length.to_le_bytes());
    zip.extend(directory.to_le_bytes());
    zip.extend([0; 2]);
    zip
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
