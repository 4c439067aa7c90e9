//! Bringing a delivery to wherever it belongs, by whatever method.
//!
//! [`Delivery`] is what its caller knows: the phases that
//! [`copy`](crate::media::copy) explains, and the proof beside the payload. Folders
//! are served by our own engine or filled by rsync, prefixes in object stores by
//! [`cloud`](crate::media::cloud); [`open`] chooses.

mod aside;
mod folder;
mod proof;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::copy::{Aborted, Attempt, Error, Policy, Prepared, Published, ReadBack, Transferred};
use super::manifest::Manifest;
use super::monitor::Monitor;
use super::storage::Location;
use super::{cloud, rsync};

pub use aside::{Aside, Moved};
pub use proof::{FolderProof, Found, Overtaken, Proof};

/// What is delivered where, by whom and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The root of the manifest's files.
    pub source: PathBuf,
    /// Where the payload is to appear.
    pub destination: Location,
    /// Exactly what is to appear.
    pub manifest: Manifest,
    /// Who works on it.
    pub attempt: Attempt,
    /// How.
    pub policy: Policy,
}

/// How folders are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By our own engine.
    #[default]
    Native,
    /// By rsync; verified and published as ever.
    Rsync,
}

/// What the methods need to know.
#[derive(Debug, Clone, Default)]
pub struct Methods {
    /// How folders are filled.
    pub folders: Method,
    /// How rsync is run.
    pub rsync: rsync::Settings,
    /// Where the object store is.
    pub s3: cloud::Settings,
}

/// One delivery to one destination, under one epoch. The phases mean, and promise,
/// what those of [`copy`](crate::media::copy) do: each may be called again after a
/// crash in it, nothing is visible before [`publish`](Self::publish) and everything
/// after, and a worker of an earlier epoch gets [`Error::Fenced`].
pub trait Delivery: Debug + Send + Sync {
    /// What it is done by, as reports and receipts name it.
    fn method(&self) -> &'static str;
    /// Where the payload is to appear.
    fn destination(&self) -> &Location;
    /// Claims the destination, and proves that nothing stands there.
    ///
    /// # Errors
    /// As [`copy::prepare`](crate::media::copy::prepare).
    fn prepare(&self) -> Result<Prepared, Error>;
    /// Writes what is still missing.
    ///
    /// # Errors
    /// As [`copy::transfer`](crate::media::copy::transfer).
    fn transfer(&self, monitor: &dyn Monitor) -> Result<Transferred, Error>;
    /// Reads every file back and compares it.
    ///
    /// # Errors
    /// As [`copy::verify`](crate::media::copy::verify).
    fn verify(&self, monitor: &dyn Monitor) -> Result<ReadBack, Error>;
    /// Makes what was verified appear, durably, replacing nothing.
    ///
    /// # Errors
    /// As [`copy::publish`](crate::media::copy::publish).
    fn publish(&self, monitor: &dyn Monitor) -> Result<Published, Error>;
    /// Clears away what only served the way there.
    ///
    /// # Errors
    /// As [`copy::finish`](crate::media::copy::finish).
    fn finish(&self) -> Result<(), Error>;
    /// Undoes what is not published.
    ///
    /// # Errors
    /// As [`copy::abort`](crate::media::copy::abort()).
    fn abort(&self) -> Result<Aborted, Error>;
    /// The proof beside the payload.
    fn proof(&self) -> Arc<dyn Proof>;
}

/// The delivery that `plan` asks for, by the method that its destination takes.
///
/// # Errors
/// [`cloud::Error::NotBuilt`], or settings that cannot work.
pub fn open(plan: Plan, methods: &Methods) -> Result<Arc<dyn Delivery>, Error> {
    match &plan.destination {
        Location::Path(path) => {
            let path = path.clone();
            Ok(Arc::new(folder::FolderDelivery::new(plan, path, methods)))
        }
        Location::Object(at) => cloud::deliver(&plan, at, &methods.s3),
    }
}
