//! Frame sequences, folded for people and never for verification.
//!
//! Which part of a name is a frame follows the disk names of Fileseq (PyPI, 3.4,
//! `constants.DISK_PATTERN`), which is also the oracle of the Python tests: the last
//! number before the extension, where an extension may be compound (`.bgeo.sc`) and a
//! number that nothing follows (`a.1001`) is one. So are names told apart by padding
//! (`yield_sequences_in_list`): the width counts a sign, as `printf("%04d")` does, and
//! a frame that is too long for its width overflows it. What differs on purpose:
//!
//! - a number after a lone `v` is a version (`shot_v002.ma`) and no frame;
//! - frames that lack the padding do not belong to it: 999 is no frame of `####`,
//!   whatever 10000 is, and equal names never fall one way today and another tomorrow;
//! - tiles from 1001 to 1999 are no time where a name beside them says `<UDIM>` or
//!   `%(UDIM)d`, or their own ends in `udim`: nothing is missing among them;
//! - a dash is a sign only after a dot, underscore, space, or nothing: `a-1001.exr` is
//!   frame 1001 of `a-`; there is no negative zero;
//! - more than 15 digits are a checksum or a date, and no frame.

mod find;
mod name;
mod numbers;
mod sizes;

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

pub use find::{below, of_names};
pub use numbers::{Numbers, Run};

use super::walk;
use crate::base::error::{ErrorKind, Fault};

/// What a frame's digits are written as, after Fileseq's two styles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// One `#` for each digit, as in Nuke.
    #[default]
    Hash1,
    /// One `#` for four digits, else one `@` for each.
    Hash4,
}

impl Padding {
    /// `width` digits.
    pub fn text(self, width: usize) -> String {
        match self {
            Self::Hash4 if width.is_multiple_of(4) => "#".repeat(width / 4),
            Self::Hash4 => "@".repeat(width),
            Self::Hash1 => "#".repeat(width),
        }
    }
}

impl FromStr for Padding {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "hash1" => Ok(Self::Hash1),
            "hash4" => Ok(Self::Hash4),
            other => Err(Error::Padding(other.to_owned())),
        }
    }
}

/// How names are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// `sim.1001.25.bgeo` is frame 1001.25 and not frame 25 of `sim.1001.`.
    pub subframes: bool,
    /// Frames are due so far apart: 2 for a sequence on twos. At least 1.
    pub step: i64,
    /// Files that are in no sequence are told too, as [`Kind::Single`].
    pub singles: bool,
    /// Names that begin with a dot are read too.
    pub hidden: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { subframes: false, step: 1, singles: false, hidden: false }
    }
}

/// What the numbers of a sequence are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Time.
    Frames,
    /// Places on a surface: UDIM.
    Tiles,
    /// A file without a frame.
    Single,
}

/// Files that differ only in their frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The folder, as it was given.
    pub directory: PathBuf,
    /// What stands before the frame.
    pub basename: OsString,
    /// What stands behind it, with its dot.
    pub extension: OsString,
    /// What the numbers are.
    pub kind: Kind,
    /// At least so many characters before a decimal point, a sign included. 0 where
    /// there is no frame.
    pub width: usize,
    /// The frames that are there.
    pub frames: Numbers,
    /// Those that are due between the first and the last and are not there. None is
    /// due among tiles and sub-frames.
    pub missing: Numbers,
    /// Files with nothing in them.
    pub zero_byte: Numbers,
    /// Files whose size is far from the others'; see [`below`].
    pub outliers: Numbers,
    /// Frames that another file of the same name, but for padding or case, also is.
    pub duplicates: Numbers,
    /// Their lengths added up, where they are known.
    pub total_bytes: Option<u64>,
}

impl Sequence {
    /// `####`, in a style; `####.##` with sub-frames; nothing without frames.
    pub fn padding(&self, style: Padding) -> String {
        match (self.width, self.frames.decimals()) {
            (0, _) => String::new(),
            (width, 0) => style.text(width),
            (width, decimals) => format!("{}.{}", style.text(width), style.text(decimals)),
        }
    }
}

/// Why sequences cannot be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder cannot be read.
    #[error(transparent)]
    Walk(#[from] walk::Error),
    /// Not a style.
    #[error("{0:?} is no padding style")]
    Padding(String),
    /// Not a distance.
    #[error("frames cannot be {0} apart")]
    Step(i64),
    /// Somebody asked to stop.
    #[error("the search for sequences was stopped")]
    Cancelled,
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Walk(error) => error.kind(),
            Self::Padding(_) | Self::Step(_) => ErrorKind::Invalid,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Walk(error) => error.code(),
            Self::Padding(_) => "sequence.padding",
            Self::Step(_) => "sequence.step",
            Self::Cancelled => "sequence.cancelled",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        match self {
            Self::Walk(error) => error.hint(),
            Self::Padding(_) => {
                Some("hash1 is one # a digit, hash4 one # for four digits, else @".into())
            }
            Self::Step(_) => Some("1 is every frame, 2 every second".into()),
            Self::Cancelled => Some("start it again: nothing was changed".into()),
        }
    }
}

#[cfg(test)]
mod tests;
