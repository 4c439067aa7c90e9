//! Uploads that come in pieces, and quotas on all of them.
//!
//! An upload is a row: whose, for which path of which transfer, how long it will be, how
//! much of it is durable, the SHA-256 up to there, until when it waits for more. Its bytes
//! are a file in the uploads folder. So any host can take the next piece, and a killed
//! daemon costs what came since the offset was last kept. The last piece makes it part of
//! its transfer, as [`Service::add`] does: all of it or none.

mod append;
mod blob;
mod collect;
mod error;
mod quota;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

pub use append::{Checked, Piece, Writer};
pub use collect::Collected;
pub use error::Error;
pub use quota::Room;

use blob::Blob;

use super::service::authorise;
use super::sql::{self, StoredUpload};
use super::state::{Action, work};
use super::types::Transfer;
use super::{Service, review};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::media::storage::RelPath;

/// What a studio allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long an upload waits for its next piece, up to seven days.
    pub keep: Duration,
    /// The longest file.
    pub max_bytes: u64,
    /// What everything of one user may come to that is on its way.
    pub user_bytes: Option<u64>,
    /// What the files of one transfer may come to.
    pub transfer_bytes: Option<u64>,
    /// Folders of the service's below which files may be added by their path.
    pub roots: Vec<PathBuf>,
}

/// An upload to be begun.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Where the file belongs in the delivery.
    pub path: RelPath,
    /// How long it will be; `None` where that is told with a later piece.
    pub length_bytes: Option<u64>,
    /// What its client wants to be told again.
    pub metadata: String,
}

/// An upload as its client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UploadView {
    /// Its name.
    pub id: Uuid,
    /// The transfer it is for.
    pub code: String,
    /// Where the file belongs there; of what a job takes in, where it lies.
    pub path: String,
    /// The path on the service's host from which a job takes it in; nothing is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who began it.
    pub username: String,
    /// How long the file will be; where that is not known yet, what has come.
    pub length_bytes: u64,
    /// Whether its length is told later.
    #[serde(default)]
    pub deferred: bool,
    /// How much of it is durable: the next piece begins here.
    pub offset_bytes: u64,
    /// Whether the file is part of the transfer.
    pub done: bool,
    /// What its client gave with it.
    pub metadata: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Until when it waits for its next piece.
    pub expires_at: Timestamp,
}

impl From<StoredUpload> for UploadView {
    fn from(upload: StoredUpload) -> Self {
        Self {
            id: upload.id,
            code: upload.code,
            path: upload.path.to_string(),
            from: None,
            username: upload.username,
            length_bytes: upload.length_bytes,
            deferred: upload.deferred,
            offset_bytes: upload.kept_bytes,
            done: upload.done,
            metadata: upload.metadata,
            created_at: upload.created_at,
            expires_at: upload.expires_at,
        }
    }
}

/// The file's name in the uploads folder.
fn blob_name(id: Uuid) -> String {
    id.simple().to_string()
}

impl Service {
    /// Begins an upload; one of the same path that was not finished is ended. One of no
    /// length is at its end at once.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Quota`], [`super::Error::Collision`], not permitted,
    /// illegal state.
    pub async fn begin_upload(
        &self,
        ctx: &Ctx,
        code: &str,
        new: NewUpload,
    ) -> Result<UploadView, AnyError> {
        let (mut unit, t) = self.begin(ctx, code, Action::Upload).await?;
        self.step(&mut unit, &mut t.clone(), Action::Upload).await?;
        let limits = &self.policy.uploads;
        let length_bytes = new.length_bytes.unwrap_or(0);
        if length_bytes > limits.max_bytes {
            return Err(Error::TooLong { limit: limits.max_bytes }.into());
        }
        match sql::like(unit.tx(), t.id, t.revision, &new.path).await? {
            Some(other) if other != new.path.as_str() => {
                return Err(super::Error::Collision { path: new.path.to_string(), other }.into());
            }
            _ => {}
        }
        let now = unit.now();
        let ended = self.end_earlier(&mut unit, &t, [&new.path]).await?;
        self.room(&mut unit, &t, Some(&new.path)).await?.hold(length_bytes)?;
        let id = Uuid::now_v7();
        let row = sql::UploadRow {
            id,
            transfer: t.id,
            user: ctx.actor.user_id,
            path: &new.path,
            metadata: &new.metadata,
            length_bytes,
            deferred: new.length_bytes.is_none(),
            now,
            expires_at: now + limits.keep,
        };
        sql::insert_upload(unit.tx(), row).await?;
        let places = self.places.clone();
        // First the file: a row without one could not go on.
        review::beside(&mut unit, move || Blob::create(&places, &blob_name(id))).await?;
        let begun = sql::upload(unit.tx(), t.id, id).await?.ok_or(Error::NotFound(id))?;
        unit.commit(()).await?;
        self.forget_blobs(&ended);
        if new.length_bytes != Some(0) {
            return Ok(begun.into());
        }
        let none = Piece { length: Some(0), ..Piece::default() };
        match self.take_up(ctx, code, id, none).await? {
            Some(writer) => self.append(ctx, writer, std::io::empty()).await,
            None => self.look_at_upload(ctx, code, id).await,
        }
    }

    /// An upload, with the offset at which it goes on.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Expired`], not permitted.
    pub async fn look_at_upload(
        &self,
        ctx: &Ctx,
        code: &str,
        id: Uuid,
    ) -> Result<UploadView, AnyError> {
        let (mut unit, t) = self.uploader(ctx, code).await?;
        Ok(living(&mut unit, &t, id).await?.into())
    }

    /// A transfer's uploads that are not at their end, oldest first; then what jobs are
    /// still to take in.
    ///
    /// # Errors
    /// [`super::Error::NotFound`], not permitted.
    pub async fn uploads(&self, ctx: &Ctx, code: &str) -> Result<Vec<UploadView>, AnyError> {
        let (mut unit, t) = self.uploader(ctx, code).await?;
        let now = unit.now();
        let open = sql::open_uploads(unit.tx(), t.id, now).await?;
        let mut open: Vec<UploadView> = open.into_iter().map(Into::into).collect();
        open.extend(self.coming(&mut unit, &t).await?);
        Ok(open)
    }

    /// Ends an upload that was not finished: what came of it is removed. What a job was to
    /// take in is not taken in any more.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Done`], not permitted.
    pub async fn end_upload(&self, ctx: &Ctx, code: &str, id: Uuid) -> Result<(), AnyError> {
        let (mut unit, mut t) = self.uploader(ctx, code).await?;
        let Some(upload) = sql::upload(unit.tx(), t.id, id).await? else {
            let coming = self.coming(&mut unit, &t).await?;
            let coming = coming.into_iter().find(|coming| coming.id == id);
            let from = coming.ok_or(Error::NotFound(id))?.from;
            if !unit.withdraw_one(id, t.id, work::TAKE_IN).await? {
                return Err(Error::NotFound(id).into());
            }
            let data = json!({ "from": from });
            self.save(&mut unit, &mut t, "transfer.add_withdrawn", data).await?;
            return unit.commit(()).await;
        };
        if upload.done {
            return Err(Error::Done { code: t.code, path: upload.path.to_string() }.into());
        }
        sql::delete_upload(unit.tx(), id).await?;
        unit.commit(()).await?;
        self.forget_blobs(&[id]);
        Ok(())
    }

    /// The transfer, for somebody who may add to it when its state allows.
    async fn uploader(&self, ctx: &Ctx, code: &str) -> Result<(Unit, Transfer), AnyError> {
        ctx.within_scope("transfers", true)?;
        let mut unit = self.store.begin(ctx).await?;
        let t = self.load(&mut unit, code).await?;
        authorise(ctx, &t, Action::Upload)?;
        Ok((unit, t))
    }

    /// Ends uploads of paths at which something else comes to stand; their files are
    /// [forgotten](Self::forget_blobs) when that is committed.
    pub(super) async fn end_earlier(
        &self,
        unit: &mut Unit,
        t: &Transfer,
        paths: impl IntoIterator<Item = &RelPath>,
    ) -> Result<Vec<Uuid>, AnyError> {
        let open = sql::open_uploads(unit.tx(), t.id, Timestamp::default()).await?;
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let folded: std::collections::HashSet<String> =
            paths.into_iter().map(RelPath::folded).collect();
        let mut ended = Vec::new();
        for upload in open.iter().filter(|upload| folded.contains(&upload.path.folded())) {
            sql::delete_upload(unit.tx(), upload.id).await?;
            ended.push(upload.id);
        }
        Ok(ended)
    }

    /// Removes the bytes of uploads that are no more.
    pub(super) fn forget_blobs(&self, ids: &[Uuid]) {
        for id in ids {
            self.forget(&blob_name(*id));
        }
    }

    /// Refuses where something is still on its way into the transfer.
    pub(super) async fn none_unfinished(
        &self,
        unit: &mut Unit,
        t: &Transfer,
    ) -> Result<(), AnyError> {
        let now = unit.now();
        let open = sql::open_uploads(unit.tx(), t.id, now).await?;
        if open.is_empty() {
            return Ok(());
        }
        let uploads = open
            .iter()
            .map(|u| match u.deferred {
                true => format!("{} ({} bytes so far)", u.path, u.kept_bytes),
                false => format!("{} ({} of {} bytes)", u.path, u.kept_bytes, u.length_bytes),
            })
            .collect();
        Err(Error::Unfinished { code: t.code.clone(), uploads }.into())
    }
}

/// The upload, whose time is not over.
async fn living(unit: &mut Unit, t: &Transfer, id: Uuid) -> Result<StoredUpload, AnyError> {
    let now = unit.now();
    let upload = sql::upload(unit.tx(), t.id, id).await?.ok_or(Error::NotFound(id))?;
    if upload.expires_at <= now {
        return Err(Error::Expired { id, at: upload.expires_at }.into());
    }
    Ok(upload)
}
