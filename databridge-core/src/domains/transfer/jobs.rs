//! The work behind the steps. Each job is one stage of one transfer; what it does
//! can be done twice, and what it changes is committed together with its end.

mod journal;
mod prepare;
mod recall;
mod scan;
mod take_in;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::proof;
use super::review::off_thread;
use super::sql::StoredFile;
use super::state::{Action, State, work};
use super::types::{RevisionView, Transfer};
use super::{Error, Service, sql};
use crate::base::error::{Error as AnyError, ErrorKind, Fault};
use crate::base::steps::reach;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::control::jobs::{Capability, Fenced, Handler, HandlerFuture, Lease, Watch};
use crate::media::copy;
use crate::media::delivery::{Delivery, Method};
use crate::media::freeze::{self, Part};
use crate::media::manifest::Manifest;
use crate::media::monitor::Phase;
use crate::media::storage::Location;
use crate::media::walk::Kind;

const KINDS: &[&str] = &[
    work::TAKE_IN,
    work::FREEZE,
    work::SCAN,
    work::PREPARE,
    work::COPY,
    work::VERIFY,
    work::ABORT,
    work::RECALL,
    work::TIDY,
];

impl Handler for Service {
    fn kinds(&self) -> &'static [&'static str] {
        // A host that names no root has none of these mounts.
        if self.policy.uploads.roots.is_empty() { &KINDS[1..] } else { KINDS }
    }

    fn bulk(&self) -> &'static [&'static str] {
        &[work::COPY, work::VERIFY]
    }

    fn needs(&self, kind: &str) -> &'static [Capability] {
        match kind {
            work::SCAN => &[Capability::Staging, Capability::Scan],
            work::PREPARE | work::COPY | work::VERIFY => match self.way() {
                Way::Native => &[Capability::Staging, Capability::Production],
                Way::Rsync => &[Capability::Staging, Capability::Production, Capability::Rsync],
                Way::Object => {
                    &[Capability::Staging, Capability::Production, Capability::ObjectStore]
                }
            },
            work::ABORT | work::RECALL => match self.way() {
                Way::Object => &[Capability::Production, Capability::ObjectStore],
                _ => &[Capability::Production],
            },
            _ => &[Capability::Staging],
        }
    }

    fn passes(&self, kind: &str) -> &'static [Phase] {
        match kind {
            // One delivery in two jobs: its end is told over both.
            work::COPY | work::VERIFY => &[Phase::Copy, Phase::ReadBack],
            _ => &[],
        }
    }

    fn run<'a>(&'a self, lease: &'a Lease, watch: &'a Watch) -> HandlerFuture<'a> {
        Box::pin(async move {
            let job = Job { service: self, lease, watch };
            // Each by itself: together they would be as large as the largest, on the stack
            // of whoever asks.
            let work: HandlerFuture<'_> = match lease.kind.as_str() {
                work::TAKE_IN => Box::pin(job.take_in()),
                work::FREEZE => Box::pin(job.freeze()),
                work::SCAN => Box::pin(job.scan()),
                work::PREPARE => Box::pin(job.prepare()),
                work::COPY => Box::pin(job.copy()),
                work::VERIFY => Box::pin(job.verify()),
                work::ABORT => Box::pin(job.abort()),
                work::RECALL => Box::pin(job.recall()),
                work::TIDY => Box::pin(job.tidy()),
                _ => return Err(Fenced { job: lease.job }.into()),
            };
            work.await
        })
    }

    fn give_up<'a>(&'a self, lease: &'a Lease, error: &'a AnyError) -> HandlerFuture<'a> {
        Box::pin(async move {
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            let is_extra = lease.kind == work::TAKE_IN;
            if let Some(mut t) = sql::by_id(unit.tx(), lease.org, lease.subject_id).await?
                && lease.kind != work::TIDY
                // What was to be added is not: the transfer stays where it is.
                && (is_extra || self.step(&mut unit, &mut t, Action::Fail).await.is_ok())
            {
                let mut failure = json!({
                    "code": error.code(), "kind": error.kind(), "message": error.chain(),
                    "hint": error.hint(),
                });
                if is_extra {
                    // Whose it is, so that what else is added does not speak of it.
                    failure["from"] = lease.payload["from"].clone();
                }
                if let Some(Error::InsufficientSpace { needed_bytes, free_bytes, .. }) =
                    error.downcast_ref()
                {
                    failure["needed_bytes"] = (*needed_bytes).into();
                    failure["free_bytes"] = (*free_bytes).into();
                }
                t.failure = Some(failure.clone());
                let kind = if is_extra { "transfer.add_failed" } else { "transfer.step_failed" };
                self.save(&mut unit, &mut t, kind, failure).await?;
            }
            unit.bury(lease, &error.chain()).await?;
            unit.commit(()).await
        })
    }
}

/// By what production is filled.
enum Way {
    Native,
    Rsync,
    Object,
}

impl Service {
    fn way(&self) -> Way {
        match (&self.places.production, self.policy.methods.folders) {
            (Location::Object(_), _) => Way::Object,
            (_, Method::Rsync) => Way::Rsync,
            _ => Way::Native,
        }
    }
}

/// One piece of work in hand.
struct Job<'a> {
    service: &'a Service,
    lease: &'a Lease,
    watch: &'a Watch,
}

impl Job<'_> {
    fn ctx(&self) -> Ctx {
        Ctx::system(self.lease.org)
    }

    /// The transfer, if it still waits for this work; a job that was overtaken is
    /// simply done.
    async fn subject(&self, state: State) -> Result<Option<Transfer>, AnyError> {
        let mut tx = self.service.store.db().read().await?;
        let t = sql::by_id(&mut tx, self.lease.org, self.lease.subject_id).await?;
        drop(tx);
        match t.filter(|t| t.state == state) {
            Some(t) => Ok(Some(t)),
            None => {
                let mut unit = self.service.store.begin(&self.ctx()).await?;
                unit.finish(self.lease).await?;
                unit.commit(()).await?;
                Ok(None)
            }
        }
    }

    async fn rows(&self, t: &Transfer) -> Result<Vec<StoredFile>, AnyError> {
        let mut tx = self.service.store.db().read().await?;
        Ok(sql::files(&mut tx, t.id, t.revision).await?)
    }

    async fn manifest(&self, t: &Transfer) -> Result<Manifest, AnyError> {
        let rows = self.rows(t).await?;
        Ok(Manifest::from_entries(rows.iter().map(StoredFile::entry).collect())?)
    }

    /// What is not as it was frozen, by name: a cheap look that reads no file.
    async fn changes(&self, t: &Transfer) -> Result<Vec<String>, AnyError> {
        let root = self.service.places.frozen(&t.code, t.revision);
        let facts: Vec<_> = self.rows(t).await?.into_iter().filter_map(|row| row.fact).collect();
        off_thread(move || {
            Ok(freeze::changes(&root, &facts)?.iter().map(ToString::to_string).collect())
        })
        .await
    }

    /// Takes the step that ends this job, in one transaction with it.
    async fn end(&self, t: &Transfer, action: Action) -> Result<(Unit, Transfer), AnyError> {
        let (mut unit, mut t) = self.service.begin(&self.ctx(), &t.code, action).await?;
        self.service.step(&mut unit, &mut t, action).await?;
        unit.finish(self.lease).await?;
        Ok((unit, t))
    }

    async fn save(
        &self,
        mut unit: Unit,
        mut t: Transfer,
        kind: &str,
        data: serde_json::Value,
    ) -> Result<(), AnyError> {
        self.service.save(&mut unit, &mut t, kind, data).await?;
        unit.commit(()).await
    }

    /// Copies the uploads, and what the last revision had already, into the frozen
    /// tree; from then on only that tree is read.
    async fn freeze(&self) -> Result<(), AnyError> {
        let Some(t) = self.subject(State::Submitting).await? else { return Ok(()) };
        let mut rows = self.rows(&t).await?;
        let parts = self.parts(&t, &rows)?;
        let dest = self.service.places.frozen(&t.code, t.revision);
        super::drafting::private_dir(&self.service.places.staging_of(&t.code))?;
        let watch = self.watch.clone();
        let frozen = off_thread(move || Ok(freeze::tree(&parts, &dest, &watch)?)).await?;
        for (row, fact) in rows.iter_mut().zip(frozen.facts) {
            debug_assert_eq!(row.path, fact.path);
            row.blob = None;
            row.fact = Some(fact);
        }
        let digest = frozen.manifest.digest();
        reach("freeze.before_commit");
        let (mut unit, mut t) = self.end(&t, Action::Frozen).await?;
        t.manifest_digest = Some(digest);
        t.stage = 0;
        t.reason = None;
        sql::delete_files(unit.tx(), t.id, t.revision).await?;
        sql::insert_files(unit.tx(), t.id, t.revision, &rows).await?;
        let view = RevisionView {
            revision: t.revision,
            manifest_digest: digest.to_string(),
            file_count: frozen.manifest.file_count(),
            total_bytes: frozen.manifest.total_bytes(),
            frozen_at: unit.now(),
        };
        sql::insert_revision(unit.tx(), t.id, &view).await?;
        let data = json!({
            "manifest_digest": view.manifest_digest, "path": t.path, "file_count": view.file_count,
            "total_bytes": view.total_bytes, "carried": rows.iter().filter(|r| r.carried.is_some()).count(),
        });
        self.save(unit, t, "transfer.frozen", data).await
    }

    fn parts(&self, t: &Transfer, rows: &[StoredFile]) -> Result<Vec<Part>, AnyError> {
        let places = &self.service.places;
        rows.iter()
            .map(|row| {
                let (root, from) = match (&row.blob, row.carried) {
                    (Some(blob), _) => {
                        let from = crate::media::storage::RelPath::parse(blob)?;
                        (places.incoming(&t.code, t.revision), from)
                    }
                    (None, Some(revision)) => (places.frozen(&t.code, revision), row.path.clone()),
                    // An empty folder comes from nowhere.
                    (None, None) => (places.staging_of(&t.code), row.path.clone()),
                };
                Ok(Part {
                    root,
                    from,
                    path: row.path.clone(),
                    kind: if row.sha256.is_some() { Kind::File } else { Kind::EmptyDir },
                    expect: row.sha256.map(|sha256| (row.size_bytes, sha256)),
                })
            })
            .collect()
    }

    /// Removes from staging what no revision needs any more, and from production
    /// what only served the way there.
    async fn tidy(&self) -> Result<(), AnyError> {
        let service = self.service;
        let mut tx = service.store.db().read().await?;
        let t = sql::by_id(&mut tx, self.lease.org, self.lease.subject_id).await?;
        drop(tx);
        let over = t.as_ref().is_some_and(|t| t.state.is_over());
        if let Some(t) = t {
            if t.state == State::Delivered {
                let (_, delivery) = self.delivery(&t).await?;
                off_thread(move || {
                    let _ = delivery.proof().fence()?;
                    Ok(delivery.finish()?)
                })
                .await?;
            }
            let frozen = self.lease.payload["revision"].as_i64().unwrap_or(0);
            let doomed: Vec<PathBuf> = if t.state == State::Cancelled {
                vec![service.places.staging_of(&t.code)]
            } else {
                (1..=frozen)
                    .map(|r| service.places.incoming(&t.code, r))
                    .chain((1..frozen).map(|r| service.places.frozen(&t.code, r)))
                    .collect()
            };
            off_thread(move || doomed.iter().try_for_each(|path| remove(path))).await?;
        }
        let mut unit = service.store.begin(&self.ctx()).await?;
        if over {
            sql::forget_scanned(unit.tx(), self.lease.subject_id).await?;
        }
        unit.finish(self.lease).await?;
        unit.commit(()).await
    }

    /// Takes a cancelled transfer out of production: first its partial folder is
    /// moved out of every worker's reach, then it is deleted. What was published
    /// before that stays, and the cancel came too late.
    async fn abort(&self) -> Result<(), AnyError> {
        let Some(t) = self.subject(State::Cancelling).await? else { return Ok(()) };
        let (_, delivery) = self.delivery(&t).await?;
        let aborted = self.undo(&t, delivery).await?;
        reach("abort.before_commit");
        let (action, kind) = match aborted {
            copy::Aborted::Removed => (Action::Aborted, "transfer.cancel_completed"),
            copy::Aborted::AlreadyPublished => (Action::TooLate, "transfer.cancel_too_late"),
        };
        let (unit, t) = self.end(&t, action).await?;
        self.save(unit, t, kind, json!({})).await
    }

    /// Takes payload and proof out of production, unless the payload is published.
    async fn undo(
        &self,
        t: &Transfer,
        delivery: Arc<dyn Delivery>,
    ) -> Result<copy::Aborted, AnyError> {
        let ours = self.proof_key(t);
        off_thread(move || {
            let aborted = delivery.abort()?;
            if aborted == copy::Aborted::Removed {
                proof::withdraw(&*delivery.proof(), &ours)?;
            }
            Ok(aborted)
        })
        .await
    }
}

/// Removes a folder and all in it, so that no power cut brings it back after the job that
/// removed it is done; that it is gone already is no error.
fn remove(path: &Path) -> Result<(), AnyError> {
    let parent = path.parent().unwrap_or(path);
    let removed =
        std::fs::remove_dir_all(path).and_then(|()| std::fs::File::open(parent)?.sync_all());
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { path: path.display().to_string(), source: error }.into())
        }
        _ => Ok(()),
    }
}

/// A copy that another worker has taken over ends like any lost lease; one that would not
/// fit was not begun.
fn fenced(lease: &Lease, error: copy::Error) -> AnyError {
    match error {
        copy::Error::Fenced { .. } => Fenced { job: lease.job }.into(),
        copy::Error::NoSpace {
            path,
            needed_bytes: Some(needed_bytes),
            free_bytes: Some(free_bytes),
            reserve_bytes,
        } => {
            let place = path.display().to_string();
            Error::InsufficientSpace { place, needed_bytes, free_bytes, reserve_bytes }.into()
        }
        other if other.kind() == ErrorKind::Cancelled => Error::Stopped.into(),
        other => other.into(),
    }
}
