//! A daemon, from afar.

use std::path::PathBuf;

use databridge_core::Error as AnyError;
use databridge_core::remote::Remote;
use pyo3::prelude::*;
use serde_json::Value;

use super::json::{call, to_python, value};
use super::work::{self, Answer, Task, Watch};

/// A daemon, and who we are to it.
#[pyclass(frozen, module = "databridge._databridge")]
pub struct Daemon {
    remote: Remote,
}

/// The daemon as somebody else, and the session without its token.
struct SignedIn(Remote, Value);

impl Answer for SignedIn {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let session = to_python(py, &self.1)?;
        Ok((Daemon { remote: self.0 }, session).into_pyobject(py)?.into_any())
    }
}

impl Daemon {
    fn begin<A: Answer>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Remote, &Watch) -> Result<A, AnyError> + Send + 'static,
    ) -> PyResult<Task> {
        let remote = self.remote.clone();
        work::begin(py, move |watch| work(&remote, watch))
    }
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
    fn login(
        &self,
        py: Python<'_>,
        username: String,
        password: String,
        new_password: Option<String>,
    ) -> PyResult<Task> {
        self.begin(py, move |remote, _| {
            let session = remote.login(&username, &password, new_password.as_deref())?;
            let mut fields = value(&session);
            if let Some(fields) = fields.as_object_mut() {
                fields.remove("access_token");
                fields.remove("refresh_token");
            }
            Ok(SignedIn(remote.with_session(session, None), fields))
        })
    }

    /// Answers a call whose fields are a JSON object.
    fn call(
        &self,
        py: Python<'_>,
        op: String,
        fields: String,
        key: Option<String>,
    ) -> PyResult<Task> {
        self.begin(py, move |remote, _| Ok(remote.call(&call(op, &fields)?, key.as_deref())?))
    }

    /// Adds a file, or a folder's content, to a transfer.
    fn add(&self, py: Python<'_>, code: String, path: PathBuf) -> PyResult<Task> {
        self.begin(py, move |remote, watch| remote.add(&code, &path, watch))
    }
}
