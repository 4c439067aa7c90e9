use super::super::super::{HEAD_BYTES, Members, Scanner, Settings, Subject};
use super::super::Content;
use super::{NOTHING, found, names, samples};
use crate::media::storage::RelPath;

fn cut(mut bytes: Vec<u8>, by: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() - by);
    bytes
}

fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

#[test]
fn what_ends_early_or_says_what_cannot_be() {
    let window = samples::exr(4).windows(10).position(|w| w == b"dataWindow").unwrap();
    let table = samples::exr(4).len() - 4 * 32;
    let truncated = |kind: &str| format!("content.{kind}_truncated");
    let damaged = |kind: &str| format!("content.{kind}_damaged");
    let no_moov = samples::mov()[..20 + 72].to_vec();
    for (name, bytes, expected) in [
        ("a.exr", samples::exr(4), None),
        ("last chunk.exr", cut(samples::exr(4), 1), Some(truncated("exr"))),
        ("in the table.exr", samples::exr(4)[..table + 9].to_vec(), Some(truncated("exr"))),
        ("in the header.exr", samples::exr(4)[..40].to_vec(), Some(truncated("exr"))),
        ("never written.exr", patched(samples::exr(4), table + 8, &[0; 8]), Some(truncated("exr"))),
        ("points back.exr", patched(samples::exr(4), table, &[1]), Some(damaged("exr"))),
        ("version.exr", patched(samples::exr(4), 4, &[9]), Some(damaged("exr"))),
        ("window.exr", patched(samples::exr(4), window + 33, &[0xff; 4]), Some(damaged("exr"))),
        ("a.mov", samples::mov(), None),
        ("cut.mov", cut(samples::mov(), 4), Some(truncated("mov"))),
        ("no moov.mp4", no_moov, Some(truncated("mov"))),
        ("no box.mov", [samples::mov(), vec![1; 16]].concat(), Some(damaged("mov"))),
        (
            "short box.mov",
            [samples::mov(), b"\0\0\0\x02free".to_vec()].concat(),
            Some(damaged("mov")),
        ),
        ("a.mxf", samples::mxf(0), None),
        ("run-in.mxf", samples::mxf(300), None),
        ("no footer.mxf", cut(samples::mxf(0), 120), Some(truncated("mxf"))),
        ("open.mxf", samples::mxf(0)[..150].to_vec(), Some(truncated("mxf"))),
        ("a.dpx", samples::dpx(), None),
        ("cut.dpx", cut(samples::dpx(), 1), Some(truncated("dpx"))),
        ("a.png", samples::png(), None),
        ("cut.png", cut(samples::png(), 1), Some(truncated("png"))),
        ("headless.png", patched(samples::png(), 12, b"JUNK"), Some(damaged("png"))),
        ("a.jpg", samples::jpeg(), None),
        ("cut.jpg", cut(samples::jpeg(), 1), Some(truncated("jpeg"))),
        ("a.tif", samples::tiff(), None),
        ("cut.tif", cut(samples::tiff(), 1), Some(truncated("tiff"))),
        ("far.tif", patched(samples::tiff(), 4, &[0xff]), Some(truncated("tiff"))),
        ("a.wav", samples::wav(), None),
        ("cut.wav", cut(samples::wav(), 1), Some(truncated("wav"))),
        ("streamed.wav", patched(samples::wav(), 4, &[0xff; 4]), None),
    ] {
        let expected = expected.unwrap_or_else(|| "no_antivirus".to_owned());
        assert_eq!(found(name, &bytes), [expected], "{name}");
    }
}

#[test]
fn a_large_file_is_checked_by_reading_where_it_must() {
    let bytes = samples::exr(9000);
    assert!(bytes.len() > 4 * HEAD_BYTES);
    let look = |length: usize| {
        use std::io::Write;
        let path = RelPath::parse("a.exr").unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes[..length]).unwrap();
        let subject = Subject {
            path: &path,
            file: &file,
            size_bytes: length as u64,
            head: &bytes[..HEAD_BYTES],
            whole: None,
            members: &Members::default(),
            timeout: std::time::Duration::from_secs(60),
            monitor: &(),
        };
        names(&Content::new(&Settings::default()).explain(&subject))
    };
    assert_eq!(look(bytes.len()), NOTHING);
    assert_eq!(look(bytes.len() - 1), ["content.exr_truncated"]);
}

#[test]
fn tiles_and_parts_are_counted() {
    let tiled = |mode: u8, chunks: u64| {
        let mut bytes = b"\x76\x2f\x31\x01\x02\x02\0\0".to_vec();
        let window = [[0; 4], [0; 4], 99_u32.to_le_bytes(), 49_u32.to_le_bytes()].concat();
        samples::attribute(&mut bytes, "dataWindow", "box2i", &window);
        let tiles = [&32_u32.to_le_bytes()[..], &32_u32.to_le_bytes(), &[mode]].concat();
        samples::attribute(&mut bytes, "tiles", "tiledesc", &tiles);
        bytes.push(0);
        let first = bytes.len() as u64 + 8 * chunks;
        for tile in 0..chunks {
            bytes.extend_from_slice(&(first + tile * 24).to_le_bytes());
        }
        for _ in 0..chunks {
            bytes.extend_from_slice(&[&[0; 16][..], &4_u32.to_le_bytes(), b"tile"].concat());
        }
        found("a.exr", &bytes)
    };
    // 100 × 50 in tiles of 32: 4 × 2; halved, rounded down: 2 × 1, and five of 1.
    assert_eq!(tiled(0, 8), NOTHING);
    assert_eq!(tiled(1, 8 + 2 + 5), NOTHING);
    assert_eq!(tiled(1, 8), ["content.exr_truncated"]);
    // All pairs of 7 widths and 6 heights: (4 + 2 + 5) × (2 + 5).
    assert_eq!(tiled(2, 11 * 7), NOTHING);
}
