//! A hook as an operator writes it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::symbols;

/// Attempts and seconds where a hook does not say.
pub(super) const ATTEMPTS: i64 = 10;
pub(super) const BACKOFF_SECONDS: u64 = 5;
const TIMEOUT_SECONDS: u64 = 30;

symbols! {
    /// What a hook is.
    pub enum Kind {
        /// A program on this host.
        Command = "command",
        /// A POST to another.
        Webhook = "webhook",
    }
}

/// What is to happen after each delivery of some project or category: a command, which
/// reads a JSON message from its standard input, or a webhook, to which the same message
/// is posted with a signature (Standard Webhooks).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// 1 to 40 of `a-z 0-9 - _`.
    pub name: String,
    /// Only these projects; all of them where none is named.
    #[serde(default)]
    pub projects: Vec<String>,
    /// Only these categories.
    #[serde(default)]
    pub categories: Vec<String>,
    /// The program, by its absolute path, and its arguments. No shell reads them.
    #[serde(default)]
    pub command: Vec<String>,
    /// Where the message is posted: `https://…`, or `http://` on this host.
    /// Written out, only its host is: its path may be a password.
    #[serde(default, serialize_with = "host_only")]
    pub url: Option<String>,
    /// The file that has the signing secret, `whsec_…`; a second line is a second secret,
    /// while receivers change from one to the other.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// The environment variable that has it instead; its name does not begin with
    /// `DATABRIDGE_`.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// Certificates that are trusted instead of the system's, in PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Seconds for one attempt, 1 to 3600; then the command's whole process group is
    /// killed.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// After so many a person has to look, 1 to 50.
    #[serde(default = "attempts")]
    pub attempts: i64,
    /// Seconds before the second attempt, 1 to 900; doubles, up to a quarter of an hour.
    #[serde(default = "backoff_seconds")]
    pub backoff_seconds: u64,
}

fn timeout_seconds() -> u64 {
    TIMEOUT_SECONDS
}
fn attempts() -> i64 {
    ATTEMPTS
}
fn backoff_seconds() -> u64 {
    BACKOFF_SECONDS
}

fn host_only<S: serde::Serializer>(url: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    url.as_deref().map(host_of).serialize(to)
}

impl Hook {
    /// Whether it follows a delivery of this project and category.
    pub fn follows(&self, project: &str, category: &str) -> bool {
        let among = |list: &[String], name: &str| list.is_empty() || list.iter().any(|n| n == name);
        among(&self.projects, project) && among(&self.categories, category)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        if self.url.is_some() { Kind::Webhook } else { Kind::Command }
    }

    /// How long one attempt may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    /// Whether all of them can work.
    ///
    /// # Errors
    /// What cannot, and why, by the hook's name. No secret is told.
    pub fn check_all(hooks: &[Self]) -> Result<(), String> {
        for (at, hook) in hooks.iter().enumerate() {
            hook.check().map_err(|reason| format!("{:?}: {reason}", hook.name))?;
            if hooks.iter().take(at).any(|other| other.name == hook.name) {
                return Err(format!("{:?} is there twice", hook.name));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), &'static str> {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if !(1..=40).contains(&self.name.len()) || !self.name.chars().all(fine) {
            return Err("a name is 1 to 40 of a-z, 0-9, hyphen and underscore");
        }
        if !(1..=3600).contains(&self.timeout_seconds) {
            return Err("timeout_seconds is 1 to 3600");
        }
        if !(1..=50).contains(&self.attempts) {
            return Err("attempts is 1 to 50");
        }
        if !(1..=900).contains(&self.backoff_seconds) {
            return Err("backoff_seconds is 1 to 900");
        }
        match (&self.url, self.command.first()) {
            (Some(_), Some(_)) => Err("either a command or a url, not both"),
            (None, None) => Err("it has neither a command nor a url"),
            (None, Some(program)) if !program.starts_with('/') => {
                Err("the program is named by its absolute path")
            }
            (None, Some(_)) if self.secret_file.is_some() || self.secret_env.is_some() => {
                Err("a command is sent no signature")
            }
            (None, Some(_)) => Ok(()),
            (Some(url), None) => self.check_url(url),
        }
    }

    fn check_url(&self, url: &str) -> Result<(), &'static str> {
        if !is_local(url) && !url.starts_with("https://") {
            return Err("a url is https://…, or http:// on this host");
        }
        if url.contains(char::is_whitespace) || host_of(url).contains('@') {
            return Err("a url has no spaces and no password");
        }
        match (&self.secret_file, &self.secret_env) {
            (Some(_), None) => Ok(()),
            (None, Some(name)) if name.to_ascii_uppercase().starts_with("DATABRIDGE_") => {
                Err("secret_env does not begin with DATABRIDGE_")
            }
            (None, Some(_)) => Ok(()),
            _ => Err("a url takes secret_file or secret_env, one of them"),
        }
    }
}

/// Whether it is answered by this very host, without TLS.
pub(super) fn is_local(url: &str) -> bool {
    let local = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    local.iter().any(|host| {
        url.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    })
}

/// `https://host:port` of a URL: all that is ever shown of one.
pub(super) fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hook(json: serde_json::Value) -> Hook {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let fine = [
            serde_json::json!({ "name": "a", "command": ["/bin/true"] }),
            serde_json::json!({ "name": "a", "url": "https://x.example/h", "secret_env": "S" }),
            serde_json::json!({ "name": "a", "url": "http://127.0.0.1:8/h", "secret_file": "/s" }),
        ];
        for json in fine {
            Hook::check_all(&[hook(json)]).unwrap();
        }
        let url = |url: &str| serde_json::json!({ "name": "a", "url": url, "secret_env": "S" });
        let wrong = [
            serde_json::json!({ "name": "a" }),
            serde_json::json!({ "name": "A b", "command": ["/bin/true"] }),
            serde_json::json!({ "name": "a", "command": ["true"] }),
            serde_json::json!({ "name": "a", "command": ["/bin/true"], "url": "https://x" }),
            serde_json::json!({ "name": "a", "command": ["/bin/true"], "attempts": 0 }),
            serde_json::json!({ "name": "a", "command": ["/bin/true"], "timeout_seconds": 0 }),
            serde_json::json!({ "name": "a", "url": "https://x.example" }),
            serde_json::json!({ "name": "a", "url": "https://x", "secret_env": "DATABRIDGE_S" }),
            url("http://x.example/h"),
            url("http://127.0.0.1.example/h"),
            url("http://localhost@evil.example/h"),
            url("https://user:word@x.example/h"),
        ];
        for json in wrong {
            let told = Hook::check_all(&[hook(json.clone())]).unwrap_err();
            assert!(told.starts_with(&format!("{:?}: ", json["name"].as_str().unwrap())), "{told}");
        }
        let twice = hook(serde_json::json!({ "name": "a", "command": ["/bin/true"] }));
        assert!(Hook::check_all(&[twice.clone(), twice]).is_err());
    }

    #[test]
    fn it_follows_its_projects_and_categories() {
        let all = hook(serde_json::json!({ "name": "a", "command": ["/bin/true"] }));
        assert!(all.follows("film", "plates"));
        let one = Hook { projects: vec!["film".into()], ..all.clone() };
        assert!(one.follows("film", "plates") && !one.follows("show", "plates"));
        let both = Hook { categories: vec!["audio".into()], ..one };
        assert!(both.follows("film", "audio") && !both.follows("film", "plates"));
    }

    #[test]
    fn nothing_but_the_host_of_a_url_is_told() {
        assert_eq!(host_of("https://x.example:8/hooks/T0/secret?a=b"), "https://x.example:8");
        assert_eq!(host_of("https://x.example?token=t"), "https://x.example");
    }
}
