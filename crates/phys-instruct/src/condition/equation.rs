//! A linear equation as a map on tensors: from an input to the pair of the equation.
//!
//! The sweeps u <- u - w P^-1 R(a, u) of [`crate::polish`], without its acceleration: so they are
//! linear in (a, u) and differentiable. Each takes away all but a fixed share of what is wrong: nothing
//! is left of it where P is the whole operator, as for Poisson and Helmholtz of small k; with the Laplacian
//! as P k^2 / (2 pi^2) for Helmholtz of larger k.

use burn::tensor::{Device, Tensor};
use phys_instruct_physics::Pde;

use crate::Result;
use crate::diffusion::noise::Draw;
use crate::residual::{self, Residual, ResidualOptions};

/// The equation holds where |P^-1 R| is below this share of |P^-1| of the source.
const SETTLED: f32 = 1e-5;
/// Sweeps, at most.
const MOST: usize = 20;

/// A linear equation that some sweeps solve.
pub struct Equation {
    residual: Box<dyn Residual>,
    damping: f64,
    sweeps: usize,
}

impl Equation {
    /// That of `pde` on grids of `size` points a side; none where it is not linear or sweeps do not
    /// solve it.
    ///
    /// # Errors
    /// As [`residual::build`].
    pub fn of(pde: &dyn Pde, size: usize, device: &Device) -> Result<Option<Self>> {
        let residual = residual::build(pde, size, device)?;
        let Some(damping) = residual.damping().filter(|_| residual.is_linear()) else {
            return Ok(None);
        };
        let draw = Draw { seed: 0, stream: "equation", step: 0, first: 0 };
        let mut x = draw.normal([1, pde.channels().len(), size, size], device);
        let mut equation = Self { residual, damping, sweeps: 0 };
        while equation.error(&x) > SETTLED && equation.sweeps < MOST {
            x = equation.swept(x);
            equation.sweeps += 1;
        }
        let solves = equation.error(&x) <= SETTLED;
        Ok(Some(equation).filter(|_| solves))
    }

    /// The samples `x` `[batch, channel, y, x]` with their solution replaced by that of the equation
    /// for their input.
    pub fn solved(&self, x: Tensor<4>) -> Tensor<4> {
        (0..self.sweeps).fold(x, |x, _| self.swept(x))
    }

    fn swept(&self, x: Tensor<4>) -> Tensor<4> {
        let step = self.residual.terms(x.clone(), PRECONDITIONED).residual * -self.damping;
        // The solution's channels are the last.
        let solution = step.dims()[1];
        let first = x.dims()[1] - solution;
        let moved = x.clone().narrow(1, first, solution) + step;
        Tensor::cat(vec![x.narrow(1, 0, first), moved], 1)
    }

    fn error(&self, x: &Tensor<4>) -> f32 {
        self.residual.terms(x.clone(), PRECONDITIONED).relative().max().into_scalar()
    }
}

const PRECONDITIONED: ResidualOptions =
    ResidualOptions { detach_input: false, round_input: false, preconditioned: true };

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::TensorData;
    use phys_instruct_physics::helmholtz::Helmholtz;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::eval::testing::samples_from;
    use crate::net::params::values;

    const SIZE: usize = 17;

    #[test]
    fn solutions_are_the_reference_solvers() {
        let mut helmholtz = Helmholtz::default();
        helmholtz.set_param("k", 3.16).unwrap();
        let sweeps = |pde: &dyn Pde| {
            let equation = Equation::of(pde, SIZE, &Device::flex()).unwrap().unwrap();
            let samples = samples_from(pde, 2, SIZE, 1);
            let shape = [2, 2, SIZE, SIZE];
            let x = Tensor::<4>::from_data(TensorData::new(samples.data, shape), &Device::flex());
            let u = x.clone().narrow(1, 1, 1);
            let unsolved = Tensor::cat(vec![x.clone().narrow(1, 0, 1), u.zeros_like()], 1);
            let far = values((equation.solved(unsolved) - x).abs().max())[0];
            let size = values(u.abs().max())[0];
            assert!(far < 1e-4 * size, "{}: {far} of {size}", pde.name());
            equation.sweeps
        };
        let poisson = sweeps(by_name("poisson").unwrap().as_ref());
        assert!(poisson < sweeps(&helmholtz));
    }

    #[test]
    fn only_linear_equations_whose_sweeps_converge_are_taken() {
        let mut resonant = Helmholtz::default();
        resonant.set_param("k", 4.4).unwrap();
        let taken = |pde: &dyn Pde| Equation::of(pde, SIZE, &Device::flex()).unwrap().is_some();
        assert!(!taken(&resonant));
        for name in ["darcy", "navier-stokes", "burgers"] {
            assert!(!taken(by_name(name).unwrap().as_ref()), "{name}");
        }
    }

    #[test]
    fn the_gradient_is_the_transpose() {
        let pde = by_name("helmholtz").unwrap();
        let equation = Equation::of(pde.as_ref(), SIZE, &Device::flex()).unwrap().unwrap();
        let draw = |step| {
            let draw = Draw { seed: 5, stream: "fields", step, first: 0 };
            draw.normal([1, 2, SIZE, SIZE], &Device::flex())
        };
        let [x, y] = [draw(0), draw(1)];
        let forward = (equation.solved(x.clone()) * y.clone()).sum().into_scalar::<f32>();
        let leaf = x.zeros_like().autodiff().require_grad();
        let product = (equation.solved(leaf.clone()) * y).sum();
        let back = leaf.grad(&product.backward()).unwrap();
        let backward = (back.inner() * x).sum().into_scalar::<f32>();
        assert!((forward - backward).abs() < 1e-4 * forward.abs(), "{forward} {backward}");
    }
}
