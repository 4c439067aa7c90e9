//! What is being taken in: many files, each durable long before all of them are added. A
//! mark beside them lives as long as whoever takes them in, and tells housekeeping so.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use uuid::Uuid;

use super::drafting::private_dir;
use super::{Error, Service};
use crate::base::clock::Timestamp;

/// What the names of marks begin with.
const MARK: &str = ".ingest-";
/// Where the mount cannot lock, a mark holds so long.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Keeps everything that is taken in from now on, until it is dropped or its process ends.
#[derive(Debug)]
pub struct Ingest {
    path: PathBuf,
    _locked: File,
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // One that stays behind is held by nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Service {
    /// Begins to take files in.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn ingest(&self) -> Result<Ingest, Error> {
        let folder = private_dir(&self.places.uploads())?;
        // Whoever was killed at it left a mark.
        let _ = oldest(&folder, true);
        loop {
            let path = folder.join(format!("{MARK}{}", Uuid::now_v7().simple()));
            let io = |source| Error::Io { path: path.display().to_string(), source };
            let file = File::create_new(&path).map_err(io)?;
            // Housekeeping may have found it before it was locked, and removed it.
            if lock(&file).map_err(io)? != Lock::Others && path.exists() {
                return Ok(Ingest { path, _locked: file });
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Lock {
    Ours,
    Others,
    /// The mount cannot.
    Unknown,
}

fn lock(file: &File) -> std::io::Result<Lock> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock::Ours),
        Err(Errno::WOULDBLOCK) => Ok(Lock::Others),
        Err(Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS) => Ok(Lock::Unknown),
        Err(error) => Err(error.into()),
    }
}

/// When the oldest ingest began that is not at its end; marks that nobody holds are
/// removed where that is wanted.
pub(super) fn oldest(uploads: &Path, sweep: bool) -> std::io::Result<Option<Timestamp>> {
    let folder = match std::fs::read_dir(uploads) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        folder => folder?,
    };
    let mut oldest: Option<SystemTime> = None;
    for entry in folder {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(MARK) {
            continue;
        }
        // It may go at this moment.
        let found = File::options().read(true).write(true).open(entry.path());
        let Some(file) = unless_gone(found)? else { continue };
        let began = file.metadata()?.modified()?;
        let is_held = match lock(&file)? {
            Lock::Others => true,
            Lock::Ours => false,
            Lock::Unknown => began.elapsed().is_ok_and(|age| age < LONGEST),
        };
        if is_held {
            oldest = Some(oldest.map_or(began, |at| at.min(began)));
        } else if sweep {
            unless_gone(std::fs::remove_file(entry.path()))?;
        }
    }
    Ok(oldest.map(Timestamp::from))
}

fn unless_gone<T>(found: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}
