//! Making room: the claim on a final path, and the partial folder beside it.

use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::base::error::{ErrorKind, Fault};
use crate::base::steps;
use crate::media::manifest::{Entry, Manifest};
use crate::media::storage::make_dirs;

use super::access;
use super::attributes;
use super::error::Error;
use super::journal::{Identity, Journal, Mark, Record};
use super::links::Links;
use super::names::{Kind, Sibling};
use super::site::{Site, split};
use super::{HardLinks, Plan, Shape};

/// How a copy begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// An earlier life had already published it: verify reads it back where it
    /// stands and publish adopts it.
    pub adopting: bool,
    /// The earlier epoch whose partial folder was taken over.
    pub taken_over: Option<u64>,
    /// Files that need no writing.
    pub kept_files: u64,
    /// Their bytes.
    pub kept_bytes: u64,
}

/// Claims the final path for this attempt and epoch, and lays out or takes over
/// the partial folder. All of it is on the device when this returns. Whoever
/// works under a lease confirms it once after this, before [`super::transfer`].
///
/// Steps: `copy.announced` when the journal's first line stands, `copy.fenced`
/// after each earlier partial folder was taken over, `copy.laid_out` after a new
/// one was made, `copy.prepared` at the end.
///
/// # Errors
/// [`Error::DestinationExists`] (even for an empty folder) unless an earlier life
/// of this attempt put it there; [`Error::Fenced`], [`Error::OtherDelivery`],
/// [`Error::NoSpace`], [`Error::InsideSource`], [`Error::InvalidDestination`],
/// [`Error::HardLinked`], [`Error::Owner`] and [`Error::Unreadable`] where the delivery could not be given
/// away or read as the policy wants, or what the system said.
pub fn prepare(plan: &Plan) -> Result<Prepared, Error> {
    refuse_inside_source(plan)?;
    create_parent(plan)?;
    let site = Site::new(plan)?;
    if plan.policy.hard_links == HardLinks::Refuse {
        Links::of_source(plan)?.refuse(&plan.manifest)?;
    }
    let siblings = refuse_others(&site, plan)?;
    if !check_final_path(&site, &records(&site, &siblings)?)? {
        check_space(plan, &site, occupied(&site, &siblings))?;
    }
    let first = Journal::read(&site, &site.own(Kind::Journal))?.is_none();
    if first {
        Journal::announce(&site, Mark::header(plan.attempt))?;
        steps::reach("copy.announced");
    }
    take_up(plan, &site).inspect_err(|error| {
        // Who steps back leaves nothing new behind, so that the other may go on.
        if first && error.kind() == ErrorKind::Conflict {
            let _ = site.remove_dir(&site.own(Kind::Partial));
            let _ = site.unlink(&site.own(Kind::Journal));
        }
    })
}

/// What follows the announcement: look, take over, lay out, and look again.
fn take_up(plan: &Plan, site: &Site) -> Result<Prepared, Error> {
    let taken_over = take_over(plan, site)?;
    let siblings = refuse_others(site, plan)?;
    let earlier = records(site, &siblings)?;
    let adopting = check_final_path(site, &earlier)?;
    let partial = site.own(Kind::Partial);
    if !adopting && site.stat(&partial)?.is_none() {
        site.make_dir(&partial).map_err(|errno| Error::at(site.path(&partial), errno))?;
        steps::reach("copy.laid_out");
        refuse_others(site, plan)?;
        if site.stat(&site.own(Kind::Journal))?.is_none() {
            // Somebody aborted, and was done with it, while we were at it.
            return Err(site.fenced(None));
        }
    }
    if !adopting {
        // An earlier life may have given it the policy's mode, without which nothing
        // can be tried in it.
        let at = |errno: Errno| site.blame(&partial, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let root = site.open(&partial, flags, Mode::empty()).map_err(at)?;
        attributes::give_mode(&root, attributes::dir_bits(0o700, &root, at)?).map_err(at)?;
        access::check(plan, site)?;
    }
    let record = inherited(&earlier).cloned().unwrap_or_default();
    let (kept_files, kept_bytes) = kept(&plan.manifest, Some(&record));
    let publishing = published(site, &earlier)?;
    let mut marks = vec![Mark::header(plan.attempt)];
    marks.extend(Record { publishing, ..record }.inherited());
    marks.push(Mark::Ready);
    Journal::replace(site, &marks)?;
    for old in siblings {
        if old.kind == Kind::Journal && old.epoch < plan.attempt.epoch {
            site.delete(Path::new(&old.name))?;
        }
    }
    site.flush()?;
    steps::reach("copy.prepared");
    Ok(Prepared { adopting, taken_over, kept_files, kept_bytes })
}

/// The siblings of this attempt.
///
/// # Errors
/// [`Error::Fenced`] by a later epoch, [`Error::OtherDelivery`] by another attempt.
fn refuse_others(site: &Site, plan: &Plan) -> Result<Vec<Sibling>, Error> {
    let own = site.own_siblings()?;
    let other = site.siblings()?.into_iter().find(|sibling| {
        sibling.attempt != plan.attempt.id && matches!(sibling.kind, Kind::Partial | Kind::Journal)
    });
    match other {
        Some(other) => {
            Err(Error::OtherDelivery { path: site.final_path(), attempt: other.attempt })
        }
        None => Ok(own),
    }
}

/// What the journals among `siblings` say, latest epoch first.
pub(super) fn records(site: &Site, siblings: &[Sibling]) -> Result<Vec<Record>, Error> {
    let mut journals: Vec<_> =
        siblings.iter().filter(|sibling| sibling.kind == Kind::Journal).collect();
    journals.sort_by_key(|sibling| std::cmp::Reverse(sibling.epoch));
    let mut records = Vec::new();
    for journal in journals {
        records.extend(Journal::read(site, Path::new(&journal.name))?);
    }
    Ok(records)
}

/// The record whose marks hold: the latest that has them all. A later epoch that
/// did not come as far had not touched the tree.
fn inherited(records: &[Record]) -> Option<&Record> {
    records.iter().find(|record| record.ready)
}

/// The identity, out of any life's journal, that stands at the final path.
pub(super) fn published(site: &Site, records: &[Record]) -> Result<Option<Identity>, Error> {
    for record in records {
        if site.is_at_final_path(record.publishing.as_ref())? {
            return Ok(record.publishing);
        }
    }
    Ok(None)
}

/// `true` if our own work stands at the final path.
///
/// # Errors
/// [`Error::DestinationExists`] if anything else does.
fn check_final_path(site: &Site, records: &[Record]) -> Result<bool, Error> {
    if published(site, records)?.is_some() {
        return Ok(true);
    }
    match site.stat(site.final_name())? {
        Some(_) => Err(Error::DestinationExists { path: site.final_path() }),
        None => Ok(false),
    }
}

/// Files and bytes of the manifest that a record says are written.
fn kept(manifest: &Manifest, record: Option<&Record>) -> (u64, u64) {
    let Some(record) = record else { return (0, 0) };
    let sizes = manifest.entries().iter().filter_map(|entry| match entry {
        Entry::File { path, size_bytes, sha256 } => record
            .done
            .get(path)
            .filter(|done| (done.size_bytes, done.sha256) == (*size_bytes, *sha256))
            .map(|done| done.size_bytes),
        Entry::EmptyDir { .. } => None,
    });
    sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size))
}

/// Renames the partial folders of earlier epochs to our name: from then on their
/// workers find nothing.
fn take_over(plan: &Plan, site: &Site) -> Result<Option<u64>, Error> {
    let ours = site.own(Kind::Partial);
    let mut taken_over = None;
    loop {
        let mut older: Vec<_> = refuse_others(site, plan)?
            .into_iter()
            .filter(|old| old.kind == Kind::Partial && old.epoch < plan.attempt.epoch)
            .collect();
        older.sort_by_key(|old| old.epoch);
        let Some(old) = older.pop() else { break };
        if site.stat(&ours)?.is_some() {
            // Ours was taken over before; this one came late and is of no use.
            site.retire(&old)?;
        } else if site.move_partial(&old, &ours)? {
            taken_over = Some(old.epoch);
        }
    }
    Ok(taken_over)
}

/// A destination inside the source would become part of what is copied.
pub(super) fn refuse_inside_source(plan: &Plan) -> Result<(), Error> {
    let (parent, _) = split(&plan.destination)?;
    let standing = parent.ancestors().find_map(|above| above.canonicalize().ok());
    let (Some(standing), Ok(source)) = (standing, plan.source.canonicalize()) else {
        return Ok(());
    };
    if plan.shape == Shape::Tree && standing.starts_with(source) {
        return Err(Error::InsideSource { path: plan.destination.clone() });
    }
    Ok(())
}

/// Creates the parent and what is missing above it, each durably.
pub(super) fn create_parent(plan: &Plan) -> Result<(), Error> {
    let (parent, _) = split(&plan.destination)?;
    make_dirs(&parent, 0o777).map_err(|error| Error::at(&parent, error))
}

/// What an earlier life's partial folder takes up.
#[derive(Debug, Clone, Copy, Default)]
struct Occupied {
    files: u64,
    bytes: u64,
}

/// All of it is kept or makes room, so it counts as free.
fn occupied(site: &Site, siblings: &[Sibling]) -> Occupied {
    use std::os::unix::fs::MetadataExt;
    let partials = siblings.iter().filter(|sibling| sibling.kind == Kind::Partial);
    let mut waiting: Vec<_> = partials.map(|old| site.path(Path::new(&old.name))).collect();
    let mut sum = Occupied::default();
    while let Some(dir) = waiting.pop() {
        // What cannot be looked at is not counted: it only makes us stricter.
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            sum.files += 1;
            if meta.is_dir() {
                waiting.push(entry.path());
            } else {
                sum.bytes = sum.bytes.saturating_add(meta.blocks().saturating_mul(512));
            }
        }
    }
    sum
}

/// Whether all of it fits, as far as the file system tells.
fn check_space(plan: &Plan, site: &Site, ours: Occupied) -> Result<(), Error> {
    let stat = match rustix::fs::fstatvfs(site.parent()) {
        Ok(stat) => stat,
        // Some network file systems do not say; a full one will.
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(Error::at(site.final_path(), errno)),
    };
    let block = stat.f_frsize.max(1);
    let free = stat.f_bavail.saturating_mul(block).saturating_add(ours.bytes);
    let rounded = |bytes: u64| bytes.div_ceil(block).saturating_mul(block);
    let needed = |size: &dyn Fn(usize, &Entry) -> u64| {
        let entries = plan.manifest.entries().iter().enumerate();
        entries.map(|(at, entry)| rounded(size(at, entry))).sum::<u64>()
    };
    let reserve_bytes = plan.policy.reserve_bytes;
    let no_space = |needed_bytes, free_bytes| {
        Err(Error::NoSpace { path: site.final_path(), needed_bytes, free_bytes, reserve_bytes })
    };
    // What is written already takes nothing from the reserve.
    let fits = |needed: u64| needed <= ours.bytes || needed.saturating_add(reserve_bytes) <= free;
    let files = plan.manifest.entries().len() as u64;
    if stat.f_files > 0 && stat.f_favail.saturating_add(ours.files) < files {
        return no_space(None, None);
    }
    let needed_bytes = needed(&|_, entry| entry.size_bytes());
    if fits(needed_bytes) {
        return Ok(());
    }
    // Holes of the source stay holes, and names of one file that: look closer before
    // refusing.
    let links = match plan.policy.hard_links {
        HardLinks::Keep => Links::of_source(plan)?,
        HardLinks::Copy | HardLinks::Refuse => Links::default(),
    };
    let needed_bytes = needed_bytes.min(needed(&|at, entry| match links.first(at) {
        Some(_) => 0,
        None => entry.size_bytes().min(allocated(plan, entry)),
    }));
    if fits(needed_bytes) {
        return Ok(());
    }
    no_space(Some(needed_bytes), Some(free))
}

/// What a source file takes up on its own device (`st_blocks` counts 512 bytes).
fn allocated(plan: &Plan, entry: &Entry) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let path = match plan.shape {
        Shape::Tree => plan.source.join(entry.path().as_str()),
        Shape::File => plan.source.clone(),
    };
    path.symlink_metadata().map_or(u64::MAX, |meta| meta.blocks().saturating_mul(512))
}
