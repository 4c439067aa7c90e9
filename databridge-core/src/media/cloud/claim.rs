//! The claim: one small object that says whose a delivery is. It is only ever
//! created where there is none and replaced where it is still the one that was
//! read, so that all who change it stand in one row.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::Error as Fault;
use super::names::Names;
use super::store::{Store, When};
use crate::media::checksum::Sha256;
use crate::media::copy::{Attempt, Error};
use crate::media::monitor::Monitor;

/// How often somebody may get in between before we give up.
const TRIES: usize = 20;

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Claimed; nobody has looked yet whether the place is free.
    Announced,
    /// The place was free: all of our own below it is ours.
    Ready,
    /// Read back: the manifest object follows, whoever writes it.
    Publishing,
    /// On its way out.
    Aborting,
}

/// What the claim says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub format: u32,
    pub attempt: Uuid,
    pub epoch: u64,
    pub stage: Stage,
    pub manifest: Sha256,
    /// Makes each version of the claim another object.
    pub nonce: Uuid,
}

/// A claim that is ours, as it stood when we last saw it.
#[derive(Debug, Clone)]
pub struct Held {
    pub claim: Claim,
    pub etag: String,
}

/// Works on the claim of one delivery.
#[derive(Debug, Clone)]
pub struct Register {
    pub store: Store,
    pub names: Names,
    pub attempt: Attempt,
    pub manifest: Sha256,
}

impl Register {
    /// What stands there.
    pub fn read(&self, monitor: &dyn Monitor) -> Result<Option<Held>, Error> {
        let key = self.names.claim();
        let Some((bytes, head)) = self.store.wait(monitor, self.store.get(&key))? else {
            return Ok(None);
        };
        let malformed = |reason: String| Fault::Malformed { url: self.store.url(&key), reason };
        let claim: Claim =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if claim.format != 1 {
            return Err(malformed(format!("format {}", claim.format)).into());
        }
        let etag = head.fact.etag.ok_or_else(|| malformed("no ETag".into()))?;
        Ok(Some(Held { claim, etag }))
    }

    /// Takes the delivery for our epoch, at whatever stage it is; a new one is
    /// announced. Also says which earlier epoch had it.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::OtherDelivery`].
    pub fn take(&self, monitor: &dyn Monitor) -> Result<(Held, Option<u64>), Error> {
        for _ in 0..TRIES {
            let found = self.read(monitor)?;
            let (stage, when, before) = match found {
                None => (Stage::Announced, When::Absent, None),
                Some(held) => {
                    self.refuse(&held.claim)?;
                    let before =
                        (held.claim.epoch < self.attempt.epoch).then_some(held.claim.epoch);
                    (held.claim.stage, When::Is(held.etag), before)
                }
            };
            if let Some(held) = self.write(stage, when, monitor)? {
                return Ok((held, before));
            }
        }
        Err(self.fenced(None))
    }

    /// Goes on to another stage, if the claim is still as we hold it.
    ///
    /// # Errors
    /// [`Error::Fenced`] if it is not.
    pub fn advance(&self, held: &Held, stage: Stage, monitor: &dyn Monitor) -> Result<Held, Error> {
        match self.write(stage, When::Is(held.etag.clone()), monitor)? {
            Some(held) => Ok(held),
            None => Err(self.lost(monitor)),
        }
    }

    /// Whether the claim is still ours.
    ///
    /// # Errors
    /// [`Error::Fenced`] if it is not.
    pub fn confirm(&self, monitor: &dyn Monitor) -> Result<Held, Error> {
        match self.read(monitor)? {
            Some(held)
                if (held.claim.attempt, held.claim.epoch)
                    == (self.attempt.id, self.attempt.epoch) =>
            {
                Ok(held)
            }
            _ => Err(self.lost(monitor)),
        }
    }

    /// Removes a claim that is ours.
    pub fn drop(&self, held: &Held, monitor: &dyn Monitor) -> Result<(), Error> {
        let key = self.names.claim();
        self.store.wait(monitor, self.store.delete(&key, Some(&held.etag)))
    }

    /// # Errors
    /// [`Error::Fenced`] by a later epoch, [`Error::OtherDelivery`] by another attempt.
    pub fn refuse(&self, claim: &Claim) -> Result<(), Error> {
        if claim.attempt != self.attempt.id {
            let path = self.store.url(self.names.payload()).into();
            return Err(Error::OtherDelivery { path, attempt: claim.attempt });
        }
        if claim.epoch > self.attempt.epoch {
            return Err(self.fenced(Some(claim.epoch)));
        }
        Ok(())
    }

    fn write(
        &self,
        stage: Stage,
        when: When,
        monitor: &dyn Monitor,
    ) -> Result<Option<Held>, Error> {
        let claim = Claim {
            format: 1,
            attempt: self.attempt.id,
            epoch: self.attempt.epoch,
            stage,
            manifest: self.manifest,
            nonce: Uuid::new_v4(),
        };
        let key = self.names.claim();
        let bytes = serde_json::to_vec(&claim).map_err(|error| Fault::Malformed {
            url: self.store.url(&key),
            reason: error.to_string(),
        })?;
        if let Some(etag) = self.store.wait(monitor, self.store.put(&key, bytes, &[], when))? {
            return Ok(Some(Held { claim, etag }));
        }
        // Or was it this very write, whose answer was lost?
        Ok(self.read(monitor)?.filter(|held| held.claim.nonce == claim.nonce))
    }

    fn lost(&self, monitor: &dyn Monitor) -> Error {
        let by = self.read(monitor).ok().flatten().map(|held| held.claim.epoch);
        self.fenced(by.filter(|epoch| *epoch > self.attempt.epoch))
    }

    pub fn fenced(&self, by: Option<u64>) -> Error {
        let path = self.store.url(self.names.payload()).into();
        Error::Fenced { path, epoch: self.attempt.epoch, by }
    }
}
