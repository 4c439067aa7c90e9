//! A zip archive that holds itself, byte for byte, made here: copies and literals of
//! Deflate (RFC 1951), each five bytes long, that print one another. The way is Russ
//! Cox's, "Zip Files All The Way Down" (2010); no byte of his is in it.

use std::io::{Cursor, Read};

use super::super::super::tests::found;

/// What stands before the packed data and behind it. A copy that is written in five
/// bytes is of 20 bytes, or of 258: so long must this be with one literal's head.
const FRAME: usize = 253;

/// The head of a literal of so many bytes (RFC 1951, 3.2.4).
fn literal(bytes: usize) -> Vec<u8> {
    let length = u16::try_from(bytes).unwrap().to_le_bytes();
    vec![0, length[0], length[1], !length[0], !length[1]]
}

/// Bits, the lowest of a byte first; Huffman codes come highest bit first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn number(mut self, value: u32, count: u32) -> Self {
        self.0.extend((0..count).map(|i| value >> i & 1 == 1));
        self
    }

    fn code(mut self, value: u32, count: u32) -> Self {
        self.0.extend((0..count).rev().map(|i| value >> i & 1 == 1));
        self
    }

    fn bytes(self) -> Vec<u8> {
        assert_eq!(self.0.len(), 40, "a copy of another length");
        let byte =
            |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        self.0.chunks(8).map(byte).collect()
    }
}

/// The last 20 bytes once more: ten and ten (fixed codes, RFC 1951, 3.2.6).
fn copy_20() -> Vec<u8> {
    let ten = |bits: Bits| bits.code(264 - 256, 7).code(8, 5).number(20 - 17, 3);
    ten(ten(Bits::default().number(0, 1).number(1, 2))).code(0, 7).bytes()
}

/// The last 258 bytes once more, and an empty block that may be the last of all.
fn copy_258(is_last: bool) -> Vec<u8> {
    let copied = Bits::default().number(0, 1).number(1, 2);
    let copied = copied.code(0b1100_0000 + 285 - 280, 8).code(16, 5).number(258 - 257, 7);
    copied.code(0, 7).number(is_last.into(), 1).number(1, 2).code(0, 7).bytes()
}

/// The whole archive with this checksum in it.
fn with_sum(sum: u32, salt: u8) -> Vec<u8> {
    // One literal head and the frame are 258 bytes.
    let (l258, l5, l20, l0) = (literal(258), literal(5), literal(20), literal(0));
    let (r20, r258, end) = (copy_20(), copy_258(false), copy_258(true));
    let four = [&l20[..], &r20, &l20, &r20, &l20].concat();
    let body = |head: &[u8], tail: &[u8]| -> Vec<u8> {
        [
            [&l258, head, &l258].concat(),
            r258.clone(),
            [&l5[..], &r258].concat(),
            [&l5[..], &l5].concat(),
            [&l20[..], &r258, &l5, &l5, &l20].concat(),
            r20.clone(),
            four.clone(),
            r20.clone(),
            [&l20[..], &r20, &l0, &l0, &l258].concat(),
            r20.clone(),
            [&l0[..], &l0, &l258, &end, tail].concat(),
            end.clone(),
        ]
        .concat()
    };
    let packed = body(&[0; FRAME], &[0; FRAME]).len();
    let (head, tail) = frame(sum, salt, packed);
    [&head[..], &body(&head, &tail), &tail].concat()
}

/// A local header, and a directory of one entry (APPNOTE 4.3).
fn frame(sum: u32, salt: u8, packed: usize) -> (Vec<u8>, Vec<u8>) {
    let number = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    let short = |value: usize| u16::try_from(value).unwrap().to_le_bytes();
    let name = b"again.zip";
    // Version 2.0, no flags, deflated, no time, the first of January 1980.
    let common = [
        &[20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0][..],
        &sum.to_le_bytes(),
        &number(packed),
        &number(packed + 2 * FRAME),
        &short(name.len()),
    ]
    .concat();
    let padding = FRAME - 30 - name.len();
    let mut extra = vec![0; padding];
    // A field that nobody knows, of our own number.
    extra[..4].copy_from_slice(&[b"DB", &short(padding - 4)[..]].concat());
    let head = [b"PK\x03\x04", &common[..], &short(padding), name, &extra].concat();
    let comment = vec![salt; FRAME - 46 - name.len() - 22];
    let directory =
        [b"PK\x01\x02\x14\0", &common[..], &[0; 2], &[0; 2], &[0; 8], &number(0), name].concat();
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0",
        &number(directory.len())[..],
        &number(FRAME + packed),
        &short(comment.len()),
        &comment,
    ]
    .concat();
    (head, [directory, end].concat())
}

fn crc(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// The checksum of the archive that has just this checksum in it. CRC-32 is linear in
/// its bits: 32 equations, of which each salt gives others.
fn fixed_point(salt: u8) -> Option<u32> {
    let none = crc(&with_sum(0, salt));
    let mut rows: Vec<u64> = vec![0; 32];
    for column in 0..32 {
        let change = crc(&with_sum(1 << column, salt)) ^ none ^ (1 << column);
        for (row, bits) in rows.iter_mut().enumerate() {
            *bits |= u64::from(change >> row & 1) << column;
        }
    }
    for (row, bits) in rows.iter_mut().enumerate() {
        *bits |= u64::from(none >> row & 1) << 32;
    }
    for column in 0..32 {
        let pivot = (column..32).find(|row| rows[*row] >> column & 1 == 1)?;
        rows.swap(column, pivot);
        for row in 0..32 {
            if row != column && rows[row] >> column & 1 == 1 {
                rows[row] ^= rows[column];
            }
        }
    }
    Some(rows.iter().enumerate().fold(0, |sum, (at, row)| sum | ((row >> 32) as u32) << at))
}

pub(super) fn quine() -> Vec<u8> {
    let (salt, sum) = (0..=255).find_map(|salt| Some((salt, fixed_point(salt)?))).unwrap();
    with_sum(sum, salt)
}

#[test]
fn an_archive_that_holds_itself_is_left() {
    let quine = quine();
    let mut archive = zip::ZipArchive::new(Cursor::new(&quine)).unwrap();
    assert_eq!(archive.len(), 1);
    let mut inside = Vec::new();
    archive.by_index(0).unwrap().read_to_end(&mut inside).unwrap();
    assert!(inside == quine, "it does not hold itself");
    assert_eq!(found("again.zip", &quine), ["content.archive_nested"]);
}
