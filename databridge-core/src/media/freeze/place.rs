//! Where a frozen tree is built and published.

use std::path::Path;

use uuid::Uuid;

use super::Error;
use crate::media::storage::{self, Folder, RESERVED_PREFIX, RelPath};

pub(super) const FOLDER_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o440;

/// A destination by its parent folder and its name there.
pub(super) struct Place {
    pub parent: Folder,
    pub name: RelPath,
}

impl Place {
    pub fn of(dest: &Path) -> Result<Self, Error> {
        let bad = || Error::BadDestination { path: dest.to_owned() };
        let name = dest.file_name().ok_or_else(bad)?;
        let name = RelPath::check(name.as_encoded_bytes()).map_err(|flaw| {
            storage::Error::Path { path: storage::escape(name.as_encoded_bytes()), flaw }
        })?;
        let parent = match dest.parent().ok_or_else(bad)? {
            here if here.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        };
        Ok(Self { parent: Folder::open(parent)?, name })
    }

    pub fn is_taken(&self) -> Result<bool, Error> {
        match self.parent.stat(&self.name) {
            Ok(_) => Ok(true),
            Err(storage::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A hidden sibling that nobody has. Each run has its own, so that one which lost
    /// its lease can never publish what its successor builds.
    pub fn fresh(&self) -> Result<RelPath, Error> {
        Ok(RelPath::reserved(&format!("freezing-{}-{}", Uuid::new_v4().simple(), self.name))?)
    }

    fn is_leftover(&self, name: &[u8]) -> bool {
        name.strip_prefix(RESERVED_PREFIX.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"freezing-"))
            .and_then(|rest| rest.split_at_checked(32))
            .and_then(|(_, rest)| rest.strip_prefix(b"-"))
            .is_some_and(|rest| rest == self.name.as_str().as_bytes())
    }

    /// Wipes what killed runs left. It is renamed first: a run that only slept can
    /// then no longer find it to publish it half wiped.
    pub fn clear(&self) -> Result<(), Error> {
        for name in self.parent.names()? {
            if !self.is_leftover(name.as_encoded_bytes()) {
                continue;
            }
            let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(RESERVED_PREFIX))
            else {
                continue;
            };
            let fenced = self.fresh()?;
            let wiped = self
                .parent
                .rename(&RelPath::reserved(rest)?, &fenced)
                .and_then(|()| self.parent.remove_tree(&fenced));
            match wiped {
                // Published or wiped by another run meanwhile.
                Ok(()) | Err(storage::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
