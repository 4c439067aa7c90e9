//! An embedded store, opened when it is first asked.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use databridge_core::Error as AnyError;
use databridge_core::app::{App, Config};
use databridge_core::control::ctx::Ctx;
use pyo3::prelude::*;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::errors::{Error, raise};
use super::json::{call, parse, value};
use super::work::{self, Task, Watch};

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

impl Engine {
    /// Begins what is asked of the store by whom this is a view for.
    fn begin(
        &self,
        py: Python<'_>,
        ask: impl AsyncFnOnce(&App, &Ctx, &Watch) -> Result<Value, AnyError> + Send + 'static,
    ) -> PyResult<Task> {
        let (state, name) = (self.state.clone(), self.on_behalf_of.clone());
        work::begin(py, move |watch| {
            let running = open(&state)?;
            running.runtime.block_on(async {
                let ctx = running.app.embedded(name.as_deref()).await?;
                ask(&running.app, &ctx, watch).await
            })
        })
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
    fn call(
        &self,
        py: Python<'_>,
        op: String,
        fields: String,
        key: Option<String>,
    ) -> PyResult<Task> {
        self.begin(py, async move |app, ctx, _| {
            app.call(ctx, call(op, &fields)?, key.as_deref()).await
        })
    }

    /// Adds a file, or a folder's content, to a transfer.
    fn add(&self, py: Python<'_>, code: String, path: PathBuf) -> PyResult<Task> {
        self.begin(py, async move |app, ctx, watch| app.add(ctx, &code, &path, watch.clone()).await)
    }

    /// Works until a transfer waits for a person or is at its end.
    fn settle(&self, py: Python<'_>, code: String, timeout_seconds: f64) -> PyResult<Task> {
        let timeout = Duration::try_from_secs_f64(timeout_seconds).map_err(|error| {
            raise(py, Error::Argument { name: "timeout", reason: error.to_string() })
        })?;
        self.begin(py, async move |app, ctx, watch| {
            app.settle(ctx, &code, timeout, &watch.stop).await
        })
    }

    /// The first admin's password, where this opening made the store.
    fn one_time_password<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let state = self.state.clone();
        work::run(py, move |_| Ok(value(&open(&state)?.one_time_password)))
    }

    /// Closes the store, for all views of it. Twice does no harm.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.state.clone();
        let closed = work::run(py, move |_| {
            not_forked()?;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if let State::Open(running) = std::mem::replace(&mut *state, State::Closed) {
                running.runtime.block_on(running.app.close());
                OPEN.fetch_sub(1, Ordering::AcqRel);
            }
            Ok(Value::Null)
        });
        closed.map(drop)
    }
}
