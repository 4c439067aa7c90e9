//! Manifests and receipts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use databridge_core::media::manifest::{
    self, Known, List, Manifest, Options as VerifyOptions, State,
};
use databridge_core::media::receipt::{self, Envelope, Options, PublicKey};
use pyo3::prelude::*;
use serde_json::{Value, json};

use super::errors::Error;
use super::json::value;
use super::work::{self, Task};

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(Error::file(path, "read"))
}

/// How a folder differs from a list: the report, each difference with its text.
#[pyfunction]
#[pyo3(signature = (root, manifest, jobs, from_device, state, max_age, seconds, limit_bytes_per_second))]
#[allow(clippy::too_many_arguments)]
pub fn verify(
    py: Python<'_>,
    root: PathBuf,
    manifest: PathBuf,
    jobs: Option<NonZeroUsize>,
    from_device: bool,
    state: Option<PathBuf>,
    max_age: f64,
    seconds: Option<f64>,
    limit_bytes_per_second: Option<u64>,
) -> PyResult<Task> {
    let span = |name, seconds: f64| {
        let reason = "not a span of time".to_owned();
        Duration::try_from_secs_f64(seconds).map_err(|_| Error::Argument { name, reason })
    };
    work::begin(py, move |watch| {
        let deadline = seconds.map(|time| span("seconds", time)).transpose()?;
        let deadline = deadline.and_then(|time| Instant::now().checked_add(time));
        let list = List::read(&manifest)?;
        let age = span("max_age", max_age)?;
        let state = state.map(|path| State::open(&path, &root, age)).transpose()?;
        let state = state.as_ref();
        let options = VerifyOptions { jobs, from_device, limit_bytes_per_second, state, deadline };
        let report =
            list.verify(&root, manifest::inside(&root, &manifest).as_deref(), options, watch)?;
        let texts = report.differences.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut answer = value(&report);
        if let Some(Value::Array(all)) = answer.get_mut("differences") {
            for (fields, text) in all.iter_mut().zip(texts) {
                fields["text"] = text.into();
            }
        }
        Ok(answer)
    })
}

/// The files of a list: path, SHA-256 if it has one, size if it knows it, the other
/// digests by name.
#[pyfunction]
pub fn read_manifest(py: Python<'_>, path: PathBuf) -> PyResult<Task> {
    work::begin(py, move |_| Ok(listed(&List::read(&path)?)))
}

fn listed(list: &List) -> Value {
    let entries = list.files().iter().map(entry).collect::<Vec<_>>();
    json!({ "format": list.format, "entries": entries })
}

fn entry(file: &Known) -> Value {
    let mut digests: BTreeMap<_, _> =
        file.others.iter().map(|(algorithm, text)| (algorithm.as_str(), text.clone())).collect();
    digests.extend(file.sha256.map(|sha256| ("sha256", sha256.to_string())));
    json!({
        "path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes,
        "digests": digests,
    })
}

/// Writes a folder's list into a new file, or where its format has its own place;
/// the files in it.
#[pyfunction]
#[pyo3(signature = (root, path, format, jobs))]
pub fn write_manifest(
    py: Python<'_>,
    root: PathBuf,
    path: Option<PathBuf>,
    format: String,
    jobs: Option<NonZeroUsize>,
) -> PyResult<Task> {
    work::begin(py, move |watch| {
        let own_place = matches!(format.as_str(), "ascmhl" | "bagit");
        if own_place == path.is_some() {
            let reason = if own_place { "this format has its own place" } else { "is needed" };
            return Err(Error::Argument { name: "path", reason: reason.into() }.into());
        }
        let place = path.unwrap_or_default();
        let list = match format.as_str() {
            "sha256sums" => {
                let manifest = Manifest::of_tree(&root, jobs, watch)?;
                put(&place, &manifest.to_sha256sums())?;
                List::read(&place)?
            }
            "json" => {
                let manifest = Manifest::of_tree(&root, jobs, watch)?;
                put(&place, &value(&manifest).to_string())?;
                List::read(&place)?
            }
            "bagit" => {
                manifest::write_bagit(
                    &root,
                    &Manifest::of_tree(&root.join(manifest::PAYLOAD), jobs, watch)?,
                )?;
                List::read(&root)?
            }
            "ascmhl" => List::read(&manifest::write_ascmhl(&root, jobs, watch)?.path)?,
            other => {
                let reason = format!("{other:?} is none of sha256sums, json, ascmhl, bagit");
                return Err(Error::Argument { name: "format", reason }.into());
            }
        };
        Ok(listed(&list))
    })
}

fn put(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = File::create_new(path).map_err(Error::file(path, "created"))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(Error::file(path, "written"))
}

/// What a receipt says, once its signature holds and, if one is given, the tree
/// is what it speaks of.
#[pyfunction]
#[pyo3(signature = (path, key, tree, allow_embedded))]
pub fn verify_receipt(
    py: Python<'_>,
    path: PathBuf,
    key: PathBuf,
    tree: Option<PathBuf>,
    allow_embedded: bool,
) -> PyResult<Task> {
    work::begin(py, move |watch| {
        let envelope = Envelope::from_json(&read(&path)?)?;
        let key = PublicKey::read_file(&key)?;
        let receipt = receipt::verify(&envelope, &key, Options { allow_embedded })?;
        if let Some(tree) = tree {
            let sums = read(&path.with_file_name("SHA256SUMS"))?;
            receipt::verify_tree(&receipt, &sums, &tree, watch)?;
        }
        Ok(value(receipt))
    })
}
