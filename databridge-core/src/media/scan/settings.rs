//! What a caller may choose.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ContentPolicy, Error};

/// Which engines look, where they are, and what their word is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which engine must answer.
    pub engine: Engine,
    /// The antivirus daemon; needed for [`Engine::Clamd`].
    pub clamd: Option<Clamd>,
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
    /// Files looked at in parallel; 0 is one for each core, 8 at most.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: Engine::Auto,
            clamd: None,
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
    /// A clamd that answers, else the rules, which then say `no_antivirus`.
    #[default]
    Auto,
}

impl FromStr for Engine {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        match s {
            "rules" => Ok(Self::Rules),
            "clamd" => Ok(Self::Clamd),
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
    /// Oldest signatures whose silence counts; `None` accepts any age, also an
    /// unknown one.
    pub signature_max_age_seconds: Option<u64>,
    /// Programs and scripts may pass.
    pub allow_executables: bool,
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
            waived: Vec::new(),
        }
    }
}

/// A clamd and what is known of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clamd {
    /// Where it listens.
    pub address: ClamdAddress,
    /// The smallest of its `MaxFileSize`, `MaxScanSize` and, over TCP,
    /// `StreamMaxLength`. `None`: 25 MB, the smallest that distributions ship.
    /// Nothing beyond 2 GiB counts, since ClamAV reads no further.
    #[serde(default)]
    pub max_file_size_bytes: Option<u64>,
    /// How long connecting, and its answers to PING and VERSION, may take.
    #[serde(default = "default_connect_timeout_seconds")]
    pub connect_timeout_seconds: u64,
}

const fn default_connect_timeout_seconds() -> u64 {
    5
}

impl Clamd {
    /// A clamd whose configuration is not known.
    pub const fn at(address: ClamdAddress) -> Self {
        Self {
            address,
            max_file_size_bytes: None,
            connect_timeout_seconds: default_connect_timeout_seconds(),
        }
    }
}

/// Where a clamd listens: `/run/clamav/clamd.ctl` (also `unix:/…`), or
/// `scanner.lan:3310` (also `tcp://…`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClamdAddress {
    /// A local socket; files are passed as descriptors.
    Unix(PathBuf),
    /// Host and port; files are streamed.
    Tcp(String),
}

impl FromStr for ClamdAddress {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        let path = s.strip_prefix("unix:").unwrap_or(s);
        if path.starts_with('/') {
            return Ok(Self::Unix(path.into()));
        }
        let host = s.strip_prefix("tcp://").unwrap_or(s);
        match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(host.to_owned()))
            }
            _ => Err(Error::Setting { what: "clamd address", text: s.to_owned() }),
        }
    }
}

impl TryFrom<String> for ClamdAddress {
    type Error = Error;
    fn try_from(s: String) -> Result<Self, Error> {
        s.parse()
    }
}

impl From<ClamdAddress> for String {
    fn from(address: ClamdAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ClamdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}
