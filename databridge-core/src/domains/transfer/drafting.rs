//! Creating, filling and submitting.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::review::{LONGEST, beside};
use super::sql::StoredFile;
use super::state::{Action, MATRIX, Permission, State};
use super::types::{Transfer, check_name, check_parents, check_text};
use super::{Create, Error, Places, Service, TransferView, Upload, chain, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::control::ledger::Subject;
use crate::media::checksum::Sha256;
use crate::media::storage::{RelPath, collisions, make_dirs};

impl Service {
    /// Makes a transfer, empty.
    ///
    /// # Errors
    /// [`Error::BadField`], [`Error::NoChain`], [`Error::UnknownField`],
    /// [`Error::MissingField`], [`Error::BadPath`], [`Error::PathTaken`], or not permitted.
    pub async fn create(&self, ctx: &Ctx, create: Create) -> Result<TransferView, AnyError> {
        check_text("title", &create.title, 200)?;
        check_name("project", &create.project)?;
        check_name("category", &create.category)?;
        check_parents(&create.parents)?;
        let mut create = create;
        create.metadata = self.policy.layout.admit(&create.metadata)?;
        ctx.require(MATRIX, Permission::Create, Some(&create.project))?;
        super::priority::check_wish(ctx, &create.project, create.priority)?;
        let mut unit = self.store.begin(ctx).await?;
        let (org, now) = (unit.org(), unit.now());
        // The counter lets one transfer be made at a time, so nobody takes a path from under
        // another.
        let code = format!("TRF-{:05}", unit.tx().next_number("transfer").await?);
        let name = create.chain.as_deref().unwrap_or(chain::DEFAULT);
        let chain = chain::newest(&mut unit, name).await?;
        let id = Uuid::now_v7();
        let path = self.path(&mut unit, &create, &code).await?;
        let destination = self.places.payload(&path);
        let new = sql::NewTransfer {
            id,
            code: &code,
            create: &create,
            owner: self.owner(&mut unit).await?,
            chain: chain.id,
            destination: &destination.to_string(),
            path: &path,
            authority: ctx.actor.authority,
        };
        sql::insert(unit.tx(), org, new, now).await?;
        unit.record(
            &Subject { kind: "transfer".into(), id, code: code.clone() },
            "transfer.created",
            json!({
                "state": State::Draft, "revision": 1, "title": create.title,
                "project": create.project, "category": create.category,
                "chain": chain.name, "chain_version": chain.version,
                "priority": create.priority.unwrap_or_default(), "parents": create.parents,
                "path": path, "metadata": create.metadata,
            }),
        );
        let t = self.load(&mut unit, &code).await?;
        let view = self.view(&mut unit, &t).await?;
        unit.commit(view).await
    }

    /// Where it is to go, for good: a template that is changed later moves nothing.
    async fn path(&self, unit: &mut Unit, create: &Create, code: &str) -> Result<String, AnyError> {
        let layout = &self.policy.layout;
        let path = layout.path(&create.project, &create.category, code, &create.metadata)?;
        let Some(holder) = sql::holder(unit.tx(), &path).await? else { return Ok(path) };
        let holder = self.load(unit, &holder).await.ok().map(|t| t.code);
        Err(Error::PathTaken { path, holder }.into())
    }

    /// Whose it is: on an embedded store whoever the OS user acts for.
    async fn owner(&self, unit: &mut Unit) -> Result<crate::base::id::UserId, AnyError> {
        let (org, actor) = (unit.org(), unit.ctx().actor.clone());
        match actor.on_behalf_of {
            None => Ok(actor.user_id),
            Some(name) => {
                let user = crate::control::identity::user_by_name(unit.tx(), org, &name).await?;
                Ok(user.map_or(actor.user_id, |u| u.id))
            }
        }
    }

    /// Checks, before any byte is taken in, that the caller may add to the transfer.
    ///
    /// # Errors
    /// As [`Service::add`].
    pub async fn may_upload(&self, ctx: &Ctx, code: &str) -> Result<(), AnyError> {
        let (mut unit, mut t) = self.begin(ctx, code, Action::Upload).await?;
        self.step(&mut unit, &mut t, Action::Upload).await
    }

    /// Makes what was taken in part of the transfer; a file of the same path is
    /// replaced. Either all of it is added or none.
    ///
    /// # Errors
    /// [`Error::Collision`], [`Error::NotFound`], not permitted, illegal state.
    pub async fn add(
        &self,
        ctx: &Ctx,
        code: &str,
        uploads: Vec<Upload>,
    ) -> Result<TransferView, AnyError> {
        match self.try_add(ctx, code, &uploads).await {
            Ok(view) => Ok(view),
            Err(error) => {
                self.forget_all(&uploads);
                Err(error)
            }
        }
    }

    async fn try_add(
        &self,
        ctx: &Ctx,
        code: &str,
        uploads: &[Upload],
    ) -> Result<TransferView, AnyError> {
        let (mut unit, mut t) = self.begin(ctx, code, Action::Upload).await?;
        let (data, ended) = self.put_in(&mut unit, &mut t, uploads).await?;
        let view = self.done(unit, t, "transfer.files_added", data).await?;
        self.forget_blobs(&ended);
        Ok(view)
    }

    /// Moves what was taken in to its place and writes it down, in the open revision.
    /// Answers what to tell of it, and which unfinished uploads it put an end to.
    pub(super) async fn put_in(
        &self,
        unit: &mut Unit,
        t: &mut Transfer,
        uploads: &[Upload],
    ) -> Result<(Json, Vec<Uuid>), AnyError> {
        self.open_revision(unit, t, Action::Upload).await?;
        let mut rows = Vec::with_capacity(uploads.len());
        for upload in uploads {
            let row = match upload {
                Upload::EmptyDir(path) => new_row(path, 0, None, None),
                Upload::File(f) => new_row(&f.path, f.size_bytes, Some(f.sha256), Some(&f.blob)),
            };
            match sql::like(unit.tx(), t.id, t.revision, &row.path).await? {
                Some(other) if other == row.path.as_str() => {
                    sql::delete_file(unit.tx(), t.id, t.revision, &other).await?;
                }
                Some(other) => {
                    return Err(Error::Collision { path: row.path.to_string(), other }.into());
                }
                None => {}
            }
            rows.push(row);
        }
        if let [clash, ..] = collisions(rows.iter().map(|r| &r.path)).as_slice() {
            let (path, other) = (clash.second.to_string(), clash.first.to_string());
            return Err(Error::Collision { path, other }.into());
        }
        let ended = self.end_earlier(unit, t, rows.iter().map(|r| &r.path)).await?;
        let bytes = rows.iter().map(|r| r.size_bytes).sum();
        self.room(unit, t, None).await?.hold(bytes)?;
        // The files are moved first: if we die here, they are orphans in a folder
        // that only counts what the rows name. The other way round a row would
        // name a file that is not there.
        self.move_in(unit, t, uploads).await?;
        crate::base::steps::reach("upload.moved");
        sql::insert_files(unit.tx(), t.id, t.revision, &rows).await?;
        let paths: Vec<&str> = rows.iter().take(20).map(|r| r.path.as_str()).collect();
        Ok((json!({ "files": rows.len(), "paths": paths }), ended))
    }

    async fn move_in(
        &self,
        unit: &mut Unit,
        t: &Transfer,
        uploads: &[Upload],
    ) -> Result<(), AnyError> {
        let blob = |upload: &Upload| match upload {
            Upload::File(file) => Some(file.blob.clone()),
            Upload::EmptyDir(_) => None,
        };
        let blobs: Vec<String> = uploads.iter().filter_map(blob).collect();
        if blobs.is_empty() {
            return Ok(());
        }
        let (places, code, revision) = (self.places.clone(), t.code.clone(), t.revision);
        beside(unit, move || Ok(move_blobs(&places, &code, revision, &blobs)?)).await
    }

    /// Takes a file out of the transfer.
    ///
    /// # Errors
    /// [`Error::NoFile`], [`Error::NotFound`], not permitted, illegal state.
    pub async fn remove_file(
        &self,
        ctx: &Ctx,
        code: &str,
        path: &str,
    ) -> Result<TransferView, AnyError> {
        let (mut unit, mut t) = self.begin(ctx, code, Action::Upload).await?;
        self.open_revision(&mut unit, &mut t, Action::Upload).await?;
        if sql::delete_file(unit.tx(), t.id, t.revision, path).await? == 0 {
            return Err(Error::NoFile { code: code.to_owned(), path: path.to_owned() }.into());
        }
        self.done(unit, t, "transfer.file_removed", json!({ "path": path })).await
    }

    /// Asks for review: the files are frozen, then the first stage looks.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InsufficientSpace`], not permitted, illegal state
    /// (also without files).
    pub async fn submit(&self, ctx: &Ctx, code: &str) -> Result<TransferView, AnyError> {
        self.check_room(ctx, code).await?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::Submit).await?;
        self.none_unfinished(&mut unit, &t).await?;
        self.none_coming(&mut unit, &t).await?;
        self.open_revision(&mut unit, &mut t, Action::Submit).await?;
        t.failure = None;
        self.done(unit, t, "transfer.submitted", json!({})).await
    }

    /// Takes the step; where the transfer comes back from its reviewers, its next
    /// revision begins with all files of the last.
    pub(super) async fn open_revision(
        &self,
        unit: &mut Unit,
        t: &mut Transfer,
        action: Action,
    ) -> Result<(), AnyError> {
        let reopened = t.state == State::Rejected;
        if reopened {
            let last = t.revision;
            t.revision += 1;
            sql::carry_files(unit.tx(), t.id, last, t.revision).await?;
            for path in self.quarantined(unit, t.id, last).await? {
                sql::delete_file(unit.tx(), t.id, t.revision, &path).await?;
            }
            t.manifest_digest = None;
            t.stage = 0;
        }
        self.step(unit, t, action).await
    }

    /// Withdraws the transfer; where production was touched, once nothing of it is
    /// left there.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadField`], not permitted, illegal state.
    pub async fn cancel(
        &self,
        ctx: &Ctx,
        code: &str,
        reason: Option<&str>,
    ) -> Result<TransferView, AnyError> {
        if let Some(reason) = reason {
            check_text("reason", reason, LONGEST)?;
        }
        let (mut unit, mut t) = self.begin(ctx, code, Action::Cancel).await?;
        unit.withdraw(t.id).await?;
        self.step(&mut unit, &mut t, Action::Cancel).await?;
        let now = unit.now();
        sql::expire_uploads(unit.tx(), t.id, now).await?;
        t.reason = reason.map(str::to_owned).or(t.reason);
        t.failure = None;
        self.done(unit, t, "transfer.cancelled", json!({ "reason": reason })).await
    }

    /// Takes a failed step up again.
    ///
    /// # Errors
    /// [`Error::NotFound`], not permitted, illegal state.
    pub async fn retry(&self, ctx: &Ctx, code: &str) -> Result<TransferView, AnyError> {
        let (mut unit, mut t) = self.begin(ctx, code, Action::Retry).await?;
        let failed = t.state;
        self.step(&mut unit, &mut t, Action::Retry).await?;
        t.failure = None;
        self.done(unit, t, "transfer.retried", json!({ "failed": failed })).await
    }
}

fn new_row(
    path: &RelPath,
    size_bytes: u64,
    sha256: Option<Sha256>,
    blob: Option<&str>,
) -> StoredFile {
    StoredFile {
        path: path.clone(),
        size_bytes,
        sha256,
        blob: blob.map(str::to_owned),
        carried: None,
        fact: None,
    }
}

fn move_blobs(places: &Places, code: &str, revision: i64, blobs: &[String]) -> Result<(), Error> {
    let (from, to) = (places.uploads(), places.incoming(code, revision));
    private_dir(&to)?;
    let io = |path: &Path, source| Error::Io { path: path.display().to_string(), source };
    for blob in blobs {
        let place = to.join(blob);
        std::fs::rename(from.join(blob), &place).map_err(|e| io(&place, e))?;
    }
    // The names of the files, and of the folders that hold them, which an earlier
    // life may have made and not flushed.
    for folder in [&to, &from, &places.staging_of(code), &places.staging] {
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| io(folder, e))?;
    }
    Ok(())
}

/// A folder that only the service's user can enter, and that a power cut leaves there.
pub(super) fn private_dir(path: &Path) -> Result<PathBuf, Error> {
    make_dirs(path, 0o700)
        .map(|()| path.to_owned())
        .map_err(|source| Error::Io { path: path.display().to_string(), source })
}
