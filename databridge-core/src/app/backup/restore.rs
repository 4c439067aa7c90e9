//! Putting a store back.

use std::fs::File;
use std::path::Path;

use serde::Serialize;
use tracing::warn;

use super::place::Place;
use super::{AnyError, App, Config, Error, look, marker};
use crate::base::clock::Timestamp;
use crate::base::steps::reach;
use crate::control::db::Target;
use crate::control::db::backup::Claim;
use crate::control::ledger::Report;
use crate::control::recovery;

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
/// it was. One that was broken off is undone first; until one came to its end nobody can
/// open the store.
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
    let _locks = alone(config, &target).await?;
    target.check_schema().await?;
    let place = Place { config, target: &target, keys: contents.keys };
    place.undo().await?;
    if !contents.keys && !config.data.join("keys/receipt.key").exists() {
        return Err(Error::NoKeys(config.data.display().to_string()).into());
    }
    let stood = place.found().await?;
    if let Some(found) = stood.as_ref().filter(|_| !replace) {
        return Err(Error::NotEmpty(found.clone()).into());
    }
    let done = match place.fill(from, &contents).await {
        Ok(marker) => {
            let settled = settle(config, contents.taken_at, &marker.aside).await;
            settled.map(|ledger| (marker, ledger))
        }
        Err(error) => Err(error),
    };
    let (marker, ledger) = match done {
        Ok(done) => done,
        Err(error) => {
            if let Err(undone) = place.undo().await {
                warn!(error = undone.chain(), "what stood there could not be put back");
            }
            return Err(error);
        }
    };
    reach("restore.settled");
    let set_aside = place.finish(&marker, stood.is_some())?;
    Ok(Restored { taken_at: contents.taken_at, ledger, set_aside })
}

/// Brings the store up to date, holds its ledger against the backup's checkpoint, and
/// makes it ready to go on.
async fn settle(config: &Config, taken_at: Timestamp, aside: &str) -> Result<Report, AnyError> {
    let app = App::open_restored(config.clone()).await?;
    let settled = async {
        let report = app.verify_ledger(&[]).await?;
        let ctx = app.embedded(None).await?;
        let mut unit = app.store.begin(&ctx).await?;
        recovery::leap(&mut unit, taken_at, aside).await?;
        app.transfers.raise_fences(&mut unit, recovery::EPOCHS).await?;
        unit.commit(()).await?;
        Ok(report)
    }
    .await;
    app.close().await;
    settled
}

/// Nobody else may have the store; held as long as the answer lives.
async fn alone(config: &Config, target: &Target) -> Result<(File, File, Claim), AnyError> {
    let path = config.data.join(crate::app::LOCK);
    let file = File::create(&path).map_err(|e| Error::io(&path, e))?;
    let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    let held = marker::alone(&config.data)?.filter(|_| locked.is_ok());
    let in_use = || Error::InUse(target.to_string());
    let held = held.ok_or_else(in_use)?;
    // The last, since it may be waited for: another host has other files.
    match target.claim().await? {
        Some(claim) if target.others().await? == 0 => Ok((file, held, claim)),
        _ => Err(in_use().into()),
    }
}
