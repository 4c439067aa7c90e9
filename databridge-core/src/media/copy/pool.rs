//! Many files at a time, but not too many, and the first failure ends it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::media::monitor::{Monitor, Progress};
use crate::media::throttle::Throttle;

use super::error::Error;
use super::lanes::Lanes;

/// Passes progress on, and tells every worker to stop once one has failed.
struct Watch<'a> {
    monitor: &'a dyn Monitor,
    stop: AtomicBool,
}

impl Monitor for Watch<'_> {
    fn on(&self, progress: Progress<'_>) {
        self.monitor.on(progress);
    }
    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.monitor.cancelled()
    }
    fn throttle(&self) -> Option<&Throttle> {
        self.monitor.throttle()
    }
    fn held(&self) -> bool {
        self.monitor.held()
    }
}

/// Does `work` on each item by up to `jobs` threads, each with its own scratch
/// value from `scratch`. A thread takes up to `stride` neighbours at a time, so
/// that two seldom work in one folder, and a lane of the device for them, if these
/// are counted.
///
/// # Errors
/// The first failure in time; what was under way is stopped through its monitor.
pub fn each<T: Sync, S>(
    lanes: Option<&Lanes>,
    jobs: usize,
    stride: usize,
    items: &[T],
    monitor: &dyn Monitor,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&T, &mut S, &dyn Monitor) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let strides: Vec<&[T]> = items.chunks(stride.min(items.len() / jobs).max(1)).collect();
    let jobs = jobs.clamp(1, strides.len().max(1));
    let watch = Watch { monitor, stop: AtomicBool::new(false) };
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let run = || {
        let mut own = scratch();
        let taken = std::iter::from_fn(|| strides.get(next.fetch_add(1, Ordering::Relaxed)));
        for item in taken.copied().flatten() {
            if watch.stop.load(Ordering::Acquire) {
                break;
            }
            let done = if monitor.cancelled() {
                Err(Error::Cancelled)
            } else {
                match lanes {
                    Some(lanes) => lanes.enter(&watch).and_then(|lane| work(item, &mut own, &lane)),
                    None => work(item, &mut own, &watch),
                }
            };
            if let Err(error) = done {
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
                watch.stop.store(true, Ordering::Release);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs {
            // A host that allows no more threads has the rest done by those there are.
            if std::thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_once_and_the_first_failure_wins() {
        let seen = AtomicUsize::new(0);
        let items: Vec<usize> = (0..100).collect();
        let all = each(
            None,
            4,
            3,
            &items,
            &(),
            || (),
            |_, (), _| {
                seen.fetch_add(1, Ordering::Relaxed);
                Ok(())
            },
        );
        assert!(all.is_ok());
        assert_eq!(seen.into_inner(), 100);

        let failed = each(
            None,
            4,
            3,
            &items,
            &(),
            || (),
            |&item, (), watch| {
                if item == 3 {
                    return Err(Error::Busy { path: "three".into() });
                }
                if item > 3 {
                    while !watch.cancelled() {
                        std::thread::yield_now();
                    }
                    return Err(Error::Cancelled);
                }
                Ok(())
            },
        );
        assert!(matches!(failed, Err(Error::Busy { .. })));
    }
}
