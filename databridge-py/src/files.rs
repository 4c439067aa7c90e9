//! Checksums, the verified copy, scans.

use std::ffi::OsString;
use std::path::PathBuf;

use databridge_core::media;
use databridge_core::media::checksum::{Algorithm, Cache, FileDigest, Options as TreeOptions};
use databridge_core::media::copy::{self, Options, Policy};
use databridge_core::media::manifest::List;
use databridge_core::media::scan::{Clamd, Clamscan, Engines, Files, Settings};
use databridge_core::media::walk;
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::{Error, raise};
use super::json::{parse, to_python, value};
use super::work;

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
#[pyo3(signature = (path, algorithms, progress))]
pub fn checksum<'py>(
    py: Python<'py>,
    path: PathBuf,
    algorithms: Vec<String>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let algorithms = self::algorithms(py, &algorithms)?;
    let done = work::run(py, progress, move |watch| {
        Ok(media::checksum::file(&path, &algorithms, watch).map(|found| digest(None, &found))?)
    })?;
    to_python(py, &done)
}

/// The digests of every file below a folder, and how many came from the cache.
#[pyfunction]
#[pyo3(signature = (root, algorithms, jobs, cache, progress))]
pub fn checksum_tree<'py>(
    py: Python<'py>,
    root: PathBuf,
    algorithms: Vec<String>,
    jobs: Option<usize>,
    cache: Option<PathBuf>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let algorithms = self::algorithms(py, &algorithms)?;
    let done = work::run(py, progress, move |watch| {
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
    })?;
    to_python(py, &done)
}

/// What may be chosen for a copy, by the names of `verified_copy`'s arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    resume: bool,
    limit_bytes_per_second: Option<u64>,
    jobs: Option<usize>,
    file_mode: Option<u32>,
    dir_mode: Option<u32>,
    keep_mode: bool,
    keep_mtime: bool,
    keep_dir_mtime: bool,
    hard_links: String,
    manifest: Option<PathBuf>,
    algorithms: Vec<String>,
    xattrs: Vec<String>,
    acls: bool,
    tolerate_attributes: bool,
    owner: Option<String>,
    readable_by: Option<String>,
}

impl Choice {
    fn options(self, algorithms: Vec<Algorithm>) -> Result<Options, databridge_core::Error> {
        let mode = |setting, bits: Option<u32>, usual| {
            bits.map_or(Ok(usual), |bits| copy::parse_mode(setting, &format!("{bits:o}")))
        };
        let usual = Policy::default();
        let policy = Policy {
            file_mode: mode("file_mode", self.file_mode, usual.file_mode)?,
            dir_mode: mode("dir_mode", self.dir_mode, usual.dir_mode)?,
            keep_mode: self.keep_mode,
            keep_mtime: self.keep_mtime,
            keep_dir_mtime: self.keep_dir_mtime,
            hard_links: copy::HardLinks::parse(&self.hard_links)?,
            xattrs: copy::Xattrs {
                namespaces: copy::parse_namespaces(&self.xattrs.join(","))?,
                acls: self.acls,
                tolerate: self.tolerate_attributes,
            },
            owner: self.owner.as_deref().map(copy::Owner::parse).transpose()?.unwrap_or_default(),
            reader: self.readable_by.as_deref().map(copy::Reader::parse).transpose()?,
            limit_bytes_per_second: self.limit_bytes_per_second,
            jobs: self.jobs,
        };
        let known = self.manifest.as_deref().map(List::read).transpose()?;
        Ok(Options { policy, resume: self.resume, known, algorithms, manifest: None })
    }
}

/// A file or folder, copied to a path that does not exist yet: its report, and
/// that path, whose name need not be UTF-8. `choice` is a JSON object.
#[pyfunction]
#[pyo3(signature = (source, destination, choice, progress))]
pub fn verified_copy<'py>(
    py: Python<'py>,
    source: PathBuf,
    destination: PathBuf,
    choice: String,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, OsString)> {
    let choice: Choice = parse("options", &choice).map_err(|error| raise(py, error))?;
    let algorithms = self::algorithms(py, &choice.algorithms)?;
    let (report, path) = work::run(py, progress, move |watch| {
        let report = copy::tree(&source, &destination, &choice.options(algorithms)?, watch)?;
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
    })?;
    Ok((to_python(py, &report)?, path))
}

/// Every path's report.
#[pyfunction]
#[pyo3(signature = (paths, engine, clamd, clamscan_database, progress))]
pub fn scan<'py>(
    py: Python<'py>,
    paths: Vec<PathBuf>,
    engine: String,
    clamd: Option<String>,
    clamscan_database: Option<PathBuf>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let done = work::run(py, progress, move |watch| {
        let clamscan = Clamscan { database: clamscan_database, ..Clamscan::default() };
        let clamd = clamd.map(|address| address.parse().map(Clamd::at)).transpose()?;
        let settings = Settings { engine: engine.parse()?, clamd, clamscan, ..Settings::default() };
        let engines = Engines::open(&settings)?;
        let mut reports = Vec::new();
        for path in paths {
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
    })?;
    to_python(py, &done)
}
