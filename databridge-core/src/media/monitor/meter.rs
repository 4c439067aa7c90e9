//! How far an operation is, how fast, and how long it will still take.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Phase, Progress};

/// The rate is that of so much time past.
const WINDOW: Duration = Duration::from_secs(15);
/// Less than this says nothing about the rate.
const ENOUGH: Duration = Duration::from_secs(3);
/// Samples are at least so far apart.
const SPACING: Duration = Duration::from_millis(200);

/// Counts an operation's progress and estimates its end. It is told by
/// [`Meter::on`] and asked by [`Meter::snapshot`], best once a second: the rate is
/// measured between the askings.
#[derive(Debug, Default)]
pub struct Meter {
    passes: Vec<Phase>,
    files: AtomicU64,
    bytes: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
    /// Bytes of later phases that are done.
    ahead: AtomicU64,
    /// Bytes of all phases that took work, ever growing.
    moved: AtomicU64,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    phase: Option<Phase>,
    file: Option<String>,
    parts: BTreeMap<String, (u64, u64)>,
    samples: VecDeque<(Instant, u64)>,
}

/// A meter read at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// What is being done.
    pub phase: Option<Phase>,
    /// Files done in this phase.
    pub files: u64,
    /// Files there are.
    pub total_files: u64,
    /// Bytes done in this phase.
    pub bytes: u64,
    /// Bytes there are.
    pub total_bytes: u64,
    /// Bytes gone over in all phases: a copy goes over them again to read them back.
    pub work_bytes: u64,
    /// Bytes to go over in all phases.
    pub total_work_bytes: u64,
    /// Smoothed over the last seconds; `None` until enough is known.
    pub bytes_per_second: Option<u64>,
    /// Until the last phase ends, at that rate; `None` until enough is known, and
    /// while nothing moves.
    pub eta_seconds: Option<u64>,
    /// The file that was done last.
    pub file: Option<String>,
    /// Long files that are under way, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// A long file that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Relative to its root.
    pub path: String,
    /// Done in this phase.
    pub bytes: u64,
    /// Its length.
    pub size_bytes: u64,
}

impl Meter {
    /// Of an operation that will go through these phases.
    pub fn over(passes: &[Phase]) -> Self {
        Self { passes: passes.to_vec(), ..Self::default() }
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what an operation says.
    pub fn on(&self, progress: Progress<'_>) {
        match progress {
            Progress::Phase(phase) => {
                let mut now = self.now();
                now.phase = Some(phase);
                now.parts.clear();
                drop(now);
                self.ahead.store(0, Ordering::Relaxed);
            }
            Progress::Ahead(count) => {
                self.ahead.fetch_add(count, Ordering::Relaxed);
                self.moved.fetch_add(count, Ordering::Relaxed);
            }
            Progress::Total { files, bytes } => {
                self.total_files.store(files, Ordering::Relaxed);
                self.total_bytes.store(bytes, Ordering::Relaxed);
                // Each phase counts from nothing again.
                self.files.store(0, Ordering::Relaxed);
                self.bytes.store(0, Ordering::Relaxed);
            }
            Progress::Bytes(count) => {
                self.bytes.fetch_add(count, Ordering::Relaxed);
                self.moved.fetch_add(count, Ordering::Relaxed);
            }
            Progress::Kept(count) => {
                self.bytes.fetch_add(count, Ordering::Relaxed);
            }
            Progress::File(name) => {
                self.files.fetch_add(1, Ordering::Relaxed);
                let mut now = self.now();
                now.parts.remove(name);
                now.file = Some(name.to_owned());
            }
            Progress::Part { path, bytes, size_bytes } => {
                let mut now = self.now();
                match now.parts.get_mut(path) {
                    Some(part) => *part = (bytes, size_bytes),
                    None => drop(now.parts.insert(path.to_owned(), (bytes, size_bytes))),
                }
            }
        }
    }

    /// What is known at `at`, which never goes back from one asking to the next.
    pub fn snapshot(&self, at: Instant) -> Snapshot {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (bytes, total_bytes) = (read(&self.bytes), read(&self.total_bytes));
        let mut now = self.now();
        let rate = now.rate(at, read(&self.moved));
        let place = self.passes.iter().position(|pass| Some(*pass) == now.phase);
        let (behind, passes) = match place {
            Some(index) => (index as u64, self.passes.len() as u64),
            None => (0, 1),
        };
        let total_work_bytes = total_bytes.saturating_mul(passes);
        let ahead = if behind + 1 < passes { read(&self.ahead) } else { 0 };
        let work_bytes = total_bytes.saturating_mul(behind).saturating_add(bytes + ahead);
        let left = total_work_bytes.saturating_sub(work_bytes);
        Snapshot {
            phase: now.phase,
            files: read(&self.files),
            total_files: read(&self.total_files),
            bytes,
            total_bytes,
            work_bytes,
            total_work_bytes,
            bytes_per_second: rate,
            eta_seconds: rate.filter(|&rate| rate > 0).map(|rate| left.div_ceil(rate)),
            file: now.file.clone(),
            parts: now.parts(),
        }
    }

    /// Bytes that took work, in all phases.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Forgets the rate: nothing moved for a reason that will not last.
    pub fn rest(&self) {
        self.now().samples.clear();
    }
}

impl Now {
    fn parts(&self) -> Vec<Part> {
        let part = |(path, (bytes, size_bytes)): (&String, &(u64, u64))| Part {
            path: path.clone(),
            bytes: *bytes,
            size_bytes: *size_bytes,
        };
        self.parts.iter().map(part).collect()
    }

    /// Bytes a second since the oldest sample that still counts.
    fn rate(&mut self, at: Instant, moved: u64) -> Option<u64> {
        if self.samples.back().is_none_or(|(last, _)| at.duration_since(*last) >= SPACING) {
            self.samples.push_back((at, moved));
        }
        // One sample from before the window stays: it is where the window begins.
        while self.samples.get(1).is_some_and(|(next, _)| at.duration_since(*next) >= WINDOW) {
            self.samples.pop_front();
        }
        let (first, before) = *self.samples.front()?;
        let took = at.duration_since(first);
        let rate = moved.saturating_sub(before) as f64 / took.as_secs_f64();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (took >= ENOUGH).then_some(rate as u64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PASSES: &[Phase] = &[Phase::Copy, Phase::ReadBack];

    fn at(meter: &Meter, start: Instant, second: u64) -> Snapshot {
        meter.snapshot(start + Duration::from_secs(second))
    }

    #[test]
    fn an_end_is_told_only_when_enough_is_known_and_counts_the_read_back() {
        let (meter, start) = (Meter::over(PASSES), Instant::now());
        meter.on(Progress::Phase(Phase::Copy));
        meter.on(Progress::Total { files: 1, bytes: 10_000 });
        assert_eq!(at(&meter, start, 0).eta_seconds, None);
        meter.on(Progress::Bytes(1000));
        assert_eq!(at(&meter, start, 1).eta_seconds, None);
        meter.on(Progress::Bytes(2000));
        let third = at(&meter, start, 3);
        assert_eq!((third.bytes_per_second, third.eta_seconds), (Some(1000), Some(17)));
        assert_eq!((third.work_bytes, third.total_work_bytes), (3000, 20_000));
        meter.on(Progress::Bytes(7000));
        meter.on(Progress::Phase(Phase::ReadBack));
        meter.on(Progress::Total { files: 1, bytes: 10_000 });
        let tenth = at(&meter, start, 10);
        assert_eq!((tenth.bytes, tenth.work_bytes, tenth.eta_seconds), (0, 10_000, Some(10)));
    }

    #[test]
    fn what_is_read_back_on_the_way_is_not_to_be_done_again() {
        let (meter, start) = (Meter::over(PASSES), Instant::now());
        meter.on(Progress::Phase(Phase::Copy));
        meter.on(Progress::Total { files: 2, bytes: 10_000 });
        at(&meter, start, 0);
        meter.on(Progress::Bytes(4000));
        meter.on(Progress::Ahead(4000));
        let fourth = at(&meter, start, 4);
        assert_eq!((fourth.work_bytes, fourth.bytes_per_second), (8000, Some(2000)));
        assert_eq!(fourth.eta_seconds, Some(6));
        meter.on(Progress::Bytes(6000));
        meter.on(Progress::Phase(Phase::ReadBack));
        meter.on(Progress::Total { files: 2, bytes: 10_000 });
        meter.on(Progress::Kept(4000));
        assert_eq!(at(&meter, start, 7).work_bytes, 14_000);
    }

    #[test]
    fn a_long_file_is_told_of_until_it_is_done() {
        let (meter, start) = (Meter::over(PASSES), Instant::now());
        meter.on(Progress::Phase(Phase::Copy));
        for bytes in [5, 9] {
            meter.on(Progress::Part { path: "b", bytes, size_bytes: 20 });
            meter.on(Progress::Part { path: "a", bytes: 1, size_bytes: 30 });
        }
        let told = |second| at(&meter, start, second).parts;
        let part = |path: &str, bytes, size_bytes| Part { path: path.into(), bytes, size_bytes };
        assert_eq!(told(1), [part("a", 1, 30), part("b", 9, 20)]);
        meter.on(Progress::File("b"));
        assert_eq!(told(2), [part("a", 1, 30)]);
        meter.on(Progress::Phase(Phase::ReadBack));
        assert_eq!(told(3), []);
    }

    #[test]
    fn what_an_earlier_life_did_is_no_speed() {
        let (meter, start) = (Meter::over(&[Phase::Copy]), Instant::now());
        meter.on(Progress::Phase(Phase::Copy));
        meter.on(Progress::Total { files: 2, bytes: 1_000_000 });
        at(&meter, start, 0);
        meter.on(Progress::Kept(900_000));
        meter.on(Progress::Bytes(4000));
        let fourth = at(&meter, start, 4);
        assert_eq!((fourth.bytes_per_second, fourth.eta_seconds), (Some(1000), Some(96)));
    }

    #[test]
    fn old_speed_is_forgotten_and_a_standstill_has_no_end() {
        let (meter, start) = (Meter::over(&[Phase::Copy]), Instant::now());
        meter.on(Progress::Phase(Phase::Copy));
        meter.on(Progress::Total { files: 1, bytes: 1_000_000 });
        at(&meter, start, 0);
        meter.on(Progress::Bytes(500_000));
        for second in 1..=40 {
            at(&meter, start, second);
        }
        let stalled = at(&meter, start, 41);
        assert_eq!((stalled.bytes_per_second, stalled.eta_seconds), (Some(0), None));
        meter.rest();
        assert_eq!(at(&meter, start, 42).bytes_per_second, None);
    }
}
