//! The memory of a scan job: what it finds out is in the database before long, so
//! that a kill costs little, and the next revision asks only about what is new.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use super::super::sql::{self, ScanKey, Scanned};
use super::super::types::Transfer;
use super::Job;
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::media::checksum::Sha256;
use crate::media::scan::{FileVerdict, Finding, Memory, Recalled, Source};
use crate::media::storage::RelPath;

/// What is found out is kept at least so often,
const BATCH: Duration = Duration::from_millis(500);
/// or as soon as there is so much of it.
const BATCH_FILES: usize = 1000;

/// What is remembered, and where more of it goes.
pub(super) struct Journal {
    revision: i64,
    /// The scan in hand; its basis is known when it begins.
    key: ScanKey,
    basis: OnceLock<String>,
    stored: Mutex<Vec<(ScanKey, Scanned)>>,
    known: OnceLock<HashMap<(String, String), Recalled>>,
    learned: UnboundedSender<(String, Scanned)>,
}

/// What was found out and is not kept yet.
pub(super) struct Learned {
    key: ScanKey,
    coming: UnboundedReceiver<(String, Scanned)>,
}

impl Memory for Journal {
    fn begin(&self, basis: Sha256) {
        let basis = self.basis.get_or_init(|| basis.to_string());
        let stored =
            std::mem::take(&mut *self.stored.lock().unwrap_or_else(PoisonError::into_inner));
        let this = ScanKey { basis: basis.clone(), ..self.key.clone() };
        let known =
            stored.into_iter().filter(|(key, _)| key.basis == *basis).filter_map(|(key, file)| {
                let findings = Vec::<Finding>::deserialize(&file.findings).ok()?;
                let source = match key == this {
                    true => Source::ThisScan,
                    false => Source::Earlier(format!("revision {}", file.said_in)),
                };
                Some(((file.path, file.sha256), Recalled { findings, source }))
            });
        let _ = self.known.set(known.collect());
    }

    fn recall(&self, path: &RelPath, sha256: Sha256) -> Option<Recalled> {
        self.known.get()?.get(&(path.to_string(), sha256.to_string())).cloned()
    }

    fn learn(&self, file: &FileVerdict, from: Option<&str>) {
        let (Some(basis), Some(sha256)) = (self.basis.get(), file.sha256) else { return };
        let said_in = from
            .and_then(|from| from.strip_prefix("revision ")?.parse().ok())
            .unwrap_or(self.revision);
        let scanned = Scanned {
            path: file.path.to_string(),
            sha256: sha256.to_string(),
            findings: serde_json::to_value(&file.findings).unwrap_or_default(),
            said_in,
        };
        // Nobody listens any more once the job has lost its lease.
        let _ = self.learned.send((basis.clone(), scanned));
    }
}

impl Job<'_> {
    /// Opens the memory of the scan in hand.
    pub(super) async fn journal(&self, t: &Transfer) -> Result<(Journal, Learned), AnyError> {
        let mut tx = self.service.store.db().read().await?;
        let stored = sql::scanned(&mut tx, t.id).await?;
        drop(tx);
        let key = ScanKey {
            transfer: t.id,
            revision: t.revision,
            manifest_digest: t.manifest_digest.map(|d| d.to_string()).unwrap_or_default(),
            job: self.lease.job,
            basis: String::new(),
        };
        let (learned, coming) = unbounded_channel();
        let journal = Journal {
            revision: t.revision,
            key: key.clone(),
            basis: OnceLock::new(),
            stored: Mutex::new(stored),
            known: OnceLock::new(),
            learned,
        };
        Ok((journal, Learned { key, coming }))
    }

    /// Keeps what is found out until the scan ends; where it cannot be kept the
    /// scan is told to stop.
    pub(super) async fn keep_learned(&self, mut learned: Learned) -> Result<(), AnyError> {
        while let Some((basis, first)) = learned.coming.recv().await {
            let (mut batch, until) = (vec![first], Instant::now() + BATCH);
            while batch.len() < BATCH_FILES
                && let Ok(Some((_, next))) = timeout_at(until, learned.coming.recv()).await
            {
                batch.push(next);
            }
            learned.key.basis = basis;
            if let Err(error) = self.keep_batch(&learned.key, &batch).await {
                self.watch.stop();
                return Err(error);
            }
            reach("scan.kept");
        }
        Ok(())
    }

    async fn keep_batch(&self, key: &ScanKey, batch: &[Scanned]) -> Result<(), AnyError> {
        let mut unit = self.service.store.begin(&self.ctx()).await?;
        unit.hold(self.lease).await?;
        let now = unit.now();
        sql::insert_scanned(unit.tx(), key, batch, now).await?;
        unit.commit(()).await
    }
}
