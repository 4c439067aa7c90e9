//! DataBridge: media crosses from one network to another through approvals, a
//! scan and a verified copy, and every step can be proved afterwards.
//!
//! The house has four storeys, and imports point down only:
//! [`app`] (every command and query, one way in), [`domains`], [`control`]
//! (database, ledger, jobs, identity), [`media`] (files: copy, checksum, scan,
//! receipt), and at the bottom [`workflow`] and [`base`].
//!
//! With default features off only `media`, `workflow` and `base` are built, for
//! hosts that embed the verified copy without a store.

#[cfg(feature = "control")]
pub mod app;
pub mod base;
#[cfg(feature = "control")]
pub mod control;
#[cfg(feature = "control")]
pub mod domains;
pub mod media;
#[cfg(feature = "remote")]
pub mod remote;
pub mod workflow;

pub use base::error::{Error, ErrorKind, Fault};
