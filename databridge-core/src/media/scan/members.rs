//! How large the members of the ZIPs in a file are, at every depth. ClamAV cuts a
//! deflated member at `MaxFileSize` and, alone of all its limits, does not tell
//! (seen with 1.4, `AlertExceedsMax yes`).

use std::sync::OnceLock;

#[cfg(feature = "clamav")]
use super::Subject;
use super::content::archive::Seen;
#[cfg(feature = "clamav")]
use super::content::{Bytes, archive};

/// The end of the central directory and the longest comment (APPNOTE 4.3.16).
#[cfg(any(feature = "archives", feature = "clamav"))]
pub(super) const END_BYTES: usize = 22 + 65_535;

/// What the content checks, which open archives, tell the antivirus of a file.
#[derive(Debug, Default)]
pub struct Members {
    largest: OnceLock<Option<u64>>,
}

/// What a walk through an archive came upon so far.
#[derive(Debug, Default)]
pub(super) struct Most {
    largest_bytes: u64,
    /// Something was not opened, or not to its end.
    is_partial: bool,
}

impl Most {
    pub fn see(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Entry(entry) => {
                if entry.is_zipped {
                    self.largest_bytes = self.largest_bytes.max(entry.size_bytes);
                }
                self.is_partial |= entry.hides_zip;
            }
            // What is noted of a name or a link hides nothing.
            Seen::Note(note) => {
                let is_whole = ["content.archive_path", "content.archive_link"];
                self.is_partial |= !is_whole.contains(&&*note.rule);
            }
            Seen::NotScanned(..) | Seen::Failed(_) => self.is_partial = true,
        }
    }
}

impl Members {
    pub(super) fn tell(&self, most: &Most) {
        let _ = self.largest.set((!most.is_partial).then_some(most.largest_bytes));
    }
}

/// The largest member of any ZIP in a file, 0 where there is none; `None` where that
/// is not known.
#[cfg(feature = "clamav")]
pub(super) fn largest(subject: &Subject<'_>) -> Option<u64> {
    if hides_zip(subject) {
        return None;
    }
    match archive::is_archive(subject.head) {
        true => subject.members.largest.get().copied().flatten(),
        false => Some(0),
    }
}

/// Whether it can be opened as a ZIP, although it does not begin as one.
#[cfg(feature = "clamav")]
pub(super) fn hides_zip(subject: &Subject<'_>) -> bool {
    let bytes = Bytes::of(subject);
    !archive::is_read_whole(subject.head)
        // What cannot be read is not known to hide none.
        && bytes.tail(END_BYTES).map_or(true, |tail| ends_as_zip(&tail, subject.size_bytes))
}

/// Whether a file's last bytes, [`END_BYTES`] where there are so many, hold the end of a
/// ZIP (APPNOTE 4.3.16) whose directory has room before it.
#[cfg(any(feature = "archives", feature = "clamav"))]
pub(super) fn ends_as_zip(tail: &[u8], size_bytes: u64) -> bool {
    zip_ends(tail, size_bytes).next().is_some()
}

/// Where a ZIP ends.
#[cfg(any(feature = "archives", feature = "clamav"))]
pub(super) struct Ending {
    /// In the last bytes.
    #[cfg_attr(not(feature = "archives"), allow(dead_code))]
    pub at: usize,
    /// So much stands before it, as it says; Zip64 says it elsewhere.
    #[cfg_attr(not(feature = "archives"), allow(dead_code))]
    pub directory_bytes: Option<u64>,
}

/// All of them, as [`ends_as_zip`].
#[cfg(any(feature = "archives", feature = "clamav"))]
pub(super) fn zip_ends(tail: &[u8], size_bytes: u64) -> impl Iterator<Item = Ending> + '_ {
    let behind = size_bytes.saturating_sub(tail.len() as u64);
    let mut from = 0;
    let marks = std::iter::from_fn(move || {
        let at = from + super::content::find(tail.get(from..)?, b"PK\x05\x06")?;
        from = at + 1;
        Some(at)
    });
    marks.filter_map(move |at| {
        let (length, start) = (u32_at(tail, at + 12)?, u32_at(tail, at + 16)?);
        let is_elsewhere = length == u32::MAX || start == u32::MAX;
        let directory_bytes = (!is_elsewhere).then(|| u64::from(length) + u64::from(start));
        let has_room = directory_bytes.is_none_or(|bytes| bytes <= behind + at as u64);
        has_room.then_some(Ending { at, directory_bytes })
    })
}

#[cfg(any(feature = "archives", feature = "clamav"))]
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(all(test, any(feature = "archives", feature = "clamav")))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    /// A directory of one byte at 0, then its end.
    fn end(length: u32, start: u32) -> Vec<u8> {
        let sizes = [length.to_le_bytes(), start.to_le_bytes()].concat();
        [b"-PK\x05\x06", &[0; 4][..], &[1, 0, 1, 0], &sizes, &[0; 2]].concat()
    }

    #[test]
    fn the_end_of_a_zip_shows_behind_anything() {
        let ends = |bytes: &[u8]| ends_as_zip(bytes, bytes.len() as u64);
        assert!(ends(&end(1, 0)));
        assert!(ends(&[&[b'P'; 100][..], &end(1, 0), b" and more"].concat()));
        assert!(ends(&end(u32::MAX, 0)), "zip64");
        assert!(ends(&[end(9, 9), end(1, 0), end(99, 99)].concat()), "any of them");
        assert!(!ends(&end(2, 0)), "there is no room for it");
        assert!(ends_as_zip(&end(2, 0), 24), "there is, before the tail");
        assert!(!ends(&end(1, 0)[..15]));
        assert!(!ends(b"no archive at all"));
    }

    proptest! {
        #[test]
        fn nothing_is_a_panic(mut bytes: Vec<u8>, at: proptest::sample::Index, size: u64) {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, end(1, 1));
            let _ = ends_as_zip(&bytes, size);
        }
    }
}
