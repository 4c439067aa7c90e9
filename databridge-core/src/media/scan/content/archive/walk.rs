//! The walk through an archive and all archives in it.

use std::io::Read;
use std::time::{Duration, Instant};

use super::super::Note;
use super::super::bytes::Bytes;
use super::super::policy::Limits;
use super::budget::{self, Budget, Stop};
use super::{Entry, Format, Seen};
use crate::media::monitor::Monitor;
use crate::media::scan::Reason;
use crate::media::scan::members::ends_as_zip;
use crate::media::scan::tally::shown;

/// How much of an entry is held; an archive in an archive is opened only if it is
/// held whole.
const HELD_BYTES: u64 = 16 << 20;

/// Walks through an archive called `name` and all archives in it. It ends at the
/// first limit, which it names, and soon after `monitor` says so.
pub(in crate::media::scan) fn walk(
    bytes: Bytes<'_>,
    name: &str,
    limits: Limits,
    timeout: Duration,
    monitor: &dyn Monitor,
    seen: &mut dyn FnMut(Seen<'_>),
) {
    let Some(format) = Format::of(bytes.head()) else { return };
    let budget = Budget::new(limits, Instant::now().checked_add(timeout), monitor);
    let mut walk = Walk { budget: &budget, limits, seen };
    let stop = walk.open(bytes, format, name, "", 0).err();
    match stop {
        None => {}
        Some(Stop::Bomb { unpacked, packed }) => walk.note(
            "content.archive_bomb",
            format!("{unpacked} bytes came out of {packed} before it was stopped"),
        ),
        Some(Stop::Bytes) => walk.skipped(format!(
            "more than {} bytes came out before it was stopped",
            limits.unpacked_bytes
        )),
        Some(Stop::Entries) => {
            walk.skipped(format!("it has more than {} entries", limits.entries));
        }
        Some(Stop::Directory) => walk.skipped("its list of entries is too long".into()),
        Some(Stop::Time) => {
            seen(Seen::NotScanned(Reason::TimedOut, "opening it took too long".into()));
        }
        Some(Stop::Memory) => walk.skipped(format!(
            "unpacking it takes more than {} MiB of memory",
            budget::MEMORY_KIB >> 10
        )),
        Some(Stop::Cancelled) => seen(Seen::Failed("the scan was cancelled".into())),
        Some(Stop::Unreadable) => seen(Seen::Failed(budget.trouble())),
    }
}

pub(super) struct Walk<'w> {
    pub(super) budget: &'w Budget<'w>,
    limits: Limits,
    pub(super) seen: &'w mut dyn FnMut(Seen<'_>),
}

impl Walk<'_> {
    pub(super) fn note(&mut self, rule: &'static str, why: String) {
        (self.seen)(Seen::Note(Note { rule: rule.into(), why }));
    }

    pub(super) fn skipped(&mut self, why: String) {
        (self.seen)(Seen::NotScanned(Reason::Limits, why));
    }

    /// Opens what stands at `prefix`, which is empty or ends in `!/`.
    fn open(
        &mut self,
        bytes: Bytes<'_>,
        format: Format,
        name: &str,
        prefix: &str,
        depth: u32,
    ) -> Result<(), Stop> {
        let place = Place { prefix, depth, is_zip: format == Format::Zip };
        if depth >= self.limits.depth {
            let why = format!("{}archives stand in each other deeper than {depth}", place.at());
            self.note("content.archive_nested", why);
            return Ok(());
        }
        match format {
            Format::Zip => self.zip(bytes, place),
            Format::Tar | Format::Gzip | Format::Bzip2 | Format::Zstd | Format::Xz => {
                self.stream(bytes, format, name, place)
            }
            Format::SevenZip => self.sevenz(bytes, place),
            Format::Closed(kind) => {
                let why = format!("{}{} is {kind}", place.at(), shown(name));
                self.note("content.archive_unopened", why);
                Ok(())
            }
        }
    }
}

/// Where in nested archives a walk stands; its prefix as people read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) prefix: &'p str,
    depth: u32,
    is_zip: bool,
}

impl Place<'_> {
    /// How a reason begins that is about this archive.
    pub(super) fn at(self) -> String {
        match self.prefix.strip_suffix("!/") {
            Some(archive) => format!("{archive}: "),
            None => String::new(),
        }
    }
}

impl Walk<'_> {
    /// Reads an entry to its end through a [`budget::Meter`], shows it, and opens it
    /// if it is an archive. Answers whether it is one that is read to its end.
    pub(super) fn entry(
        &mut self,
        reader: &mut dyn Read,
        name: &str,
        place: Place<'_>,
    ) -> Result<bool, Stop> {
        let path = format!("{}{}", place.prefix, shown(name));
        let budget = self.budget;
        let held = budget::hold(reader, HELD_BYTES);
        let (content, size_bytes) = (&held.content[..], held.size_bytes);
        let format = Format::of(content);
        let is_read_whole = format.is_some_and(Format::is_read_whole);
        let hides_zip = !is_read_whole && ends_as_zip(held.tail(), size_bytes);
        let is_zipped = place.is_zip;
        let (path, full_name) = (&path[..], name);
        let entry = Entry { path, full_name, content, size_bytes, is_zipped, hides_zip };
        (self.seen)(Seen::Entry(entry));
        if let Err(error) = held.ended {
            if let Some(stop) = budget.stopped() {
                return Err(stop);
            }
            self.note("content.archive_damaged", format!("{path}: {error}"));
        }
        let Some(format) = format else { return Ok(false) };
        if content.len() as u64 != size_bytes {
            self.skipped(format!("{path} is an archive too large to be opened inside another"));
        } else {
            let prefix = format!("{path}!/");
            self.open(Bytes::held(content), format, name, &prefix, place.depth + 1)?;
        }
        Ok(is_read_whole)
    }

    /// What an entry's name or type does that nobody should let it do.
    pub(super) fn trick(&mut self, name: &[u8], place: Place<'_>) {
        if let Some(why) = path_trick(name) {
            let name = String::from_utf8_lossy(name);
            let why = format!("{}{}: {why}", place.prefix, shown(&name));
            self.note("content.archive_path", why);
        }
    }

    pub(super) fn link(&mut self, name: &[u8], target: &[u8], place: Place<'_>) {
        let (name, target) = (String::from_utf8_lossy(name), String::from_utf8_lossy(target));
        let why = format!("{}{} is a link to {}", place.prefix, shown(&name), shown(&target));
        self.note("content.archive_link", why);
    }
}

/// Why a name in an archive must not be unpacked, on any system.
fn path_trick(name: &[u8]) -> Option<&'static str> {
    let is_separator = |b: &u8| matches!(b, b'/' | b'\\');
    if name.split(is_separator).any(|part| part == b"..") {
        return Some("leads out of its folder");
    }
    if name.first().is_some_and(is_separator) || name.get(1) == Some(&b':') {
        return Some("is an absolute path");
    }
    if name.iter().any(|b| *b < 0x20 || *b == 0x7f) {
        return Some("has control characters in its name");
    }
    name.is_empty().then_some("has no name")
}
