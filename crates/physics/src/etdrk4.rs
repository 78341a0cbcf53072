//! Exponential time differencing of order 4 for v' = -decay v + N(v), mode by mode.
//!
//! The decay is integrated exactly, so that it puts no bound on the time step (Cox and Matthews,
//! "Exponential time differencing for stiff systems", J. Comput. Phys. 176, 2002). The coefficients
//! of the scheme are moments of the exponential. They are computed without the cancellation that
//! Kassam and Trefethen (SIAM J. Sci. Comput. 26, 2005) avoid by contour integrals.

use rustfft::num_complex::Complex;

use crate::hermite::Nonlinear;
use crate::moments::moments;

/// The largest number of time steps of one solution. The benchmarks take hundreds, and a million
/// take minutes on their grids. An input that asks for more is treated as a mistake.
pub(crate) const MOST_STEPS: usize = 1_000_000;

/// The weights of one mode for one time step.
///
/// The mode has the value v before the step, and a rate of change of N(v) beside its decay. Its
/// values at the two stages in the middle are a and b, and c at the end:
///
/// ```text
/// a = half v + stage N(v)
/// b = half v + stage N(a)
/// c = half a + stage (2 N(b) - N(v))
/// v <- full v + outer[0] N(v) + outer[1] (N(a) + N(b)) + outer[2] N(c)
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// The share of v that remains after the step: e^(-decay h).
    pub full: f64,
    /// The share of v that remains after half the step: e^(-decay h / 2).
    pub half: f64,
    /// The weight of N in a stage: the contribution of a constant N = 1 within half a step.
    pub stage: f64,
    /// Weights of N at the start, at each of the two stages at the middle, and at the end.
    pub outer: [f64; 3],
}

impl Weights {
    /// Returns the weights of a mode that decays at the rate `decay` >= 0, over a time `step` > 0.
    pub fn new(decay: f64, step: f64) -> Self {
        let z = decay * step;
        let [m0, m1, m2, _] = moments(z);
        let outer = [m0 - 3.0 * m1 + 2.0 * m2, 2.0 * (m1 - m2), 2.0 * m2 - m1];
        Self {
            full: (-z).exp(),
            half: (-0.5 * z).exp(),
            stage: 0.5 * step * moments(0.5 * z)[0],
            outer: outer.map(|w| w * step),
        }
    }
}

/// The method for one set of decay rates and one time step.
#[derive(Debug, Clone)]
pub struct Etdrk4 {
    weights: Vec<Weights>,
    /// N at the start and at the stages a, b and c.
    rates: [Vec<Complex<f64>>; 4],
    /// The stages a, b and c of the current step.
    stages: [Vec<Complex<f64>>; 3],
}

impl Etdrk4 {
    /// Returns the method for steps of length `step`, for modes that decay at the rates `decay` >=
    /// 0.
    pub fn new(decay: &[f64], step: f64) -> Self {
        let zeros = vec![Complex::default(); decay.len()];
        Self {
            weights: decay.iter().map(|&d| Weights::new(d, step)).collect(),
            rates: std::array::from_fn(|_| zeros.clone()),
            stages: std::array::from_fn(|_| zeros.clone()),
        }
    }

    /// Advances `state` by one step; `nonlinear(v, out)` writes N(v) to `out`.
    pub fn step(
        &mut self,
        state: &mut [Complex<f64>],
        mut nonlinear: impl FnMut(&[Complex<f64>], &mut [Complex<f64>]),
    ) {
        self.evaluate_stages(state, &mut nonlinear);
        let Self { weights, rates: [n0, na, nb, nc], stages: [_, _, c] } = self;

        nonlinear(c, nc);
        for (k, w) in weights.iter().enumerate() {
            let [first, middle, last] = w.outer;
            state[k] = state[k] * w.full + n0[k] * first + (na[k] + nb[k]) * middle + nc[k] * last;
        }
    }

    /// Computes the stages a, b and c of a step from `state`, and N at all of them but c.
    fn evaluate_stages(
        &mut self,
        state: &[Complex<f64>],
        nonlinear: &mut impl FnMut(&[Complex<f64>], &mut [Complex<f64>]),
    ) {
        let Self { weights, rates: [n0, na, nb, _], stages: [a, b, c] } = self;

        nonlinear(state, n0);
        for (k, w) in weights.iter().enumerate() {
            a[k] = state[k] * w.half + n0[k] * w.stage;
        }

        nonlinear(a, na);
        for (k, w) in weights.iter().enumerate() {
            b[k] = state[k] * w.half + na[k] * w.stage;
        }

        nonlinear(b, nb);
        for (k, w) in weights.iter().enumerate() {
            c[k] = a[k] * w.half + (nb[k] * 2.0 - n0[k]) * w.stage;
        }
    }
}

impl Etdrk4 {
    /// Applies the adjoint of `steps` steps from `start`. On entry `pulls` are gradients with
    /// respect to the state after the steps; on return they are gradients with respect to `start`.
    pub(crate) fn pull_back(
        &mut self,
        law: &mut impl Nonlinear,
        start: Vec<Complex<f64>>,
        steps: usize,
        pulls: &mut [Vec<Complex<f64>>],
    ) {
        // The forward states are kept: each step's adjoint needs N' at its own stages.
        let mut states = vec![start];
        for k in 1..steps {
            let mut next = states[k - 1].clone();
            self.step(&mut next, |v, rate| law.rate(v, rate));
            states.push(next);
        }

        states.iter().rev().for_each(|state| self.pull_step(law, state, pulls));
    }

    /// Applies the adjoint of one step from `state` to every gradient of `pulls`.
    fn pull_step(
        &mut self,
        law: &mut impl Nonlinear,
        state: &[Complex<f64>],
        pulls: &mut [Vec<Complex<f64>>],
    ) {
        self.evaluate_stages(state, &mut |v, rate| law.rate(v, rate));
        let Self { weights: w, stages: [a, b, c], .. } = self;

        // N'(at)^T of every gradient; N is evaluated once at each stage.
        let mut through = |at: &[Complex<f64>], y: Vec<Vec<Complex<f64>>>| {
            let mut out = vec![Complex::default(); at.len()];
            law.rate(at, &mut out);
            let one = |y: Vec<_>| {
                law.pull_back(&y, &mut out);
                out.clone()
            };
            y.into_iter().map(one).collect::<Vec<_>>()
        };

        let y = &*pulls;
        let outer = |of: usize, i: usize, k: usize| y[i][k] * w[k].outer[of];

        // The chain rule in the reverse order of the stages: c, b, a, then the state.
        let of_c = through(c, each(y, |i, k| outer(2, i, k)));
        let to_b = |i: usize, k: usize| outer(1, i, k) + of_c[i][k] * (2.0 * w[k].stage);
        let of_b = through(b, each(y, to_b));
        let to_a = |i: usize, k: usize| outer(1, i, k) + of_b[i][k] * w[k].stage;
        let from_a = through(a, each(y, to_a));

        let of_a = each(y, |i, k| of_c[i][k] * w[k].half + from_a[i][k]);

        let first = |i: usize, k: usize| (of_a[i][k] - of_c[i][k]) * w[k].stage;
        let from_state = through(state, each(y, |i, k| outer(0, i, k) + first(i, k)));

        let halves = |i: usize, k: usize| (of_a[i][k] + of_b[i][k]) * w[k].half;
        let all = each(y, |i, k| y[i][k] * w[k].full + halves(i, k) + from_state[i][k]);
        pulls.iter_mut().zip(all).for_each(|(pull, all)| *pull = all);
    }
}

/// Returns `of(i, k)` for every mode k of every gradient i.
fn each(
    like: &[Vec<Complex<f64>>],
    of: impl Fn(usize, usize) -> Complex<f64>,
) -> Vec<Vec<Complex<f64>>> {
    let one = |(i, like): (usize, &Vec<_>)| (0..like.len()).map(|k| of(i, k)).collect();
    like.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// v' = -v + v^2 has the solution v0 / (v0 + (1 - v0) e^t).
    #[test]
    fn the_method_has_order_four() {
        let error = |steps: usize| {
            let mut method = Etdrk4::new(&[1.0], 1.0 / steps as f64);
            let mut v = [Complex::new(0.6, 0.0)];
            for _ in 0..steps {
                method.step(&mut v, |v, out| out[0] = v[0] * v[0]);
            }
            (v[0].re - 0.6 / (0.6 + 0.4 * 1f64.exp())).abs()
        };
        let order = (error(8) / error(16)).log2();
        assert!((3.8..4.3).contains(&order), "order {order}");
    }

    #[test]
    fn a_constant_rate_is_integrated_exactly_however_stiff() {
        let mut method = Etdrk4::new(&[1e4], 0.5);
        let mut v = [Complex::new(1.0, 0.0)];
        method.step(&mut v, |_, out| out[0] = Complex::new(2e4, 0.0));
        assert!((v[0].re - 2.0).abs() < 1e-13, "{}", v[0].re);
    }
}
