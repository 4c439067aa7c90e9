//! From DataBridge's errors to the exceptions of `databridge.errors`.

use std::path::Path;

use databridge_core::{Error as AnyError, ErrorKind, Fault};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// What can only go wrong on the way from and to Python.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The fields do not make a call.
    #[error("{op} does not take this: {reason}")]
    Call {
        /// Which call.
        op: String,
        /// Why not.
        reason: String,
    },
    /// One of the fields is not what the call takes.
    #[error("{op}: {name}: {reason}")]
    Field {
        /// Which call.
        op: String,
        /// Which field.
        name: String,
        /// Why not.
        reason: String,
    },
    /// An argument is not acceptable.
    #[error("{name}: {reason}")]
    Argument {
        /// Which.
        name: &'static str,
        /// Why not.
        reason: String,
    },
    /// A file of the caller's cannot be read or written.
    #[error("{path} cannot be {done}")]
    File {
        /// Which.
        path: String,
        /// What was tried.
        done: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The process was forked while an embedded store was open.
    #[error("this process was forked while a Bridge was open")]
    Forked,
    /// The process was forked while work was under way.
    #[error("this work was begun in a process that has forked since; its child cannot ask for it")]
    ForkedWork,
    /// It was closed.
    #[error("this Bridge is closed")]
    Closed,
    /// The runtime could not be made.
    #[error("the runtime could not be started")]
    Runtime(#[source] std::io::Error),
    /// A defect: the work ended without an answer.
    #[error("the work ended without an answer: {0}")]
    Panicked(String),
}

/// As serde says it, who has no kinds of errors of data.
fn is_of_another_type(reason: &str) -> bool {
    reason.starts_with("invalid type")
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Call { .. } | Self::Field { .. } | Self::Argument { .. } => ErrorKind::Invalid,
            Self::File { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
                _ => ErrorKind::Io,
            },
            Self::Forked | Self::ForkedWork | Self::Closed => ErrorKind::IllegalState,
            Self::Runtime(_) => ErrorKind::Io,
            Self::Panicked(_) => ErrorKind::Internal,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Call { .. } => "python.call",
            Self::Field { reason, .. } if is_of_another_type(reason) => "python.type",
            Self::Field { .. } | Self::Argument { .. } => "python.argument",
            Self::File { .. } => "python.file",
            Self::Forked | Self::ForkedWork => "python.forked",
            Self::Closed => "python.closed",
            Self::Runtime(_) => "python.runtime",
            Self::Panicked(_) => "python.panicked",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        let hint = match self {
            Self::Call { .. } | Self::Field { .. } | Self::Argument { .. } => {
                "help() on the method says what it takes"
            }
            Self::File { .. } => "check the path and its permissions",
            Self::Forked => "fork first and open a Bridge in the child, or use a Client",
            Self::ForkedWork => "begin it in the child",
            Self::Closed => "open a new one",
            Self::Runtime(_) => "raise the limit of threads of this process",
            Self::Panicked(_) => "please report it, with what was asked",
        };
        Some(hint.into())
    }
}

impl Error {
    /// Says which file could not be `done`.
    pub fn file(path: &Path, done: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, done, source }
    }
}

/// The exception that `error` is in Python.
pub fn raise(py: Python<'_>, error: impl Into<AnyError>) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let error = error.into();
    let made = MAKE.import(py, "databridge.errors", "from_kind").and_then(|make| {
        let kind = serde_json::to_value(error.kind()).unwrap_or_default();
        make.call1((
            kind.as_str().unwrap_or("internal"),
            error.code(),
            error.chain(),
            error.hint(),
            error.required_roles(),
        ))
    });
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}
