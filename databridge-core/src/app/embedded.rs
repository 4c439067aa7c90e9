//! What an embedded store does that a daemon does by itself: work its own jobs.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{App, Call};
use crate::base::cancel::Cancel;
use crate::base::error::Error;
use crate::control::ctx::Ctx;
use crate::media::monitor::Monitor;

/// Another process may have the job: its end is looked for so often.
const LOOK: Duration = Duration::from_millis(200);

impl App {
    /// Adds a file or a folder that this process can read; a folder's content, not
    /// the folder itself.
    ///
    /// # Errors
    /// What the walk refuses, by name; as [`crate::domains::transfer::Service::add`].
    pub async fn add(
        &self,
        ctx: &Ctx,
        code: &str,
        source: &Path,
        monitor: impl Monitor + Send + 'static,
    ) -> Result<Value, Error> {
        self.transfers.may_upload(ctx, code).await?;
        let (service, source) = (self.transfers.clone(), source.to_owned());
        let uploads = tokio::task::spawn_blocking(move || service.receive_tree(&source, &monitor))
            .await
            .map_err(|e| crate::domains::transfer::Error::Io {
                path: "a worker thread".into(),
                source: std::io::Error::other(e),
            })??;
        let view = self.transfers.add(ctx, code, uploads).await?;
        Ok(serde_json::to_value(view).unwrap_or_default())
    }

    /// Works until the transfer waits for a person or is at its end; answers
    /// everything about it. Other processes may do the work.
    ///
    /// # Errors
    /// Of the store; a step that fails is a state, not an error.
    pub async fn settle(
        &self,
        ctx: &Ctx,
        code: &str,
        timeout: Duration,
        stop: &Cancel,
    ) -> Result<Value, Error> {
        let worker = self.worker();
        let deadline = Instant::now() + timeout;
        let mut changes = self.store.changes();
        let mut kept = super::background::Kept::default();
        while !self.transfers.settled(ctx, code).await?.0 {
            if stop.is_cancelled() || Instant::now() >= deadline {
                return Err(crate::domains::transfer::Error::Stopped.into());
            }
            if !worker.step(stop).await? {
                let _ = tokio::time::timeout(LOOK, changes.changed()).await;
            }
        }
        // Small work that nobody waits for, such as tidying up.
        while worker.step(stop).await? {}
        for chores in self.chores() {
            while chores.step(stop).await? {}
        }
        self.look_after_ledger(&mut kept).await?;
        self.follow().await?;
        self.call(ctx, Call::TransferShow(super::call::Code { code: code.to_owned() }), None).await
    }
}
