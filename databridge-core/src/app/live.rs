//! What happens, as it happens: sealed events by their positions, so that whoever
//! comes back with the last one missed nothing, and beside them how far work is.
//!
//! One keeper in a process reads for everybody who listens; a thousand listeners cost
//! the database what one does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tracing::warn;
use uuid::Uuid;

use super::{App, fields};
use crate::base::cancel::Cancel;
use crate::base::error::{Error, ErrorKind};
use crate::base::id::{JobId, OrgId};
use crate::control::ctx::Ctx;
use crate::control::identity::{MATRIX, Permission};
use crate::control::jobs::{self, JobView};
use crate::control::ledger::{self, Page};
use crate::domains::transfer::Standing;

/// How often events and progress are looked for while somebody listens, and else.
const LOOK: Duration = Duration::from_millis(250);
const IDLE: Duration = Duration::from_secs(1);
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(1);
/// Events kept at hand, and read at a time.
const KEPT: usize = 2048;
const BATCH: i64 = 500;
/// Jobs whose progress is told.
const MOVING: i64 = 1000;
/// Transfers whose owners are remembered.
const REMEMBERED: usize = 10_000;
/// A connection on which nothing happens shows that it lives.
const BEAT: Duration = Duration::from_secs(15);
/// For so long a listener is believed to be who they were.
const BELIEVED: Duration = Duration::from_secs(5);
/// Listeners that ask the store at a time: a thousand who are told of one event at once
/// leave its connections to those who wait for an answer.
const ASKING: usize = 2;
/// So long a listener waits, and is told nothing, for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a listener is told.
#[derive(Debug, Clone)]
pub enum Note {
    /// Something happened.
    Event(Arc<Page>),
    /// How far a job is: in no ledger, and gone when it is missed.
    Progress(JobView),
    /// Nothing.
    Beat,
}

/// What the keeper has read. `recent` is whole from after `since` to the head.
#[derive(Debug)]
pub(super) struct Live {
    recent: Mutex<Recent>,
    head: watch::Sender<i64>,
    moving: watch::Sender<Moving>,
    known: Mutex<HashMap<Uuid, Standing>>,
    asking: Semaphore,
}

/// The jobs in hand, and whose they are.
type Moving = Arc<Vec<(OrgId, JobView)>>;

#[derive(Debug)]
struct Recent {
    since: i64,
    events: VecDeque<Arc<Page>>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            recent: Mutex::new(Recent { since: i64::MAX, events: VecDeque::new() }),
            head: watch::Sender::new(-1),
            moving: watch::Sender::new(Arc::default()),
            known: Mutex::default(),
            asking: Semaphore::new(ASKING),
        }
    }
}

impl Live {
    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, events: Vec<Page>, head: i64) {
        let mut recent = self.recent();
        recent.events.extend(events.into_iter().map(Arc::new));
        while recent.events.len() > KEPT {
            if let Some(gone) = recent.events.pop_front() {
                recent.since = gone.position;
            }
        }
        drop(recent);
        self.head.send_replace(head);
    }

    fn known(&self, id: Uuid) -> Option<Standing> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn remember(&self, id: Uuid, standing: &Standing) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(id, standing.clone());
    }

    /// Events after `at`, where they are at hand.
    fn after(&self, at: i64) -> Option<Vec<Arc<Page>>> {
        let recent = self.recent();
        let from = recent.events.partition_point(|page| page.position <= at);
        (at >= recent.since).then(|| recent.events.range(from..).cloned().collect())
    }
}

impl App {
    /// Reads for everybody who listens.
    pub(super) async fn keep_live(&self, stop: &Cancel) {
        let mut changes = self.store.changes();
        let mut at = None;
        let mut told = Instant::now();
        while !stop.is_cancelled() {
            if let Err(error) = self.look_at_events(&mut at).await {
                warn!(error = error.chain(), "events could not be read for those who listen");
                tokio::time::sleep(IDLE).await;
            }
            let heard = self.live.moving.receiver_count() > 0;
            if heard && told.elapsed() >= PROGRESS {
                told = Instant::now();
                if let Ok(jobs) = self.moving().await {
                    self.live.moving.send_replace(Arc::new(jobs));
                }
            }
            let pause = if heard { LOOK } else { IDLE };
            let _ = tokio::time::timeout(pause, changes.changed()).await;
        }
    }

    async fn look_at_events(&self, at: &mut Option<i64>) -> Result<(), Error> {
        let mut tx = self.store.db().read().await?;
        let head = i64::try_from(ledger::size(&mut tx).await?).unwrap_or(i64::MAX) - 1;
        let from = *at.get_or_insert_with(|| {
            self.live.recent().since = head;
            head
        });
        if head > from || *self.live.head.borrow() < head {
            let events = ledger::since(&mut tx, from, BATCH).await?;
            // A full page may not be all there is.
            let read = match events.last() {
                Some(last) if events.len() as i64 == BATCH => last.position,
                _ => head,
            };
            self.live.tell(events, read);
            *at = Some(read);
        }
        Ok(())
    }

    async fn moving(&self) -> Result<Vec<(OrgId, JobView)>, Error> {
        let mut tx = self.store.db().read().await?;
        Ok(jobs::in_hand(&mut tx, MOVING).await?)
    }

    /// Listens to one transfer, or to all that the caller may see, after a position;
    /// without one from now on. `bearer` is asked again whether it still holds.
    ///
    /// # Errors
    /// [`crate::domains::transfer::Error::NotFound`].
    pub async fn listen(
        &self,
        ctx: Ctx,
        bearer: String,
        code: Option<&str>,
        after: Option<i64>,
    ) -> Result<Listener, Error> {
        ctx.within_scope(if code.is_some() { "transfers" } else { "activity" }, false)?;
        fields::check(&serde_json::json!({ "code": code }))?;
        let transfer = match code {
            None => None,
            Some(code) => Some(self.transfers.standing(&ctx, code).await?.id),
        };
        let (head, moving) = (self.live.head.subscribe(), self.live.moving.subscribe());
        let at = match after {
            Some(after) => after,
            None => {
                let mut tx = self.store.db().read().await?;
                i64::try_from(ledger::size(&mut tx).await?).unwrap_or(i64::MAX) - 1
            }
        };
        Ok(Listener {
            app: self.clone(),
            ctx,
            bearer,
            believed: Some(Instant::now()),
            transfer,
            at,
            head,
            moving,
            ready: VecDeque::new(),
            shown: BTreeMap::new(),
        })
    }
}

/// Somebody who listens.
#[derive(Debug)]
pub struct Listener {
    app: App,
    ctx: Ctx,
    bearer: String,
    believed: Option<Instant>,
    /// Only this one.
    transfer: Option<Uuid>,
    /// Told up to here.
    at: i64,
    head: watch::Receiver<i64>,
    moving: watch::Receiver<Moving>,
    ready: VecDeque<Note>,
    /// The progress of each job, as it was told.
    shown: BTreeMap<JobId, Value>,
}

impl Listener {
    /// Waits for what is next.
    ///
    /// # Errors
    /// [`crate::control::identity::Error::BadToken`] where the listener's session has
    /// ended; those of the store.
    pub async fn next(&mut self) -> Result<Note, Error> {
        let beat = Instant::now() + BEAT;
        loop {
            if let Some(note) = self.ready.pop_front() {
                self.believe().await?;
                return Ok(note);
            }
            let head = *self.head.borrow_and_update();
            if head > self.at {
                self.catch_up(head).await?;
                continue;
            }
            let left = beat.saturating_duration_since(Instant::now());
            tokio::select! {
                _ = self.head.changed() => {}
                _ = self.moving.changed() => self.look_at_progress().await?,
                () = tokio::time::sleep(left) => {
                    self.believe().await?;
                    return Ok(Note::Beat);
                }
            }
        }
    }

    /// Who was let in may have been let go since, or moved.
    async fn believe(&mut self) -> Result<(), Error> {
        let end = Instant::now() + PATIENCE;
        while self.believed.is_none_or(|at| at.elapsed() >= BELIEVED) {
            let asked = {
                let _turn = self.app.live.asking.acquire().await;
                self.app.authenticate(&self.bearer).await
            };
            match asked {
                Ok(ctx) => {
                    self.ctx = ctx;
                    self.believed = Some(Instant::now());
                }
                Err(error) if error.kind() == ErrorKind::Unavailable && Instant::now() < end => {
                    tokio::time::sleep(IDLE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn catch_up(&mut self, head: i64) -> Result<(), Error> {
        let events = match self.app.live.after(self.at) {
            Some(events) => {
                self.at = events.last().map_or(head, |last| last.position.max(head));
                events
            }
            None => {
                let _turn = self.app.live.asking.acquire().await;
                let mut tx = self.app.store.db().read().await?;
                let (org, at) = (self.ctx.org, self.at);
                let events = ledger::history(&mut tx, org, self.transfer, at, BATCH).await?;
                self.at = match events.last() {
                    Some(last) if events.len() as i64 == BATCH => last.position,
                    // What came since the head was told, it will tell again.
                    Some(last) => last.position.max(head),
                    None => head,
                };
                events.into_iter().map(Arc::new).collect()
            }
        };
        for page in events {
            if page.event.org != self.ctx.org {
                continue;
            }
            let subject = &page.event.subject;
            if subject.id == self.ctx.actor.user_id.0 {
                // It may be that they were let go, or lost a role: they are told no more, not
                // even of what was read with this, before that is known.
                self.believed = None;
                self.believe().await?;
            }
            if self.sees(&subject.kind, subject.id).await? {
                self.ready.push_back(Note::Event(page));
            }
        }
        Ok(())
    }

    async fn look_at_progress(&mut self) -> Result<(), Error> {
        let moving = self.moving.borrow_and_update().clone();
        self.shown.retain(|id, _| moving.iter().any(|(_, job)| job.id == *id));
        for (_, job) in moving.iter().filter(|(org, _)| *org == self.ctx.org) {
            let Some(progress) = job.progress.clone() else { continue };
            if self.shown.get(&job.id) != Some(&progress)
                && self.sees("transfer", job.subject_id).await?
            {
                self.shown.insert(job.id, progress);
                self.ready.push_back(Note::Progress(job.clone()));
            }
        }
        Ok(())
    }

    async fn sees(&self, kind: &str, id: Uuid) -> Result<bool, Error> {
        if self.transfer.is_some_and(|only| only != id) {
            return Ok(false);
        }
        if self.ctx.may(MATRIX, Permission::ReadLedger, None) {
            return Ok(true);
        }
        match kind {
            "user" => Ok(id == self.ctx.actor.user_id.0),
            "transfer" => {
                let standing = self.standing(id).await?;
                Ok(standing.is_some_and(|standing| standing.is_visible(&self.ctx)))
            }
            _ => Ok(false),
        }
    }

    async fn standing(&self, id: Uuid) -> Result<Option<Standing>, Error> {
        let live = &self.app.live;
        if let Some(known) = live.known(id) {
            return Ok(Some(known));
        }
        // Whoever waited for their turn finds what the one before them read.
        let _turn = live.asking.acquire().await;
        if let Some(known) = live.known(id) {
            return Ok(Some(known));
        }
        let read = self.app.transfers.standing_of(self.ctx.org, id).await?;
        if let Some(standing) = &read {
            live.remember(id, standing);
        }
        Ok(read)
    }
}
