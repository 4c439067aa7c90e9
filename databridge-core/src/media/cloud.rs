//! Object stores: deliveries to them, and reading from them.
//!
//! # For readers of a bucket
//! `TRF-00042.manifest.json` is the delivery: it names every file of the payload
//! with its length, SHA-256 and ETag (and folders without files, which have no
//! objects). What is below `TRF-00042/` before that object stands is not a delivery,
//! and what is there besides what it names is not part of it. It is written last
//! and never changes. The proof in `TRF-00042.proof/` is written before it.
//!
//! # One worker at a time
//! Object stores have no rename. What they have is a write that counts only where
//! nothing stands, or only in the stead of just this version; each is one step. All
//! of it rests on one object changed in no other way: the *claim*, which names
//! attempt, epoch and stage. Payload objects are created where nothing stands, and a
//! damaged one is replaced only as the very version that was read, so that no copier
//! ever undoes what another has read back.
//!
//! *Taking over*: replace the claim by one of our epoch at the same stage; a higher
//! epoch refuses us. Everything below the prefix is then read again, never trusted:
//! what fits stays, what does not is replaced, what is missing is written.
//!
//! What can the old worker k, stopped at any point, do when it goes on?
//! - *In transfer.* It looks at the claim every second and before it replaces or
//!   deletes. One request a thread may already be past that. A creation meets what e
//!   wrote and fails; where it comes first, e meets it, reads it, and keeps it if it
//!   fits. A replacement, or a deletion where the store heeds `If-Match` on it
//!   (Amazon's does), fails unless the object is the one k judged: then e had not
//!   read it back. An upload in parts becomes an object by one such creation. What a
//!   deletion that heeds nothing can take is found missing when e looks last, before
//!   it publishes.
//! - *In verify*: it reads.
//! - *In publish*, before the claim says `publishing`: replacing the claim fails.
//!   After: the delivery is decided, and whoever comes finishes it. An abort comes too
//!   late. The manifest object is created where nothing stands; if k's comes late it
//!   meets e's, and if it comes first, e finds it with its own attempt and digest and
//!   adopts it. Both name the same files, all of which were read back.
//! - *After e finished or aborted*, when the claim is gone: replacing it fails. Only a
//!   worker that stood still before its first look at the claim can begin anew; the
//!   lease that it confirms after [`prepare`](crate::media::delivery::Delivery::prepare)
//!   stops it, and an object that it creates is of no delivery.
//! - *In the proof*: `receipt.json` is created last, where nothing stands, after a
//!   look at the claim. One that still comes late is about files that are not
//!   delivered; the successor clears it away before it writes its own, and without a
//!   manifest object it is the proof of nothing.
//!
//! What is there that no attempt of ours wrote is never touched: it is a conflict.

mod error;
mod settings;

#[cfg(feature = "cloud")]
mod claim;
#[cfg(feature = "cloud")]
mod conditions;
#[cfg(feature = "cloud")]
mod delivery;
#[cfg(feature = "cloud")]
mod names;
#[cfg(feature = "cloud")]
mod proof;
#[cfg(feature = "cloud")]
mod read;
#[cfg(feature = "cloud")]
mod record;
#[cfg(feature = "cloud")]
mod store;
#[cfg(feature = "cloud")]
mod tree;
#[cfg(feature = "cloud")]
mod upload;
#[cfg(feature = "cloud")]
mod write;

use std::sync::Arc;

pub use error::Error;
#[cfg(feature = "cloud")]
pub use record::{Record, RecordedFile};
pub use settings::Settings;
#[cfg(feature = "cloud")]
pub use tree::{Described, Download, checksum, describe, download, recorded};
#[cfg(feature = "cloud")]
pub use upload::upload;

use super::copy;
use super::delivery::{Delivery, Plan};
use super::storage::ObjectLocation;

/// A delivery to an object store.
///
/// # Errors
/// [`Error::NotBuilt`], [`Error::Settings`].
#[cfg(feature = "cloud")]
pub(super) fn deliver(
    plan: &Plan,
    at: &ObjectLocation,
    settings: &Settings,
) -> Result<Arc<dyn Delivery>, copy::Error> {
    Ok(Arc::new(delivery::CloudDelivery::new(plan.clone(), at, settings)?))
}

/// As above, where there are none.
#[cfg(not(feature = "cloud"))]
pub(super) fn deliver(
    _: &Plan,
    at: &ObjectLocation,
    _: &Settings,
) -> Result<Arc<dyn Delivery>, copy::Error> {
    Err(Error::NotBuilt { url: at.to_string() }.into())
}
