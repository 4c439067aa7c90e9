//! Digests of files: SHA-256 always and authoritative, others in the same read.

mod algorithm;
mod cache;
mod content;
mod digests;
mod error;
mod file;
mod hasher;
mod pipeline;
mod resumable;
mod sha256;
mod shelf;
mod tree;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use cache::Cache;
pub(crate) use content::Scratch;
pub use digests::Digests;
pub use error::Error;
pub use file::{FileDigest, file};
pub(crate) use file::{below, buffer, pool, read};
pub use hasher::Hasher;
pub(crate) use pipeline::{Desk, Feed, run};
pub use resumable::Resumable;
pub use sha256::Sha256;
pub(crate) use shelf::Shelf;
pub use tree::{Found, Options, each, tree};
pub(crate) use tree::{announce, below as of_place};
