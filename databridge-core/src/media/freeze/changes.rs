//! The cheap look: is a frozen tree still what it was?

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Fact};
use crate::media::storage::{self, Folder, Stat, escape};
use crate::media::walk::{self, Kind};

/// Something that is not as it was frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Relative to the frozen tree's root. What was added may bear any name, so it is
    /// escaped for display.
    pub path: String,
    /// How.
    pub what: What,
}

/// How something changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Not there when it was frozen: a file, an empty folder, a link, anything.
    Added,
    /// No longer there.
    Removed,
    /// There, but these facts are others; never empty.
    Changed(Vec<Aspect>),
}

/// A fact that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// It is something else than it was.
    Kind,
    /// The length.
    Size,
    /// When the content was last changed.
    Mtime,
    /// When content or inode was last changed: also by chmod or a hard link.
    Ctime,
    /// It is another file of that name.
    Inode,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "kind",
            Self::Size => "size",
            Self::Mtime => "mtime",
            Self::Ctime => "ctime",
            Self::Inode => "inode",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.what {
            What::Added => f.write_str("added"),
            What::Removed => f.write_str("removed"),
            What::Changed(aspects) => {
                let aspects: Vec<_> = aspects.iter().map(Aspect::to_string).collect();
                write!(f, "changed ({})", aspects.join(", "))
            }
        }
    }
}

/// What changed below `root` since `facts` were taken, sorted by path, without reading
/// a file: by names, kind, size, mtime, ctime and inode. Not by the device number,
/// which network mounts and btrfs change at each mount. Nothing that stands there is
/// an error, whatever its name or kind: it is reported as added.
///
/// Errors: a tree that is not there at all or cannot be listed.
pub fn changes(root: &Path, facts: &[Fact]) -> Result<Vec<Change>, Error> {
    let items = walk::list(&Folder::open(root)?)?;
    let mut expected: HashMap<_, _> =
        facts.iter().map(|fact| (fact.path.as_str().as_bytes(), fact)).collect();
    let folders = folders(facts);
    let mut changes = Vec::new();
    for item in &items {
        let bytes = item.path.as_encoded_bytes();
        let what = match expected.remove(bytes) {
            Some(fact) => Some(aspects(fact, &item.stat))
                .filter(|aspects| !aspects.is_empty())
                .map(What::Changed),
            None if item.stat.kind == storage::Kind::Dir && folders.contains(bytes) => None,
            // What is in a folder speaks for it.
            None => item.is_leaf.then_some(What::Added),
        };
        changes.extend(what.map(|what| Change { path: escape(bytes), what }));
    }
    changes
        .extend(expected.keys().map(|bytes| Change { path: escape(bytes), what: What::Removed }));
    changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

fn folders(facts: &[Fact]) -> HashSet<&[u8]> {
    let mut folders = HashSet::new();
    for fact in facts {
        let mut path = fact.path.to_path().parent();
        // Once a folder is known, those above it are.
        while let Some(some) =
            path.filter(|some| folders.insert(some.as_os_str().as_encoded_bytes()))
        {
            path = some.parent();
        }
    }
    folders
}

fn aspects(fact: &Fact, stat: &Stat) -> Vec<Aspect> {
    let kind = match fact.kind {
        Kind::File => storage::Kind::File,
        Kind::EmptyDir => storage::Kind::Dir,
    };
    if stat.kind != kind {
        return vec![Aspect::Kind];
    }
    if fact.kind == Kind::EmptyDir {
        // What is put into it is reported itself.
        return Vec::new();
    }
    [
        (Aspect::Size, fact.size_bytes == stat.size_bytes),
        (Aspect::Mtime, fact.mtime_ns == stat.mtime_ns),
        (Aspect::Ctime, fact.ctime_ns == stat.ctime_ns),
        (Aspect::Inode, fact.ino == stat.ino),
    ]
    .into_iter()
    .filter_map(|(aspect, is_same)| (!is_same).then_some(aspect))
    .collect()
}
