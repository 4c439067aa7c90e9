//! Looking for what can be removed. Each kind is found by one function; what they find is
//! one list.

use std::collections::HashSet;
use std::fs::DirEntry;
use std::path::Path;

use super::super::sql::{self, Owned};
use super::super::state::{MACHINE, State};
use super::super::{Error, Service};
use super::{Keep, Leftover, Leftovers, What};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::id::OrgId;

/// Found in one run; the next finds the rest.
const MOST: usize = 1000;

impl Service {
    /// All that can be removed from staging at `now`: of this organisation's transfers,
    /// and of what is nobody's.
    ///
    /// # Errors
    /// [`Error::Io`]; of the store.
    pub async fn leftovers(
        &self,
        org: OrgId,
        now: Timestamp,
        keep: Keep,
    ) -> Result<Leftovers, AnyError> {
        let service = self.clone();
        let looked = super::super::review::off_thread(move || {
            let mut items = service.old_uploads(now, keep)?;
            items.extend(service.moved_aside()?);
            Ok((items, service.folders()?))
        });
        let (found, folders) = looked.await?;
        let mut items = Vec::new();
        let mut tx = self.store.db().read().await?;
        for item in found {
            let blob = item.path.rsplit('/').next().unwrap_or_default();
            if item.what != What::Upload || !sql::is_in_pieces(&mut tx, blob).await? {
                items.push(item);
            }
        }
        drop(tx);
        for folder in folders.chunks(200) {
            let mut tx = self.store.db().read().await?;
            let owned = sql::owned(&mut tx, folder).await?;
            for code in folder {
                let Some(transfer) = owned.iter().find(|t| t.code == *code) else {
                    items.extend(self.unknown(code, now, keep)?);
                    continue;
                };
                if transfer.org != org {
                    continue;
                }
                items.extend(self.whole_folder(transfer, now, keep)?);
                if !MACHINE.is_final(transfer.state) {
                    let named = sql::blobs(&mut tx, transfer.id).await?;
                    items.extend(self.unnamed_blobs(code, &named, now, keep)?);
                }
            }
            if items.len() > MOST {
                break;
            }
        }
        let more = items.len() > MOST;
        items.truncate(MOST);
        let files = items.iter().map(|item| item.files).sum();
        let bytes = items.iter().map(|item| item.bytes).sum();
        Ok(Leftovers { items, more, files, bytes })
    }

    /// Bytes that were taken in and never added: whoever took them in was killed.
    fn old_uploads(&self, now: Timestamp, keep: Keep) -> Result<Vec<Leftover>, AnyError> {
        let folder = self.places.uploads();
        let old = |entry: &DirEntry| {
            let (since_at, is_file) = written(entry)?;
            let is_old = is_file && now.since(since_at) > keep.orphans;
            is_old.then(|| self.leftover(What::Upload, &entry.path(), None, since_at))
        };
        Ok(entries(&folder)?.iter().filter_map(old).collect())
    }

    /// What earlier runs moved out of everybody's reach and could not delete.
    fn moved_aside(&self) -> Result<Vec<Leftover>, AnyError> {
        let aside = |entry: &DirEntry| {
            let (since_at, _) = written(entry)?;
            Some(self.leftover(What::Aside, &entry.path(), None, since_at))
        };
        Ok(entries(&self.places.aside())?.iter().filter_map(aside).collect())
    }

    /// Folders that are named like a transfer's.
    fn folders(&self) -> Result<Vec<String>, AnyError> {
        let name = |entry: &DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let digits = name.strip_prefix("TRF-")?;
            let is_code = digits.len() >= 5 && digits.bytes().all(|b| b.is_ascii_digit());
            (is_code && entry.file_type().ok()?.is_dir()).then_some(name)
        };
        let mut names: Vec<_> = entries(&self.places.staging)?.iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    fn unknown(
        &self,
        code: &str,
        now: Timestamp,
        keep: Keep,
    ) -> Result<Option<Leftover>, AnyError> {
        let path = self.places.staging_of(code);
        let newest = newest(&path)?;
        let is_old = newest.is_some_and(|at| now.since(at) > keep.orphans);
        Ok(newest.filter(|_| is_old).map(|at| self.leftover(What::Folder, &path, None, at)))
    }

    /// The whole folder of a transfer that is at its end.
    fn whole_folder(
        &self,
        t: &Owned,
        now: Timestamp,
        keep: Keep,
    ) -> Result<Option<Leftover>, AnyError> {
        let Some(what) = t.removable(now, keep) else { return Ok(None) };
        let path = self.places.staging_of(&t.code);
        Ok(Some(self.leftover(what, &path, Some(&t.code), t.since_at)))
    }

    /// Files that were moved in for a change that was never committed, or were replaced.
    fn unnamed_blobs(
        &self,
        code: &str,
        named: &HashSet<String>,
        now: Timestamp,
        keep: Keep,
    ) -> Result<Vec<Leftover>, AnyError> {
        let mut found = Vec::new();
        for folder in entries(&self.places.staging_of(code))? {
            let is_incoming = folder.file_name().to_string_lossy().starts_with("incoming-r");
            if !is_incoming || !folder.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            for entry in entries(&folder.path())? {
                let Some((since_at, true)) = written(&entry) else { continue };
                let is_named = named.contains(&*entry.file_name().to_string_lossy());
                if !is_named && now.since(since_at) > keep.orphans {
                    found.push(self.leftover(What::Blob, &entry.path(), Some(code), since_at));
                }
            }
        }
        Ok(found)
    }

    fn leftover(
        &self,
        what: What,
        path: &Path,
        transfer: Option<&str>,
        since_at: Timestamp,
    ) -> Leftover {
        let below = path.strip_prefix(&self.places.staging).unwrap_or(path);
        let (files, bytes) = size(path);
        Leftover {
            what,
            path: below.to_string_lossy().into_owned(),
            transfer: transfer.map(str::to_owned),
            files,
            bytes,
            since_at,
        }
    }
}

impl Owned {
    /// Why its whole folder can go, if it can.
    pub(super) fn removable(&self, now: Timestamp, keep: Keep) -> Option<What> {
        let age = now.since(self.since_at);
        match self.state {
            _ if self.busy => None,
            State::Cancelled => (age > keep.orphans).then_some(What::Cancelled),
            State::Delivered => keep.delivered.filter(|most| age > *most).map(|_| What::Delivered),
            State::Recalled => keep.delivered.filter(|most| age > *most).map(|_| What::Recalled),
            _ => None,
        }
    }
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, AnyError> {
    let io = |source| Error::Io { path: folder.display().to_string(), source };
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        found => Ok(found.map_err(io)?.collect::<Result<_, _>>().map_err(io)?),
    }
}

/// When something was last written, and whether it is a file. It may go at this moment.
fn written(entry: &DirEntry) -> Option<(Timestamp, bool)> {
    let meta = entry.metadata().ok()?;
    Some((meta.modified().ok()?.into(), meta.is_file()))
}

/// When anything in a tree was last written.
fn newest(root: &Path) -> Result<Option<Timestamp>, AnyError> {
    let meta = std::fs::symlink_metadata(root).and_then(|meta| meta.modified());
    let mut newest = meta.ok().map(Timestamp::from);
    for entry in entries(root)? {
        let Ok(meta) = entry.metadata() else { continue };
        newest = newest.max(meta.modified().ok().map(Timestamp::from));
        if meta.is_dir() {
            newest = newest.max(self::newest(&entry.path())?);
        }
    }
    Ok(newest)
}

/// Files and bytes below a path, or of a file; links are followed nowhere.
fn size(path: &Path) -> (u64, u64) {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            let below = entries(path).unwrap_or_default();
            below
                .iter()
                .map(|entry| size(&entry.path()))
                .fold((0, 0), |(f, b), (files, bytes)| (f + files, b + bytes))
        }
        Ok(meta) => (1, meta.len()),
        Err(_) => (0, 0),
    }
}
