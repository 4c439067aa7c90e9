//! Putting a store back.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tracing::warn;

use super::{AnyError, App, Config, Contents, Error, contents, look};
use crate::base::clock::Timestamp;
use crate::control::db::Target;
use crate::control::ledger::Report;
use crate::control::recovery;
use crate::media::storage::make_dirs;

/// A store that was put back.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// Everything that was told before is there; what was told later is not.
    pub taken_at: Timestamp,
    /// What its ledger says, held against the backup's checkpoint; a ledger that was not
    /// intact when the backup was taken is not by now.
    pub ledger: Report,
    /// Where what stood there is now.
    pub set_aside: Option<String>,
}

/// Puts a backup back. Nothing is touched before all of it was read and found to be what
/// it was.
///
/// # Errors
/// [`Error`], those of the database; what stood there then stands there again.
pub async fn restore(config: &Config, from: &Path, replace: bool) -> Result<Restored, AnyError> {
    let contents = look(from)?;
    let target = config.target();
    if contents.database != target.file_name() {
        let wanted = target.file_name().to_owned();
        return Err(Error::OtherDatabase { found: contents.database, wanted }.into());
    }
    config.make_folders()?;
    let _lock = alone(config, &target).await?;
    let place = Place { config, target: &target, keys: contents.keys };
    if !contents.keys && !config.data.join("keys/receipt.key").exists() {
        return Err(Error::NoKeys(config.data.display().to_string()).into());
    }
    let aside = match place.found().await? {
        None => None,
        Some(found) if !replace => return Err(Error::NotEmpty(found).into()),
        Some(_) => Some(place.set_aside().await?),
    };
    let ledger = match place.fill(from, &contents).await {
        Ok(()) => settle(config, contents.taken_at).await,
        Err(error) => Err(error),
    };
    let ledger = match ledger {
        Ok(ledger) => ledger,
        Err(error) => {
            place.put_back(aside.as_ref()).await;
            return Err(error);
        }
    };
    let set_aside = aside.map(|aside| aside.folder.display().to_string());
    Ok(Restored { taken_at: contents.taken_at, ledger, set_aside })
}

/// Brings the store up to date, holds its ledger against the backup's checkpoint, and
/// makes it ready to go on.
async fn settle(config: &Config, taken_at: Timestamp) -> Result<Report, AnyError> {
    let app = App::open(config.clone()).await?.app;
    let settled = async {
        let report = app.verify_ledger(&[]).await?;
        let ctx = app.embedded(None).await?;
        let mut unit = app.store.begin(&ctx).await?;
        recovery::leap(&mut unit, taken_at).await?;
        app.transfers.raise_fences(&mut unit, recovery::EPOCHS).await?;
        unit.commit(()).await?;
        Ok(report)
    }
    .await;
    app.close().await;
    settled
}

/// Nobody else may have the store; held as long as the answer lives.
async fn alone(config: &Config, target: &Target) -> Result<File, AnyError> {
    let path = config.data.join(crate::app::LOCK);
    let file = File::create(&path).map_err(|e| Error::io(&path, e))?;
    let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    if locked.is_err() || target.others().await? > 0 {
        return Err(Error::InUse(target.to_string()).into());
    }
    Ok(file)
}

/// Where a store is.
struct Place<'a> {
    config: &'a Config,
    target: &'a Target,
    /// Whether keys are put back, too.
    keys: bool,
}

/// What stood there, and where it is now.
struct Aside {
    folder: PathBuf,
    schema: Option<String>,
    moved: Vec<(PathBuf, PathBuf)>,
}

impl Aside {
    async fn undo(&self, target: &Target) {
        for (place, kept) in &self.moved {
            if let Err(error) = std::fs::rename(kept, place) {
                warn!(%error, kept = %kept.display(), "it could not be moved back");
            }
        }
        if let Some(schema) = &self.schema
            && let Err(error) = target.put_back(schema).await
        {
            warn!(%error, schema, "the schema could not be put back");
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

impl Place<'_> {
    /// What of a store stands in the data folder.
    fn standing(&self) -> Vec<PathBuf> {
        let mut names = vec!["checkpoints"];
        if let Target::Sqlite(_) = self.target {
            names.extend(["databridge.db", "databridge.db-wal", "databridge.db-shm"]);
        }
        if self.keys {
            names.push("keys");
        }
        let paths = names.into_iter().map(|name| self.config.data.join(name));
        paths.filter(|path| path.symlink_metadata().is_ok()).collect()
    }

    /// What is in the way, if anything is.
    async fn found(&self) -> Result<Option<String>, AnyError> {
        if let Some(path) = self.standing().first() {
            return Ok(Some(path.display().to_string()));
        }
        let empty = self.target.is_empty().await?;
        Ok((!empty).then(|| self.target.to_string()))
    }

    async fn set_aside(&self) -> Result<Aside, AnyError> {
        let now = Timestamp::now().as_micros();
        let name = format!("before_restore_{now}");
        let folder = self.config.data.join(&name);
        make_dirs(&folder, 0o700).map_err(|e| Error::io(&folder, e))?;
        let mut aside = Aside { folder: folder.clone(), schema: None, moved: Vec::new() };
        if let Err(error) = self.move_all(&name, &mut aside).await {
            aside.undo(self.target).await;
            return Err(error);
        }
        contents::flush(&folder)?;
        contents::flush(&self.config.data)?;
        Ok(aside)
    }

    async fn move_all(&self, name: &str, aside: &mut Aside) -> Result<(), AnyError> {
        if matches!(self.target, Target::Postgres(_)) && !self.target.is_empty().await? {
            self.target.set_aside(name).await?;
            aside.schema = Some(name.to_owned());
        }
        for from in self.standing() {
            let to = aside.folder.join(from.file_name().unwrap_or_default());
            std::fs::rename(&from, &to).map_err(|e| Error::io(&from, e))?;
            aside.moved.push((from, to));
        }
        Ok(())
    }

    /// After a failure: removes what was put there, and moves back what stood there.
    async fn put_back(&self, aside: Option<&Aside>) {
        for path in self.standing() {
            let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
        }
        if let Some(aside) = aside {
            aside.undo(self.target).await;
        }
    }

    async fn fill(&self, from: &Path, contents: &Contents) -> Result<(), AnyError> {
        for part in &contents.parts {
            let wanted = match part.path.split_once('/') {
                Some(("keys", _)) => self.keys,
                Some(("checkpoints", _)) => true,
                _ => false,
            };
            if wanted {
                contents::copy(&from.join(&part.path), &self.config.data.join(&part.path))?;
            }
        }
        self.target.load(&from.join(&contents.database)).await?;
        Ok(contents::flush(&self.config.data)?)
    }
}
