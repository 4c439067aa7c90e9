//! Scans by a real clamd and a real clamscan: what must be found is found, and
//! whatever goes wrong, nothing unscanned is called clean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod bombs;
mod clamscan;
mod doctor;
mod faults;
mod found;
mod limits;
mod policy;
mod program;
mod service;
