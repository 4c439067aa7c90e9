//! What a copy remembers between two lives of its worker.
//!
//! A journal is a hidden file beside the partial folder (see [`super::names`]),
//! one for each epoch, so that no worker ever writes into another's. It holds one
//! JSON object a line, told apart by `mark`, and is only appended to:
//!
//! | mark | fields | meaning |
//! |---|---|---|
//! | `header` | `format` (1), `attempt`, `epoch`, `boot` | first line; `boot` is the kernel's boot id |
//! | `done` | `path`, `size_bytes`, `sha256`, `inode`, `flushed`, `source`, `digests`, `cloned` | this file is written and closed; `flushed` if it is on the device; `source` is what the source file was, `digests` what else was asked for |
//! | `read_back` | `path`, `sha256`, `facts`, `worth`, `life` | it was flushed, and then read back while it was written; `life` is the process that did |
//! | `flushed` | | every file marked before this line is on the device |
//! | `withdrawn` | `path` | the file is to be written again |
//! | `ready` | | the layout stands and the marks of earlier epochs are all above |
//! | `verified` | `facts`, `worth` | every file was read back; `facts` is the [listing](super::listing)'s digest then |
//! | `publishing` | `device`, `inode`, `rename`, `facts`, `manifest` | what is about to appear at the final path, and how |
//!
//! A line that cannot be read (a torn tail) is skipped: each mark only spares
//! work that the read-back checks again, or names an inode whose content is
//! checked again before it is adopted. So lines are gathered in memory and written
//! in pieces; what a killed process had not written is work done again.
//!
//! `read_back` spares the second reading only to the process that did the first,
//! as long as inode, length and times are what they were. A successor, a restarted
//! process and another boot read for themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::media::checksum::{Digests, Sha256};
use crate::media::storage::RelPath;

use super::error::Error;
use super::names::Kind;
use super::site::Site;
use super::source::Facts;
use super::{Attempt, RenameMethod};
use crate::media::storage::Worth;

const FORMAT: u32 = 1;
/// Lines are written when so many bytes of them have come together.
const GATHERED_BYTES: usize = 64 << 10;
/// How a line begins that only [`super::transfer`] has a use for.
const DONE: &[u8] = br#"{"mark":"done","#;

/// Tells this life of the process from every other.
static LIFE: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    format: u32,
    attempt: Uuid,
    epoch: u64,
    boot: String,
}

/// A file that needs no writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub path: RelPath,
    pub size_bytes: u64,
    pub sha256: Sha256,
    pub inode: u64,
    pub flushed: bool,
    /// What the source file was; unknown to journals of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Facts>,
    /// All digests, if more than the SHA-256 were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digests: Option<Digests>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cloned: bool,
}

/// A file that was read back while it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    pub path: RelPath,
    pub sha256: Sha256,
    pub facts: Facts,
    pub worth: Worth,
    life: Uuid,
}

impl Returned {
    /// By this process.
    pub fn new(path: RelPath, sha256: Sha256, facts: Facts, worth: Worth) -> Self {
        Self { path, sha256, facts, worth, life: *LIFE }
    }
}

/// The read-back's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub facts: Sha256,
    pub worth: Worth,
}

/// What was about to be published. The device is for people: device numbers
/// change over a reboot, so [`Site::is_at_final_path`] asks the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    pub rename: RenameMethod,
    pub facts: Sha256,
    /// The digest of the manifest that it was held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Sha256>,
}

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Mark {
    Header(Header),
    Done(Done),
    ReadBack(Returned),
    Flushed,
    Withdrawn { path: RelPath },
    Ready,
    Verified(Verified),
    Publishing(Identity),
}

impl Mark {
    /// The first line of `attempt`'s journal.
    pub fn header(attempt: Attempt) -> Self {
        Self::Header(Header {
            format: FORMAT,
            attempt: attempt.id,
            epoch: attempt.epoch,
            boot: boot_id(),
        })
    }

    fn line(&self) -> Result<Vec<u8>, std::io::Error> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Tells one boot of this host from the next; empty where the kernel does not say.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// What a journal says, all lines taken together.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub ready: bool,
    pub done: BTreeMap<RelPath, Done>,
    /// What this process read back while it wrote.
    pub returned: BTreeMap<RelPath, Returned>,
    /// Everything that this epoch wrote was flushed, in this boot.
    pub flushed: bool,
    pub verified: Option<Verified>,
    pub publishing: Option<Identity>,
}

impl Record {
    /// Of a journal's lines, and whether the last of them is whole. Files that an
    /// earlier boot of the host had only in its page cache are forgotten. Without
    /// `with_done` the lines of single files are passed over: there may be a million.
    pub fn parse(mut lines: impl BufRead, with_done: bool) -> std::io::Result<(Self, bool)> {
        let mut record = Self::default();
        let (mut boot, mut line, mut whole) = (None, Vec::new(), true);
        while lines.read_until(b'\n', &mut line)? > 0 {
            whole = line.last() == Some(&b'\n');
            if !with_done && line.starts_with(DONE) {
                (record.verified, record.flushed) = (None, false);
            } else {
                match serde_json::from_slice::<Mark>(&line) {
                    Ok(Mark::Header(header)) => boot = Some(header.boot),
                    Ok(other) => record.apply(other),
                    Err(_) => {}
                }
            }
            line.clear();
        }
        if boot != Some(boot_id()) {
            record.done.retain(|_, done| done.flushed);
            record.flushed = false;
        }
        Ok((record, whole))
    }

    /// Takes one more line in.
    pub fn apply(&mut self, mark: Mark) {
        match mark {
            Mark::Header(_) => {}
            Mark::Done(done) => {
                (self.verified, self.flushed) = (None, false);
                self.done.insert(done.path.clone(), done);
            }
            Mark::ReadBack(returned) if returned.life == *LIFE => {
                self.returned.insert(returned.path.clone(), returned);
            }
            Mark::ReadBack(_) => {}
            Mark::Flushed => {
                self.flushed = true;
                self.done.values_mut().for_each(|done| done.flushed = true);
            }
            Mark::Withdrawn { path } => {
                (self.verified, self.flushed) = (None, false);
                self.done.remove(&path);
                self.returned.remove(&path);
            }
            Mark::Ready => self.ready = true,
            Mark::Verified(verified) => self.verified = Some(verified),
            Mark::Publishing(identity) => self.publishing = Some(identity),
        }
    }

    /// The lines with which a later epoch goes on from here. What this one read
    /// back is not among them: the successor reads for itself.
    pub fn inherited(self) -> Vec<Mark> {
        let publishing = self.publishing.map(Mark::Publishing);
        self.done.into_values().map(Mark::Done).chain(publishing).collect()
    }
}

/// A journal open for appending; shared by the workers of one copy.
#[derive(Debug)]
pub struct Journal {
    pen: Mutex<Pen>,
    path: PathBuf,
}

/// The file, and the lines that are still to be written to it.
#[derive(Debug)]
struct Pen {
    file: File,
    lines: Vec<u8>,
}

impl Pen {
    fn write(&mut self) -> std::io::Result<()> {
        let lines = std::mem::take(&mut self.lines);
        let written = self.file.write_all(&lines);
        self.lines = lines;
        self.lines.clear();
        written
    }
}

impl Journal {
    /// Puts a whole journal in place at once, durably, in the stead of any
    /// earlier one of the same attempt and epoch.
    pub fn replace(site: &Site, marks: &[Mark]) -> Result<(), Error> {
        let new = Self::draft(site, marks)?;
        site.rename_over(&new, &site.own(Kind::Journal))?;
        site.flush()
    }

    /// Says that this epoch is taken, where nobody has said so.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody has by now, in the same epoch: a lock that the file
    /// system does not know, or does not tell of to its other hosts, kept the two not
    /// apart.
    pub fn announce(site: &Site, mark: Mark) -> Result<(), Error> {
        let new = Self::draft(site, &[mark])?;
        site.rename_only(&new, &site.own(Kind::Journal))?;
        site.flush()
    }

    fn draft(site: &Site, marks: &[Mark]) -> Result<PathBuf, Error> {
        let new = site.own(Kind::Draft);
        let at = |error| Error::at(site.path(&new), error);
        // Whatever has the name is not written into: an earlier life's draft, or a pipe
        // or a second name of something that somebody put there.
        match site.unlink(&new) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(at(errno.into())),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = site.open(&new, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(|errno| at(errno.into()))?);
        let mut text = Vec::new();
        for mark in marks {
            text.extend(mark.line().map_err(at)?);
        }
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(at)?;
        Ok(new)
    }

    /// What the journal of the given name says; `None` if there is none.
    pub fn read(site: &Site, name: &Path) -> Result<Option<Record>, Error> {
        Ok(Self::load(site, name, true)?.map(|(_, record)| record))
    }

    /// Opens this epoch's journal; `None` if there is none.
    pub fn open(site: &Site, with_done: bool) -> Result<Option<(Self, Record)>, Error> {
        let name = site.own(Kind::Journal);
        let loaded = Self::load(site, &name, with_done)?;
        Ok(loaded.map(|(file, record)| {
            let pen = Mutex::new(Pen { file, lines: Vec::new() });
            (Self { pen, path: site.path(&name) }, record)
        }))
    }

    fn load(site: &Site, name: &Path, with_done: bool) -> Result<Option<(File, Record)>, Error> {
        let flags = OFlags::RDWR | OFlags::APPEND;
        let file = match site.open(name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(Error::at(site.path(name), errno)),
        };
        let mut file = File::from(file);
        let at = |error| Error::at(site.path(name), error);
        let (record, whole) = Record::parse(BufReader::new(&file), with_done).map_err(at)?;
        if !whole {
            file.write_all(b"\n").map_err(at)?;
        }
        Ok(Some((file, record)))
    }

    /// Appends a line, which is written with others that come after it: at the
    /// latest by [`Self::sync`] or when the journal is let go.
    pub fn append(&self, mark: &Mark) -> Result<(), Error> {
        let line = mark.line().map_err(|error| Error::at(&self.path, error))?;
        let mut pen = self.pen();
        pen.lines.extend_from_slice(&line);
        if pen.lines.len() < GATHERED_BYTES { Ok(()) } else { self.done(pen.write()) }
    }

    /// Flushes what was appended to the device: it survives the host, too.
    pub fn sync(&self) -> Result<(), Error> {
        let mut pen = self.pen();
        self.done(pen.write().and_then(|()| pen.file.sync_data()))
    }

    /// Flushes all files by `flush` and says so. Nobody appends meanwhile, since
    /// what is marked after that began may not be on the device.
    pub fn checkpoint(&self, flush: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let mut pen = self.pen();
        flush()?;
        let line = Mark::Flushed.line().map_err(|error| Error::at(&self.path, error))?;
        pen.lines.extend_from_slice(&line);
        self.done(pen.write().and_then(|()| pen.file.sync_data()))
    }

    fn pen(&self) -> MutexGuard<'_, Pen> {
        self.pen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, done: std::io::Result<()>) -> Result<(), Error> {
        done.map_err(|error| Error::at(&self.path, error))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A lost mark only spares less work.
        let _ = self.pen().write();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use crate::media::storage::Stat;

    use super::*;

    #[test]
    fn an_epoch_is_announced_once_and_nothing_is_written_into() {
        let room = tempfile::tempdir().unwrap();
        let plan = crate::media::copy::Plan {
            attempt: Attempt { id: Uuid::from_u128(7), epoch: 1 },
            source: room.path().join("source"),
            destination: room.path().join("destination"),
            shape: crate::media::copy::Shape::Tree,
            manifest: crate::media::manifest::Manifest::default(),
            policy: crate::media::copy::Policy::default(),
        };
        let site = Site::new(&plan).unwrap();
        let theirs = room.path().join("theirs");
        std::fs::write(&theirs, "theirs").unwrap();
        std::fs::hard_link(&theirs, site.path(&site.own(Kind::Draft))).unwrap();
        Journal::announce(&site, Mark::header(plan.attempt)).unwrap();
        assert_eq!(std::fs::read(&theirs).unwrap(), b"theirs");
        let second = Journal::announce(&site, Mark::header(plan.attempt));
        assert!(matches!(second, Err(Error::Busy { .. })), "{second:?}");
        assert!(Journal::open(&site, true).unwrap().is_some(), "the first stands");
    }

    fn done(path: &str, flushed: bool) -> Mark {
        let path = RelPath::parse(path).unwrap();
        Mark::Done(Done {
            path,
            size_bytes: 3,
            sha256: Sha256::of(b"abc"),
            inode: 7,
            flushed,
            source: None,
            digests: None,
            cloned: false,
        })
    }

    fn text(marks: &[Mark]) -> Vec<u8> {
        marks.iter().flat_map(|mark| mark.line().unwrap()).collect()
    }

    fn parse(bytes: &[u8]) -> Record {
        Record::parse(bytes, true).unwrap().0
    }

    fn header() -> Mark {
        Mark::header(Attempt { id: Uuid::nil(), epoch: 1 })
    }

    #[test]
    fn marks_are_taken_together() {
        let path = RelPath::parse("a/b").unwrap();
        let verified = Verified { facts: Sha256::of(b""), worth: Worth::Direct };
        let mut marks = vec![header(), done("a/b", false), done("c", false), Mark::Ready];
        marks.push(Mark::Verified(verified.clone()));
        let record = parse(&text(&marks));
        assert!(record.ready && record.done.len() == 2);
        assert_eq!(record.verified, Some(verified));
        marks.push(Mark::Withdrawn { path });
        let record = parse(&text(&marks));
        assert_eq!(record.done.len(), 1);
        assert_eq!(record.verified, None, "what was read back is not what stands there now");
    }

    #[test]
    fn another_boot_believes_only_what_was_flushed() {
        let earlier = |marks: &[Mark]| {
            let text = String::from_utf8(text(marks)).unwrap();
            parse(text.replace(&boot_id(), "another").as_bytes()).done.len()
        };
        assert_eq!(earlier(&[header(), done("a", true), done("b", false)]), 1);
        assert_eq!(earlier(&[header(), done("a", false), Mark::Flushed, done("b", false)]), 1);
        assert_eq!(parse(&text(&[done("a", false)])).done.len(), 0, "no header");
    }

    fn returned() -> Mark {
        let path = RelPath::parse("a").unwrap();
        let facts = Facts::from(&Stat::of(File::open("/").unwrap()).unwrap());
        Mark::ReadBack(Returned::new(path, Sha256::of(b"abc"), facts, Worth::Direct))
    }

    #[test]
    fn what_was_read_back_on_the_way_counts_for_this_process_alone() {
        let whole = text(&[header(), done("a", true), returned(), Mark::Flushed]);
        let record = parse(&whole);
        assert!(record.flushed && record.returned.len() == 1);
        assert!(record.inherited().iter().all(|mark| matches!(mark, Mark::Done(_))));
        let other =
            String::from_utf8(whole).unwrap().replace(&LIFE.to_string(), &Uuid::nil().to_string());
        assert!(parse(other.as_bytes()).returned.is_empty());
        let path = RelPath::parse("a").unwrap();
        let record =
            parse(&text(&[header(), done("a", true), returned(), Mark::Withdrawn { path }]));
        assert!(record.returned.is_empty() && !record.flushed);
    }

    #[test]
    fn lines_of_single_files_are_passed_over_and_still_undo_a_verdict() {
        let verified = Mark::Verified(Verified { facts: Sha256::of(b""), worth: Worth::Direct });
        let mut marks = vec![header(), done("a", false), Mark::Flushed, verified];
        let parse = |marks: &[Mark]| Record::parse(text(marks).as_slice(), false).unwrap().0;
        let record = parse(&marks);
        assert!(record.flushed && record.verified.is_some() && record.done.is_empty());
        marks.push(done("b", false));
        let record = parse(&marks);
        assert!(!record.flushed && record.verified.is_none());
    }

    proptest! {
        #[test]
        fn a_torn_or_overwritten_tail_costs_only_what_it_held(cut in 0usize..600, junk in prop::collection::vec(any::<u8>(), 0..40)) {
            let whole = text(&[header(), done("a", true), Mark::Ready, done("b", true), Mark::Flushed]);
            let kept = &whole[..cut.min(whole.len())];
            let lines = kept.iter().filter(|&&byte| byte == b'\n').count();
            let torn = [kept, &junk, b"\n".as_slice(), &text(&[done("c", true)])].concat();
            let record = parse(&torn);
            if lines >= 3 {
                prop_assert!(record.ready && record.done.contains_key(&RelPath::parse("a").unwrap()));
            }
            if lines >= 1 {
                prop_assert!(record.done.contains_key(&RelPath::parse("c").unwrap()));
            }
        }
    }
}
