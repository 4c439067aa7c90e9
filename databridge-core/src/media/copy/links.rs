//! Names of one file: hard links inside the source.

use std::path::Path;

use rustix::io::Errno;

use crate::media::manifest::{Entry, Manifest};
use crate::media::storage::{Folder, Kind, Stat};

use super::error::Error;
use super::site::Site;
use super::{Plan, Shape};

/// How often a name is cleared when something stands in the way.
const TRIES: usize = 4;

/// Which entries of a manifest are further names of a file that an earlier entry
/// names: its first name. Places are those among the manifest's entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// First name and further name, sorted.
    by_first: Vec<(u32, u32)>,
    /// Further name and first name, sorted.
    by_other: Vec<(u32, u32)>,
}

impl Links {
    /// Of the device and inode of each entry that has several names, somewhere.
    pub fn of(mut names: Vec<(u64, u64, u32)>) -> Self {
        names.sort_unstable();
        let same = |a: &(u64, u64, u32), b: &(u64, u64, u32)| (a.0, a.1) == (b.0, b.1);
        let mut by_first: Vec<_> = names
            .chunk_by(same)
            .flat_map(|file| file[1..].iter().map(|name| (file[0].2, name.2)))
            .collect();
        by_first.sort_unstable();
        let mut by_other: Vec<_> = by_first.iter().map(|&(first, other)| (other, first)).collect();
        by_other.sort_unstable();
        Self { by_first, by_other }
    }

    /// Of the source of a plan as it stands; what is missing there is somebody else's
    /// to tell.
    pub fn of_source(plan: &Plan) -> Result<Self, Error> {
        let mut names = Vec::new();
        if plan.shape == Shape::Tree {
            let source = Folder::open(&plan.source).map_err(Error::of_source)?;
            for (at, entry) in (0..).zip(plan.manifest.entries()) {
                if let Entry::File { path, .. } = entry {
                    names.extend(source.stat(path).ok().and_then(|stat| name(&stat, at)));
                }
            }
        }
        Ok(Self::of(names))
    }

    /// The first name of the file that this is a further name of.
    pub fn first(&self, at: usize) -> Option<usize> {
        let found = self.by_other.binary_search_by_key(&at, |&(other, _)| other as usize);
        found.ok().map(|found| self.by_other[found].1 as usize)
    }

    /// The further names of the file that this is the first name of.
    pub fn others(&self, first: usize) -> impl Iterator<Item = usize> + Clone {
        let start = self.by_first.partition_point(|&(name, _)| (name as usize) < first);
        let end = self.by_first.partition_point(|&(name, _)| name as usize <= first);
        self.by_first[start..end].iter().map(|&(_, other)| other as usize)
    }

    /// Without the further names for which `stays`, given the first name and them, says no.
    pub fn retain(&mut self, stays: impl Fn(usize, usize) -> bool) {
        self.by_first.retain(|&(first, other)| stays(first as usize, other as usize));
        self.by_other.retain(|&(other, first)| stays(first as usize, other as usize));
    }

    /// How many further names there are.
    pub fn len(&self) -> u64 {
        self.by_first.len() as u64
    }

    /// # Errors
    /// [`Error::HardLinked`] if there are any.
    pub fn refuse(&self, manifest: &Manifest) -> Result<(), Error> {
        let path = |at: u32| manifest.entries()[at as usize].path().to_string();
        match self.by_first.first() {
            None => Ok(()),
            Some(&(first, other)) => {
                let others = self.by_first.len() - 1;
                Err(Error::HardLinked { path: path(other), first: path(first), others })
            }
        }
    }
}

/// What [`Links::of`] is to know of an entry.
pub fn name(stat: &Stat, at: u32) -> Option<(u64, u64, u32)> {
    (stat.kind == Kind::File && stat.links > 1).then_some((stat.dev, stat.ino, at))
}

/// Gives the file `from` the further name `to`, both below the parent. What stands in
/// the way is unlinked, as where a file is made.
pub fn link(site: &Site, from: &Path, to: &Path) -> Result<(), Error> {
    for _ in 0..TRIES {
        match site.link(from, to) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => match site.unlink(to) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(site.blame(to, errno)),
            },
            Err(
                errno @ (Errno::PERM
                | Errno::OPNOTSUPP
                | Errno::NOSYS
                | Errno::MLINK
                | Errno::XDEV
                | Errno::INVAL),
            ) => return Err(Error::HardLink { path: site.path(to), source: errno.into() }),
            Err(errno) => return Err(site.blame(to, errno)),
        }
    }
    Err(Error::at(site.path(to), Errno::EXIST))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_name_is_the_first_or_knows_it(files in proptest::collection::vec((0u64..2, 0u64..4), 0..12)) {
            let names = (0..).zip(&files).map(|(at, &(dev, ino))| (dev, ino, at));
            let links = Links::of(names.collect());
            let mut first = BTreeMap::new();
            let mut others = 0;
            for (at, file) in files.iter().enumerate() {
                let expected = *first.entry(file).or_insert(at);
                prop_assert_eq!(links.first(at), (expected != at).then_some(expected));
                prop_assert_eq!(links.others(expected).any(|other| other == at), expected != at);
                others += u64::from(expected != at);
            }
            prop_assert_eq!(links.len(), others);
        }
    }
}
