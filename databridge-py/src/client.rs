//! A daemon, from afar.

use std::path::PathBuf;

use databridge_core::app::routes;
use databridge_core::remote::Remote;
use pyo3::prelude::*;

use super::errors::Error;
use super::json::{parse, to_python, value};
use super::work;

/// A daemon, and who we are to it.
#[pyclass(frozen, module = "databridge._databridge")]
pub struct Daemon {
    remote: Remote,
}

#[pymethods]
impl Daemon {
    /// The daemon at `url`, with a token or an API key.
    #[new]
    fn new(url: &str, token: Option<String>) -> Self {
        Self { remote: Remote::new(url, token) }
    }

    /// Signs in: the daemon as that person, in a session that renews itself, and that
    /// session without its tokens.
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
        let mut fields = value(&session);
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("access_token");
            fields.remove("refresh_token");
        }
        let remote = self.remote.with_session(session, None);
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
        let answer = work::run(py, progress, move |watch| remote.add(&code, &path, watch))?;
        to_python(py, &answer)
    }
}
