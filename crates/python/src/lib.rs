//! The native part of the Python package `phys_instruct`: arguments, one library call, arrays.
//!
//! The package's own modules, in Python, are what a user sees. Here no argument has a default and
//! nothing is computed. Every call releases the interpreter's lock while the library works
//! (`work`), and every error of the library becomes an exception of the package (`failure`).

mod answer;
mod failure;
mod model;
mod pde;
mod training;
mod work;

use pyo3::prelude::*;

/// The functions and classes of `phys_instruct._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("version", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<model::Model>()?;
    module.add_class::<model::Drawn>()?;
    module.add_class::<answer::Answer>()?;
    module.add_class::<pde::Pde>()?;
    module.add_function(wrap_pyfunction!(model::bundled, module)?)?;
    module.add_function(wrap_pyfunction!(pde::names, module)?)?;
    module.add_function(wrap_pyfunction!(training::fit, module)?)?;
    module.add_function(wrap_pyfunction!(training::fit_teacher, module)?)?;
    module.add_function(wrap_pyfunction!(training::fit_student, module)?)?;
    module.add_function(wrap_pyfunction!(training::train, module)?)?;
    module.add_function(wrap_pyfunction!(training::distill, module)?)?;
    Ok(())
}
