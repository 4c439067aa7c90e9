//! Where the antivirus engines are and what is known of them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::media::scan::Error;

/// A clamd and what is known of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clamd {
    /// Where it listens.
    pub address: ClamdAddress,
    /// Its configuration, if that can be read here. `None`: where distributions
    /// keep it, if what stands there names this very socket.
    #[serde(default)]
    pub config_file: Option<PathBuf>,
    /// The smallest of its `MaxFileSize`, `MaxScanSize` and, over TCP,
    /// `StreamMaxLength`, where its configuration cannot be read here. Without
    /// either 25 MB, the smallest that distributions ship. Nothing beyond 2 GiB
    /// counts, since ClamAV reads no further.
    #[serde(default)]
    pub max_file_size_bytes: Option<u64>,
    /// How long connecting, and its answers to PING and VERSION, may take.
    #[serde(default = "default_connect_timeout_seconds")]
    pub connect_timeout_seconds: u64,
    /// How long a daemon that is gone, as while it restarts, is waited for in
    /// mid-scan.
    #[serde(default = "default_retry_seconds")]
    pub retry_seconds: u64,
}

const fn default_connect_timeout_seconds() -> u64 {
    5
}

const fn default_retry_seconds() -> u64 {
    20
}

impl Clamd {
    /// A clamd whose configuration is not known.
    pub const fn at(address: ClamdAddress) -> Self {
        Self {
            address,
            config_file: None,
            max_file_size_bytes: None,
            connect_timeout_seconds: default_connect_timeout_seconds(),
            retry_seconds: default_retry_seconds(),
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

/// The clamscan program. It is given every limit explicitly, so that none is
/// unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clamscan {
    /// The program, by name or path.
    pub program: PathBuf,
    /// Its signatures; `None` where it keeps them itself.
    pub database: Option<PathBuf>,
    /// `--max-filesize`; what is larger is not scanned.
    pub max_file_size_bytes: u64,
    /// `--max-scansize`: all that is unpacked from one file.
    pub max_scan_size_bytes: u64,
    /// `--max-recursion`.
    pub max_recursion: u32,
    /// `--max-files`.
    pub max_files: u32,
    /// How many run at a time; each holds all signatures in memory.
    pub processes: usize,
    /// How long it may take to load its signatures.
    pub start_timeout_seconds: u64,
}

impl Default for Clamscan {
    fn default() -> Self {
        Self {
            program: "clamscan".into(),
            database: None,
            max_file_size_bytes: 2000 << 20,
            max_scan_size_bytes: 4000 << 20,
            max_recursion: 17,
            max_files: 10_000,
            processes: 1,
            start_timeout_seconds: 120,
        }
    }
}
