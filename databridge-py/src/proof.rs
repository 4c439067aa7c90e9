//! Manifests and receipts.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use databridge_core::Error as AnyError;
use databridge_core::media::manifest::{Manifest, Sums, parse_sha256sums};
use databridge_core::media::receipt::{self, Envelope, Options, PublicKey};
use pyo3::prelude::*;
use serde_json::{Value, json};

use super::errors::Error;
use super::json::{to_python, value};
use super::work;

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(Error::file(path, "read"))
}

fn sums(path: &Path) -> Result<Sums, AnyError> {
    Ok(parse_sha256sums(&read(path)?)?)
}

/// How a folder differs from a SHA256SUMS file.
#[pyfunction]
#[pyo3(signature = (root, manifest, jobs, progress))]
pub fn verify<'py>(
    py: Python<'py>,
    root: PathBuf,
    manifest: PathBuf,
    jobs: Option<usize>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let done = work::run(py, progress, move |watch| {
        let differences = sums(&manifest)?.check_tree(&root, jobs, watch)?;
        Ok(Value::from_iter(differences.into_iter().map(|difference| {
            let text = difference.to_string();
            let mut fields = value(difference);
            fields["text"] = text.into();
            fields
        })))
    })?;
    to_python(py, &done)
}

/// The paths and digests of a SHA256SUMS file.
#[pyfunction]
pub fn read_manifest<'py>(py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyAny>> {
    let done = work::run(py, None, move |_| {
        let sums = sums(&path)?;
        Ok(Value::from_iter(sums.entries().iter().map(|(path, sha256)| json!([path, sha256]))))
    })?;
    to_python(py, &done)
}

/// Writes a folder's SHA256SUMS into a new file; its entries and digest.
#[pyfunction]
#[pyo3(signature = (root, path, jobs, progress))]
pub fn write_manifest<'py>(
    py: Python<'py>,
    root: PathBuf,
    path: PathBuf,
    jobs: Option<usize>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let done = work::run(py, progress, move |watch| {
        let manifest = Manifest::of_tree(&root, jobs, watch)?;
        let mut file = File::create_new(&path).map_err(Error::file(&path, "created"))?;
        let written = file.write_all(manifest.to_sha256sums().as_bytes());
        written.and_then(|()| file.sync_all()).map_err(Error::file(&path, "written"))?;
        Ok(value(manifest.entries()))
    })?;
    to_python(py, &done)
}

/// What a receipt says, once its signature holds and, if one is given, the tree
/// is what it speaks of.
#[pyfunction]
#[pyo3(signature = (path, key, tree, allow_embedded, progress))]
pub fn verify_receipt<'py>(
    py: Python<'py>,
    path: PathBuf,
    key: PathBuf,
    tree: Option<PathBuf>,
    allow_embedded: bool,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let done = work::run(py, progress, move |watch| {
        let envelope = Envelope::from_json(&read(&path)?)?;
        let key = PublicKey::read_file(&key)?;
        let receipt = receipt::verify(&envelope, &key, Options { allow_embedded })?;
        if let Some(tree) = tree {
            let sums = read(&path.with_file_name("SHA256SUMS"))?;
            receipt::verify_tree(&receipt, &sums, &tree, watch)?;
        }
        Ok(value(receipt))
    })?;
    to_python(py, &done)
}
