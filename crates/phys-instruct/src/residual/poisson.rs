//! Residual of the Poisson problem: R = lap u - a at the inner nodes, with the five-point
//! Laplacian. On the boundary u = 0 is imposed, and a sample's values there are not used. The
//! source term is a.

use burn::tensor::{Device, Tensor};
use phys_instruct_physics::Grid;
use phys_instruct_physics::poisson::Poisson;

use super::helmholtz::HelmholtzResidual;
use super::{LinearSolution, Residual, ResidualOptions, ResidualTerms};
use crate::Result;

/// The names of input and solution in the files of DiffusionPDE.
pub(crate) const ARRAYS: [[&str; 2]; 1] = [["f_data", "phi_data"]];

/// The residual of `pde` on a grid.
///
/// # Errors
/// Fails as [`PoissonResidual::new`] does.
pub(crate) fn residual(_: &Poisson, grid: Grid, device: &Device) -> Result<Box<dyn Residual>> {
    Ok(Box::new(PoissonResidual::new(grid, device)?))
}

/// The residual of (a, u), `[batch, 2, y, x]`.
#[derive(Debug, Clone)]
pub struct PoissonResidual(HelmholtzResidual);

impl PoissonResidual {
    /// The residual on a grid of at least 3 x 3 nodes.
    ///
    /// # Errors
    /// Fails for a smaller grid.
    pub fn new(grid: Grid, device: &Device) -> Result<Self> {
        Ok(Self(HelmholtzResidual::new(0.0, grid, device)?))
    }
}

impl Residual for PoissonResidual {
    fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms {
        self.0.terms(x, options)
    }

    fn damping(&self) -> Option<f64> {
        self.0.damping()
    }

    fn solution(&self) -> Option<&dyn LinearSolution> {
        self.0.solution()
    }
}
