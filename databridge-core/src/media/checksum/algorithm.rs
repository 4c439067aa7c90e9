//! The names of digests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A digest that can be asked for besides SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
    /// SHA-1 (FIPS 180-4); for what older systems ask, not for trust.
    Sha1,
    /// MD5 (RFC 1321); for what older systems ask, not for trust.
    Md5,
    /// C4 identification (SMPTE ST 2114): `c4` and the SHA-512 in base 58.
    C4,
    /// xxHash, 64 bits, seed 0.
    Xxh64,
    /// XXH3, 64 bits, seed 0.
    Xxh3,
    /// XXH3, 128 bits, seed 0.
    Xxh128,
    /// BLAKE3, 256 bits.
    Blake3,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Sha256,
        Self::Sha512,
        Self::Sha1,
        Self::Md5,
        Self::C4,
        Self::Xxh64,
        Self::Xxh3,
        Self::Xxh128,
        Self::Blake3,
    ];

    /// Its name in lower case, as the command line and JSON spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
            Self::C4 => "c4",
            Self::Xxh64 => "xxh64",
            Self::Xxh3 => "xxh3",
            Self::Xxh128 => "xxh128",
            Self::Blake3 => "blake3",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown checksum algorithm '{}'", .0.escape_debug())]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// In any case, with or without a dash (`SHA-256`).
    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        let plain: String =
            text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == plain)
            .ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}
