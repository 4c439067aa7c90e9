//! Where a configuration comes from: defaults, one TOML file, the environment, and
//! what was said on the command line, each over the one before.

use std::path::{Path, PathBuf};

use databridge_core::app::Config;
use databridge_core::{ErrorKind, Fault};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};

/// A configuration that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be read: {at}{source}")]
pub struct Error {
    /// `FILE:LINE: `, where it is a line of the file.
    at: String,
    #[source]
    source: Box<figment::Error>,
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
    fn code(&self) -> &str {
        "config.unreadable"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("docs/operations.md lists the settings; DATABRIDGE_… sets them by environment".into())
    }
}

/// Reads `file`, if there is one, and the environment: `DATABRIDGE_DATA`,
/// `DATABRIDGE_DATABASE`, `DATABRIDGE_SCAN__ENGINE` and so on. Variables that only
/// steer a program (`DATABRIDGE_TOKEN`, …) are not settings.
///
/// # Errors
/// [`Error`], naming the setting and where it came from.
pub fn load(
    file: Option<&Path>,
    data: Option<PathBuf>,
    listen: Option<String>,
) -> Result<Config, Error> {
    const NOT_SETTINGS: &[&str] =
        &["config", "token", "server", "as", "step", "step_log", "log", "log_format"];
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = file {
        figment = figment.merge(Toml::file_exact(file));
    }
    figment = figment.merge(
        Env::prefixed("DATABRIDGE_")
            .filter(|key| {
                !NOT_SETTINGS.iter().any(|n| key == *n)
                    && !key.as_str().to_ascii_lowercase().starts_with("test")
            })
            .split("__"),
    );
    if let Some(data) = data {
        figment = figment.merge(Serialized::default("data", data));
    }
    if let Some(listen) = listen {
        figment = figment.merge(Serialized::default("listen", listen));
    }
    figment.extract().map_err(|e| {
        let at = file.and_then(|file| line_of(file, &e));
        Error { at: at.unwrap_or_default(), source: Box::new(e) }
    })
}

/// `FILE:LINE: ` of the setting that is wrong, where it stands in the file.
fn line_of(file: &Path, error: &figment::Error) -> Option<String> {
    // What the environment said is no line of the file.
    let from_file = error.metadata.as_ref()?.source.as_ref()?.file_path().is_some();
    let text = std::fs::read_to_string(file).ok().filter(|_| from_file)?;
    let mut path: Vec<&str> = error.path.iter().map(String::as_str).collect();
    if let figment::error::Kind::UnknownField(name, _) = &error.kind
        && path.last() != Some(&name.as_str())
    {
        path.push(name);
    }
    let (setting, tables) = path.split_last()?;
    let mut table = String::new();
    let mut found = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']', ' ']).to_owned();
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        let whole = match table.as_str() {
            "" => key.to_owned(),
            table => format!("{table}.{key}"),
        };
        if (key == *setting && table == tables.join(".")) || whole == path.join(".") {
            return Some(format!("{}:{}: ", file.display(), number + 1));
        }
        // In a table of an array, or a table that is wrong as a whole.
        if found.is_none() && (key == *setting || table == path.join(".")) {
            found = Some(format!("{}:{}: ", file.display(), number + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("databridge.toml");
        let lines = [
            ("data = \"d\"\nworkrs = 3\n", 2),
            ("data = \"d\"\n\n[limits]\nlogin_per_minute = \"many\"\n", 4),
            ("lease_seconds = 3\n[limits]\nreads_per_minut = 3\n", 3),
            ("[signin]\nlock_after = 3\n[copy]\nkeep_mtime = 7\n", 4),
            ("data = \"d\"\n[directory]\nnested = \"deep\"\n", 3),
        ];
        for (text, line) in lines {
            std::fs::write(&file, text).unwrap();
            let error = load(Some(&file), None, None).unwrap_err().to_string();
            assert!(error.contains(&format!("databridge.toml:{line}: ")), "{text}\n{error}");
        }
        // What cannot be read at all names its line, too.
        std::fs::write(&file, "data = \"d\"\nworkers = = 3\n").unwrap();
        let error = load(Some(&file), None, None).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
