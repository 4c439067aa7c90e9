//! How what was scanned differs from what was approved, as far as reading every
//! file of the manifest does not tell.

use std::collections::{HashMap, HashSet};

use super::Error;
use crate::media::manifest::{Difference, Entry, Manifest, What};
use crate::media::storage::{Folder, Kind, RelPath, escape};
use crate::media::walk;

/// What stands in the tree and not in the manifest, and empty folders of the
/// manifest that do not stand in the tree.
pub(super) fn around(folder: &Folder, manifest: &Manifest) -> Result<Vec<Difference>, Error> {
    let items = walk::list(folder).map_err(Error::Storage)?;
    let mut known = HashSet::new();
    for entry in manifest.entries() {
        let mut path = Some(entry.path().to_path());
        // Once a folder is known, those above it are.
        while let Some(some) = path.filter(|p| known.insert(p.as_os_str())) {
            path = some.parent();
        }
    }
    let extra =
        items.iter().filter(|item| item.is_leaf && !known.contains(&*item.path)).map(|item| {
            Difference {
                path: escape(item.path.as_encoded_bytes()),
                what: What::Extra { found: item.stat.kind },
            }
        });
    let kinds: HashMap<_, _> = items.iter().map(|item| (&*item.path, item.stat.kind)).collect();
    let missing = manifest.entries().iter().filter_map(|entry| {
        let Entry::EmptyDir { path } = entry else { return None };
        let what = match kinds.get(path.to_path().as_os_str()) {
            Some(Kind::Dir) => return None,
            Some(found) => What::Kind { expected: Kind::Dir, found: *found },
            None => What::Missing,
        };
        Some(Difference { path: path.to_string(), what })
    });
    Ok(extra.chain(missing).collect())
}

/// Why a file of the manifest could not be opened, where that is because
/// something else, or nothing, stands there.
pub(super) fn instead(folder: &Folder, path: &RelPath) -> Option<What> {
    match folder.stat(path) {
        Ok(stat) if stat.kind == Kind::File => None,
        Ok(stat) => Some(What::Kind { expected: Kind::File, found: stat.kind }),
        Err(_) => Some(What::Missing),
    }
}
