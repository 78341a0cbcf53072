//! The library's errors as exceptions of the package, with the same words.

use phys_instruct::Error;
use phys_instruct_physics::Error as PhysicsError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// The module that defines the exceptions.
const MODULE: &str = "phys_instruct._errors";

/// An exception of the package.
pub fn raise(py: Python<'_>, class: &str, message: &str) -> PyErr {
    let made = py.import(MODULE).and_then(|module| module.getattr(class)?.call1((message,)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(_) => PyRuntimeError::new_err(message.to_owned()),
    }
}

/// The exception of a library's error.
pub fn of(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error {
        Error::Config(_) => "ConfigError",
        Error::Io { .. } | Error::BadFile { .. } => "FileError",
        Error::Shape(_) => "ShapeError",
        Error::NonFinite(_) => "NotFiniteError",
        Error::Observation(_) => "ObservationError",
        Error::Physics(PhysicsError::NotConverged { .. }) => "NotConvergedError",
        Error::Physics(PhysicsError::NoSolver { .. } | PhysicsError::NoLaw { .. })
        | Error::NoEquation { .. } => "NoEquationError",
        Error::Physics(_) => "PhysicsError",
        Error::Memory { .. } => "MemoryLimitError",
        Error::Request(_) => "RequestError",
        Error::Backend(_) => "BackendError",
        Error::Diverged(_) => "DivergedError",
        Error::Interrupted => "Interrupted",
    };
    raise(py, class, &error.to_string())
}

/// A value of the library, or the exception of its error.
pub fn or_raise<T>(py: Python<'_>, result: phys_instruct::Result<T>) -> PyResult<T> {
    result.map_err(|error| of(py, &error))
}

/// Figures as JSON text.
pub fn json(py: Python<'_>, value: serde_json::Result<String>) -> PyResult<String> {
    value.map_err(|error| raise(py, "InternalError", &error.to_string()))
}
