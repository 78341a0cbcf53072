//! Grids, random fields, partial differential equations and their reference solvers.
//!
//! Everything here is `f64` and knows nothing of machine learning or files. One PDE is one file:
//! its equation, parameters, random input and reference solver, behind the trait [`Pde`]; the macro
//! [`with_pdes`] lists them.

// First: its list declares the modules below.
#[macro_use]
pub mod registry;

macro_rules! modules {
    ($($module:ident::$pde:ident),* $(,)?) => { $(pub mod $module;)* };
}
with_pdes!(modules);

pub mod anderson;
pub mod basis;
pub mod differentiable;
pub mod error;
pub mod etdrk4;
pub mod fields;
pub mod grid;
pub mod hermite;
mod input;
pub mod laplacian;
pub mod law;
pub mod layout;
pub mod linearised;
pub mod moments;
pub mod param;
pub mod pde;
pub mod random_field;
pub mod rng;
mod spectral;
pub mod symmetry;
#[cfg(test)]
mod testing;
pub mod transform;
pub mod warning;

pub use basis::Basis;
pub use differentiable::Differentiable;
pub use error::{Error, Result};
pub use fields::Fields;
pub use grid::Grid;
pub use law::{GaussianField, InputLaw, TwoValues};
pub use layout::{Layout, Part, Rows};
pub use linearised::{Linearisable, Linearised};
pub use param::Param;
pub use pde::{Channel, DIMENSIONLESS, Pde, Solution, SolveReport, generate};
pub use warning::{Warning, WarningKind};
