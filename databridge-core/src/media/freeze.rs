//! Taking what was submitted into a tree that only the service can write.
//!
//! A file of somebody else cannot be made safe by its permissions: whoever holds an
//! open descriptor writes through mode 0444. So every frozen file is a new inode, and
//! what is approved, scanned and copied afterwards is that tree and nothing else.

mod adopt;
mod build;
mod changes;
mod error;
mod place;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use changes::{Aspect, Change, What, changes};
pub use error::Error;

use super::checksum::Sha256;
use super::manifest::{Entry, Manifest};
use super::monitor::Monitor;
use super::storage::{self, Folder, RelPath, Stat};
use super::walk::Kind;
use place::Place;

/// One thing to be frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The folder it is in; the path itself may lead over links, nothing below it.
    pub root: PathBuf,
    /// Where it is below that folder, and where it will be in the frozen tree.
    pub path: RelPath,
    /// File or empty folder.
    pub kind: Kind,
    /// Length and digest that the file must still have, if it was hashed before.
    pub expect: Option<(u64, Sha256)>,
}

/// What the file system says about a frozen file or empty folder; times are
/// nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Relative to the frozen tree's root.
    pub path: RelPath,
    /// File or empty folder.
    pub kind: Kind,
    /// Length; 0 for a folder.
    pub size_bytes: u64,
    /// Last change of the content, kept from the source.
    pub mtime_ns: i64,
    /// Last change of content or inode, after the last chmod.
    pub ctime_ns: i64,
    /// The file system's number.
    pub dev: u64,
    /// The inode's number.
    pub ino: u64,
}

impl Fact {
    fn new(path: RelPath, kind: Kind, stat: &Stat) -> Self {
        let size_bytes = if kind == Kind::File { stat.size_bytes } else { 0 };
        let Stat { mtime_ns, ctime_ns, dev, ino, .. } = *stat;
        Self { path, kind, size_bytes, mtime_ns, ctime_ns, dev, ino }
    }
}

/// A frozen tree: what it consists of, and how a cheap look later tells that it
/// still does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Its content.
    pub manifest: Manifest,
    /// One for each entry of the manifest, sorted by path.
    pub facts: Vec<Fact>,
}

/// Freezes `parts` into the folder `dest`, which appears whole and flushed to the
/// device, or not at all. Its parent must be there and be the service's own.
///
/// Files are reflinks where the file system offers it, copies elsewhere: new inodes
/// of mode 0440 with the mtime of their source, in folders of mode 0700. A run that
/// was killed leaves a hidden sibling `.databridge-freezing-<id>-<name>`, which the
/// next run moves out of a possible survivor's reach and wipes. If `dest` stands
/// already, whole, made by this very account and equal to `parts`, it was killed
/// after publishing: it is read again, every byte, and used.
///
/// Steps: `freeze.copied`, `freeze.before_rename`, `freeze.renamed`.
///
/// Errors: [`Error::Collisions`]; [`Error::Mismatch`] naming the files that are not
/// as expected; [`Error::Exists`]; a source that changes meanwhile; what the system
/// says; [`Error::Cancelled`].
pub fn tree(parts: &[Part], dest: &Path, monitor: &dyn Monitor) -> Result<Frozen, Error> {
    let collisions = storage::collisions(parts.iter().map(|part| &part.path));
    if !collisions.is_empty() {
        return Err(Error::Collisions(collisions));
    }
    let place = Place::of(dest)?;
    place.clear()?;
    let frozen = if place.is_taken()? {
        adopt::tree(parts, dest, &place, monitor)?
    } else {
        build::tree(parts, &place, monitor)?
    };
    // Between hashing and now nobody but us had business here.
    let changes = changes(dest, &frozen.facts)?;
    if changes.is_empty() {
        Ok(frozen)
    } else {
        Err(Error::Disturbed { path: dest.to_owned(), changes })
    }
}

fn sources(parts: &[Part]) -> Result<HashMap<&Path, Folder>, Error> {
    let mut sources = HashMap::new();
    for root in parts.iter().map(|part| part.root.as_path()) {
        if !sources.contains_key(root) {
            sources.insert(root, Folder::open(root)?);
        }
    }
    Ok(sources)
}

/// One part as it stands in the frozen tree.
struct Piece {
    entry: Entry,
    fact: Fact,
}

fn frozen(pieces: Vec<Piece>) -> Result<Frozen, Error> {
    let (entries, mut facts): (Vec<_>, Vec<_>) =
        pieces.into_iter().map(|piece| (piece.entry, piece.fact)).unzip();
    facts.sort_unstable_by(|a: &Fact, b| a.path.cmp(&b.path));
    Ok(Frozen { manifest: Manifest::from_entries(entries)?, facts })
}

#[cfg(test)]
mod tests;
