//! Frame sequences.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use databridge_core::media::sequence::{self, Numbers, Options, Padding, Sequence};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::json::{to_python, value};
use super::work::{self, Answer, Task};

struct Found(Vec<Sequence>, Padding);

impl Answer for Found {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let all = PyList::empty(py);
        for one in self.0 {
            all.append(fields(py, one, self.1)?)?;
        }
        Ok(all.into_any())
    }
}

fn fields(py: Python<'_>, one: Sequence, style: Padding) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("padding", one.padding(style))?;
    dict.set_item("kind", to_python(py, &value(one.kind))?)?;
    dict.set_item("width", one.width)?;
    dict.set_item("total_bytes", one.total_bytes)?;
    // Strings: Python makes a path of them where somebody asks for one.
    dict.set_item("directory", one.directory.into_os_string())?;
    dict.set_item("basename", one.basename)?;
    dict.set_item("extension", one.extension)?;
    for (name, numbers) in [
        ("frames", &one.frames),
        ("missing", &one.missing),
        ("zero_byte", &one.zero_byte),
        ("outliers", &one.outliers),
        ("duplicates", &one.duplicates),
    ] {
        dict.set_item(name, stretches(py, numbers)?)?;
    }
    Ok(dict)
}

/// `(decimals, ((first, step, count), …), text)`.
fn stretches<'py>(py: Python<'py>, numbers: &Numbers) -> PyResult<Bound<'py, PyTuple>> {
    let runs = numbers.runs().iter().map(|run| (run.first, run.step, run.count));
    let runs = PyTuple::new(py, runs.collect::<Vec<_>>())?;
    (numbers.decimals(), runs, numbers.to_string()).into_pyobject(py)
}

/// The sequences in a folder, or among names.
#[pyfunction]
#[pyo3(signature = (root, names, padding, recursive, subframes, step, singles, hidden))]
#[allow(clippy::too_many_arguments)]
pub fn find_sequences(
    py: Python<'_>,
    root: Option<PathBuf>,
    names: Vec<OsString>,
    padding: String,
    recursive: bool,
    subframes: bool,
    step: i64,
    singles: bool,
    hidden: bool,
) -> PyResult<Task> {
    work::begin(py, move |watch| {
        let style = padding.parse()?;
        let options = Options { subframes, step, singles, hidden };
        let found = match root {
            Some(root) => sequence::below(&root, recursive, options, watch)?,
            None => sequence::of_names(names.iter().map(|name| (name.as_bytes(), None)), options)?,
        };
        Ok(Found(found, style))
    })
}
