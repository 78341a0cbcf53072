//! Residual of the Poisson problem: R = lap u - a at the inner nodes, five-point, u = 0 on the
//! boundary (imposed: a sample's values there are not used). Source term: a.

use burn::tensor::{Device, Tensor};

use super::helmholtz::HelmholtzResidual;
use super::{LinearSolution, Residual, ResidualOptions, ResidualTerms};
use crate::Result;

/// The residual of (a, u), `[batch, 2, size, size]`.
#[derive(Debug, Clone)]
pub struct PoissonResidual(HelmholtzResidual);

impl PoissonResidual {
    /// For grids of `size` nodes a side, at least 3.
    ///
    /// # Errors
    /// A smaller grid.
    pub fn new(size: usize, device: &Device) -> Result<Self> {
        Ok(Self(HelmholtzResidual::new(0.0, size, device)?))
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
