//! How a tree is read: of short files many at a time, for each waits for the device; of large
//! ones, each of which keeps a core busy, one for each core.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Error, pipeline};
use crate::media::monitor::Monitor;
use crate::media::storage::{Aligned, Drive};

/// How often a wait looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// The buffers for large files. There are as many sets as such files may be read at a time.
pub(crate) struct Shelf {
    free: Mutex<Vec<Vec<Aligned>>>,
    back: Condvar,
}

impl Shelf {
    /// For so many large files at a time.
    pub fn new(sets: usize) -> Self {
        Self { free: Mutex::new((0..sets).map(|_| Vec::new()).collect()), back: Condvar::new() }
    }

    /// How many threads are to read what stands there, and their shelf: as `wanted`, or as
    /// suits the machine.
    pub fn of(root: impl AsFd, wanted: Option<NonZeroUsize>) -> (usize, Self) {
        let sets = pipeline::jobs(wanted);
        let threads = match wanted {
            Some(_) => sets,
            None => sets.max(Drive::of(root).short_width()),
        };
        (threads, Self::new(sets))
    }

    /// A set, as soon as one is free. Its buffers are whoever had it last left.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn take(&self, monitor: &dyn Monitor) -> Result<Set<'_>, Error> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(buffers) = free.pop() {
                return Ok(Set { shelf: self, buffers });
            }
            if monitor.cancelled() {
                return Err(Error::Cancelled);
            }
            let waited = self.back.wait_timeout(free, LOOK);
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Buffers, until they are put back.
pub(crate) struct Set<'s> {
    shelf: &'s Shelf,
    pub buffers: Vec<Aligned>,
}

impl Drop for Set<'_> {
    fn drop(&mut self) {
        let buffers = std::mem::take(&mut self.buffers);
        self.shelf.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
        self.shelf.back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::base::cancel::Cancel;

    #[test]
    fn who_finds_none_waits_until_one_is_back_or_nobody_wants_it() {
        let shelf = Shelf::new(1);
        let set = shelf.take(&()).unwrap();
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(matches!(shelf.take(&cancel), Err(Error::Cancelled)));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| shelf.take(&()).map(drop));
            drop(set);
            waiting.join().unwrap().unwrap();
        });
        assert!(shelf.take(&cancel).is_ok(), "one that is free is not waited for");
    }

    #[test]
    fn as_many_as_wanted_or_more_than_cores() {
        let folder = std::fs::File::open(std::env::temp_dir()).unwrap();
        let sets = |shelf: &Shelf| shelf.free.lock().unwrap().len();
        let (threads, shelf) = Shelf::of(&folder, NonZeroUsize::new(3));
        assert_eq!((threads, sets(&shelf)), (3, 3));
        let (threads, shelf) = Shelf::of(&folder, None);
        assert_eq!(sets(&shelf), pipeline::jobs(None));
        assert!(threads >= sets(&shelf).max(4));
    }
}
