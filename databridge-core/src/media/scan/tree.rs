//! Many files, each read once: digested and shown to every engine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rayon::prelude::*;

use super::engines::Bench;
use super::{
    Counts, Engines, Error, FileVerdict, Finding, HEAD_BYTES, Report, Subject, Verdict, change,
};
use crate::base::clock::Timestamp;
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
}

/// What one read of a file brought up.
struct Read {
    stat: Stat,
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
        let started_at = Timestamp::now();
        let bench = self.bench()?;
        let folder = Folder::open(root).map_err(Error::storage)?;
        let tasks = files.tasks();
        monitor.on(Progress::Total { files: tasks.len() as u64, bytes: files.bytes() });
        let looked: Vec<Looked> = self.pool()?.install(|| {
            tasks
                .par_iter()
                .map(|task| self.file(&bench, &folder, task, monitor))
                .collect::<Result<_, _>>()
        })?;
        let mut report = Report {
            verdict: bench.baseline(),
            files: Vec::new(),
            not_named: 0,
            counts: Counts::default(),
            reasons: BTreeMap::new(),
            engines: bench.engines,
            policy: bench.policy,
            bytes: 0,
            changed: Vec::new(),
            started_at,
            finished_at: started_at,
        };
        for Looked { file, change } in looked {
            let path = file.path.to_string();
            report.changed.extend(change.map(|what| Difference { path, what }));
            report.enter(file);
        }
        if let Files::Manifest(manifest) = files {
            report.changed.extend(change::around(&folder, manifest)?);
        }
        report.changed.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        report.finished_at = Timestamp::now();
        steps::reach("scan.done");
        Ok(report)
    }

    fn pool(&self) -> Result<rayon::ThreadPool, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match self.settings.threads {
            0 => cores.min(8),
            threads => threads,
        };
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("scan-{n}"))
            .build()
            .map_err(|error| Error::Threads { source: io::Error::other(error) })
    }

    fn file(
        &self,
        bench: &Bench,
        folder: &Folder,
        task: &Task<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Looked, Error> {
        if monitor.cancelled() {
            return Err(Error::Cancelled);
        }
        let looked = match folder.open_file(task.path) {
            Ok(file) => match self.open_file(bench, &file, task, monitor) {
                Ok(looked) => looked,
                Err(Trouble::Cancelled) => return Err(Error::Cancelled),
                Err(Trouble::Io(error)) => unreadable(folder, task, &error),
            },
            Err(error) => unreadable(folder, task, &error),
        };
        monitor.on(Progress::File(task.path.as_str()));
        steps::reach("scan.file");
        Ok(looked)
    }

    fn open_file(
        &self,
        bench: &Bench,
        file: &File,
        task: &Task<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Looked, Trouble> {
        let read = self.read(file, monitor)?;
        let subject = Subject {
            path: task.path,
            file,
            size_bytes: read.stat.size_bytes,
            head: &read.head[..read.head.len().min(HEAD_BYTES)],
            whole: read.whole.then_some(&read.head[..]),
            timeout: self.settings.file_timeout(),
        };
        let mut findings = self.look(bench, &subject);
        let is_steady = Stat::of(file)?.is_unchanged_since(&read.stat);
        if !is_steady {
            let verdict = Verdict::error("the file was written to while it was scanned");
            findings.push(Finding { engine: "content".into(), verdict, why: None });
        }
        let (verdict, engine) = bench.conclude(&findings);
        let found = (read.stat.size_bytes, read.sha256);
        let change = task.expected.and_then(|expected| differs(expected, found));
        let file = FileVerdict {
            path: task.path.clone(),
            verdict,
            engine,
            size_bytes: Some(found.0),
            sha256: Some(found.1),
            findings,
        };
        Ok(Looked { file, change })
    }

    /// Reads a file from beginning to end, keeping all of it if it is small
    /// enough and else its head.
    fn read(&self, file: &File, monitor: &dyn Monitor) -> Result<Read, Trouble> {
        let stat = Stat::of(file)?;
        let whole = stat.size_bytes <= self.settings.rules_whole_bytes;
        let mut hasher = Hasher::new(&[]);
        let mut head = Vec::new();
        let mut buffer =
            vec![0; BLOCK_BYTES.min(usize::try_from(stat.size_bytes).unwrap_or(BLOCK_BYTES) + 1)];
        let mut offset = 0;
        loop {
            if monitor.cancelled() {
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
            if whole || head.len() < HEAD_BYTES {
                head.extend_from_slice(block);
            }
            monitor.on(Progress::Bytes(block.len() as u64));
        }
        if offset != stat.size_bytes {
            return Err(io::Error::other("its length changed while it was read").into());
        }
        let sha256 = hasher.finish().sha256();
        Ok(Read { stat, sha256, head, whole })
    }
}

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
    };
    let change = task.expected.and_then(|_| change::instead(folder, task.path));
    Looked { file, change }
}
