//! A source that nobody has described yet: listed, and read while it is copied.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::media::checksum::{self, Sha256};
use crate::media::manifest::{Entry, Manifest};
use crate::media::storage::{self, Kind, RelPath, Stat, escape};
use crate::media::walk;

use super::error::Error;
use super::source::Facts;
use super::transfer::Found;
use super::{Plan, Shape};

/// How many changed paths an error names.
const NAMED_MAX: usize = 10;

/// The source as it was listed before anything of it was read.
#[derive(Debug)]
pub struct Survey {
    /// Its files and empty folders. No digest in it is known yet; all are zero.
    pub outline: Manifest,
    /// What each entry was, in the same order.
    pub facts: Vec<Facts>,
}

impl Survey {
    /// # Errors
    /// What cannot be admitted is named, all at once.
    pub fn of(source: &Path, shape: Shape) -> Result<Self, Error> {
        let listed = list(source, shape)?;
        let facts = listed.iter().map(Facts::from).collect();
        // Sorted by path already, so this keeps the order.
        let outline = Manifest::from_entries(listed.into_iter().map(unread).collect())
            .map_err(Error::of_manifest)?;
        Ok(Self { outline, facts })
    }
}

/// The manifest of an outline, now that everything was read.
///
/// # Errors
/// [`Error::SourceChanged`] if a file was not.
pub fn complete(plan: &Plan, found: &[Option<Found>]) -> Result<Manifest, Error> {
    let entries = plan.manifest.entries().iter().enumerate().map(|(at, entry)| match entry {
        Entry::EmptyDir { .. } => Ok(entry.clone()),
        Entry::File { path, size_bytes, .. } => match found.get(at).and_then(Option::as_ref) {
            Some(found) => Ok(Entry::File {
                path: path.clone(),
                size_bytes: *size_bytes,
                sha256: found.sha256,
            }),
            None => Err(Error::SourceChanged { path: plan.source.join(path.as_str()) }),
        },
    });
    Manifest::from_entries(entries.collect::<Result<_, _>>()?).map_err(Error::of_manifest)
}

/// Lists the source once more.
///
/// # Errors
/// [`Error::SourceMoved`] naming what is not as it was.
pub fn compare(plan: &Plan, facts: &[Facts]) -> Result<(), Error> {
    let now = list(&plan.source, plan.shape)?;
    let mut expected: BTreeMap<&RelPath, (&Entry, &Facts)> = plan
        .manifest
        .entries()
        .iter()
        .zip(facts)
        .map(|(entry, facts)| (entry.path(), (entry, facts)))
        .collect();
    let mut changed = Vec::new();
    for found in &now {
        match expected.remove(&found.path) {
            None => changed.push(format!("{} (added)", found.path)),
            // An empty folder stays one as long as it is listed as one.
            Some((Entry::EmptyDir { .. }, _)) if found.kind == walk::Kind::EmptyDir => {}
            Some((Entry::File { .. }, facts)) if *facts == Facts::from(found) => {}
            Some(_) => changed.push(format!("{} (changed)", found.path)),
        }
    }
    changed.extend(expected.keys().map(|path| format!("{path} (removed)")));
    if changed.is_empty() {
        return Ok(());
    }
    changed.sort_unstable();
    let others = changed.len().saturating_sub(NAMED_MAX);
    changed.truncate(NAMED_MAX);
    Err(Error::SourceMoved { path: plan.source.clone(), changed, others })
}

fn unread(entry: walk::Entry) -> Entry {
    match entry.kind {
        walk::Kind::EmptyDir => Entry::EmptyDir { path: entry.path },
        walk::Kind::File => {
            Entry::File { path: entry.path, size_bytes: entry.size_bytes, sha256: Sha256([0; 32]) }
        }
    }
}

fn list(source: &Path, shape: Shape) -> Result<Vec<walk::Entry>, Error> {
    let failed = |error| Error::of_manifest(checksum::Error::from(error).into());
    match shape {
        Shape::Tree => walk::tree(source).map_err(failed),
        Shape::File => Ok(vec![single(source)?]),
    }
}

/// The one entry of a file that is copied as a file.
fn single(source: &Path) -> Result<walk::Entry, Error> {
    let name = source.file_name().unwrap_or_default();
    let path = RelPath::check(name.as_bytes()).map_err(|flaw| {
        let path = escape(source.as_os_str().as_bytes());
        Error::of_source(storage::Error::Path { path, flaw })
    })?;
    let stat = rustix::fs::lstat(source).map_err(|errno| match errno {
        Errno::NOENT => Error::SourceMissing { path: source.to_owned() },
        errno => Error::at(source, errno),
    })?;
    let stat = Stat::from(stat);
    if stat.kind != Kind::File {
        return Err(Error::of_source(storage::Error::NotAFile { path: source.to_owned() }));
    }
    Ok(walk::Entry {
        path,
        kind: walk::Kind::File,
        size_bytes: stat.size_bytes,
        mtime_ns: stat.mtime_ns,
        ctime_ns: stat.ctime_ns,
        dev: stat.dev,
        ino: stat.ino,
        mode: stat.mode,
    })
}
