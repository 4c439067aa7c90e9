//! What an earlier night has verified.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::Error;
use crate::base::clock::Timestamp;
use crate::media::checksum;
use crate::media::storage::{self, RelPath, Stat};

/// First line; the second is the tree's path. Another version is begun anew.
const NAME: &str = "databridge-verify-state";
const HEADER: &str = "databridge-verify-state 1";
/// As of [`checksum::Cache`]: what is younger may be written to unseen.
const RACY_NS: i64 = 2_000_000_000;
/// Marks are on the device at the latest after this.
const SYNC: Duration = Duration::from_secs(5);

/// Files that were read and found right, with the facts that they had and the time:
/// a line each, written as it is found, so that whatever ends the run, the next one
/// goes on from there. A file is read again if size, mtime, ctime or inode moved, if
/// something else is expected of it, or if it was read longer ago than asked. What
/// differed is never remembered.
///
/// A line ends in a check (XXH3) over it; one that is torn or damaged is passed over.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    known: HashMap<String, Mark>,
    oldest: Timestamp,
    out: Mutex<Out>,
}

#[derive(Debug)]
struct Out {
    file: File,
    text: String,
    synced: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    at: Timestamp,
    fingerprint: u64,
    ino: u64,
    size_bytes: u64,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl Mark {
    fn line(&self, path: &str) -> String {
        let Self { at, fingerprint, ino, size_bytes, mtime_ns, ctime_ns } = self;
        let at = at.as_micros();
        let text =
            format!("{at} {fingerprint:016x} {ino} {size_bytes} {mtime_ns} {ctime_ns} {path}");
        format!("{:016x} {text}\n", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
    }

    fn parse(line: &str) -> Option<(String, Self)> {
        let (check, text) = line.strip_suffix('\n')?.split_once(' ')?;
        if u64::from_str_radix(check, 16) != Ok(xxhash_rust::xxh3::xxh3_64(text.as_bytes())) {
            return None;
        }
        let mut fields = text.splitn(7, ' ');
        let mut next = || fields.next();
        let at = Timestamp::from_micros(next()?.parse().ok()?);
        let fingerprint = u64::from_str_radix(next()?, 16).ok()?;
        let (ino, size_bytes) = (next()?.parse().ok()?, next()?.parse().ok()?);
        let (mtime_ns, ctime_ns) = (next()?.parse().ok()?, next()?.parse().ok()?);
        Some((next()?.to_owned(), Self { at, fingerprint, ino, size_bytes, mtime_ns, ctime_ns }))
    }
}

impl State {
    /// Opens or begins the state of verifying the tree `root`. What was verified
    /// longer ago than `max_age` counts no more.
    ///
    /// # Errors
    /// [`Error::State`] if something else stands there, or another run holds it; what
    /// the system says.
    pub fn open(path: &Path, root: &Path, max_age: Duration) -> Result<Self, Error> {
        let fail = |error| Error::from(storage::Error::io("open", path, error));
        let wrong = |reason| Error::State { path: path.to_owned(), reason };
        let root = root.canonicalize().map_err(fail)?;
        let root = storage::escape(root.as_os_str().as_encoded_bytes());
        let file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(fail)?;
        // Where there are no locks, two runs cost time and nothing else.
        let lock = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        if lock == Err(Errno::WOULDBLOCK) {
            return Err(wrong("another verification uses it"));
        }
        let oldest = Timestamp::now() - max_age;
        let (known, is_whole) = read(&file, &root).map_err(|error| match error {
            Trouble::Io(error) => fail(error),
            Trouble::Wrong(reason) => wrong(reason),
        })?;
        let known: HashMap<_, _> =
            known.into_iter().filter(|(_, mark)| mark.at >= oldest).collect();
        let out = Out { file, text: String::new(), synced: Instant::now() };
        let state = Self { path: path.to_owned(), known, oldest, out: Mutex::new(out) };
        if !is_whole {
            state.rewrite(&root).map_err(fail)?;
        }
        Ok(state)
    }

    /// Begins the file anew with what is known. Its end may be torn, and a line
    /// appended to that would be lost.
    fn rewrite(&self, root: &str) -> std::io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = format!("{HEADER}\n{root}\n");
        for (path, mark) in &self.known {
            text.push_str(&mark.line(path));
        }
        // A crash in between loses what was verified, and never invents anything.
        out.file.set_len(0)?;
        out.file.write_all(text.as_bytes())?;
        out.file.sync_data()
    }

    /// Whether a file with these facts was verified against this.
    pub(super) fn knows(&self, path: &RelPath, fingerprint: u64, stat: &Stat) -> bool {
        self.known.get(path.as_str()).is_some_and(|mark| {
            let facts = (mark.ino, mark.size_bytes, mark.mtime_ns, mark.ctime_ns);
            mark.at >= self.oldest
                && mark.fingerprint == fingerprint
                && facts == (stat.ino, stat.size_bytes, stat.mtime_ns, stat.ctime_ns)
        })
    }

    /// Remembers a file that was found right.
    pub(super) fn keep(
        &self,
        path: &RelPath,
        fingerprint: u64,
        stat: &Stat,
    ) -> Result<(), checksum::Error> {
        let at = Timestamp::now();
        let youngest = stat.mtime_ns.max(stat.ctime_ns);
        if at.as_micros().saturating_mul(1000).saturating_sub(youngest) < RACY_NS {
            return Ok(());
        }
        let Stat { ino, size_bytes, mtime_ns, ctime_ns, .. } = *stat;
        let mark = Mark { at, fingerprint, ino, size_bytes, mtime_ns, ctime_ns };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.text.push_str(&mark.line(path.as_str()));
        if out.text.len() >= 64 * 1024 {
            out.write(false).map_err(|e| storage::Error::io("write", &self.path, e))?;
        }
        Ok(())
    }

    /// Writes what was kept; now and then also to the device.
    pub(super) fn flush(&self) -> Result<(), checksum::Error> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(out.write(false).map_err(|error| storage::Error::io("write", &self.path, error))?)
    }

    /// Writes what was kept, to the device.
    pub(super) fn close(&self) -> Result<(), Error> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(out.write(true).map_err(|error| storage::Error::io("write", &self.path, error))?)
    }
}

impl Out {
    fn write(&mut self, now: bool) -> std::io::Result<()> {
        self.file.write_all(self.text.as_bytes())?;
        self.text.clear();
        if now || self.synced.elapsed() >= SYNC {
            self.file.sync_data()?;
            self.synced = Instant::now();
        }
        Ok(())
    }
}

enum Trouble {
    Io(std::io::Error),
    Wrong(&'static str),
}

/// The marks, and whether every line of the file is one.
fn read(file: &File, root: &str) -> Result<(HashMap<String, Mark>, bool), Trouble> {
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        lines.read_until(b'\n', line).map_err(Trouble::Io)
    };
    next(&mut line)?;
    if !line.is_empty() && !line.starts_with(NAME.as_bytes()) {
        return Err(Trouble::Wrong("not the state of a verification"));
    }
    let mut known = HashMap::new();
    if line != format!("{HEADER}\n").into_bytes() {
        return Ok((known, false));
    }
    next(&mut line)?;
    match line.strip_suffix(b"\n") {
        None => return Ok((known, false)),
        Some(other) if other != root.as_bytes() => {
            return Err(Trouble::Wrong("the state of verifying another folder"));
        }
        Some(_) => {}
    }
    let mut is_whole = true;
    while next(&mut line)? > 0 {
        match std::str::from_utf8(&line).ok().and_then(Mark::parse) {
            Some((path, mark)) => is_whole &= known.insert(path, mark).is_none(),
            None => is_whole = false,
        }
    }
    Ok((known, is_whole))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::base::error::Fault;

    const DAY: Duration = Duration::from_secs(86_400);

    fn stat(root: &Path) -> Stat {
        let mut stat = Stat::of(File::open(root).unwrap()).unwrap();
        (stat.mtime_ns, stat.ctime_ns) = (5, 6);
        stat
    }

    #[test]
    fn it_remembers_across_runs_and_torn_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let stat = stat(dir.path());
        let rel = |text: &str| RelPath::parse(text).unwrap();
        let state = State::open(&path, dir.path(), DAY).unwrap();
        state.keep(&rel("a b/c"), 7, &stat).unwrap();
        state.keep(&rel("d"), 8, &stat).unwrap();
        assert_eq!(State::open(&path, dir.path(), DAY).unwrap_err().code(), "manifest.state");
        state.close().unwrap();
        drop(state);
        let mut whole = std::fs::read(&path).unwrap();
        whole.truncate(whole.len() - 3);
        std::fs::write(&path, &whole).unwrap();
        let state = State::open(&path, dir.path(), DAY).unwrap();
        assert!(state.knows(&rel("a b/c"), 7, &stat));
        assert!(!state.knows(&rel("a b/c"), 8, &stat));
        assert!(!state.knows(&rel("d"), 8, &stat));
        let mut changed = stat;
        changed.ctime_ns += 1;
        assert!(!state.knows(&rel("a b/c"), 7, &changed));
        state.keep(&rel("e"), 9, &stat).unwrap();
        state.close().unwrap();
        drop(state);
        let state = State::open(&path, dir.path(), DAY).unwrap();
        assert!(state.knows(&rel("a b/c"), 7, &stat) && state.knows(&rel("e"), 9, &stat));
        drop(state);
        let state = State::open(&path, dir.path(), Duration::ZERO).unwrap();
        assert!(!state.knows(&rel("e"), 9, &stat));
    }

    #[test]
    fn young_files_and_strangers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let rel = RelPath::parse("a").unwrap();
        let young = Stat::of(File::open(dir.path()).unwrap()).unwrap();
        let state = State::open(&path, dir.path(), DAY).unwrap();
        state.keep(&rel, 7, &young).unwrap();
        state.close().unwrap();
        drop(state);
        assert!(!State::open(&path, dir.path(), DAY).unwrap().knows(&rel, 7, &young));
        let other = tempfile::tempdir().unwrap();
        let error = State::open(&path, other.path(), DAY).unwrap_err();
        assert!(error.to_string().contains("another folder"), "{error}");
        std::fs::write(&path, "my letters\n").unwrap();
        assert_eq!(State::open(&path, dir.path(), DAY).unwrap_err().code(), "manifest.state");
        assert_eq!(std::fs::read(&path).unwrap(), b"my letters\n");
    }

    proptest! {
        #[test]
        fn lines_come_back(path in "[^\0-\x1f\\\\]{1,20}", fingerprint: u64, ino: u64, size_bytes: u64, mtime_ns: i64, ctime_ns: i64) {
            let at = Timestamp::from_micros(1_790_000_000_000_000);
            let mark = Mark { at, fingerprint, ino, size_bytes, mtime_ns, ctime_ns };
            let line = mark.line(&path);
            prop_assert_eq!(Mark::parse(&line), Some((path, mark)));
            for cut in 0..line.len() {
                if line.is_char_boundary(cut) {
                    prop_assert_eq!(Mark::parse(&line[..cut]), None);
                }
            }
        }
    }
}
