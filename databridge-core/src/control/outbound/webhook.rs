//! A webhook: a signed POST over TLS that follows no redirect.

use std::io::Read;
use std::sync::Arc;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::hook::host_of;
use super::secret::Secrets;
use super::{Error, Hook, SAID_BYTES, tail};
use crate::base::clock::Timestamp;

/// Sends the message once; answers what the receiver said.
pub(super) fn post(hook: &Hook, id: &str, body: &str) -> Result<String, Error> {
    let url = hook.url.as_deref().unwrap_or_default();
    let host = host_of(url);
    let secrets = Secrets::of(hook)?;
    let agent = agent(hook)?;
    // When it is sent, and not when it happened: receivers refuse what is old.
    let seconds = Timestamp::now().to_datetime().unix_timestamp();
    let sent = agent
        .post(url)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds.to_string())
        .header("webhook-signature", secrets.sign(id, seconds, body))
        .send(body);
    let mut response = sent.map_err(|error| match error {
        ureq::Error::Timeout(_) => {
            Error::TooLong { seconds: hook.timeout_seconds, output: String::new() }
        }
        error => Error::Unanswered { host: host.clone(), reason: reason(&error, url) },
    })?;
    let status = response.status().as_u16();
    // Whatever cannot be read of it changes nothing.
    let mut said = Vec::new();
    let most = u64::try_from(SAID_BYTES).unwrap_or(u64::MAX);
    let _ = response.body_mut().as_reader().take(most).read_to_end(&mut said);
    match status {
        200..=299 => Ok(tail(&said)),
        300..=399 => Err(Error::Redirected { host, status }),
        410 => Err(Error::Gone { host }),
        _ => Err(Error::Refused { host, status, output: tail(&said) }),
    }
}

pub(super) fn agent(hook: &Hook) -> Result<Agent, Error> {
    let bad = |reason| Error::Material { hook: hook.name.clone(), what: "ca_file", reason };
    let roots = match &hook.ca_file {
        None => RootCerts::PlatformVerifier,
        Some(path) => {
            let pem = std::fs::read(path)
                .map_err(|e| bad(format!("{} cannot be read: {e}", path.display())))?;
            let found: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(ureq::tls::PemItem::Certificate(one)) => Some(one),
                    _ => None,
                })
                .collect();
            if found.is_empty() {
                return Err(bad(format!("{} has no certificate", path.display())));
            }
            RootCerts::Specific(Arc::new(found))
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls =
        TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build();
    Ok(Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(hook.timeout()))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("DataBridge/", env!("CARGO_PKG_VERSION")))
        .build()
        .into())
}

/// What went wrong, without the URL, which may have a password in its path.
fn reason(error: &ureq::Error, url: &str) -> String {
    let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let text = error.to_string().replace(url, "…");
    match path {
        Some(path) if path.len() > 1 => text.replace(path, "…"),
        _ => text,
    }
}
