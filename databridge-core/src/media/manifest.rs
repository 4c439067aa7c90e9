//! What a delivery consists of, and the one digest that stands for all of it.

mod ascmhl;
mod bagit;
mod check;
mod error;
mod glance;
mod list;
mod mhl1;
mod state;
mod sums;
mod verify;
mod xml;

use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use ascmhl::{Written, write as write_ascmhl};
pub use bagit::{PAYLOAD, write as write_bagit};
pub use check::{Difference, What};
pub use error::Error;
pub use list::{Format, Known, List, inside, root_of};
pub use state::State;
pub use sums::{Sums, parse_sha256sums};
pub use verify::{Options, Report};

use super::checksum::{self, Sha256};
use super::monitor::Monitor;
use super::storage::{RelPath, collisions};
use super::walk;

/// One thing in a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// A regular file.
    File {
        /// Relative to the delivery's root.
        path: RelPath,
        /// Length.
        size_bytes: u64,
        /// Digest of the content.
        sha256: Sha256,
    },
    /// A folder with nothing in it (others are implied by their files).
    EmptyDir {
        /// Relative to the delivery's root.
        path: RelPath,
    },
}

impl Entry {
    /// Relative to the delivery's root.
    pub fn path(&self) -> &RelPath {
        match self {
            Self::File { path, .. } | Self::EmptyDir { path } => path,
        }
    }

    /// Length; 0 for a folder.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::File { size_bytes, .. } => *size_bytes,
            Self::EmptyDir { .. } => 0,
        }
    }
}

/// Entries sorted by path (bytewise), each path once, none that collides with
/// another. In JSON an array of entries, checked when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest {
    #[serde(deserialize_with = "entries")]
    entries: Vec<Entry>,
}

fn entries<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    Manifest::from_entries(Vec::deserialize(deserializer)?)
        .map(|manifest| manifest.entries)
        .map_err(serde::de::Error::custom)
}

impl Manifest {
    /// Sorts the entries. Errors: [`Error::Collisions`] if two of them cannot stand
    /// side by side.
    pub fn from_entries(mut entries: Vec<Entry>) -> Result<Self, Error> {
        // No two are equal where that succeeds, and this sort needs no room of its own.
        entries.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        let collisions = collisions(entries.iter().map(Entry::path));
        if collisions.is_empty() {
            Ok(Self { entries })
        } else {
            Err(Error::Collisions(collisions))
        }
    }

    /// Walks and hashes a tree, `jobs` files at a time (`None`: as suits the machine).
    /// Errors: as [`checksum::tree`].
    pub fn of_tree(
        root: &Path,
        jobs: Option<NonZeroUsize>,
        monitor: &dyn Monitor,
    ) -> Result<Self, Error> {
        let mut entries = Vec::new();
        let options = checksum::Options { jobs, ..checksum::Options::default() };
        checksum::each(root, options, monitor, |found| {
            entries.extend(found.map(|found| Entry::File {
                path: found.path,
                size_bytes: found.digest.size_bytes,
                sha256: found.digest.digests.sha256(),
            }));
            Ok(())
        })?;
        let dirs = walk::empty_dirs(root).map_err(checksum::Error::from)?;
        entries.extend(dirs.into_iter().map(|path| Entry::EmptyDir { path }));
        Self::from_entries(entries)
    }

    /// The entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many files there are.
    pub fn file_count(&self) -> u64 {
        self.entries.iter().filter(|entry| matches!(entry, Entry::File { .. })).count() as u64
    }

    /// Their lengths added up.
    pub fn total_bytes(&self) -> u64 {
        self.entries.iter().map(Entry::size_bytes).fold(0, u64::saturating_add)
    }

    /// The canonical form, version 1. UTF-8 lines, each ended by one line feed: first
    /// `databridge-manifest-v1`, then one for each entry, sorted by path bytewise:
    ///
    /// - `file <sha256> <size> <path>`: the digest in 64 lower-case hex digits, the
    ///   length in decimal without leading zeros,
    /// - `dir <path>` for an empty folder.
    ///
    /// One space between fields; the path is the rest of the line as it is, since a
    /// [`RelPath`] holds no line feed. So two manifests have the same bytes only if
    /// they are equal.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        self.canonical_lines().collect::<String>().into_bytes()
    }

    fn canonical_lines(&self) -> impl Iterator<Item = String> {
        let lines = self.entries.iter().map(|entry| match entry {
            Entry::File { path, size_bytes, sha256 } => {
                format!("file {sha256} {size_bytes} {path}\n")
            }
            Entry::EmptyDir { path } => format!("dir {path}\n"),
        });
        std::iter::once("databridge-manifest-v1\n".to_owned()).chain(lines)
    }

    /// The manifest digest: SHA-256 of [`Self::canonical_bytes`]. Approvals,
    /// verdicts, copies and receipts are bound to it.
    pub fn digest(&self) -> Sha256 {
        let mut hash = checksum::Hasher::new(&[]);
        self.canonical_lines().for_each(|line| hash.update(line.as_bytes()));
        hash.finish().sha256()
    }

    /// Gives every file the digest that `found` knows by its place among the entries;
    /// the place of the first that it does not know otherwise.
    pub(super) fn complete(
        &mut self,
        found: impl Fn(usize) -> Option<Sha256>,
    ) -> Result<(), usize> {
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if let Entry::File { sha256, .. } = entry {
                *sha256 = found(at).ok_or(at)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
