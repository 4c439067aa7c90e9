//! Checksums, the verified copy, scans.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use databridge_core::media;
use databridge_core::media::checksum::{Algorithm, Cache, FileDigest, Options as TreeOptions};
use databridge_core::media::copy::{self, Choice};
use databridge_core::media::scan::{self, Engines, Files, Settings};
use databridge_core::media::walk;
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::{Error, raise};
use super::json::{parse, value};
use super::work::{self, Task};

fn algorithms(py: Python<'_>, names: &[String]) -> PyResult<Vec<Algorithm>> {
    let parsed = names.iter().map(|name| name.parse::<Algorithm>());
    parsed.collect::<Result<_, _>>().map_err(|error| {
        let known = Algorithm::ALL.map(Algorithm::as_str).join(", ");
        raise(
            py,
            Error::Argument { name: "algorithms", reason: format!("{error}; there are {known}") },
        )
    })
}

fn digest(path: Option<&str>, digest: &FileDigest) -> Value {
    json!({ "path": path, "size_bytes": digest.size_bytes, "digests": digest.digests })
}

/// One file's digests.
#[pyfunction]
#[pyo3(signature = (path, algorithms))]
pub fn checksum(py: Python<'_>, path: PathBuf, algorithms: Vec<String>) -> PyResult<Task> {
    let algorithms = self::algorithms(py, &algorithms)?;
    work::begin(py, move |watch| {
        Ok(media::checksum::file(&path, &algorithms, watch).map(|found| digest(None, &found))?)
    })
}

/// The digests of every file below a folder, and how many came from the cache.
#[pyfunction]
#[pyo3(signature = (root, algorithms, jobs, cache))]
pub fn checksum_tree(
    py: Python<'_>,
    root: PathBuf,
    algorithms: Vec<String>,
    jobs: Option<NonZeroUsize>,
    cache: Option<PathBuf>,
) -> PyResult<Task> {
    let algorithms = self::algorithms(py, &algorithms)?;
    work::begin(py, move |watch| {
        let cache = cache.as_deref().map(Cache::open).transpose()?;
        let options = TreeOptions { algorithms: &algorithms, jobs, cache: cache.as_ref() };
        let mut found = Vec::new();
        let done = media::checksum::each(&root, options, watch, |one| {
            found.extend(one.map(|one| {
                let mut fields = digest(Some(one.path.as_str()), &one.digest);
                fields["cached"] = one.is_cached.into();
                fields
            }));
            Ok(())
        });
        // Also after a failure: what was read need not be read again.
        cache.as_ref().map_or(Ok(()), Cache::save)?;
        done?;
        Ok(Value::from(found))
    })
}

/// A file or folder, copied to a path that does not exist yet: its report, and
/// that path, whose name need not be UTF-8. `choice` is a JSON object.
#[pyfunction]
#[pyo3(signature = (source, destination, choice))]
pub fn verified_copy(
    py: Python<'_>,
    source: PathBuf,
    destination: PathBuf,
    choice: String,
) -> PyResult<Task> {
    let choice: Choice = parse("options", &choice).map_err(|error| raise(py, error))?;
    work::begin(py, move |watch| {
        let report = copy::tree(&source, &destination, &choice.options()?, watch)?;
        let value = json!({
            "shape": report.shape, "manifest_digest": report.manifest_digest,
            "files": report.files, "size_bytes": report.bytes,
            "kept_bytes": report.prepared.kept_bytes, "read_back": report.read_back.worth,
            "rename": report.published.rename, "seconds": report.took.as_secs_f64(),
            "read_back_files": report.read_back.worths,
            "cloned_files": report.transferred.cloned_files,
            "shared_files": report.transferred.shared_files,
            "linked_files": report.transferred.linked_files,
            "bytes_per_second": report.bytes_per_second,
            "lost_attributes": report.transferred.lost_attributes.named,
        });
        Ok((value, report.destination.into_os_string()))
    })
}

/// What may be chosen for a scan, by the names of `scan`'s arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    engine: Option<String>,
    clamd: Option<String>,
    clamscan_database: Option<PathBuf>,
    policy: Option<PathBuf>,
    project: String,
    category: String,
}

impl Scan {
    fn settings(self) -> Result<Settings, scan::Error> {
        let choice = scan::Choice {
            policy: self.policy,
            engine: self.engine.as_deref().map(str::parse).transpose()?,
            clamd: self.clamd.as_deref().map(str::parse).transpose()?,
            clamscan_database: self.clamscan_database,
            project: self.project,
            category: self.category,
            ..scan::Choice::default()
        };
        choice.settings(Settings { engine: scan::Engine::Rules, ..Settings::default() })
    }
}

/// Every path's report. `choice` is a JSON object.
#[pyfunction]
#[pyo3(name = "scan", signature = (paths, choice))]
pub fn scan_paths(py: Python<'_>, paths: Vec<PathBuf>, choice: String) -> PyResult<Task> {
    let choice: Scan = parse("options", &choice).map_err(|error| raise(py, error))?;
    work::begin(py, move |watch| {
        let settings = choice.settings()?;
        let engines = Engines::open(&settings)?;
        let mut reports = Vec::new();
        for path in paths {
            // In a tree it would be a verdict; here nobody can have meant it.
            std::fs::symlink_metadata(&path).map_err(Error::file(&path, "scanned"))?;
            let (root, files) = if path.is_dir() {
                let entries = walk::tree(&path)?.into_iter();
                let files = entries.filter(|entry| entry.kind == walk::Kind::File);
                (path, files.map(|entry| entry.path).collect())
            } else {
                let (root, name) = walk::single(&path)?;
                (root, vec![name])
            };
            reports.push(value(engines.tree(&root, Files::Paths(&files), watch)?));
        }
        Ok(Value::from(reports))
    })
}
