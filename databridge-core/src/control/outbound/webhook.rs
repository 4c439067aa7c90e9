//! A webhook: a signed POST over TLS that follows no redirect.

use std::io::Read;
use std::sync::Arc;

use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::hook::{host_of, is_local};
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
    // A proxy knows another 127.0.0.1, and would read what is sent in the open.
    let url = hook.url.as_deref().unwrap_or_default().replacen("https://", "http://", 1);
    let proxy = if is_local(&url) { None } else { Proxy::try_from_env() };
    Ok(Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Says to the test that the environment is the one that it needs.
    const SET: &str = "WEBHOOK_PROXY_IS_SET";

    #[test]
    fn no_proxy_is_asked_about_this_host() {
        if std::env::var_os(SET).is_none() {
            let name = std::thread::current().name().unwrap().to_owned();
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            again.args([&name, "--exact"]).env(SET, "yes").env("ALL_PROXY", "http://127.0.0.1:9");
            let output = again.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
            return;
        }
        let is_asked = |url: &str| {
            let json = serde_json::json!({ "name": "a", "url": url, "secret_env": "S" });
            agent(&serde_json::from_value(json).unwrap()).unwrap().config().proxy().is_some()
        };
        assert!(is_asked("https://chat.example/h"));
        let locals = ["http://127.0.0.1:8/h", "http://[::1]/h", "https://localhost:8"];
        for local in locals {
            assert!(!is_asked(local), "{local}");
        }
    }
}
