//! Archives, opened within limits: every entry is shown, every trick is named.

#[cfg(feature = "archives")]
mod budget;
#[cfg(feature = "archives")]
mod lzma;
#[cfg(feature = "archives")]
mod sevenz;
#[cfg(feature = "archives")]
mod stream;
#[cfg(feature = "archives")]
mod tail;
#[cfg(feature = "archives")]
mod tar;
#[cfg(feature = "archives")]
mod walk;
#[cfg(feature = "archives")]
mod zip;

#[cfg(feature = "archives")]
pub(in super::super) use self::walk::walk;
use super::super::Reason;
use super::Note;

/// What a walk through an archive comes upon.
#[cfg_attr(not(feature = "archives"), allow(dead_code))]
pub(in super::super) enum Seen<'a> {
    /// A file inside.
    Entry(Entry<'a>),
    /// Something is wrong with the archive.
    Note(Note),
    /// Something inside could not be looked at.
    NotScanned(Reason, String),
    /// The archive could not be read.
    Failed(String),
}

/// A file inside an archive.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Entry<'a> {
    /// `inner.zip!/folder/name`, from the outermost archive on, as people read it.
    pub path: &'a str,
    /// As the archive has it, with its folders.
    pub full_name: &'a str,
    /// Its beginning, all of it where it is not larger than what is held.
    pub content: &'a [u8],
    /// Its length unpacked.
    pub size_bytes: u64,
    /// It is a ZIP's.
    pub is_zipped: bool,
    /// It can be opened as a ZIP, although it does not begin as one.
    pub hides_zip: bool,
}

impl Entry<'_> {
    pub const fn is_whole(&self) -> bool {
        self.content.len() as u64 == self.size_bytes
    }

    /// Name without folders, and its extension in lower case.
    pub fn name(&self) -> (&str, String) {
        let name = self.full_name.rsplit('/').next().unwrap_or_default();
        let extension = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
        (name, extension.map(|(_, e)| e.to_lowercase()).unwrap_or_default())
    }
}

/// How a file can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "archives"), allow(dead_code))]
enum Format {
    Zip,
    Tar,
    Gzip,
    Bzip2,
    Zstd,
    Xz,
    SevenZip,
    /// By none of our means: what it is, and why.
    Closed(&'static str),
}

impl Format {
    fn of(head: &[u8]) -> Option<Self> {
        let starts = |mark: &[u8]| head.starts_with(mark);
        Some(match () {
            () if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") || starts(b"PK\x07\x08") => {
                Self::Zip
            }
            () if head.get(257..).is_some_and(|rest| rest.starts_with(b"ustar")) => Self::Tar,
            () if starts(b"\x1f\x8b") => Self::Gzip,
            () if starts(b"BZh") && head.get(4..10) == Some(b"1AY&SY") => Self::Bzip2,
            () if starts(b"\x28\xb5\x2f\xfd") => Self::Zstd,
            () if starts(b"\xfd7zXZ\0") => Self::Xz,
            () if starts(b"7z\xbc\xaf\x27\x1c") => Self::SevenZip,
            () if starts(b"Rar!\x1a\x07") => {
                Self::Closed("RAR, which is not opened: nobody may write a free decoder of it")
            }
            () if starts(b"MSCF") => Self::Closed("a cabinet, which is not opened"),
            () if starts(b"!<arch>\n") => Self::Closed("an ar archive, which is not opened"),
            () if head.get(0x8001..).is_some_and(|rest| rest.starts_with(b"CD001")) => {
                Self::Closed(
                    "a disk image (ISO 9660), which is not opened: what is in it depends on \
                     which of its file systems one reads",
                )
            }
            () => return None,
        })
    }
}

#[cfg(any(feature = "archives", feature = "clamav"))]
impl Format {
    /// What stands behind its end is found, so that a ZIP which shows there is inside.
    const fn is_read_whole(self) -> bool {
        !matches!(self, Self::SevenZip | Self::Closed(_))
    }
}

/// Whether there is anything to open.
pub(in super::super) fn is_archive(head: &[u8]) -> bool {
    Format::of(head).is_some()
}

/// Whether it begins as an archive that is read to its very end.
#[cfg(feature = "clamav")]
pub(in super::super) fn is_read_whole(head: &[u8]) -> bool {
    Format::of(head).is_some_and(Format::is_read_whole)
}

/// This build opens no archives, and says so.
#[cfg(not(feature = "archives"))]
pub(in super::super) fn walk(
    _bytes: super::Bytes<'_>,
    _name: &str,
    _limits: super::Limits,
    _timeout: std::time::Duration,
    _monitor: &dyn crate::media::monitor::Monitor,
    seen: &mut dyn FnMut(Seen<'_>),
) {
    let why = "this build opens no archives".to_owned();
    seen(Seen::Note(Note { rule: "content.archive_unopened".into(), why }));
}

#[cfg(all(test, feature = "archives"))]
mod tests;
