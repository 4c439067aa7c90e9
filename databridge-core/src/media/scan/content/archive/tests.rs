#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Archives made here, good ones and such as nobody should unpack.

mod cancel;
mod mutations;
mod packed;
mod quine;

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{AesMode, CompressionMethod};

use super::super::tests::{NOTHING, found, look, names, samples};
use super::super::{Limits, Policy};
use crate::media::scan::Settings;

pub(super) fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, content) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub(super) fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = header(name, tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A header with a name that the crate itself would refuse to write.
fn header(name: &str, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(0);
    header.set_cksum();
    header
}

pub(super) fn gzip_of(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

fn zstd_of(content: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
}

fn bzip2_of(content: &[u8]) -> Vec<u8> {
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(content).unwrap();
    bzip2.finish().unwrap()
}

const PROGRAM: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0";

#[test]
fn what_is_inside_is_looked_at() {
    let files: &[(&str, &[u8])] = &[("plates/a.exr", &samples::exr(4)), ("tool", PROGRAM)];
    let media: &[(&str, &[u8])] = &[("plates/a.exr", &samples::exr(4)), ("a.txt", b"note")];
    let (tar, zip) = (tar_of(files), zip_of(files));
    let again = [&b"\x51\x2a\x4d\x18\x04\0\0\0skip"[..], &zstd_of(b"note ")].concat();
    let program = &["content.executable"][..];
    for (name, bytes, expected) in [
        ("a.zip", zip_of(media), NOTHING),
        ("a.tar", tar_of(media), NOTHING),
        ("a.tar.gz", gzip_of(&tar_of(media)), NOTHING),
        ("a.zip", zip.clone(), program),
        ("a.usdz", zip.clone(), program),
        ("a.tar", tar.clone(), program),
        ("a.tgz", gzip_of(&tar), program),
        ("a.tar.bz2", bzip2_of(&tar), program),
        ("a.tar.zst", zstd_of(&tar), program),
        ("tool.gz", gzip_of(PROGRAM), program),
        ("two frames.zst", [zstd_of(b"note "), again.clone()].concat(), NOTHING),
        ("outer.zip", zip_of(&[("inner.tgz", &gzip_of(&tar))]), program),
        ("two members.gz", [gzip_of(b"note "), gzip_of(b"note")].concat(), NOTHING),
        ("after the end.tar", [tar_of(media), vec![0; 10_240], tar.clone()].concat(), program),
        (
            "cut.exr in.zip",
            zip_of(&[("a.exr", &samples::exr(4)[..150])]),
            &["content.exr_truncated"],
        ),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), &["content.archive_damaged"]),
        ("a.rar", b"Rar!\x1a\x07\x01\0".to_vec(), &["content.archive_unopened"]),
        ("a.iso", [&[0; 0x8001][..], b"CD001\x01\0"].concat(), &["content.archive_unopened"]),
    ] {
        assert_eq!(found(name, &bytes), expected, "{name}");
    }
    let said = look(&Settings::default(), "o.zip", &zip_of(&[("i.tgz", &gzip_of(&tar))]));
    assert_eq!(said[0].why.as_deref(), Some("i.tgz!/tool: it is an ELF program"));
    let said = look(&Settings::default(), "a.rar", b"Rar!\x1a\x07\x01\0");
    let why = "a.rar is RAR, which is not opened: nobody may write a free decoder of it";
    assert_eq!(said[0].why.as_deref(), Some(why));
}

#[test]
fn names_and_types_that_nobody_should_unpack() {
    let mut symlink = header("escape", tar::EntryType::Symlink);
    symlink.set_link_name("/etc/shadow").unwrap();
    symlink.set_cksum();
    let device = header("null", tar::EntryType::Char);
    let with_header = |header: &tar::Header| [header.as_bytes().as_slice(), &[0; 1024]].concat();
    let mut linked = ZipWriter::new(Cursor::new(Vec::new()));
    linked.add_symlink("here", "../../etc", SimpleFileOptions::default()).unwrap();
    let linked = linked.finish().unwrap().into_inner();
    let path = &["content.archive_path"][..];
    for (name, bytes, expected) in [
        ("a.tar", tar_of(&[("../../evil", b"x")]), path),
        ("a.tar", tar_of(&[("/etc/cron.d/evil", b"x")]), path),
        ("a.tar", tar_of(&[("new\nline", b"x")]), path),
        ("a.zip", zip_of(&[("..\\..\\evil.txt", b"x")]), path),
        ("a.zip", zip_of(&[("C:/evil.txt", b"x")]), path),
        ("a.zip", zip_of(&[("fine..name/..x/a.txt", b"x")]), NOTHING),
        ("a.tar", with_header(&symlink), &["content.archive_link"]),
        ("a.zip", linked, &["content.archive_link"]),
        ("a.tar", with_header(&device), &["content.archive_special"]),
    ] {
        assert_eq!(found(name, &bytes), expected, "{name}");
    }
}

#[test]
fn a_long_name_counts_as_much_as_a_short_one() {
    let mut tar = tar::Builder::new(Vec::new());
    let content = b"../".repeat(60);
    let mut long = header("././@LongLink", tar::EntryType::GNULongName);
    long.set_size(content.len() as u64);
    long.set_cksum();
    tar.append(&long, &content[..]).unwrap();
    tar.append(&header("short", tar::EntryType::Regular), &b""[..]).unwrap();
    assert_eq!(found("a.tar", &tar.into_inner().unwrap()), ["content.archive_path"]);
}

#[test]
fn bombs_are_stopped() {
    let zeros = vec![0; 8 << 20];
    let bomb = zip_of(&[("a", &zeros), ("b", &zeros)]);
    for (name, bytes) in [
        ("a.zip", bomb.clone()),
        ("a.gz", gzip_of(&zeros)),
        ("a.tar.gz", gzip_of(&tar_of(&[("a", &zeros)]))),
        ("deep.zip", zip_of(&[("a.zip", &zip_of(&[("b.zip", &bomb)]))])),
    ] {
        assert_eq!(found(name, &bytes), ["content.archive_bomb"], "{name}");
    }
}

fn within(archives: Limits, bytes: &[u8]) -> Vec<String> {
    let content = Policy { archives, ..Policy::default() };
    names(&look(&Settings { content, ..Settings::default() }, "a.zip", bytes))
}

#[test]
fn beyond_a_limit_nothing_is_said_to_be_looked_at() {
    let limits = Limits::default();
    let noise: Vec<u8> =
        (0..100_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let files = zip_of(&[("a", &noise), ("b", &noise)]);
    assert_eq!(within(limits, &files), NOTHING);
    assert_eq!(within(Limits { entries: 1, ..limits }, &files), ["limits"]);
    assert_eq!(within(Limits { unpacked_bytes: 500_000, ..limits }, &files), ["limits"]);
    let nested = (0..3).fold(files, |inner, _| zip_of(&[("a.zip", &inner)]));
    assert_eq!(within(limits, &nested), NOTHING);
    assert_eq!(within(Limits { depth: 3, ..limits }, &nested), ["content.archive_nested"]);
}

#[test]
fn an_archive_without_an_end_is_left() {
    let nested = (0..50).fold(b"x".to_vec(), |inner, i| {
        if i % 2 == 0 { zip_of(&[("a", &inner)]) } else { gzip_of(&inner) }
    });
    // What gzip could not make smaller is a ZIP as it stands, too.
    assert_eq!(found("a.gz", &nested), ["limits", "content.archive_nested"]);
}

/// Entries that share their data: 42 entries, one of them real.
#[test]
fn entries_over_each_other_are_named() {
    let one = zip_of(&[("a0", &[b'x'; 1000])]);
    let directory = super::super::find(&one, b"PK\x01\x02").unwrap();
    let end = super::super::find(&one, b"PK\x05\x06").unwrap();
    let mut bytes = one[..directory].to_vec();
    for i in 0..42_u8 {
        let mut entry = one[directory..end].to_vec();
        entry[46] = b'a' + i / 26;
        entry[47] = b'a' + i % 26;
        bytes.extend_from_slice(&entry);
    }
    let mut last = one[end..].to_vec();
    last[8..10].copy_from_slice(&42_u16.to_le_bytes());
    last[10..12].copy_from_slice(&42_u16.to_le_bytes());
    let length = u32::try_from(42 * (end - directory)).unwrap();
    last[12..16].copy_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&last);
    assert_eq!(found("a.zip", &bytes)[0], "content.archive_overlap");
}

#[test]
fn two_entries_of_one_name_are_named() {
    let mut bytes = zip_of(&[("a.txt", b"shown"), ("b.txt", b"hidden")]);
    while let Some(at) = super::super::find(&bytes, b"b.txt") {
        bytes[at] = b'a';
    }
    assert_eq!(found("a.zip", &bytes), ["content.archive_duplicate"]);
}

#[test]
fn what_is_encrypted_is_not_scanned() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().with_aes_encryption(AesMode::Aes256, "secret");
    zip.start_file("a.exr", options).unwrap();
    zip.write_all(&samples::exr(4)).unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    assert_eq!(found("a.zip", &bytes), ["encrypted"]);
}

#[test]
fn what_is_broken_is_named() {
    let zip = zip_of(&[("a.txt", b"some text that is long enough to be packed, packed, packed")]);
    let mut flipped = zip.clone();
    flipped[40] ^= 0x55;
    let tar = tar_of(&[("a.txt", b"text")]);
    for (name, bytes) in [
        ("cut.zip", zip[..zip.len() - 10].to_vec()),
        ("flipped.zip", flipped),
        ("cut.gz", gzip_of(&samples::exr(4))[..50].to_vec()),
        ("no header.tar", [&tar[..1024], &[1; 512]].concat()),
    ] {
        let said = found(name, &bytes);
        assert!(said.contains(&"content.archive_damaged".to_owned()), "{name}: {said:?}");
    }
}

#[test]
fn what_is_said_once_is_not_lost_among_what_is_said_often() {
    let many: Vec<_> = (0..150).map(|n| format!("{n:03}.exr")).collect();
    let mut files: Vec<(&str, &[u8])> =
        many.iter().map(|name| (name.as_str(), &b"a note"[..])).collect();
    files.extend([("tool", PROGRAM), ("../note.txt", b"a note")]);
    let said = look(&Settings::default(), "a.zip", &zip_of(&files));
    let names = names(&said);
    for rule in ["content.extension_mismatch", "content.executable", "content.archive_path"] {
        assert!(names.iter().any(|name| name == rule), "{rule}: {names:?}");
    }
    assert_eq!(said.len(), 103);
    let why = said[0].why.as_deref().unwrap();
    assert!(why.ends_with(" (and 49 findings more)"), "{why}");
}

#[test]
fn no_name_is_told_longer_than_anybody_reads() {
    let name = format!("../{}", "\u{1}x".repeat(20_000));
    let inner = zip_of(&[(&name, b"note")]);
    for bytes in [inner.clone(), zip_of(&[(&name, &inner), ("tool", PROGRAM)])] {
        for said in look(&Settings::default(), "a.zip", &bytes) {
            let why = said.why.unwrap();
            assert!(why.len() < 5000, "{}: {}", why.len(), &why[..200]);
        }
    }
}
