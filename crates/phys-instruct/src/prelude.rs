//! The names that most programs need: `use phys_instruct::prelude::*`.

pub use crate::condition::{
    Answer, Lattice, Method, Observation, Observations, Posterior, Question, Solver, Task,
};
pub use crate::data::Watch;
pub use crate::eval::physics::pde_error;
pub use crate::physics::{Grid, Pde};
pub use crate::problem::Problem;
pub use crate::residual::{Residual, ResidualOptions, ResidualTerms};
pub use crate::sampling::{SampleOptions, sample};
pub use crate::{Config, Model, Samples, data, device, problem, residual};
pub use burn::tensor::{Device, Tensor};
