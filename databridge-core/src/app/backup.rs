//! A whole store as a folder, taken while daemons work, and put back from it.
//!
//! ```text
//! backup.json       what is in it, with the SHA-256 of each file; written last
//! database.sqlite   or database.pgdump: one consistent view
//! keys/             secret; left out by `--without-keys`
//! checkpoints/      the newest, from before the view was taken: it proves the tail
//! config.toml       the file that was in force, if there was one; as secret as the keys
//! ```
//!
//! Media is not in it: staging and production are the studio's to back up.

mod contents;
mod drafts;
mod error;
mod marker;
mod place;
mod restore;

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::config::Config;
use super::{App, MIGRATIONS};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::control::db::backup::{self as db, Claim};
use crate::control::db::{Error as DbError, Target};
use crate::control::ledger;

pub use contents::{Contents, Part, look};
pub use error::Error;
pub(in crate::app) use marker::{hold, is_underway};
pub use restore::{Restored, restore};

/// What names of dated backups begin with.
const DATED: &str = "databridge-";

/// What to back up.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The folder to make.
    pub to: PathBuf,
    /// The configuration's file, if it has one.
    pub config_file: Option<PathBuf>,
    /// Whether the secret keys go along, and the configuration's file, which may hold
    /// passwords. Without keys a store that is put back cannot prove that it is the one it
    /// was.
    pub keys: bool,
}

/// A backup that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    #[serde(flatten)]
    pub contents: Contents,
    /// The digest of `backup.json`: whoever notes it elsewhere can prove all of it.
    pub digest: String,
}

/// Backs a store up; daemons may work on meanwhile. Everything that was told before
/// this began is in it.
///
/// # Errors
/// [`Error`], [`DbError::Restoring`], those of the database. There is no backup then, and
/// nothing half.
pub async fn save(config: &Config, wish: &Wish) -> Result<Made, AnyError> {
    config.check()?;
    let taken_at = Timestamp::now();
    let target = config.target();
    target.check_schema().await?;
    // One that is being put back is laid aside, and not gone.
    if target.is_empty().await? && !is_underway(&config.data) {
        return Err(Error::NoStore(target.to_string()).into());
    }
    let _kept = keep_from_restores(config, &target).await?;
    let to = std::path::absolute(&wish.to).map_err(|e| Error::io(&wish.to, e))?;
    if to.symlink_metadata().is_ok() {
        return Err(Error::Exists(to.display().to_string()).into());
    }
    let host = config.host();
    drafts::sweep(&to, &host);
    let (draft, _held) = drafts::make(&to, &host)?;
    // An empty folder would be replaced, nothing else.
    let made = fill(config, wish, &draft, taken_at).await.and_then(|made| {
        std::fs::rename(&draft, &to).map_err(|e| Error::io(&to, e))?;
        Ok(made)
    });
    let (contents, digest) = match made {
        Ok(made) => made,
        Err(error) => {
            let _ = std::fs::remove_dir_all(&draft);
            return Err(error);
        }
    };
    contents::flush(to.parent().unwrap_or(&to))?;
    Ok(Made { path: to, contents, digest })
}

/// Nobody puts the store back while the answer lives, on this host or another: a backup
/// would have the keys of one store and the database of another. Nor is one of a store that
/// is half put back any good: it would be put back with its mark, which stands there already.
async fn keep_from_restores(config: &Config, target: &Target) -> Result<(File, Claim), AnyError> {
    let held = hold(&config.data)?;
    let restoring = || DbError::Restoring { place: target.to_string() };
    let claim = target.share().await?.ok_or_else(restoring)?;
    // Who was killed at it on another host left no marker here.
    match target.is_being_restored().await? {
        true => Err(restoring().into()),
        false => Ok((held, claim)),
    }
}

async fn fill(
    config: &Config,
    wish: &Wish,
    draft: &Path,
    taken_at: Timestamp,
) -> Result<(Contents, String), AnyError> {
    let target = config.target();
    let mut parts = contents::Writer::new(draft);
    // Before the database, so that the checkpoint is of no later state than it.
    if let Some(newest) = ledger::newest(&config.checkpoints())? {
        let name = newest.file_name().unwrap_or_default().to_string_lossy().into_owned();
        parts.copy(&newest, &format!("checkpoints/{name}"))?;
    }
    let folder = config.data.join("keys");
    for (name, secret) in super::keys::FILES {
        if wish.keys || !secret {
            parts.copy(&folder.join(name), &format!("keys/{name}"))?;
        }
    }
    if let Some(file) = wish.config_file.as_ref().filter(|_| wish.keys) {
        parts.copy(file, "config.toml")?;
    }
    let database = parts.empty(target.file_name())?;
    target.save(&database).await?;
    parts.add(target.file_name())?;
    let contents = Contents {
        format: contents::FORMAT,
        taken_at,
        databridge: env!("CARGO_PKG_VERSION").into(),
        host: config.host(),
        database: target.file_name().into(),
        steps: target.steps().await?,
        keys: wish.keys,
        parts: parts.done(),
    };
    let digest = contents.write(draft)?;
    reach("backup.filled");
    Ok((contents, digest))
}

/// Where a backup of now belongs in a folder of dated ones.
pub fn dated(folder: &Path) -> PathBuf {
    let now = Timestamp::now().to_string();
    let digits: String = now.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
    let seconds = digits.split('.').next().unwrap_or(&digits).trim_end_matches('Z');
    folder.join(format!("{DATED}{seconds}Z"))
}

/// Removes all but the newest `keep` of a store's dated backups, among which `made` always
/// is, whatever clocks said; answers which. Other stores' are left alone, and what is no
/// backup.
///
/// # Errors
/// [`Error::Io`].
pub fn prune(made: &Made, keep: usize) -> Result<Vec<PathBuf>, Error> {
    let folder = made.path.parent().unwrap_or(&made.path);
    let ours = contents::origin(&made.path);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let is_dated =
            path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(DATED));
        if is_dated
            && path != made.path
            && let Ok(contents) = Contents::read(&path)
            && ours.is_some()
            && contents::origin(&path) == ours
        {
            found.push((contents.taken_at, path));
        }
    }
    found.sort();
    let many = found.len().saturating_sub(keep.saturating_sub(1));
    found.truncate(many);
    for (_, path) in &found {
        std::fs::remove_dir_all(path).map_err(|e| Error::io(path, e))?;
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Steps of a backup that this program does not know.
fn unknown(steps: &[i64]) -> Option<i64> {
    let known = db::known(MIGRATIONS);
    steps.iter().copied().find(|step| !known.contains(step))
}
