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
        // Never written out: it may hold a password.
        if self.database != new.database {
            changes.at_next_start.push("database".into());
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
    use super::*;

    #[test]
    fn what_holds_at_once_is_told_from_what_takes_a_start() {
        let old = Config::default();
        assert_eq!(old.changes(&old), Changes::default());
        let mut new = Config { workers: 9, log: "debug".into(), ..Config::default() };
        new.limits.reads_per_minute = 1;
        new.copy.windows = vec!["mon-fri 19:00-07:00".into()];
        new.copy.jobs = Some(3);
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
}
