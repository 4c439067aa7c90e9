//! Whether a hook could run here, without running it.

use std::path::Path;

use rustix::fs::Access;

use super::hook::host_of;
use super::secret::Secrets;
use super::{Hook, Kind};

impl Hook {
    /// What it would do, where this host has what it takes: the program, an address that
    /// is one, the secret, the certificates. Nothing is run and nobody asked.
    ///
    /// # Errors
    /// What is missing. No secret is told, and of an address the host alone.
    pub fn look(&self) -> Result<String, String> {
        match self.kind() {
            Kind::Command => program(self.command.first().map_or("", String::as_str)),
            Kind::Webhook => {
                let host = host_of(self.url.as_deref().unwrap_or_default());
                let of_host = |reason| format!("{host}: {reason}");
                address(self.url.as_deref().unwrap_or_default()).map_err(of_host)?;
                Secrets::of(self).map_err(|error| error.to_string())?;
                #[cfg(feature = "remote")]
                super::webhook::agent(self).map(drop).map_err(|error| error.to_string())?;
                Ok(format!("{host}, signed"))
            }
        }
    }
}

fn program(path: &str) -> Result<String, String> {
    let meta = std::fs::metadata(path).map_err(|e| format!("{path} cannot be found: {e}"))?;
    if !meta.is_file() {
        return Err(format!("{path} is no file"));
    }
    rustix::fs::access(Path::new(path), Access::EXEC_OK)
        .map(|()| path.to_owned())
        .map_err(|e| format!("{path} cannot be executed: {e}"))
}

/// A host, perhaps a port, and a path (RFC 3986).
fn address(url: &str) -> Result<(), &'static str> {
    let (_, rest) = url.split_once("://").ok_or("it is no URL")?;
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match place.strip_prefix('[') {
        Some(literal) => {
            let (host, port) = literal.split_once(']').ok_or("the bracket is not closed")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "it is no IPv6 address")?;
            (host, port.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if host.is_empty() || !host.chars().all(plain) {
        return Err("it names no host");
    }
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err("the port is no number from 1 to 65535");
    }
    match rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err("it has characters that are to be escaped"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hook(json: serde_json::Value) -> Hook {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for fine in [
            "https://x.example",
            "https://x.example:8443/hooks?a=b",
            "http://127.0.0.1:1/",
            "http://[::1]:9/h",
        ] {
            assert_eq!(address(fine), Ok(()), "{fine}");
        }
        for wrong in [
            "https://",
            "https:///path",
            "https://x.example:0/",
            "https://x.example:port/",
            "https://x.example:99999/",
            "https://x example/",
            "https://[::1/",
            "https://[no]/",
            "https://x.example/größe",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_hook_lacks_is_told_and_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook.sh");
        let command = |path: &Path| hook(serde_json::json!({ "name": "a", "command": [path] }));
        assert!(command(&path).look().unwrap_err().contains("cannot be found"));
        assert!(command(folder.path()).look().unwrap_err().contains("is no file"));
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(command(&path).look().unwrap_err().contains("cannot be executed"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(command(&path).look().unwrap(), path.display().to_string());
        let secret = folder.path().join("secret");
        let webhook =
            |url: &str| hook(serde_json::json!({ "name": "b", "url": url, "secret_file": secret }));
        let url = "https://x.example/hooks/token-of-ours";
        assert!(webhook(url).look().unwrap_err().contains("cannot be read"));
        std::fs::write(&secret, "whsec_c2hvcnQ=").unwrap();
        let told = webhook(url).look().unwrap_err();
        assert!(told.contains("less than 24") && !told.contains("c2hvcnQ"), "{told}");
        std::fs::write(&secret, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3").unwrap();
        assert_eq!(webhook(url).look().unwrap(), "https://x.example, signed");
        let told = webhook("https://x.example:0/token-of-ours").look().unwrap_err();
        assert!(told.contains("port") && !told.contains("token"), "{told}");
    }
}
