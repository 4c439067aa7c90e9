//! How an object store is reached, and who we are there.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::Error;

/// Where the object store is and how to sign in. What is not set comes from the
/// usual `AWS_…` variables, and where these name nobody, from the host's own role
/// (instance metadata, web identity).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `https://…` of a store that is not Amazon's.
    pub endpoint: Option<String>,
    /// Its region; `us-east-1` where nothing says.
    pub region: Option<String>,
    /// Whether the bucket stands in the path (as most stores behind an endpoint of
    /// their own want it) and not in the host's name; unset: with an endpoint it does.
    pub path_style: Option<bool>,
    /// Whether `http://` will do: only on a network where nobody listens.
    pub allow_http: bool,
    /// Who we are.
    pub access_key_id: Option<String>,
    /// The secret to it. Never written out.
    #[serde(skip_serializing)]
    pub secret_access_key: Option<String>,
    /// A file that holds the secret instead, and nothing else.
    pub secret_access_key_file: Option<PathBuf>,
    /// For how long a request that fails for a passing reason is repeated, in
    /// seconds; 60 where it is not set, at most 300 (a signature lives not much longer).
    pub retry_seconds: Option<u64>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether all of it can work, as far as that can be told without a network.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |reason: &str| Err(Error::Settings { reason: reason.into() });
        if let Some(endpoint) = &self.endpoint {
            let plain = endpoint.starts_with("http://");
            if !plain && !endpoint.starts_with("https://") {
                return wrong("s3.endpoint is not an https:// URL");
            }
            if plain && !self.allow_http {
                return wrong(
                    "s3.endpoint is http://, which s3.allow_http = true would have to allow",
                );
            }
            if endpoint.contains(['@', '?']) {
                return wrong("s3.endpoint may hold no credentials");
            }
        }
        if self.secret_access_key.is_some() && self.secret_access_key_file.is_some() {
            return wrong("s3.secret_access_key and s3.secret_access_key_file exclude each other");
        }
        if self.retry_seconds.is_some_and(|seconds| seconds > 300) {
            return wrong("s3.retry_seconds is at most 300");
        }
        Ok(())
    }

    /// The secret, from wherever it is.
    ///
    /// # Errors
    /// [`Error::Settings`] where its file cannot be read.
    #[cfg(feature = "cloud")]
    pub(super) fn secret(&self) -> Result<Option<String>, Error> {
        let Some(file) = &self.secret_access_key_file else {
            return Ok(self.secret_access_key.clone());
        };
        let text = std::fs::read_to_string(file).map_err(|error| Error::Settings {
            reason: format!("s3.secret_access_key_file {} cannot be read: {error}", file.display()),
        })?;
        Ok(Some(text.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        let with =
            |endpoint: &str| Settings { endpoint: Some(endpoint.into()), ..Settings::default() };
        assert!(with("https://minio.studio.example").check().is_ok());
        assert!(with("http://minio").check().is_err());
        assert!(Settings { allow_http: true, ..with("http://minio") }.check().is_ok());
        assert!(with("https://key:secret@minio").check().is_err());
        assert!(with("minio").check().is_err());
        assert!(Settings { retry_seconds: Some(301), ..Settings::default() }.check().is_err());
    }

    #[test]
    fn the_secret_is_shown_to_nobody() {
        let settings =
            Settings { secret_access_key: Some("hunter2hunter2".into()), ..Settings::default() };
        let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
