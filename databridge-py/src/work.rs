//! Long work on a thread of its own, which never enters Python.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use databridge_core::Error as AnyError;
use databridge_core::base::cancel::Cancel;
use databridge_core::media::monitor::{Monitor, Progress};
use pyo3::prelude::*;
use serde_json::Value;

use super::errors::{Error, raise};
use super::json::to_python;

/// Signals and progress are looked at so often.
const LOOK: Duration = Duration::from_millis(100);
/// Work that was told to stop is waited for so long; work that waits for somebody
/// else (a server) is then left to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// Counts what is done, and carries the wish to stop.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// The wish to stop.
    pub stop: Cancel,
    counts: Arc<[AtomicU64; 4]>,
}

const FILES: usize = 0;
const FILES_TOTAL: usize = 1;
const BYTES: usize = 2;
const BYTES_TOTAL: usize = 3;

impl Watch {
    /// Files done and in all, bytes done and in all.
    fn counts(&self) -> [u64; 4] {
        std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed))
    }
}

impl Monitor for Watch {
    fn on(&self, progress: Progress<'_>) {
        match progress {
            Progress::Total { files, bytes } => {
                self.counts[FILES_TOTAL].store(files, Ordering::Relaxed);
                self.counts[BYTES_TOTAL].store(bytes, Ordering::Relaxed);
                // Each phase of a copy counts from nothing again.
                self.counts[FILES].store(0, Ordering::Relaxed);
                self.counts[BYTES].store(0, Ordering::Relaxed);
            }
            Progress::Bytes(count) | Progress::Kept(count) => {
                self.counts[BYTES].fetch_add(count, Ordering::Relaxed);
            }
            Progress::File(_) => {
                self.counts[FILES].fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
    fn cancelled(&self) -> bool {
        self.stop.is_cancelled()
    }
}

/// What work comes to, and what that is in Python.
pub trait Answer: Send + 'static {
    /// Python's own.
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>>;
}

impl Answer for Value {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        to_python(py, &self)
    }
}

/// With a path, whose name need not be UTF-8.
impl Answer for (Value, OsString) {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok((to_python(py, &self.0)?, self.1).into_pyobject(py)?.into_any())
    }
}

type Outcome = Result<Box<dyn Answer>, AnyError>;

#[derive(Default)]
struct Shared {
    outcome: Mutex<(bool, Option<Outcome>)>,
    ended: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (bool, Option<Outcome>)> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has ended, at the latest after `at_most`.
    fn wait(&self, at_most: Duration) -> bool {
        let (now, _) = self
            .ended
            .wait_timeout_while(self.lock(), at_most, |(ended, _)| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        now.0
    }
}

/// Work that was begun.
#[pyclass(frozen, module = "databridge._databridge")]
pub struct Task {
    shared: Arc<Shared>,
    watch: Watch,
    /// A forked child has no thread that does it.
    process: u32,
}

/// Begins `work` on another thread.
pub fn begin<A: Answer>(
    py: Python<'_>,
    work: impl FnOnce(&Watch) -> Result<A, AnyError> + Send + 'static,
) -> PyResult<Task> {
    let (shared, watch) = (Arc::<Shared>::default(), Watch::default());
    let (tell, theirs) = (shared.clone(), watch.clone());
    let thread = std::thread::Builder::new().name("databridge".into()).spawn(move || {
        let done = catch_unwind(AssertUnwindSafe(|| work(&theirs))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Error::Panicked(text.unwrap_or_default()).into())
        });
        *tell.lock() = (true, Some(done.map(|answer| Box::new(answer) as Box<dyn Answer>)));
        tell.ended.notify_all();
    });
    thread.map_err(|error| raise(py, Error::Runtime(error)))?;
    Ok(Task { shared, watch, process: std::process::id() })
}

impl Task {
    fn is_ours(&self, py: Python<'_>) -> PyResult<()> {
        match self.process == std::process::id() {
            true => Ok(()),
            false => Err(raise(py, Error::ForkedWork)),
        }
    }

    fn ended(&self, py: Python<'_>, at_most: Duration) -> bool {
        let shared = &self.shared;
        py.detach(move || shared.wait(at_most))
    }

    fn tell(&self, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        progress.map_or(Ok(()), |call| call.call1(self.counts()).map(drop))
    }
}

#[pymethods]
impl Task {
    /// Waits for its end with the GIL released and answers. This thread looks for
    /// signals and calls `progress(files, files_total, bytes, bytes_total)`; when
    /// either raises, the work is stopped and that exception goes out.
    #[pyo3(signature = (progress))]
    fn finish<'py>(
        &self,
        py: Python<'py>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.is_ours(py)?;
        while !self.ended(py, LOOK) {
            let has_total = self.counts().1 > 0;
            let told = py.check_signals().and_then(|()| self.tell(progress.filter(|_| has_total)));
            if let Err(exception) = told {
                self.watch.stop.cancel();
                self.ended(py, GRACE);
                return Err(exception);
            }
        }
        let answer = self.answer(py)?;
        self.tell(progress).map(|()| answer)
    }

    /// Waits at most so long; whether it has ended. Signals are looked for.
    fn wait(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        self.is_ours(py)?;
        let span = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let deadline = Instant::now().checked_add(span);
        loop {
            let left = deadline.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()));
            if self.ended(py, left.min(LOOK)) {
                return Ok(true);
            }
            py.check_signals()?;
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    /// What it came to, once it has ended; given out once.
    fn answer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.is_ours(py)?;
        match self.shared.lock().1.take() {
            Some(Ok(answer)) => answer.into_python(py),
            Some(Err(error)) => Err(raise(py, error)),
            None => Err(raise(py, Error::Panicked("it was given out, or goes on".into()))),
        }
    }

    /// Asks it to stop.
    fn cancel(&self) {
        self.watch.stop.cancel();
    }

    /// Files done and in all, bytes done and in all.
    fn counts(&self) -> (u64, u64, u64, u64) {
        self.watch.counts().into()
    }
}

/// Does short work, with the GIL released.
pub fn run<A: Answer>(
    py: Python<'_>,
    work: impl FnOnce(&Watch) -> Result<A, AnyError> + Send + 'static,
) -> PyResult<Bound<'_, PyAny>> {
    begin(py, work)?.finish(py, None)
}
