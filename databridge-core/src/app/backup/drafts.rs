//! Backups that are being made: hidden siblings, which one rename makes what they are to be.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::{DATED, Error};
use crate::media::storage::make_dirs;

/// A new one, locked for as long as its maker lives.
pub(super) fn make(to: &Path, host: &str) -> Result<(PathBuf, File), Error> {
    let name = to.file_name().ok_or_else(|| Error::Exists(to.display().to_string()))?;
    let id = Uuid::new_v4().simple();
    let hidden = format!(".{}.{}.{id}", name.to_string_lossy(), part_of_name(host));
    let draft = to.with_file_name(hidden);
    let io = |error| Error::io(&draft, error);
    make_dirs(&draft, 0o700).map_err(io)?;
    let held = File::open(&draft).map_err(io)?;
    // Where there are no such locks nobody else gets one either.
    let _ = flock(&held, FlockOperation::NonBlockingLockExclusive);
    Ok((draft, held))
}

/// Removes what killed ones of this host left beside `to`, of its own name or of dated ones.
/// Those with a maker are locked; one that is empty may be about to be. (On a share another
/// host's lock may not be seen, so theirs are left to it.)
pub(super) fn sweep(to: &Path, host: &str) {
    let Some(name) = to.file_name().map(|name| name.to_string_lossy()) else { return };
    let Ok(entries) = to.parent().unwrap_or(to).read_dir() else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let found = path.file_name().unwrap_or_default().to_string_lossy();
        if is_draft(&found, &name, host)
            && path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
            && path.read_dir().is_ok_and(|mut inside| inside.next().is_some())
            && let Ok(held) = File::open(&path)
            && flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// A host's name without dots, which divide the parts of a draft's.
fn part_of_name(host: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    host.chars().take(64).map(plain).collect()
}

fn is_draft(found: &str, name: &str, host: &str) -> bool {
    let parts = found.strip_prefix('.').and_then(|rest| {
        let (rest, id) = rest.rsplit_once('.')?;
        let (of, by) = rest.rsplit_once('.')?;
        Some((of, by, id))
    });
    parts.is_some_and(|(of, by, id)| {
        (of == name || of.starts_with(DATED))
            && by == part_of_name(host)
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
        let host = "render.studio";
        let drafts = [
            format!(".monday.render-studio.{id}"),
            format!(".databridge-20260101T000000Z.render-studio.{id}"),
        ];
        for draft in drafts {
            assert!(is_draft(&draft, "monday", host), "{draft}");
        }
        let others = [
            "monday".to_owned(),
            ".monday".to_owned(),
            ".monday.uuid".to_owned(),
            id[..4].to_owned(),
            format!(".monday.{id}"),
            format!("monday.render-studio.{id}"),
            format!(".mon-day.render-studio.{id}"),
            format!(".monday.render-studio.{}", &id[1..]),
            // Another host's, who may be at it.
            format!(".monday.studio.{id}"),
            format!(".databridge-20260101T000000Z.workstation.{id}"),
        ];
        for other in others {
            assert!(!is_draft(&other, "monday", host), "{other}");
        }
    }
}
