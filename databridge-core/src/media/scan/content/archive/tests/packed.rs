//! xz and 7z, written by other people's programs.

use std::io::{Cursor, Write};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lzma_rust2::{XzOptions, XzWriter};
use proptest::prelude::*;
use sevenz_rust2::encoder_options::AesEncoderOptions;
use sevenz_rust2::{ArchiveEntry, ArchiveWriter, EncoderConfiguration, EncoderMethod, Password};

use super::super::super::tests::{NOTHING, found, look, names, samples};
use super::super::super::{Limits, Policy};
use super::{PROGRAM, bzip2_of, gzip_of, tar_of, within, zip_of, zstd_of};
use crate::media::scan::Settings;

pub(super) fn xz_of(content: &[u8]) -> Vec<u8> {
    xz_with(content, 1 << 16)
}

fn xz_with(content: &[u8], dictionary: u32) -> Vec<u8> {
    let mut options = XzOptions::with_preset(1);
    options.lzma_options.dict_size = dictionary;
    let mut xz = XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(content).unwrap();
    xz.finish().unwrap()
}

/// Each entry packed by itself.
fn sevenz_by(methods: Vec<EncoderConfiguration>, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    archive.set_content_methods(methods);
    for (name, content) in entries {
        let entry = ArchiveEntry::new_file(name);
        archive.push_archive_entry(entry, Some(Cursor::new(content))).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

pub(super) fn sevenz_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    sevenz_by(vec![EncoderMethod::LZMA2.into()], entries)
}

/// All of them packed together.
fn solid(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    let files = entries.iter().map(|(name, _)| ArchiveEntry::new_file(name)).collect();
    let contents = entries.iter().map(|(_, content)| Cursor::new(*content).into()).collect();
    archive.push_archive_entries(files, contents).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn xz_is_looked_into() {
    let files: &[(&str, &[u8])] = &[("plates/a.exr", &samples::exr(4)), ("tool", PROGRAM)];
    let (clean, tar) = (tar_of(&files[..1]), tar_of(files));
    let program = &["content.executable"][..];
    let damaged = &["content.archive_damaged"][..];
    let cut = xz_of(&tar);
    for (name, bytes, expected) in [
        ("a.tar.xz", xz_of(&clean), NOTHING),
        ("a.txz", xz_of(&tar), program),
        ("tool.xz", xz_of(PROGRAM), program),
        ("two streams.xz", [xz_of(b"note "), xz_of(b"note")].concat(), NOTHING),
        ("outer.zip", zip_of(&[("inner.tar.xz", &xz_of(&tar))]), program),
        ("a.xz", xz_of(&samples::exr(4))[..60].to_vec(), damaged),
        (
            "flipped.xz",
            {
                let mut bytes = cut;
                let at = bytes.len() / 2;
                bytes[at] ^= 1;
                bytes
            },
            damaged,
        ),
    ] {
        let said = found(name, &bytes);
        assert!(expected.iter().all(|e| said.contains(&(*e).to_owned())), "{name}: {said:?}");
    }
    assert_eq!(found("zeros.xz", &xz_of(&vec![0; 8 << 20])), ["content.archive_bomb"]);
    // It asks for its memory before there is anything in it.
    let greedy = xz_with(b"note", 256 << 20);
    assert_eq!(found("greedy.xz", &greedy), ["limits"]);
}

#[test]
fn sevenz_is_looked_into() {
    let media: &[(&str, &[u8])] = &[("plates/a.exr", &samples::exr(4)), ("a.txt", b"note")];
    let tools: &[(&str, &[u8])] = &[media[0], ("bin/tool", PROGRAM), media[1]];
    let program = &["content.executable"][..];
    let by = |methods: &[EncoderMethod]| {
        sevenz_by(methods.iter().map(|method| (*method).into()).collect(), tools)
    };
    for (name, bytes, expected) in [
        ("a.7z", sevenz_of(media), NOTHING),
        ("solid.7z", solid(media), NOTHING),
        ("b.7z", sevenz_of(tools), program),
        ("solid.7z", solid(tools), program),
        ("lzma.7z", by(&[EncoderMethod::LZMA]), program),
        ("copy.7z", by(&[EncoderMethod::COPY]), program),
        ("bzip2.7z", by(&[EncoderMethod::BZIP2]), program),
        ("deflate.7z", by(&[EncoderMethod::DEFLATE]), program),
        ("bcj.7z", by(&[EncoderMethod::BCJ_X86_FILTER, EncoderMethod::LZMA2]), program),
        ("delta.7z", by(&[EncoderMethod::DELTA_FILTER, EncoderMethod::LZMA2]), program),
        ("outer.zip", zip_of(&[("inner.7z", &solid(tools))]), program),
        ("outer.7z", sevenz_of(&[("inner.zip", &zip_of(tools))]), program),
        ("path.7z", sevenz_of(&[("../../evil", b"x")]), &["content.archive_path"]),
        ("none.7z", sevenz_of(&[]), NOTHING),
        ("bomb.7z", sevenz_of(&[("a", &vec![0; 8 << 20])]), &["content.archive_bomb"]),
    ] {
        assert_eq!(found(name, &bytes), expected, "{name}");
    }
    let said = look(&Settings::default(), "o.zip", &zip_of(&[("i.7z", &solid(tools))]));
    assert_eq!(said[0].why.as_deref(), Some("i.7z!/bin/tool: it is an ELF program"));
    let secret = || AesEncoderOptions::new(Password::from("secret")).into();
    let encrypted = sevenz_by(vec![secret(), EncoderMethod::LZMA2.into()], media);
    assert_eq!(found("a.7z", &encrypted), ["encrypted"]);
    let limits = Limits::default();
    for limits in [Limits { entries: 2, ..limits }, Limits { unpacked_bytes: 50, ..limits }] {
        let said = within(limits, &solid(tools));
        assert_eq!(said.last().unwrap(), "limits", "{limits:?}: {said:?}");
    }
}

/// Written by 7-Zip 26.02 for this test, `7zz a SAMPLE tool note.txt` with these
/// options: an ELF mark and a note.
const BY_7ZIP: &[(&str, &str, &str)] = &[
    (
        "-mhc=off",
        "content.executable",
        "N3q8ryccAATRwGpqGQAAAAAAAABuAAAAAAAAAJkg5A0BABRub3RlCn9FTEYCAQEAAAAAAAAAAAAAAQQGAAEJGQAH
         CwEAASEhAQAMFQAIDQIJBQoBFG/CKEtYGPAAAAUCGQQAAAAAER0AbgBvAHQAZQAuAHQAeAB0AAAAdABvAG8AbAAA
         ABQSAQBUlJ5e23ndAWZFnl7bed0BFQoBACCApIEggKSBAAA=",
    ),
    (
        "-mx=9",
        "content.executable",
        "N3q8ryccAAQtttF+egAAAAAAAAAgAAAAAAAAACg7JGABABRub3RlCn9FTEYCAQEAAAAAAAAAAAAAAACBMweuD8+S
         bmAP6+qcvzY9/nHKUfIBtkKeggGx+PQ0XPDLINgj9bCywvEd4Rl42r8uaRBeTcqUCiSpc2yJtObX2rCNSTirxCru
         PE8j9NqAmnHud/BdZHxgAQrV7gAAABcGGQEJYQAHCwEAASMDAQEFXQAQAAAMbgoBmSDkDQAA",
    ),
    (
        "-ms=off",
        "content.executable",
        "N3q8ryccAAR4oGGCewAAAAAAAAAgAAAAAAAAACJelNsBAARub3RlCgABAA9/RUxGAgEBAAAAAAAAAAAAAAAAgTMH
         rjGpTGQ2d4CiifxPE7L/22CSAp8+DUz1OLWP56/rTQEi7J8Ri9Sq0ipnOSe1f6j8oAzUlE3mqqKArvkwZ9w8tqUK
         rCNMZbhxox9wnzbszLylkGItQbYAAAAXBh0BCV4ABwsBAAEjAwEBBV0AEAAADG4KAVHxaYQAAA==",
    ),
    (
        "-m0=ppmd",
        "content.archive_unopened",
        "N3q8ryccAATx7diodAAAAAAAAAAgAAAAAAAAAI+k+rUAbgM+nffreBGw8hzXAQXWAAAAAACBMweuD88n8IwHyEOA
         g4LivCxurV5NXAw7yZ7uwwDkq+x/rL1fRXBHjYcGqqdvpECPOeiJhxuXM4zb1HZ0vt5/LefOTLrAec18mf522axf
         X/oAMwLTPNG0/3ZydocAABcGEwEJYQAHCwEAASMDAQEFXQAQAAAMbgoBY82oOwAA",
    ),
    (
        "-psecret",
        "encrypted",
        "N3q8ryccAASYYNtMnAAAAAAAAAAhAAAAAAAAALaruHznG4FqhnLA6I5m3aUaT8+t0CogaGZJmyt/aBk22PrpUgAA
         gTMHrg/QDrA8nzkQnJ+m1TPasi6wl2bVl2GOFmtYMgQR+uRgOiZyzrojocG6PIDJd/sp65zqZbIHU4DZn8CRhJvx
         YsX1qF5c+yUQusR4k8TEADgnu0hDZIWpUJNj1E/bZMUTAZefL4Fwa52C2wcw2MXVwnsB744AAAAXBiABCXwABwsB
         AAEjAwEBBV0AEAAADICOCgGFQZ2wAAA=",
    ),
    (
        "-psecret -mhe=on",
        "encrypted",
        "N3q8ryccAASLiGcroAAAAAAAAAA9AAAAAAAAAEfhULCHpVbIyIzG4rcgoMqjltSviV/5kF7q+wWFChkZxu13ymTJ
         D9E9vj12v0fHReNjunMAMJoNmVOcFfT/lpYXKwkhBYc9LT/1ef0uy3vlgPlkv+l8NFQp7+KX1lQvvP3wl9qvOgCi
         izaX/8GSgmbt/8q5ysFFekNzISj+0J3PqMwTWP/Ek7uMSNVs8AfxUTY4+QAD8Fc3SvOe1/8EXEKILawwFwYgAQmA
         gAAHCwEAAiQG8QcBElMPjjMInGVVPxOciU4nLbAKziMDAQEFXQAQAAABAAx8gI4KAfhxkagAAA==",
    ),
    (
        "-m0=bcj2 -m1=lzma -m2=lzma -m3=lzma -mb0:1 -mb0s1:2 -mb0s2:3",
        "content.archive_unopened",
        "N3q8ryccAAT1Vuq5mwAAAAAAAAAhAAAAAAAAAK/kIg8ANxvK7uHex5jcDaYBs9+HqIAAAAAAAAAAAAAAAAAAAAAA
         AACBMweubb+aevTSiyOW7aIFZPMtw9NbWg+W//b+IzWspIYL1mAnvo+wslBYnMYV58bZ2JnV8sZ5tzN6W8L/eg9d
         hL0n865zAED8xppjnSjAUnIQmFCCJa88UGCsV8Nqt45PqvoAMJGdwaVNanIszeHnyXJ40TUAABcGIgEJeQAHCwEA
         ASMDAQEFXQAQAAAMgJ4KAendb2kAAA==",
    ),
];

#[test]
fn what_7zip_itself_writes_is_looked_into() {
    for (options, expected, base64) in BY_7ZIP {
        let bytes = BASE64.decode(base64.replace(['\n', ' '], "")).unwrap();
        assert_eq!(found("a.7z", &bytes), [*expected], "{options}");
    }
}

#[test]
fn a_damaged_7z_is_named() {
    let whole = solid(&[("a.txt", b"some text that is long enough to be packed"), ("b", b"b")]);
    let mut flipped = whole.clone();
    flipped[40] ^= 0x55;
    for bytes in [&whole[..whole.len() - 3], &whole[..20], &flipped] {
        assert_eq!(found("a.7z", bytes), ["content.archive_damaged"]);
    }
}

/// Puts the checksums right, so that what was changed is read.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = |bytes: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        sum.sum().to_le_bytes()
    };
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap()) as usize;
    let (at, length) = (32 + number(&bytes[12..20]), number(&bytes[20..28]));
    let Some(list) = bytes.get(at..at.saturating_add(length)) else { return bytes };
    let list = sum(list);
    bytes[28..32].copy_from_slice(&list);
    let start = sum(&bytes[12..32]);
    bytes[8..12].copy_from_slice(&start);
    bytes
}

/// One sample of each way to pack; their lists can be reached by a change, too.
static SAMPLES: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let files: &[(&str, &[u8])] = &[("x/a.exr", &samples::exr(2)), ("b.txt", b"text")];
    let by = |method: EncoderMethod| sevenz_by(vec![method.into()], files);
    vec![
        ("a.7z", solid(files)),
        ("a.7z", sevenz_of(files)),
        ("a.7z", by(EncoderMethod::LZMA)),
        ("a.7z", by(EncoderMethod::BZIP2)),
        ("a.7z", BASE64.decode(BY_7ZIP[0].2.replace(['\n', ' '], "")).unwrap()),
        ("a.7z", BASE64.decode(BY_7ZIP[1].2.replace(['\n', ' '], "")).unwrap()),
        ("a.tar.xz", xz_of(&tar_of(files))),
    ]
});

proptest! {
    /// And comes to an end: damaged LZMA2 once did not.
    #[test]
    fn what_was_changed_is_judged(
        which in 0..SAMPLES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (name, mut bytes) = SAMPLES[which].clone();
        let end = bytes.len() - 32;
        for (at, with) in changes {
            bytes[32 + at.index(end)] = with;
        }
        if name == "a.7z" {
            bytes = sealed(bytes);
        }
        let archives = Limits { depth: 3, entries: 100, unpacked_bytes: 1 << 20, ratio: 100 };
        let content = Policy { archives, ..Policy::default() };
        let settings = Settings { content, ..Settings::default() };
        prop_assert!(!names(&look(&settings, name, &bytes)).is_empty());
    }
}

#[test]
fn what_hangs_on_the_end_of_a_stream_is_not_passed_over() {
    let note = b"a note ";
    let hung = zip_of(&[("tool", PROGRAM)]);
    for (name, bytes) in [
        ("a.tar", tar_of(&[("a.txt", note)])),
        ("a.gz", gzip_of(note)),
        ("a.bz2", bzip2_of(note)),
        ("a.zst", zstd_of(note)),
        ("a.xz", xz_of(note)),
    ] {
        assert_eq!(found(name, &bytes), NOTHING, "{name}");
        let mut found = found(name, &[bytes, hung.clone()].concat());
        found.sort_unstable();
        assert_eq!(found, ["content.archive_damaged", "limits"], "{name}");
    }
}
