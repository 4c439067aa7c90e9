//! The hidden names beside a final path.
//!
//! For the final name `comp`, attempt `ID` (32 hex digits) and epoch 3:
//!
//! | name | what |
//! |---|---|
//! | `.comp.databridge-partial.ID.3` | the folder being written |
//! | `.comp.databridge-journal.ID.3` | its journal |
//! | `.comp.databridge-draft.ID.3` | a journal not yet complete |
//! | `.comp.databridge-removed.ID.3` | a partial folder on its way out |
//! | `.comp.databridge-lock` | held by a stand-alone copy while it runs |
//!
//! A final name that would make these longer than the usual 255 bytes stands in
//! them cut, with the start of its SHA-256.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use uuid::Uuid;

use crate::media::checksum::Sha256;

/// 255 less the leading dot and the longest suffix: `.databridge-partial.`, 32
/// digits, a dot and 20 digits.
const STEM_MAX_BYTES: usize = 255 - 1 - 20 - 32 - 1 - 20;

/// What a hidden sibling is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Partial,
    Journal,
    Draft,
    Removed,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Partial, Self::Journal, Self::Draft, Self::Removed];

    const fn word(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Journal => "journal",
            Self::Draft => "draft",
            Self::Removed => "removed",
        }
    }
}

/// A hidden sibling found beside the final path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    pub kind: Kind,
    pub attempt: Uuid,
    pub epoch: u64,
    /// Its whole name.
    pub name: OsString,
}

/// Makes and reads the hidden names of one final path.
#[derive(Debug, Clone)]
pub struct Names {
    stem: Vec<u8>,
}

impl Names {
    /// For the final path's last component.
    pub fn of(name: &OsStr) -> Self {
        let name = name.as_bytes();
        let mut stem = vec![b'.'];
        if name.len() <= STEM_MAX_BYTES {
            stem.extend_from_slice(name);
        } else {
            let digest = Sha256::of(name).to_string();
            stem.extend_from_slice(&name[..80]);
            stem.push(b'~');
            stem.extend_from_slice(&digest.as_bytes()[..16]);
        }
        Self { stem }
    }

    /// The name of a sibling.
    pub fn sibling(&self, kind: Kind, attempt: Uuid, epoch: u64) -> OsString {
        self.with(&format!(".databridge-{}.{}.{epoch}", kind.word(), attempt.simple()))
    }

    /// The stand-alone copies' lock.
    pub fn lock(&self) -> OsString {
        self.with(".databridge-lock")
    }

    fn with(&self, suffix: &str) -> OsString {
        let mut name = self.stem.clone();
        name.extend_from_slice(suffix.as_bytes());
        OsString::from_vec(name)
    }

    /// What `name` is, if it is a sibling of this final path.
    pub fn parse(&self, name: &OsStr) -> Option<Sibling> {
        let rest = name.as_bytes().strip_prefix(self.stem.as_slice())?;
        let rest = std::str::from_utf8(rest).ok()?.strip_prefix(".databridge-")?;
        let kind = Kind::ALL.into_iter().find(|kind| rest.starts_with(kind.word()))?;
        let (attempt, epoch) =
            rest.strip_prefix(kind.word())?.strip_prefix('.')?.split_once('.')?;
        let sibling = Sibling {
            kind,
            attempt: Uuid::try_parse(attempt).ok()?,
            epoch: epoch.parse().ok()?,
            name: name.to_owned(),
        };
        (self.sibling(kind, sibling.attempt, sibling.epoch) == name).then_some(sibling)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_read_as_it_was_made(
            stem in prop_oneof![
                "\\PC{1,80}".prop_map(String::into_bytes),
                // Also what is not UTF-8, up to the longest name there is.
                proptest::collection::vec(any::<u8>(), 1..=255),
            ],
            id: u128,
            epoch: u64,
            kind in 0usize..4,
        ) {
            let names = Names::of(OsStr::from_bytes(&stem));
            let name = names.sibling(Kind::ALL[kind], Uuid::from_u128(id), epoch);
            prop_assert!(name.len() <= 255);
            let read = names.parse(&name).unwrap();
            prop_assert_eq!((read.kind, read.attempt.as_u128(), read.epoch), (Kind::ALL[kind], id, epoch));
            prop_assert!(Names::of(OsStr::new("another")).parse(&name).is_none());
        }

        #[test]
        fn any_name_is_read_or_refused(name in "\\PC*") {
            let _ = Names::of(OsStr::new("a")).parse(OsStr::new(&name));
        }
    }

    #[test]
    fn names_next_to_each_other_do_not_mix() {
        let long = "x".repeat(255);
        let name = Names::of(OsStr::new(&long)).sibling(Kind::Journal, Uuid::nil(), u64::MAX);
        assert!(name.len() <= 255);
        for stranger in [
            ".a.databridge-partial.00000000000000000000000000000000.01",
            ".a.databridge-partial.00000000000000000000000000000000.1.x",
            ".a.databridge-partial.00000000-0000-0000-0000-000000000000.1",
            ".a.databridge-lock",
            "a.databridge-partial.00000000000000000000000000000000.1",
        ] {
            assert_eq!(Names::of(OsStr::new("a")).parse(OsStr::new(stranger)), None, "{stranger}");
        }
    }
}
