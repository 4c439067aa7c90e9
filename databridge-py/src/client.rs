//! A daemon, from afar.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use databridge_core::Error as AnyError;
use databridge_core::app::routes;
use databridge_core::media::monitor::{Monitor, Progress};
use databridge_core::media::storage::{Folder, RelPath};
use databridge_core::media::walk;
use databridge_core::remote::Remote;
use pyo3::prelude::*;
use serde_json::Value;

use super::errors::Error;
use super::json::{parse, to_python, value};
use super::work::{self, Watch};

/// A daemon, and who we are to it.
#[pyclass(frozen, module = "databridge._databridge")]
pub struct Daemon {
    remote: Remote,
}

/// Counts what is read, and ends where somebody wants to stop.
struct Watched<'a> {
    file: File,
    watch: &'a Watch,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.watch.cancelled() {
            return Err(io::Error::other("stopped"));
        }
        let count = self.file.read(buffer)?;
        self.watch.on(Progress::Bytes(count as u64));
        Ok(count)
    }
}

fn put(
    remote: &Remote,
    code: &str,
    folder: &Folder,
    path: &RelPath,
    watch: &Watch,
) -> Result<Value, AnyError> {
    let file = folder.open_file(path)?;
    let answer = remote.upload(code, path, Watched { file, watch })?;
    watch.on(Progress::File(path.as_str()));
    Ok(answer)
}

/// Puts a file, or all that is in a folder; answers what the last one did.
fn add(remote: &Remote, code: &str, source: &Path, watch: &Watch) -> Result<Value, AnyError> {
    if !source.is_dir() {
        let (root, name) = walk::single(source)?;
        let folder = Folder::open(&root)?;
        watch.on(Progress::Total { files: 1, bytes: folder.stat(&name)?.size_bytes });
        return put(remote, code, &folder, &name, watch);
    }
    let entries = walk::tree(source)?;
    let folder = Folder::open(source)?;
    let bytes = entries.iter().map(|entry| entry.size_bytes).sum();
    watch.on(Progress::Total { files: entries.len() as u64, bytes });
    let mut answer = Value::Null;
    for entry in entries {
        answer = match entry.kind {
            walk::Kind::File => put(remote, code, &folder, &entry.path, watch)?,
            walk::Kind::EmptyDir => remote.upload_empty_dir(code, &entry.path)?,
        };
    }
    Ok(answer)
}

#[pymethods]
impl Daemon {
    /// The daemon at `url`, with a token or an API key.
    #[new]
    fn new(url: &str, token: Option<String>) -> Self {
        Self { remote: Remote::new(url, token) }
    }

    /// Signs in: the daemon as that person, and the session without its token.
    fn login<'py>(
        &self,
        py: Python<'py>,
        username: String,
        password: String,
        new_password: Option<String>,
    ) -> PyResult<(Self, Bound<'py, PyAny>)> {
        let remote = self.remote.clone();
        let session = work::run(py, None, move |_| {
            Ok(remote.login(&username, &password, new_password.as_deref())?)
        })?;
        let remote = self.remote.with_token(session.access_token.clone());
        let mut fields = value(&session);
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("access_token");
        }
        Ok((Self { remote }, to_python(py, &fields)?))
    }

    /// Answers a call whose fields are a JSON object.
    fn call<'py>(
        &self,
        py: Python<'py>,
        op: String,
        fields: String,
        key: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let remote = self.remote.clone();
        let answer = work::run(py, None, move |_| {
            let call = routes::call(&op, parse(&op, &fields)?)
                .map_err(|source| Error::Call { op, source })?;
            Ok(remote.call(&call, key.as_deref())?)
        })?;
        to_python(py, &answer)
    }

    /// Adds a file, or a folder's content, to a transfer.
    fn add<'py>(
        &self,
        py: Python<'py>,
        code: String,
        path: PathBuf,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let remote = self.remote.clone();
        let answer = work::run(py, progress, move |watch| add(&remote, &code, &path, watch))?;
        to_python(py, &answer)
    }
}
