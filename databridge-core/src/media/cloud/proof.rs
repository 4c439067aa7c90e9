//! The proof beside a payload in an object store.

use super::claim::Register;
use super::store::{ATTEMPT, When};
use crate::base::steps::reach;
use crate::media::copy::Error;
use crate::media::delivery::{Found, Overtaken, Proof};

/// Written last: with it the proof stands.
const RECEIPT: &str = "receipt.json";

/// A proof below the prefix beside a payload's.
#[derive(Debug, Clone)]
pub struct CloudProof {
    register: Register,
}

impl CloudProof {
    pub fn new(register: Register) -> Self {
        Self { register }
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.register.names.proof())
    }

    /// Whether the claim is ours; an error of the store is one.
    fn is_ours(&self) -> Result<bool, Error> {
        match self.register.confirm(&()) {
            Ok(_) => Ok(true),
            Err(Error::Fenced { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes what attempts of ours put there.
    fn clear(&self) -> Result<(), Error> {
        let store = &self.register.store;
        let ours = self.register.attempt.id.simple().to_string();
        for (key, fact) in store.wait(&(), store.list(&self.register.names.proof()))? {
            let head = store.wait(&(), store.head(&key))?;
            if head.is_some_and(|head| head.attempt.as_deref() == Some(ours.as_str())) {
                store.wait(&(), store.delete(&key, fact.etag.as_deref()))?;
            }
        }
        Ok(())
    }
}

impl Proof for CloudProof {
    fn place(&self) -> String {
        self.register.store.url(&self.register.names.proof())
    }

    fn find(&self) -> Result<Found, Error> {
        let store = &self.register.store;
        let ours = self.register.attempt.id.simple().to_string();
        let found = store.wait(&(), store.get(&self.key(RECEIPT)))?;
        if let Some((bytes, head)) = found {
            let maybe_late = head.attempt.as_deref() == Some(ours.as_str());
            return Ok(match String::from_utf8(bytes) {
                Ok(text) => Found::Receipt { text, maybe_late },
                Err(_) => Found::Foreign,
            });
        }
        for (key, _) in store.wait(&(), store.list(&self.register.names.proof()))? {
            let head = store.wait(&(), store.head(&key))?;
            if head.is_some_and(|head| head.attempt.as_deref() != Some(ours.as_str())) {
                return Ok(Found::Foreign);
            }
        }
        Ok(Found::Nothing)
    }

    /// The payload's claim fences the proof, too.
    fn fence(&self) -> Result<Result<(), Overtaken>, Error> {
        let held = self.register.read(&())?;
        let overtaken = held.is_some_and(|held| self.register.refuse(&held.claim).is_err());
        Ok(if overtaken { Err(Overtaken) } else { Ok(()) })
    }

    fn claim(&self) -> Result<Result<(), Overtaken>, Error> {
        if !self.is_ours()? {
            return Ok(Err(Overtaken));
        }
        self.clear()?;
        Ok(Ok(()))
    }

    /// What is left is cleared away by whoever comes next.
    fn step_back(&self) {}

    fn publish(&self, files: &[(&str, &str)]) -> Result<Result<(), Overtaken>, Error> {
        let store = &self.register.store;
        let tags = [(ATTEMPT, self.register.attempt.id.simple().to_string())];
        let last = |name: &str| name == RECEIPT;
        let (receipt, others): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| last(name));
        for (name, text) in others.into_iter().chain(receipt) {
            if last(name) {
                reach("proof.written");
                if !self.is_ours()? {
                    return Ok(Err(Overtaken));
                }
            }
            let key = self.key(name);
            let put = store.put(&key, text.as_bytes().to_vec(), &tags, When::Absent);
            if store.wait(&(), put)?.is_some() {
                continue;
            }
            // This very write, whose answer was lost, or somebody else's.
            match store.wait(&(), store.get(&key))? {
                Some((bytes, _)) if bytes == text.as_bytes() => {}
                _ if !self.is_ours()? => return Ok(Err(Overtaken)),
                _ => return Err(Error::DestinationExists { path: store.url(&key).into() }),
            }
        }
        reach("proof.renamed");
        Ok(Ok(()))
    }

    fn take_away(&self) -> Result<(), Error> {
        self.clear()
    }
}
