//! Opening names below a folder without following anything out of it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::{Errno, Result};

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Kernels before 5.6 have no openat2.
static MISSING: AtomicBool = AtomicBool::new(false);

/// Opens `path` below `dir`; the empty path is `dir` itself. A symbolic link
/// anywhere in it is `ELOOP`.
pub(super) fn open(dir: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if !MISSING.load(Ordering::Relaxed) {
        match openat2(dir, path, flags, mode, RESOLVE) {
            Err(Errno::NOSYS) => MISSING.store(true, Ordering::Relaxed),
            // A rename elsewhere made the kernel unsure, or a container's filter
            // hides the call: the slow way gives the answer.
            Err(Errno::AGAIN | Errno::PERM) => {}
            answer => return answer,
        }
    }
    open_stepwise(dir, path, flags, mode)
}

fn open_stepwise(dir: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let bytes = path.as_os_str().as_bytes();
    let (parents, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&bytes[..0], bytes),
    };
    let flags = flags | OFlags::NOFOLLOW;
    let mut here: Option<OwnedFd> = None;
    for component in parents.split(|byte| *byte == b'/').filter(|c| !c.is_empty()) {
        let parent = here.as_ref().map_or(dir, OwnedFd::as_fd);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        here = Some(step(parent, component, flags, Mode::empty())?);
    }
    step(here.as_ref().map_or(dir, OwnedFd::as_fd), name, flags, mode)
}

fn step(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    if name == b".." {
        return Err(Errno::XDEV);
    }
    let name = OsStr::from_bytes(name);
    openat(dir, name, flags, mode).map_err(|error| {
        // A link is also no folder; callers want to know that it is a link.
        let is_link = error == Errno::NOTDIR
            && statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Symlink);
        if is_link { Errno::LOOP } else { error }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn both_ways_agree() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"x").unwrap();
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), b"x").unwrap();
        symlink(outside.path(), at("out")).unwrap();
        symlink("a", at("in")).unwrap();
        symlink("a/b/file", at("to_file")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let dir = fs::File::open(root.path()).unwrap();
        for (path, expected) in [
            ("a/b/file", None),
            ("a", None),
            (".", None),
            ("out/secret", Some(Errno::LOOP)),
            ("out", Some(Errno::LOOP)),
            ("in/b/file", Some(Errno::LOOP)),
            ("to_file", Some(Errno::LOOP)),
            ("dangling", Some(Errno::LOOP)),
            ("../x", Some(Errno::XDEV)),
            ("a/../../x", Some(Errno::XDEV)),
            ("a/b/file/x", Some(Errno::NOTDIR)),
            ("a/none", Some(Errno::NOENT)),
        ] {
            for flags in [OFlags::RDONLY, OFlags::PATH | OFlags::DIRECTORY] {
                for way in [open, open_stepwise] {
                    let answer = way(dir.as_fd(), Path::new(path), flags, Mode::empty());
                    let file_as_folder = path == "a/b/file" && flags.contains(OFlags::DIRECTORY);
                    let expected = if file_as_folder { Some(Errno::NOTDIR) } else { expected };
                    assert_eq!(answer.err(), expected, "{path} {flags:?}");
                }
            }
        }
    }
}
