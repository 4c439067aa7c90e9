//! Many files, each read once: digested and shown to every engine.

mod hand;
mod read;

use std::io;
use std::path::Path;

use self::hand::{Looked, Queue, Scan};
use super::memory::Memory;
use super::{Engines, Error, Report, change};
use crate::base::steps;
use crate::media::checksum::Sha256;
use crate::media::manifest::{Difference, Entry, Manifest};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{Folder, RelPath};

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
        let pool = self.pool()?;
        let queue = Queue::new(
            &tasks,
            pool.current_num_threads(),
            // Who says how many files at a time means it.
            self.settings.threads == 0,
        );
        let done: Result<Vec<_>, _> = pool.broadcast(|_| scan.work(&queue)).into_iter().collect();
        let mut looked: Vec<Looked> = done?.into_iter().flatten().collect();
        looked.sort_unstable_by_key(|looked| looked.index);
        for Looked { file, change, source, .. } in looked {
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
