//! Making new inodes of the parts and publishing them.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rayon::prelude::*;
use rustix::fs::{
    Mode, Timespec, Timestamps, UTIME_OMIT, fchmod, fstatfs, fsync, futimens, ioctl_ficlone, syncfs,
};

use super::place::{FILE_MODE, FOLDER_MODE, Place};
use super::{Error, Fact, Frozen, Part, Piece, frozen, sources};
use crate::base::steps::reach;
use crate::media::checksum::{self, Hasher, Sha256};
use crate::media::manifest::Entry;
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{self, Folder, RelPath, Stat};
use crate::media::walk::Kind;

pub(super) fn tree(parts: &[Part], place: &Place, monitor: &dyn Monitor) -> Result<Frozen, Error> {
    let building = place.fresh()?;
    place.parent.create_dir_all(&building, FOLDER_MODE)?;
    let done = fill(parts, &place.parent.open_dir(&building)?, monitor).and_then(|frozen| {
        reach("freeze.before_rename");
        place.parent.rename_new(&building, &place.name)?;
        reach("freeze.renamed");
        place.parent.sync()?;
        Ok(frozen)
    });
    if done.is_err() {
        // The error above counts; what cannot be wiped now is wiped by the next run.
        let _ = place.parent.remove_tree(&building);
    }
    done
}

fn fill(parts: &[Part], root: &Folder, monitor: &dyn Monitor) -> Result<Frozen, Error> {
    let dirs = folders(parts);
    for dir in &dirs {
        root.create_dir_all(dir, FOLDER_MODE)?;
    }
    let is_flushed_at_once = parts.len() > FEW && knows_syncfs(root)?;
    let pieces = copy(parts, root, !is_flushed_at_once, monitor)?;
    reach("freeze.copied");
    if is_flushed_at_once {
        syncfs(root).map_err(|error| storage::Error::io("flush", root.path(), error))?;
    } else {
        for dir in &dirs {
            root.sync_dir(dir)?;
        }
        root.sync()?;
    }
    frozen(pieces)
}

/// Every folder there will be, parents first.
fn folders(parts: &[Part]) -> BTreeSet<RelPath> {
    let mut dirs = BTreeSet::new();
    for part in parts {
        let mut dir = match part.kind {
            Kind::File => part.path.parent(),
            Kind::EmptyDir => Some(part.path.clone()),
        };
        while let Some(path) = dir {
            dir = path.parent();
            if !dirs.insert(path) {
                break;
            }
        }
    }
    dirs
}

enum Outcome {
    Frozen(Piece),
    Mismatch(RelPath),
}

fn copy(
    parts: &[Part],
    root: &Folder,
    is_flushing: bool,
    monitor: &dyn Monitor,
) -> Result<Vec<Piece>, Error> {
    let sources = sources(parts)?;
    let source = |part: &Part| {
        sources
            .get(part.root.as_path())
            .ok_or_else(|| storage::Error::NotFound { path: part.root.clone() })
    };
    let (mut files, mut bytes) = (0, 0);
    for part in parts.iter().filter(|part| part.kind == Kind::File) {
        files += 1;
        bytes += source(part)?.stat(&part.path)?.size_bytes;
    }
    monitor.on(Progress::Total { files, bytes });
    let copy_one = |buffer: &mut Vec<u8>, part: &Part| match part.kind {
        Kind::File => copy_file(part, source(part)?, root, is_flushing, buffer, monitor),
        Kind::EmptyDir => {
            let fact = Fact::new(part.path.clone(), part.kind, &root.stat(&part.path)?);
            let entry = Entry::EmptyDir { path: part.path.clone() };
            Ok(Outcome::Frozen(Piece { entry, fact }))
        }
    };
    let outcomes: Result<Vec<_>, Error> = checksum::pool(None)?
        .install(|| parts.par_iter().map_init(checksum::buffer, copy_one).collect());
    let (mut pieces, mut mismatches) = (Vec::new(), Vec::new());
    for outcome in outcomes? {
        match outcome {
            Outcome::Frozen(piece) => pieces.push(piece),
            Outcome::Mismatch(path) => mismatches.push(path),
        }
    }
    if mismatches.is_empty() { Ok(pieces) } else { Err(Error::Mismatch { paths: mismatches }) }
}

fn copy_file(
    part: &Part,
    folder: &Folder,
    root: &Folder,
    is_flushing: bool,
    buffer: &mut [u8],
    monitor: &dyn Monitor,
) -> Result<Outcome, Error> {
    let pair = Pair::open(&part.path, folder, root)?;
    let (source, sha256) = pair.fill(buffer, monitor)?;
    let stat = pair.seal(source.mtime_ns, is_flushing)?;
    monitor.on(Progress::File(part.path.as_str()));
    let (path, size_bytes) = (part.path.clone(), source.size_bytes);
    if part.expect.is_some_and(|expect| expect != (size_bytes, sha256)) {
        return Ok(Outcome::Mismatch(path));
    }
    let fact = Fact::new(path.clone(), Kind::File, &stat);
    Ok(Outcome::Frozen(Piece { entry: Entry::File { path, size_bytes, sha256 }, fact }))
}

/// A file of the source and the new inode that takes its content.
struct Pair {
    from: PathBuf,
    source: File,
    to: PathBuf,
    target: File,
}

impl Pair {
    fn open(path: &RelPath, folder: &Folder, root: &Folder) -> Result<Self, Error> {
        let source = folder.open_file(path)?;
        let target = root.create_new(path, 0o600)?;
        let (from, to) = (folder.path().join(path), root.path().join(path));
        Ok(Self { from, source, to, target })
    }

    /// Brings the content over and hashes it. Gives the source's facts.
    fn fill(&self, buffer: &mut [u8], monitor: &dyn Monitor) -> Result<(Stat, Sha256), Error> {
        let mut hasher = Hasher::new(&[]);
        let before = self.source_stat()?;
        // Any refusal (another file system, none that can) leaves the target empty.
        if ioctl_ficlone(&self.target, &self.source).is_ok() {
            let clone = checksum::read(&self.target, &self.to, buffer, monitor, |bytes| {
                hasher.update(bytes);
                Ok(())
            })?;
            let after = self.source_stat()?;
            if clone.size_bytes != before.size_bytes || !after.is_unchanged_since(&before) {
                return Err(checksum::Error::SourceChanged { path: self.from.clone() }.into());
            }
        } else {
            self.copy(&mut hasher, buffer, monitor)?;
        }
        Ok((before, hasher.finish().sha256()))
    }

    fn copy(
        &self,
        hasher: &mut Hasher,
        buffer: &mut [u8],
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        let write = |error| storage::Error::io("write", &self.to, error);
        let mut offset = 0;
        checksum::read(&self.source, &self.from, buffer, monitor, |bytes| {
            hasher.update(bytes);
            // Zeros stay a hole, so that a sparse file does not fill the staging area.
            if !is_zero(bytes) {
                self.target.write_all_at(bytes, offset).map_err(write)?;
            }
            offset += bytes.len() as u64;
            Ok(())
        })?;
        self.target.set_len(offset).map_err(write)?;
        Ok(())
    }

    /// Times, mode, and then the facts that hold from now on.
    fn seal(&self, mtime_ns: i64, is_flushing: bool) -> Result<Stat, Error> {
        let fail = |error: rustix::io::Errno| storage::Error::io("finish", &self.to, error);
        let second = 1_000_000_000;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: mtime_ns.div_euclid(second),
                tv_nsec: mtime_ns.rem_euclid(second),
            },
        };
        futimens(&self.target, &times).map_err(fail)?;
        fchmod(&self.target, Mode::from_raw_mode(FILE_MODE)).map_err(fail)?;
        if is_flushing {
            fsync(&self.target).map_err(fail)?;
        }
        Ok(Stat::of(&self.target)
            .map_err(|error| storage::Error::io("examine", &self.to, error))?)
    }

    fn source_stat(&self) -> Result<Stat, Error> {
        Ok(Stat::of(&self.source)
            .map_err(|error| storage::Error::io("examine", &self.from, error))?)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// So many files are flushed one by one; more cost less in one go for the whole
/// file system, though that also flushes what others wrote.
const FEW: usize = 64;

/// Whether one call flushes everything to the device, on this file system. A network
/// or user-space file system may take the call and do nothing.
fn knows_syncfs(root: &Folder) -> Result<bool, Error> {
    const EXT4: u64 = 0xef53;
    const XFS: u64 = 0x5846_5342;
    const BTRFS: u64 = 0x9123_683e;
    const TMPFS: u64 = 0x0102_1994;
    let info = fstatfs(root).map_err(|error| storage::Error::io("examine", root.path(), error))?;
    // The field's type differs between processors.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    let magic = info.f_type as u64;
    Ok([EXT4, XFS, BTRFS, TMPFS].contains(&magic))
}
