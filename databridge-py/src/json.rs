//! JSON values as Python's own, and back.

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde::Serialize;
use serde_json::Value;

/// `None`, `bool`, `int`, `float`, `str`, `list`, `dict`.
pub fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(yes) => yes.into_bound_py_any(py),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => n.into_bound_py_any(py),
            (None, Some(n)) => n.into_bound_py_any(py),
            (None, None) => n.as_f64().into_bound_py_any(py),
        },
        Value::String(text) => text.into_bound_py_any(py),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            Ok(list.into_any())
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, value) in fields {
                dict.set_item(name, to_python(py, value)?)?;
            }
            Ok(dict.into_any())
        }
    }
}

/// What serialises without failing: our own plain types.
pub fn value<T: Serialize>(item: T) -> Value {
    serde_json::to_value(item).unwrap_or_default()
}

/// Reads a JSON text that Python's `json` wrote.
pub fn parse<T: serde::de::DeserializeOwned>(
    op: &str,
    text: &str,
) -> Result<T, super::errors::Error> {
    serde_json::from_str(text)
        .map_err(|source| super::errors::Error::Call { op: op.to_owned(), source })
}
