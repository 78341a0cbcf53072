//! The record of Burgers' equation.

use phys_instruct_physics::burgers::Burgers;

use super::Problem;
use crate::residual::burgers::BurgersResidual;

pub(super) fn problem() -> Problem {
    Problem::of(|pde: &Burgers, grid, device| Ok(Box::new(BurgersResidual::new(pde.nu, grid, device)?)))
        // DiffusionPDE and PDEBench: one array holds all times.
        .with_arrays("output", "")
        .with_arrays("tensor", "")
}
