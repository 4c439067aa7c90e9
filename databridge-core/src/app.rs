//! The one way in: every command and query of every domain, over one store.
//!
//! Shells (daemon, CLI, bindings) build a [`Call`] and show what it answers; they
//! hold no rule. [`routes`] is the same list as the REST interface has it.

pub mod answers;
mod background;
pub mod backup;
pub mod call;
pub mod config;
mod dispatch;
mod embedded;
mod export;
pub mod fields;
mod health;
mod housekeeping;
mod keys;
mod live;
mod measures;
#[cfg(feature = "schema")]
pub mod openapi;
pub mod roles;
pub mod routes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub use answers::Health;
pub use call::Call;
pub use config::Config;
pub use export::{Export, Wanted, Written};
pub use health::{Check, Readiness};
pub use keys::Keys;
pub use live::{Listener, Note};
pub use measures::{METRICS, Measures};

use crate::base::error::Error;
use crate::base::id::OrgId;
use crate::control::commands::Store;
use crate::control::ctx::Ctx;
use crate::control::db::{Db, Migration};
use crate::control::identity::{self, Attempt, Directory, Entrance, Session, Tokens};
use crate::control::jobs::{self, Handler, Worker};
use crate::control::ledger;
use crate::control::limits::Limits;
use crate::control::outbound;
use crate::domains::{lineage, transfer};

/// Every domain's steps of the schema.
pub const MIGRATIONS: &[&[Migration]] = &[transfer::MIGRATIONS, lineage::MIGRATIONS];

/// In the data folder: whoever has locked it has the store to itself.
pub const LOCK: &str = "databridged.lock";

/// DataBridge over an open store. Cheap to clone.
#[derive(Clone)]
pub struct App {
    store: Store,
    transfers: transfer::Service,
    lineage: lineage::Service,
    limits: Limits,
    entrance: Entrance,
    keys: Arc<Keys>,
    signer: ledger::Signer,
    config: Arc<Config>,
    traffic: jobs::Traffic,
    crew: health::Crew,
    live: Arc<live::Live>,
    tally: jobs::Tally,
    asked: Arc<measures::Asked>,
    removed: housekeeping::Removed,
    org: OrgId,
    /// Another with each start.
    instance: Uuid,
    /// Held while the store is open, so that nobody puts it back meanwhile.
    _hold: Option<Arc<std::fs::File>>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A store that was opened.
#[derive(Debug)]
pub struct Opened {
    /// DataBridge over it.
    pub app: App,
    /// The first admin's password, where the store is new: told only now.
    pub one_time_password: Option<String>,
}

impl App {
    /// Opens the store that `config` names, and makes it where it is new.
    ///
    /// # Errors
    /// [`config::Error`], [`crate::control::db::Error`], [`keys`]' own.
    pub async fn open(config: Config) -> Result<Opened, Error> {
        config.make_folders()?;
        let hold = Some(Arc::new(backup::hold(&config.data)?));
        let keys = Keys::open(&config.data.join("keys"))?;
        let db = Db::open(&config.target(), MIGRATIONS).await?;
        Self::over(config, keys, db, hold).await
    }

    /// As [`App::open`], by whoever puts the store back and has it alone.
    async fn open_restored(config: Config) -> Result<Self, Error> {
        let keys = Keys::open(&config.data.join("keys"))?;
        let db = Db::open_restored(&config.target(), MIGRATIONS).await?;
        Ok(Self::over(config, keys, db, None).await?.app)
    }

    async fn over(
        config: Config,
        keys: Keys,
        db: Db,
        hold: Option<Arc<std::fs::File>>,
    ) -> Result<Opened, Error> {
        let store = Store::new(db);
        let (org, one_time_password) = identity::first_start(&store).await?;
        let signer = keys.signer()?;
        let transfers = transfer::Service::new(
            store.clone(),
            config.places(),
            config.policy()?,
            keys.receipts()?,
            signer.clone(),
            config.host(),
        );
        let entrance = Entrance::new(
            store.clone(),
            Tokens::new(keys.token_secret()),
            org,
            config.signin.clone(),
            Directory::open(&config.directory)?,
        );
        let app = Self {
            entrance,
            lineage: lineage::Service::new(store.clone()),
            limits: Limits::new(store.clone(), config.limits.clone()),
            store,
            transfers,
            keys: Arc::new(keys),
            signer,
            traffic: config.traffic()?,
            crew: health::Crew::default(),
            live: Arc::default(),
            tally: jobs::Tally::default(),
            asked: Arc::default(),
            removed: housekeeping::Removed::default(),
            config: Arc::new(config),
            org,
            instance: Uuid::new_v4(),
            _hold: hold,
        };
        Ok(Opened { app, one_time_password })
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes over what of a configuration can change while jobs and requests go on;
    /// answers what changed and what waits for the next start.
    ///
    /// # Errors
    /// [`config::Error`]; then everything stays as it was.
    pub fn reload(&self, config: &Config) -> Result<config::Changes, Error> {
        config.check()?;
        self.traffic.set(config.rules()?);
        self.limits.set(config.limits.clone());
        Ok(self.config.changes(config))
    }

    /// The public halves of the store's keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The store's organisation.
    pub fn org(&self) -> OrgId {
        self.org
    }

    /// Tells of every commit of this process.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.store.changes()
    }

    /// The transfer domain, for what streams and so is no [`Call`].
    pub fn transfers(&self) -> &transfer::Service {
        &self.transfers
    }

    /// Counts requests, for whoever serves others.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Signs somebody in by password; `new_password` changes it on the way.
    ///
    /// # Errors
    /// As [`App::sign_in`].
    pub async fn login(
        &self,
        username: &str,
        password: String,
        new_password: Option<String>,
    ) -> Result<Session, Error> {
        let username = username.to_owned();
        self.sign_in(Attempt { username, password, new_password, address: None }).await
    }

    /// Signs somebody in, in the directory or here.
    ///
    /// # Errors
    /// [`identity::Error::WrongCredentials`], [`identity::Error::MustChangePassword`],
    /// [`identity::Error::Directory`].
    pub async fn sign_in(&self, attempt: Attempt) -> Result<Session, Error> {
        self.entrance.sign_in(attempt).await
    }

    /// The next pair of tokens for a refresh token, which is used up by it.
    ///
    /// # Errors
    /// [`identity::Error::BadToken`].
    pub async fn refresh(&self, refresh_token: &str) -> Result<Session, Error> {
        self.entrance.refresh(refresh_token).await
    }

    /// Who the bearer of a token or an API key is.
    ///
    /// # Errors
    /// [`identity::Error::BadToken`].
    pub async fn authenticate(&self, bearer: &str) -> Result<Ctx, Error> {
        self.entrance.authenticate(bearer).await
    }

    /// The OS user as the actor of this store, for whoever opens its files.
    ///
    /// # Errors
    /// [`identity::Error::NoUser`] where `on_behalf_of` is not known.
    pub async fn embedded(&self, on_behalf_of: Option<&str>) -> Result<Ctx, Error> {
        identity::os_user(&self.store, self.org, &config::os_user_name(), on_behalf_of).await
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`crate::control::db::Error`].
    pub async fn is_ready(&self) -> Result<(), Error> {
        self.store.db().read().await?.now().await?;
        Ok(())
    }

    /// A worker for every domain's jobs.
    pub fn worker(&self) -> Worker {
        self.worker_of(Arc::new(self.transfers.clone()), true)
    }

    /// Workers for what follows them and nobody waits for, hooks and housekeeping, which
    /// do not wait for each other either.
    pub fn chores(&self) -> [Worker; 2] {
        let house = housekeeping::Housekeeper {
            store: self.store.clone(),
            transfers: self.transfers.clone(),
            entrance: self.entrance.clone(),
            keep: self.config.housekeeping.keep(),
            retention: self.config.housekeeping.retention(),
            removed: self.removed.clone(),
        };
        let hooks = outbound::Hooks::new(self.store.clone(), &self.config.hooks);
        [self.worker_of(Arc::new(hooks), false), self.worker_of(Arc::new(house), false)]
    }

    fn worker_of(&self, handler: Arc<dyn Handler>, eager: bool) -> Worker {
        let owner = format!("{}:{}:{}", self.config.host(), self.instance, Uuid::new_v4().simple());
        let settings = jobs::Settings {
            lease: self.config.lease(),
            traffic: self.traffic.clone(),
            can: self.config.can.clone(),
            tally: self.tally.clone(),
            eager,
            poll: Duration::from_millis(if eager { 500 } else { 1000 }),
            ..jobs::Settings::default()
        };
        Worker::new(self.store.clone(), vec![handler], settings, owner)
    }

    /// Every role that some domain knows.
    pub fn roles() -> Vec<&'static str> {
        roles::all()
    }

    /// Reads the whole ledger and holds it against the checkpoints kept beside the
    /// database and against `notes` kept elsewhere.
    ///
    /// # Errors
    /// [`ledger::Error`] where it could not be read, or a note is not acceptable.
    pub async fn verify_ledger(&self, notes: &[String]) -> Result<ledger::Report, Error> {
        let key = self.signer.verifier_key();
        let mut checkpoints = Vec::new();
        if let Some(path) = ledger::newest(&self.config.checkpoints())? {
            checkpoints.push(ledger::Checkpoint::open(&read(&path)?, &key)?);
        }
        for note in notes {
            checkpoints.push(ledger::Checkpoint::open(note, &key)?);
        }
        let mut tx = self.store.db().read().await?;
        Ok(ledger::verify(&mut tx, &checkpoints).await?)
    }

    /// Closes the store.
    pub async fn close(&self) {
        self.store.db().close().await;
    }
}

fn read(path: &Path) -> Result<String, ledger::Error> {
    std::fs::read_to_string(path)
        .map_err(|source| ledger::Error::Io { path: path.display().to_string(), source })
}
