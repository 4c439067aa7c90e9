//! Whether this process can work: for load balancers and whoever restarts things.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{App, Health};
use crate::base::error::Error;
use crate::control::ledger;
use crate::control::looks::{self, PATIENCE};
use crate::media::storage::Space;

/// An event that has waited longer for its position is nobody's any more.
const UNSEALED: Duration = Duration::from_secs(60);

/// One thing that must be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// `database`, `ledger`, `disk`, `workers`.
    pub name: String,
    /// Whether it is.
    pub ok: bool,
    /// What was found. No address, no path: anybody may ask.
    pub detail: String,
}

/// Whether the daemon can work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Readiness {
    /// All checks.
    pub ready: bool,
    /// Each.
    pub checks: Vec<Check>,
}

/// Counts what runs beside the answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Crew(Arc<AtomicUsize>);

/// One that runs; it counts until it is dropped, by a panic too.
pub(super) struct Hand(Crew);

impl Crew {
    pub fn sign_on(&self) -> Hand {
        self.0.fetch_add(1, Ordering::SeqCst);
        Hand(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Free and all bytes of the file system that has `path`.
pub(super) fn space(path: &Path) -> std::io::Result<(u64, u64)> {
    let found = Space::of(path)?;
    Ok((found.free_bytes, found.size_bytes))
}

impl App {
    /// That the process lives.
    pub fn health(&self) -> Health {
        Health { status: "ok".into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    /// Looks at everything that work takes.
    pub async fn readiness(&self) -> Readiness {
        let checks = vec![
            self.check("database", PATIENCE, self.look_at_database()).await,
            self.check("ledger", PATIENCE, self.look_at_ledger()).await,
            // Each mount is given as long, and which of them does not answer is told.
            self.check("disk", PATIENCE * 2, self.look_at_disk()).await,
            self.look_at_crew(),
        ];
        Readiness { ready: checks.iter().all(|check| check.ok), checks }
    }

    async fn check(
        &self,
        name: &str,
        patience: Duration,
        look: impl Future<Output = Result<String, String>>,
    ) -> Check {
        let found = tokio::time::timeout(patience, look).await;
        let (ok, detail) = match found {
            Ok(Ok(detail)) => (true, detail),
            Ok(Err(detail)) => (false, detail),
            Err(_) => (false, "it does not answer".into()),
        };
        Check { name: name.into(), ok, detail }
    }

    async fn look_at_database(&self) -> Result<String, String> {
        let mut tx = self.store.db().read().await.map_err(|e| e.to_string())?;
        tx.now().await.map_err(|e| e.to_string())?;
        Ok("it answers".into())
    }

    async fn look_at_ledger(&self) -> Result<String, String> {
        let (size, waiting) = self.unsealed().await.map_err(|e| e.to_string())?;
        match waiting {
            Some(age) if age > UNSEALED => {
                Err(format!("an event has waited {} s for its position", age.as_secs()))
            }
            _ => Ok(format!("{size} events")),
        }
    }

    /// Events that are sealed, and how long the oldest has waited that is not.
    pub(super) async fn unsealed(&self) -> Result<(u64, Option<Duration>), Error> {
        let mut tx = self.store.db().read().await?;
        let now = tx.now().await?;
        let waiting = ledger::oldest_pending(&mut tx).await?;
        Ok((ledger::size(&mut tx).await?, waiting.map(|at| now.since(at))))
    }

    async fn look_at_disk(&self) -> Result<String, String> {
        let least = self.config.min_free_bytes;
        for (name, path) in self.roots() {
            let look = looks::at(&path.clone(), move || space(&path)).await;
            let (free, _) = look
                .ok_or_else(|| format!("{name} does not answer"))?
                .map_err(|e| format!("{name} cannot be looked at: {}", e.kind()))?;
            if free < least {
                return Err(format!("{name} has {free} bytes left, less than {least}"));
            }
        }
        // What is told free may be a quota's or a read-only mount's.
        let probe = self.config.data.join(".ready");
        let write =
            move || std::fs::write(&probe, [0; 4096]).and_then(|()| std::fs::remove_file(&probe));
        looks::at(&self.config.data, write)
            .await
            .ok_or("data does not answer")?
            .map_err(|e| format!("data cannot be written: {}", e.kind()))?;
        Ok("there is room".to_owned())
    }

    /// The file systems that work takes, by the names that people know them by.
    pub(super) fn roots(&self) -> Vec<(&'static str, PathBuf)> {
        let places = self.config.places();
        let mut roots = vec![("data", self.config.data.clone()), ("staging", places.staging)];
        roots.extend(places.production.as_path().map(|path| ("production", path.to_owned())));
        roots
    }

    fn look_at_crew(&self) -> Check {
        let workers = self.config.workers();
        let chores = if workers > 0 { super::CHORES } else { 0 };
        let due = workers + chores + super::background::KEEPERS;
        let found = self.crew.count();
        let detail = format!("{found} of {due} run");
        Check { name: "workers".into(), ok: found >= due, detail }
    }
}
