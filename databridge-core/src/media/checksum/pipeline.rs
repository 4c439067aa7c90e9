//! Work on the files of a tree while it is still being walked: several at a time,
//! results in the order of the paths, and never more of either in memory than a
//! bounded window.

use std::collections::VecDeque;
use std::num::{NonZero, NonZeroUsize};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender, TryRecvError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use crate::media::walk::Place;

/// Names that wait together; all of one folder, which stays open for them.
const BATCH: usize = 64;
/// Batches that wait, so open folders too.
const BATCHES: usize = 128;
/// How far results may be ahead of the one that is due next.
const WINDOW: u64 = 32 * 1024;
/// Results handed over together, unless [`PATIENCE`] is over before.
const RESULTS: usize = 32;
const PATIENCE: Duration = Duration::from_millis(20);

/// How many threads: as asked for, or one for each core.
pub(crate) fn jobs(wanted: Option<NonZeroUsize>) -> usize {
    let cores = || std::thread::available_parallelism().ok();
    wanted.or_else(cores).map_or(1, NonZero::get)
}

struct Batch<T> {
    place: Arc<Place>,
    names: Vec<u8>,
    items: Vec<(u32, u32, T)>,
    first: u64,
    next: AtomicUsize,
}

struct State<T> {
    waiting: VecDeque<Arc<Batch<T>>>,
    is_closed: bool,
    /// Items fed, and results taken.
    fed: u64,
    taken: u64,
}

struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    room: Condvar,
    stop: AtomicBool,
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn halt(&self) {
        self.stop.store(true, Ordering::Release);
        drop(self.lock());
        self.ready.notify_all();
        self.room.notify_all();
    }

    fn is_halted(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The next batch that has something left; `None` when all is done.
    fn batch(
        &self,
        exhausted: Option<&Arc<Batch<T>>>,
        idle: impl FnOnce(),
    ) -> Option<Arc<Batch<T>>> {
        let mut state = self.lock();
        if let (Some(front), Some(done)) = (state.waiting.front(), exhausted)
            && Arc::ptr_eq(front, done)
        {
            state.waiting.pop_front();
            self.room.notify_one();
        }
        if state.waiting.is_empty() && !state.is_closed {
            drop(state);
            idle();
            state = self.lock();
        }
        loop {
            if self.is_halted() {
                return None;
            }
            match state.waiting.front() {
                Some(front) => return Some(front.clone()),
                None if state.is_closed => return None,
                None => state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Stops everything if its thread ends by a panic, so that no other waits for it.
struct Guard<'a, T>(&'a Queue<T>);

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.halt();
        }
    }
}

/// Where the walk puts what is to be done, in order.
pub(crate) struct Feed<'a, T> {
    queue: &'a Queue<T>,
    batch: Option<Batch<T>>,
}

impl<T> Feed<'_, T> {
    /// `false` when no more is wanted.
    pub fn push(&mut self, place: &Arc<Place>, name: &[u8], what: T) -> bool {
        let fits = |batch: &Batch<T>| batch.items.len() < BATCH && Arc::ptr_eq(&batch.place, place);
        if !self.batch.as_ref().is_some_and(fits) {
            self.flush();
        }
        let batch = self.batch.get_or_insert_with(|| Batch {
            place: place.clone(),
            names: Vec::new(),
            items: Vec::new(),
            first: 0,
            next: AtomicUsize::new(0),
        });
        let start = batch.names.len() as u32;
        batch.names.extend_from_slice(name);
        batch.items.push((start, batch.names.len() as u32, what));
        !self.queue.is_halted()
    }

    fn flush(&mut self) {
        let Some(mut batch) = self.batch.take() else { return };
        let mut state = self.queue.lock();
        while !self.queue.is_halted()
            && (state.waiting.len() >= BATCHES || state.fed - state.taken >= WINDOW)
        {
            state = self.queue.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        batch.first = state.fed;
        state.fed += batch.items.len() as u64;
        state.waiting.push_back(Arc::new(batch));
        drop(state);
        self.queue.ready.notify_all();
    }
}

type Message<R> = Result<Vec<(u64, R)>, Error>;

/// Results of one worker on their way.
pub(crate) struct Desk<R> {
    out: Vec<(u64, R)>,
    since: Instant,
    sender: Sender<Message<R>>,
}

impl<R> Desk<R> {
    /// Hands over what is done. To be called before anything that takes long.
    pub fn flush(&mut self) {
        if !self.out.is_empty() {
            // Nobody listens any more once it failed elsewhere.
            let _ = self.sender.send(Ok(std::mem::take(&mut self.out)));
        }
        self.since = Instant::now();
    }

    fn put(&mut self, at: u64, result: R) {
        self.out.push((at, result));
        if self.out.len() >= RESULTS || self.since.elapsed() >= PATIENCE {
            self.flush();
        }
    }
}

/// Runs `produce` on a thread of its own, `work` on `jobs` others, and `take` here,
/// in the order of the feed; `take(None)` when nothing is there yet, a good moment
/// to flush.
///
/// # Errors
/// The first error of any of them, which stops the rest.
pub(crate) fn run<T: Send + Sync, R: Send, S>(
    jobs: usize,
    produce: impl FnOnce(&mut Feed<'_, T>) -> Result<(), Error> + Send,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &mut Desk<R>, &Arc<Place>, &[u8], &T) -> Result<R, Error> + Sync,
    take: impl FnMut(Option<R>) -> Result<(), Error>,
) -> Result<(), Error> {
    let state = State { waiting: VecDeque::new(), is_closed: false, fed: 0, taken: 0 };
    let queue = Queue {
        state: Mutex::new(state),
        ready: Condvar::new(),
        room: Condvar::new(),
        stop: AtomicBool::new(false),
    };
    let (sender, receiver) = mpsc::channel::<Message<R>>();
    let (queue, scratch, work) = (&queue, &scratch, &work);
    std::thread::scope(|scope| {
        let errors = sender.clone();
        let named = |name: &str| std::thread::Builder::new().name(format!("databridge-{name}"));
        let threads = |source| Error::Thread { source };
        let start = || {
            let walk = move || {
                let _guard = Guard(queue);
                let mut feed = Feed { queue, batch: None };
                let fed = produce(&mut feed);
                feed.flush();
                queue.lock().is_closed = true;
                queue.ready.notify_all();
                if let Err(error) = fed {
                    let _ = errors.send(Err(error));
                }
            };
            named("walk").spawn_scoped(scope, walk).map_err(threads)?;
            for at in 0..jobs {
                let desk = Desk { out: Vec::new(), since: Instant::now(), sender: sender.clone() };
                let spin = move || {
                    let _guard = Guard(queue);
                    labour(queue, desk, &mut scratch(), work);
                };
                named(&at.to_string()).spawn_scoped(scope, spin).map_err(threads)?;
            }
            Ok(())
        };
        let done = start().and_then(|()| {
            drop(sender);
            collect(queue, &receiver, take)
        });
        if done.is_err() {
            queue.halt();
        }
        done
    })
}

fn labour<T, R, S>(
    queue: &Queue<T>,
    mut desk: Desk<R>,
    scratch: &mut S,
    work: &impl Fn(&mut S, &mut Desk<R>, &Arc<Place>, &[u8], &T) -> Result<R, Error>,
) {
    let mut current = queue.batch(None, || {});
    while let Some(batch) = &current {
        let at = batch.next.fetch_add(1, Ordering::Relaxed);
        let Some((start, end, what)) = batch.items.get(at) else {
            current = queue.batch(Some(batch), || desk.flush());
            continue;
        };
        if queue.is_halted() {
            return;
        }
        let name = &batch.names[*start as usize..*end as usize];
        match work(scratch, &mut desk, &batch.place, name, what) {
            Ok(result) => desk.put(batch.first + at as u64, result),
            Err(error) => {
                let _ = desk.sender.send(Err(error));
                return;
            }
        }
    }
    desk.flush();
}

fn collect<T, R>(
    queue: &Queue<T>,
    receiver: &mpsc::Receiver<Message<R>>,
    mut take: impl FnMut(Option<R>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut ahead: VecDeque<Option<R>> = VecDeque::new();
    let mut due = 0;
    loop {
        let message = match receiver.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {
                take(None)?;
                match receiver.recv() {
                    Ok(message) => message,
                    Err(_) => return Ok(()),
                }
            }
        };
        for (at, result) in message? {
            let at = usize::try_from(at - due).unwrap_or(usize::MAX);
            if ahead.len() <= at {
                ahead.resize_with(at + 1, || None);
            }
            ahead[at] = Some(result);
        }
        let before = due;
        while let Some(Some(_)) = ahead.front() {
            due += 1;
            take(ahead.pop_front().flatten())?;
        }
        if due > before {
            queue.lock().taken = due;
            queue.room.notify_one();
        }
    }
}
