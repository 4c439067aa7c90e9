//! Programs and scripts, by content and by name.

/// What an allow-list calls them.
pub(super) const KIND: &str = "program";

const MACHO: &[&[u8]] = &[
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"\xca\xfe\xba\xbf",
];

/// The identifier of the Shell Link class, after the length of its header.
const LNK: &[u8] = b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46";

/// What program content is.
pub(super) fn by_content(head: &[u8]) -> Option<&'static str> {
    let starts = |marks: &[&[u8]]| marks.iter().any(|mark| head.starts_with(mark));
    // Radiance pictures begin with "#?", so a lone "#" would not do.
    Some(match () {
        () if starts(&[b"\x7fELF"]) => "an ELF program",
        () if is_pe(head) => "a Windows program",
        () if starts(MACHO) => "a Mach-O program or Java class",
        () if starts(&[b"#!", b"\xef\xbb\xbf#!"]) => "a script with an interpreter line",
        () if starts(&[b"dex\n"]) => "an Android program",
        () if starts(&[b"\0asm"]) => "a WebAssembly program",
        () if starts(&[LNK]) => "a Windows shortcut",
        () => return None,
    })
}

/// Whether a name is one that a desktop runs.
pub(super) fn by_name(extension: &str) -> bool {
    const NAMES: &[&str] = &[
        "app", "appimage", "bash", "bat", "cmd", "com", "cpl", "deb", "desktop", "dll", "dylib",
        "exe", "hta", "jar", "js", "jse", "ksh", "lnk", "msi", "msp", "ps1", "psm1", "reg", "rpm",
        "scf", "scr", "sh", "so", "url", "vbe", "vbs", "wsf", "wsh",
    ];
    NAMES.contains(&extension)
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
    fn programs_are_known_by_content() {
        let mut pe = [0; 0x80];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x40;
        pe[0x40..0x44].copy_from_slice(b"PE\0\0");
        for (head, found) in [
            (&pe[..], true),
            (b"\x7fELF\x02", true),
            (b"#!/bin/sh\n", true),
            (b"\xcf\xfa\xed\xfe", true),
            (LNK, true),
            (b"#?RADIANCE\n", false),
            (b"MZ is how this note begins", false),
        ] {
            assert_eq!(by_content(head).is_some(), found, "{head:?}");
        }
        assert!(by_name("bat") && !by_name("exr"));
    }
}
