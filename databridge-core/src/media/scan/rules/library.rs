//! Compiled rules of this process: a studio's folder is compiled again only when
//! one of its files is another.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::set::Set;
use crate::media::scan::Error;

/// A studio's rules, all files together.
const FOLDER_BYTES: u64 = 32 << 20;

/// What tells one state of a rule file from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    path: PathBuf,
    size_bytes: u64,
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

type Sets = HashMap<Option<PathBuf>, (Vec<Stamp>, Arc<Set>)>;

static SETS: LazyLock<Mutex<Sets>> = LazyLock::new(Mutex::default);

/// The shipped rules with those of a folder as they are now.
pub(super) fn open(folder: Option<&Path>) -> Result<Arc<Set>, Error> {
    // Before the files are read: what changes meanwhile is seen the next time.
    let stamps = folder.map(stamps).transpose()?.unwrap_or_default();
    let mut sets = SETS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = folder.map(Path::to_path_buf);
    if let Some((known, set)) = sets.get(&key)
        && *known == stamps
    {
        return Ok(Arc::clone(set));
    }
    let read = |stamp: &Stamp| {
        let text = std::fs::read_to_string(&stamp.path).map_err(Error::io("read", &stamp.path))?;
        Ok((stamp.path.clone(), text))
    };
    let files = stamps.iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    let set = Arc::new(Set::compile(&files)?);
    tracing::info!(folder = ?key, digest = %set.digest, "rules compiled");
    sets.insert(key, (stamps, Arc::clone(&set)));
    Ok(set)
}

/// `*.yar` and `*.yara` in a folder, sorted.
fn stamps(folder: &Path) -> Result<Vec<Stamp>, Error> {
    let mut stamps = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if !path.extension().is_some_and(|e| e == "yar" || e == "yara") {
            continue;
        }
        let meta = std::fs::metadata(&path).map_err(Error::io("look at", &path))?;
        stamps.push(Stamp {
            path,
            size_bytes: meta.len(),
            inode: (meta.dev(), meta.ino()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        });
    }
    stamps.sort_unstable();
    let size: u64 = stamps.iter().map(|stamp| stamp.size_bytes).sum();
    if size > FOLDER_BYTES {
        let message = format!("they are {size} bytes, more than {FOLDER_BYTES}");
        return Err(Error::Rules { path: folder.to_path_buf(), message });
    }
    Ok(stamps)
}
