//! What a tree consists of, strictly: either every name in it is admitted, or one
//! error lists every name that is not.

mod error;
mod listing;
mod sorted;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use error::{Error, Reason, Refused};
pub(crate) use listing::{Item, list};
pub(crate) use sorted::{Names, Place, count, empty_dirs, sorted};

use super::storage::{self, Folder, RelPath, Stat};

/// What an entry of a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file. A hard link is one too, copied as a file of its own.
    File,
    /// A folder with nothing in it (others are implied by their files).
    EmptyDir,
}

/// One thing in a tree, with what the file system says about it. Times are
/// nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the tree's root.
    pub path: RelPath,
    /// File or empty folder.
    pub kind: Kind,
    /// Length; 0 for a folder.
    pub size_bytes: u64,
    /// Last change of the content.
    pub mtime_ns: i64,
    /// Last change of content or inode.
    pub ctime_ns: i64,
    /// The file system's number.
    pub dev: u64,
    /// The inode's number.
    pub ino: u64,
    /// Permission bits.
    pub mode: u32,
}

/// The folder a single file is in, and its name there. The path itself may lead
/// over links; the file may not be one.
pub fn single(file: &Path) -> Result<(std::path::PathBuf, RelPath), Error> {
    let name = file.file_name().unwrap_or_default();
    let root = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match RelPath::check(name.as_encoded_bytes()) {
        Ok(name) => Ok((root.to_owned(), name)),
        Err(flaw) => {
            let path = storage::escape(name.as_encoded_bytes());
            let refused = vec![Refused { path, reason: Reason::Name(flaw) }];
            Err(Error::Refused { root: root.to_owned(), refused })
        }
    }
}

/// Every file and empty folder below `root`, sorted by path, bytewise.
///
/// Links and special files, names that [`RelPath`] refuses, and names that
/// collide are all listed in one [`Error::Refused`]; nothing is skipped and
/// nothing followed. A root that is empty gives an empty list.
pub fn tree(root: &Path) -> Result<Vec<Entry>, Error> {
    below(&Folder::open(root)?)
}

/// The same of a folder that is open already.
pub fn below(root: &Folder) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut refused = Vec::new();
    for item in list(root)? {
        match admit(&item) {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => {}
            Err(reason) => {
                refused
                    .push(Refused { path: storage::escape(item.path.as_encoded_bytes()), reason });
            }
        }
    }
    entries.sort_unstable_by(|a: &Entry, b| a.path.cmp(&b.path));
    for collision in storage::collisions(entries.iter().map(|entry| &entry.path)) {
        let path = collision.second.to_string();
        refused.push(Refused { path, reason: Reason::Collision(collision) });
    }
    if refused.is_empty() {
        return Ok(entries);
    }
    refused.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Err(Error::Refused { root: root.path().to_owned(), refused })
}

/// The one file of that name in an open folder; it may be no link.
pub fn file(root: &Folder, path: RelPath) -> Result<Entry, Error> {
    let whole = root.path().join(&path);
    let file = root.open_file(&path)?;
    let stat = Stat::of(&file).map_err(|error| storage::Error::io("examine", whole, error))?;
    Ok(entry(path, Kind::File, &stat))
}

/// An entry; nothing for a folder with something in it.
fn admit(item: &Item) -> Result<Option<Entry>, Reason> {
    let path = RelPath::check(item.path.as_encoded_bytes()).map_err(Reason::Name)?;
    let kind = match item.stat.kind {
        storage::Kind::File => Kind::File,
        storage::Kind::Dir if item.is_leaf => Kind::EmptyDir,
        storage::Kind::Dir => return Ok(None),
        special => return Err(Reason::Kind(special)),
    };
    Ok(Some(entry(path, kind, &item.stat)))
}

fn entry(path: RelPath, kind: Kind, stat: &Stat) -> Entry {
    Entry {
        path,
        kind,
        size_bytes: if kind == Kind::File { stat.size_bytes } else { 0 },
        mtime_ns: stat.mtime_ns,
        ctime_ns: stat.ctime_ns,
        dev: stat.dev,
        ino: stat.ino,
        mode: stat.mode,
    }
}

#[cfg(test)]
mod tests;
