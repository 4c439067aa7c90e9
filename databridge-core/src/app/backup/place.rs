//! Where a store is put, step by step, each of which can be undone by whoever comes next.

use std::path::{Path, PathBuf};

use super::marker::Marker;
use super::{AnyError, Config, Contents, Error, contents};
use crate::base::clock::Timestamp;
use crate::base::steps::reach;
use crate::control::db::Target;
use crate::media::storage::make_dirs;

/// The database, until it is one.
const DRAFT: &str = "restoring.database";

/// A data folder and a database.
pub(super) struct Place<'a> {
    pub config: &'a Config,
    pub target: &'a Target,
    /// Whether keys are put back, too.
    pub keys: bool,
}

impl Place<'_> {
    fn data(&self) -> &Path {
        &self.config.data
    }

    /// What of a store stands in the data folder.
    fn standing(&self, keys: bool) -> Vec<PathBuf> {
        let mut names = vec!["checkpoints"];
        if let Target::Sqlite(_) = self.target {
            names.extend(["databridge.db", "databridge.db-wal", "databridge.db-shm"]);
        }
        if keys {
            names.push("keys");
        }
        let paths = names.into_iter().map(|name| self.data().join(name));
        paths.filter(|path| path.symlink_metadata().is_ok()).collect()
    }

    /// What is in the way, if anything is.
    pub async fn found(&self) -> Result<Option<String>, AnyError> {
        if let Some(path) = self.standing(self.keys).first() {
            return Ok(Some(path.display().to_string()));
        }
        let empty = self.target.is_empty().await?;
        Ok((!empty).then(|| self.target.to_string()))
    }

    /// Says that it is begun, lays aside what stands there, and fills the place. From the
    /// first step on no store is there; after the last one still none is, until
    /// [`crate::control::recovery::leap`].
    pub async fn fill(&self, from: &Path, contents: &Contents) -> Result<Marker, AnyError> {
        let aside = format!("before_restore_{}", Timestamp::now().as_micros());
        let mut marker = Marker { aside, keys: self.keys, is_aside: false, is_loaded: false };
        marker.write(self.data())?;
        reach("restore.announced");
        let is_empty = self.target.is_empty().await?;
        self.target.begin_restore((!is_empty).then_some(marker.aside.as_str())).await?;
        // Whoever came in before this was marked would go on with what is gone.
        if !self.target.is_left_alone().await? {
            return Err(Error::InUse(self.target.to_string()).into());
        }
        self.lay_aside(&marker)?;
        reach("restore.laid_aside");
        marker.is_aside = true;
        marker.write(self.data())?;
        reach("restore.begun");
        for part in &contents.parts {
            let wanted = match part.path.split_once('/') {
                Some(("keys", _)) => self.keys,
                Some(("checkpoints", _)) => true,
                _ => false,
            };
            if wanted {
                contents::copy_part(from, part, &self.data().join(&part.path))?;
            }
        }
        let draft = self.data().join(DRAFT);
        for part in contents.parts.iter().filter(|part| part.path == contents.database) {
            contents::copy_part(from, part, &draft)?;
        }
        reach("restore.copied");
        self.target.load(&draft).await?;
        let _ = std::fs::remove_file(&draft);
        contents::flush(self.data())?;
        marker.is_loaded = true;
        marker.write(self.data())?;
        reach("restore.loaded");
        Ok(marker)
    }

    fn lay_aside(&self, marker: &Marker) -> Result<(), Error> {
        let folder = self.data().join(&marker.aside);
        let standing = self.standing(self.keys);
        make_dirs(&folder, 0o700).map_err(|e| Error::io(&folder, e))?;
        for from in standing {
            let to = folder.join(from.file_name().unwrap_or_default());
            std::fs::rename(&from, &to).map_err(|e| Error::io(&from, e))?;
        }
        contents::flush(&folder)?;
        contents::flush(self.data())
    }

    /// After all of it: where what stood there is, if anything did.
    pub fn finish(&self, marker: &Marker, stood: bool) -> Result<Option<String>, Error> {
        Marker::remove(self.data())?;
        let folder = self.data().join(&marker.aside);
        if !stood {
            let _ = std::fs::remove_dir(&folder);
        }
        Ok(stood.then(|| folder.display().to_string()))
    }

    /// Undoes what was begun, by whomever and however far it came; what stood there then
    /// stands there again. It can itself be broken off and begun again. A restore that came
    /// to its end is one, and stays.
    ///
    /// That it came to its end the database says, by its name: another host may have put
    /// back or undone what was begun here, and knows nothing of the files here.
    pub async fn undo(&self) -> Result<(), AnyError> {
        let marker = Marker::find(self.data())?;
        if let Some(marker) = marker.as_ref().filter(|marker| marker.is_aside) {
            let is_done = marker.is_loaded
                && !self.target.is_empty().await?
                && !self.target.is_being_restored().await?
                && self.target.was_restored_as(&marker.aside).await?;
            if is_done {
                return Ok(Marker::remove(self.data())?);
            }
            for path in self.standing(marker.keys) {
                remove(&path)?;
            }
            // What stands there from now on stood there before.
            Marker { is_aside: false, ..marker.clone() }.write(self.data())?;
        }
        self.target.undo_restore().await?;
        let Some(marker) = marker else { return Ok(()) };
        for beside in ["", "-journal", "-wal", "-shm"] {
            remove(&self.data().join(format!("{DRAFT}{beside}")))?;
        }
        let folder = self.data().join(&marker.aside);
        if folder.exists() {
            for entry in std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, e))? {
                let from = entry.map_err(|e| Error::io(&folder, e))?.path();
                let to = self.data().join(from.file_name().unwrap_or_default());
                std::fs::rename(&from, &to).map_err(|e| Error::io(&from, e))?;
            }
            std::fs::remove_dir(&folder).map_err(|e| Error::io(&folder, e))?;
            contents::flush(self.data())?;
        }
        Ok(Marker::remove(self.data())?)
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    let gone = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}
