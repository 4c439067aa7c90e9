//! Backups that are being made: hidden siblings, which one rename makes what they are to be.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::{DATED, Error};
use crate::media::storage::make_dirs;

/// A new one, locked for as long as its maker lives.
pub(super) fn make(to: &Path) -> Result<(PathBuf, File), Error> {
    let name = to.file_name().ok_or_else(|| Error::Exists(to.display().to_string()))?;
    let hidden = format!(".{}.{}", name.to_string_lossy(), Uuid::new_v4().simple());
    let draft = to.with_file_name(hidden);
    let io = |error| Error::io(&draft, error);
    make_dirs(&draft, 0o700).map_err(io)?;
    let held = File::open(&draft).map_err(io)?;
    // Where there are no such locks nobody else gets one either.
    let _ = flock(&held, FlockOperation::NonBlockingLockExclusive);
    Ok((draft, held))
}

/// Removes what killed ones left beside `to`, of its own name or of dated ones. Those with
/// a maker are locked; one that is empty may be about to be.
pub(super) fn sweep(to: &Path) {
    let Some(name) = to.file_name().map(|name| name.to_string_lossy()) else { return };
    let Ok(entries) = to.parent().unwrap_or(to).read_dir() else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.file_name().is_some_and(|found| is_draft(&found.to_string_lossy(), &name))
            && path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
            && path.read_dir().is_ok_and(|mut inside| inside.next().is_some())
            && let Ok(held) = File::open(&path)
            && flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

fn is_draft(found: &str, name: &str) -> bool {
    let parts = found.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(of, id)| {
        (of == name || of.starts_with(DATED))
            && id.len() == 32
            && id.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_told_from_what_is_called_alike() {
        let id = "0123456789abcdef0123456789abcdef";
        for draft in [format!(".monday.{id}"), format!(".databridge-20260101T000000Z.{id}")] {
            assert!(is_draft(&draft, "monday"), "{draft}");
        }
        let (dash, short) = (format!(".mon-day.{id}"), format!(".monday.{}", &id[1..]));
        let others = ["monday", ".monday", ".monday.uuid", &dash, &short, &id[..4]];
        for other in others.into_iter().chain([format!("monday.{id}").as_str()]) {
            assert!(!is_draft(other, "monday"), "{other}");
        }
    }
}
