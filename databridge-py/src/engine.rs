//! An embedded store, opened when it is first asked.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use databridge_core::Error as AnyError;
use databridge_core::app::{App, Config, routes};
use pyo3::prelude::*;
use tokio::runtime::Runtime;

use super::errors::{Error, raise};
use super::json::{parse, to_python};
use super::work;

/// How many stores this process, or the one it was forked from, has open.
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// The process that opened them.
static OPENED_BY: AtomicU32 = AtomicU32::new(0);

/// SQLite's locks belong to a process, but what SQLite believes to hold is copied
/// into a child: it would write without any lock. So a child of a process with an
/// open store opens none.
fn not_forked() -> Result<(), Error> {
    let inherited = OPENED_BY.load(Ordering::Acquire) != std::process::id();
    match inherited && OPEN.load(Ordering::Acquire) > 0 {
        true => Err(Error::Forked),
        false => Ok(()),
    }
}

struct Running {
    // Before the runtime, which its connections need.
    app: App,
    runtime: Runtime,
    one_time_password: Option<String>,
}

enum State {
    New(Box<Config>),
    Open(Arc<Running>),
    Closed,
}

/// An embedded store. Views of it for other people share it.
#[pyclass(frozen, module = "databridge._databridge")]
pub struct Engine {
    state: Arc<Mutex<State>>,
    on_behalf_of: Option<String>,
}

fn open(state: &Mutex<State>) -> Result<Arc<Running>, AnyError> {
    not_forked()?;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    match &*state {
        State::Closed => Err(Error::Closed.into()),
        State::Open(running) => Ok(running.clone()),
        State::New(config) => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().map_err(Error::Runtime)?;
            let opened = runtime.block_on(App::open(Config::clone(config)))?;
            OPENED_BY.store(std::process::id(), Ordering::Release);
            OPEN.fetch_add(1, Ordering::AcqRel);
            let running = Arc::new(Running {
                app: opened.app,
                runtime,
                one_time_password: opened.one_time_password,
            });
            *state = State::Open(running.clone());
            Ok(running)
        }
    }
}

#[pymethods]
impl Engine {
    /// A store in the folder `data`; `config` is the configuration as JSON.
    #[new]
    fn new(py: Python<'_>, data: PathBuf, config: &str, as_user: Option<String>) -> PyResult<Self> {
        let config: Config = parse("config", config).map_err(|error| raise(py, error))?;
        let config = Config { data, ..config };
        config.check().map_err(|error| raise(py, error))?;
        let state = Arc::new(Mutex::new(State::New(Box::new(config))));
        Ok(Self { state, on_behalf_of: as_user })
    }

    /// The same store, used with the roles of somebody else.
    fn acting_as(&self, username: Option<String>) -> Self {
        Self { state: self.state.clone(), on_behalf_of: username }
    }

    /// Answers a call whose fields are a JSON object.
    fn call<'py>(
        &self,
        py: Python<'py>,
        op: String,
        fields: String,
        key: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (state, name) = (self.state.clone(), self.on_behalf_of.clone());
        let answer = work::run(py, None, move |_| {
            let call = routes::call(&op, parse(&op, &fields)?)
                .map_err(|source| Error::Call { op, source })?;
            let running = open(&state)?;
            running.runtime.block_on(async {
                let ctx = running.app.embedded(name.as_deref()).await?;
                running.app.call(&ctx, call, key.as_deref()).await
            })
        })?;
        to_python(py, &answer)
    }

    /// Adds a file, or a folder's content, to a transfer.
    fn add<'py>(
        &self,
        py: Python<'py>,
        code: String,
        path: PathBuf,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (state, name) = (self.state.clone(), self.on_behalf_of.clone());
        let answer = work::run(py, progress, move |watch| {
            let running = open(&state)?;
            running.runtime.block_on(async {
                let ctx = running.app.embedded(name.as_deref()).await?;
                running.app.add(&ctx, &code, &path, watch.clone()).await
            })
        })?;
        to_python(py, &answer)
    }

    /// Works until a transfer waits for a person or is at its end.
    fn settle<'py>(
        &self,
        py: Python<'py>,
        code: String,
        timeout_seconds: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (state, name) = (self.state.clone(), self.on_behalf_of.clone());
        let timeout = Duration::try_from_secs_f64(timeout_seconds).map_err(|error| {
            raise(py, Error::Argument { name: "timeout", reason: error.to_string() })
        })?;
        let answer = work::run(py, None, move |watch| {
            let running = open(&state)?;
            running.runtime.block_on(async {
                let ctx = running.app.embedded(name.as_deref()).await?;
                running.app.settle(&ctx, &code, timeout, &watch.stop).await
            })
        })?;
        to_python(py, &answer)
    }

    /// The first admin's password, where this opening made the store.
    fn one_time_password(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let state = self.state.clone();
        work::run(py, None, move |_| Ok(open(&state)?.one_time_password.clone()))
    }

    /// Closes the store, for all views of it. Twice does no harm.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.state.clone();
        work::run(py, None, move |_| {
            not_forked()?;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if let State::Open(running) = std::mem::replace(&mut *state, State::Closed) {
                running.runtime.block_on(running.app.close());
                OPEN.fetch_sub(1, Ordering::AcqRel);
            }
            Ok(())
        })
    }
}
