//! Differentiable PDE residuals, one file per PDE.
//!
//! Each residual uses the true grid spacing and the discretisation of the reference solver, so that
//! held-out reference data has almost none.
//!
//! A PDE's file also has what [`crate::problem`] builds its record of: a function `residual` and
//! the list `ARRAYS`.

use burn::tensor::Tensor;
use phys_instruct_physics::hermite::Collocation;
use phys_instruct_physics::with_pdes;

macro_rules! modules {
    ($($module:ident::$pde:ident),* $(,)?) => { $(pub mod $module;)* };
}
with_pdes!(modules);

pub mod operator;

/// A residual, and the size of the term by which it is divided.
pub struct ResidualTerms {
    /// The residual field(s), `[batch, equation, y, x]`, in the units of the source term. They are
    /// zero where the equation does not hold (boundary nodes).
    pub residual: Tensor<4>,
    /// The RMS of the source term, or of the largest term if there is no source, `[batch]`. It is
    /// taken over the same points as the residual and detached from the graph.
    pub scale: Tensor<1>,
    /// The number of points per sample at which the equation holds.
    pub points: usize,
}

/// A constant that keeps the root differentiable at a residual of exactly zero.
const TINY: f64 = 1e-30;

impl ResidualTerms {
    /// The relative RMS residual of each sample, `[batch]`.
    pub fn relative(&self) -> Tensor<1> {
        (mean_square(&self.residual, self.points) + TINY).sqrt() / self.scale.clone()
    }

    /// The squared relative residual of each sample, `[batch]`, which guidance minimises.
    pub fn relative_square(&self) -> Tensor<1> {
        mean_square(&self.residual, self.points) / (self.scale.clone() * self.scale.clone())
    }
}

/// The mean square of each sample's field over `points` points, `[batch]`.
fn mean_square(field: &Tensor<4>, points: usize) -> Tensor<1> {
    let [batch, ..] = field.dims();
    let squared = field.clone() * field.clone();
    squared.reshape([batch as i32, -1]).sum_dim(1).squeeze_dim::<1>(1) / points as f64
}

/// The treatment of the sample by a residual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResidualOptions {
    /// Detaches the input part (coefficient, source or initial condition). The gradient then pulls
    /// the solution to the input and not the reverse.
    pub detach_input: bool,
    /// Returns P^-1 R instead of R, where P is the constant-coefficient operator. The scale is then
    /// that of P^-1 of the source (or of the largest term).
    pub preconditioned: bool,
}

/// The solution of a linear equation as a linear map of its input, so that a zero input has a zero
/// solution. Both are whole channels.
pub trait LinearSolution: Send + Sync {
    /// The solution's channels for an input's, both `[batch, channel, y, x]`.
    fn of(&self, input: Tensor<4>) -> Tensor<4>;

    /// The transposed map, from the space of solutions to the space of inputs.
    fn transposed(&self, solution: Tensor<4>) -> Tensor<4>;
}

/// The differentiable residual of one PDE on one grid.
pub trait Residual: Send + Sync {
    /// The residual of samples `x`, `[batch, channel, y, x]`, in physical units.
    fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms;

    /// The factor w of the steps u <- u - w P^-1 R on which [`crate::polish`] builds; none if these
    /// steps, accelerated, are not known to converge.
    fn damping(&self) -> Option<f64> {
        None
    }

    /// The equations of an evolution's snapshots, which [`crate::polish`] solves one after the
    /// other; none for other PDEs.
    fn collocation(&self) -> Option<&dyn Collocation> {
        None
    }

    /// The solution of a linear equation, if it is cheap to compute.
    fn solution(&self) -> Option<&dyn LinearSolution> {
        None
    }
}
