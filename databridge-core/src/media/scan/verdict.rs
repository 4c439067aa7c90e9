//! What an engine, a file and a tree can be said to be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::media::checksum::Sha256;
use crate::media::storage::RelPath;

/// What is known about a file, or about a whole tree, whose verdict is the worst
/// of its files'. The variants stand in order of severity and compare by it:
/// an `Error` is worse than a `Suspicious`, because a decision about what was
/// found must not cover what nobody could look at.
///
/// In JSON `{"kind": "not_scanned", "reason": "too_large"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verdict {
    /// An antivirus engine read all of it and found nothing. The only verdict
    /// that passes by itself.
    Clean,
    /// Nothing was found, but nobody can say that nothing is there.
    NotScanned {
        /// Why.
        reason: Reason,
    },
    /// A rule says that a person should look.
    Suspicious {
        /// The rule's name.
        rule: String,
    },
    /// The scan itself failed.
    Error {
        /// What went wrong.
        message: String,
    },
    /// Malware.
    Infected {
        /// The signature's name.
        name: String,
    },
}

impl Verdict {
    /// Whether nobody has to decide anything.
    pub const fn is_clean(&self) -> bool {
        matches!(self, Self::Clean)
    }
    /// A [`Verdict::Infected`].
    pub const fn is_infected(&self) -> bool {
        matches!(self, Self::Infected { .. })
    }
    /// Nobody looked, for this reason.
    pub const fn not_scanned(reason: Reason) -> Self {
        Self::NotScanned { reason }
    }
    /// A [`Verdict::Error`].
    pub fn error(message: impl fmt::Display) -> Self {
        Self::Error { message: message.to_string() }
    }
    /// The name of the variant, as JSON has it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::NotScanned { .. } => "not_scanned",
            Self::Suspicious { .. } => "suspicious",
            Self::Error { .. } => "error",
            Self::Infected { .. } => "infected",
        }
    }
}

/// `clean`, `infected(Eicar-Test-Signature)`, `not_scanned(too_large)`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("clean"),
            Self::NotScanned { reason } => write!(f, "not_scanned({reason})"),
            Self::Suspicious { rule } => write!(f, "suspicious({rule})"),
            Self::Error { message } => write!(f, "error({message})"),
            Self::Infected { name } => write!(f, "infected({name})"),
        }
    }
}

/// Why a file counts as not scanned although no engine complained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Only rules and content checks looked.
    NoAntivirus,
    /// The engine's signatures are older than the policy allows, or of unknown
    /// age.
    StaleSignatures,
    /// The engine does not even know the test file that every engine knows: it has
    /// no signatures to speak of.
    NoSignatures,
    /// The engine would silently skip what exceeds its limits, and whether this
    /// file does cannot be told from outside.
    UnknownLimits,
    /// Beyond the size that the engine reads.
    TooLarge,
    /// The engine stopped at one of its own limits (depth, count, unpacked size).
    Limits,
    /// Encrypted, so that no engine can look inside.
    Encrypted,
    /// The engine did not answer in time.
    TimedOut,
    /// Somebody with the right to decided to go on without a scan.
    Overridden,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAntivirus => "no_antivirus",
            Self::StaleSignatures => "stale_signatures",
            Self::NoSignatures => "no_signatures",
            Self::UnknownLimits => "unknown_limits",
            Self::TooLarge => "too_large",
            Self::Limits => "limits",
            Self::Encrypted => "encrypted",
            Self::TimedOut => "timed_out",
            Self::Overridden => "overridden",
        })
    }
}

/// Which engine looked, and how much it knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EngineInfo {
    /// `clamd`, `clamscan`, `rules`, `content`.
    pub name: String,
    /// The engine's own version.
    pub version: String,
    /// The version of its signatures or rules, where they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_version: Option<String>,
    /// When its signatures were made, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_date: Option<Timestamp>,
    /// Whether its silence may be called clean.
    pub antivirus: bool,
}

/// One thing that one engine said about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The engine's name.
    pub engine: String,
    /// What it said.
    pub verdict: Verdict,
    /// Why, and where in the file, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One thing that an engine has to say about a file, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What.
    pub verdict: Verdict,
    /// Why, and where in the file, for people.
    pub why: Option<String>,
}

impl From<Verdict> for Said {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, why: None }
    }
}

/// A file and everything that was said about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVerdict {
    /// Relative to the root of the scan.
    pub path: RelPath,
    /// What counts.
    pub verdict: Verdict,
    /// The engine that decided it.
    pub engine: String,
    /// Bytes read; `None` if the file could not be read.
    pub size_bytes: Option<u64>,
    /// Digest of what was scanned; `None` if the file could not be read.
    pub sha256: Option<Sha256>,
    /// Everything that was said, clean or not.
    pub findings: Vec<Finding>,
    /// Why the policy lets it pass although it is not clean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}
