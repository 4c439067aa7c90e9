//! SHA-256 of a stream that comes in pieces, days apart and to several hosts.

use sha2::digest::Digest;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

use super::Sha256;

/// Says whose form a state has: another is not taken, since the stream can be read again.
const FORM: &[u8] = b"sha2-0.11:";

/// A digest that is put down between two pieces and taken up again elsewhere.
#[derive(Clone)]
pub struct Resumable(sha2::Sha256);

impl std::fmt::Debug for Resumable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resumable").finish_non_exhaustive()
    }
}

impl Default for Resumable {
    fn default() -> Self {
        Self(sha2::Sha256::new())
    }
}

impl Resumable {
    /// The next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was given.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }

    /// How far it is, to be kept.
    pub fn state(&self) -> Vec<u8> {
        [FORM, &self.0.serialize()[..]].concat()
    }

    /// Takes up what was kept; `None` where another version of it was.
    pub fn take_up(state: &[u8]) -> Option<Self> {
        let state = SerializedState::<sha2::Sha256>::try_from(state.strip_prefix(FORM)?).ok()?;
        sha2::Sha256::deserialize(&state).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_form_is_not_taken_up() {
        let state = Resumable::default().state();
        assert!(Resumable::take_up(&state).is_some());
        assert!(Resumable::take_up(&state[1..]).is_none());
        assert!(Resumable::take_up(&state[..state.len() - 1]).is_none());
        assert!(Resumable::take_up(b"").is_none());
    }

    proptest! {
        // Against the digest that everything else in the house is held to.
        #[test]
        fn pieces_that_are_put_down_make_the_digest_of_the_whole(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
        ) {
            let mut state = Resumable::default().state();
            for piece in &pieces {
                let mut digest = Resumable::take_up(&state).unwrap();
                digest.update(piece);
                state = digest.state();
            }
            let digest = Resumable::take_up(&state).unwrap().finish();
            prop_assert_eq!(digest, Sha256::of(&pieces.concat()));
        }
    }
}
