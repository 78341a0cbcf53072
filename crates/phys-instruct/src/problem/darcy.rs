//! The record of Darcy flow.

use phys_instruct_physics::darcy::Darcy;

use super::Problem;
use crate::residual::darcy::DarcyResidual;

pub(super) fn problem() -> Problem {
    Problem::of(|pde: &Darcy, grid, device| Ok(Box::new(DarcyResidual::new(pde, grid, device)?)))
        // DiffusionPDE, PDEBench, and the Fourier neural operator.
        .with_arrays("thresh_a_data", "thresh_p_data")
        .with_arrays("nu", "tensor")
        .with_arrays("coeff", "sol")
}
