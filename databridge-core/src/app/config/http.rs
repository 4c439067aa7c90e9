//! How the daemon meets those who ask.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Bounds of requests, who may come from a browser, and where metrics are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The largest JSON body, in bytes.
    pub max_json_bytes: u64,
    /// The largest headers, in bytes, up to 65,536.
    pub max_header_bytes: u64,
    /// Seconds for the headers to arrive; an idle connection is closed after as many.
    pub header_seconds: u64,
    /// Seconds for a JSON body to arrive, and between two parts of an upload.
    pub body_seconds: u64,
    /// Seconds for an answer; uploads and streams have none.
    pub answer_seconds: u64,
    /// Connections at a time; more wait to be taken.
    pub max_connections: usize,
    /// Origins whose pages may ask (`https://console.studio.example`); none unless named.
    pub origins: Vec<String>,
    /// Where `/metrics` is served to anybody who reaches it; without it `/metrics` is on
    /// the daemon's own address, for who may read metrics.
    pub metrics_listen: Option<String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_json_bytes: 2 << 20,
            max_header_bytes: 16 << 10,
            header_seconds: 15,
            body_seconds: 30,
            answer_seconds: 110,
            max_connections: 8192,
            origins: Vec::new(),
            metrics_listen: None,
        }
    }
}

impl HttpConfig {
    /// Whether all of it can work; else which setting, and why not.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let seconds = [
            ("http.header_seconds", self.header_seconds),
            ("http.body_seconds", self.body_seconds),
            ("http.answer_seconds", self.answer_seconds),
        ];
        for (setting, value) in seconds {
            if !(1..=3600).contains(&value) {
                return Err((setting, "1 to 3600".into()));
            }
        }
        if !(1024..=1 << 16).contains(&self.max_header_bytes) {
            return Err(("http.max_header_bytes", "1024 to 65536".into()));
        }
        if !(1024..=1 << 30).contains(&self.max_json_bytes) {
            return Err(("http.max_json_bytes", "1 KiB to 1 GiB".into()));
        }
        if self.max_connections == 0 {
            return Err(("http.max_connections", "at least 1".into()));
        }
        // With credentials `*` would let every page on the internet in.
        for origin in &self.origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' '])) {
                return Err(("http.origins", format!("{origin:?} is no scheme://host[:port]")));
            }
        }
        Ok(())
    }
}

/// TLS by rustls, versions 1.2 and 1.3. Without a certificate the daemon speaks plain
/// HTTP: for its own host, or behind a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate and those between it and its root, PEM, in this order.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM, readable by nobody else.
    pub key_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Both files, where TLS is wanted.
    pub fn files(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.cert_file.as_ref().zip(self.key_file.as_ref())
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => Err(("tls.key_file", "tls.cert_file is of no use alone".into())),
            (None, Some(_)) => Err(("tls.cert_file", "tls.key_file is of no use alone".into())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_named_one_by_one() {
        let of =
            |origin: &str| HttpConfig { origins: vec![origin.into()], ..HttpConfig::default() };
        assert!(of("https://console.example:8443").check().is_ok());
        for wrong in ["*", "https://*", "console.example", "https://a/b", "https://"] {
            assert!(of(wrong).check().is_err(), "{wrong}");
        }
    }
}
