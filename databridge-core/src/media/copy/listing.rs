//! What really stands in a written copy.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::media::checksum::{Hasher, Sha256};
use crate::media::manifest::{Entry, Manifest};
use crate::media::storage::{Kind, Stat, escape};

use super::error::{Discrepancy, Error};
use super::site::{Site, Standing};
use super::source::Facts;
use super::{Plan, Shape};

/// A file that stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stood {
    pub facts: Facts,
    /// Names that it has.
    pub links: NonZeroU32,
}

impl From<&Stat> for Stood {
    fn from(stat: &Stat) -> Self {
        let links = u32::try_from(stat.links).ok().and_then(NonZeroU32::new);
        Self { facts: stat.into(), links: links.unwrap_or(NonZeroU32::MIN) }
    }
}

/// Everything below a copy's root, held against its manifest: so the paths of a
/// million files are not held twice. All other paths are relative to the root.
#[derive(Debug)]
pub struct Listing<'a> {
    manifest: &'a Manifest,
    /// Of each entry of the manifest the file that stands in its place; empty as long as
    /// none does: a new copy of a million files needs no room for what it does not find.
    files: Vec<Option<Stood>>,
    /// Files where the manifest has none.
    pub extras: BTreeMap<PathBuf, Stood>,
    pub dirs: BTreeSet<PathBuf>,
    pub specials: BTreeSet<PathBuf>,
}

impl<'a> Listing<'a> {
    /// Of the partial folder, or of what was published.
    pub fn of(site: &Site, standing: Standing, plan: &'a Plan) -> Result<Self, Error> {
        let manifest = &plan.manifest;
        let mut listing = Self {
            manifest,
            files: Vec::new(),
            extras: BTreeMap::new(),
            dirs: BTreeSet::new(),
            specials: BTreeSet::new(),
        };
        if (standing, plan.shape) == (Standing::Published, Shape::File) {
            if let Some(stat) = site.stat(site.final_name())? {
                let name = manifest.entries().first().map_or("", |entry| entry.path().as_str());
                listing.add(name.into(), &stat);
            }
            return Ok(listing);
        }
        let root = site.entry(standing, plan.shape, "");
        let mut waiting = vec![PathBuf::new()];
        while let Some(dir) = waiting.pop() {
            for (path, stat) in children(site, &root, &dir)? {
                if stat.kind == Kind::Dir {
                    waiting.push(path.clone());
                }
                listing.add(path, &stat);
            }
        }
        Ok(listing)
    }

    fn add(&mut self, path: PathBuf, stat: &Stat) {
        match stat.kind {
            Kind::File => match place_of(self.manifest, &path) {
                Some(at) => {
                    self.files.resize(self.manifest.entries().len(), None);
                    self.files[at] = Some(stat.into());
                }
                None => drop(self.extras.insert(path, stat.into())),
            },
            Kind::Dir => drop(self.dirs.insert(path)),
            _ => drop(self.specials.insert(path)),
        }
    }

    /// # Errors
    /// [`Error::PartialDiffers`] naming the first thing that is too many, missing
    /// or of the wrong type. Sizes are the read-back's business.
    pub fn check(&self) -> Result<(), Error> {
        let differs = |path: &Path, what| {
            Err(Error::PartialDiffers { path: escape(path.as_os_str().as_bytes()), what })
        };
        let expected = dirs(self.manifest);
        if let Some(path) = self.specials.first() {
            return differs(path, Discrepancy::Special);
        }
        if let Some(path) = self.extras.keys().next() {
            let in_place = expected.contains(path.as_path());
            return differs(path, if in_place { Discrepancy::Special } else { Discrepancy::Extra });
        }
        if let Some(path) = self.dirs.iter().find(|dir| !expected.contains(dir.as_path())) {
            let in_place = place_of(self.manifest, path).is_some();
            return differs(path, if in_place { Discrepancy::Special } else { Discrepancy::Extra });
        }
        let missing_file = self
            .standing()
            .find(|(entry, stood)| matches!(entry, Entry::File { .. }) && stood.is_none())
            .map(|(entry, _)| entry.path().to_path());
        let missing_dir = expected.iter().copied().find(|path| !self.dirs.contains(*path));
        match missing_file.or(missing_dir) {
            Some(path) => differs(path, Discrepancy::Missing),
            None => Ok(()),
        }
    }

    /// The file that stands in the place of an entry of the manifest.
    pub fn file(&self, at: usize) -> Option<Stood> {
        self.files.get(at).copied().flatten()
    }

    /// The manifest's entries, and the file that stands in the place of each.
    pub fn standing(&self) -> impl Iterator<Item = (&'a Entry, Option<Stood>)> {
        self.manifest.entries().iter().enumerate().map(|(at, entry)| (entry, self.file(at)))
    }

    /// The facts as one digest: of each file its path, inode, size and times of
    /// change, of all else its path. Whoever writes to a file or replaces it
    /// changes it, and nothing else that happens to a finished copy does.
    pub fn digest(&self) -> Sha256 {
        let mut hash = Hasher::new(&[]);
        let mut add = |path: &Path, end: &[u8], facts: &[u8]| {
            for part in [path.as_os_str().as_bytes(), end, facts] {
                hash.update(part);
            }
        };
        for (entry, stood) in self.standing() {
            if let Some(stood) = stood {
                add(entry.path().to_path(), b"\0", &stood.facts.bytes());
            }
        }
        for (path, stood) in &self.extras {
            add(path, b"\0", &stood.facts.bytes());
        }
        self.dirs.iter().for_each(|path| add(path, b"/\0", b""));
        self.specials.iter().for_each(|path| add(path, b"!\0", b""));
        hash.finish().sha256()
    }
}

/// The place of the file of this path among a manifest's entries.
fn place_of(manifest: &Manifest, path: &Path) -> Option<usize> {
    let (entries, path) = (manifest.entries(), path.as_os_str().as_bytes());
    let at = entries.binary_search_by(|entry| entry.path().as_str().as_bytes().cmp(path)).ok()?;
    matches!(entries[at], Entry::File { .. }).then_some(at)
}

/// Every folder that a manifest implies.
pub fn dirs(manifest: &Manifest) -> BTreeSet<&Path> {
    let mut dirs = BTreeSet::new();
    let mut last = None;
    for entry in manifest.entries() {
        let path = entry.path().to_path();
        if matches!(entry, Entry::EmptyDir { .. }) {
            dirs.insert(path);
        }
        // Neighbours are mostly in one folder.
        if path.parent() != last {
            last = path.parent();
            let above = path.ancestors().skip(1);
            dirs.extend(above.take_while(|dir| !dir.as_os_str().is_empty()));
        }
    }
    dirs
}

/// What is directly in `dir`, by paths relative to `root`. A thing that vanishes
/// while it is looked at is left out. (The folder is held open, so that one that a
/// successor has taken meanwhile is still listed to its end; that only looks.)
fn children(site: &Site, root: &Path, dir: &Path) -> Result<Vec<(PathBuf, Stat)>, Error> {
    let full = root.join(dir);
    let at = |errno| site.blame(&full, errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let open = site.open(&full, flags, Mode::empty()).map_err(at)?;
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(&open).map_err(at)? {
        let entry = entry.map_err(at)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        match rustix::fs::statat(&open, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => found.push((dir.join(name), stat.into())),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::at(site.path(&full.join(name)), errno)),
        }
    }
    Ok(found)
}
