//! Taking an infected file out of the way, with its evidence.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, RenameFlags, chmodat, fchmod, renameat, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{Error, FileVerdict, Verdict};
use crate::base::clock::Timestamp;
use crate::base::steps;
use crate::media::checksum::{Hasher, Sha256};
use crate::media::storage::{Error as StorageError, Folder, RelPath, make_dirs};

/// The rights of a frozen file.
const FROZEN: Mode = Mode::RUSR.union(Mode::RGRP);

/// What stands beside a file in quarantine, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The folder it was taken from.
    pub root: PathBuf,
    /// Its path there.
    pub path: RelPath,
    /// Digest of what was quarantined.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: u64,
    /// Why.
    pub verdict: Verdict,
    /// Who said so.
    pub engine: String,
    /// When it was first taken.
    pub quarantined_at: Timestamp,
}

/// Where a file and its evidence stand now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The file, mode 000.
    pub file: PathBuf,
    /// Its [`Evidence`].
    pub evidence_file: PathBuf,
    /// The same, read.
    pub evidence: Evidence,
}

/// Moves `verdict.path` below `root` into `quarantine_dir` (made with mode 0700 if
/// missing), under a name made of its path and digest, with mode 000 and its
/// evidence beside it. The evidence is on the device before the file moves.
/// Repeating it, also after a kill, ends in the same place.
///
/// # Errors
/// [`Error::QuarantineConflict`] where other content stands under that name,
/// [`Error::NothingToQuarantine`] where the file is neither here nor there.
pub fn quarantine(
    root: &Path,
    verdict: &FileVerdict,
    quarantine_dir: &Path,
) -> Result<Quarantined, Error> {
    let folder = Folder::open(root).map_err(Error::storage)?;
    let place = Place::open(root, verdict, quarantine_dir)?;
    let whole_path = root.join(verdict.path.to_path());
    match folder.open_file(&verdict.path) {
        Ok(file) => {
            let (sha256, size_bytes) = digest(&file).map_err(Error::io("read", &whole_path))?;
            place.keep(&Evidence {
                root: root.to_path_buf(),
                path: verdict.path.clone(),
                sha256,
                size_bytes,
                verdict: verdict.verdict.clone(),
                engine: verdict.engine.clone(),
                quarantined_at: Timestamp::now(),
            })?;
            steps::reach("quarantine.evidence");
            place.take(&folder, &verdict.path, file, sha256)?;
        }
        Err(StorageError::NotFound { .. }) if place.is_taken()? => {}
        Err(StorageError::NotFound { .. }) => {
            return Err(Error::NothingToQuarantine { path: whole_path });
        }
        Err(error) => return Err(Error::storage(error)),
    }
    place.seal()?;
    steps::reach("quarantine.moved");
    place.found()
}

/// Puts a quarantined file back where it stood, readable again; its evidence
/// stays. Repeating it, also after a kill, ends in the same place.
///
/// # Errors
/// [`Error::QuarantineConflict`] where the file is not the one that was taken, or other
/// content stands where it stood, [`Error::NothingToQuarantine`] where it is neither here nor there.
pub fn release(root: &Path, verdict: &FileVerdict, quarantine_dir: &Path) -> Result<(), Error> {
    let folder = Folder::open(root).map_err(Error::storage)?;
    let place = Place::open(root, verdict, quarantine_dir)?;
    let whole_path = root.join(verdict.path.to_path());
    if place.is_taken()? {
        let taken = place.evidence()?.map(|evidence| evidence.sha256);
        let conflict = || Error::QuarantineConflict { path: place.path(&place.name) };
        let taken = taken.ok_or_else(conflict)?;
        place.expect(taken)?;
        match folder.open_file(&verdict.path) {
            Err(StorageError::NotFound { .. }) => {
                place.give_back(&folder, &verdict.path, taken).inspect_err(|_| {
                    // Nobody may read what is not released. Told is what went wrong first.
                    let _ = place.seal();
                })?;
            }
            // A kill came between the copy and the removal.
            Ok(file) if digest(&file).map_err(Error::io("read", &whole_path))?.0 == taken => {
                place.forget()?;
            }
            Ok(_) => return Err(Error::QuarantineConflict { path: whole_path }),
            Err(error) => return Err(Error::storage(error)),
        }
    }
    match folder.open_file(&verdict.path) {
        Ok(_) => Ok(()),
        Err(StorageError::NotFound { .. }) => Err(Error::NothingToQuarantine { path: whole_path }),
        Err(error) => Err(Error::storage(error)),
    }
}

/// Where one file goes.
struct Place {
    folder: Folder,
    name: RelPath,
    evidence_name: RelPath,
    partial_name: RelPath,
}

impl Place {
    /// The name says nothing of the file's own: it is made of where it stood and
    /// what was found there.
    fn open(root: &Path, verdict: &FileVerdict, quarantine_dir: &Path) -> Result<Self, Error> {
        make_dirs(quarantine_dir, 0o700).map_err(Error::io("create", quarantine_dir))?;
        let folder = Folder::open(quarantine_dir).map_err(Error::storage)?;
        let digest = verdict.sha256.map(|sha256| sha256.to_string()).unwrap_or_default();
        let identity = [
            root.as_os_str().as_encoded_bytes(),
            verdict.path.as_str().as_bytes(),
            digest.as_bytes(),
        ];
        let hash = Sha256::of(&identity.join(&0)).to_string();
        let name = |suffix: &str| {
            RelPath::parse(&format!("{}{suffix}", &hash[..32])).map_err(Error::storage)
        };
        Ok(Self {
            folder,
            name: name("")?,
            evidence_name: name(".json")?,
            partial_name: name(".partial")?,
        })
    }

    fn path(&self, name: &RelPath) -> PathBuf {
        self.folder.path().join(name.to_path())
    }

    fn is_taken(&self) -> Result<bool, Error> {
        match self.folder.stat(&self.name) {
            Ok(_) => Ok(true),
            Err(StorageError::NotFound { .. }) => Ok(false),
            Err(error) => Err(Error::storage(error)),
        }
    }

    fn evidence(&self) -> Result<Option<Evidence>, Error> {
        let path = self.path(&self.evidence_name);
        match std::fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|error| Error::io("understand", &path)(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Writes the evidence, unless the same stands there from a first attempt.
    fn keep(&self, evidence: &Evidence) -> Result<(), Error> {
        if let Some(kept) = self.evidence()? {
            if kept.sha256 == evidence.sha256 {
                return Ok(());
            }
            if self.is_taken()? {
                return Err(Error::QuarantineConflict { path: self.path(&self.name) });
            }
        }
        let path = self.path(&self.evidence_name);
        let json = serde_json::to_vec_pretty(evidence)
            .map_err(|error| Error::io("write", &path)(error.into()))?;
        let mut file = self.partial(0o600)?;
        file.write_all(&json).and_then(|()| file.sync_all()).map_err(Error::io("write", &path))?;
        self.folder.rename(&self.partial_name, &self.evidence_name).map_err(Error::storage)?;
        self.folder.sync().map_err(Error::storage)
    }

    /// A new file beside the place; one that a kill left behind is thrown away.
    fn partial(&self, mode: u32) -> Result<File, Error> {
        match self.folder.remove_file(&self.partial_name) {
            Ok(()) | Err(StorageError::NotFound { .. }) => {}
            Err(error) => return Err(Error::storage(error)),
        }
        self.folder.create_new(&self.partial_name, mode).map_err(Error::storage)
    }

    /// Moves the file here, by renaming, or by copying where that cannot be.
    fn take(&self, from: &Folder, path: &RelPath, file: File, sha256: Sha256) -> Result<(), Error> {
        let parent = parent(from, path)?;
        if self.is_taken()? {
            // A kill came between the copy and the removal.
            self.expect(sha256)?;
            from.remove_file(path).map_err(Error::storage)?;
        } else {
            match renameat(&parent, path.file_name(), &self.folder, self.name.as_str()) {
                Ok(()) => {}
                Err(Errno::XDEV) => {
                    self.copy(file, sha256)?;
                    from.remove_file(path).map_err(Error::storage)?;
                }
                Err(error) => {
                    return Err(Error::io("move", from.path().join(path.to_path()))(error.into()));
                }
            }
        }
        self.folder.sync().map_err(Error::storage)?;
        parent.sync().map_err(Error::storage)
    }

    /// The way back, with the rights of a frozen file, by renaming, or by copying where
    /// that cannot be. Nothing is replaced there.
    fn give_back(&self, to: &Folder, path: &RelPath, sha256: Sha256) -> Result<(), Error> {
        let parent = parent(to, path)?;
        let failed = |error: Errno| Error::io("move", to.path().join(path.to_path()))(error.into());
        let (here, there) = (self.name.as_str(), path.file_name());
        chmodat(&self.folder, here, FROZEN, AtFlags::empty()).map_err(failed)?;
        match renameat_with(&self.folder, here, &parent, there, RenameFlags::NOREPLACE) {
            // The file system knows no such flag; we have looked that nothing stands there.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                renameat(&self.folder, here, &parent, there).map_err(failed)?;
            }
            Err(Errno::XDEV) => {
                self.copy_back(&parent, there, sha256)?;
                self.folder.remove_file(&self.name).map_err(Error::storage)?;
            }
            moved => moved.map_err(failed)?,
        }
        parent.sync().map_err(Error::storage)?;
        self.folder.sync().map_err(Error::storage)
    }

    fn copy(&self, file: File, sha256: Sha256) -> Result<(), Error> {
        let copy = self.partial(0o600)?;
        written(file, copy, sha256).map_err(Error::io("write", self.path(&self.name)))?;
        self.folder.rename(&self.partial_name, &self.name).map_err(Error::storage)?;
        self.folder.sync().map_err(Error::storage)
    }

    fn copy_back(&self, to: &Folder, name: &str, sha256: Sha256) -> Result<(), Error> {
        let parse = |name: &str| RelPath::parse(name).map_err(Error::storage);
        let (name, partial) = (parse(name)?, parse(&format!(".{}", self.partial_name))?);
        let file = self.folder.open_file(&self.name).map_err(Error::storage)?;
        match to.remove_file(&partial) {
            Ok(()) | Err(StorageError::NotFound { .. }) => {}
            Err(error) => return Err(Error::storage(error)),
        }
        let copy = to.create_new(&partial, 0o600).map_err(Error::storage)?;
        let done = fchmod(&copy, FROZEN)
            .map_err(io::Error::from)
            .and_then(|()| written(file, copy, sha256))
            .map_err(Error::io("write", to.path().join(name.to_path())))
            .and_then(|()| to.rename_new(&partial, &name).map_err(Error::storage))
            .and_then(|_| to.sync().map_err(Error::storage));
        done.inspect_err(|_| {
            // It is no part of the tree; the next attempt begins with this, too.
            let _ = to.remove_file(&partial);
        })
    }

    /// Removes the file here, which stands where it was again.
    fn forget(&self) -> Result<(), Error> {
        self.folder.remove_file(&self.name).map_err(Error::storage)?;
        self.folder.sync().map_err(Error::storage)
    }

    /// What stands here must be what is to be taken.
    fn expect(&self, sha256: Sha256) -> Result<(), Error> {
        let path = self.path(&self.name);
        let readable = Mode::RUSR;
        chmodat(&self.folder, self.name.as_str(), readable, AtFlags::empty())
            .map_err(|error| Error::io("open", &path)(error.into()))?;
        let file = self.folder.open_file(&self.name).map_err(Error::storage)?;
        let found = digest(&file).map_err(Error::io("read", &path))?.0;
        self.seal()?;
        if found == sha256 { Ok(()) } else { Err(Error::QuarantineConflict { path }) }
    }

    /// Takes every right to the file away.
    fn seal(&self) -> Result<(), Error> {
        chmodat(&self.folder, self.name.as_str(), Mode::empty(), AtFlags::empty())
            .map_err(|error| Error::io("seal", self.path(&self.name))(error.into()))
    }

    fn found(self) -> Result<Quarantined, Error> {
        let evidence_file = self.path(&self.evidence_name);
        let evidence = self
            .evidence()?
            .ok_or_else(|| Error::io("read", &evidence_file)(io::ErrorKind::NotFound.into()))?;
        Ok(Quarantined { file: self.path(&self.name), evidence_file, evidence })
    }
}

/// The folder that a file stands in.
fn parent(root: &Folder, path: &RelPath) -> Result<Folder, Error> {
    let parent = match path.parent() {
        Some(parent) => root.open_dir(&parent),
        None => Folder::open(root.path()),
    };
    parent.map_err(Error::storage)
}

/// Copies a file, flushes the copy and reads it again.
fn written(mut file: File, mut copy: File, sha256: Sha256) -> io::Result<()> {
    file.rewind()?;
    io::copy(&mut file, &mut copy)?;
    copy.sync_all()?;
    match digest(&copy)?.0 == sha256 {
        true => Ok(()),
        false => Err(io::Error::other("the copy differs")),
    }
}

/// Digest and length of all of a file, read at offsets.
fn digest(file: &File) -> io::Result<(Sha256, u64)> {
    let mut hasher = Hasher::new(&[]);
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((hasher.finish().sha256(), offset))
}
