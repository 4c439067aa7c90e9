//! What really stands in a written copy.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::media::checksum::Sha256;
use crate::media::manifest::{Entry, Manifest};
use crate::media::storage::{Kind, Stat, escape};

use super::Shape;
use super::error::{Discrepancy, Error};
use super::site::{Site, Standing};

/// Everything below a copy's root; paths are relative to it.
#[derive(Debug, Default)]
pub struct Listing {
    pub files: BTreeMap<PathBuf, Stat>,
    pub dirs: BTreeSet<PathBuf>,
    pub specials: BTreeSet<PathBuf>,
}

impl Listing {
    /// Of the partial folder, or of what was published.
    pub fn of(site: &Site, standing: Standing, shape: Shape, name: &str) -> Result<Self, Error> {
        let mut listing = Self::default();
        if (standing, shape) == (Standing::Published, Shape::File) {
            if let Some(stat) = site.stat(site.final_name())? {
                listing.add(name.into(), stat);
            }
            return Ok(listing);
        }
        let root = site.entry(standing, shape, "");
        let mut waiting = vec![PathBuf::new()];
        while let Some(dir) = waiting.pop() {
            for (path, stat) in children(site, &root, &dir)? {
                if listing.add(path.clone(), stat) {
                    waiting.push(path);
                }
            }
        }
        Ok(listing)
    }

    /// Takes one thing in; `true` if it is a folder.
    fn add(&mut self, path: PathBuf, stat: Stat) -> bool {
        match stat.kind {
            Kind::File => {
                self.files.insert(path, stat);
            }
            Kind::Dir => {
                self.dirs.insert(path);
                return true;
            }
            _ => {
                self.specials.insert(path);
            }
        }
        false
    }

    /// # Errors
    /// [`Error::PartialDiffers`] naming the first thing that is too many, missing
    /// or of the wrong type. Sizes are the read-back's business.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Error> {
        let differs = |path: &Path, what| {
            Err(Error::PartialDiffers { path: escape(path.as_os_str().as_bytes()), what })
        };
        let expected = Expected::of(manifest);
        if let Some(path) = self.specials.first() {
            return differs(path, Discrepancy::Special);
        }
        for path in self.files.keys() {
            if expected.dirs.contains(path.as_path()) {
                return differs(path, Discrepancy::Special);
            }
            if !expected.files.contains(path.as_path()) {
                return differs(path, Discrepancy::Extra);
            }
        }
        for path in &self.dirs {
            if expected.files.contains(path.as_path()) {
                return differs(path, Discrepancy::Special);
            }
            if !expected.dirs.contains(path.as_path()) {
                return differs(path, Discrepancy::Extra);
            }
        }
        let missing_file = expected.files.iter().find(|path| !self.files.contains_key(**path));
        let missing_dir = expected.dirs.iter().find(|path| !self.dirs.contains(**path));
        match missing_file.or(missing_dir) {
            Some(path) => differs(path, Discrepancy::Missing),
            None => Ok(()),
        }
    }

    /// The facts as one digest: of each file its path, inode, size and times of
    /// change, of all else its path. Whoever writes to a file or replaces it
    /// changes it, and nothing else that happens to a finished copy does.
    pub fn digest(&self) -> Sha256 {
        let mut text = Vec::new();
        for (path, stat) in &self.files {
            text.extend_from_slice(path.as_os_str().as_bytes());
            text.push(0);
            for number in [stat.ino, stat.size_bytes] {
                text.extend_from_slice(&number.to_be_bytes());
            }
            for time in [stat.mtime_ns, stat.ctime_ns] {
                text.extend_from_slice(&time.to_be_bytes());
            }
        }
        for path in &self.dirs {
            text.extend_from_slice(path.as_os_str().as_bytes());
            text.extend_from_slice(b"/\0");
        }
        for path in &self.specials {
            text.extend_from_slice(path.as_os_str().as_bytes());
            text.extend_from_slice(b"!\0");
        }
        Sha256::of(&text)
    }
}

/// What a manifest asks for: its files, and every folder that it implies.
#[derive(Debug, Default)]
pub struct Expected<'a> {
    pub files: BTreeSet<&'a Path>,
    pub dirs: BTreeSet<&'a Path>,
}

impl<'a> Expected<'a> {
    /// Of a manifest.
    pub fn of(manifest: &'a Manifest) -> Self {
        let mut expected = Self::default();
        for entry in manifest.entries() {
            let path = Path::new(entry.path().as_str());
            match entry {
                Entry::File { .. } => expected.files.insert(path),
                Entry::EmptyDir { .. } => expected.dirs.insert(path),
            };
            let above = path.ancestors().skip(1);
            expected.dirs.extend(above.take_while(|dir| !dir.as_os_str().is_empty()));
        }
        expected
    }
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
