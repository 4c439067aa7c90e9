//! What a caller may choose.

mod antivirus;
mod choice;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::antivirus::{Clamd, ClamdAddress, Clamscan};
pub use self::choice::Choice;
use super::{Accept, ContentPolicy, Error};

/// Which engines look, where they are, and what their word is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which engine must answer.
    pub engine: Engine,
    /// The antivirus daemon; needed for [`Engine::Clamd`].
    pub clamd: Option<Clamd>,
    /// The antivirus program that is run where no daemon answers.
    pub clamscan: Clamscan,
    /// A folder of the studio's own YARA rules (`*.yar`, `*.yara`), beside those
    /// that DataBridge ships.
    pub rules_dir: Option<PathBuf>,
    /// Up to this size rules see a file whole, in memory.
    pub rules_whole_bytes: u64,
    /// Up to this size they see all of a larger one, in windows that overlap; of
    /// one beyond it they see the beginning and the end, and that never counts as
    /// having read it.
    pub rules_read_bytes: u64,
    /// What the engines' word is worth.
    pub policy: Policy,
    /// What files may be.
    pub content: ContentPolicy,
    /// How long one engine may take over one file.
    pub file_timeout_seconds: u64,
    /// Files looked at in parallel. 0 is two for each core, 16 at most, since while one waits
    /// for the antivirus, the other is read; and of small files up to 24 in all.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: Engine::Auto,
            clamd: None,
            clamscan: Clamscan::default(),
            rules_dir: None,
            rules_whole_bytes: 64 << 20,
            rules_read_bytes: 1 << 30,
            policy: Policy::default(),
            content: ContentPolicy::default(),
            file_timeout_seconds: 300,
            threads: 0,
        }
    }
}

impl Settings {
    /// How long one engine may take over one file.
    pub const fn file_timeout(&self) -> Duration {
        Duration::from_secs(self.file_timeout_seconds)
    }

    /// These settings for what belongs to a project and a category: the rules of
    /// [`ContentPolicy`] that name them are applied.
    #[must_use]
    pub fn within(&self, project: &str, category: &str) -> Self {
        let mut settings = self.clone();
        if let Some(allow) = settings.content.narrow(project, category) {
            settings.policy.allow_executables = allow;
        }
        settings
    }
}

/// Which engine must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Rules and content checks only.
    Rules,
    /// clamd, and the rules; without a clamd that answers there is no scan.
    Clamd,
    /// clamscan, and the rules; without it there is no scan.
    Clamscan,
    /// A clamd that answers, else clamscan, else the rules, which then say
    /// `no_antivirus`.
    #[default]
    Auto,
}

impl FromStr for Engine {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        match s {
            "rules" => Ok(Self::Rules),
            "clamd" => Ok(Self::Clamd),
            "clamscan" => Ok(Self::Clamscan),
            "auto" => Ok(Self::Auto),
            _ => Err(Error::Setting { what: "engine", text: s.to_owned() }),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rules => "rules",
            Self::Clamd => "clamd",
            Self::Clamscan => "clamscan",
            Self::Auto => "auto",
        })
    }
}

/// What the engines' word is worth. It is part of every report and receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// A file that only rules looked at, whole, may be called clean.
    pub rules_suffice: bool,
    /// Oldest signatures whose silence counts; `None`, in a configuration `"any"`,
    /// accepts any age, also an unknown one.
    #[serde(deserialize_with = "age")]
    pub signature_max_age_seconds: Option<u64>,
    /// Programs and scripts may pass.
    pub allow_executables: bool,
    /// What passes although it is not clean, by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<Accept>,
    /// Rules whose findings count for nothing. A report has them from
    /// [`ContentPolicy::waive`], whatever stands here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rules_suffice: false,
            signature_max_age_seconds: Some(7 * 24 * 3600),
            allow_executables: false,
            accept: Vec::new(),
            waived: Vec::new(),
        }
    }
}

/// A number, or what stands for none: TOML has no null.
fn age<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Age {
        Seconds(u64),
        Word(String),
    }
    match Option::<Age>::deserialize(from)? {
        None => Ok(None),
        Some(Age::Seconds(seconds)) => Ok(Some(seconds)),
        Some(Age::Word(word)) if word == "any" => Ok(None),
        Some(Age::Word(word)) => Err(serde::de::Error::custom(format!(
            "a number of seconds or \"any\" is wanted, not {word:?}"
        ))),
    }
}
