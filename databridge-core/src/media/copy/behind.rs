//! Short files that are read back while others are still written.
//!
//! None of them is flushed by itself. Whenever so many are written, one `syncfs(2)` brings
//! them to the device, and they are read from there while the workers write on. What was
//! closed before that call began was durable when it was read. What was not right, or could
//! not be read, is not remembered here: the read-back at the end, which looks whether each
//! file still is what it was, reads it for itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::io::Errno;

use crate::media::checksum::{Hasher, Sha256};
use crate::media::manifest::Entry;
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{Aligned, Medium, Worth};

use super::error::Error;
use super::pool;
use super::session::Session;
use super::site::Standing;
use super::source::Facts;

/// So many files, or so many bytes of them, are worth a flush of their own.
const FILES: usize = 2048;
const BYTES: u64 = 32 << 20;
/// Files at a time: the device answers when it likes.
const JOBS: usize = 8;
/// Read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// What was read back ahead of time, by the manifest's entries: a seal of what the device
/// gave and what the file was then, and what reading it was worth.
#[derive(Debug, Default)]
pub struct Ahead(Vec<Option<(Sha256, Worth)>>);

impl Ahead {
    /// Of an entry that still is what it was.
    pub fn of(&self, at: usize, sha256: Sha256, now: Facts) -> Option<Worth> {
        let (sealed, worth) = self.0.get(at).copied().flatten()?;
        (sealed == seal(sha256, now)).then_some(worth)
    }
}

/// A digest and facts as one digest: half as long as both, and there may be a million.
fn seal(sha256: Sha256, facts: Facts) -> Sha256 {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&sha256.0);
    both[32..].copy_from_slice(&facts.bytes());
    Sha256::of(&both)
}

/// Files written, on their way to who reads them back.
#[derive(Debug)]
pub struct Behind<'a> {
    session: &'a Session<'a>,
    medium: Medium,
    written: Mutex<Written>,
    moved: Condvar,
    /// A flush failed, so that nothing that is written still counts.
    broken: AtomicBool,
}

#[derive(Debug, Default)]
struct Written {
    files: Vec<(usize, Sha256)>,
    bytes: u64,
    over: bool,
}

/// Nothing more comes once it is dropped.
#[derive(Debug)]
pub struct Writing<'a, 's>(&'a Behind<'s>);

impl Drop for Writing<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.moved.notify_all();
    }
}

impl<'s> Behind<'s> {
    pub fn new(session: &'s Session<'s>, medium: Medium) -> Self {
        Self {
            session,
            medium,
            written: Mutex::default(),
            moved: Condvar::new(),
            broken: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As long as this is held files are written.
    pub fn writing(&self) -> Writing<'_, 's> {
        Writing(self)
    }

    /// A file is written, closed, and nothing of it changes any more.
    pub fn add(&self, at: usize, sha256: Sha256, size_bytes: u64) {
        let mut written = self.lock();
        written.files.push((at, sha256));
        written.bytes += size_bytes;
        if written.is_enough() {
            self.moved.notify_all();
        }
    }

    /// Whether there is any use in writing on.
    ///
    /// # Errors
    /// [`Error::Cancelled`] where [`follow`](Self::follow) has failed.
    pub fn check(&self) -> Result<(), Error> {
        if self.broken.load(Ordering::Acquire) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Reads behind the writers to their end; what is left then is left to the others.
    ///
    /// # Errors
    /// What the flush said (it says so only once); [`Error::Fenced`],
    /// [`Error::Cancelled`].
    pub fn follow(&self, monitor: &dyn Monitor) -> Result<Ahead, Error> {
        let ahead = self.read_all(monitor);
        self.broken.store(ahead.is_err(), Ordering::Release);
        ahead
    }

    fn read_all(&self, monitor: &dyn Monitor) -> Result<Ahead, Error> {
        let entries = self.session.plan.manifest.entries();
        let ahead = Mutex::new(Vec::new());
        while let Some(files) = self.next() {
            let site = &self.session.site;
            rustix::fs::syncfs(site.parent())
                .map_err(|errno| Error::at(site.final_path(), errno))?;
            site.check_partial()?;
            let read = |&(at, sha256): &(usize, Sha256), buffer: &mut Aligned, _: &dyn Monitor| {
                if let Ok(Some(found)) = self.read(&entries[at], sha256, buffer) {
                    let mut ahead = ahead.lock().unwrap_or_else(PoisonError::into_inner);
                    if ahead.is_empty() {
                        ahead.resize(entries.len(), None);
                    }
                    ahead[at] = Some(found);
                    monitor.on(Progress::Ahead(entries[at].size_bytes()));
                }
                Ok(())
            };
            pool::each(None, JOBS, 1, &files, monitor, || Aligned::new(BUFFER_BYTES), read)?;
        }
        Ok(Ahead(ahead.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Waits until there are enough; `None` once nothing more comes.
    fn next(&self) -> Option<Vec<(usize, Sha256)>> {
        let mut written = self.lock();
        while !written.over {
            if written.is_enough() {
                written.bytes = 0;
                return Some(std::mem::take(&mut written.files));
            }
            written = self.moved.wait(written).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// What the device gives, if that is right.
    fn read(
        &self,
        entry: &Entry,
        sha256: Sha256,
        buffer: &mut Aligned,
    ) -> Result<Option<(Sha256, Worth)>, Errno> {
        let (site, shape) = (&self.session.site, self.session.plan.shape);
        let place = site.entry(Standing::Partial, shape, entry.path().as_str());
        let mut device = site.device(&place, self.medium)?;
        // Before it is read: what happens to it from now on is seen by that.
        let then = Facts::from(&device.stat()?);
        device.forget();
        let (mut hash, mut at) = (Hasher::new(&[]), 0);
        while at < entry.size_bytes() {
            let count = device.read(at, entry.size_bytes(), buffer)?;
            if count == 0 {
                return Ok(None);
            }
            hash.update(&buffer[..count]);
            at += count as u64;
        }
        let right = hash.finish().sha256() == sha256;
        Ok(right.then(|| (seal(sha256, then), device.worth())))
    }
}

impl Written {
    fn is_enough(&self) -> bool {
        self.files.len() >= FILES || self.bytes >= BYTES
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::media::storage::Stat;

    #[test]
    fn only_what_still_is_what_was_read_is_known() {
        let was = Stat::of(tempfile::tempfile().unwrap()).unwrap();
        let (right, wrong) = (Sha256::of(b"a"), Sha256::of(b"b"));
        let found = Some((seal(right, Facts::from(&was)), Worth::Direct));
        let ahead = Ahead(vec![None, found]);
        let of = |at, sha256, now: &Stat| ahead.of(at, sha256, Facts::from(now));
        assert_eq!(of(1, right, &was), Some(Worth::Direct));
        assert_eq!(of(1, wrong, &was), None);
        for now in [
            Stat { ino: was.ino + 1, ..was },
            Stat { size_bytes: was.size_bytes + 1, ..was },
            Stat { mtime_ns: was.mtime_ns + 1, ..was },
            Stat { ctime_ns: was.ctime_ns + 1, ..was },
        ] {
            assert_eq!(of(1, right, &now), None);
        }
        assert_eq!((of(0, right, &was), of(2, right, &was)), (None, None));
    }
}
