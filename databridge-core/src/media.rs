//! Files: where they live, what they are, and how they move.
//!
//! Synchronous and self-contained: this wing knows no database and no users, so
//! that a DCC can embed it alone.

pub mod checksum;
pub mod cloud;
pub mod copy;
pub mod delivery;
pub mod freeze;
pub mod manifest;
pub mod monitor;
pub mod mounts;
pub mod receipt;
pub mod rsync;
pub mod scan;
pub mod sequence;
pub mod storage;
pub mod throttle;
pub mod walk;
