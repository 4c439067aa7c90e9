//! The folder that a copy is delivered into, and who may work in it.
//!
//! Everything below the partial folder is reached by one system call that starts
//! at the parent and goes through the partial folder's present name. No
//! descriptor of the partial folder is kept, since that would still lead into it
//! after a successor has renamed it (see the [argument](super)).

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::base::steps;
use crate::media::storage::{self, DeviceFile, Medium, Stat};

use super::error::Error;
use super::journal::Identity;
use super::names::{Kind, Names, Sibling};
use super::{Attempt, Plan, RenameMethod, Shape};

/// The parent of one final path, held open.
#[derive(Debug)]
pub struct Site {
    parent: OwnedFd,
    parent_path: PathBuf,
    final_name: PathBuf,
    names: Names,
    attempt: Attempt,
}

/// Where the files of a copy are at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In the partial folder.
    Partial,
    /// At the final path: an earlier life got as far as the rename.
    Published,
}

impl Site {
    /// Opens the parent folder, which must be there.
    pub fn new(plan: &Plan) -> Result<Self, Error> {
        let (parent_path, final_name) = split(&plan.destination)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(&parent_path, flags, Mode::empty())
            .map_err(|errno| Error::at(&parent_path, errno))?;
        let names = Names::of(&final_name);
        let final_name = PathBuf::from(final_name);
        Ok(Self { parent, parent_path, final_name, names, attempt: plan.attempt })
    }

    /// The parent's descriptor, for questions about its file system.
    pub fn parent(&self) -> &OwnedFd {
        &self.parent
    }

    /// The final path's own name.
    pub fn final_name(&self) -> &Path {
        &self.final_name
    }

    /// The final path.
    pub fn final_path(&self) -> PathBuf {
        self.path(&self.final_name)
    }

    /// A path below the parent, as people see it.
    pub fn path(&self, below: &Path) -> PathBuf {
        self.parent_path.join(below)
    }

    /// The name of this epoch's sibling.
    pub fn own(&self, kind: Kind) -> PathBuf {
        self.names.sibling(kind, self.attempt.id, self.attempt.epoch).into()
    }

    /// The name of the stand-alone copies' lock.
    pub fn lock(&self) -> PathBuf {
        self.names.lock().into()
    }

    /// Where an entry of the manifest is, below the parent.
    pub fn entry(&self, standing: Standing, shape: Shape, relative: &str) -> PathBuf {
        match (standing, shape) {
            (Standing::Partial, _) => self.own(Kind::Partial).join(relative),
            (Standing::Published, Shape::Tree) => self.final_name.join(relative),
            (Standing::Published, Shape::File) => self.final_name.clone(),
        }
    }

    /// The hidden siblings of the final path, of every attempt.
    pub fn siblings(&self) -> Result<Vec<Sibling>, Error> {
        let at = |errno| Error::at(&self.parent_path, errno);
        let mut found = Vec::new();
        // Not `Dir::new` on a duplicate: the offset would be shared.
        for entry in rustix::fs::Dir::read_from(&self.parent).map_err(at)? {
            let entry = entry.map_err(at)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            found.extend(self.names.parse(name));
        }
        Ok(found)
    }

    /// The siblings of this attempt.
    ///
    /// # Errors
    /// [`Error::Fenced`] if one of them belongs to a later epoch.
    pub fn own_siblings(&self) -> Result<Vec<Sibling>, Error> {
        let mut all = self.siblings()?;
        all.retain(|sibling| sibling.attempt == self.attempt.id);
        match all.iter().map(|sibling| sibling.epoch).max() {
            Some(epoch) if epoch > self.attempt.epoch => Err(self.fenced(Some(epoch))),
            _ => Ok(all),
        }
    }

    /// The epoch after the `latest` that left anything.
    ///
    /// # Errors
    /// [`Error::Fenced`] if there is none after it: somebody made that name by hand.
    pub fn next_epoch(&self, latest: Option<u64>) -> Result<u64, Error> {
        let latest = latest.unwrap_or(0);
        latest.checked_add(1).ok_or_else(|| self.fenced(Some(latest)))
    }

    /// The refusal that a worker gets when the copy is not its own any more.
    pub fn fenced(&self, by: Option<u64>) -> Error {
        Error::Fenced { path: self.final_path(), epoch: self.attempt.epoch, by }
    }

    /// # Errors
    /// [`Error::Fenced`] if this epoch's partial folder is gone.
    pub fn check_partial(&self) -> Result<(), Error> {
        match self.stat(&self.own(Kind::Partial))? {
            Some(_) => Ok(()),
            None => Err(self.gone()),
        }
    }

    fn gone(&self) -> Error {
        match self.own_siblings() {
            Err(fenced @ Error::Fenced { .. }) => fenced,
            _ => self.fenced(None),
        }
    }

    /// Why an operation below the partial folder failed: fenced if the folder is
    /// gone, else what the system said.
    pub fn blame(&self, below: &Path, error: impl Into<std::io::Error>) -> Error {
        let error = error.into();
        if error.raw_os_error() == Some(Errno::NOENT.raw_os_error())
            && let Err(fenced @ Error::Fenced { .. }) = self.check_partial()
        {
            return fenced;
        }
        Error::at(self.path(below), error)
    }

    /// What stands at a path below the parent, not following a link.
    pub fn stat(&self, below: &Path) -> Result<Option<Stat>, Error> {
        match rustix::fs::statat(&self.parent, below, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::at(self.path(below), errno)),
        }
    }

    /// Whether the thing that `identity` tells of stands at the final path: the
    /// same inode, on the file system that the journal and the parent are on.
    pub fn is_at_final_path(&self, identity: Option<&Identity>) -> Result<bool, Error> {
        let (Some(identity), Some(found)) = (identity, self.stat(&self.final_name)?) else {
            return Ok(false);
        };
        let parent = Stat::of(&self.parent).map_err(|error| Error::at(&self.parent_path, error))?;
        Ok(found.dev == parent.dev && found.ino == identity.inode)
    }

    /// Opens a path below the parent in one call, without following a link. (Where
    /// a kernel before 5.6 or a container's filter has no `openat2(2)`, only the
    /// last component is watched; those above are folders that we made.)
    pub fn open(&self, below: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.parent, below, flags, mode, resolve) {
            Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(&self.parent, below, flags, mode),
            done => done,
        }
    }

    /// Opens a file below the parent to be read from its device.
    pub fn device(&self, below: &Path, medium: Medium) -> Result<DeviceFile, Errno> {
        if medium == Medium::Disk {
            // In one call where that is known; what serves files from elsewhere may take
            // the flag for its own. (Opened to be read, a file that is refused so leaves
            // nothing behind.)
            match self.open(below, OFlags::RDONLY | OFlags::DIRECT, Mode::empty()) {
                Ok(file) => return Ok(DeviceFile::opened_direct(file, medium)),
                Err(errno @ (Errno::NOENT | Errno::LOOP | Errno::ACCESS)) => return Err(errno),
                Err(_) => {}
            }
        }
        Ok(DeviceFile::new(self.open(below, OFlags::RDONLY, Mode::empty())?, medium))
    }

    /// Makes a folder that only we may enter.
    pub fn make_dir(&self, below: &Path) -> Result<(), Errno> {
        rustix::fs::mkdirat(&self.parent, below, Mode::RWXU)
    }

    /// Gives a file another name; nothing is followed and nothing replaced.
    pub fn link(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        rustix::fs::linkat(&self.parent, from, &self.parent, to, AtFlags::empty())
    }

    /// Removes one file.
    pub fn unlink(&self, below: &Path) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.parent, below, AtFlags::empty())
    }

    /// Removes one empty folder.
    pub fn remove_dir(&self, below: &Path) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.parent, below, AtFlags::REMOVEDIR)
    }

    /// Renames to a name that nothing has, by the file system's own guarantee.
    pub fn rename_new(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        rustix::fs::renameat_with(&self.parent, from, &self.parent, to, RenameFlags::NOREPLACE)
    }

    /// Renames to a name that nothing has: by guarantee, or where the file
    /// system knows no such rename, after a look. `before_plain` runs in between.
    ///
    /// What stands in for a lock around the look: only the one delivery whose
    /// journal was announced first may rename to this name at all.
    pub fn rename_checked(
        &self,
        from: &Path,
        to: &Path,
        before_plain: impl FnOnce() -> Result<(), Error>,
    ) -> Result<RenameMethod, Error> {
        let fail = |errno| match errno {
            Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR => {
                Error::DestinationExists { path: self.path(to) }
            }
            errno => self.blame(from, errno),
        };
        match self.rename_new(from, to) {
            Ok(()) => return Ok(RenameMethod::NoReplace),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(fail(errno)),
        }
        before_plain()?;
        if self.stat(to)?.is_some() {
            return Err(fail(Errno::EXIST));
        }
        rustix::fs::renameat(&self.parent, from, &self.parent, to).map_err(fail)?;
        Ok(RenameMethod::Checked)
    }

    /// Renames to a name that nothing has, or says that somebody was first. Where the
    /// file system knows no such rename a second name does it, which is never taken
    /// twice (link(2)).
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn rename_only(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let renamed = match self.rename_new(from, to) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                match self.link(from, to).and_then(|()| self.unlink(from)) {
                    // It knows neither.
                    Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => {
                        return self.rename_over(from, to);
                    }
                    linked => linked,
                }
            }
            renamed => renamed,
        };
        renamed.map_err(|errno| match errno {
            // The other's draft had the same name as ours.
            Errno::EXIST | Errno::NOENT => Error::Busy { path: self.final_path() },
            errno => Error::at(self.path(from), errno),
        })
    }

    /// Renames over whatever has the name.
    pub fn rename_over(&self, from: &Path, to: &Path) -> Result<(), Error> {
        rustix::fs::renameat(&self.parent, from, &self.parent, to)
            .map_err(|errno| Error::at(self.path(from), errno))
    }

    /// Flushes the parent folder's names to the device.
    pub fn flush(&self) -> Result<(), Error> {
        flush_dir(&self.parent).map_err(|errno| Error::at(&self.parent_path, errno))
    }

    /// Moves an old partial folder out of its worker's reach, to be deleted. `false`
    /// if it was gone already.
    pub fn retire(&self, old: &Sibling) -> Result<bool, Error> {
        let spare = PathBuf::from(self.names.sibling(Kind::Removed, old.attempt, old.epoch));
        self.delete(&spare)?;
        self.move_partial(old, &spare)
    }

    /// Renames a partial folder, durably; whoever works in it finds nothing from
    /// then on. `false` if it was gone already.
    pub fn move_partial(&self, old: &Sibling, to: &Path) -> Result<bool, Error> {
        let from = Path::new(&old.name);
        match self.rename_checked(from, to, || Ok(())) {
            Ok(_) => {}
            Err(_) if self.stat(from)?.is_none() => return Ok(false),
            Err(error) => return Err(error),
        }
        self.flush()?;
        steps::reach("copy.fenced");
        Ok(true)
    }

    /// Deletes a sibling with all that is in it; a missing one is no error.
    pub fn delete(&self, name: &Path) -> Result<(), Error> {
        let path = self.path(name);
        let Some(stat) = self.stat(name)? else { return Ok(()) };
        if stat.kind != storage::Kind::Dir {
            return match self.unlink(name) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(Error::at(path, errno)),
            };
        }
        unlock(&self.parent, name.as_os_str());
        // A fenced worker's last call may still drop a file in: a few tries.
        let mut left = 3;
        loop {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) if left == 0 => return Err(Error::at(path, error)),
                Err(_) => left -= 1,
            }
        }
    }
}

/// Makes every folder of a tree on its way out writable, since a policy may have
/// made them read-only. What fails here fails better at the removal. By descriptors: a
/// folder's owner may put a link in its place meanwhile.
fn unlock(parent: impl AsFd, name: &OsStr) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::openat(parent, name, flags, Mode::empty()) else { return };
    let _ = rustix::fs::fchmod(&dir, Mode::RWXU);
    for entry in rustix::fs::Dir::read_from(&dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_bytes();
        // What says of itself that it is no folder need not be opened.
        let may_be = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        if may_be && name != b"." && name != b".." {
            unlock(&dir, OsStr::from_bytes(name));
        }
    }
}

/// Flushes a folder; some file systems know no such thing and say EINVAL.
pub fn flush_dir(dir: impl AsFd) -> Result<(), Errno> {
    match rustix::fs::fsync(dir) {
        Err(Errno::INVAL) => Ok(()),
        done => done,
    }
}

/// The parent's absolute path and the final path's own name.
pub fn split(destination: &Path) -> Result<(PathBuf, OsString), Error> {
    let invalid = || Error::InvalidDestination { path: destination.to_owned() };
    let absolute = std::path::absolute(destination).map_err(|_| invalid())?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => Ok((parent.to_owned(), name.to_owned())),
        _ => Err(invalid()),
    }
}
