//! Long work that tells how far it is and can be stopped.

use std::ffi::c_void;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use databridge_core::Error as AnyError;
use databridge_core::base::cancel::Cancel;
use databridge_core::media::monitor::{Meter, Monitor, Phase, Progress as Step};

use super::error::{Error, Status};
use super::guard::guard;
use super::text::{Out, taken};

/// Progress is told so often.
const LOOK: Duration = Duration::from_millis(100);

/// Told about ten times a second how far a call is, on the thread that made the call;
/// files and bytes count from nothing again when a copy begins to read back. Once more at
/// the end of a call that succeeds. `false` stops the call, which then answers
/// DATABRIDGE_STATUS_CANCELLED. It must return: neither throw nor longjmp.
pub type Progress = Option<
    unsafe extern "C-unwind" fn(
        context: *mut c_void,
        files: u64,
        total_files: u64,
        bytes: u64,
        total_bytes: u64,
    ) -> bool,
>;

/// The wish to stop, for calls that take one. May be raised from any thread, also in a
/// signal handler of a thread that makes no call.
#[derive(Default)]
pub struct Stop(Cancel);

/// Makes a wish to stop that nobody has yet. From any thread.
///
/// # Safety
/// `out` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_stop_new(out: *mut *mut Stop) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        Out::at(out)?.put(Stop::default());
        Ok(())
    })
}

/// Asks every call that was given `stop`, or will be, to end soon. From any thread, also
/// while such calls run.
///
/// # Safety
/// `stop` is NULL or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_stop_raise(stop: *const Stop) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        super::text::borrowed("stop", stop)?.0.cancel();
        Ok(())
    })
}

/// Frees it; NULL does no harm. From any thread, once no call uses it.
///
/// # Safety
/// `stop` is NULL or came from databridge_stop_new, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_stop_free(stop: *mut Stop) {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        taken(stop);
        Ok(())
    });
}

/// The caller's wish to stop; one that nobody raises where there is none.
///
/// # Safety
/// `stop` is NULL or lives for the whole call.
pub unsafe fn wish(stop: *const Stop) -> Cancel {
    // SAFETY: promised by the caller.
    unsafe { stop.as_ref() }.map(|stop| stop.0.clone()).unwrap_or_default()
}

/// Who listens to a call.
pub struct Listener {
    tell: Progress,
    context: *mut c_void,
    stop: Cancel,
}

impl Listener {
    /// # Safety
    /// `tell` may be called with `context`, and `stop` is NULL or lives, for the whole call.
    pub unsafe fn of(tell: Progress, context: *mut c_void, stop: *const Stop) -> Self {
        // SAFETY: promised by the caller.
        Self { tell, context, stop: unsafe { wish(stop) } }
    }

    /// Does `work`, which goes through `passes`. Where somebody listens it is done on a
    /// thread of its own, so that they are told on theirs.
    pub fn run<T: Send>(
        &self,
        passes: &[Phase],
        work: impl FnOnce(&Watch) -> Result<T, AnyError> + Send,
    ) -> Result<T, AnyError> {
        let watch = Watch {
            meter: Meter::over(passes),
            wanted: self.tell.is_some(),
            asked: self.stop.clone(),
            told: Cancel::new(),
        };
        let Some(tell) = self.tell else { return work(&watch) };
        let tell = || {
            let now = watch.meter.snapshot(Instant::now());
            // SAFETY: `of` was promised that it may be called.
            unsafe { tell(self.context, now.files, now.total_files, now.bytes, now.total_bytes) }
        };
        thread::scope(|scope| {
            // However this ends, also by a panic of the listener, the work does.
            let _last = Last(&watch.told);
            let (alive, ended) = channel::<()>();
            let worker = thread::Builder::new()
                .name("databridge".into())
                .spawn_scoped(scope, || {
                    let _alive = alive;
                    work(&watch)
                })
                .map_err(Error::Thread)?;
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let is_counted = watch.meter.snapshot(Instant::now()).total_files > 0;
                if is_counted && !watch.told.is_cancelled() && !tell() {
                    watch.told.cancel();
                }
            }
            let done = worker.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            tell();
            Ok(done)
        })
    }
}

struct Last<'a>(&'a Cancel);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Counts what is done, and carries both wishes to stop.
pub struct Watch {
    meter: Meter,
    wanted: bool,
    asked: Cancel,
    told: Cancel,
}

impl Monitor for Watch {
    fn on(&self, progress: Step<'_>) {
        self.meter.on(progress);
    }
    fn wants_total(&self) -> bool {
        self.wanted
    }
    fn cancelled(&self) -> bool {
        self.asked.is_cancelled() || self.told.is_cancelled()
    }
}
