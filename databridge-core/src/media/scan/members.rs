//! Whether every member of a ZIP is within what ClamAV reads of one file. It cuts a
//! deflated member at `MaxFileSize` and, alone of all its limits, does not tell
//! (seen with 1.4, `AlertExceedsMax yes`).

use std::fs::File;
use std::os::unix::fs::FileExt;

/// What deflate makes of a byte at most (RFC 1951: 258 bytes from two bits).
const DEFLATE_RATIO: u64 = 1032;
/// The end of the central directory and the longest comment (APPNOTE 4.3.16).
const END_BYTES: u64 = 22 + 65_535;
/// No directory that is longer is read.
const DIRECTORY_BYTES: u64 = 64 << 20;

/// Whether a file is no ZIP, or cannot hold a member larger than `limit_bytes`, or
/// says of each that it is not. What is not understood is not within it.
pub fn are_within(file: &File, size_bytes: u64, head: &[u8], limit_bytes: u64) -> bool {
    if !head.starts_with(b"PK") || size_bytes.saturating_mul(DEFLATE_RATIO) <= limit_bytes {
        return true;
    }
    declared(file, size_bytes).is_some_and(|members| {
        members.iter().all(|(size, is_archive)| {
            let most = if *is_archive { size.saturating_mul(DEFLATE_RATIO) } else { *size };
            most <= limit_bytes
        })
    })
}

/// Every member's unpacked size, and whether its name is an archive's.
fn declared(file: &File, size_bytes: u64) -> Option<Vec<(u64, bool)>> {
    let tail = read(file, size_bytes.saturating_sub(END_BYTES), size_bytes)?;
    let end = tail.windows(4).rposition(|mark| mark == b"PK\x05\x06")?;
    let end = tail.get(end..)?;
    let (count, length, start) = (u16_at(end, 10)?, u32_at(end, 12)?, u32_at(end, 16)?);
    if count == u16::MAX || start == u32::MAX || u64::from(length) > DIRECTORY_BYTES {
        // Zip64.
        return None;
    }
    let start = u64::from(start);
    let directory = read(file, start, start.checked_add(length.into())?)?;
    let (mut members, mut rest) = (Vec::new(), &directory[..]);
    while !rest.is_empty() {
        if !rest.starts_with(b"PK\x01\x02") {
            return None;
        }
        let size = u32_at(rest, 24)?;
        let [name, extra, comment] = [28, 30, 32].map(|at| u16_at(rest, at).map(usize::from));
        let (name, behind) = (rest.get(46..46 + name?)?, extra? + comment?);
        if size == u32::MAX {
            return None;
        }
        members.push((size.into(), is_archive(name)));
        rest = rest.get(46 + name.len() + behind..)?;
    }
    (members.len() == usize::from(count)).then_some(members)
}

fn is_archive(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let ends =
        [".zip", ".usdz", ".jar", ".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".pptm", ".gz"];
    ends.iter().any(|end| name.ends_with(end.as_bytes()))
}

fn read(file: &File, from: u64, to: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to.checked_sub(from)?).ok()?];
    file.read_exact_at(&mut bytes, from).ok()?;
    Some(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;
    use crate::media::scan::probe::stored_zip;

    fn within(bytes: &[u8], limit: u64) -> bool {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        are_within(&file, bytes.len() as u64, bytes, limit)
    }

    #[test]
    fn what_members_say_of_themselves() {
        let mut zip = stored_zip(&[7; 5000]);
        // Its one member is named `a.zip`.
        assert!(!within(&zip, 5000));
        let name = zip.windows(5).rposition(|name| name == b"a.zip").unwrap();
        zip[name..name + 5].copy_from_slice(b"a.exr");
        assert!(within(&zip, 5000));
        assert!(!within(&zip, 4999));
        assert!(within(&zip, zip.len() as u64 * 1032), "it cannot be more");
        assert!(!within(&zip[..zip.len() - 10], 5000), "its end is missing");
        assert!(within(b"no archive at all", 1));
    }

    proptest! {
        #[test]
        fn damage_is_never_a_panic(at in 0usize..5120, byte: u8, cut in 0usize..5120) {
            let mut zip = stored_zip(&[7; 5000]);
            let at = at.min(zip.len() - 1);
            zip[at] = byte;
            let _ = within(&zip[..cut.min(zip.len())], 5000);
        }
    }
}
