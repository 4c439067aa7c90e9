//! What can change while the daemon runs, and what takes a start.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Config;

/// Settings, or tables of them, that are taken over at once.
const AT_ONCE: &[&str] = &[
    "copy.host_limit_bytes_per_second",
    "copy.outside_bytes_per_second",
    "copy.windows",
    "copy.windows_offset",
    "limits",
    "log",
];
/// As well, but whether there is TLS at all is decided at the start.
const TLS: &str = "tls";

/// How a configuration differs from the one that the process was started with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Settings that hold now.
    pub taken_over: Vec<String>,
    /// Settings that take a start.
    pub at_next_start: Vec<String>,
}

impl Config {
    pub(in crate::app) fn changes(&self, new: &Self) -> Changes {
        let (before, after) = (flat(self), flat(new));
        let mut changes = Changes::default();
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names.into_iter().filter(|name| before.get(*name) != after.get(*name)) {
            let within = |table: &str| {
                name.strip_prefix(table)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let at_once = AT_ONCE.iter().any(|table| within(table))
                || within(TLS) && self.tls.files().is_some() && new.tls.files().is_some();
            let list = if at_once { &mut changes.taken_over } else { &mut changes.at_next_start };
            list.push(name.clone());
        }
        // Never written out, or not whole: they may hold a password.
        let secrets = [
            ("database", self.database != new.database),
            (
                "directory.bind_password",
                self.directory.bind_password != new.directory.bind_password,
            ),
            ("hooks", self.hooks != new.hooks),
            ("s3.secret_access_key", self.s3.secret_access_key != new.s3.secret_access_key),
        ];
        for (name, _) in secrets.into_iter().filter(|(_, differs)| *differs) {
            if !changes.at_next_start.iter().any(|known| known == name) {
                changes.at_next_start.push(name.into());
            }
        }
        changes
    }
}

/// Every setting by its whole name.
fn flat(config: &Config) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: Value, found: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    walk(&format!("{prefix}{dot}{name}"), value, found);
                }
            }
            value => {
                found.insert(prefix.to_owned(), value);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", serde_json::to_value(config).unwrap_or_default(), &mut found);
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn what_holds_at_once_is_told_from_what_takes_a_start() {
        let old = Config::default();
        assert_eq!(old.changes(&old), Changes::default());
        let mut new = Config { workers: 9, log: "debug".into(), ..Config::default() };
        new.limits.reads_per_minute = 1;
        new.copy.windows = vec!["mon-fri 19:00-07:00".into()];
        new.copy.jobs = NonZeroUsize::new(3);
        new.database = Some("postgres://secret@host/db".into());
        new.tls.cert_file = Some("/c".into());
        new.tls.key_file = Some("/k".into());
        let changes = old.changes(&new);
        assert_eq!(changes.taken_over, ["copy.windows", "limits.reads_per_minute", "log"]);
        let later = ["copy.jobs", "tls.cert_file", "tls.key_file", "workers", "database"];
        assert_eq!(changes.at_next_start, later);
        let mut newer = new.clone();
        newer.tls.cert_file = Some("/d".into());
        assert_eq!(new.changes(&newer).taken_over, ["tls.cert_file"]);
    }

    #[test]
    fn secrets_that_changed_are_named_and_never_told() {
        let hook = |path: &str| {
            let url = format!("https://x.example/{path}");
            let json = serde_json::json!({ "name": "a", "url": url, "secret_env": "S" });
            serde_json::from_value(json).unwrap()
        };
        let old = Config { hooks: vec![hook("one")], ..Config::default() };
        let mut new = Config { hooks: vec![hook("two")], ..Config::default() };
        new.s3.secret_access_key = Some("one".into());
        new.directory.bind_password = Some("one".into());
        let changes = old.changes(&new);
        let named = ["directory.bind_password", "hooks", "s3.secret_access_key"];
        assert_eq!(
            (changes.taken_over, changes.at_next_start),
            (vec![], named.map(String::from).to_vec())
        );
        let text = serde_json::to_string(&new).unwrap();
        assert!(
            text.contains("https://x.example") && !text.contains("two") && !text.contains("one")
        );
        new.hooks[0].timeout_seconds = 9;
        assert_eq!(
            old.changes(&new).at_next_start.iter().filter(|name| *name == "hooks").count(),
            1
        );
    }
}
