//! Taking in one piece.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::super::sql::StoredUpload;
use super::super::state::Action;
use super::super::types::{Transfer, Upload, UploadedFile};
use super::super::{Service, review, sql};
use super::blob::Blob;
use super::{Error, UploadView, blob_name, living};
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::media::checksum::{Algorithm, Hasher};
use crate::media::storage::RelPath;

/// After so many bytes or so long what came is made durable, and the offset moves: a kill
/// costs no more than that.
const STRETCH: u64 = 32 << 20;
const PAUSE: Duration = Duration::from_secs(5);
/// Read at a time.
const BUFFER: usize = 256 << 10;

/// What a sender says of a piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// How long it is, where that is known.
    pub length: Option<u64>,
    /// How long the whole file will be, where that is told with this piece.
    pub total: Option<u64>,
    /// What all of it must come to, or nothing of it is kept.
    pub checked: Option<Checked>,
}

/// A checksum that was sent with a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which: SHA-256 or SHA-1.
    pub algorithm: Algorithm,
    /// In lower-case hex.
    pub digest: String,
}

/// The one who may write to an upload, until it is dropped.
pub struct Writer {
    id: Uuid,
    code: String,
    path: RelPath,
    /// What the file will have, or, where that is not known, may.
    length: u64,
    /// Whether it is known.
    is_known: bool,
    epoch: i64,
    blob: Blob,
    /// Where this piece begins.
    start: u64,
    /// What is durable, and known to be.
    kept: u64,
    check: Option<(Checked, Hasher)>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How a stretch ended.
enum End {
    /// There is more.
    Paused,
    /// With the piece.
    Whole,
    /// The sender did not go on.
    Broken(std::io::Error),
}

impl Writer {
    /// Takes in the next stretch and makes it durable.
    fn stretch(&mut self, source: &mut impl Read) -> Result<End, AnyError> {
        let began = Instant::now();
        let from = self.blob.end();
        let mut buffer = vec![0; BUFFER];
        let end = loop {
            let left = self.length.saturating_sub(self.blob.end());
            if left > 0 && (self.blob.end() - from >= STRETCH || began.elapsed() > PAUSE) {
                break End::Paused;
            }
            // One more than there may be, so that too much is noticed.
            let most = usize::try_from(left.saturating_add(1)).unwrap_or(BUFFER).min(BUFFER);
            match source.read(&mut buffer[..most]) {
                Ok(0) => break End::Whole,
                Ok(n) if n as u64 > left => {
                    return Err(Error::TooLong { limit: self.length }.into());
                }
                Ok(n) => {
                    self.blob.write(&buffer[..n])?;
                    if let Some((_, hasher)) = &mut self.check {
                        hasher.update(&buffer[..n]);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // All of it is here: how the request ends does not matter.
                Err(_) if left == 0 => break End::Whole,
                Err(error) => break End::Broken(error),
            }
        };
        if self.blob.end() > from {
            self.blob.flush()?;
        }
        Ok(end)
    }

    /// Holds the piece to what was sent with it.
    fn check(&mut self) -> Result<(), Error> {
        let Some((Checked { algorithm, digest }, hasher)) = self.check.take() else {
            return Ok(());
        };
        let digests = hasher.finish();
        let found = digests.get(algorithm).unwrap_or_default();
        if found == digest {
            return Ok(());
        }
        let (offset, algorithm) =
            (self.start, if algorithm == Algorithm::Sha1 { "SHA-1" } else { "SHA-256" });
        Err(Error::Checksum { offset, algorithm, expected: digest, found })
    }
}

impl Service {
    /// Makes the caller the one who writes to an upload. `None` where it is finished and
    /// the piece adds nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Expired`], [`Error::WrongOffset`], [`Error::TooLong`],
    /// [`Error::WrongLength`], [`Error::Quota`], [`Error::Busy`], [`Error::Lost`], not
    /// permitted, illegal state.
    pub async fn take_up(
        &self,
        ctx: &Ctx,
        code: &str,
        id: Uuid,
        piece: Piece,
    ) -> Result<Option<Writer>, AnyError> {
        let (mut unit, t) = self.uploader(ctx, code).await?;
        let upload = living(&mut unit, &t, id).await?;
        let at = |kept| {
            let offset = piece.offset;
            if offset == kept { Ok(()) } else { Err(Error::WrongOffset { id, kept, offset }) }
        };
        at(upload.kept_bytes)?;
        let (length, is_known) = self.length(&mut unit, &t, &upload, piece.total).await?;
        let left = length.saturating_sub(upload.kept_bytes);
        if piece.length.is_some_and(|announced| announced > left) {
            return Err(Error::TooLong { limit: length }.into());
        }
        if upload.done {
            return Ok(None);
        }
        self.step(&mut unit, &mut t.clone(), Action::Upload).await?;
        drop(unit);
        let (places, of) = (self.places.clone(), code.to_owned());
        let mut blob = review::off_thread(move || Blob::open(&places, &of, id)).await?;
        let mut unit = self.store.begin(ctx).await?;
        let now = unit.now();
        let taken = sql::take_upload(unit.tx(), id, now).await?.ok_or(Error::Busy { id })?;
        // Whoever wrote until now may have come further.
        at(taken.kept_bytes)?;
        if upload.deferred && is_known {
            sql::set_length(unit.tx(), (id, taken.epoch), length).await?;
        }
        unit.commit(()).await?;
        let (kept, state) = (taken.kept_bytes, taken.hash);
        let blob = review::off_thread(move || {
            blob.settle(kept, state.as_deref())?;
            Ok(blob)
        })
        .await?;
        let check = piece.checked.map(|checked| {
            let hasher = Hasher::new(&[checked.algorithm]);
            (checked, hasher)
        });
        let (code, path, epoch) = (t.code, upload.path, taken.epoch);
        let writer =
            Writer { id, code, path, length, is_known, epoch, blob, start: kept, kept, check };
        Ok(Some(writer))
    }

    /// How long the file will be, or may, and whether that is known by now.
    async fn length(
        &self,
        unit: &mut Unit,
        t: &Transfer,
        upload: &StoredUpload,
        told: Option<u64>,
    ) -> Result<(u64, bool), AnyError> {
        if !upload.deferred {
            return match told.filter(|told| *told != upload.length_bytes) {
                None => Ok((upload.length_bytes, true)),
                Some(told) => {
                    let known = upload.length_bytes;
                    Err(Error::WrongLength { id: upload.id, known, told }.into())
                }
            };
        }
        let most = self.policy.uploads.max_bytes;
        let room = self.room(unit, t, Some(&upload.path)).await?;
        match told {
            None => Ok((most.min(room.left()), false)),
            Some(told) if told < upload.kept_bytes => {
                let known = upload.kept_bytes;
                Err(Error::WrongLength { id: upload.id, known, told }.into())
            }
            Some(told) if told > most => Err(Error::TooLong { limit: most }.into()),
            Some(told) => {
                room.hold(told)?;
                Ok((told, true))
            }
        }
    }

    /// Takes a piece in. What came of one that broke off is kept, unless it has a
    /// checksum; the last one makes the file part of the transfer, durably.
    ///
    /// Who calls this lets it come to its end: what came in is kept by its last steps.
    ///
    /// # Errors
    /// [`Error::Checksum`], [`Error::TooLong`], [`Error::Interrupted`], [`Error::Busy`]
    /// where another took over; with the last piece, as [`Service::add`].
    pub async fn append(
        &self,
        ctx: &Ctx,
        mut writer: Writer,
        mut source: impl Read + Send + 'static,
    ) -> Result<UploadView, AnyError> {
        loop {
            let (back, end) = review::off_thread(move || {
                let end = writer.stretch(&mut source)?;
                Ok(((writer, source), end))
            })
            .await?;
            (writer, source) = back;
            let is_checked = writer.check.is_some();
            match end {
                End::Paused if is_checked => {}
                End::Paused => self.keep(ctx, &mut writer).await?,
                End::Whole => break,
                End::Broken(source) => {
                    if !is_checked {
                        self.keep(ctx, &mut writer).await?;
                    }
                    return Err(Error::Interrupted { source }.into());
                }
            }
        }
        writer.check()?;
        let (code, id) = (writer.code.clone(), writer.id);
        if writer.is_known && writer.blob.end() == writer.length {
            self.finish(ctx, writer).await?;
        } else {
            self.keep(ctx, &mut writer).await?;
        }
        self.look_at_upload(ctx, &code, id).await
    }

    /// Moves the offset to what is durable.
    async fn keep(&self, ctx: &Ctx, writer: &mut Writer) -> Result<(), AnyError> {
        let end = writer.blob.end();
        if end == writer.kept {
            return Ok(());
        }
        reach("upload.flushed");
        let mut unit = self.store.begin(ctx).await?;
        if !writer.is_known {
            // Nothing was announced, and others may have filled the room since.
            sql::hold_transfer(unit.tx(), ctx.org, &writer.code).await?;
            let t = self.load(&mut unit, &writer.code).await?;
            self.room(&mut unit, &t, Some(&writer.path)).await?.hold(end)?;
        }
        let expires_at = unit.now() + self.policy.uploads.keep;
        let holder = (writer.id, writer.epoch);
        let state = (end, writer.blob.state());
        if sql::keep_upload(unit.tx(), holder, state, expires_at).await? == 0 {
            return Err(Error::Busy { id: writer.id }.into());
        }
        unit.commit(()).await?;
        writer.kept = end;
        reach("upload.kept");
        Ok(())
    }

    /// Makes the file part of its transfer. The offset does not say that all is there
    /// before this has happened: a client takes that for the end.
    async fn finish(&self, ctx: &Ctx, writer: Writer) -> Result<(), AnyError> {
        let (mut unit, mut t) = self.begin(ctx, &writer.code, Action::Upload).await?;
        let expires_at = unit.now() + self.policy.uploads.keep;
        let holder = (writer.id, writer.epoch);
        // Before the file is moved: whoever takes over now waits for this row.
        if sql::finish_upload(unit.tx(), holder, expires_at).await? == 0 {
            return Err(Error::Busy { id: writer.id }.into());
        }
        let file = UploadedFile {
            path: writer.path.clone(),
            blob: blob_name(writer.id),
            size_bytes: writer.length,
            sha256: writer.blob.digest(),
        };
        let data = self.put_in(&mut unit, &mut t, &[Upload::File(file)]).await?;
        self.done(unit, t, "transfer.files_added", data.0).await?;
        self.forget_blobs(&data.1);
        // Others are kept from it until it counts.
        drop(writer);
        reach("upload.finished");
        Ok(())
    }
}
