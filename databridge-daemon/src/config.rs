//! Where a configuration comes from: defaults, one TOML file, the environment, and
//! what was said on the command line, each over the one before.

use std::path::{Path, PathBuf};

use databridge_core::app::Config;
use databridge_core::{ErrorKind, Fault};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};

/// A configuration that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be read: {why}{}", at(.line))]
pub struct Error {
    why: String,
    line: Option<usize>,
}

fn at(line: &Option<usize>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
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
    figment.extract().map_err(|error| Error {
        // On one line, as every message is.
        why: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        line: file.and_then(line),
    })
}

/// The first line of a file that is not understood by itself.
fn line(file: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let span = toml::from_str::<Config>(&text).err()?.span()?;
    Some(1 + text.get(..span.start)?.matches('\n').count())
}
