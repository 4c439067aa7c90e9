//! A source that somebody's list describes by other digests than SHA-256.

use std::path::{Path, PathBuf};

use crate::media::checksum::{Algorithm, Digests};
use crate::media::manifest::{Difference, Entry, Known, List, Manifest, What};
use crate::media::storage::Kind;

use super::error::Error;

/// What a list knows of each file of a source, in the order of its outline.
#[derive(Debug)]
pub struct Knowns<'a>(Vec<Option<&'a Known>>);

impl<'a> Knowns<'a> {
    /// # Errors
    /// [`Error::SourceUnlike`] where the source lacks a file that the list names, or is
    /// a single one that it does not.
    pub fn of(list: &'a List, outline: &Manifest, source: &Path) -> Result<Self, Error> {
        let unlike = |path: &str, what| {
            let difference = Difference { path: path.to_owned(), what };
            Err(Error::SourceUnlike { path: source.to_owned(), difference })
        };
        let mut knowns = Vec::with_capacity(outline.entries().len());
        for entry in outline.entries() {
            let is_file = matches!(entry, Entry::File { .. });
            let known = list.file(entry.path()).filter(|_| is_file);
            if is_file && known.is_none() {
                return unlike(entry.path().as_str(), What::Extra { found: Kind::File });
            }
            knowns.push(known);
        }
        let stands = |file: &&Known| {
            outline.entries().binary_search_by(|entry| entry.path().cmp(&file.path)).is_ok()
        };
        match list.files().iter().find(|file| source.is_dir() && !stands(file)) {
            Some(missing) => unlike(missing.path.as_str(), What::Missing),
            None => Ok(Self(knowns)),
        }
    }

    /// What must be computed besides SHA-256.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut all: Vec<_> = self.0.iter().flatten().flat_map(|file| file.algorithms()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// # Errors
    /// [`Error::SourceUnlike`] if a file that was read is not the one that is known.
    pub fn check(
        &self,
        at: usize,
        size_bytes: u64,
        found: &Digests,
        source: impl Fn() -> PathBuf,
    ) -> Result<(), Error> {
        let Some(known) = self.0.get(at).copied().flatten() else { return Ok(()) };
        match known.check(size_bytes, found) {
            None => Ok(()),
            Some(what) => {
                let difference = Difference { path: known.path.to_string(), what };
                Err(Error::SourceUnlike { path: source(), difference })
            }
        }
    }
}
