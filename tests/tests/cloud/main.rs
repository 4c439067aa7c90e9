//! Object stores, on a real S3 server whose files are looked at directly.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod daemon;
mod media;
mod program;
