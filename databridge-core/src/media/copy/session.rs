//! One phase of a prepared copy: the claim checked, the journal open.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::media::manifest::Entry;

use super::attributes::Losses;
use super::error::Error;
use super::journal::{Journal, Record};
use super::listing::Listing;
use super::names::Kind;
use super::site::{Site, Standing, flush_dir};
use super::{Plan, Shape};

/// What each phase works with.
#[derive(Debug)]
pub struct Session<'a> {
    pub plan: &'a Plan,
    pub site: Site,
    pub journal: Journal,
    pub record: Record,
    pub standing: Standing,
    pub losses: Losses,
}

impl<'a> Session<'a> {
    /// Takes up a prepared copy; what its journal says of single files only if it is
    /// asked for (`with_done`).
    ///
    /// # Errors
    /// [`Error::Fenced`] if a later epoch holds the copy or nobody prepared it.
    pub fn open(plan: &'a Plan, with_done: bool) -> Result<Self, Error> {
        let site = Site::new(plan)?;
        site.own_siblings()?;
        let Some((journal, record)) =
            Journal::open(&site, with_done)?.filter(|(_, record)| record.ready)
        else {
            return Err(site.fenced(None));
        };
        let standing = if site.is_at_final_path(record.publishing.as_ref())? {
            Standing::Published
        } else {
            site.check_partial()?;
            Standing::Partial
        };
        Ok(Self { plan, site, journal, record, standing, losses: Losses::default() })
    }

    /// Where an entry is now, below the parent.
    pub fn at(&self, entry: &Entry) -> PathBuf {
        self.site.entry(self.standing, self.plan.shape, entry.path().as_str())
    }

    /// What is there now.
    pub fn listing(&self) -> Result<Listing<'a>, Error> {
        Listing::of(&self.site, self.standing, self.plan)
    }

    /// What is renamed to the final path: the partial folder, or the file in it.
    pub fn publishable(&self) -> PathBuf {
        match (self.plan.shape, self.plan.manifest.entries().first()) {
            (Shape::File, Some(entry)) => {
                self.site.entry(Standing::Partial, Shape::File, entry.path().as_str())
            }
            _ => self.site.own(Kind::Partial),
        }
    }

    /// Sets a folder's permission bits; a set-group-ID bit that it inherited stays.
    pub fn set_mode(&self, dir: &Path, bits: u32) -> Result<(), Error> {
        let at = |errno| self.site.blame(dir, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = self.site.open(dir, flags, Mode::empty()).map_err(at)?;
        let now = Mode::from_raw_mode(rustix::fs::fstat(&open).map_err(at)?.st_mode);
        let mode = Mode::from_raw_mode(bits & 0o777) | (now & Mode::SGID);
        rustix::fs::fchmod(&open, mode).map_err(at)
    }

    /// Flushes a folder's names and mode to the device.
    pub fn flush_dir(&self, dir: &Path) -> Result<(), Error> {
        self.site
            .open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
            .and_then(flush_dir)
            .map_err(|errno| self.site.blame(dir, errno))
    }
}
