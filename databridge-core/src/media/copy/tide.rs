//! A writer, and who reads behind it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// How far the writer has come, and how it ended.
#[derive(Debug, Default)]
pub struct Tide {
    state: Mutex<(u64, Option<bool>)>,
    moved: Condvar,
    stopped: AtomicBool,
}

/// Ends a tide badly that nobody has ended.
#[derive(Debug)]
pub struct Ebb<'a>(&'a Tide);

impl<'a> Ebb<'a> {
    /// Of a tide, as long as it is held.
    pub fn of(tide: &'a Tide) -> Self {
        Self(tide)
    }
}

impl Drop for Ebb<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert(false);
        self.0.moved.notify_all();
    }
}

impl Tide {
    /// All before `to` is written.
    pub fn rise(&self, to: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = to;
        self.moved.notify_all();
    }

    /// Whoever follows has failed.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether nobody follows any more.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Nothing more comes; all of it was written `well`, or not.
    pub fn end(&self, well: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(well);
        self.moved.notify_all();
    }

    /// Waits until all before `end` is written, and if `whole` until it ended well;
    /// `false` if it ended badly.
    pub fn reaches(&self, end: u64, whole: bool) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *state {
                (_, Some(well)) => return well,
                (written, None) if written >= end && !whole => return true,
                _ => state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_writer_that_never_was_is_let_go() {
        let tide = Tide::default();
        std::thread::scope(|scope| {
            let follower = scope.spawn(|| (tide.reaches(5, false), tide.reaches(9, true)));
            let ebb = Ebb::of(&tide);
            tide.rise(5);
            drop(ebb);
            assert!(matches!(follower.join(), Ok((_, false))));
        });
        let tide = Tide::default();
        let ebb = Ebb::of(&tide);
        tide.end(true);
        drop(ebb);
        assert!(tide.reaches(9, true), "what ended well did");
    }
}
