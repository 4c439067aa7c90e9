//! What somebody asks for, over what a policy file says.

use std::path::{Path, PathBuf};

use super::{Clamd, ClamdAddress, Engine, Settings};
use crate::media::scan::Error;

/// A policy file and what is said beside it; what is said wins.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// TOML with the `[scan]` tables of a daemon's configuration.
    pub policy: Option<PathBuf>,
    /// Which engine must answer.
    pub engine: Option<Engine>,
    /// Where clamd listens.
    pub clamd: Option<ClamdAddress>,
    /// Its configuration, where that is not in its usual place.
    pub clamd_config: Option<PathBuf>,
    /// clamscan's signatures.
    pub clamscan_database: Option<PathBuf>,
    /// A folder of the studio's own YARA rules.
    pub rules_dir: Option<PathBuf>,
    /// Signatures may be of any age.
    pub any_signature_age: bool,
    /// The project whose rules of the policy apply, empty for none.
    pub project: String,
    /// The same of a category.
    pub category: String,
}

impl Choice {
    /// The settings it comes to, where `base` says what nobody else does.
    ///
    /// # Errors
    /// [`Error::Policy`] with the line that is not understood, [`Error::Io`].
    pub fn settings(self, base: Settings) -> Result<Settings, Error> {
        let mut settings = match &self.policy {
            Some(path) => over(base, path)?,
            None => base,
        };
        settings.engine = self.engine.unwrap_or(settings.engine);
        if let Some(address) = self.clamd {
            let clamd = settings.clamd.take().filter(|clamd| clamd.address == address);
            settings.clamd = Some(clamd.unwrap_or_else(|| Clamd::at(address)));
        }
        if let (Some(clamd), Some(file)) = (&mut settings.clamd, self.clamd_config) {
            clamd.config_file = Some(file);
        }
        settings.clamscan.database = self.clamscan_database.or(settings.clamscan.database);
        settings.rules_dir = self.rules_dir.or(settings.rules_dir);
        if self.any_signature_age {
            settings.policy.signature_max_age_seconds = None;
        }
        Ok(settings.within(&self.project, &self.category))
    }
}

#[cfg(feature = "toml")]
fn over(base: Settings, path: &Path) -> Result<Settings, Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        scan: Settings,
    }
    let text = std::fs::read_to_string(path).map_err(Error::io("read the policy", path))?;
    let flaw = |error: toml::de::Error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        // What is said of a value does not name its key.
        let key = text.lines().nth(line - 1).and_then(key);
        let message = error.message();
        let message = key.map_or_else(|| message.to_owned(), |key| format!("{key}: {message}"));
        Error::Policy { path: path.to_owned(), line, message }
    };
    let table: toml::Table = toml::from_str(&text).map_err(flaw)?;
    let File { scan } = toml::from_str(&text).map_err(flaw)?;
    let says_engine = table.get("scan").is_some_and(|scan| scan.get("engine").is_some());
    let engine = if says_engine { scan.engine } else { base.engine };
    Ok(Settings { engine, clamd: scan.clamd.or(base.clamd), ..scan })
}

/// The key of a line. Its value is nobody's business: the file may be another than was meant,
/// and hold a secret.
#[cfg(feature = "toml")]
fn key(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (!key.is_empty() && key.bytes().all(is_bare)).then_some(key)
}

#[cfg(not(feature = "toml"))]
fn over(_base: Settings, path: &Path) -> Result<Settings, Error> {
    let message = "this build reads no policy files".to_owned();
    Err(Error::Policy { path: path.to_owned(), line: 1, message })
}

#[cfg(all(test, feature = "toml"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::base::error::Fault;

    fn read(text: &str, choice: Choice) -> Result<Settings, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let base = Settings { engine: Engine::Rules, ..Settings::default() };
        Choice { policy: Some(file.path().to_owned()), ..choice }.settings(base)
    }

    const POLICY: &str = r#"
[scan]
clamd = { address = "/run/one.ctl", retry_seconds = 3 }
[scan.policy]
signature_max_age_seconds = "any"
[scan.content]
allow = ["exr"]
[[scan.content.rule]]
project = "film"
allow = ["mov"]
[[scan.content.rule]]
category = "tools"
allow_executables = true
"#;

    #[test]
    fn what_is_said_wins_over_the_file_and_the_file_over_the_rest() {
        let all = read(POLICY, Choice::default()).unwrap();
        assert_eq!(all.engine, Engine::Rules, "the file says nothing of it");
        assert_eq!(all.clamd.as_ref().unwrap().retry_seconds, 3);
        assert_eq!(all.policy.signature_max_age_seconds, None);
        assert_eq!(all.content.allow, ["exr"]);
        assert!(!all.policy.allow_executables && all.content.rule.is_empty());
        let said = Choice {
            engine: Some(Engine::Clamd),
            clamd: Some("/run/two.ctl".parse().unwrap()),
            project: "film".into(),
            category: "tools".into(),
            ..Choice::default()
        };
        let some = read(POLICY, said).unwrap();
        assert_eq!(some.engine, Engine::Clamd);
        assert_eq!(some.clamd, Some(Clamd::at("/run/two.ctl".parse().unwrap())));
        assert_eq!((some.content.allow, some.policy.allow_executables), (vec!["mov".into()], true));
        let stated = read("[scan]\nengine = \"auto\"\n", Choice::default()).unwrap();
        assert_eq!(stated.engine, Engine::Auto);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (text, line, named) in [
            ("[scan.content]\nallow = []\nalow = [\"exr\"]\n", 3, "unknown field `alow`"),
            ("# ours\n[scann]\n", 2, "unknown field `scann`"),
            ("[scan]\nthreads = -1\n", 2, "threads: invalid value"),
            ("[scan]\nthreads = 2\n\"\\u001b[31m\" = 1\n", 3, "unknown field"),
            ("", 1, "missing field `scan`"),
            ("[scan]\n[[scan.content.rule]]\nproject = 7\n", 3, "string"),
            ("[scan]\nengine = \"clamd\n", 2, "string"),
            ("[scan.policy]\nsignature_max_age_seconds = \"old\"\n", 2, "any"),
        ] {
            let error = read(text, Choice::default()).unwrap_err();
            assert_eq!(error.code(), "scan.policy", "{text}");
            let said = error.to_string();
            assert!(said.contains(&format!("line {line}:")) && said.contains(named), "{said}");
        }
        // The whole configuration of a daemon is none, and not for everybody to read.
        for text in ["database = \"postgres://u:secret@h/db\"\n", "[s3]\nkey = \"secret\n"] {
            let said = read(text, Choice::default()).unwrap_err().to_string();
            assert!(!said.contains("secret") && said.contains("line"), "{said}");
        }
        let none = Choice { policy: Some("/nonexistent".into()), ..Choice::default() };
        assert_eq!(none.settings(Settings::default()).unwrap_err().code(), "scan.io");
    }
}
