//! What really stands in a written copy.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::media::checksum::Sha256;
use crate::media::manifest::{Entry, Manifest};

use super::Shape;
use super::error::{Discrepancy, Error};
use super::site::{Site, Standing};

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    pub inode: u64,
    pub size_bytes: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Facts {
    /// Of what `stat(2)` says.
    pub fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// Everything below a copy's root; paths are relative to it.
#[derive(Debug, Default)]
pub struct Listing {
    pub files: BTreeMap<PathBuf, Facts>,
    pub dirs: BTreeSet<PathBuf>,
    pub specials: BTreeSet<PathBuf>,
}

impl Listing {
    /// Of the partial folder, or of what was published.
    pub fn of(site: &Site, standing: Standing, shape: Shape, name: &str) -> Result<Self, Error> {
        let mut listing = Self::default();
        if (standing, shape) == (Standing::Published, Shape::File) {
            if let Some(stat) = site.stat(site.final_name())? {
                listing.add(name.into(), &stat);
            }
            return Ok(listing);
        }
        let root = site.entry(standing, shape, "");
        let mut waiting = vec![PathBuf::new()];
        while let Some(dir) = waiting.pop() {
            for (path, stat) in children(site, &root, &dir)? {
                if listing.add(path.clone(), &stat) {
                    waiting.push(path);
                }
            }
        }
        Ok(listing)
    }

    /// Takes one thing in; `true` if it is a folder.
    fn add(&mut self, path: PathBuf, stat: &Stat) -> bool {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                self.files.insert(path, Facts::of(stat));
            }
            FileType::Directory => {
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
            Err(Error::PartialDiffers { path: path.to_string_lossy().into_owned(), what })
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

    /// One digest over every file's path and facts and every folder's path.
    pub fn digest(&self) -> Sha256 {
        let mut text = Vec::new();
        for (path, facts) in &self.files {
            text.extend_from_slice(path.as_os_str().as_bytes());
            text.push(0);
            for number in [
                facts.inode,
                facts.size_bytes,
                facts.modified.0.cast_unsigned(),
                facts.modified.1,
                facts.changed.0.cast_unsigned(),
                facts.changed.1,
            ] {
                text.extend_from_slice(&number.to_be_bytes());
            }
        }
        for path in &self.dirs {
            text.extend_from_slice(path.as_os_str().as_bytes());
            text.extend_from_slice(b"/\0");
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
/// while it is looked at is left out.
fn children(site: &Site, root: &Path, dir: &Path) -> Result<Vec<(PathBuf, Stat)>, Error> {
    let full = root.join(dir);
    let at = |errno| site.blame(&full, errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let open = site.open(&full, flags, Mode::empty()).map_err(at)?;
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::new(open).map_err(at)? {
        let entry = entry.map_err(at)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        match rustix::fs::statat(site.parent(), full.join(name), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        {
            Ok(stat) => found.push((dir.join(name), stat)),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(at(errno)),
        }
    }
    Ok(found)
}
