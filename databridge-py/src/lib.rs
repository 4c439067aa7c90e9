//! The machine room of `import databridge`: each function parses, calls DataBridge
//! and converts. What people call is in `python/databridge`.
//!
//! Every blocking call begins a [`work::Task`] on a thread that never enters Python, so
//! that Ctrl-C, progress and callbacks stay with the threads of whoever asked.

mod client;
mod engine;
mod errors;
mod files;
mod json;
mod proof;
mod sequences;
mod work;

use pyo3::prelude::*;

/// The machine room of `databridge`.
#[pymodule]
fn _databridge(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<client::Daemon>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<work::Task>()?;
    module.add_function(wrap_pyfunction!(files::checksum, module)?)?;
    module.add_function(wrap_pyfunction!(files::checksum_tree, module)?)?;
    module.add_function(wrap_pyfunction!(files::verified_copy, module)?)?;
    module.add_function(wrap_pyfunction!(files::scan_paths, module)?)?;
    module.add_function(wrap_pyfunction!(proof::verify, module)?)?;
    module.add_function(wrap_pyfunction!(proof::read_manifest, module)?)?;
    module.add_function(wrap_pyfunction!(proof::write_manifest, module)?)?;
    module.add_function(wrap_pyfunction!(proof::verify_receipt, module)?)?;
    module.add_function(wrap_pyfunction!(sequences::find_sequences, module)?)?;
    Ok(())
}
