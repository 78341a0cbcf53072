//! Inference in the student's noise space.
//!
//! The student G maps standard normal noise z to a physical pair. The observations are v = H G(z) +
//! e, where H takes the observed values and S is the covariance of the errors e. The posterior of z
//! is proportional to exp(-|z|^2 / 2 - |S^-1/2 (H G(z) - v)|^2 / 2).
//!
//! It is sampled by randomised maximum likelihood (Oliver, He and Reynolds 1996), which is exact
//! where G is linear. Each member of an ensemble draws its own noise z' and errors e' of the
//! observations ([`Aim`]), and minimises
//!
//! ```text
//! |z - z'|^2 / 2 + |S^-1/2 (H G(z) - v - e')|^2 / 2.
//! ```
//!
//! S includes the student's own error; e' does not. Let W = S^-1/2 H dG/dz, and let the misfit be
//! r = S^-1/2 (v + e' - H G(z)). A Gauss-Newton step is
//!
//! ```text
//! z <- z' + W^T l,    (W W^T + I) l = r + W (z - z').
//! ```
//!
//! The system has the size of the observations. It is solved by conjugate gradients,
//! preconditioned with the prior's covariance in place of that at z. Products with W^T are
//! backward passes; products with W are differences of two forward passes.

use burn::tensor::Tensor;
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_physics::{Grid, Pde};

use crate::Result;
use crate::condition::methods::aim::Aim;
use crate::condition::methods::{Drawn, Given, Inference, Options, of_all};
use crate::condition::observations::observed::{Observed, row};
use crate::condition::prior::Prior;
use crate::condition::{Observation, Observations};
use crate::net::gradient::gradient;
use crate::team::Team;

/// The length of the finite difference for a derivative, in units of standard normal noise.
const DIFFERENCE: f64 = 0.1;
/// The lengths of a step that are tried in turn until the cost falls.
const LENGTHS: [f64; 3] = [1.0, 0.3, 0.1];

/// The most observations for which it is the method of choice: its matrices have their square.
const MOST_POINTS: usize = 1000;
/// The number of conjugate-gradient iterations of a step.
const ITERATIONS: usize = 8;
/// The standard deviation of the student's own error, in units of each channel's deviation.
const MODEL_ERROR: f64 = 0.02;

/// Gauss-Newton steps in the student's noise.
pub(super) struct NoiseSpace;

impl Inference for NoiseSpace {
    /// Suits a PDE without an equation: the student's own map from noise to pairs is all there is,
    /// and its slopes are local. Elsewhere other methods are faster. It fails where the network
    /// maps noise to jumps (Darcy).
    fn suits(&self, pde: &dyn Pde, _: Grid, observations: &Observations) -> bool {
        !pde.has_solver() && observations.points().len() <= MOST_POINTS
    }

    fn differentiates(&self) -> bool {
        true
    }

    fn draw(&self, given: &Given, options: &Options) -> Result<Drawn> {
        let Given { student, observations, .. } = *given;
        let (observed, aim) = (given.observed(), given.aim(options));
        let deviation =
            |p: &Observation| p.deviation().hypot(MODEL_ERROR * given.deviations[p.channel]);
        let deviations = row(observations, deviation, &student.device());
        let gain = given.gain(&given.variances(MODEL_ERROR))?;

        let target = aim.values.clone();
        let squares = LeastSquares {
            prior: student,
            observed: &observed,
            weights: deviations.clone().recip(),
            preconditioner: gain.inverse() * deviations.clone() * deviations.swap_dims(0, 1),
            aim,
            iterations: ITERATIONS,
            team: given.team,
        };
        let state = in_pool(|| squares.step(squares.start()))?;

        // The student's model error is no error of the observations: the last step aims at the
        // values alone.
        let left = target - observed.of(state.x.clone());
        let exact = gain.with(&given.variances(given.exact()))?;
        let x = state.x + exact.apply(left)?;
        given.drawn(of_all(given.team, options.ensemble, x)?, state.calls)
    }
}

/// The least-squares problems of this process's members.
struct LeastSquares<'a> {
    pub prior: &'a dyn Prior,
    pub observed: &'a Observed,
    /// 1 / standard deviation of the observations, model error included: `[1, point]`.
    pub weights: Tensor<2>,
    /// An approximate inverse of W W^T + I, `[point, point]`.
    pub preconditioner: Tensor<2>,
    /// The members' own noise z', and the values at which they aim.
    pub aim: Aim,
    /// The number of conjugate-gradient iterations of a step.
    pub iterations: usize,
    /// The processes that draw the members.
    pub team: &'a Team,
}

/// The state of the members.
struct State {
    /// The noise, `[member, channel, y, x]`.
    pub z: Tensor<4>,
    /// The fields G(z).
    pub x: Tensor<4>,
    /// Network calls per member so far.
    pub calls: usize,
}

impl LeastSquares<'_> {
    /// The start: every member at its own noise z'.
    pub fn start(&self) -> State {
        let z = self.aim.noise.clone();
        State { x: self.prior.fields(z.clone()), z, calls: 1 }
    }

    /// Takes one Gauss-Newton step. Members whose cost it does not lower stay where they are.
    pub fn step(&self, State { z, x, calls }: State) -> Result<State> {
        let away = z.clone() - self.aim.noise.clone();
        let misfit = self.misfit(&x);
        let before = cost(&away, &misfit);
        let right = misfit + self.forward(&z, &x, away);
        let step = self.aim.noise.clone() + self.solve(&z, &x, right)? - z.clone();

        let mut own = 1 + 3 * self.iterations;
        let mut next = (z.clone(), x);
        let mut open = before.ones_like();
        // Each member takes the first length that lowers its cost; `open` is 1 for those without
        // one.
        for length in LENGTHS {
            let trial = z.clone() + step.clone() * length;
            let fields = self.prior.fields(trial.clone());
            own += 1;
            let cost = cost(&(trial.clone() - self.aim.noise.clone()), &self.misfit(&fields));
            let lower = cost.lower(before.clone()).float() * open.clone();
            let keep = lower.clone().lower_elem(0.5).reshape([-1, 1, 1, 1]).expand(z.dims());

            // Members that have accepted a length before stay there.
            next = (trial.mask_where(keep.clone(), next.0), fields.mask_where(keep, next.1));
            open = open - lower;
            let some_are_open = open.clone().sum().into_scalar::<f32>() > 0.0;
            // Every member has the same number of calls behind it, whichever process draws it.
            if !self.team.any(some_are_open)? {
                break;
            }
        }
        Ok(State { z: next.0, x: next.1, calls: calls + own })
    }

    /// The misfit in units of the deviations, `[member, point]`.
    fn misfit(&self, x: &Tensor<4>) -> Tensor<2> {
        (self.aim.values.clone() - self.observed.of(x.clone())) * self.weights.clone()
    }

    /// The product W^T l for the solution l of (W W^T + I) l = `right`, by preconditioned conjugate
    /// gradients.
    fn solve(&self, z: &Tensor<4>, x: &Tensor<4>, right: Tensor<2>) -> Result<Tensor<4>> {
        let precondition = |r: &Tensor<2>| r.clone().matmul(self.preconditioner.clone());
        let mut residual = right;
        let mut direction = precondition(&residual);
        let mut product = dot(&residual, &direction);
        let mut shift = z.zeros_like();

        for _ in 0..self.iterations {
            let back = self.backward(z, direction.clone())?;
            let image = self.forward(z, x, back.clone()) + direction.clone();
            let length = product.clone() / dot(&direction, &image).clamp_min(1e-30);
            shift = shift + back * length.clone().reshape([-1, 1, 1, 1]);
            residual = residual - image * length;
            let conditioned = precondition(&residual);
            let next = dot(&residual, &conditioned);
            direction = conditioned + direction * (next.clone() / product.clamp_min(1e-30));
            product = next;
        }
        Ok(shift)
    }

    /// The product of W and `w`, by a finite difference: the change of the weighted observed values
    /// at `z` along `w`.
    fn forward(&self, z: &Tensor<4>, x: &Tensor<4>, w: Tensor<4>) -> Tensor<2> {
        let norm = w.clone().square().sum_dims(&[1, 2, 3]).sqrt();
        let h = norm.clamp_min(1e-12).recip() * DIFFERENCE;
        let moved = self.prior.fields(z.clone() + w * h.clone());
        let change = self.observed.of(moved) - self.observed.of(x.clone());
        change * self.weights.clone() / h.reshape([-1, 1])
    }

    /// The product W^T l, by one backward pass.
    fn backward(&self, z: &Tensor<4>, l: Tensor<2>) -> Result<Tensor<4>> {
        let leaf = z.clone().autodiff().require_grad();
        let seen = self.observed.of(self.prior.fields(leaf.clone()));
        let product = (seen * (l * self.weights.clone())).sum();
        gradient("what is observed", &product, &leaf)
    }
}

/// |away|^2 / 2 + |misfit|^2 / 2 of each member, `[member, 1]`.
fn cost(away: &Tensor<4>, misfit: &Tensor<2>) -> Tensor<2> {
    let away = away.clone().flatten::<2>(1, 3);
    (dot(&away, &away) + dot(misfit, misfit)) * 0.5
}

/// The inner product of each member's vectors, `[member, 1]`.
fn dot(a: &Tensor<2>, b: &Tensor<2>) -> Tensor<2> {
    (a.clone() * b.clone()).sum_dim(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::condition::observations::observed::row;
    use crate::condition::prior::covariance::Covariance;
    use crate::diffusion::noise::Draw;
    use crate::net::params::values;
    use crate::testing::prior::{SIZE, Smooth, observations};

    const MEMBERS: usize = 3;

    fn with_squares(iterations: usize, check: impl Fn(&LeastSquares)) {
        let (prior, device) = (Smooth::new(), Device::flex());
        let observations = observations(4, 20, 0.1);
        let observed = Observed::new(&observations, &device);
        let deviations = row(&observations, |p| p.deviation(), &device);
        let square = |p: &crate::condition::Observation| p.deviation().powi(2);
        let variances: Vec<f64> = observations.points().iter().map(square).collect();
        let covariance = Covariance::new(&prior, 1).unwrap();
        let gain = covariance.gain(&prior, observations.stencils(), &variances).unwrap();
        check(&LeastSquares {
            prior: &prior,
            observed: &observed,
            weights: deviations.clone().recip(),
            preconditioner: gain.inverse() * deviations.clone() * deviations.swap_dims(0, 1),
            aim: Aim::draw(&prior, &observations, 0..MEMBERS, 9),
            iterations,
            team: &Team::ALONE,
        });
    }

    #[test]
    fn products_with_a_and_its_transpose_are_adjoint() {
        with_squares(1, |squares| {
            let State { z, x, .. } = squares.start();
            let draw = Draw { seed: 2, stream: "w", step: 0, first: 0 };
            let w = draw.normal(z.dims(), &Device::flex());
            let l = draw.normal([MEMBERS, 1, 1, 20], &Device::flex()).reshape([MEMBERS, 20]);
            let one = values(dot(&squares.forward(&z, &x, w.clone()), &l));
            let other = squares.backward(&z, l).unwrap().flatten::<2>(1, 3);
            let other = values(dot(&w.flatten::<2>(1, 3), &other));
            for (a, b) in one.iter().zip(&other) {
                assert!((a - b).abs() < 2e-3 * b.abs().max(1.0), "{a} {b}");
            }
        });
    }

    /// The rows of the toy's linear map A, from its transpose.
    fn rows(squares: &LeastSquares) -> Tensor<2> {
        let one = |i: usize| {
            let mut unit = vec![0f32; 20];
            unit[i] = 1.0;
            let unit = Tensor::<2>::from_data(TensorData::new(unit, [1, 20]), &Device::flex());
            let z = Tensor::zeros([1, 1, SIZE, SIZE], &Device::flex());
            squares.backward(&z, unit).unwrap().flatten::<2>(1, 3)
        };
        Tensor::cat((0..20).map(one).collect(), 0)
    }

    #[test]
    fn on_a_linear_prior_one_step_is_the_exact_posterior() {
        with_squares(15, |squares| {
            let state = squares.step(squares.start()).unwrap();
            // A^T times the misfit of the solution equals the distance from the start where the
            // gradient is 0.
            let away = (state.z - squares.aim.noise.clone()).flatten::<2>(1, 3);
            let expected = squares.misfit(&state.x).matmul(rows(squares));
            let error = (away.clone() - expected).square().mean().into_scalar::<f32>().sqrt();
            let size = away.square().mean().into_scalar::<f32>().sqrt();
            assert!(error < 0.01 * size, "{error} of {size}");
            assert_eq!(state.calls, 1 + 1 + 3 * 15 + 1);
        });
    }
}
