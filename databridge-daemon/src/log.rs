//! The log on standard error, and how much it says.

use std::io::IsTerminal;

use databridge_core::{ErrorKind, Fault};
use tracing_subscriber::EnvFilter;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One object a line, for programs.
    Json,
}

/// What is no filter of a log.
#[derive(Debug, thiserror::Error)]
#[error("log {given:?} is not acceptable: {why}")]
pub struct Error {
    given: String,
    why: String,
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
    fn code(&self) -> &str {
        "config.log"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(
            "say error, warn, info, debug or trace, also for parts: info,databridge_core=debug"
                .into(),
        )
    }
}

type Change = Box<dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync>;

/// The log of this process.
pub struct Log(Change);

/// Whether `filter` is one.
///
/// # Errors
/// [`Error`].
pub fn check(filter: &str) -> Result<(), Error> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(filter)
        .map_err(|error| Error { given: filter.to_owned(), why: error.to_string() })
}

impl Log {
    /// Begins to write.
    ///
    /// # Errors
    /// [`Error`].
    pub fn start(format: Format, filter: &str) -> Result<Self, Error> {
        let filter = parse(filter)?;
        let log = tracing_subscriber::fmt()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        Ok(match format {
            Format::Text => {
                let log = log.with_env_filter(filter).with_filter_reloading();
                let handle = log.reload_handle();
                log.init();
                Self(Box::new(move |filter| handle.reload(filter)))
            }
            Format::Json => {
                let log = log.json().flatten_event(true);
                let log = log.with_env_filter(filter).with_filter_reloading();
                let handle = log.reload_handle();
                log.init();
                Self(Box::new(move |filter| handle.reload(filter)))
            }
        })
    }

    /// Says more or less from now on.
    ///
    /// # Errors
    /// [`Error`].
    pub fn set(&self, filter: &str) -> Result<(), Error> {
        let failed =
            |why: &dyn std::fmt::Display| Error { given: filter.to_owned(), why: why.to_string() };
        (self.0)(parse(filter)?).map_err(|error| failed(&error))
    }
}
