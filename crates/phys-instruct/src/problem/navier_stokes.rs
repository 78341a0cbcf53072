//! The record of the Navier-Stokes equation.

use phys_instruct_physics::navier_stokes::NavierStokes;

use super::Problem;
use crate::residual::navier_stokes::NavierStokesResidual;

pub(super) fn problem() -> Problem {
    Problem::of(|pde: &NavierStokes, grid, device| Ok(Box::new(NavierStokesResidual::new(pde, grid, device)?)))
        // DiffusionPDE, the Fourier neural operator, and copies of its data.
        .with_arrays("w0", "w")
        .with_arrays("a", "u")
        .with_arrays("input", "output")
}
