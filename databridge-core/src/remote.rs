//! The client of a daemon: the same [`Call`]s over HTTP.
//!
//! Retries only what is safe: nothing on a 4xx; on a lost connection or a 5xx
//! twice, under one idempotency key, so that a command is never done twice.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};

mod pieces;
mod session;

pub use session::Keeper;
use session::Renewed;

use crate::app::Call;
use crate::app::call::Code;
use crate::app::routes::{self, Method, PREFIX};
use crate::base::cancel::Cancel;
use crate::base::error::{Error as AnyError, ErrorKind, Fault};
use crate::control::identity::Session;
use crate::domains::transfer::state::{State, work};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{Folder, RelPath, Stat};
use crate::media::walk;

/// Longer than any call waits on the daemon's side.
const TIMEOUT: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 2;
/// How often a daemon that is crowded is asked for a place.
const PLACE: Duration = Duration::from_secs(1);
/// What a daemon says of an address that it does not know.
const NO_ROUTE: &str = "http.no_route";

/// What a daemon, or the way to it, answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The daemon refused (RFC 9457 problem).
    #[error("{message}")]
    Problem {
        /// What it means.
        kind: ErrorKind,
        /// The stable code.
        code: String,
        /// What happened.
        message: String,
        /// What to do next.
        hint: Option<String>,
        /// Roles that would do, on a 403.
        required_roles: Vec<String>,
    },
    /// No answer.
    #[error("{url} does not answer")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// An answer that is none of ours.
    #[error("{url} answered {status} with something that is not DataBridge's")]
    Strange {
        /// Where.
        url: String,
        /// What.
        status: u16,
    },
    /// A daemon, and one that does not know our interface.
    #[error("the daemon at {url}, version {theirs}, does not serve {PREFIX}")]
    Version {
        /// Where.
        url: String,
        /// What it says it is.
        theirs: String,
    },
    /// A call that is not served.
    #[error("this call has no REST route")]
    NoRoute,
    /// A file is not what it was when it was begun to be sent.
    #[error("{path} changed while it was sent")]
    Changed {
        /// Where in the transfer.
        path: RelPath,
    },
    /// A file that is to be sent cannot be read.
    #[error("{path} cannot be read")]
    Unread {
        /// Where in the transfer.
        path: RelPath,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the daemon takes as many files as it can at a time.
    fn is_crowded(&self) -> bool {
        matches!(self, Self::Problem { code, .. } if code == "http.crowded")
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Problem { kind, .. } => *kind,
            Self::Unreachable { .. } | Self::Strange { .. } => ErrorKind::Unavailable,
            Self::Version { .. } => ErrorKind::Invalid,
            Self::NoRoute => ErrorKind::Internal,
            Self::Changed { .. } => ErrorKind::Conflict,
            Self::Unread { .. } => ErrorKind::Io,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Problem { code, .. } => code,
            Self::Unreachable { .. } => "remote.unreachable",
            Self::Strange { .. } => "remote.strange",
            Self::Version { .. } => "remote.version",
            Self::NoRoute => "remote.no_route",
            Self::Changed { .. } => "remote.changed",
            Self::Unread { .. } => "remote.unread",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        match self {
            Self::Problem { hint, .. } => {
                let hint = hint.clone().map(Into::into);
                hint.or(Some("look the code up in docs/errors.md".into()))
            }
            Self::Unreachable { .. } => Some("check the address, and that the daemon runs".into()),
            Self::Strange { .. } => Some("check that the address is a DataBridge daemon's".into()),
            Self::Version { .. } => {
                Some("use a client and a daemon of the same major version".into())
            }
            Self::NoRoute => Some("make this call on an embedded store".into()),
            Self::Changed { .. } => {
                Some("let whoever writes it come to an end, then add it again".into())
            }
            Self::Unread { .. } => Some("check the file, and that this user may read it".into()),
        }
    }
    fn required_roles(&self) -> Vec<String> {
        match self {
            Self::Problem { required_roles, .. } => required_roles.clone(),
            _ => Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct Problem {
    kind: ErrorKind,
    code: String,
    detail: String,
    #[serde(default)]
    hint: Option<String>,
    #[serde(default)]
    required_roles: Vec<String>,
}

/// A daemon, and who we are to it. Cheap to clone; clones share one session.
#[derive(Clone)]
pub struct Remote {
    agent: Agent,
    url: String,
    who: Who,
}

#[derive(Clone)]
enum Who {
    Nobody,
    /// A token or an API key that we cannot renew.
    Token(String),
    /// A session that renews itself.
    Session(Arc<Renewed>),
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Remote {
    /// The daemon at `url` (`http://…` or `https://…`, trusted as the system
    /// trusts), with a bearer token or an API key.
    pub fn new(url: &str, token: Option<String>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .into();
        let who = token.map_or(Who::Nobody, Who::Token);
        Self { agent, url: url.trim_end_matches('/').to_owned(), who }
    }

    /// The same daemon as somebody else.
    #[must_use]
    pub fn with_token(&self, token: String) -> Self {
        Self { who: Who::Token(token), ..self.clone() }
    }

    /// The same daemon in a session, which is renewed before it ends; `keeper` shares it
    /// with other processes.
    #[must_use]
    pub fn with_session(&self, session: Session, keeper: Option<Box<dyn Keeper>>) -> Self {
        Self { who: Who::Session(Arc::new(Renewed::new(session, keeper))), ..self.clone() }
    }

    /// What `Authorization` says; a session that is about to end is renewed first.
    fn bearer(&self) -> Result<String, Error> {
        Ok(match &self.who {
            Who::Nobody => String::new(),
            Who::Token(token) => format!("Bearer {token}"),
            Who::Session(session) => format!("Bearer {}", session.token(self)?),
        })
    }

    /// Whether a refusal was of a token that could be renewed, and now is.
    fn renewed(&self, refused: &Error, bearer: &str) -> Result<bool, Error> {
        match (&self.who, refused) {
            (Who::Session(session), Error::Problem { code, .. })
                if code == "identity.bad_token" =>
            {
                session.renew(self, bearer.trim_start_matches("Bearer "))
            }
            _ => Ok(false),
        }
    }

    /// Asks for the next pair of tokens. It is asked once: an answer that is lost on its
    /// way costs a new sign-in.
    fn refresh(&self, refresh_token: &str) -> Result<Session, Error> {
        let url = format!("{}{PREFIX}/auth/refresh", self.url);
        let body = json!({ "refresh_token": refresh_token });
        let answer = self.answer(self.agent.post(&url).send_json(body))?;
        serde_json::from_value(answer)
            .map_err(|_| Error::Strange { url: self.url.clone(), status: 200 })
    }

    fn answer(&self, response: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value, Error> {
        let unreachable =
            |source| Error::Unreachable { url: self.url.clone(), source: Box::new(source) };
        let mut response = response.map_err(unreachable)?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        let strange = || Error::Strange { url: self.url.clone(), status };
        if (200..300).contains(&status) {
            if text.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_str(&text).map_err(|_| strange());
        }
        let problem = serde_json::from_str::<Problem>(&text).ok();
        // We ask for nothing that a daemon of this interface does not have.
        let has_no_route = problem.as_ref().is_none_or(|told| told.code == NO_ROUTE);
        if status == 404
            && has_no_route
            && let Some(error) = self.other_version()
        {
            return Err(error);
        }
        let problem = problem.ok_or_else(strange)?;
        Err(Error::Problem {
            kind: problem.kind,
            code: problem.code,
            message: problem.detail,
            hint: problem.hint,
            required_roles: problem.required_roles,
        })
    }

    /// What a path of ours that is not there means, where a daemon answers for its health.
    fn other_version(&self) -> Option<Error> {
        #[derive(Deserialize)]
        struct Health {
            version: String,
        }
        let answer = self.agent.get(format!("{}/api/health", self.url)).call().ok()?;
        let text = answer.into_body().read_to_string().ok()?;
        let health: Health = serde_json::from_str(&text).ok()?;
        Some(Error::Version { url: self.url.clone(), theirs: health.version })
    }

    /// Answers a call, as the embedded store would.
    ///
    /// # Errors
    /// [`Error`].
    pub fn call(&self, call: &Call, key: Option<&str>) -> Result<Value, Error> {
        let request = routes::request(call).ok_or(Error::NoRoute)?;
        let url = format!("{}{}", self.url, request.path);
        let key = key.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        let mut bearer = self.bearer()?;
        let (mut attempt, mut renewed) = (0, false);
        loop {
            let response = match request.method {
                Method::Get => self.agent.get(&url).header("authorization", &bearer).call(),
                Method::Delete => self
                    .agent
                    .delete(&url)
                    .header("authorization", &bearer)
                    .header("idempotency-key", &key)
                    .call(),
                Method::Patch => self
                    .agent
                    .patch(&url)
                    .header("authorization", &bearer)
                    .header("idempotency-key", &key)
                    // Whoever calls through here says what is to be, not what was.
                    .header("if-match", "*")
                    .send_json(request.body.as_ref().unwrap_or(&Value::Null)),
                Method::Post => self
                    .agent
                    .post(&url)
                    .header("authorization", &bearer)
                    .header("idempotency-key", &key)
                    .send_json(request.body.as_ref().unwrap_or(&Value::Null)),
            };
            match self.answer(response) {
                Err(error) if passing(&error) && attempt < RETRIES => {
                    attempt += 1;
                    std::thread::sleep(Duration::from_millis(200 << attempt));
                }
                Err(error) if !renewed && self.renewed(&error, &bearer)? => {
                    (renewed, bearer) = (true, self.bearer()?);
                }
                answer => return answer,
            }
        }
    }

    /// Signs in; answers the session, whose token goes into
    /// [`with_token`](Remote::with_token).
    ///
    /// # Errors
    /// [`Error`].
    pub fn login(
        &self,
        username: &str,
        password: &str,
        new_password: Option<&str>,
    ) -> Result<Session, Error> {
        let url = format!("{}{PREFIX}/auth/login", self.url);
        let body =
            json!({ "username": username, "password": password, "new_password": new_password });
        let answer = self.answer(self.agent.post(&url).send_json(body))?;
        serde_json::from_value(answer)
            .map_err(|_| Error::Strange { url: self.url.clone(), status: 200 })
    }

    /// Puts a file into a transfer.
    ///
    /// # Errors
    /// [`Error`].
    pub fn upload(
        &self,
        code: &str,
        path: &RelPath,
        mut content: impl Read,
    ) -> Result<Value, Error> {
        let url = format!("{}{}", self.url, routes::upload_path(code, path.as_str()));
        let response = self
            .agent
            .put(&url)
            .header("authorization", &self.bearer()?)
            .header("content-type", "application/octet-stream")
            .send(ureq::SendBody::from_reader(&mut content));
        self.answer(response)
    }

    /// Puts a file, or everything in a folder, into a transfer; answers it as it
    /// then is.
    ///
    /// # Errors
    /// What the walk refuses, by name; [`Error`]; the monitor's wish to stop.
    pub fn add(&self, code: &str, source: &Path, monitor: &dyn Monitor) -> Result<Value, AnyError> {
        if !source.is_dir() {
            let (root, name) = walk::single(source)?;
            let folder = Folder::open(&root)?;
            monitor.on(Progress::Total { files: 1, bytes: folder.stat(&name)?.size_bytes });
            return self.put(code, &folder, &name, monitor);
        }
        let entries = walk::tree(source)?;
        let folder = Folder::open(source)?;
        let bytes = entries.iter().map(|entry| entry.size_bytes).sum();
        monitor.on(Progress::Total { files: entries.len() as u64, bytes });
        let mut answer = Value::Null;
        for entry in entries {
            answer = match entry.kind {
                walk::Kind::File => self.put(code, &folder, &entry.path, monitor)?,
                walk::Kind::EmptyDir => self.upload_empty_dir(code, &entry.path)?,
            };
        }
        Ok(answer)
    }

    fn put(
        &self,
        code: &str,
        folder: &Folder,
        path: &RelPath,
        monitor: &dyn Monitor,
    ) -> Result<Value, AnyError> {
        let file = folder.open_file(path)?;
        let unread = |source| Error::Unread { path: path.clone(), source };
        let before = Stat::of(&file).map_err(unread)?;
        let length = before.size_bytes;
        let in_pieces = length >= pieces::LARGE;
        let answer = match in_pieces
            .then(|| self.send_in_pieces(code, path, (&file, length), monitor))
        {
            Some(Ok(true)) => self.call(&Call::TransferShow(Code { code: code.to_owned() }), None),
            Some(Err(error)) => Err(error),
            Some(Ok(false)) | None => self.send_whole(code, path, &file, monitor),
        };
        let answer = match answer {
            Err(_) if monitor.cancelled() => {
                return Err(crate::domains::transfer::Error::Stopped.into());
            }
            answer => answer?,
        };
        if !Stat::of(&file).map_err(unread)?.is_unchanged_since(&before) {
            // What went in is neither what it was nor what it is.
            let (code, name) = (code.to_owned(), path.to_string());
            let _ = self.call(&Call::TransferRemoveFile { code, path: name }, None);
            return Err(Error::Changed { path: path.clone() }.into());
        }
        monitor.on(Progress::File(path.as_str()));
        Ok(answer)
    }

    /// Sends a file in one piece, once the daemon has a place for it.
    fn send_whole(
        &self,
        code: &str,
        path: &RelPath,
        mut file: &File,
        monitor: &dyn Monitor,
    ) -> Result<Value, Error> {
        let mut told = 0;
        loop {
            file.rewind().map_err(|source| Error::Unread { path: path.clone(), source })?;
            let content = Watched { file, monitor, at: 0, told: &mut told };
            match self.upload(code, path, content) {
                Err(error) if error.is_crowded() && !monitor.cancelled() => {
                    std::thread::sleep(PLACE);
                }
                sent => return sent,
            }
        }
    }

    /// Waits until a transfer waits for a person, stands still or is at its end, and
    /// answers it. About once a second `tell` gets the transfer as it is, and the events
    /// after the position `after` that it had not got.
    ///
    /// # Errors
    /// [`Error`]; that somebody asked to stop, or that `timeout` has passed: the
    /// daemon's work goes on.
    pub fn settle(
        &self,
        code: &str,
        after: i64,
        timeout: Option<Duration>,
        stop: &Cancel,
        mut tell: impl FnMut(&Value, &[Value]),
    ) -> Result<Value, AnyError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut seen = after;
        loop {
            let shown = self.call(&Call::TransferShow(Code { code: code.to_owned() }), None)?;
            let state = shown["state"].as_str().unwrap_or_default();
            let moving =
                (!State::shown_rests(state) || is_adding(&shown)) && shown["paused"].is_null();
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if moving && (stop.is_cancelled() || is_over) {
                return Err(crate::domains::transfer::Error::Stopped.into());
            }
            let mut wait = moving.then_some(1);
            loop {
                let call = Call::TransferHistory {
                    code: code.to_owned(),
                    after: Some(seen),
                    limit: None,
                    wait,
                };
                let Value::Array(events) = self.call(&call, None)? else { break };
                tell(&shown, &events);
                let Some(last) = events.last() else { break };
                seen = last["position"].as_i64().unwrap_or(i64::MAX);
                // More of them may be there already.
                wait = None;
            }
            if !moving {
                return Ok(shown);
            }
        }
    }

    /// Declares an empty folder in a transfer.
    ///
    /// # Errors
    /// [`Error`].
    pub fn upload_empty_dir(&self, code: &str, path: &RelPath) -> Result<Value, Error> {
        let url =
            format!("{}{}?kind=empty_dir", self.url, routes::upload_path(code, path.as_str()));
        self.answer(self.agent.put(&url).header("authorization", &self.bearer()?).send_empty())
    }
}

/// Whether a job is still to add something to the transfer.
fn is_adding(shown: &Value) -> bool {
    let is_open = |job: &Value| {
        job["kind"] == work::TAKE_IN && (job["state"] == "ready" || job["state"] == "leased")
    };
    shown["jobs"].as_array().is_some_and(|jobs| jobs.iter().any(is_open))
}

/// Counts what is read, and ends where somebody wants to stop.
struct Watched<'a> {
    file: &'a File,
    monitor: &'a dyn Monitor,
    at: u64,
    /// What goes the same way twice is told once.
    told: &'a mut u64,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.monitor.cancelled() {
            return Err(std::io::Error::other("stopped"));
        }
        let count = self.file.read(buffer)?;
        self.at += count as u64;
        if self.at > *self.told {
            self.monitor.on(Progress::Bytes(self.at - *self.told));
            *self.told = self.at;
        }
        Ok(count)
    }
}

fn passing(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Problem { kind, .. } => kind.http_status() >= 500,
        Error::Strange { status, .. } => *status >= 500,
        Error::Version { .. } | Error::NoRoute | Error::Changed { .. } | Error::Unread { .. } => {
            false
        }
    }
}
