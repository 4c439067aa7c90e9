//! Everything below a folder, whatever its name or kind.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::media::storage::{Error, Folder, Kind, RelPath, Stat};

/// One name below a root.
#[derive(Debug)]
pub(crate) struct Item {
    /// Relative, as the file system spells it.
    pub path: OsString,
    /// Its facts.
    pub stat: Stat,
    /// Nothing below it is listed: no folder, or an empty one, or one whose path is
    /// too long to be entered.
    pub is_leaf: bool,
}

/// Lists everything below `root`, in no order, folders included. Nothing is
/// followed; a folder whose path is already too long is listed and not entered,
/// since all in it is too long as well (and might be endless).
pub(crate) fn list(root: &Folder) -> Result<Vec<Item>, Error> {
    let mut items: Vec<Item> = Vec::new();
    // Folders to enter, and where they stand in `items`.
    let mut open = vec![(PathBuf::new(), None::<usize>)];
    while let Some((dir, at)) = open.pop() {
        let names = root.list(&dir)?;
        if let Some(item) = at.and_then(|at| items.get_mut(at)) {
            item.is_leaf = names.is_empty();
        }
        for (name, stat) in names {
            let path = dir.join(name);
            if stat.kind == Kind::Dir && path.as_os_str().len() <= RelPath::MAX_BYTES {
                open.push((path.clone(), Some(items.len())));
            }
            items.push(Item { path: path.into_os_string(), stat, is_leaf: true });
        }
    }
    Ok(items)
}
