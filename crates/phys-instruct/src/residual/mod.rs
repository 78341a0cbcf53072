//! Differentiable PDE residuals, one file per PDE.
//!
//! Each residual uses the true grid spacing and the discretisation of the reference solver, so that
//! held-out reference data has almost none.

use burn::tensor::{Device, Tensor};
use phys_instruct_physics::hermite::Collocation;
use phys_instruct_physics::{Grid, Pde};

use crate::{Result, problem};

pub mod burgers;
#[cfg(test)]
mod collocations;
pub mod darcy;
pub mod helmholtz;
pub mod navier_stokes;
pub mod operator;
pub mod poisson;
#[cfg(test)]
mod testing;

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
    /// Rounds a two-valued input (Darcy's coefficient) to the nearer of its values, which detaches
    /// it too. Noise of a few percent of the higher value may be many times the lower one.
    pub round_input: bool,
    /// Returns P^-1 R instead of R, where P is the constant-coefficient operator. The scale is then
    /// that of P^-1 of the source (or of the largest term).
    pub preconditioned: bool,
}

/// The solution of a linear equation as a linear map of its input, so that a zero input has a zero
/// solution. The first channels of a sample are the input, on the full grid, and all others the
/// solution.
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

    /// The samples `x` with a two-valued input rounded to the nearer of its values.
    fn rounded(&self, x: Tensor<4>) -> Tensor<4> {
        x
    }

    /// The input part of `x` (coefficient, source or initial condition), which the solver is given.
    fn input(&self, x: Tensor<4>) -> Tensor<4> {
        x.narrow(1, 0, 1)
    }
}

/// The residual of `pde`, with its current parameters, on a grid.
///
/// # Errors
/// Fails for a PDE without a residual, and for a grid on which it cannot be posed.
pub fn build(pde: &dyn Pde, grid: Grid, device: &Device) -> Result<Box<dyn Residual>> {
    pde.check_grid(grid)?;
    problem::find(pde.name())?.residual(pde, grid, device)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use phys_instruct_physics::generate;

    #[test]
    fn the_residual_is_built_with_the_present_parameters() {
        for (name, param) in [
            ("poisson", None),
            ("helmholtz", Some(("k", 3.0))),
            ("darcy", Some(("source", 3.0))),
            ("darcy", Some(("boundary", 1.0))),
        ] {
            let mut pde = problem::by_name(name).unwrap();
            if let Some((param, value)) = param {
                pde.set_param(param, value).unwrap();
            }
            let residual = build(pde.as_ref(), Grid::square(64), &Device::flex()).unwrap();
            let samples = generate(pde.as_ref(), Grid::square(64), 1, 0..2).unwrap();
            let floor = testing::relative(residual.as_ref(), &samples, false);
            assert!(floor < 1e-4, "{name}: {floor}");
        }
    }

    /// The discretisation is the solver's own: on another rectangle the same samples have a large
    /// residual.
    #[test]
    fn reference_data_on_a_rectangle_has_almost_no_residual() {
        for name in problem::names() {
            let mut pde = problem::by_name(&name).unwrap();
            let line = pde.layout().input.is_line();
            let settings: &[f64] = if name == "darcy" { &[0.5, 1.0] } else { &[0.0] };
            let sides = if line { [1.0, 0.6] } else { [0.6, 1.0] };
            let grid = Grid::new([48, 80], sides).unwrap();
            let [ly, lx] = if line { [1.0, 0.62] } else { [0.61, 1.0] };

            for &boundary in settings {
                if boundary > 0.0 {
                    pde.set_param("boundary", boundary).unwrap();
                }
                let samples = generate(pde.as_ref(), grid, 5, 0..4).unwrap();
                let of = |grid: Grid, preconditioned: bool| {
                    let residual = build(pde.as_ref(), grid, &Device::flex()).unwrap();
                    testing::relative(residual.as_ref(), &samples, preconditioned)
                };
                let floors = [false, true].map(|preconditioned| of(grid, preconditioned));
                assert!(floors.iter().all(|f| *f < 3e-4), "{name}: {floors:?}");
                let off = of(Grid { ly, lx, ..grid }, false);
                assert!(off > 3e-3 && off > 30.0 * floors[0], "{name}: {floors:?}, {off}");
            }
        }
    }

    #[test]
    fn evolution_residuals_follow_the_parameters() {
        let cases = [
            ("navier-stokes", "nu", 0.01),
            ("navier-stokes", "forcing", 0.3),
            ("navier-stokes", "time", 0.5),
            ("burgers", "nu", 0.03),
        ];
        for (name, param, value) in cases {
            let mut pde = problem::by_name(name).unwrap();
            let benchmark = build(pde.as_ref(), Grid::square(32), &Device::flex()).unwrap();
            pde.set_param(param, value).unwrap();
            let own = build(pde.as_ref(), Grid::square(32), &Device::flex()).unwrap();
            let samples = generate(pde.as_ref(), Grid::square(32), 1, 0..2).unwrap();
            let [floor, other] =
                [own, benchmark].map(|r| testing::relative(r.as_ref(), &samples, false));
            assert!(floor < 0.02 && other > 10.0 * floor, "{name} {param}: {floor} {other}");
        }
    }
}
