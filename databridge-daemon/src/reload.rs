//! SIGHUP: the configuration is read again, whole or not at all.

use databridge_core::Error;
use databridge_core::app::App;
use tracing::{info, warn};

use crate::config::Source;
use crate::http::tls::Tls;
use crate::log::{self, Log};

/// Whatever can be changed while a daemon runs.
pub struct Reload {
    /// Where the configuration comes from.
    pub source: Source,
    /// The daemon.
    pub app: App,
    /// Its certificate, where it has one.
    pub tls: Option<Tls>,
    /// Its log.
    pub log: Log,
}

impl Reload {
    /// Reads the configuration again and says in the log what came of it. Where
    /// anything of it is wrong, everything stays as it was.
    pub fn run(&self) {
        match self.attempt() {
            Ok(()) => {}
            Err(error) => warn!(
                code = error.code(),
                error = error.chain(),
                "the configuration was not reloaded: the one before stays in force"
            ),
        }
    }

    fn attempt(&self) -> Result<(), Error> {
        let config = self.source.load()?;
        log::check(&config.log)?;
        // Last of what can be refused: from here on all of it is taken over.
        match &self.tls {
            Some(tls) => tls.reload(&config.tls)?,
            None => drop(Tls::open(&config.tls)?),
        }
        let changes = self.app.reload(&config)?;
        self.log.set(&config.log)?;
        info!(
            taken_over = changes.taken_over.join(", "),
            at_next_start = changes.at_next_start.join(", "),
            "the configuration was reloaded"
        );
        if !changes.at_next_start.is_empty() {
            warn!(settings = changes.at_next_start.join(", "), "these wait for the next start");
        }
        Ok(())
    }
}
