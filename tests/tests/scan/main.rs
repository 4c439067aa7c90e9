//! Scans by a real clamd and a real clamscan: what must be found is found, and
//! whatever goes wrong, nothing unscanned is called clean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod clamscan;
mod faults;
mod found;
mod limits;
mod program;
