//! Files by the handful: a thread takes several small ones at once and shows all of them to
//! the engines before it waits for the first answer.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Task;
use super::read::{Read, Trouble};
use crate::base::steps;
use crate::media::checksum::Sha256;
use crate::media::manifest::What;
use crate::media::monitor::{Monitor, Progress};
use crate::media::scan::engines::Bench;
use crate::media::scan::looks::Looks;
use crate::media::scan::memory::{Recalled, Source, lasts};
use crate::media::scan::{
    Engines, Error, FileVerdict, Finding, HEAD_BYTES, Members, Memory, Opened, Subject, Verdict,
    change,
};
use crate::media::storage::{Folder, Stat};

/// A file up to this length is taken with others: an antivirus is through with it before it
/// can be given the next.
const SMALL_BYTES: u64 = 256 << 10;
/// So many at most by one thread.
const HANDFUL: usize = 16;
/// So many by all of them. clamd gives such questions half of its queue (`MaxQueue`, a hundred)
/// and hears nobody while that is full: two scans at a time are to have room in it.
const IN_HAND: usize = 24;

/// What there is to look at, for all threads.
pub(super) struct Queue<'t> {
    tasks: &'t [Task<'t>],
    next: AtomicUsize,
    handful: usize,
}

impl<'t> Queue<'t> {
    /// For so many threads, each of which may have more than one file in hand if
    /// `by_handfuls`.
    pub fn new(tasks: &'t [Task<'t>], threads: usize, by_handfuls: bool) -> Self {
        let threads = threads.max(1);
        // None has all of a small tree in hand while the others have nothing to do.
        let fair = (tasks.len() / (threads * 4)).min(IN_HAND / threads);
        let handful = if by_handfuls { fair.clamp(1, HANDFUL) } else { 1 };
        Self { tasks, next: AtomicUsize::new(0), handful }
    }

    fn next(&self) -> Option<(usize, &'t Task<'t>)> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        Some((index, self.tasks.get(index)?))
    }
}

/// What one scan works with.
pub(super) struct Scan<'a> {
    pub engines: &'a Engines,
    pub bench: Bench,
    pub folder: Folder,
    pub memory: &'a dyn Memory,
    pub monitor: &'a dyn Monitor,
}

/// One file's verdict, and how it differs from what it should be.
pub(super) struct Looked {
    /// Of the task.
    pub index: usize,
    pub file: FileVerdict,
    pub change: Option<What>,
    /// Where the verdict comes from, if not from the engines just now.
    pub source: Option<Source>,
}

/// A file that is about to be looked at.
struct Held<'t> {
    index: usize,
    task: &'t Task<'t>,
    file: File,
    stat: Stat,
}

/// One that was read, and what was said about it so far.
struct Seen<'h> {
    read: Read,
    members: Members,
    looks: Looks<'h>,
}

enum Taken<'t> {
    Looked(Looked),
    Held(Held<'t>),
}

impl Scan<'_> {
    /// What one thread does: looks at files for as long as there are any.
    pub fn work(&self, queue: &Queue<'_>) -> Result<Vec<Looked>, Error> {
        let mut done = Vec::new();
        loop {
            let (mut hand, mut large) = (Vec::new(), None);
            while hand.len() < queue.handful && large.is_none() {
                let Some((index, task)) = queue.next() else { break };
                match self.take(index, task)? {
                    Taken::Looked(looked) => done.push(looked),
                    Taken::Held(held) if held.stat.size_bytes > SMALL_BYTES => large = Some(held),
                    Taken::Held(held) => hand.push(held),
                }
            }
            if hand.is_empty() && large.is_none() {
                return Ok(done);
            }
            self.look(&mut hand, &mut done)?;
            self.look(large.as_mut_slice(), &mut done)?;
        }
    }

    /// Opens a file, unless all is known about it.
    fn take<'t>(&self, index: usize, task: &'t Task<'t>) -> Result<Taken<'t>, Error> {
        if self.monitor.cancelled() {
            return Err(Error::Cancelled);
        }
        let recalled = task.expected.and_then(|(_, sha256)| self.memory.recall(task.path, sha256));
        if let (Some(Recalled { findings, source: Source::ThisScan }), Some(expected)) =
            (&recalled, task.expected)
        {
            self.monitor.on(Progress::Bytes(expected.0));
            self.monitor.on(Progress::File(task.path.as_str()));
            let file = self.judge(task, findings.clone(), expected);
            let source = Some(Source::ThisScan);
            return Ok(Taken::Looked(Looked { index, file, change: None, source }));
        }
        let file = match self.folder.open_file(task.path) {
            Ok(file) => file,
            Err(error) => return self.unreadable(index, task, &error).map(Taken::Looked),
        };
        let held = match Stat::of(&file) {
            Ok(stat) => Held { index, task, file, stat },
            Err(error) => return self.unreadable(index, task, &error).map(Taken::Looked),
        };
        match self.recall(&held, recalled) {
            Ok(Some(looked)) => self.conclude(looked).map(Taken::Looked),
            Ok(None) => Ok(Taken::Held(held)),
            Err(Trouble::Cancelled) => Err(Error::Cancelled),
            Err(Trouble::Io(error)) => self.unreadable(index, task, &error).map(Taken::Looked),
        }
    }

    /// What was said about it earlier, if it is what it was.
    fn recall(
        &self,
        held: &Held<'_>,
        recalled: Option<Recalled>,
    ) -> Result<Option<Looked>, Trouble> {
        let (Some(recalled), Some(expected)) = (recalled, held.task.expected) else {
            return Ok(None);
        };
        let read = self.read(&held.file, held.stat, &mut Looks::none())?;
        let is_steady = Stat::of(&held.file)?.is_unchanged_since(&held.stat);
        if !is_steady || (held.stat.size_bytes, read.sha256) != expected {
            return Ok(None);
        }
        let file = self.judge(held.task, recalled.findings, expected);
        let source = Some(recalled.source);
        Ok(Some(Looked { index: held.index, file, change: None, source }))
    }

    /// Shows a handful of files to every engine, and hears what was said when all were read.
    fn look(&self, hand: &mut [Held<'_>], done: &mut Vec<Looked>) -> Result<(), Error> {
        // What was done to one while others were taken or read is no fault.
        for held in hand.iter_mut() {
            held.stat = Stat::of(&held.file).unwrap_or(held.stat);
        }
        let timeout = self.engines.settings.file_timeout();
        let opened = hand.iter().map(|held| Opened {
            file: &held.file,
            size_bytes: held.stat.size_bytes,
            timeout,
            monitor: self.monitor,
        });
        let looks = self.engines.begin(&opened.collect::<Vec<_>>());
        let seen: Vec<_> =
            hand.iter().zip(looks).map(|(held, looks)| self.see(held, looks)).collect();
        for (held, seen) in hand.iter().zip(seen) {
            let looked = match seen.and_then(|seen| self.hear(held, seen)) {
                Ok(looked) => self.conclude(looked)?,
                Err(Trouble::Cancelled) => return Err(Error::Cancelled),
                Err(Trouble::Io(error)) => self.unreadable(held.index, held.task, &error)?,
            };
            done.push(looked);
        }
        Ok(())
    }

    /// Reads a file, and asks those engines that do not look on.
    fn see<'h>(&self, held: &Held<'_>, mut looks: Looks<'h>) -> Result<Seen<'h>, Trouble> {
        let read = self.read(&held.file, held.stat, &mut looks)?;
        let members = Members::default();
        self.engines.ask(&mut looks, &self.subject(held, &read, &members));
        Ok(Seen { read, members, looks })
    }

    /// What the others say.
    fn hear(&self, held: &Held<'_>, seen: Seen<'_>) -> Result<Looked, Trouble> {
        let Seen { read, members, looks } = seen;
        let Held { index, task, file, stat } = held;
        let subject = self.subject(held, &read, &members);
        let mut findings = self.engines.end(&self.bench, looks, &subject);
        if !Stat::of(file)?.is_unchanged_since(stat) {
            let verdict = Verdict::error("the file was written to while it was scanned");
            findings.push(Finding { engine: "content".into(), verdict, why: None });
        }
        let found = (stat.size_bytes, read.sha256);
        let change = task.expected.and_then(|expected| differs(expected, found));
        let file = self.judge(task, findings, found);
        Ok(Looked { index: *index, file, change, source: None })
    }

    fn subject<'s>(
        &'s self,
        held: &'s Held<'_>,
        read: &'s Read,
        members: &'s Members,
    ) -> Subject<'s> {
        Subject {
            path: held.task.path,
            file: &held.file,
            size_bytes: held.stat.size_bytes,
            head: &read.head[..read.head.len().min(HEAD_BYTES)],
            whole: read.whole.then_some(&read.head[..]),
            members,
            timeout: self.engines.settings.file_timeout(),
            monitor: self.monitor,
        }
    }

    /// What everything that was said adds up to.
    fn judge(&self, task: &Task<'_>, findings: Vec<Finding>, found: (u64, Sha256)) -> FileVerdict {
        let (verdict, engine) = self.bench.conclude(&findings);
        FileVerdict {
            path: task.path.clone(),
            accepted: self.bench.accepted(task.path, &verdict, &findings),
            verdict,
            engine,
            size_bytes: Some(found.0),
            sha256: Some(found.1),
            findings,
        }
    }

    /// Remembers what will still hold later, and tells that one more file is done.
    fn conclude(&self, looked: Looked) -> Result<Looked, Error> {
        if self.monitor.cancelled() {
            // An engine that was not waited for said so in its verdict.
            return Err(Error::Cancelled);
        }
        if looked.change.is_none() && lasts(&looked.file.findings) {
            let from = match &looked.source {
                Some(Source::Earlier(from)) => Some(from.as_str()),
                _ => None,
            };
            self.memory.learn(&looked.file, from);
        }
        self.monitor.on(Progress::File(looked.file.path.as_str()));
        steps::reach("scan.file");
        Ok(looked)
    }

    /// A file that is not there or cannot be read is in error.
    fn unreadable(
        &self,
        index: usize,
        task: &Task<'_>,
        error: &dyn std::error::Error,
    ) -> Result<Looked, Error> {
        let mut message = error.to_string();
        if let Some(cause) = error.source() {
            message = format!("{message}: {cause}");
        }
        let verdict = Verdict::error(message);
        let file = FileVerdict {
            path: task.path.clone(),
            verdict: verdict.clone(),
            engine: "content".into(),
            size_bytes: None,
            sha256: None,
            findings: vec![Finding { engine: "content".into(), verdict, why: None }],
            accepted: None,
        };
        let change = task.expected.and_then(|_| change::instead(&self.folder, task.path));
        self.conclude(Looked { index, file, change, source: None })
    }
}

fn differs((expected_bytes, expected): (u64, Sha256), found: (u64, Sha256)) -> Option<What> {
    let (found_bytes, found) = found;
    if expected_bytes != found_bytes {
        return Some(What::Size { expected_bytes, found_bytes });
    }
    (expected != found).then_some(What::Content { expected, found })
}
