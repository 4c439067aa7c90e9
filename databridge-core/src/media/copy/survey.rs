//! A source that nobody has described yet: listed, and read while it is copied.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::media::checksum::{self, Sha256};
use crate::media::manifest::{Entry, List, Manifest};
use crate::media::storage::{self, Folder, Kind, RelPath, Stat, escape};
use crate::media::walk::{self, Names, Place};

use super::error::Error;
use super::links::{self, Links};
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
    /// Which of them are names of one file.
    pub links: Links,
}

impl Survey {
    /// Of a tree only the files that `known` names, if there is such a list.
    ///
    /// # Errors
    /// What cannot be admitted is named, all at once.
    pub fn of(source: &Path, shape: Shape, known: Option<&List>) -> Result<Self, Error> {
        let (mut entries, mut facts, mut names) = (Vec::new(), Vec::new(), Vec::new());
        visit(source, shape, known, |path, stat| {
            match stat {
                None => entries.push(Entry::EmptyDir { path }),
                Some(stat) => {
                    let at = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                    names.extend(links::name(stat, at));
                    let (size_bytes, sha256) = (stat.size_bytes, Sha256([0; 32]));
                    entries.push(Entry::File { path, size_bytes, sha256 });
                }
            }
            facts.push(stat.map_or(Facts::NONE, Facts::from));
        })?;
        // They stay to the end, and each may have grown to twice what it holds.
        entries.shrink_to_fit();
        facts.shrink_to_fit();
        // Sorted by path already, so this keeps the order.
        let outline = Manifest::from_entries(entries).map_err(Error::of_manifest)?;
        Ok(Self { outline, facts, links: Links::of(names) })
    }
}

/// Gives an outline its digests, now that everything was read.
///
/// # Errors
/// [`Error::SourceChanged`] if a file was not.
pub fn complete(plan: &mut Plan, found: &[Option<Found>]) -> Result<(), Error> {
    let sha256 = |at: usize| found.get(at)?.as_ref().map(|found| found.sha256);
    plan.manifest.complete(sha256).map_err(|at| {
        let path = plan.manifest.entries()[at].path().as_str();
        Error::SourceChanged { path: plan.source.join(path) }
    })
}

/// Lists the source once more.
///
/// # Errors
/// [`Error::SourceMoved`] naming what is not as it was.
pub fn compare(plan: &Plan, facts: &[Facts], known: Option<&List>) -> Result<(), Error> {
    let (mut changed, mut others) = (Vec::new(), 0);
    let mut tell = |path: &RelPath, how| match changed.len() < NAMED_MAX {
        true => changed.push(format!("{path} ({how})")),
        false => others += 1,
    };
    // Both are sorted by path.
    let mut expected = plan.manifest.entries().iter().zip(facts).peekable();
    visit(&plan.source, plan.shape, known, |path, stat| {
        while let Some((gone, _)) = expected.next_if(|(entry, _)| *entry.path() < path) {
            tell(gone.path(), "removed");
        }
        match (expected.next_if(|(entry, _)| *entry.path() == path), stat) {
            (None, _) => tell(&path, "added"),
            // An empty folder stays one as long as it is listed as one.
            (Some((Entry::EmptyDir { .. }, _)), None) => {}
            (Some((Entry::File { .. }, facts)), Some(stat)) if *facts == Facts::from(stat) => {}
            _ => tell(&path, "changed"),
        }
    })?;
    expected.for_each(|(gone, _)| tell(gone.path(), "removed"));
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::SourceMoved { path: plan.source.clone(), changed, others })
}

/// Every file of the source with its facts, and every empty folder, sorted by path.
fn visit(
    source: &Path,
    shape: Shape,
    known: Option<&List>,
    mut each: impl FnMut(RelPath, Option<&Stat>),
) -> Result<(), Error> {
    let failed = |error: walk::Error| Error::of_manifest(checksum::Error::from(error).into());
    if shape == Shape::File {
        let (path, stat) = single(source)?;
        each(path, Some(&stat));
        return Ok(());
    }
    let mut wrong = None;
    let folder = Folder::open(source).map_err(Error::of_source)?;
    walk::sorted(&folder, Names::Admitted, |place, name, kind| {
        match look(place, name, kind) {
            Ok((path, Some(_))) if known.is_some_and(|list| list.file(&path).is_none()) => {}
            Ok((path, stat)) => each(path, stat.as_ref()),
            Err(error) => wrong = Some(error),
        }
        wrong.is_none()
    })
    .map_err(failed)?;
    wrong.map_or(Ok(()), |error| Err(Error::of_source(error)))
}

fn look(place: &Place, name: &[u8], kind: Kind) -> Result<(RelPath, Option<Stat>), storage::Error> {
    let path = place.relative(name);
    let path =
        RelPath::check(&path).map_err(|flaw| storage::Error::Path { path: escape(&path), flaw })?;
    if kind == Kind::Dir {
        return Ok((path, None));
    }
    let stat = place.stat(name)?;
    match stat.kind {
        Kind::File => Ok((path, Some(stat))),
        _ => Err(storage::Error::NotAFile { path: place.whole(name) }),
    }
}

/// The one entry of a file that is copied as a file.
fn single(source: &Path) -> Result<(RelPath, Stat), Error> {
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
    Ok((path, stat))
}
