//! The two ends of a copy: cleared away after its success, or undone.

use std::path::Path;

use serde::Serialize;

use crate::base::steps;

use super::Plan;
use super::error::Error;
use super::journal::{Journal, Mark};
use super::names::{Kind, Sibling};
use super::prepare::{published, records};
use super::site::Site;

/// What became of a copy that was to be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aborted {
    /// Nothing of it is left, and no worker of this or an earlier epoch can
    /// publish it any more.
    Removed,
    /// It already stands at its final path; nothing was touched. Go on by
    /// [`super::prepare`], which adopts it.
    AlreadyPublished,
}

/// Removes the journal and whatever else this attempt left beside the final path.
/// Call it once the caller's own record says that the copy is published: from
/// then on nothing can be adopted. Doing it twice is no error.
///
/// Step: `copy.finished`.
///
/// # Errors
/// [`Error::Fenced`] if a later epoch holds the copy, or what the system said.
pub fn finish(plan: &Plan) -> Result<(), Error> {
    let site = Site::new(plan)?;
    let siblings = site.own_siblings()?;
    clear(&site, siblings)?;
    steps::reach("copy.finished");
    Ok(())
}

/// Undoes a copy that is not published: first its partial folder is moved out of
/// every worker's reach, then it is deleted. Doing it twice is no error.
///
/// Step: `copy.fenced` after each partial folder was moved.
///
/// # Errors
/// [`Error::Fenced`] if a later epoch holds the copy, or what the system said.
pub fn abort(plan: &Plan) -> Result<Aborted, Error> {
    let site = match Site::new(plan) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Aborted::Removed);
        }
        site => site?,
    };
    if site.own_siblings()?.is_empty() {
        return Ok(Aborted::Removed);
    }
    let own = site.own(Kind::Journal);
    let first = Journal::read(&site, &own)?.is_none();
    if first {
        Journal::replace(&site, &[Mark::header(plan.attempt)])?;
    }
    loop {
        while let Some(old) =
            site.own_siblings()?.into_iter().find(|sibling| sibling.kind == Kind::Partial)
        {
            site.retire(&old)?;
        }
        let siblings = site.own_siblings()?;
        if published(&site, &records(&site, &siblings)?)?.is_some() {
            if first {
                site.delete(&own)?;
            }
            return Ok(Aborted::AlreadyPublished);
        }
        if siblings.is_empty() {
            return Ok(Aborted::Removed);
        }
        // Then look again: a worker may have laid out its partial folder before it
        // could see that its journal is gone.
        clear(&site, siblings)?;
    }
}

/// Deletes siblings, the journals last and the latest of them at the very end: as
/// long as anything is left, so is what tells of it.
fn clear(site: &Site, mut siblings: Vec<Sibling>) -> Result<(), Error> {
    siblings.sort_by_key(|sibling| (sibling.kind == Kind::Journal, sibling.epoch));
    let any = !siblings.is_empty();
    for sibling in siblings {
        site.delete(Path::new(&sibling.name))?;
    }
    if any { site.flush() } else { Ok(()) }
}
