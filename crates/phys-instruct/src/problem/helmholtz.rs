//! The record of Helmholtz's equation.

use phys_instruct_physics::helmholtz::Helmholtz;

use super::Problem;
use crate::residual::helmholtz::HelmholtzResidual;

pub(super) fn problem() -> Problem {
    Problem::of(|pde: &Helmholtz, grid, device| Ok(Box::new(HelmholtzResidual::new(pde.k, grid, device)?)))
        // DiffusionPDE, in two of its versions.
        .with_arrays("f_data", "psi_data")
        .with_arrays("f_data", "phi_data")
}
