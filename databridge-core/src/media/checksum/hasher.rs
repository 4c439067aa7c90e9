//! Many digests of one stream.

use aws_lc_rs::digest;
use md5::{Digest as _, Md5};
use xxhash_rust::xxh3::Xxh3;
use xxhash_rust::xxh64::Xxh64;

use super::{Algorithm, Digests, Sha256};

/// Takes a stream piece by piece and ends in its [`Digests`].
pub struct Hasher {
    sha256: digest::Context,
    others: Vec<(Algorithm, State)>,
}

enum State {
    Sha(digest::Context),
    Md5(Md5),
    Xxh64(Xxh64),
    // These two are large; boxed, the others stay small.
    Xxh3(Box<Xxh3>),
    Blake3(Box<blake3::Hasher>),
}

impl State {
    fn new(algorithm: Algorithm) -> Option<Self> {
        Some(match algorithm {
            Algorithm::Sha256 => return None,
            Algorithm::Sha512 | Algorithm::C4 => Self::Sha(digest::Context::new(&digest::SHA512)),
            Algorithm::Sha1 => Self::Sha(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Md5 => Self::Md5(Md5::new()),
            Algorithm::Xxh64 => Self::Xxh64(Xxh64::new(0)),
            Algorithm::Xxh3 | Algorithm::Xxh128 => Self::Xxh3(Box::new(Xxh3::new())),
            Algorithm::Blake3 => Self::Blake3(Box::new(blake3::Hasher::new())),
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha(state) => state.update(bytes),
            Self::Md5(state) => state.update(bytes),
            Self::Xxh64(state) => state.update(bytes),
            Self::Xxh3(state) => state.update(bytes),
            Self::Blake3(state) => {
                state.update(bytes);
            }
        }
    }

    fn finish(self, algorithm: Algorithm) -> String {
        match self {
            Self::Sha(state) if algorithm == Algorithm::C4 => c4(state.finish().as_ref()),
            Self::Sha(state) => hex::encode(state.finish()),
            Self::Md5(state) => hex::encode(state.finalize()),
            Self::Xxh64(state) => format!("{:016x}", state.digest()),
            Self::Xxh3(state) if algorithm == Algorithm::Xxh128 => {
                format!("{:032x}", state.digest128())
            }
            Self::Xxh3(state) => format!("{:016x}", state.digest()),
            Self::Blake3(state) => state.finalize().to_hex().to_string(),
        }
    }
}

impl Hasher {
    /// SHA-256 and whatever else is asked for; asking twice is asking once.
    pub fn new(algorithms: &[Algorithm]) -> Self {
        let mut wanted = algorithms.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let others = wanted.into_iter().filter_map(|a| Some((a, State::new(a)?))).collect();
        Self { sha256: digest::Context::new(&digest::SHA256), others }
    }

    /// The next piece of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        for (_, state) in &mut self.others {
            state.update(bytes);
        }
    }

    /// The digests of all that was given.
    pub fn finish(self) -> Digests {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.sha256.finish().as_ref());
        let others = self.others.into_iter().map(|(a, state)| (a, state.finish(a))).collect();
        Digests::new(Sha256(sha256), others)
    }
}

/// SMPTE ST 2114: the SHA-512 as one number in base 58, filled up on the left with
/// `1` (the zero of that alphabet) to 88 digits, after the letters `c4`.
fn c4(sha512: &[u8]) -> String {
    // Base 58 for addresses writes one `1` for each leading zero byte; a number
    // has no leading zeros, so they go and the fill alone decides.
    let digits = bs58::encode(sha512).into_string();
    format!("c4{:1>88}", digits.trim_start_matches('1'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn digests(bytes: &[u8]) -> Digests {
        let mut hasher = Hasher::new(&Algorithm::ALL);
        hasher.update(bytes);
        hasher.finish()
    }

    // The vectors that the specifications and the authors' own tools give.
    #[test]
    fn known_answers() {
        let empty = [
            (Algorithm::Sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (
                Algorithm::Sha512,
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                 47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
            ),
            (Algorithm::Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            (Algorithm::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
            (
                Algorithm::C4,
                "c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQstpDuni4Hirj75GEmTc1sFT",
            ),
            (Algorithm::Xxh64, "ef46db3751d8e999"),
            (Algorithm::Xxh3, "2d06800538d394c2"),
            (Algorithm::Xxh128, "99aa06d3014798d86001c324468d497f"),
            (Algorithm::Blake3, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        ];
        for (algorithm, text) in empty {
            assert_eq!(digests(b"").get(algorithm).unwrap(), text, "{algorithm}");
        }
        let abc = [
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Xxh64, "44bc2cf5ad770999"),
            (Algorithm::Xxh3, "78af5f94892f3950"),
            (Algorithm::Xxh128, "06b05ab6733a618578af5f94892f3950"),
            (Algorithm::Blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ];
        for (algorithm, text) in abc {
            assert_eq!(digests(b"abc").get(algorithm).unwrap(), text, "{algorithm}");
        }
    }

    #[test]
    fn c4_is_90_characters_also_of_small_numbers() {
        assert_eq!(c4(&[0; 64]), format!("c4{}", "1".repeat(88)));
        let mut one = [0; 64];
        one[63] = 1;
        assert_eq!(c4(&one), format!("c4{}2", "1".repeat(87)));
        assert_eq!(c4(&[0xff; 64]).len(), 90);
    }

    #[test]
    fn names_and_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
            let json = serde_json::to_string(&algorithm).unwrap();
            assert_eq!(json, format!("\"{algorithm}\""));
        }
        assert_eq!("SHA-256".parse(), Ok(Algorithm::Sha256));
        assert!("crc32".parse::<Algorithm>().is_err());
    }

    #[test]
    fn sha256_is_there_unasked_and_json_comes_back() {
        let mut hasher = Hasher::new(&[Algorithm::Md5, Algorithm::Md5]);
        hasher.update(b"abc");
        let digests = hasher.finish();
        assert_eq!(digests.sha256(), Sha256::of(b"abc"));
        assert_eq!(digests.iter().count(), 2);
        let json = serde_json::to_string(&digests).unwrap();
        assert_eq!(serde_json::from_str::<Digests>(&json).unwrap(), digests);
        assert!(serde_json::from_str::<Digests>("{\"md5\":\"00\"}").is_err());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..5000), at in 0usize..5000) {
            let at = at.min(bytes.len());
            let mut hasher = Hasher::new(&Algorithm::ALL);
            hasher.update(&bytes[..at]);
            hasher.update(&bytes[at..]);
            prop_assert_eq!(hasher.finish(), digests(&bytes));
        }
    }
}
