//! How far a clamd reads: told by itself, by its configuration, or proved.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::media::scan::settings::{Clamd, ClamdAddress};

/// ClamAV reads no further, whatever its configuration says, and silently calls
/// clean what is larger (`cl_scandesc` takes no file of 2 GiB).
pub const CEILING_BYTES: u64 = 2_147_483_644;
/// The smallest limit that distributions ship.
const UNKNOWN_LIMIT_BYTES: u64 = 25 << 20;
/// Where distributions keep it.
const USUAL: [&str; 4] = [
    "/etc/clamav/clamd.conf",
    "/etc/clamd.d/scan.conf",
    "/usr/local/etc/clamav/clamd.conf",
    "/etc/clamd.conf",
];

/// What a configuration file says (`clamd.conf(5)`), as far as it bears on what
/// is read. What it does not say is `None`: defaults differ between versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub local_socket: Option<PathBuf>,
    pub max_file_size_bytes: Option<u64>,
    pub max_scan_size_bytes: Option<u64>,
    pub stream_max_length_bytes: Option<u64>,
    pub max_scan_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            local_socket: None,
            max_file_size_bytes: None,
            max_scan_size_bytes: None,
            stream_max_length_bytes: None,
            // The same in every version that has it.
            max_scan_time: Duration::from_secs(120),
        }
    }
}

impl Config {
    /// Reads the text; what is not understood is not known.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
            let value = value.trim_matches('"');
            match name {
                "LocalSocket" => config.local_socket = Some(value.into()),
                "MaxFileSize" => config.max_file_size_bytes = size(value),
                "MaxScanSize" => config.max_scan_size_bytes = size(value),
                "StreamMaxLength" => config.stream_max_length_bytes = size(value),
                "MaxScanTime" => {
                    // One that is not understood leaves none to trust.
                    config.max_scan_time = duration(value).unwrap_or_default();
                }
                _ => {}
            }
        }
        config
    }

    /// The one that `clamd` names, or a usual one that names its socket.
    pub fn of(clamd: &Clamd) -> Option<Self> {
        let read = |path: &Path| std::fs::read_to_string(path).ok().map(|text| Self::parse(&text));
        if let Some(path) = &clamd.config_file {
            return read(path);
        }
        let ClamdAddress::Unix(socket) = &clamd.address else { return None };
        let socket = std::fs::canonicalize(socket).ok()?;
        USUAL.iter().filter_map(|path| read(Path::new(path))).find(|config| {
            let named = config.local_socket.as_ref();
            named.and_then(|named| std::fs::canonicalize(named).ok()).as_ref() == Some(&socket)
        })
    }

    /// The largest file it reads whole.
    fn file_bytes(&self, streamed: bool) -> u64 {
        let stream = if streamed { self.stream_max_length_bytes } else { Some(0) };
        [self.max_file_size_bytes, self.max_scan_size_bytes, stream]
            .into_iter()
            .map(|limit| match limit {
                Some(0) => CEILING_BYTES,
                Some(limit) => limit,
                None => UNKNOWN_LIMIT_BYTES,
            })
            .min()
            .unwrap_or(UNKNOWN_LIMIT_BYTES)
    }
}

/// `25M`; 0 is without a limit.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Milliseconds; 0 is without a limit.
fn duration(text: &str) -> Option<Duration> {
    match text.parse().ok()? {
        0 => Some(Duration::MAX),
        milliseconds => Some(Duration::from_millis(milliseconds)),
    }
}

/// How large a file's `OK` may be believed at all, where the daemon does not
/// tell what exceeds its limits.
pub fn largest(clamd: &Clamd, config: Option<&Config>) -> u64 {
    let streamed = matches!(clamd.address, ClamdAddress::Tcp(_));
    let known = match (config, clamd.max_file_size_bytes) {
        (Some(config), Some(ours)) => ours.min(config.file_bytes(streamed)),
        (Some(config), None) => config.file_bytes(streamed),
        (None, Some(ours)) => ours,
        (None, None) => UNKNOWN_LIMIT_BYTES,
    };
    known.min(CEILING_BYTES)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn debian_and_ours() {
        let config = Config::parse(
            "# A comment\nLocalSocket /var/run/clamav/clamd.ctl\nMaxScanTime 120000\n\
             MaxScanSize 100M\nMaxFileSize 25M\nStreamMaxLength 1G\nMaxFiles\n",
        );
        assert_eq!(config.local_socket, Some("/var/run/clamav/clamd.ctl".into()));
        assert_eq!(config.max_scan_time, Duration::from_secs(120));
        assert_eq!((config.file_bytes(false), config.file_bytes(true)), (25 << 20, 25 << 20));
        let unlimited = Config::parse("MaxScanSize 0\nMaxFileSize 0\nMaxScanTime 0");
        assert_eq!(unlimited.file_bytes(false), CEILING_BYTES);
        assert_eq!(unlimited.file_bytes(true), UNKNOWN_LIMIT_BYTES, "the stream's is not known");
        assert_eq!(unlimited.max_scan_time, Duration::MAX);
        let odd = Config::parse("MaxFileSize lots\nMaxScanSize -1\nMaxScanTime soon");
        assert_eq!(odd, Config { max_scan_time: Duration::ZERO, ..Config::default() });
    }

    #[test]
    fn the_smallest_of_all_counts() {
        let mut clamd = Clamd::at(ClamdAddress::Unix("/none".into()));
        let config = Config::parse("MaxScanSize 80M\nMaxFileSize 50M");
        assert_eq!(largest(&clamd, None), UNKNOWN_LIMIT_BYTES);
        assert_eq!(largest(&clamd, Some(&config)), 50 << 20);
        clamd.max_file_size_bytes = Some(60 << 20);
        assert_eq!(largest(&clamd, Some(&config)), 50 << 20, "ours promises too much");
        clamd.max_file_size_bytes = Some(u64::MAX);
        assert_eq!(largest(&clamd, None), CEILING_BYTES);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(?s).{0,200}") {
            let _ = Config::parse(&text);
        }

        #[test]
        fn sizes_are_as_written(n in 0u64..1 << 40, unit in 0usize..4) {
            let text = format!("MaxFileSize {n}{}", ["", "K", "m", "G"][unit]);
            let expected = n.checked_mul([1, 1 << 10, 1 << 20, 1 << 30][unit]);
            prop_assert_eq!(Config::parse(&text).max_file_size_bytes, expected);
        }
    }
}
