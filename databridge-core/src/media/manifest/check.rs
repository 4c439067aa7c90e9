//! How a tree, or another manifest, differs from a manifest.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Entry, Error, Manifest};
use crate::media::checksum::{self, Sha256};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{Folder, Kind, RelPath, escape};
use crate::media::walk::{self, Item};

/// One path that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Relative to the root. What stands in a tree may bear any name, so it is escaped
    /// for display.
    pub path: String,
    /// How it differs.
    #[serde(flatten)]
    pub what: What,
}

/// How a path differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "difference", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// It should be there.
    Missing,
    /// It should not be there.
    Extra {
        /// What stands there.
        found: Kind,
    },
    /// Something of another kind stands there.
    Kind {
        /// What should.
        expected: Kind,
        /// What does.
        found: Kind,
    },
    /// The file has another length.
    Size {
        /// As it should be.
        expected_bytes: u64,
        /// As it is.
        found_bytes: u64,
    },
    /// The file has another content of the same length.
    Content {
        /// As it should be.
        expected: Sha256,
        /// As it is.
        found: Sha256,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.what {
            What::Missing => f.write_str("missing"),
            What::Extra { found } => write!(f, "extra {found}"),
            What::Kind { expected, found } => write!(f, "{found}, expected {expected}"),
            What::Size { expected_bytes, found_bytes } => {
                write!(f, "{found_bytes} bytes, expected {expected_bytes}")
            }
            What::Content { expected, found } => write!(f, "sha256 {found}, expected {expected}"),
        }
    }
}

impl Difference {
    pub(super) fn is_extra_dir(&self) -> bool {
        self.what == What::Extra { found: Kind::Dir }
    }
}

/// What should stand under a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub path: &'a RelPath,
    pub kind: Kind,
    pub size_bytes: Option<u64>,
    pub sha256: Option<Sha256>,
}

impl<'a> From<&'a Entry> for Expected<'a> {
    fn from(entry: &'a Entry) -> Self {
        match entry {
            Entry::File { path, size_bytes, sha256 } => {
                let (size_bytes, sha256) = (Some(*size_bytes), Some(*sha256));
                Self { path, kind: Kind::File, size_bytes, sha256 }
            }
            Entry::EmptyDir { path } => {
                Self { path, kind: Kind::Dir, size_bytes: None, sha256: None }
            }
        }
    }
}

impl Expected<'_> {
    /// What differs, as far as it can be seen without reading.
    fn facts_differ(&self, found: Kind, found_bytes: u64) -> Option<What> {
        if self.kind != found {
            return Some(What::Kind { expected: self.kind, found });
        }
        match self.size_bytes {
            Some(expected_bytes) if expected_bytes != found_bytes => {
                Some(What::Size { expected_bytes, found_bytes })
            }
            _ => None,
        }
    }

    fn content_differs(&self, found: Sha256) -> Option<What> {
        let expected = self.sha256.filter(|expected| *expected != found)?;
        Some(What::Content { expected, found })
    }

    fn difference(&self, what: What) -> Difference {
        Difference { path: self.path.to_string(), what }
    }
}

impl Manifest {
    /// How `other` differs from this one, which says how it should be; sorted by path.
    pub fn diff(&self, other: &Self) -> Vec<Difference> {
        let mut found: HashMap<_, _> =
            other.entries().iter().map(|entry| (entry.path(), entry)).collect();
        let mut differences = Vec::new();
        for entry in self.entries() {
            let expected = Expected::from(entry);
            let what = match found.remove(entry.path()).map(Expected::from) {
                None => Some(What::Missing),
                Some(other) => expected
                    .facts_differ(other.kind, other.size_bytes.unwrap_or(0))
                    .or_else(|| expected.content_differs(other.sha256?)),
            };
            differences.extend(what.map(|what| expected.difference(what)));
        }
        differences.extend(
            found
                .into_values()
                .map(Expected::from)
                .map(|extra| extra.difference(What::Extra { found: extra.kind })),
        );
        differences.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        differences
    }

    /// Reads the whole tree, `jobs` files at a time (`None`: one for each core), and
    /// tells every difference, sorted by path: also links, special files and names
    /// that no manifest would admit. An empty list means that the tree is the
    /// manifest's.
    ///
    /// Errors: what cannot be read, a file that changed meanwhile, cancellation.
    pub fn check_tree(
        &self,
        root: &Path,
        jobs: Option<usize>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Difference>, Error> {
        check_tree(root, self.entries().iter().map(Expected::from).collect(), jobs, monitor)
    }
}

pub(super) fn check_tree(
    root: &Path,
    expected: Vec<Expected<'_>>,
    jobs: Option<usize>,
    monitor: &dyn Monitor,
) -> Result<Vec<Difference>, Error> {
    let folder = Folder::open(root)?;
    let items = walk::list(&folder)?;
    let mut differences = extras(&items, &expected);
    let found: HashMap<_, _> =
        items.iter().map(|item| (item.path.as_encoded_bytes(), &item.stat)).collect();
    let mut unread = Vec::new();
    for expected in expected {
        let what = match found.get(expected.path.as_str().as_bytes()) {
            None => Some(What::Missing),
            Some(stat) => expected.facts_differ(stat.kind, stat.size_bytes),
        };
        match what {
            Some(what) => differences.push(expected.difference(what)),
            None if expected.kind == Kind::File => {
                let stat = found.get(expected.path.as_str().as_bytes());
                unread.push((expected, stat.map_or(0, |stat| stat.size_bytes)));
            }
            None => {}
        }
    }
    differences.extend(read(&folder, unread, jobs, monitor)?);
    differences.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(differences)
}

/// What stands there unexpectedly. A folder counts only if it is empty and none of the
/// expected should be in it: else its content speaks.
fn extras(items: &[Item], expected: &[Expected<'_>]) -> Vec<Difference> {
    let mut known = HashSet::new();
    for expected in expected {
        let mut path = Some(expected.path.to_path());
        // Once a folder is known, those above it are.
        while let Some(some) = path.filter(|path| known.insert(path.as_os_str().as_encoded_bytes()))
        {
            path = some.parent();
        }
    }
    items
        .iter()
        .filter(|item| item.is_leaf && !known.contains(item.path.as_encoded_bytes()))
        .map(|item| Difference {
            path: escape(item.path.as_encoded_bytes()),
            what: What::Extra { found: item.stat.kind },
        })
        .collect()
}

fn read(
    folder: &Folder,
    files: Vec<(Expected<'_>, u64)>,
    jobs: Option<usize>,
    monitor: &dyn Monitor,
) -> Result<Vec<Difference>, Error> {
    let bytes = files.iter().map(|(_, size_bytes)| size_bytes).sum();
    monitor.on(Progress::Total { files: files.len() as u64, bytes });
    let check = |buffer: &mut Vec<u8>, (expected, _): (Expected<'_>, u64)| {
        let digest = checksum::below(folder, expected.path, &[], buffer, monitor)?;
        monitor.on(Progress::File(expected.path.as_str()));
        let what = expected.content_differs(digest.digests.sha256());
        Ok(what.map(|what| expected.difference(what)))
    };
    let differences: Result<Vec<_>, checksum::Error> = checksum::pool(jobs)?
        .install(|| files.into_par_iter().map_init(checksum::buffer, check).collect());
    Ok(differences?.into_iter().flatten().collect())
}
