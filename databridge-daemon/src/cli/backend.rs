//! A store: a daemon's, or one whose files we open.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use databridge_core::Error;
use databridge_core::app::call::Code;
use databridge_core::app::{App, Call};
use databridge_core::base::cancel::Cancel;
use databridge_core::control::ctx::Ctx;
use databridge_core::control::identity::Session;
use databridge_core::remote::{self, Keeper, Remote};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::Global;
use super::error::{io, no_store, usage};
use super::progress::Terminal;
use crate::config;

/// Longer than any transfer takes.
const EVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// What answers calls.
pub enum Backend {
    /// The files of a store, opened by this process.
    Embedded(Box<Embedded>),
    /// A daemon.
    Remote(Remote),
}

/// An open store and who we are in it.
pub struct Embedded {
    runtime: Runtime,
    app: App,
    ctx: Ctx,
}

impl Backend {
    /// Opens what the options name; a local store must be there.
    pub fn open(global: &Global) -> Result<Self, Error> {
        Self::reach(global, false)
    }

    /// The same, where a local store that is not there is made.
    pub fn open_or_make(global: &Global) -> Result<Self, Error> {
        Self::reach(global, true)
    }

    fn reach(global: &Global, make: bool) -> Result<Self, Error> {
        if let Some(server) = &global.server {
            if !["http://", "https://"].iter().any(|scheme| server.starts_with(scheme)) {
                return Err(usage(
                    format!("{server:?} is no daemon's address"),
                    "write it as http://host:8080 or https://host",
                ));
            }
            let remote = Remote::new(server, global.token.clone());
            if global.token.is_some() {
                return Ok(Self::Remote(remote));
            }
            return Ok(Self::Remote(match Tokens::load().ok().and_then(|t| t.get(server)) {
                None => remote,
                Some(Stored::Token(token)) => remote.with_token(token),
                Some(Stored::Session(session)) => {
                    remote.with_session(*session, Some(Box::new(Shared(server.clone()))))
                }
            }));
        }
        if global.data.is_none() && global.config.is_none() {
            return Err(usage("no store is named", "say --server URL or --data DIR"));
        }
        let config = config::load(global.config.as_deref(), global.data.clone(), None)?;
        if !make && !config.has_store() {
            return Err(no_store(&config.data));
        }
        let runtime = Runtime::new().map_err(|e| io("start", "the runtime", e))?;
        let opened = runtime.block_on(App::open(config))?;
        if let Some(password) = &opened.one_time_password {
            if global.json {
                eprintln!("{}", json!({ "new_store": true, "one_time_password": password }));
            } else {
                eprintln!("this store is new; one-time password for admin: {password}");
            }
        }
        let ctx = runtime.block_on(opened.app.embedded(global.on_behalf_of.as_deref()))?;
        Ok(Self::Embedded(Box::new(Embedded { runtime, app: opened.app, ctx })))
    }

    /// Answers a call.
    pub fn call(&self, call: Call) -> Result<Value, Error> {
        match self {
            Self::Embedded(e) => e.runtime.block_on(e.app.call(&e.ctx, call, None)),
            Self::Remote(remote) => Ok(remote.call(&call, None)?),
        }
    }

    /// Adds a file, or a folder's content, to a transfer.
    pub fn add(&self, code: &str, source: &Path) -> Result<Value, Error> {
        let terminal = Terminal::new();
        match self {
            Self::Embedded(e) => e.runtime.block_on(e.app.add(&e.ctx, code, source, terminal)),
            Self::Remote(remote) => Ok(remote.add(code, source, &terminal)?),
        }
    }

    /// Whether starting work means doing it here.
    pub fn works_itself(&self) -> bool {
        matches!(self, Self::Embedded(_))
    }

    /// Waits until the transfer waits for a person or is at its end, telling each
    /// event as it comes; an embedded store does the work meanwhile.
    pub fn settle(
        &self,
        code: &str,
        after: i64,
        mut tell: impl FnMut(&Value),
    ) -> Result<Value, Error> {
        let terminal = Terminal::new();
        let told = |shown: &Value, events: &[Value]| {
            terminal.say(super::transfer::progress(shown));
            terminal.suspend(|| events.iter().for_each(&mut tell));
        };
        match self {
            Self::Embedded(e) => e.settle(code, after, terminal.cancel(), told),
            Self::Remote(remote) => remote.settle(code, after, None, terminal.cancel(), told),
        }
    }

    /// What happened to a transfer after a position.
    pub fn history(&self, code: &str, after: i64, wait: Option<u64>) -> Result<Vec<Value>, Error> {
        let call =
            Call::TransferHistory { code: code.to_owned(), after: Some(after), limit: None, wait };
        match self.call(call)? {
            Value::Array(events) => Ok(events),
            _ => Ok(Vec::new()),
        }
    }
}

impl Embedded {
    /// Works until the transfer rests, and looks at it meanwhile as one would from afar.
    fn settle(
        &self,
        code: &str,
        after: i64,
        stop: &Cancel,
        mut tell: impl FnMut(&Value, &[Value]),
    ) -> Result<Value, Error> {
        let mut seen = after;
        let mut take = |shown: &Value, events: Value| {
            let events = events.as_array().map_or(&[][..], Vec::as_slice);
            seen = events.last().and_then(|last| last["position"].as_i64()).unwrap_or(seen);
            tell(shown, events);
            (seen, !events.is_empty())
        };
        self.runtime.block_on(async {
            let ask = |call| self.app.call(&self.ctx, call, None);
            let history = |after, wait| {
                ask(Call::TransferHistory { code: code.to_owned(), after, limit: None, wait })
            };
            let show = || ask(Call::TransferShow(Code { code: code.to_owned() }));
            let mut settled = pin!(self.app.settle(&self.ctx, code, EVER, stop));
            let mut at = after;
            let shown = loop {
                let look =
                    async { Ok::<_, Error>((history(Some(at), Some(1)).await?, show().await?)) };
                tokio::select! {
                    shown = &mut settled => break shown?,
                    seen = look => match seen {
                        Ok((events, shown)) => at = take(&shown, events).0,
                        // Not to be seen is no reason to leave work half done.
                        Err(_) => break settled.await?,
                    },
                }
            };
            while let (position, true) = take(&shown, history(Some(at), None).await?) {
                at = position;
            }
            Ok(shown)
        })
    }
}

/// What is kept of a daemon.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stored {
    /// A session that renews itself.
    Session(Box<Session>),
    /// A token as it was stored before there were sessions.
    Token(String),
}

/// Sessions at daemons, by address, in a file that only its user can read.
#[derive(Default)]
pub struct Tokens(BTreeMap<String, Stored>);

impl Tokens {
    fn path() -> Result<PathBuf, Error> {
        let home = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
        home.map(|home| home.join("databridge/tokens.json"))
            .ok_or_else(|| usage("there is no home folder to keep a token in", "use --token"))
    }

    fn key(server: &str) -> &str {
        server.trim_end_matches('/')
    }

    /// What is kept of a daemon, however its address ends.
    pub fn get(&self, server: &str) -> Option<Stored> {
        self.0.get(Self::key(server)).cloned()
    }

    /// Keeps a session.
    pub fn put(&mut self, server: &str, session: Session) {
        self.0.insert(Self::key(server).to_owned(), Stored::Session(Box::new(session)));
    }

    /// Keeps nothing of a daemon.
    pub fn forget(&mut self, server: &str) {
        self.0.remove(Self::key(server));
    }

    /// Those that are stored.
    pub fn load() -> Result<Self, Error> {
        let path = Self::path()?;
        match std::fs::read(&path) {
            Ok(json) => Ok(Self(serde_json::from_slice(&json).unwrap_or_default())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(io("read", &path, e)),
        }
    }

    /// Changes what is stored while no other process does.
    pub fn change(edit: impl FnOnce(&mut Self)) -> Result<(), Error> {
        let _lock = Self::lock()?;
        let mut tokens = Self::load()?;
        edit(&mut tokens);
        tokens.save()
    }

    /// Held as long as the file stays open.
    fn lock() -> Result<File, Error> {
        let path = Self::path()?;
        let fail = |e| io("lock", &path, e);
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
        let lock = path.with_extension("lock");
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(lock);
        let file = file.map_err(fail)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| fail(e.into()))?;
        Ok(file)
    }

    fn save(&self) -> Result<(), Error> {
        let path = Self::path()?;
        let fail = |e| io("write", &path, e);
        let draft = path.with_extension("draft");
        let _ = std::fs::remove_file(&draft);
        let mut file =
            File::options().write(true).create_new(true).mode(0o600).open(&draft).map_err(fail)?;
        let json = serde_json::to_vec_pretty(&self.0).unwrap_or_default();
        file.write_all(&json).and_then(|()| file.sync_all()).map_err(fail)?;
        std::fs::rename(&draft, &path).map_err(fail)
    }
}

/// The stored session of one daemon, as all commands of a user share it.
struct Shared(String);

impl Keeper for Shared {
    fn exchange(
        &self,
        renew: &mut dyn FnMut(Option<Session>) -> Result<Session, remote::Error>,
    ) -> Result<Session, remote::Error> {
        let lock = Tokens::lock();
        let stored = Tokens::load().ok().and_then(|tokens| match tokens.get(&self.0) {
            Some(Stored::Session(session)) => Some(*session),
            _ => None,
        });
        let session = renew(stored)?;
        if lock.is_ok()
            && let Ok(mut tokens) = Tokens::load()
        {
            tokens.put(&self.0, session.clone());
            if let Err(error) = tokens.save() {
                eprintln!("warning: the session could not be stored: {}", error.chain());
            }
        }
        Ok(session)
    }
}
