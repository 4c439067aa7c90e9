//! What DataBridge is tested with: real servers, real faults, and oracles that
//! share no code with it.
//!
//! Everything here stops by itself: on drop, and also when the test's process
//! is killed (see [`watchdog`]). A part that is missing on the machine is a
//! failure with advice what to install, never a test that silently passes.

// This crate is test code through and through: a panic is how it says that the
// machine cannot run the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod clamd;
pub mod delivery;
pub mod faultfs;
pub mod layers;
pub mod life;
pub mod matrix;
pub mod mounts;
pub mod network;
pub mod postgres;
pub mod process;
pub mod relay;
pub mod s3;
pub mod slapd;
pub mod sshd;
pub mod studio;
pub mod tree;
pub mod watchdog;
