//! Long work on a thread of its own, watched by the thread that asked for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use databridge_core::Error as AnyError;
use databridge_core::base::cancel::Cancel;
use databridge_core::media::monitor::{Monitor, Progress};
use pyo3::prelude::*;

use super::errors::{Error, raise};

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

/// Does `work` on another thread with the GIL released. The caller's thread looks
/// for signals and calls `progress(files, files_total, bytes, bytes_total)`; when
/// either raises, the work is stopped and that exception goes out.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Watch) -> Result<T, AnyError> + Send + 'static,
) -> PyResult<T> {
    let watch = Watch::default();
    let (tell, mut ended) = mpsc::channel();
    let theirs = watch.clone();
    let thread = std::thread::Builder::new().name("databridge".into()).spawn(move || {
        let done = catch_unwind(AssertUnwindSafe(|| work(&theirs))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Error::Panicked(text.unwrap_or_default()).into())
        });
        // Nobody listens any more where the caller has left.
        let _ = tell.send(done);
    });
    thread.map_err(|error| raise(py, Error::Runtime(error)))?;
    let tell = |last| match progress {
        Some(call) if last || watch.counts()[FILES_TOTAL] > 0 => {
            call.call1(<(u64, u64, u64, u64)>::from(watch.counts())).map(drop)
        }
        _ => Ok(()),
    };
    loop {
        match receive(py, &mut ended, LOOK) {
            Ok(done) => {
                let done = done.map_err(|error| raise(py, error))?;
                return tell(true).map(|()| done);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(raise(py, Error::Panicked("its thread is gone".into())));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(exception) = py.check_signals().and_then(|()| tell(false)) {
            watch.stop.cancel();
            let _ = receive(py, &mut ended, GRACE);
            return Err(exception);
        }
    }
}

fn receive<T: Send>(
    py: Python<'_>,
    from: &mut Receiver<T>,
    at_most: Duration,
) -> Result<T, RecvTimeoutError> {
    py.detach(move || from.recv_timeout(at_most))
}
