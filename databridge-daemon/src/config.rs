//! Where a configuration comes from: defaults, one TOML file, the environment, and
//! what was said on the command line, each over the one before.

use std::ops::Range;
use std::path::{Path, PathBuf};

use databridge_core::app::Config;
use databridge_core::app::config::{self, Role};
use databridge_core::workflow::Symbol;
use databridge_core::{ErrorKind, Fault};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};

/// A configuration that cannot be read, or that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not understood.
    #[error("the configuration cannot be read: {why}{}", at(.place))]
    Unreadable {
        /// What is wrong.
        why: String,
        /// Where in the file, if it is there.
        place: Option<Place>,
    },
    /// A setting is wrong.
    #[error("{fault}{}", at(.place))]
    Setting {
        /// Which, and why.
        fault: config::Error,
        /// Where in the file, if it is there.
        place: Option<Place>,
    },
}

/// A place in a file, counted from 1; columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    line: usize,
    column: usize,
}

impl Place {
    fn of(text: &str, span: Range<usize>) -> Option<Self> {
        let before = text.get(..span.start)?;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some(Self { line: before.matches('\n').count() + 1, column })
    }
}

fn at(place: &Option<Place>) -> String {
    match place {
        Some(Place { line, column }) => format!(" (line {line}, column {column})"),
        None => String::new(),
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
    fn code(&self) -> &str {
        match self {
            Self::Unreadable { .. } => "config.unreadable",
            Self::Setting { fault, .. } => fault.code(),
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("docs/operations.md lists the settings; DATABRIDGE_… sets them by environment".into())
    }
}

/// Where a process's configuration comes from; it can be read again.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file.
    pub file: Option<PathBuf>,
    /// Said on the command line.
    pub data: Option<PathBuf>,
    /// Said on the command line.
    pub listen: Option<String>,
    /// Said on the command line.
    pub role: Option<String>,
}

impl Source {
    /// Reads it, and looks whether all of it can work.
    ///
    /// # Errors
    /// [`Error`], naming the setting and where it stands.
    pub fn load(&self) -> Result<Config, Error> {
        let file = self.file.as_deref();
        let mut config = load(file, self.data.clone(), self.listen.clone())?;
        if let Some(role) = self.role.as_deref().and_then(Role::parse) {
            config.role = role;
        }
        check(&config, file)?;
        Ok(config)
    }
}

/// Whether all settings can work; `file` is where they may stand.
///
/// # Errors
/// [`Error::Setting`].
pub fn check(config: &Config, file: Option<&Path>) -> Result<(), Error> {
    config.check().map_err(|fault| {
        let place = match &fault {
            config::Error::Setting { setting, .. } => file.and_then(|file| find(file, setting)),
            _ => None,
        };
        Error::Setting { fault, place }
    })
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
        &["config", "token", "server", "as", "step", "step_log", "log_format"];
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
    figment.extract().map_err(|error| Error::Unreadable {
        // On one line, as every message is.
        why: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        place: file.and_then(misread),
    })
}

/// The first place of a file that is not understood by itself.
fn misread(file: &Path) -> Option<Place> {
    let text = std::fs::read_to_string(file).ok()?;
    let span = toml::from_str::<Config>(&text).err()?.span()?;
    Place::of(&text, span)
}

/// Where a setting, or the first table above it that is there, stands in a file.
fn find(file: &Path, setting: &str) -> Option<Place> {
    let text = std::fs::read_to_string(file).ok()?;
    let document = toml_edit::ImDocument::parse(text.as_str()).ok()?;
    let mut table: &dyn toml_edit::TableLike = document.as_table();
    let mut found = None;
    for name in setting.split('.') {
        let Some((key, item)) = table.get_key_value(name) else { break };
        found = key.span().and_then(|span| Place::of(&text, span)).or(found);
        let Some(below) = item.as_table_like() else { break };
        table = below;
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("databridge.toml");
        let wrong = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let source = Source { file: Some(path.clone()), ..Source::default() };
            source.load().unwrap_err().to_string()
        };
        for (text, place) in [
            ("workers = 2\nworkers == 3\n", "(line 2, column 10)"),
            ("workers = \"two\"\n", "(line 1, column 11)"),
            ("workers = 2\n\n[http]\n  head_seconds = 3\n", "(line 4, column 3)"),
            ("# Größe\n[http]\nheader_seconds = 0\n", "(line 3, column 1)"),
            ("http = { body_seconds = 1, answer_seconds = 0 }\n", "(line 1, column 28)"),
            ("lease_seconds = 0", "(line 1, column 1)"),
            ("[copy]\nfile_mode = \"0644\"\nwindows = [\"nights\"]\n", "(line 3, column 1)"),
            ("[copy]\njobs = 0\n", "(line 2, column 8)"),
            ("[tls]\ncert_file = \"/c.pem\"\n", "(line 1, column 2)"),
        ] {
            let said = wrong(text);
            assert!(said.ends_with(place), "{text:?}: {said}");
        }
    }
}
