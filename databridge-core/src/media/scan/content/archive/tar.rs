//! Tar archives, header by header, since what a header hides matters here: the
//! `tar` crate reads the headers, but would join long names of any length.

use std::io::Read;
use std::ops::Range;

use tar::{EntryType, Header, PaxExtensions};

use super::budget::Stop;
use super::tail::Tail;
use super::walk::{Place, Walk};
use crate::media::scan::tally::shown;

/// A long name, or a record of extended headers.
const EXTENSION_BYTES: u64 = 1 << 20;

/// What extended headers say about the next entry.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Walk<'_> {
    pub(super) fn tar(&mut self, reader: impl Read, place: Place<'_>) -> Result<(), Stop> {
        let (mut reader, mut archives) = (Tail::new(reader), Vec::new());
        self.tar_entries(&mut reader, &mut archives, place)?;
        if reader.hides_zip(&archives) {
            self.skipped(format!("{}a ZIP ends where none of its files does", place.at()));
        }
        Ok(())
    }

    /// Also says where its files stand that are archives, which are looked at themselves.
    fn tar_entries(
        &mut self,
        reader: &mut Tail<impl Read>,
        archives: &mut Vec<Range<u64>>,
        place: Place<'_>,
    ) -> Result<(), Stop> {
        let mut said = Said::default();
        loop {
            let mut block = Vec::new();
            match reader.by_ref().take(512).read_to_end(&mut block) {
                Ok(0) => return Ok(()),
                Ok(512) => {}
                Ok(_) => return self.broken("it ends within a header", place),
                Err(error) => return self.broken(error, place),
            }
            // Zeros end an archive for most programs, not for all.
            if block.iter().all(|b| *b == 0) {
                continue;
            }
            let header = Header::from_byte_slice(&block);
            let sum = block[..148].iter().chain(&block[156..]).map(|b| u32::from(*b)).sum::<u32>();
            let is_header = header.cksum().is_ok_and(|found| found == sum + 8 * 32);
            let Some(size) = header.entry_size().ok().filter(|_| is_header) else {
                return self.broken("what should be a header is none", place);
            };
            let kind = header.entry_type();
            let more = (size.div_ceil(512) * 512).saturating_sub(size);
            if kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions() {
                if size > EXTENSION_BYTES {
                    return Err(Stop::Directory);
                }
                let mut value = Vec::new();
                if let Err(error) = reader.by_ref().take(size).read_to_end(&mut value) {
                    return self.broken(error, place);
                }
                said.add(kind, &value);
                self.skip(reader, more, place)?;
                continue;
            }
            let said = std::mem::take(&mut said);
            let size = said.size.unwrap_or(size);
            let more = (size.div_ceil(512).saturating_mul(512)).saturating_sub(size);
            let start = reader.position();
            if self.tar_entry(header, said, &mut reader.by_ref().take(size), place)? {
                archives.push(start..reader.position());
            }
            self.skip(reader, more, place)?;
        }
    }

    /// Whether it is an archive that is read to its end.
    fn tar_entry(
        &mut self,
        header: &Header,
        said: Said,
        content: &mut dyn Read,
        place: Place<'_>,
    ) -> Result<bool, Stop> {
        self.budget.entry()?;
        let mut is_archive = false;
        let kind = header.entry_type();
        if kind.is_pax_global_extensions() {
            self.skip(content, u64::MAX, place)?;
            return Ok(false);
        }
        let name = said.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = said.link.or_else(|| header.link_name_bytes().map(|l| l.into_owned()));
        self.trick(&name, place);
        let text = String::from_utf8_lossy(&name).into_owned();
        match kind {
            EntryType::Regular | EntryType::Continuous if !text.ends_with('/') => {
                is_archive = self.entry(content, &text, place)?;
            }
            EntryType::Symlink | EntryType::Link => {
                self.link(&name, &link.unwrap_or_default(), place);
            }
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => {}
            EntryType::GNUSparse => {
                let why =
                    format!("{}{} is sparse, which is not opened", place.prefix, shown(&text));
                self.note("content.archive_unopened", why);
                return Err(Stop::Directory);
            }
            _ => {
                let why = format!("{}{} is no file", place.prefix, shown(&text));
                self.note("content.archive_special", why);
            }
        }
        self.skip(content, u64::MAX, place)?;
        Ok(is_archive)
    }

    fn skip(&mut self, reader: &mut dyn Read, bytes: u64, place: Place<'_>) -> Result<(), Stop> {
        match std::io::copy(&mut reader.take(bytes), &mut std::io::sink()) {
            Ok(_) => Ok(()),
            Err(error) => self.broken(error, place),
        }
    }

    /// The rest cannot be looked at.
    fn broken(&mut self, why: impl std::fmt::Display, place: Place<'_>) -> Result<(), Stop> {
        if let Some(stop) = self.budget.stopped() {
            return Err(stop);
        }
        self.note("content.archive_damaged", format!("{}{why}", place.at()));
        Ok(())
    }
}

impl Said {
    fn add(&mut self, kind: EntryType, value: &[u8]) {
        let text = || Some(value.split(|b| *b == 0).next().unwrap_or_default().to_vec());
        match kind {
            EntryType::GNULongName => self.name = text(),
            EntryType::GNULongLink => self.link = text(),
            _ => {
                for record in PaxExtensions::new(value).flatten() {
                    match record.key_bytes() {
                        b"path" => self.name = Some(record.value_bytes().to_vec()),
                        b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                        b"size" => {
                            self.size = record.value().ok().and_then(|size| size.parse().ok());
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}
