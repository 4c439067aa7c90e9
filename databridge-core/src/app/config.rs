//! What an operator decides, as one TOML file has it.

mod copies;
mod house;
mod http;
mod places;
mod reload;
mod uploads;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;

pub use copies::CopyConfig;
pub use house::HousekeepingConfig;
pub use http::{HttpConfig, TlsConfig};
pub use places::SpaceConfig;
pub use reload::Changes;
pub use uploads::UploadsConfig;

use crate::base::error::{ErrorKind, Fault};
use crate::control::db::Target;
use crate::control::identity::{directory, signin};
use crate::control::jobs::{Capability, Rules, Traffic};
use crate::control::limits;
use crate::control::outbound::Hook;
use crate::domains::transfer::{Layout, Places, Policy};
use crate::media::mounts::Mounts;
use crate::media::storage::{Location, make_dirs};
use crate::media::throttle::Throttle;
use crate::media::{cloud, delivery, scan};
use crate::symbols;
use crate::workflow::Symbol;

const CLAMD: &str = "/run/clamav/clamd.ctl";

/// Everything that can be set; what is not set has these defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where DataBridge keeps what is its own: database, keys, checkpoints.
    pub data: PathBuf,
    /// `postgres://…` for a store shared by hosts; without it SQLite in `data`.
    #[serde(skip_serializing)]
    pub database: Option<String>,
    /// Staging's root; `data/staging` where it is not set.
    pub staging: Option<PathBuf>,
    /// Production's root, a folder or `s3://bucket/prefix`; `data/production` where it
    /// is not set.
    pub production: Option<Location>,
    /// Where the daemon listens.
    pub listen: String,
    /// What this daemon is for.
    pub role: Role,
    /// What this host is called, on receipts and in leases; else its own name.
    pub host: Option<String>,
    /// What its workers can do: `staging`, `production` (those mounts), `scan`, `rsync`,
    /// `object_store`, `hooks`.
    pub can: Vec<Capability>,
    /// Jobs done at a time by this process; 0 serves without working.
    pub workers: usize,
    /// Seconds within which the daemon ends when it is asked to, 1 to 600; jobs that do
    /// not let go in time are left to their leases.
    pub drain_seconds: u64,
    /// Seconds that a job stays with a worker that says nothing, 1 to 3600.
    pub lease_seconds: u64,
    /// The largest upload, in bytes.
    pub max_upload_bytes: u64,
    /// Quotas, and uploads that come in pieces.
    pub uploads: UploadsConfig,
    /// How people sign in.
    pub signin: signin::Settings,
    /// The directory that knows them, if there is one.
    pub directory: directory::Settings,
    /// Bytes that must be free on data, staging and production for the daemon to be ready.
    pub min_free_bytes: u64,
    /// How much anybody may ask of the daemon.
    pub limits: limits::Settings,
    /// How the daemon meets those who ask.
    pub http: HttpConfig,
    /// What proves to them that it is the daemon.
    pub tls: TlsConfig,
    /// How much the daemon's log says: `info`, or `warn,databridge_core=debug`.
    pub log: String,
    /// How files are scanned.
    pub scan: scan::Settings,
    /// How they are written into production.
    pub copy: CopyConfig,
    /// What follows a delivery.
    pub hooks: Vec<Hook>,
    /// What is removed in time.
    pub housekeeping: HousekeepingConfig,
    /// The object store, where production is one.
    pub s3: cloud::Settings,
    /// Where deliveries belong in production.
    pub layout: Layout,
    /// What clients call staging and production.
    pub mounts: Mounts,
    /// What is to stay free.
    pub space: SpaceConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("databridge-data"),
            database: None,
            staging: None,
            production: None,
            listen: "127.0.0.1:8000".into(),
            role: Role::All,
            host: None,
            can: Capability::ALL.to_vec(),
            workers: 2,
            drain_seconds: 20,
            lease_seconds: 30,
            max_upload_bytes: 1 << 40,
            uploads: UploadsConfig::default(),
            signin: signin::Settings::default(),
            directory: directory::Settings::default(),
            min_free_bytes: 64 << 20,
            limits: limits::Settings::default(),
            http: HttpConfig::default(),
            tls: TlsConfig::default(),
            log: "info".into(),
            scan: scan::Settings {
                // Where Debian's clamd listens; `auto` uses it where it answers.
                clamd: Some(scan::Clamd::at(scan::ClamdAddress::Unix(CLAMD.into()))),
                ..scan::Settings::default()
            },
            copy: CopyConfig::default(),
            hooks: Vec::new(),
            housekeeping: HousekeepingConfig::default(),
            s3: cloud::Settings::default(),
            layout: Layout::default(),
            mounts: Mounts::default(),
            space: SpaceConfig::default(),
        }
    }
}

symbols! {
    /// What a daemon is for, where several share a store.
    pub enum Role {
        /// Answers people and programs.
        Serve = "serve",
        /// Does jobs; answers only whether it is well.
        Work = "work",
        /// Both.
        All = "all",
    }
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error("{setting} is not acceptable: {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// Why.
        reason: String,
    },
    /// A folder cannot be made or used.
    #[error("{setting} {path} cannot be used")]
    Folder {
        /// Which setting.
        setting: &'static str,
        /// Which folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. } => ErrorKind::Invalid,
            Self::Folder { .. } => ErrorKind::Io,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Setting { .. } => "config.setting",
            Self::Folder { .. } => "config.folder",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("`databridge config check` tells what is in force".into())
    }
}

impl Config {
    /// The embedded default in a data folder.
    pub fn at(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// Whether all of it can work.
    ///
    /// # Errors
    /// [`Error::Setting`], naming the first that cannot.
    pub fn check(&self) -> Result<(), Error> {
        let setting =
            |setting, reason: &str| Err(Error::Setting { setting, reason: reason.into() });
        if let Err(error) = self.s3.check() {
            return setting("s3", &error.to_string());
        }
        if let Err((name, reason)) = self.http.check() {
            return setting(name, &reason);
        }
        if let Err((name, reason)) = self.tls.check() {
            return setting(name, &reason);
        }
        if let Err((setting, reason)) = self.layout.check() {
            return Err(Error::Setting { setting, reason });
        }
        if let Err(reason) = self.mounts.check() {
            return setting("mounts", &reason);
        }
        self.copy.policy()?;
        self.copy.windows()?;
        if let Err((setting, reason)) = self.signin.check() {
            return Err(Error::Setting { setting, reason: reason.into() });
        }
        if let Err((setting, reason)) = self.directory.check(&super::App::roles()) {
            return Err(Error::Setting { setting, reason });
        }
        if let Err(reason) = Hook::check_all(&self.hooks) {
            return Err(Error::Setting { setting: "hooks", reason });
        }
        if let Err((name, reason)) = self.housekeeping.check() {
            return setting(name, reason);
        }
        let places = self.places();
        let mut own = vec![absolute(&self.data), places.staging.clone()];
        own.extend(places.production.as_path().map(Path::to_owned));
        if let Err((name, reason)) = self.uploads.check(&own) {
            return setting(name, reason);
        }
        if !(1..=3600).contains(&self.lease_seconds) {
            return setting("lease_seconds", "1 to 3600");
        }
        if !(1..=600).contains(&self.drain_seconds) {
            return setting("drain_seconds", "1 to 600");
        }
        if self.host.as_ref().is_some_and(|h| h.is_empty() || h.len() > 64 || h.contains(':')) {
            return setting("host", "1 to 64 characters, none of them a colon");
        }
        if let Some(production) = places.production.as_path()
            && (places.staging.starts_with(production) || production.starts_with(&places.staging))
        {
            return setting("production", "staging and production must not be inside each other");
        }
        if self.database.as_ref().is_some_and(|url| !url.starts_with("postgres")) {
            return setting("database", "it is not a postgres:// URL");
        }
        Ok(())
    }

    /// Makes the folders that are missing.
    ///
    /// # Errors
    /// [`Error`].
    pub fn make_folders(&self) -> Result<(), Error> {
        self.check()?;
        let places = self.places();
        make("data", &self.data, 0o700)?;
        make("staging", &places.staging, 0o755)?;
        match places.production.as_path() {
            Some(path) => make("production", path, 0o755),
            None => Ok(()),
        }
    }

    /// Whether a store was made here: one whose folder is mistyped is not to be. Also
    /// while one is put back: whoever opens it is told so.
    pub fn has_store(&self) -> bool {
        if super::backup::is_underway(&self.data) {
            return true;
        }
        match self.target() {
            Target::Sqlite(file) => file.exists(),
            // The database is another host's matter; the keys are this one's.
            Target::Postgres(_) => self.data.join("keys").exists(),
        }
    }

    /// The two roots, absolute.
    pub fn places(&self) -> Places {
        let data = absolute(&self.data);
        let root = |set: &Option<PathBuf>, name: &str| match set {
            Some(path) => absolute(path),
            None => data.join(name),
        };
        Places {
            staging: root(&self.staging, "staging"),
            production: match &self.production {
                Some(Location::Path(path)) => Location::Path(absolute(path)),
                Some(elsewhere) => elsewhere.clone(),
                None => Location::Path(data.join("production")),
            },
        }
    }

    /// The database.
    pub fn target(&self) -> Target {
        match &self.database {
            Some(url) => Target::Postgres(url.clone()),
            None => Target::Sqlite(self.data.join("databridge.db")),
        }
    }

    /// Where signed checkpoints are kept.
    pub fn checkpoints(&self) -> PathBuf {
        self.data.join("checkpoints")
    }

    /// What this host is called.
    pub fn host(&self) -> String {
        self.host.clone().unwrap_or_else(host_name)
    }

    /// How many jobs this process does at a time.
    pub fn workers(&self) -> usize {
        if self.role == Role::Serve { 0 } else { self.workers }
    }

    /// How long a job stays with a worker that says nothing.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    pub(super) fn policy(&self) -> Result<Policy, Error> {
        Ok(Policy {
            scan: self.scan.clone(),
            copy: self.copy.policy()?,
            layout: self.layout.clone(),
            mounts: self.mounts.clone(),
            reserve: self.space.reserve(self.can.contains(&Capability::Production)),
            methods: delivery::Methods {
                folders: self.copy.method,
                rsync: self.copy.rsync.clone(),
                s3: self.s3.clone(),
            },
            uploads: self.uploads.limits(self.max_upload_bytes),
            hooks: self.hooks.clone(),
        })
    }

    /// What the jobs of this process go by.
    pub(super) fn traffic(&self) -> Result<Traffic, Error> {
        let limit = self.copy.host_limit_bytes_per_second;
        // Every process on this data folder has one bucket; where that cannot be, each
        // has its own.
        let throttle = Throttle::shared(&self.data.join("bandwidth"), limit).unwrap_or_else(|e| {
            warn!(error = %e, "bandwidth is not shared with other processes of this host");
            Throttle::new(limit)
        });
        Ok(Traffic::new(throttle, self.host(), self.rules()?))
    }

    /// What the jobs go by that can change while they run.
    pub(super) fn rules(&self) -> Result<Rules, Error> {
        Ok(Rules {
            limit_bytes_per_second: self.copy.host_limit_bytes_per_second,
            windows: self.copy.windows()?,
        })
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn make(setting: &'static str, path: &Path, mode: u32) -> Result<(), Error> {
    make_dirs(path, mode).map_err(|source| Error::Folder {
        setting,
        path: path.display().to_string(),
        source,
    })
}

/// This host, as receipts and leases name it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The OS user: who is answerable for what an embedded store does.
pub fn os_user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_works_and_staging_is_not_in_production() {
        assert!(Config::default().check().is_ok());
        let nested = Config {
            staging: Some("/mnt/production/staging".into()),
            production: Some(Location::Path("/mnt/production".into())),
            ..Config::default()
        };
        assert!(nested.check().is_err());
    }

    #[test]
    fn setuid_is_no_mode() {
        let mut config = Config::default();
        config.copy.file_mode = "4755".into();
        assert!(config.check().is_err());
    }
}
