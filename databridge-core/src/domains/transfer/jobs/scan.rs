//! The scan of a frozen tree.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::review::off_thread;
use super::super::scanning::read_report;
use super::super::state::{Action, State};
use super::super::types::Transfer;
use super::super::{Error, sql};
use super::Job;
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::media::freeze::{self, Fact};
use crate::media::scan::{self, FileVerdict, Files, Report, Verdict};

/// Where a scan job keeps what it found.
const FOUND: &str = "found";

/// A scan that found malware, and the files that are to be put away.
#[derive(Serialize, Deserialize)]
struct Found {
    report: Report,
    infected: Vec<FileVerdict>,
}

fn read_found(stored: &serde_json::Value) -> Result<Found, Error> {
    Found::deserialize(stored).map_err(|e| {
        Error::Db(crate::control::db::Error::Column { column: "payload".into(), source: e.into() })
    })
}

impl Job<'_> {
    /// Scans and hashes every byte of the frozen tree and moves the transfer by the
    /// verdict.
    pub(super) async fn scan(&self) -> Result<(), AnyError> {
        let Some(t) = self.subject(State::Scanning).await? else { return Ok(()) };
        if let Some(found) = self.lease.payload.get(FOUND) {
            return self.put_away(&t, read_found(found)?).await;
        }
        let released = self.put_released_back(&t).await?;
        let mut changed = self.changes(&t).await?;
        let report = match changed.is_empty() {
            true => Some(self.look(&t).await?),
            false => None,
        };
        if let Some(report) = &report {
            changed.extend(report.changed.iter().map(|difference| difference.to_string()));
        }
        let Some(report) = report.filter(|_| changed.is_empty()) else {
            return self.service.void(&self.ctx(), &t, &changed, Some(self.lease)).await;
        };
        let infected: Vec<FileVerdict> = report
            .files
            .iter()
            .filter(|f| f.verdict.is_infected() && !released.contains(f.path.as_str()))
            .cloned()
            .collect();
        if !infected.is_empty() {
            let found = Found { report, infected };
            self.keep(&found).await?;
            return self.put_away(&t, found).await;
        }
        self.judge(&t, report, &released).await
    }

    async fn look(&self, t: &Transfer) -> Result<Report, AnyError> {
        let root = self.service.places.frozen(&t.code, t.revision);
        let manifest = self.manifest(t).await?;
        let settings = self.service.policy.scan.within(&t.project, &t.category);
        let watch = self.watch.clone();
        let (journal, learned) = self.journal(t).await?;
        let scan = off_thread(move || {
            let engines = scan::Engines::open(&settings)?;
            Ok(engines.tree_with(&root, Files::Manifest(&manifest), &journal, &watch)?)
        });
        // The journal is closed by the end of the scan.
        let (report, kept) = tokio::join!(scan, self.keep_learned(learned));
        kept?;
        report
    }

    /// What an admin released comes back out of quarantine. Answers its paths.
    async fn put_released_back(&self, t: &Transfer) -> Result<HashSet<String>, AnyError> {
        let service = self.service;
        let mut tx = service.store.db().read().await?;
        let overrides = sql::overrides(&mut tx, t.id, t.revision).await?;
        let last = sql::last_scan(&mut tx, t.id, t.revision).await?;
        drop(tx);
        let Some(last) = last.filter(|_| overrides.iter().any(|o| o.what == "infection")) else {
            return Ok(HashSet::new());
        };
        let files: Vec<FileVerdict> = read_report(last.report)?
            .files
            .into_iter()
            .filter(|f| f.verdict.is_infected())
            .collect();
        let released = files.iter().map(|f| f.path.to_string()).collect();
        let root = service.places.frozen(&t.code, t.revision);
        let quarantine = service.places.quarantine(&t.code, t.revision);
        let facts = off_thread(move || {
            files
                .iter()
                .map(|file| {
                    scan::release(&root, file, &quarantine)?;
                    Ok(freeze::fact(&root, &file.path)?)
                })
                .collect::<Result<Vec<Fact>, AnyError>>()
        })
        .await?;
        let mut unit = service.store.begin(&self.ctx()).await?;
        unit.hold(self.lease).await?;
        for fact in facts {
            sql::set_fact(unit.tx(), t.id, t.revision, &fact).await?;
        }
        unit.commit(()).await?;
        Ok(released)
    }

    /// Keeps what was found with the job before any file is moved: after a kill, a
    /// tree without its infected files would pass for one that somebody changed.
    async fn keep(&self, found: &Found) -> Result<(), AnyError> {
        let mut payload = self.lease.payload.clone();
        payload[FOUND] = json!(found);
        let mut unit = self.service.store.begin(&self.ctx()).await?;
        unit.remember(self.lease, payload).await?;
        unit.commit(()).await
    }

    /// Infected files leave staging before anybody is told that they were found.
    async fn put_away(&self, t: &Transfer, found: Found) -> Result<(), AnyError> {
        let Found { report, infected } = found;
        let root = self.service.places.frozen(&t.code, t.revision);
        let quarantine = self.service.places.quarantine(&t.code, t.revision);
        let files: Vec<_> =
            infected.iter().map(|f| json!({ "path": f.path, "verdict": f.verdict })).collect();
        off_thread(move || {
            for file in &infected {
                scan::quarantine(&root, file, &quarantine)?;
            }
            Ok(())
        })
        .await?;
        reach("quarantine.before_commit");
        self.record(t, Action::Infect, &report, "transfer.infected", json!({ "files": files }))
            .await
    }

    async fn judge(
        &self,
        t: &Transfer,
        report: Report,
        released: &HashSet<String>,
    ) -> Result<(), AnyError> {
        let verdict = match report.verdict.is_infected() {
            // Only what was released is left of it.
            true => &report
                .files
                .iter()
                .filter(|f| !released.contains(f.path.as_str()) && f.accepted.is_none())
                .map(|f| f.verdict.clone())
                .max()
                .unwrap_or(Verdict::Clean),
            false => report.decisive(),
        };
        reach("scan.before_commit");
        match verdict {
            Verdict::Error { message } => {
                Err(Error::ScanTrouble { code: t.code.clone(), message: message.clone() }.into())
            }
            _ if verdict.is_clean() || report.passes() => {
                self.record(t, Action::Pass, &report, "transfer.scanned", json!({})).await
            }
            _ => self.record(t, Action::Hold, &report, "transfer.scan_undecided", json!({})).await,
        }
    }

    async fn record(
        &self,
        t: &Transfer,
        action: Action,
        report: &Report,
        kind: &str,
        mut data: serde_json::Value,
    ) -> Result<(), AnyError> {
        let (mut unit, t) = self.end(t, action).await?;
        let now = unit.now();
        let stored = serde_json::to_value(report).unwrap_or_default();
        let digest = t.manifest_digest.map(|d| d.to_string()).unwrap_or_default();
        sql::insert_scan(unit.tx(), t.id, t.revision, &digest, stored, now).await?;
        data["verdict"] = json!(report.verdict);
        data["engines"] = json!(report.engines);
        data["counts"] = json!(report.counts);
        data["taken_over"] = json!(report.taken_over);
        data["manifest_digest"] = json!(digest);
        self.save(unit, t, kind, data).await
    }
}
