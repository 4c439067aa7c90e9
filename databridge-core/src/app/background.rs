//! What runs beside the answers: workers, the sealer, the keeper of checkpoints.

use std::time::{Duration, Instant, SystemTime};

use tracing::warn;

use super::App;
use crate::base::cancel::Cancel;
use crate::base::error::Error;
use crate::base::id::OrgId;
use crate::control::commands::Store;
use crate::control::db::dialect::Dialect;
use crate::control::jobs::hosts::{self, Host};
use crate::control::{identity, inbox, ledger, recovery};

/// How often the ledger is looked after where nothing tells of a change.
const TICK: Duration = Duration::from_millis(500);
/// How often old checkpoints are looked for.
const THIN: Duration = Duration::from_secs(60);
/// Keepers beside the workers.
pub(super) const KEEPERS: usize = 4;

/// What this process did for the ledger.
#[derive(Debug, Default)]
pub(super) struct Kept {
    size: Option<u64>,
    thinned: Option<Instant>,
}

/// Tells the other hosts of this one until it is asked to end, and then that it was.
async fn tell_of(store: &Store, host: &Host, stop: &Cancel) {
    let mut told: Option<Instant> = None;
    loop {
        let draining = stop.is_cancelled();
        if draining || told.is_none_or(|at| at.elapsed() > hosts::BEAT) {
            told = Some(Instant::now());
            if let Err(error) = host.beat(store, draining).await {
                warn!(error = error.chain(), "the others could not be told of this host");
            }
        }
        if draining {
            return;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Keeps the failure of one organisation for whoever asked, and tells of the one before it:
/// the others do not wait.
pub(super) fn go_on(failed: &mut Option<Error>, done: Result<(), Error>) {
    if let Some(before) = done.err().and_then(|error| failed.replace(error)) {
        warn!(error = before.chain(), "what is done for every organisation failed for one");
    }
}

impl App {
    /// Works jobs and looks after the ledger until `stop` is raised; jobs in hand
    /// are put back.
    pub async fn run(&self, stop: &Cancel) {
        let mut tasks = tokio::task::JoinSet::new();
        let host = self.host();
        tasks.spawn({
            let (store, host, stop) = (self.store.clone(), host.clone(), stop.clone());
            async move { tell_of(&store, &host, &stop).await }
        });
        // What takes its time and hurries nobody has workers of its own, so that it never
        // stands in a delivery's way.
        let chores = (self.config.workers() > 0).then(|| self.chores());
        let chores = chores.into_iter().flatten();
        for worker in (0..self.config.workers()).map(|_| self.worker()).chain(chores) {
            let (stop, hand) = (stop.clone(), self.crew.sign_on());
            tasks.spawn(async move {
                worker.run(&stop).await;
                drop(hand);
            });
        }
        tasks.spawn({
            let (app, stop, hand) = (self.clone(), stop.clone(), self.crew.sign_on());
            async move {
                app.keep_ledger(&stop).await;
                drop(hand);
            }
        });
        tasks.spawn({
            let (app, stop, hand) = (self.clone(), stop.clone(), self.crew.sign_on());
            async move {
                app.keep_lineage(&stop).await;
                drop(hand);
            }
        });
        tasks.spawn({
            let (app, stop, hand) = (self.clone(), stop.clone(), self.crew.sign_on());
            async move {
                app.keep_live(&stop).await;
                drop(hand);
            }
        });
        let (app, stop, hand) = (self.clone(), stop.clone(), self.crew.sign_on());
        tasks.spawn(async move {
            app.keep_house(&stop).await;
            drop(hand);
        });
        while tasks.join_next().await.is_some() {}
        if let Err(error) = host.leave(&self.store).await {
            warn!(error = error.chain(), "the others could not be told that this host ends");
        }
    }

    fn host(&self) -> Host {
        Host {
            instance: self.instance,
            name: self.config.host(),
            role: self.config.role.to_string(),
            can: self.config.can.clone(),
            workers: i64::try_from(self.config.workers()).unwrap_or(i64::MAX),
        }
    }

    /// Lets the domains learn, from sealed events, what the others did.
    async fn keep_lineage(&self, stop: &Cancel) {
        let mut changes = self.store.changes();
        while !stop.is_cancelled() {
            if let Err(error) = self.follow().await {
                warn!(error = error.chain(), "deliveries could not be followed, or nobody told");
            }
            let _ = tokio::time::timeout(TICK, changes.changed()).await;
        }
    }

    /// Catches up with what happened since it last looked.
    ///
    /// # Errors
    /// Of the store; the others were caught up with all the same where it failed for one
    /// organisation.
    pub async fn follow(&self) -> Result<(), Error> {
        let mut failed = None;
        for org in self.organisations().await? {
            go_on(&mut failed, self.follow_one(org).await);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn follow_one(&self, org: OrgId) -> Result<(), Error> {
        while self.lineage.follow_deliveries(org).await? > 0 {}
        while inbox::follow(&self.store, org, &[&self.transfers]).await? > 0 {}
        Ok(())
    }

    pub(super) async fn organisations(&self) -> Result<Vec<OrgId>, Error> {
        let mut tx = self.store.db().read().await?;
        Ok(identity::organisations(&mut tx).await?)
    }

    /// Goes before its jobs let go of it: they are anybody's from now on. Answers how many.
    ///
    /// # Errors
    /// Of the store.
    pub async fn hand_back(&self) -> Result<u64, Error> {
        self.host().hand_back(&self.store).await
    }

    async fn keep_ledger(&self, stop: &Cancel) {
        let mut changes = self.store.changes();
        let mut kept = Kept::default();
        if let Err(error) = self.lay_checkpoints_aside().await {
            warn!(error = error.chain(), "checkpoints from before a restore may stand");
        }
        while !stop.is_cancelled() {
            if let Err(error) = self.look_after_ledger(&mut kept).await {
                warn!(error = error.chain(), "the ledger could not be looked after");
            }
            // At most so often: a checkpoint a second is enough for anybody.
            tokio::time::sleep(TICK / 2).await;
            let _ = tokio::time::timeout(TICK, changes.changed()).await;
        }
        if let Err(error) = self.look_after_ledger(&mut kept).await {
            warn!(error = error.chain(), "the last checkpoint could not be kept");
        }
    }

    /// Seals what waits, and keeps a checkpoint outside the database where events
    /// came since the last.
    pub(super) async fn look_after_ledger(&self, kept: &mut Kept) -> Result<(), Error> {
        self.seal().await?;
        let (size, note) = self.checkpoint().await?;
        if size > 0 && kept.size != Some(size) {
            let is_due = kept.thinned.is_none_or(|at| at.elapsed() > THIN);
            let folder = self.config.checkpoints();
            let keep = move || {
                ledger::keep(&folder, size, &note)?;
                if is_due { ledger::thin(&folder, SystemTime::now()) } else { Ok(0) }
            };
            tokio::task::spawn_blocking(keep)
                .await
                .map_err(|e| ledger::Error::Checkpoint(e.to_string()))??;
            kept.size = Some(size);
            kept.thinned = if is_due { Some(Instant::now()) } else { kept.thinned };
        }
        Ok(())
    }

    async fn seal(&self) -> Result<(), Error> {
        if self.store.db().dialect() == Dialect::Postgres {
            while self.store.seal().await? > 0 {}
        }
        Ok(())
    }

    /// A store is put back by one host, and each of the others has checkpoints of what was
    /// undone by that.
    async fn lay_checkpoints_aside(&self) -> Result<(), Error> {
        self.seal().await?;
        let wanted = ledger::Filter {
            // By this it is found without reading the ledger, which waits to be looked after.
            subject: Some(recovery::SUBJECT.into()),
            kind: Some("store.restored".into()),
            ..Default::default()
        };
        let mut tx = self.store.db().read().await?;
        let restores = ledger::search(&mut tx, self.org, &wanted, -1, 1000).await?;
        drop(tx);
        let folder = self.config.checkpoints();
        for event in restores.into_iter().map(|page| page.event) {
            let Some(events) = event.data["events"].as_u64() else { continue };
            let many = ledger::lay_aside(&folder, events, event.at)?;
            if many > 0 {
                warn!(many, restored_at = %event.at, "checkpoints from before a restore were laid aside");
            }
        }
        Ok(())
    }
}
