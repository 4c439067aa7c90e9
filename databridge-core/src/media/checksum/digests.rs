//! The digests of one file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Algorithm, Sha256};

/// Text of each digest that was asked for, the SHA-256 always among them: lower-case
/// hex, for C4 its own 90 characters. In JSON an object, `{"sha256": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Algorithm, String>", into = "BTreeMap<Algorithm, String>")]
pub struct Digests {
    sha256: Sha256,
    others: BTreeMap<Algorithm, String>,
}

impl Digests {
    pub(super) fn new(sha256: Sha256, others: BTreeMap<Algorithm, String>) -> Self {
        Self { sha256, others }
    }

    /// The one that decides.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The text of one of them, if it was asked for.
    pub fn get(&self, algorithm: Algorithm) -> Option<String> {
        match algorithm {
            Algorithm::Sha256 => Some(self.sha256.to_string()),
            other => self.others.get(&other).cloned(),
        }
    }

    /// SHA-256 and these; `None` if one of them is not here.
    pub(super) fn only(&self, algorithms: &[Algorithm]) -> Option<Self> {
        let others = algorithms.iter().filter(|a| **a != Algorithm::Sha256);
        let others: Option<_> = others.map(|a| Some((*a, self.others.get(a)?.clone()))).collect();
        Some(Self { sha256: self.sha256, others: others? })
    }

    /// Takes in what another reading of the same content found.
    pub(super) fn add(&mut self, other: &Self) {
        self.others.extend(other.others.clone());
    }

    /// All of them, SHA-256 first.
    pub fn iter(&self) -> impl Iterator<Item = (Algorithm, String)> {
        let others = self.others.iter().map(|(algorithm, text)| (*algorithm, text.clone()));
        std::iter::once((Algorithm::Sha256, self.sha256.to_string())).chain(others)
    }
}

impl From<Digests> for BTreeMap<Algorithm, String> {
    fn from(digests: Digests) -> Self {
        digests.iter().collect()
    }
}

impl TryFrom<BTreeMap<Algorithm, String>> for Digests {
    type Error = &'static str;

    fn try_from(mut texts: BTreeMap<Algorithm, String>) -> Result<Self, &'static str> {
        let text = texts.remove(&Algorithm::Sha256).ok_or("no sha256 among the digests")?;
        let sha256 = text.parse().map_err(|_| "sha256 is not 64 hex digits")?;
        Ok(Self::new(sha256, texts))
    }
}
