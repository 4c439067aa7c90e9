//! Whatever the bytes: no panic, no way past the limits.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::super::tests::{found, look, samples};
use super::super::super::{Limits, Policy};
use super::packed::{sevenz_of, xz_of};
use super::{gzip_of, tar_of, zip_of};
use crate::media::scan::Settings;

const NAMES: &[&str] = &[
    "a.exr", "a.dpx", "a.tif", "a.png", "a.jpg", "a.mov", "a.mxf", "a.wav", "a.zip", "a.tar",
    "a.gz", "a.bz2", "a.zst", "a.xz", "a.7z", "a.usd", "a.pdf", "a", "a.exe", "a.txt",
];

/// One sample of every kind that is looked into.
fn sample() -> impl Strategy<Value = Vec<u8>> {
    let files: &[(&str, &[u8])] = &[("x/a.exr", &samples::exr(2)), ("b.txt", b"text")];
    prop::sample::select(vec![
        samples::exr(3),
        samples::mov(),
        samples::mxf(9),
        samples::dpx(),
        samples::png(),
        samples::jpeg(),
        samples::tiff(),
        samples::wav(),
        zip_of(files),
        tar_of(files),
        gzip_of(&tar_of(files)),
        zip_of(&[("in.zip", &zip_of(files))]),
        xz_of(&tar_of(files)),
        sevenz_of(files),
    ])
}

fn small() -> Settings {
    let archives = Limits { depth: 3, entries: 100, unpacked_bytes: 1 << 20, ratio: 100 };
    Settings { content: Policy { archives, ..Policy::default() }, ..Settings::default() }
}

proptest! {
    #[test]
    fn any_bytes_are_judged(name in prop::sample::select(NAMES), bytes in vec(any::<u8>(), 0..3000)) {
        prop_assert!(!look(&small(), name, &bytes).is_empty());
    }

    #[test]
    fn changed_samples_are_judged(
        name in prop::sample::select(NAMES),
        bytes in sample(),
        changes in vec((any::<prop::sample::Index>(), prop_oneof![Just(0xff_u8), Just(0), any::<u8>()]), 0..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes;
        for (at, with) in changes {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert!(!look(&small(), name, &bytes).is_empty());
    }

    #[test]
    fn a_program_is_found_wherever_it_is_packed(
        before in vec(("[a-z]{1,20}\\.txt", "[a-z ]{1,400}"), 0..6),
        packers in vec(0..5_usize, 1..4),
    ) {
        let mut content = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let mut name = "tool".to_owned();
        for &packer in &packers {
            let mut entries: Vec<(&str, &[u8])> = Vec::new();
            for (i, (name, text)) in before.iter().enumerate() {
                if before[..i].iter().all(|(other, _)| other != name) {
                    entries.push((name.as_str(), text.as_bytes()));
                }
            }
            entries.push((&name, &content));
            (content, name) = match packer {
                0 => (zip_of(&entries), "in.zip".to_owned()),
                1 => (tar_of(&entries), "in.tar".to_owned()),
                2 => (gzip_of(&tar_of(&entries)), "in.tgz".to_owned()),
                3 => (xz_of(&tar_of(&entries)), "in.txz".to_owned()),
                _ => (sevenz_of(&entries), "in.7z".to_owned()),
            };
        }
        let mut found = found(&name, &content);
        // A ZIP that is packed by not packing it is one as it stands, too.
        if packers.iter().any(|packer| matches!(packer, 2 | 3)) {
            found.retain(|found| found != "limits");
        }
        prop_assert_eq!(found, ["content.executable"]);
    }

    #[test]
    fn every_cut_of_a_picture_is_noticed(lines in 1..20_u32, cut in any::<prop::sample::Index>()) {
        let whole = samples::exr(lines);
        let length = 8 + cut.index(whole.len() - 8);
        let said = found("a.exr", &whole[..length]);
        prop_assert_eq!(said, ["content.exr_truncated"]);
    }
}
