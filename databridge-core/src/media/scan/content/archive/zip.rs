//! Zip archives, by their central directory.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek};

use zip::ZipArchive;
use zip::result::ZipError;

use super::super::bytes::{Bytes, Order};
use super::super::find;
use super::budget::{Budget, Meter, Stop};
use super::stream::Source;
use super::walk::{Place, Walk};
use crate::media::scan::Reason;
use crate::media::scan::tally::shown;

/// The central directory, or one look over all local headers.
const DIRECTORY_BYTES: u64 = 64 << 20;

/// As long as a link's target can be, with the zero at its end (Linux, `PATH_MAX`).
const LINK_BYTES: u64 = 4096;

impl Walk<'_> {
    pub(super) fn zip(&mut self, bytes: Bytes<'_>, place: Place<'_>) -> Result<(), Stop> {
        let (read, left, budget) = (Cell::new(0), Cell::new(DIRECTORY_BYTES), self.budget);
        let source = Source::new(bytes, &read, budget);
        let source = Bounded { inner: source, left: &left, budget };
        let mut archive = match ZipArchive::new(BufReader::new(source)) {
            Ok(archive) => archive,
            Err(error) => return self.unlisted(error, place),
        };
        if archive.has_duplicate_names() {
            let why = format!("{}two entries bear the same name", place.at());
            self.note("content.archive_duplicate", why);
        }
        left.set(DIRECTORY_BYTES);
        match archive.has_overlapping_entries() {
            Ok(true) => {
                let why = format!("{}entries lie over each other", place.at());
                self.note("content.archive_overlap", why);
            }
            Ok(false) => {}
            Err(error) => return self.unlisted(error, place),
        }
        left.set(u64::MAX);
        for index in 0..archive.len() {
            budget.entry()?;
            self.zip_entry(&mut archive, index, place)?;
        }
        Ok(())
    }

    /// The archive does not say what is in it.
    fn unlisted(&mut self, error: ZipError, place: Place<'_>) -> Result<(), Stop> {
        if let Some(stop) = self.budget.stopped() {
            return Err(stop);
        }
        self.note("content.archive_damaged", format!("{}{error}", place.at()));
        Ok(())
    }

    fn zip_entry<R: Read + Seek>(
        &mut self,
        archive: &mut ZipArchive<R>,
        index: usize,
        place: Place<'_>,
    ) -> Result<(), Stop> {
        let budget = self.budget;
        let raw = match archive.by_index_raw(index) {
            Ok(raw) => raw,
            Err(error) => return self.unlisted(error, place),
        };
        let name = raw.name_raw().to_vec();
        let text = String::from_utf8_lossy(&name).into_owned();
        let (is_encrypted, is_dir) = (raw.encrypted(), raw.is_dir());
        let (is_symlink, packed) = (raw.is_symlink(), Cell::new(raw.compressed_size()));
        drop(raw);
        self.trick(&name, place);
        if is_encrypted {
            let why = format!("{}{} is encrypted", place.prefix, shown(&text));
            (self.seen)(super::Seen::NotScanned(Reason::Encrypted, why));
            return Ok(());
        }
        if is_dir && packed.get() <= 2 {
            return Ok(());
        }
        let mut entry = match archive.by_index(index) {
            Ok(entry) => entry,
            Err(ZipError::UnsupportedArchive(why)) => {
                let why = format!("{}{}: {why}", place.prefix, shown(&text));
                self.note("content.archive_unopened", why);
                return Ok(());
            }
            Err(error) => return self.unlisted(error, place),
        };
        if is_symlink {
            let mut target = Vec::new();
            // A target that cannot be read is a link all the same.
            let _ = entry.by_ref().take(LINK_BYTES).read_to_end(&mut target);
            self.link(&name, &target, place);
            if target.len() as u64 == LINK_BYTES {
                let why = format!("{}{} is too long a link", place.prefix, shown(&text));
                self.skipped(why);
            }
            return Ok(());
        }
        self.entry(&mut Meter::new(entry, &packed, budget), &text, place).map(drop)
    }
}

/// Ends the walk where more is read than a list of entries may hold.
struct Bounded<'b, R> {
    inner: R,
    left: &'b Cell<u64>,
    budget: &'b Budget<'b>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        // The crate makes room for all of them at once.
        if self.left.get() <= DIRECTORY_BYTES && announced(&buffer[..n]) > self.budget.entries() {
            return Err(self.budget.stop(Stop::Entries));
        }
        match self.left.get().checked_sub(n as u64) {
            Some(left) => self.left.set(left),
            None => return Err(self.budget.stop(Stop::Directory)),
        }
        Ok(n)
    }
}

/// How many entries the ends of directories announce that stand in a block (APPNOTE
/// 4.3.14, 4.3.16). The crate goes to the beginning of such a record before it reads it.
fn announced(block: &[u8]) -> u64 {
    let (mut most, mut from) = (0, 0);
    while let Some(at) = find(&block[from..], b"PK") {
        let record = &block[from + at..];
        let field = |at: usize, length: usize| {
            record.get(at..at + length).map_or(0, |bytes| Order::Little.number(bytes))
        };
        most = most.max(match record.get(2..4) {
            // All bits set: the other record says it.
            Some(b"\x05\x06") if field(10, 2) < u64::from(u16::MAX) => field(10, 2),
            // The crate takes none in which these two differ.
            Some(b"\x06\x06") if field(24, 8) == field(32, 8) => field(32, 8),
            _ => 0,
        });
        from += at + 2;
    }
    most
}

impl<R: Seek> Seek for Bounded<'_, R> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
