//! Grids, random fields, the five partial differential equations and their reference solvers.
//!
//! Everything here is `f64` and knows nothing of machine learning or files. One PDE is one file:
//! its equation, parameters, random input and reference solver, behind the trait [`Pde`].

pub mod anderson;
pub mod burgers;
pub mod darcy;
pub mod differentiable;
pub mod error;
pub mod etdrk4;
pub mod fields;
pub mod grid;
pub mod helmholtz;
pub mod hermite;
mod input;
pub mod laplacian;
pub mod law;
pub mod layout;
pub mod linearised;
pub mod moments;
pub mod navier_stokes;
pub mod pde;
pub mod poisson;
pub mod random_field;
pub mod registry;
pub mod rng;
mod spectral;
pub mod symmetry;
pub mod transform;
pub mod warning;

pub use differentiable::Differentiable;
pub use error::{Error, Result};
pub use fields::Fields;
pub use grid::Grid;
pub use law::{GaussianField, InputLaw, TwoValues};
pub use layout::{Layout, Part, Rows};
pub use linearised::{Linearisable, Linearised};
pub use pde::{Basis, Channel, Param, Pde, Solution, SolveReport, generate};
pub use warning::{Warning, WarningKind};
