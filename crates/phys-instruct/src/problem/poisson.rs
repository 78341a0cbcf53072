//! The record of Poisson's equation.

use phys_instruct_physics::poisson::Poisson;

use super::Problem;
use crate::residual::poisson::PoissonResidual;

pub(super) fn problem() -> Problem {
    Problem::of(|_: &Poisson, grid, device| Ok(Box::new(PoissonResidual::new(grid, device)?)))
        // DiffusionPDE.
        .with_arrays("f_data", "phi_data")
}
