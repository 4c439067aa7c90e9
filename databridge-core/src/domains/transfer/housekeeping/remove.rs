//! Removing what was found, so that a kill at any point loses nothing and nothing is
//! removed that the ledger does not tell of.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::warn;

use super::super::places::ASIDE;
use super::super::review::{beside, off_thread};
use super::super::sql;
use super::super::{Error, Service, ingest};
use super::{Keep, Leftover, Stuck, What};
use crate::base::error::Error as AnyError;
use crate::base::steps::reach;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::control::jobs::{Lease, Watch};
use crate::control::ledger::Subject;
use crate::media::storage::make_dirs;

/// Condemned at a time.
const BATCH: usize = 50;

/// What the job remembers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// On their way out.
    condemned: Vec<Condemned>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Condemned {
    #[serde(flatten)]
    leftover: Leftover,
    /// Its name where it is moved aside.
    aside: String,
}

/// What came of one thing.
enum End {
    Gone,
    /// It is needed after all, or no longer there.
    Left,
    /// It is out of everybody's reach, and stands aside until the next run.
    Aside(AnyError),
}

impl Service {
    /// Removes all that can be removed, as the job of this lease; tells `removed` of each
    /// thing that is gone and recorded. Each is tried once: what cannot be read or removed
    /// is answered, and stops nothing else.
    ///
    /// # Errors
    /// [`Error::Stopped`]; of the store; a lost lease.
    pub async fn collect(
        &self,
        lease: &Lease,
        watch: &Watch,
        keep: Keep,
        removed: &(dyn Fn(&Leftover) + Send + Sync),
    ) -> Result<Vec<Stuck>, AnyError> {
        let mut memory: Memory = serde_json::from_value(lease.payload.clone()).unwrap_or_default();
        // Of what another worker condemned nobody knows how far it came.
        let mut taken_over = !memory.condemned.is_empty();
        let (mut tried, mut stuck) = (HashSet::new(), Vec::new());
        let uploads = self.places.uploads();
        if let Err(error) = off_thread(move || Ok(ingest::oldest(&uploads, true))).await? {
            // The walk tells of it.
            warn!(%error, "marks of ingests that are over could not be removed");
        }
        loop {
            if memory.condemned.is_empty() {
                let unreadable;
                (memory.condemned, unreadable) = self.condemn(lease, keep, &tried).await?;
                if memory.condemned.is_empty() {
                    stuck.extend(unreadable);
                    return Ok(stuck);
                }
                reach("housekeeping.condemned");
            }
            let mut gone = Vec::new();
            for one in &memory.condemned {
                if watch.is_stopped() {
                    return Err(Error::Stopped.into());
                }
                tried.insert(one.leftover.path.clone());
                tried.insert(format!("{ASIDE}/{}", one.aside));
                let (is_gone, error) = match self.remove(lease, one, keep, taken_over).await {
                    Ok(End::Left) => (false, None),
                    Ok(End::Gone) => (true, None),
                    Ok(End::Aside(error)) => (true, Some(error)),
                    Err(error) if matches!(error.code(), "transfer.io" | "transfer.no_space") => {
                        (false, Some(error))
                    }
                    Err(error) => return Err(error),
                };
                if is_gone {
                    gone.push(one.leftover.clone());
                }
                if let Some(error) = error {
                    let (path, error) = (one.leftover.path.clone(), error.chain());
                    warn!(path, error, "it could not be removed from staging");
                    stuck.push(Stuck { path, error });
                }
            }
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            self.record_removed(&mut unit, lease, &gone).await?;
            unit.remember(lease, json!(Memory::default())).await?;
            unit.commit(()).await?;
            gone.iter().for_each(removed);
            reach("housekeeping.recorded");
            taken_over = false;
            memory.condemned.clear();
        }
    }

    /// What goes next, remembered before anything happens to it; and what cannot be read.
    async fn condemn(
        &self,
        lease: &Lease,
        keep: Keep,
        tried: &HashSet<String>,
    ) -> Result<(Vec<Condemned>, Vec<Stuck>), AnyError> {
        let mut tx = self.store.db().read().await?;
        let now = tx.now().await?;
        drop(tx);
        let found = self.look_for(lease.org, now, keep, tried).await?;
        let condemned: Vec<Condemned> = found
            .items
            .into_iter()
            .take(BATCH)
            .map(|leftover| Condemned {
                leftover,
                aside: uuid::Uuid::now_v7().simple().to_string(),
            })
            .collect();
        if !condemned.is_empty() {
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            unit.remember(lease, json!(Memory { condemned: condemned.clone() })).await?;
            unit.commit(()).await?;
        }
        Ok((condemned, found.unreadable))
    }

    async fn remove(
        &self,
        lease: &Lease,
        one: &Condemned,
        keep: Keep,
        taken_over: bool,
    ) -> Result<End, AnyError> {
        let place = self.places.staging.join(&one.leftover.path);
        let aside = match one.leftover.what {
            What::Aside => place.clone(),
            _ => self.places.aside().join(&one.aside),
        };
        let (here, there) = (place.clone(), aside.clone());
        let stands = |path: &Path| std::fs::symlink_metadata(path).is_ok();
        let (stands, is_moved) = off_thread(move || Ok((stands(&here), stands(&there)))).await?;
        if !is_moved {
            if !stands {
                return Ok(if taken_over { End::Gone } else { End::Left });
            }
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            unit.hold(lease).await?;
            if !self.is_left(&mut unit, &one.leftover, keep).await? {
                return Ok(End::Left);
            }
            let (folder, to) = (self.places.aside(), aside.clone());
            beside(&mut unit, move || {
                make_dirs(&folder, 0o700).map_err(|e| io(&folder, e))?;
                Ok(std::fs::rename(&place, &to).map_err(|e| io(&place, e))?)
            })
            .await?;
            // The lock is held until it is out of everybody's reach.
            unit.commit(()).await?;
            reach("housekeeping.moved");
        }
        let deleted = off_thread(move || {
            let is_dir = std::fs::symlink_metadata(&aside).is_ok_and(|meta| meta.is_dir());
            let done =
                if is_dir { std::fs::remove_dir_all(&aside) } else { std::fs::remove_file(&aside) };
            match done {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(io(&aside, error).into())
                }
                _ => Ok(()),
            }
        });
        match (deleted.await, one.leftover.what) {
            (Ok(()), _) => {
                reach("housekeeping.deleted");
                Ok(End::Gone)
            }
            // It stands where it stood.
            (Err(error), What::Aside) => Err(error),
            (Err(error), _) => Ok(End::Aside(error)),
        }
    }

    /// Looks again, under a lock: since it was found somebody may have come to need it.
    async fn is_left(
        &self,
        unit: &mut Unit,
        leftover: &Leftover,
        keep: Keep,
    ) -> Result<bool, AnyError> {
        let (org, now) = (unit.org(), unit.now());
        // Who condemned it may not have known that the store was put back since.
        let is_nobodys = matches!(leftover.what, What::Upload | What::Blob | What::Folder);
        if is_nobodys && leftover.since_at < sql::known_since(unit.tx()).await? {
            return Ok(false);
        }
        if leftover.can_be_a_piece() && sql::is_in_pieces(unit.tx(), leftover.name()).await? {
            return Ok(false);
        }
        let code = match (&leftover.transfer, leftover.what) {
            (_, What::Aside | What::Upload) => return Ok(true),
            (Some(code), _) => code.clone(),
            (None, _) => leftover.path.clone(),
        };
        sql::lock(unit.tx(), &code).await?;
        let owned = sql::owned(unit.tx(), std::slice::from_ref(&code)).await?;
        let Some(t) = owned.first() else { return Ok(leftover.what == What::Folder) };
        if t.org != org {
            return Ok(false);
        }
        if leftover.what == What::Blob {
            let named = sql::blobs(unit.tx(), t.id).await?;
            return Ok(!named.contains(leftover.name()));
        }
        Ok(t.removable(now, keep) == Some(leftover.what))
    }

    /// Says what is gone: of a transfer in its history, of the rest in one event.
    async fn record_removed(
        &self,
        unit: &mut Unit,
        lease: &Lease,
        gone: &[Leftover],
    ) -> Result<(), AnyError> {
        let mut nobodys = Vec::new();
        for leftover in gone {
            let mut data = json!(leftover);
            let t = match &leftover.transfer {
                Some(code) => sql::by_code(unit.tx(), lease.org, code).await?,
                None => None,
            };
            let (Some(t), Some(fields)) = (t, data.as_object_mut()) else {
                nobodys.push(data);
                continue;
            };
            fields.insert("state".into(), json!(t.state_name()));
            fields.insert("revision".into(), json!(t.revision));
            unit.record(&super::super::service::subject(&t), "transfer.staging_removed", data);
        }
        if !nobodys.is_empty() {
            let code = "staging".to_owned();
            let subject = Subject { kind: "staging".into(), id: lease.job.0, code };
            unit.record(&subject, "staging.removed", json!({ "items": nobodys }));
        }
        Ok(())
    }
}

fn io(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: path.display().to_string(), source }
}
