//! `kill -9` of the daemon through the whole life of a transfer: at every named
//! step, and at seeded moments besides.
//!
//! `DATABRIDGE_TEST_CRASH_RUNS` says how many seeded lives there are (10), and
//! `DATABRIDGE_TEST_CRASH_SEED` which seed is the first (1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adding;
mod campaign;
mod cancel;
mod hooks;
mod housekeeping;
mod quarantine;
mod recall;
mod scan;
