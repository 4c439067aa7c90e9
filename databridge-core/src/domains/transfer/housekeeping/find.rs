//! Looking for what can be removed. Each kind is found by one function; what they find is
//! one list.

use std::collections::HashSet;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use super::super::review::off_thread;
use super::super::sql::{self, Owned};
use super::super::state::{MACHINE, State};
use super::super::{Service, ingest};
use super::{Keep, Leftover, Leftovers, Stuck, What};
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
    /// Of the store. What cannot be read is told of.
    pub async fn leftovers(
        &self,
        org: OrgId,
        now: Timestamp,
        keep: Keep,
    ) -> Result<Leftovers, AnyError> {
        self.look_for(org, now, keep, &HashSet::new()).await
    }

    /// The same, without what was `tried`. Staging is walked while no transaction is open:
    /// a slow mount would have it ended, and hold up whoever waits for it.
    pub(super) async fn look_for(
        &self,
        org: OrgId,
        now: Timestamp,
        keep: Keep,
        tried: &HashSet<String>,
    ) -> Result<Leftovers, AnyError> {
        let mut tx = self.store.db().read().await?;
        let known_since = sql::known_since(&mut tx).await?;
        drop(tx);
        let walk = Walk { staging: self.places.staging.clone(), now, keep, known_since };
        let (from, uploads, aside) = (walk.clone(), self.places.uploads(), self.places.aside());
        let looked = off_thread(move || {
            let mut found = Finds::default();
            from.old_uploads(&uploads, &mut found);
            from.moved_aside(&aside, &mut found);
            let folders = from.folders(&mut found);
            Ok((found, folders))
        });
        let (mut found, folders) = looked.await?;
        found.items.retain(|item| !tried.contains(&item.path));
        for folder in folders.chunks(200) {
            let mut tx = self.store.db().read().await?;
            let owned = sql::owned(&mut tx, folder).await?;
            drop(tx);
            for code in folder {
                let owner = owned.iter().find(|t| t.code == *code).cloned();
                if tried.contains(code) || owner.as_ref().is_some_and(|t| t.org != org) {
                    continue;
                }
                let named = match &owner {
                    Some(t) if !MACHINE.is_final(t.state) => {
                        let mut tx = self.store.db().read().await?;
                        Some(sql::blobs(&mut tx, t.id).await?)
                    }
                    _ => None,
                };
                let (walk, code) = (walk.clone(), code.clone());
                found = off_thread(move || {
                    walk.home(&code, owner.as_ref(), named.as_ref(), &mut found);
                    Ok(found)
                })
                .await?;
            }
            found.items.retain(|item| !tried.contains(&item.path));
            if found.items.len() > MOST {
                break;
            }
        }
        self.without_pieces(&mut found).await?;
        Ok(found.into())
    }

    /// What has come of an upload in pieces has its own time, wherever it stands.
    async fn without_pieces(&self, found: &mut Finds) -> Result<(), AnyError> {
        let mut tx = self.store.db().read().await?;
        for list in [&mut found.items, &mut found.strangers] {
            let mut kept = Vec::with_capacity(list.len());
            for item in list.drain(..) {
                if !item.can_be_a_piece() || !sql::is_in_pieces(&mut tx, item.name()).await? {
                    kept.push(item);
                }
            }
            *list = kept;
        }
        Ok(())
    }
}

/// What a walk has found so far.
#[derive(Default)]
struct Finds {
    items: Vec<Leftover>,
    strangers: Vec<Leftover>,
    unreadable: Vec<Stuck>,
}

impl From<Finds> for Leftovers {
    fn from(Finds { mut items, mut strangers, mut unreadable }: Finds) -> Self {
        let more = items.len() > MOST;
        items.truncate(MOST);
        strangers.truncate(MOST);
        unreadable.truncate(MOST);
        let files = items.iter().map(|item| item.files).sum();
        let bytes = items.iter().map(|item| item.bytes).sum();
        Self { items, more, files, bytes, strangers, unreadable }
    }
}

/// Looks at staging, and asks the store nothing.
#[derive(Clone)]
struct Walk {
    staging: PathBuf,
    now: Timestamp,
    keep: Keep,
    /// What was last written before is not known to be this store's.
    known_since: Timestamp,
}

impl Walk {
    /// Bytes that were taken in and never added: whoever took them in was killed.
    fn old_uploads(&self, folder: &Path, found: &mut Finds) {
        // Whoever still takes files in has what came since it began.
        let held = match ingest::oldest(folder, false) {
            Ok(held) => held,
            Err(error) => return self.is_unreadable(folder, &error, found),
        };
        for entry in self.entries(folder, found) {
            let Some((since_at, true)) = written(&entry) else { continue };
            let is_held = held.is_some_and(|began| since_at >= began);
            if is_ours(&entry) && !is_held && self.is_old(since_at) {
                self.nobodys(What::Upload, &entry.path(), None, since_at, found);
            }
        }
    }

    /// What earlier runs moved out of everybody's reach and could not delete.
    fn moved_aside(&self, folder: &Path, found: &mut Finds) {
        for entry in self.entries(folder, found) {
            let Some((since_at, _)) = written(&entry) else { continue };
            found.items.push(self.leftover(What::Aside, &entry.path(), None, since_at));
        }
    }

    /// Folders that are named like a transfer's.
    fn folders(&self, found: &mut Finds) -> Vec<String> {
        let name = |entry: &DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let digits = name.strip_prefix("TRF-")?;
            let is_code = digits.len() >= 5 && digits.bytes().all(|b| b.is_ascii_digit());
            (is_code && entry.file_type().ok()?.is_dir()).then_some(name)
        };
        let mut names: Vec<_> =
            self.entries(&self.staging, found).iter().filter_map(name).collect();
        names.sort();
        names
    }

    /// What of one such folder can go: all of it, or what no revision names.
    fn home(
        &self,
        code: &str,
        owner: Option<&Owned>,
        named: Option<&HashSet<String>>,
        found: &mut Finds,
    ) {
        let path = self.staging.join(code);
        let Some(t) = owner else { return self.unknown(&path, found) };
        if let Some(what) = t.removable(self.now, self.keep) {
            found.items.push(self.leftover(what, &path, Some(code), t.since_at));
        }
        if let Some(named) = named {
            self.unnamed_blobs(&path, code, named, found);
        }
    }

    fn unknown(&self, path: &Path, found: &mut Finds) {
        match newest(path) {
            Err((place, error)) => self.is_unreadable(&place, &error, found),
            Ok(Some(at)) if self.is_old(at) => self.nobodys(What::Folder, path, None, at, found),
            Ok(_) => {}
        }
    }

    /// Files that were moved in for a change that was never committed, or were replaced.
    fn unnamed_blobs(&self, home: &Path, code: &str, named: &HashSet<String>, found: &mut Finds) {
        for folder in self.entries(home, found) {
            let is_incoming = folder.file_name().to_string_lossy().starts_with("incoming-r");
            if !is_incoming || !folder.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            for entry in self.entries(&folder.path(), found) {
                let Some((since_at, true)) = written(&entry) else { continue };
                let is_named = named.contains(&*entry.file_name().to_string_lossy());
                if is_ours(&entry) && !is_named && self.is_old(since_at) {
                    self.nobodys(What::Blob, &entry.path(), Some(code), since_at, found);
                }
            }
        }
    }

    fn is_old(&self, since_at: Timestamp) -> bool {
        self.now.since(since_at) > self.keep.orphans
    }

    /// That no row names it says something only where this store wrote it: what is older
    /// than its rows may be all that is left of a transfer.
    fn nobodys(
        &self,
        what: What,
        path: &Path,
        transfer: Option<&str>,
        since_at: Timestamp,
        found: &mut Finds,
    ) {
        let leftover = self.leftover(what, path, transfer, since_at);
        let is_ours = since_at >= self.known_since;
        if is_ours { &mut found.items } else { &mut found.strangers }.push(leftover);
    }

    fn leftover(
        &self,
        what: What,
        path: &Path,
        transfer: Option<&str>,
        since_at: Timestamp,
    ) -> Leftover {
        let (files, bytes) = size(path);
        let (path, transfer) = (self.below(path), transfer.map(str::to_owned));
        Leftover { what, path, transfer, files, bytes, since_at }
    }

    fn below(&self, path: &Path) -> String {
        path.strip_prefix(&self.staging).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// What is in a folder; nothing where there is none, or where it cannot be read.
    fn entries(&self, folder: &Path, found: &mut Finds) -> Vec<DirEntry> {
        entries(folder).unwrap_or_else(|error| {
            self.is_unreadable(folder, &error, found);
            Vec::new()
        })
    }

    fn is_unreadable(&self, path: &Path, error: &std::io::Error, found: &mut Finds) {
        let stuck = Stuck { path: self.below(path), error: error.to_string() };
        found.unreadable.push(stuck);
    }
}

impl Leftover {
    /// Its own name.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether an upload in pieces may have it.
    pub(super) fn can_be_a_piece(&self) -> bool {
        matches!(self.what, What::Upload | What::Blob)
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

fn entries(folder: &Path) -> std::io::Result<Vec<DirEntry>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found?.collect(),
    }
}

/// Whether it has a name as we give them: what is hidden, or is no text, is not a file
/// that was taken in.
fn is_ours(entry: &DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| !name.starts_with('.'))
}

/// When something was last written, and whether it is a file. It may go at this moment.
fn written(entry: &DirEntry) -> Option<(Timestamp, bool)> {
    let meta = entry.metadata().ok()?;
    Some((meta.modified().ok()?.into(), meta.is_file()))
}

/// When anything in a tree was last written; else what of it cannot be read.
fn newest(root: &Path) -> Result<Option<Timestamp>, (PathBuf, std::io::Error)> {
    let meta = std::fs::symlink_metadata(root).and_then(|meta| meta.modified());
    let mut newest = meta.ok().map(Timestamp::from);
    for entry in entries(root).map_err(|error| (root.to_owned(), error))? {
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
