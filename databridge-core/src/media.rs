//! Files: where they live, what they are, and how they move.
//!
//! Synchronous and self-contained: this wing knows no database and no users, so
//! that a DCC can embed it alone.

pub mod checksum;
pub mod copy;
pub mod freeze;
pub mod manifest;
pub mod monitor;
pub mod receipt;
pub mod scan;
pub mod storage;
pub mod throttle;
pub mod walk;
