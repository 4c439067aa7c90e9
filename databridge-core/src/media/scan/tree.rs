//! Many files, each read once: digested and shown to every engine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rayon::prelude::*;

use super::engines::Bench;
use super::memory::{Memory, Recalled, Source, lasts};
use super::{
    Engines, Error, FileVerdict, Finding, HEAD_BYTES, Look, Members, Opened, Report, Subject,
    Verdict, change,
};
use crate::base::steps;
use crate::media::checksum::{Hasher, Sha256};
use crate::media::manifest::{Difference, Entry, Manifest, What};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{Folder, RelPath, Stat};

/// How much is read between two looks at whether to stop.
const BLOCK_BYTES: usize = 1 << 20;

/// What to scan below a root.
#[derive(Debug, Clone, Copy)]
pub enum Files<'a> {
    /// What a manifest names; whatever differs from it is reported as changed.
    Manifest(&'a Manifest),
    /// These files, whatever they hold.
    Paths(&'a [RelPath]),
}

/// One file to look at and what it should be.
struct Task<'a> {
    path: &'a RelPath,
    expected: Option<(u64, Sha256)>,
}

/// One file's verdict, and how it differs from what it should be.
struct Looked {
    file: FileVerdict,
    change: Option<What>,
    /// Where the verdict comes from, if not from the engines just now.
    source: Option<Source>,
}

/// What one scan works with.
struct Scan<'a> {
    engines: &'a Engines,
    bench: Bench,
    folder: Folder,
    memory: &'a dyn Memory,
    monitor: &'a dyn Monitor,
}

/// What one read of a file brought up.
struct Read {
    sha256: Sha256,
    head: Vec<u8>,
    whole: bool,
}

enum Trouble {
    Cancelled,
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Files<'_> {
    fn tasks(&self) -> Vec<Task<'_>> {
        match self {
            Self::Manifest(manifest) => manifest.entries().iter().filter_map(task).collect(),
            Self::Paths(paths) => paths.iter().map(|path| Task { path, expected: None }).collect(),
        }
    }

    fn bytes(&self) -> u64 {
        let expected = self.tasks();
        expected.iter().filter_map(|task| task.expected).map(|(size, _)| size).sum()
    }
}

fn task(entry: &Entry) -> Option<Task<'_>> {
    match entry {
        Entry::File { path, size_bytes, sha256 } => {
            Some(Task { path, expected: Some((*size_bytes, *sha256)) })
        }
        Entry::EmptyDir { .. } => None,
    }
}

impl Engines {
    /// Scans files below `root`, in parallel.
    ///
    /// # Errors
    /// [`Error::EngineGone`] before the first file, [`Error::Io`] where `root`
    /// cannot be opened, [`Error::Cancelled`]. Trouble with one file is that
    /// file's verdict.
    pub fn tree(
        &self,
        root: &Path,
        files: Files<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Report, Error> {
        self.tree_with(root, files, &(), monitor)
    }

    /// The same, with verdicts from before: what `memory` recalls of a manifest's
    /// files is not asked again.
    ///
    /// # Errors
    /// As [`Engines::tree`].
    pub fn tree_with(
        &self,
        root: &Path,
        files: Files<'_>,
        memory: &dyn Memory,
        monitor: &dyn Monitor,
    ) -> Result<Report, Error> {
        let bench = self.bench()?;
        memory.begin(bench.basis(&self.settings));
        let folder = Folder::open(root).map_err(Error::storage)?;
        let tasks = files.tasks();
        monitor.on(Progress::Total { files: tasks.len() as u64, bytes: files.bytes() });
        let mut report = Report::begin(&bench);
        let scan = Scan { engines: self, bench, folder, memory, monitor };
        let looked: Vec<Looked> = self
            .pool()?
            .install(|| tasks.par_iter().map(|task| scan.file(task)).collect::<Result<_, _>>())?;
        for Looked { file, change, source } in looked {
            let path = file.path.to_string();
            report.changed.extend(change.map(|what| Difference { path, what }));
            report.enter(file, source);
        }
        if let Files::Manifest(manifest) = files {
            report.changed.extend(change::around(&scan.folder, manifest)?);
        }
        report.changed.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        report.end(self.info().unwrap_or_default());
        steps::reach("scan.done");
        Ok(report)
    }

    fn pool(&self) -> Result<rayon::ThreadPool, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match self.settings.threads {
            0 => (cores * 2).min(16),
            threads => threads,
        };
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("scan-{n}"))
            .build()
            .map_err(|error| Error::Threads { source: io::Error::other(error) })
    }
}

impl Scan<'_> {
    fn file(&self, task: &Task<'_>) -> Result<Looked, Error> {
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
            return Ok(Looked { file, change: None, source: Some(Source::ThisScan) });
        }
        let looked = match self.folder.open_file(task.path) {
            Ok(file) => match self.open_file(&file, task, recalled) {
                Ok(looked) => looked,
                Err(Trouble::Cancelled) => return Err(Error::Cancelled),
                Err(Trouble::Io(error)) => unreadable(&self.folder, task, &error),
            },
            Err(error) => unreadable(&self.folder, task, &error),
        };
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
        self.monitor.on(Progress::File(task.path.as_str()));
        steps::reach("scan.file");
        Ok(looked)
    }

    fn open_file(
        &self,
        file: &File,
        task: &Task<'_>,
        recalled: Option<Recalled>,
    ) -> Result<Looked, Trouble> {
        let stat = Stat::of(file)?;
        if let (Some(recalled), Some(expected)) = (recalled, task.expected) {
            let read = self.read(file, stat, &mut [])?;
            let is_steady = Stat::of(file)?.is_unchanged_since(&stat);
            if is_steady && (stat.size_bytes, read.sha256) == expected {
                let file = self.judge(task, recalled.findings, expected);
                return Ok(Looked { file, change: None, source: Some(recalled.source) });
            }
        }
        let timeout = self.engines.settings.file_timeout();
        let monitor = self.monitor;
        let opened = Opened { file, size_bytes: stat.size_bytes, timeout, monitor };
        let mut begun = self.engines.begin(&opened);
        let read = self.read(file, stat, &mut begun)?;
        let subject = Subject {
            path: task.path,
            file,
            size_bytes: stat.size_bytes,
            head: &read.head[..read.head.len().min(HEAD_BYTES)],
            whole: read.whole.then_some(&read.head[..]),
            members: &Members::default(),
            timeout,
            monitor,
        };
        let mut findings = self.engines.look(&self.bench, begun, &subject);
        if !Stat::of(file)?.is_unchanged_since(&stat) {
            let verdict = Verdict::error("the file was written to while it was scanned");
            findings.push(Finding { engine: "content".into(), verdict, why: None });
        }
        let found = (stat.size_bytes, read.sha256);
        let change = task.expected.and_then(|expected| differs(expected, found));
        Ok(Looked { file: self.judge(task, findings, found), change, source: None })
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

    /// Reads a file from beginning to end, keeping all of it if it is small
    /// enough and else its head.
    fn read(&self, file: &File, stat: Stat, begun: &mut [Begun<'_>]) -> Result<Read, Trouble> {
        let whole = stat.size_bytes <= self.engines.settings.rules_whole_bytes;
        let mut hasher = Hasher::new(&[]);
        let mut head = Vec::new();
        let mut buffer =
            vec![0; BLOCK_BYTES.min(usize::try_from(stat.size_bytes).unwrap_or(BLOCK_BYTES) + 1)];
        let mut offset = 0;
        loop {
            if self.monitor.cancelled() {
                return Err(Trouble::Cancelled);
            }
            let block = match file.read_at(&mut buffer, offset) {
                Ok(0) => break,
                Ok(n) => &buffer[..n],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            offset += block.len() as u64;
            if offset > stat.size_bytes {
                break;
            }
            hasher.update(block);
            begun.iter_mut().flatten().for_each(|look| look.block(block));
            if whole || head.len() < HEAD_BYTES {
                head.extend_from_slice(block);
            }
            self.monitor.on(Progress::Bytes(block.len() as u64));
        }
        if offset != stat.size_bytes {
            return Err(io::Error::other("its length changed while it was read").into());
        }
        Ok(Read { sha256: hasher.finish().sha256(), head, whole })
    }
}

/// What each engine has begun, if it could.
pub(super) type Begun<'a> = Option<Box<dyn Look + 'a>>;

fn differs((expected_bytes, expected): (u64, Sha256), found: (u64, Sha256)) -> Option<What> {
    let (found_bytes, found) = found;
    if expected_bytes != found_bytes {
        return Some(What::Size { expected_bytes, found_bytes });
    }
    (expected != found).then_some(What::Content { expected, found })
}

/// A file that is not there or cannot be read is in error.
fn unreadable(folder: &Folder, task: &Task<'_>, error: &dyn std::error::Error) -> Looked {
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
    let change = task.expected.and_then(|_| change::instead(folder, task.path));
    Looked { file, change, source: None }
}
