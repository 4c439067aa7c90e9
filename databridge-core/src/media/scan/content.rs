//! Content policy: what a file is, against what its name says, and whether such
//! a thing may pass at all.

mod policy;

pub use self::policy::Policy;
use super::{EngineInfo, Error, Reason, Scanner, Settings, Subject, Verdict};

/// The content checks as an engine. It is no antivirus.
#[derive(Debug, Clone)]
pub struct Content {
    allow_executables: bool,
}

impl Content {
    /// The checks that `settings` ask for.
    pub fn new(settings: &Settings) -> Self {
        Self { allow_executables: settings.policy.allow_executables }
    }
}

/// Counts up when a check is added, so that reports tell which were made.
const VERSION: &str = "1";

impl Scanner for Content {
    fn info(&self) -> Result<EngineInfo, Error> {
        Ok(EngineInfo {
            name: "content".into(),
            version: VERSION.into(),
            signature_version: None,
            signature_date: None,
            antivirus: false,
        })
    }

    fn scan(&self, subject: &Subject<'_>) -> Vec<Verdict> {
        let extension = subject.extension();
        let mut verdicts = Vec::new();
        let mut suspicious = |rule: &str| verdicts.push(Verdict::Suspicious { rule: rule.into() });
        if subject.size_bytes > 0 && matches_extension(subject.head, &extension) == Some(false) {
            suspicious("content_mismatch");
        }
        if !self.allow_executables
            && let Some(rule) = executable(subject.head, &extension)
        {
            suspicious(rule);
        }
        if verdicts.is_empty() {
            verdicts.push(Verdict::not_scanned(Reason::NoAntivirus));
        }
        verdicts
    }
}

/// Whether an extension names media, which no program may hide behind.
#[cfg(feature = "yara")]
pub(super) fn is_media(extension: &str) -> bool {
    !matches!(extension, "zip" | "gz" | "7z") && matches_extension(&[], extension).is_some()
}

/// Whether a file is certainly of a kind in which nothing is packed.
#[cfg(feature = "clamav")]
pub(super) fn is_flat(head: &[u8], extension: &str) -> bool {
    !matches!(extension, "zip" | "usdz" | "gz" | "7z" | "pdf" | "xml" | "md")
        && matches_extension(head, extension) == Some(true)
}

/// Whether the content can be what the extension says; `None` for an extension
/// that we know no marks of.
fn matches_extension(head: &[u8], extension: &str) -> Option<bool> {
    let starts = |marks: &[&[u8]]| marks.iter().any(|mark| head.starts_with(mark));
    let at = |offset: usize, mark: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(mark));
    let within = |end: usize, mark: &[u8]| {
        head[..head.len().min(end)].windows(mark.len()).any(|window| window == mark)
    };
    Some(match extension {
        "exr" => starts(&[b"\x76\x2f\x31\x01"]),
        "dpx" => starts(&[b"SDPX", b"XPDS"]),
        "cin" => starts(&[b"\x80\x2a\x5f\xd7", b"\xd7\x5f\x2a\x80"]),
        // TIFF 6.0 and BigTIFF, either byte order.
        "tif" | "tiff" | "dng" => starts(&[b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]),
        "png" => starts(&[b"\x89PNG\r\n\x1a\n"]),
        "jpg" | "jpeg" => starts(&[b"\xff\xd8\xff"]),
        "gif" => starts(&[b"GIF87a", b"GIF89a"]),
        "psd" | "psb" => starts(&[b"8BPS"]),
        "hdr" => starts(&[b"#?"]),
        // ISO 14496-12 boxes, and those that older QuickTime files begin with.
        "mov" | "mp4" | "m4v" | "m4a" => ["ftyp", "moov", "mdat", "wide", "free", "skip", "pnot"]
            .iter()
            .any(|kind| at(4, kind.as_bytes())),
        // SMPTE ST 377-1: the partition key, after a run-in of at most 64 KiB.
        "mxf" => within(64 << 10, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02"),
        "mkv" | "webm" => starts(&[b"\x1a\x45\xdf\xa3"]),
        "avi" => starts(&[b"RIFF"]) && at(8, b"AVI "),
        "wav" => starts(&[b"RIFF", b"RF64", b"BW64"]) && at(8, b"WAVE"),
        "aif" | "aiff" => starts(&[b"FORM"]) && at(8, b"AIF"),
        "flac" => starts(&[b"fLaC"]),
        // Alembic: Ogawa, or HDF5 in old files.
        "abc" => starts(&[b"Ogawa", b"\x89HDF\r\n\x1a\n"]),
        "usd" => starts(&[b"PXR-USDC", b"#usda"]),
        "usda" => starts(&[b"#usda"]),
        "usdc" => starts(&[b"PXR-USDC"]),
        "vdb" => starts(&[b" BDV"]),
        "pdf" => within(1024, b"%PDF-"),
        "zip" | "usdz" => starts(&[b"PK\x03\x04", b"PK\x05\x06"]),
        "gz" => starts(&[b"\x1f\x8b"]),
        "7z" => starts(&[b"7z\xbc\xaf\x27\x1c"]),
        "txt" | "csv" | "json" | "xml" | "edl" | "ale" | "srt" | "md" => !head.contains(&0),
        _ => return None,
    })
}

/// The rule that refuses a program or script, by content or by name.
fn executable(head: &[u8], extension: &str) -> Option<&'static str> {
    let starts = |marks: &[&[u8]]| marks.iter().any(|mark| head.starts_with(mark));
    if starts(&[b"\x7fELF"]) {
        return Some("executable_elf");
    }
    if is_pe(head) {
        return Some("executable_pe");
    }
    let macho: &[&[u8]] = &[
        b"\xfe\xed\xfa\xce",
        b"\xfe\xed\xfa\xcf",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
        b"\xca\xfe\xba\xbf",
    ];
    if starts(macho) {
        return Some("executable_macho");
    }
    // Radiance pictures begin with "#?", so a lone "#" would not do.
    if starts(&[b"#!", b"\xef\xbb\xbf#!"]) {
        return Some("executable_script");
    }
    let by_name = [
        "bat", "cmd", "com", "dll", "dylib", "exe", "hta", "jar", "js", "jse", "lnk", "msi", "ps1",
        "scr", "sh", "so", "vbe", "vbs", "wsf",
    ];
    by_name.contains(&extension).then_some("executable_name")
}

/// A DOS header that leads to a Windows program, or a bare DOS one whose
/// pointer leads outside what we see.
fn is_pe(head: &[u8]) -> bool {
    if !head.starts_with(b"MZ") {
        return false;
    }
    let Some(pointer) =
        head.get(0x3c..0x40).and_then(|p| p.try_into().ok()).map(u32::from_le_bytes)
    else {
        return false;
    };
    let offset = usize::try_from(pointer).unwrap_or(usize::MAX);
    head.get(offset..).is_none_or(|rest| rest.starts_with(b"PE\0\0") || rest.starts_with(b"NE"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn content_against_extension() {
        let exr = b"\x76\x2f\x31\x01\x02\0\0\0";
        assert_eq!(matches_extension(exr, "exr"), Some(true));
        assert_eq!(matches_extension(exr, "dpx"), Some(false));
        assert_eq!(matches_extension(exr, "nk"), None);
        assert_eq!(matches_extension(b"\0\0\0\x18ftypqt  ", "mov"), Some(true));
        assert_eq!(matches_extension(b"note\n", "txt"), Some(true));
        assert_eq!(matches_extension(b"no\0te", "txt"), Some(false));
    }

    #[test]
    fn programs_are_known_by_content_and_by_name() {
        let mut pe = vec![0; 0x80];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x40;
        pe[0x40..0x44].copy_from_slice(b"PE\0\0");
        assert_eq!(executable(&pe, "exr"), Some("executable_pe"));
        assert_eq!(executable(b"\x7fELF\x02", ""), Some("executable_elf"));
        assert_eq!(executable(b"#!/bin/sh\n", "txt"), Some("executable_script"));
        assert_eq!(executable(b"#?RADIANCE\n", "hdr"), None);
        assert_eq!(executable(b"echo", "bat"), Some("executable_name"));
        assert_eq!(executable(b"MZ is how this note begins", "txt"), None);
    }
}
