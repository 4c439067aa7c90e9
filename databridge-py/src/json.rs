//! JSON values as Python's own, and back.

use databridge_core::app::{Call, routes};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::errors::Error;

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
pub fn parse<T: DeserializeOwned>(op: &str, text: &str) -> Result<T, Error> {
    let fields: Value = serde_json::from_str(text)
        .map_err(|error| Error::Call { op: op.to_owned(), reason: error.to_string() })?;
    read(op, fields, |fields| serde_json::from_value(fields))
}

/// The call of that name, its fields a JSON object.
pub fn call(op: String, fields: &str) -> Result<Call, Error> {
    let fields = parse(&op, fields)?;
    read(&op, fields, |fields| match fields {
        Value::Object(fields) => routes::call(&op, fields),
        other => serde_json::from_value(other),
    })
}

/// Makes something of fields, or says which of them is wrong: the one without which
/// there is another error, or none.
fn read<T>(
    op: &str,
    fields: Value,
    make: impl Fn(Value) -> Result<T, serde_json::Error>,
) -> Result<T, Error> {
    let reason = match make(fields.clone()) {
        Ok(made) => return Ok(made),
        Err(error) => error.to_string(),
    };
    let names = fields.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
    let wrong = names.unwrap_or_default().into_iter().find(|name| {
        let mut rest = fields.clone();
        rest.as_object_mut().map(|all| all.remove(name));
        make(rest).err().is_none_or(|other| other.to_string() != reason)
    });
    match wrong {
        Some(name) if reason.starts_with("invalid") => {
            Err(Error::Field { op: op.to_owned(), name, reason })
        }
        _ => Err(Error::Call { op: op.to_owned(), reason }),
    }
}
