//! An open folder, below which everything is reached without following links.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, fchmod, fsync, mkdirat, renameat, renameat_with,
    statat, unlinkat,
};
use rustix::io::Errno;

use super::{Error, Kind, RelPath, Stat, beneath};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// A folder held open. Names below it are resolved inside the kernel
/// (`openat2(2)` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`; component by
/// component with `O_NOFOLLOW` where a kernel lacks it), so that no link, not
/// even one put there a moment ago, leads out of it.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// What kept [`Folder::rename_new`] from replacing something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReplace {
    /// The kernel, in one step (`RENAME_NOREPLACE`).
    Kernel,
    /// A look beforehand: the file system knows no rename flags (NFS).
    Looked,
}

impl Folder {
    /// Opens a root. The path itself is the operator's word: links in it are
    /// followed.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fd = rustix::fs::open(path, FOLDER | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Error::io("open", path, error))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Facts about the folder itself.
    pub fn own_stat(&self) -> Result<Stat, Error> {
        Stat::of(&self.fd).map_err(|error| Error::io("examine", &self.path, error))
    }

    /// Opens a folder below.
    pub fn open_dir(&self, path: &RelPath) -> Result<Self, Error> {
        let fd = self.resolve("open", path.to_path(), FOLDER)?;
        Ok(Self { fd, path: self.path.join(path) })
    }

    /// Opens a regular file for reading; never waits on a pipe.
    pub fn open_file(&self, path: &RelPath) -> Result<File, Error> {
        let file = self.open_any(path)?;
        let stat = Stat::of(&file).map_err(|error| self.error("examine", path, error))?;
        if stat.kind != Kind::File {
            return Err(Error::NotAFile { path: self.path.join(path) });
        }
        Ok(file)
    }

    /// The same for a caller who looks himself what it is that he opened.
    pub(crate) fn open_any(&self, path: &RelPath) -> Result<File, Error> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.resolve("open", path.to_path(), flags).map_err(|error| match error {
            // Opening a socket.
            Error::Io { source, path, .. }
                if source.raw_os_error() == Some(Errno::NXIO.raw_os_error()) =>
            {
                Error::NotAFile { path }
            }
            other => other,
        })?;
        Ok(File::from(fd))
    }

    /// Makes a file that was not there, for reading and writing, with exactly
    /// these permissions whatever the umask.
    pub fn create_new(&self, path: &RelPath, mode: u32) -> Result<File, Error> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(mode);
        let fd = beneath::open(self.fd.as_fd(), path.to_path(), flags, mode)
            .and_then(|fd| fchmod(&fd, mode).map(|()| fd))
            .map_err(|error| self.error("create", path, error))?;
        Ok(File::from(fd))
    }

    /// Makes a folder and those above it where they are missing, the new ones
    /// with exactly these permissions whatever the umask.
    pub fn create_dir_all(&self, path: &RelPath, mode: u32) -> Result<(), Error> {
        let mode = Mode::from_raw_mode(mode);
        let fail = |error| self.error("create", path, error);
        let mut here: Option<OwnedFd> = None;
        for component in path.components() {
            let parent = here.as_ref().map_or(self.fd.as_fd(), OwnedFd::as_fd);
            let is_new = match mkdirat(parent, component, mode) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(fail(error)),
            };
            let fd =
                beneath::open(parent, Path::new(component), FOLDER, Mode::empty()).map_err(fail)?;
            if is_new {
                fchmod(&fd, mode).map_err(fail)?;
            }
            here = Some(fd);
        }
        Ok(())
    }

    /// Facts about a name; a link's own, if it is one.
    pub fn stat(&self, path: &RelPath) -> Result<Stat, Error> {
        let (parent, name) = self.parent_of(path)?;
        statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map(Stat::from)
            .map_err(|error| self.error("examine", path, error))
    }

    /// Renames, replacing what may be there as `rename(2)` does.
    pub fn rename(&self, from: &RelPath, to: &RelPath) -> Result<(), Error> {
        let ((old, old_name), (new, new_name)) = (self.parent_of(from)?, self.parent_of(to)?);
        renameat(&old, old_name, &new, new_name).map_err(|error| self.error("rename", from, error))
    }

    /// Renames unless something stands there ([`Error::Exists`]).
    pub fn rename_new(&self, from: &RelPath, to: &RelPath) -> Result<NoReplace, Error> {
        let ((old, old_name), (new, new_name)) = (self.parent_of(from)?, self.parent_of(to)?);
        match renameat_with(&old, old_name, &new, new_name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(NoReplace::Kernel),
            Err(Errno::EXIST) => Err(Error::Exists { path: self.path.join(to) }),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match statat(&new, new_name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(self.error("examine", to, error)),
                    Ok(_) => return Err(Error::Exists { path: self.path.join(to) }),
                }
                renameat(&old, old_name, &new, new_name)
                    .map_err(|error| self.error("rename", from, error))?;
                Ok(NoReplace::Looked)
            }
            Err(error) => Err(self.error("rename", from, error)),
        }
    }

    /// Removes one name that is no folder; a link itself, not what it names.
    pub fn remove_file(&self, path: &RelPath) -> Result<(), Error> {
        let (parent, name) = self.parent_of(path)?;
        unlinkat(&parent, name, AtFlags::empty()).map_err(|error| self.error("remove", path, error))
    }

    /// Removes a name with everything in it, following no link.
    pub fn remove_tree(&self, path: &RelPath) -> Result<(), Error> {
        let (parent, name) = self.parent_of(path)?;
        remove(parent.as_fd(), OsStr::new(name), &self.path.join(path))
    }

    /// Flushes this folder's own names to the device.
    pub fn sync(&self) -> Result<(), Error> {
        fsync(&self.fd).map_err(|error| Error::io("flush", &self.path, error))
    }

    /// Flushes the names in a folder below to the device.
    pub fn sync_dir(&self, path: &RelPath) -> Result<(), Error> {
        self.open_dir(path)?.sync()
    }

    /// Opens the folder `dir` below (the empty path: this one), whatever its name.
    pub(crate) fn open_below(&self, dir: &Path) -> Result<OwnedFd, Error> {
        self.resolve("open", dir, FOLDER)
    }

    /// Every name in this folder as the file system spells it, in no order.
    pub(crate) fn names(&self) -> Result<Vec<OsString>, Error> {
        names(self.fd.as_fd()).map_err(|error| Error::io("list", &self.path, error))
    }

    /// Every name in the folder `dir` below (the empty path: this one) as the file
    /// system spells it, with its facts, in no order.
    pub(crate) fn list(&self, dir: &Path) -> Result<Vec<(OsString, Stat)>, Error> {
        let fd = self.resolve("list", dir, FOLDER)?;
        let whole = || self.path.join(dir);
        let names = names(fd.as_fd()).map_err(|error| Error::io("list", whole(), error))?;
        names
            .into_iter()
            .map(|name| match statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Ok((name, Stat::from(stat))),
                Err(error) => Err(Error::io("examine", whole().join(name), error)),
            })
            .collect()
    }

    fn resolve(&self, action: &'static str, path: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
        beneath::open(self.fd.as_fd(), path, flags, Mode::empty())
            .map_err(|error| Error::io(action, self.path.join(path), error))
    }

    fn parent_of<'a>(&self, path: &'a RelPath) -> Result<(OwnedFd, &'a str), Error> {
        let parent = path.to_path().parent().unwrap_or(Path::new(""));
        let fd = self.resolve("open", parent, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok((fd, path.file_name()))
    }

    fn error(
        &self,
        action: &'static str,
        path: &RelPath,
        error: impl Into<std::io::Error>,
    ) -> Error {
        Error::io(action, self.path.join(path), error)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

fn remove(parent: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), Error> {
    let fail = |error: Errno| Error::io("remove", path, error);
    match unlinkat(parent, name, AtFlags::empty()) {
        // POSIX says EPERM for a folder, Linux EISDIR.
        Err(Errno::ISDIR | Errno::PERM) => {}
        answer => return answer.map_err(fail),
    }
    let dir = beneath::open(parent, Path::new(name), FOLDER, Mode::empty()).map_err(fail)?;
    for child in names(dir.as_fd()).map_err(fail)? {
        remove(dir.as_fd(), &child, &path.join(&child))?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(fail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn rel(text: &str) -> RelPath {
        RelPath::parse(text).unwrap()
    }

    fn fixture() -> (tempfile::TempDir, Folder) {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        (root, folder)
    }

    #[test]
    fn writes_reads_renames_and_removes() {
        let (root, folder) = fixture();
        folder.create_dir_all(&rel("a/b"), 0o750).unwrap();
        folder.create_dir_all(&rel("a/b"), 0o750).unwrap();
        folder.create_new(&rel("a/b/c"), 0o666).unwrap().write_all(b"text").unwrap();
        let mode = |name: &str| root.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode("a/b") & 0o7777, 0o750);
        assert_eq!(mode("a/b/c") & 0o7777, 0o666);
        assert!(matches!(folder.create_new(&rel("a/b/c"), 0o600), Err(Error::Exists { .. })));
        assert_eq!(folder.stat(&rel("a/b/c")).unwrap().size_bytes, 4);
        folder.rename(&rel("a/b/c"), &rel("a/d")).unwrap();
        let mut text = String::new();
        folder.open_file(&rel("a/d")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        folder.sync_dir(&rel("a")).unwrap();
        folder.sync().unwrap();
        folder.remove_file(&rel("a/d")).unwrap();
        assert!(matches!(folder.open_file(&rel("a/d")), Err(Error::NotFound { .. })));
        assert!(matches!(folder.open_file(&rel("a")), Err(Error::NotAFile { .. })));
    }

    #[test]
    fn nothing_is_replaced_even_an_empty_folder() {
        let (_root, folder) = fixture();
        folder.create_dir_all(&rel("from"), 0o700).unwrap();
        folder.create_dir_all(&rel("to"), 0o700).unwrap();
        assert!(matches!(folder.rename_new(&rel("from"), &rel("to")), Err(Error::Exists { .. })));
        assert_eq!(folder.rename_new(&rel("from"), &rel("new")).unwrap(), NoReplace::Kernel);
    }

    #[test]
    fn links_lead_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"x").unwrap();
        let (root, folder) = fixture();
        symlink(outside.path(), root.path().join("out")).unwrap();
        symlink(outside.path().join("secret"), root.path().join("file")).unwrap();
        let link = |answer: Result<(), Error>| assert!(matches!(answer, Err(Error::Link { .. })));
        link(folder.open_file(&rel("out/secret")).map(drop));
        link(folder.open_file(&rel("file")).map(drop));
        link(folder.open_dir(&rel("out")).map(drop));
        link(folder.create_new(&rel("out/new"), 0o600).map(drop));
        link(folder.create_dir_all(&rel("out/new"), 0o700));
        link(folder.stat(&rel("out/secret")).map(drop));
        link(folder.remove_file(&rel("out/secret")));
        link(folder.remove_tree(&rel("out/secret")));
        link(folder.rename(&rel("out/secret"), &rel("x")));
        assert_eq!(folder.stat(&rel("file")).unwrap().kind, Kind::Symlink);
        folder.remove_tree(&rel("out")).unwrap();
        assert!(outside.path().join("secret").exists());
    }

    #[test]
    fn a_tree_goes_with_all_it_holds_and_nothing_else() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"x").unwrap();
        let (root, folder) = fixture();
        fs::create_dir_all(root.path().join("t/a/b/c")).unwrap();
        fs::write(root.path().join("t/a/file"), b"x").unwrap();
        symlink(outside.path(), root.path().join("t/a/b/out")).unwrap();
        fs::write(root.path().join("t").join(OsStr::from_bytes(b"\xff")), b"x").unwrap();
        folder.remove_tree(&rel("t")).unwrap();
        assert!(!root.path().join("t").exists());
        assert!(outside.path().join("secret").exists());
    }

    #[test]
    fn pipes_and_sockets_are_no_files_and_never_block() {
        let (root, folder) = fixture();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("pipe"), mode).unwrap();
        let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
        for name in ["pipe", "socket"] {
            let answer = folder.open_file(&rel(name));
            assert!(matches!(answer, Err(Error::NotAFile { .. })), "{name}: {answer:?}");
        }
    }
}
