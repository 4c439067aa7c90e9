//! Removing what was found, so that a kill at any point loses nothing and nothing is
//! removed that the ledger does not tell of.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::sql;
use super::super::{Error, Service};
use super::{Keep, Leftover, What};
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

impl Service {
    /// Removes all that can be removed, as the job of this lease; tells `removed` of each
    /// thing that is gone and recorded.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Stopped`]; of the store; a lost lease.
    pub async fn collect(
        &self,
        lease: &Lease,
        watch: &Watch,
        keep: Keep,
        removed: &(dyn Fn(&Leftover) + Send + Sync),
    ) -> Result<(), AnyError> {
        let mut memory: Memory = serde_json::from_value(lease.payload.clone()).unwrap_or_default();
        // Of what another worker condemned nobody knows how far it came.
        let mut taken_over = !memory.condemned.is_empty();
        loop {
            if memory.condemned.is_empty() {
                memory.condemned = self.condemn(lease, keep).await?;
                if memory.condemned.is_empty() {
                    return Ok(());
                }
                reach("housekeeping.condemned");
            }
            let mut gone = Vec::new();
            for one in &memory.condemned {
                if watch.is_stopped() {
                    return Err(Error::Stopped.into());
                }
                if self.remove(lease, one, keep, taken_over).await? {
                    gone.push(one.leftover.clone());
                }
            }
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            self.record_removed(&mut unit, lease, &gone).await?;
            unit.remember(lease, json!(Memory::default())).await?;
            unit.commit(()).await?;
            gone.iter().for_each(removed);
            reach("housekeeping.recorded");
            // What is needed after all would be found again for ever.
            if gone.is_empty() && !taken_over {
                return Ok(());
            }
            taken_over = false;
            memory.condemned.clear();
        }
    }

    /// What goes next, remembered before anything happens to it.
    async fn condemn(&self, lease: &Lease, keep: Keep) -> Result<Vec<Condemned>, AnyError> {
        let mut tx = self.store.db().read().await?;
        let now = tx.now().await?;
        drop(tx);
        let found = self.leftovers(lease.org, now, keep).await?;
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
        Ok(condemned)
    }

    /// Whether it is gone; not, where it is needed after all.
    async fn remove(
        &self,
        lease: &Lease,
        one: &Condemned,
        keep: Keep,
        taken_over: bool,
    ) -> Result<bool, AnyError> {
        let place = self.places.staging.join(&one.leftover.path);
        let aside = match one.leftover.what {
            What::Aside => place.clone(),
            _ => self.places.aside().join(&one.aside),
        };
        let stands = |path: &Path| std::fs::symlink_metadata(path).is_ok();
        if !stands(&aside) {
            if !stands(&place) {
                return Ok(taken_over);
            }
            let mut unit = self.store.begin(&Ctx::system(lease.org)).await?;
            unit.hold(lease).await?;
            if !self.is_left(&mut unit, &one.leftover, keep).await? {
                return Ok(false);
            }
            let folder = self.places.aside();
            make_dirs(&folder, 0o700).map_err(|e| io(&folder, e))?;
            std::fs::rename(&place, &aside).map_err(|e| io(&place, e))?;
            // The lock is held until it is out of everybody's reach.
            unit.commit(()).await?;
            reach("housekeeping.moved");
        }
        super::super::review::off_thread(move || {
            let is_dir = std::fs::symlink_metadata(&aside).is_ok_and(|meta| meta.is_dir());
            let done =
                if is_dir { std::fs::remove_dir_all(&aside) } else { std::fs::remove_file(&aside) };
            match done {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(io(&aside, error).into())
                }
                _ => Ok(()),
            }
        })
        .await?;
        reach("housekeeping.deleted");
        Ok(true)
    }

    /// Looks again, under a lock: since it was found somebody may have come to need it.
    async fn is_left(
        &self,
        unit: &mut Unit,
        leftover: &Leftover,
        keep: Keep,
    ) -> Result<bool, AnyError> {
        let (org, now) = (unit.org(), unit.now());
        let code = match (&leftover.transfer, leftover.what) {
            (_, What::Aside) => return Ok(true),
            (_, What::Upload) => {
                let blob = leftover.path.rsplit('/').next().unwrap_or_default();
                return Ok(!sql::is_in_pieces(unit.tx(), blob).await?);
            }
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
            let name = leftover.path.rsplit('/').next().unwrap_or_default();
            return Ok(!named.contains(name));
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
