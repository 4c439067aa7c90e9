//! A tree that a run published before it was killed: ours, or somebody else's?

use std::collections::HashMap;
use std::path::Path;

use super::place::{FILE_MODE, FOLDER_MODE, Place};
use super::{Error, Fact, Frozen, Part, Piece, frozen, sources};
use crate::media::checksum::{self, Sha256};
use crate::media::manifest::{Entry, Manifest};
use crate::media::monitor::Monitor;
use crate::media::storage::{Folder, Kind, Stat};
use crate::media::walk;

pub(super) fn tree(
    parts: &[Part],
    dest: &Path,
    place: &Place,
    monitor: &dyn Monitor,
) -> Result<Frozen, Error> {
    let exists = || Error::Exists { path: dest.to_owned() };
    if place.parent.stat(&place.name)?.kind != Kind::Dir {
        return Err(exists());
    }
    let root = place.parent.open_dir(&place.name)?;
    let items = walk::list(&root)?;
    if !is_sealed(&root.own_stat()?) || !items.iter().all(|item| is_sealed(&item.stat)) {
        return Err(exists());
    }
    let mut facts: HashMap<_, _> = walk::tree(dest)?
        .into_iter()
        .map(|walk::Entry { path, kind, size_bytes, mtime_ns, ctime_ns, dev, ino, .. }| {
            let fact = Fact { path: path.clone(), kind, size_bytes, mtime_ns, ctime_ns, dev, ino };
            (path, fact)
        })
        .collect();
    let manifest = Manifest::of_tree(dest, None, monitor)?;
    if !is_of(&manifest, parts, monitor)? {
        return Err(exists());
    }
    // The run that renamed it may not have come to flush the name.
    place.parent.sync()?;
    let pieces = manifest.entries().iter().filter_map(|entry| {
        Some(Piece { entry: entry.clone(), fact: facts.remove(entry.path())? })
    });
    frozen(pieces.collect())
}

/// Made as we make it: by this account, with our modes, under one name only.
fn is_sealed(stat: &Stat) -> bool {
    stat.uid == rustix::process::geteuid().as_raw()
        && match stat.kind {
            Kind::File => stat.mode == FILE_MODE && stat.links == 1,
            Kind::Dir => stat.mode == FOLDER_MODE,
            _ => false,
        }
}

/// Whether it holds just these parts, with the content that is expected of them or
/// that they still have.
fn is_of(manifest: &Manifest, parts: &[Part], monitor: &dyn Monitor) -> Result<bool, Error> {
    if manifest.entries().len() != parts.len() {
        return Ok(false);
    }
    let entries: HashMap<_, _> =
        manifest.entries().iter().map(|entry| (entry.path(), entry)).collect();
    let sources = sources(parts)?;
    let mut buffer = checksum::buffer();
    for part in parts {
        let is_same = match (entries.get(&part.path), part.kind) {
            (Some(Entry::EmptyDir { .. }), walk::Kind::EmptyDir) => true,
            (Some(Entry::File { size_bytes, sha256, .. }), walk::Kind::File) => {
                let source = sources.get(part.root.as_path());
                expected(part, source, &mut buffer, monitor)? == Some((*size_bytes, *sha256))
            }
            _ => false,
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn expected(
    part: &Part,
    source: Option<&Folder>,
    buffer: &mut [u8],
    monitor: &dyn Monitor,
) -> Result<Option<(u64, Sha256)>, Error> {
    if part.expect.is_some() {
        return Ok(part.expect);
    }
    let Some(source) = source else { return Ok(None) };
    let found = checksum::below(source, &part.path, &[], buffer, monitor)?;
    Ok(Some((found.size_bytes, found.digests.sha256())))
}
