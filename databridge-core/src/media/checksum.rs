//! Digests of files: SHA-256 always and authoritative, others in the same read.

mod algorithm;
mod digests;
mod error;
mod file;
mod hasher;
mod sha256;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use digests::Digests;
pub use error::Error;
pub use file::{FileDigest, file, tree};
pub(crate) use file::{below, buffer, of_entries, pool, read};
pub use hasher::Hasher;
pub use sha256::Sha256;
