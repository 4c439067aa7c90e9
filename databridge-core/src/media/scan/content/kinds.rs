//! What files there are: the marks they begin with and the extensions they bear.
//!
//! A table of our own, since what matters here is whether content can be what a
//! name says, also for formats of film that general tables lack.

/// What a kind is used for. Allow-lists may name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Image,
    Video,
    Audio,
    Scene,
    Color,
    Edit,
    Text,
    Document,
    Archive,
}

impl Family {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Scene => "scene",
            Self::Color => "color",
            Self::Edit => "edit",
            Self::Text => "text",
            Self::Document => "document",
            Self::Archive => "archive",
        }
    }
}

/// Marks that content must show.
#[derive(Clone, Copy)]
enum Marks {
    /// It begins with one of these.
    Starts(&'static [&'static [u8]]),
    /// It has one of these at an offset.
    At(usize, &'static [&'static [u8]]),
    /// Both the first at the start and one of the others at an offset.
    Container(&'static [&'static [u8]], usize, &'static [&'static [u8]]),
    /// Somewhere in so many first bytes.
    Within(usize, &'static [u8]),
    /// Text.
    Text,
    /// None that we know.
    None,
}

/// A kind of file.
pub(super) struct Kind {
    pub name: &'static str,
    pub family: Family,
    pub extensions: &'static [&'static str],
    marks: Marks,
}

use Family::{Archive, Audio, Color, Document, Edit, Image, Scene, Text, Video};
use Marks::{At, Container, Starts, Within};

const fn kind(
    name: &'static str,
    family: Family,
    extensions: &'static [&'static str],
    marks: Marks,
) -> Kind {
    Kind { name, family, extensions, marks }
}

const ZIP: &[&[u8]] = &[b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"];
const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    kind("exr", Image, &["exr", "sxr"], Starts(&[b"\x76\x2f\x31\x01"])),
    kind("dpx", Image, &["dpx"], Starts(&[b"SDPX", b"XPDS"])),
    kind("cineon", Image, &["cin"], Starts(&[b"\x80\x2a\x5f\xd7", b"\xd7\x5f\x2a\x80"])),
    // TIFF 6.0 and BigTIFF, either byte order.
    kind("tiff", Image, &["tif", "tiff", "tx", "tex", "dng", "arw", "nef", "cr2"],
        Starts(&[b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])),
    kind("png", Image, &["png"], Starts(&[b"\x89PNG\r\n\x1a\n"])),
    kind("jpeg", Image, &["jpg", "jpeg", "jpe"], Starts(&[b"\xff\xd8\xff"])),
    kind("jpeg2000", Image, &["jp2", "j2k", "j2c", "jpx"],
        Starts(&[b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"])),
    kind("gif", Image, &["gif"], Starts(&[b"GIF87a", b"GIF89a"])),
    kind("webp", Image, &["webp"], Container(&[b"RIFF"], 8, &[b"WEBP"])),
    kind("heif", Image, &["heic", "heif", "avif"],
        At(4, &[b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1", b"ftypavi"])),
    kind("photoshop", Image, &["psd", "psb"], Starts(&[b"8BPS"])),
    kind("radiance", Image, &["hdr", "rgbe"], Starts(&[b"#?"])),
    kind("sgi", Image, &["sgi", "rgb", "rgba", "bw"], Starts(&[b"\x01\xda"])),
    kind("arriraw", Image, &["ari"], Starts(&[b"ARRI"])),
    kind("targa", Image, &["tga"], Marks::None),
    // Partition pack of SMPTE ST 377-1, after a run-in of at most 64 KiB.
    kind("mxf", Video, &["mxf"], Within(64 << 10, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02")),
    // ISO 14496-12 boxes, and those that older QuickTime files begin with.
    kind("mov", Video, &["mov", "mp4", "m4v", "m4a", "qt", "braw", "crm"],
        At(4, &[b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp"])),
    kind("r3d", Video, &["r3d"], At(4, &[b"RED1", b"RED2"])),
    kind("matroska", Video, &["mkv", "webm", "mka"], Starts(&[b"\x1a\x45\xdf\xa3"])),
    kind("avi", Video, &["avi"], Container(&[b"RIFF"], 8, &[b"AVI "])),
    kind("mpeg", Video, &["mpg", "mpeg"], Starts(&[b"\0\0\x01\xba", b"\0\0\x01\xb3"])),
    kind("mpeg_ts", Video, &["ts", "m2ts", "mts"], Marks::None),
    kind("wav", Audio, &["wav", "bwf"], Container(&[b"RIFF", b"RF64", b"BW64"], 8, &[b"WAVE"])),
    kind("aiff", Audio, &["aif", "aiff", "aifc"], Container(&[b"FORM"], 8, &[b"AIFF", b"AIFC"])),
    kind("flac", Audio, &["flac"], Starts(&[b"fLaC"])),
    kind("ogg", Audio, &["ogg", "oga", "ogv", "opus"], Starts(&[b"OggS"])),
    kind("mp3", Audio, &["mp3"], Starts(&[b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2"])),
    kind("caf", Audio, &["caf"], Starts(&[b"caff"])),
    // Alembic: Ogawa, or HDF5 in old files.
    kind("alembic", Scene, &["abc"], Starts(&[b"Ogawa", b"\x89HDF\r\n\x1a\n"])),
    kind("usdc", Scene, &["usd", "usdc"], Starts(&[b"PXR-USDC"])),
    kind("usda", Scene, &["usd", "usda"], Starts(&[b"#usda"])),
    kind("vdb", Scene, &["vdb"], Starts(&[b" BDV"])),
    kind("fbx", Scene, &["fbx"], Starts(&[b"Kaydara FBX Binary", b"; FBX"])),
    kind("gltf", Scene, &["glb"], Starts(&[b"glTF"])),
    kind("maya_binary", Scene, &["mb"], Starts(&[b"FOR4", b"FOR8"])),
    kind("maya_ascii", Scene, &["ma"], Starts(&[b"//Maya ASCII", b"//Maya"])),
    kind("blender", Scene, &["blend"], Starts(&[b"BLENDER", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"])),
    kind("houdini", Scene, &["hip", "hiplc", "hipnc"], Starts(&[b"070707"])),
    kind("houdini_asset", Scene, &["hda", "otl", "hdalc", "hdanc", "bgeo", "sc"], Marks::None),
    kind("pdf", Document, &["pdf"], Within(1024, b"%PDF-")),
    kind("ole", Document, &["doc", "xls", "ppt", "msg", "max"], Starts(&[OLE])),
    kind("aaf", Edit, &["aaf"], Starts(&[OLE, b"\x41\x41\x46\x42"])),
    kind("rtf", Document, &["rtf"], Starts(&[b"{\\rt"])),
    kind("usdz", Scene, &["usdz"], Starts(&[b"PK\x03\x04"])),
    kind("office", Document, &["docx", "docm", "xlsx", "xlsm", "pptx", "pptm", "odt", "ods", "odp"],
        Starts(ZIP)),
    kind("zip", Archive, &["zip", "cbz", "kra", "ora", "3mf"], Starts(ZIP)),
    kind("tar", Archive, &["tar"], At(257, &[b"ustar"])),
    kind("gzip", Archive, &["gz", "tgz", "prproj"], Starts(&[b"\x1f\x8b"])),
    kind("bzip2", Archive, &["bz2", "tbz2", "tbz"], Starts(&[b"BZh"])),
    kind("zstd", Archive, &["zst", "zstd", "tzst"], Starts(&[b"\x28\xb5\x2f\xfd"])),
    kind("xz", Archive, &["xz", "txz"], Starts(&[b"\xfd7zXZ\0"])),
    kind("7z", Archive, &["7z"], Starts(&[b"7z\xbc\xaf\x27\x1c"])),
    kind("rar", Archive, &["rar"], Starts(&[b"Rar!\x1a\x07"])),
    kind("cab", Archive, &["cab"], Starts(&[b"MSCF"])),
    kind("ar", Archive, &["deb", "a"], Starts(&[b"!<arch>\n"])),
    kind("iso", Archive, &["iso"], At(0x8001, &[b"CD001"])),
    kind("dmg", Archive, &["dmg"], Marks::None),
    kind("lut", Color, &["cube", "csp", "3dl", "lut", "spi1d", "spi3d", "clf", "ctf", "ocio"], Marks::Text),
    kind("cdl", Color, &["cdl", "cc", "ccc"], Marks::Text),
    kind("edit", Edit, &["edl", "ale", "otio", "xml", "fcpxml", "srt", "vtt"], Marks::Text),
    kind("nuke", Scene, &["nk", "nknc", "gizmo"], Marks::Text),
    kind("obj", Scene, &["obj", "mtl", "gltf"], Marks::Text),
    kind("text", Text, &["txt", "csv", "json", "md", "yaml", "yml", "toml", "log", "mhl", "sha256"], Marks::Text),
];

impl Kind {
    /// Whether content can be of this kind; `None` where we know no marks.
    pub fn matches(&self, head: &[u8]) -> Option<bool> {
        let starts = |marks: &[&[u8]]| marks.iter().any(|mark| head.starts_with(mark));
        let at = |offset: usize, marks: &[&[u8]]| {
            head.get(offset..).is_some_and(|rest| marks.iter().any(|mark| rest.starts_with(mark)))
        };
        Some(match self.marks {
            Starts(marks) => starts(marks),
            At(offset, marks) => at(offset, marks),
            Container(marks, offset, inner) => starts(marks) && at(offset, inner),
            Within(end, mark) => super::find(&head[..head.len().min(end)], mark).is_some(),
            Marks::Text => is_text(head),
            Marks::None => return None,
        })
    }
}

/// UTF-8, UTF-16 with its mark, or a single-byte encoding without control
/// characters, as old edit lists have it.
fn is_text(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return true;
    }
    // By blocks without a way out in their midst: many bytes are then looked at in one step.
    let has_control = |block: &[u8]| block.iter().fold(false, |has, &byte| has | is_control(byte));
    !head.chunks(256).any(has_control)
}

/// Whether no text has it: tabs, line ends and the escape of terminals it may have.
fn is_control(byte: u8) -> bool {
    (byte <= 8) | (byte.wrapping_sub(0x0e) <= 0x1a - 0x0e) | (byte.wrapping_sub(0x1c) <= 3)
}

/// The kinds that bear an extension.
pub(super) fn named(extension: &str) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| kind.extensions.contains(&extension))
}

/// What content is: one of the kinds of its extension where it can be, else the
/// first whose marks it shows.
pub(super) fn of(head: &[u8], extension: &str) -> Option<&'static Kind> {
    let shows = |kind: &&Kind| kind.matches(head) == Some(true);
    let plain = |kind: &&Kind| !matches!(kind.marks, Marks::Text);
    // A zip archive with another name is a zip archive.
    let general =
        |kind: &&Kind| plain(kind) && !matches!(kind.name, "usdz" | "office" | "aaf" | "blender");
    named(extension)
        .find(shows)
        .or_else(|| KINDS.iter().filter(general).find(shows))
        .or_else(|| named(extension).find(|kind| matches!(kind.marks, Marks::None)))
        .or_else(|| KINDS.iter().find(|k| k.name == "text").filter(shows))
}

/// Whether content can be what the extension says; `None` for an extension that
/// we know no marks of.
pub(super) fn matches_extension(head: &[u8], extension: &str) -> Option<bool> {
    named(extension).filter_map(|kind| kind.matches(head)).reduce(|one, other| one || other)
}

/// Whether an allow-list may name this.
pub(super) fn is_known(name: &str) -> bool {
    KINDS.iter().any(|kind| kind.name == name || kind.family.name() == name)
        || name == super::programs::KIND
        || KINDS.iter().any(|kind| kind.extensions.contains(&name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn content_against_extension() {
        let exr = b"\x76\x2f\x31\x01\x02\0\0\0";
        for (head, extension, expected) in [
            (&exr[..], "exr", Some(true)),
            (exr, "dpx", Some(false)),
            (exr, "nk", Some(false)),
            (exr, "unheard", None),
            (b"\0\0\0\x18ftypqt  ", "mov", Some(true)),
            (b"RF64\xff\xff\xff\xffWAVEds64", "wav", Some(true)),
            (b"RIFF\0\0\0\0AVI ", "wav", Some(false)),
            (b"note\n", "txt", Some(true)),
            (b"no\0te", "txt", Some(false)),
            (b"Titel: M\xfcnchen\r\n", "edl", Some(true)),
            (b"\xff\xfet\0e\0", "txt", Some(true)),
            (b"#usda 1.0\n", "usd", Some(true)),
            (b"PXR-USDC\0", "usd", Some(true)),
            (b"\0\0\x02\0", "tga", None),
        ] {
            assert_eq!(matches_extension(head, extension), expected, "{extension}");
        }
    }

    #[test]
    fn what_no_text_has() {
        for byte in 0..=u8::MAX {
            let expected = matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f);
            assert_eq!(is_control(byte), expected, "{byte:#x}");
        }
        for at in [0, 255, 256, 999] {
            let mut text = vec![b'a'; 1000];
            assert!(is_text(&text));
            text[at] = 0;
            assert!(!is_text(&text), "{at}");
        }
    }

    #[test]
    fn what_content_is() {
        let name = |head: &[u8], extension: &str| of(head, extension).map(|kind| kind.name);
        assert_eq!(name(b"PK\x03\x04", "usdz"), Some("usdz"));
        assert_eq!(name(b"PK\x03\x04", "exr"), Some("zip"));
        assert_eq!(name(b"Group of\n", "exr"), Some("text"));
        assert_eq!(name(b"v 1 2 3\n", "obj"), Some("obj"));
        assert_eq!(name(b"\0\x01\x02", "bin"), None);
    }
}
