//! A tree in the order of its paths, folder by folder, so that nobody need hold it
//! whole.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::{Error, Reason, Refused};
use crate::media::storage::{self, Folder, Kind, Medium, RelPath, Stat};

/// An open folder of a tree. Files in it are opened by their bare names, so that no
/// path is resolved twice.
#[derive(Debug)]
pub(crate) struct Place {
    fd: OwnedFd,
    /// The tree's own path, for messages.
    root: Arc<PathBuf>,
    /// Relative to the root: empty, or ended by a slash.
    pub prefix: Vec<u8>,
    /// What it stands on.
    pub medium: Medium,
}

impl Place {
    /// The whole path of a name in it, for messages.
    pub fn whole(&self, name: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(&self.prefix)).join(OsStr::from_bytes(name))
    }

    /// The path of a name in it, relative to the root.
    pub fn relative(&self, name: &[u8]) -> Vec<u8> {
        [&self.prefix, name].concat()
    }

    /// Facts about a name; a link's own, if it is one.
    pub fn stat(&self, name: &[u8]) -> Result<Stat, storage::Error> {
        statat(&self.fd, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)
            .map(Stat::from)
            .map_err(|error| storage::Error::io("examine", self.whole(name), error))
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether names that no delivery may hold are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// As by [`super::tree`]: all of them in one error, at the end.
    Admitted,
    /// Everything is visited, whatever its name or kind.
    Any,
}

/// Calls `visit` for everything below `root` that has nothing below itself (files,
/// links, special files, empty folders), sorted by path bytewise; an empty folder
/// stands where its content would. A folder whose path is too long is visited and
/// not entered. `visit` ends the walk by `false`.
///
/// Memory: the names of one folder on each level.
///
/// # Errors
/// [`Error::Refused`] at the end of the walk, which visits nothing more from the
/// first refusal on; what cannot be read.
pub(crate) fn sorted(
    root: &Folder,
    names: Names,
    mut visit: impl FnMut(&Arc<Place>, &[u8], Kind) -> bool,
) -> Result<(), Error> {
    let mut walk = Walk {
        root,
        path: Arc::new(root.path().to_owned()),
        names,
        medium: (root.own_stat()?.dev, Medium::of(root)),
        refused: Vec::new(),
    };
    let mut open = vec![walk.enter(Vec::new())?];
    while let Some(frame) = open.last_mut() {
        let Some((name, kind)) = frame.listing.next() else {
            open.pop();
            continue;
        };
        let path_len = frame.prefix.len() + name.len();
        if kind == Kind::Dir && path_len <= RelPath::MAX_BYTES {
            let below = walk.enter([&frame.prefix, name.as_slice(), b"/"].concat())?;
            if !below.is_empty {
                // Opened again when its turn comes: so one folder is open, not one
                // on each level.
                frame.place = None;
                open.push(below);
                continue;
            }
        }
        if walk.refused.is_empty() && !visit(&walk.place(frame)?, &name, kind) {
            return Ok(());
        }
    }
    if walk.refused.is_empty() {
        return Ok(());
    }
    walk.refused.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Err(Error::Refused { root: root.path().to_owned(), refused: walk.refused })
}

/// How many files, and how many bytes they hold, without reading them; less if
/// `is_over` says so in between.
///
/// # Errors
/// What cannot be read.
pub(crate) fn count(root: &Folder, is_over: impl Fn() -> bool) -> Result<(u64, u64), Error> {
    let (mut files, mut bytes, mut failed) = (0, 0u64, None);
    sorted(root, Names::Any, |place, name, kind| {
        if kind == Kind::File {
            match place.stat(name) {
                Ok(stat) => (files, bytes) = (files + 1, bytes.saturating_add(stat.size_bytes)),
                Err(error) => failed = Some(error),
            }
        }
        failed.is_none() && !is_over()
    })?;
    failed.map_or(Ok((files, bytes)), |error| Err(error.into()))
}

/// The folders with nothing in them.
///
/// # Errors
/// As [`super::tree`].
pub(crate) fn empty_dirs(root: &std::path::Path) -> Result<Vec<RelPath>, Error> {
    let mut found = Vec::new();
    sorted(&Folder::open(root)?, Names::Admitted, |place, name, kind| {
        if kind == Kind::Dir {
            found.extend(RelPath::check(&place.relative(name)).ok());
        }
        true
    })?;
    Ok(found)
}

struct Frame {
    prefix: Vec<u8>,
    place: Option<Arc<Place>>,
    listing: Listing,
    is_empty: bool,
}

/// Names in one piece of memory, sorted as paths are: a folder by its name and a
/// slash.
#[derive(Default)]
struct Listing {
    text: Vec<u8>,
    entries: Vec<(u32, u32, Kind)>,
    at: usize,
}

impl Listing {
    fn push(&mut self, name: &[u8], kind: Kind) {
        // A folder's names are below 4 GiB: each stands in the kernel's own memory.
        let start = self.text.len() as u32;
        self.text.extend_from_slice(name);
        self.entries.push((start, self.text.len() as u32, kind));
        if kind == Kind::Dir {
            self.text.push(b'/');
        }
    }

    fn name(&self, (start, end, _): (u32, u32, Kind)) -> &[u8] {
        &self.text[start as usize..end as usize]
    }

    fn sort(&mut self) {
        let text = &self.text;
        let key = |&(start, end, kind): &(u32, u32, Kind)| {
            &text[start as usize..end as usize + usize::from(kind == Kind::Dir)]
        };
        self.entries.sort_unstable_by(|a, b| key(a).cmp(key(b)));
    }

    fn next(&mut self) -> Option<(Vec<u8>, Kind)> {
        let entry = *self.entries.get(self.at)?;
        self.at += 1;
        Some((self.name(entry).to_owned(), entry.2))
    }
}

struct Walk<'a> {
    root: &'a Folder,
    path: Arc<PathBuf>,
    names: Names,
    /// Of the device met last.
    medium: (u64, Medium),
    refused: Vec<Refused>,
}

impl Walk<'_> {
    fn open(&mut self, prefix: &[u8]) -> Result<Arc<Place>, Error> {
        let relative = OsStr::from_bytes(prefix.strip_suffix(b"/").unwrap_or(prefix));
        let fd = self.root.open_below(relative.as_ref())?;
        let whole = || self.path.join(relative);
        let stat = Stat::of(&fd).map_err(|error| storage::Error::io("examine", whole(), error))?;
        if stat.dev != self.medium.0 {
            self.medium = (stat.dev, Medium::of(&fd));
        }
        let (root, prefix) = (self.path.clone(), prefix.to_owned());
        Ok(Arc::new(Place { fd, root, prefix, medium: self.medium.1 }))
    }

    fn place(&mut self, frame: &mut Frame) -> Result<Arc<Place>, Error> {
        if let Some(place) = &frame.place {
            return Ok(place.clone());
        }
        let place = self.open(&frame.prefix)?;
        frame.place = Some(place.clone());
        Ok(place)
    }

    fn enter(&mut self, prefix: Vec<u8>) -> Result<Frame, Error> {
        let place = self.open(&prefix)?;
        let fail = |error| storage::Error::io("list", place.whole(b""), error);
        let mut listing = Listing::default();
        let mut is_empty = true;
        for entry in Dir::read_from(&place.fd).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            is_empty = false;
            let kind = match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => place.stat(name)?.kind,
                known => Kind::from(known),
            };
            if self.names == Names::Any || self.admits(&prefix, name, kind) {
                listing.push(name, kind);
            }
        }
        listing.sort();
        if self.names == Names::Admitted {
            self.refuse_collisions(&prefix, &listing);
        }
        Ok(Frame { prefix, place: Some(place), listing, is_empty })
    }

    fn admits(&mut self, prefix: &[u8], name: &[u8], kind: Kind) -> bool {
        let path = [prefix, name].concat();
        let reason = match RelPath::check(&path) {
            Err(flaw) => Reason::Name(flaw),
            Ok(_) if matches!(kind, Kind::File | Kind::Dir) => return true,
            Ok(_) => Reason::Kind(kind),
        };
        self.refused.push(Refused { path: storage::escape(&path), reason });
        false
    }

    /// Names collide within their folder or not at all.
    fn refuse_collisions(&mut self, prefix: &[u8], listing: &Listing) {
        let mut lower: Vec<Vec<u8>> =
            listing.entries.iter().map(|one| listing.name(*one).to_ascii_lowercase()).collect();
        lower.sort_unstable();
        if lower.iter().all(|name| name.is_ascii()) && lower.is_sorted_by(|a, b| a < b) {
            return;
        }
        let paths: Vec<_> = listing
            .entries
            .iter()
            .filter_map(|one| RelPath::check(&[prefix, listing.name(*one)].concat()).ok())
            .collect();
        for collision in storage::collisions(&paths) {
            let path = collision.second.to_string();
            self.refused.push(Refused { path, reason: Reason::Collision(collision) });
        }
    }
}
