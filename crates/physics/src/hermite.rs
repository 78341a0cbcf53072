//! Exponential Hermite collocation of v' = -decay v + N(v), mode by mode, over one time step.
//!
//! Let h be the length of the step, v0 the state at its start (t = 0) and v1 the state at its end
//! (t = h). The two are related by the variation of constants, in which an interpolant p(t) takes
//! the place of N along the step:
//!
//! ```text
//! (v1 - e^(-decay h) v0) / h = 1/h int_0^h e^(-decay (h - t)) p(t) dt
//! p(t) = a + b t + e^(-decay t) (c + d t)
//! ```
//!
//! The coefficients a, b, c and d make p agree with N and with dN/dt = N'(v) dv/dt at both ends.
//! Decay and integral are exact, so that the interpolation of N is the only error. The right-hand
//! side has an error of order h^4. (This is Hermite collocation in the exponential quadrature of
//! Hochbruck and Ostermann, "Exponential integrators", Acta Numerica 19, 2010.)
//!
//! The exponential in p is there for stiff modes, those that decay much within the step. N of such
//! a mode is a product of modes that are stiff as well. It falls off as fast as they do at first
//! and varies slowly afterwards. A cubic, to which p tends for slow decay, does not follow this.
//!
//! The derivative dv/dt at the start is -decay v0 + N(v0). The obvious counterpart at the end,
//! -decay v1 + N(v1), would multiply the fine modes of v1 by their decay rates and make the
//! equation stiff in v1. The derivative at the end is therefore that of the path which a simpler
//! interpolant of N leads to ([`Arrival`]). The difference is within the error of p.
//!
//! Given v0, the collocation is a fixed-point equation for v1. A sweep evaluates N at the current
//! v1 and replaces v1 by what the right-hand side gives, accelerated by [`Anderson`]'s method.

use rustfft::num_complex::Complex;

use crate::Fields;
use crate::anderson::Anderson;
use crate::moments::moments;

/// Relative size of a plain sweep's change below which the state counts as converged. It is about
/// the rounding of fields stored in `f32`.
const SETTLED: f64 = 1e-7;

/// Value of decay * step below which p is a cubic. The exponential form tends to it, but its
/// weights divide by a vanishing determinant.
const SLOWEST_FITTED: f64 = 1e-3;

/// The threshold of linear independence that [`Anderson::new`] takes.
const INDEPENDENT: f64 = 1e-8;

/// The snapshots of an evolution as a chain of collocation equations, one for each pair of
/// neighbours.
pub trait Collocation: Send + Sync {
    /// Solves for every snapshot of `sample` but the first, one after the other. Each is brought to
    /// the collocation equation with the snapshot before it by at most `sweeps` sweeps. The
    /// iteration starts from the snapshot's present values; 0 sweeps change nothing.
    fn march(&self, sample: &mut Fields, sweeps: usize);
}

/// The weights of one mode over a step h.
///
/// Let N0, N1 be the values of N and N0', N1' those of dN/dt, at the start and at the end. Then
///
/// ```text
/// (v1 - kept v0) / h = rate[0] N0 + rate[1] N1 + slope[0] N0' + slope[1] N1'
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// The share of v0 that decays within the step, per unit of time: (1 - e^(-decay h)) / h.
    pub lost: f64,
    /// The share of v0 that remains at the end: e^(-decay h).
    pub kept: f64,
    /// Weights of N at the start and at the end.
    pub rate: [f64; 2],
    /// Weights of dN/dt at the start and at the end, which include the factor h.
    pub slope: [f64; 2],
    /// Weights that give dv/dt at the end.
    pub arrival: Arrival,
}

/// The weights that give dv/dt of one mode at the end of a step.
///
/// Along the step N is replaced by the form of p with b = 0 that agrees with N at both ends and
/// with dN/dt at the start. The derivative is that of the path this leads to:
///
/// ```text
/// dv/dt = state v0 + rate[0] N0 + rate[1] N1 + slope N0'
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Weight of v0.
    pub state: f64,
    /// Weights of N at the start and at the end.
    pub rate: [f64; 2],
    /// Weight of dN/dt at the start.
    pub slope: f64,
}

impl Weights {
    /// Returns the weights of a mode that decays at the rate `decay` >= 0, over a time `step` > 0.
    pub fn new(decay: f64, step: f64) -> Self {
        let z = decay * step;
        let moments = moments(z);
        // The cubic's weights need no division; the determinant of the others vanishes with z.
        let (of_p, of_path) = if z < SLOWEST_FITTED {
            (of_cubic(moments), of_parabola(moments))
        } else {
            (of_transient(z, moments), of_fading(z, moments))
        };

        let [rate, slope] = of_p;
        // dv/dt = -decay v + N, with v the end of the path and N1 itself at the end.
        let [first, turn, last] = of_path.map(|w| -z * w);
        let kept = (-z).exp();

        Self {
            lost: decay * moments[0],
            kept,
            rate,
            slope: slope.map(|w| w * step),
            arrival: Arrival {
                state: -decay * kept,
                rate: [first, 1.0 + last],
                slope: turn * step,
            },
        }
    }
}

/// The weights of N0, N1 and of N0', N1' for a cubic p, in time units of the step.
fn of_cubic([m0, m1, m2, m3]: [f64; 4]) -> [[f64; 2]; 2] {
    [[m0 - 3.0 * m2 + 2.0 * m3, 3.0 * m2 - 2.0 * m3], [m1 - 2.0 * m2 + m3, m3 - m2]]
}

/// The weights of N0, N1 and of N0', N1' for p = a + b s + e^(-z s) (c + d s).
///
/// The time s is in units of the step.
///
/// Let D = N1 - N0 - N0' and G = N1' - N0'. Then c and d solve
///
/// ```text
/// (e^-z - 1 + z)  c - (1 - e^-z)           d = D
/// z (1 - e^-z)    c - (1 - e^-z + z e^-z)  d = G
/// ```
fn of_transient(z: f64, [m0, m1, ..]: [f64; 4]) -> [[f64; 2]; 2] {
    let (kept, lost) = ((-z).exp(), -(-z).exp_m1());
    let (bend, turn) = (z - lost, lost + z * kept);
    let determinant = z * lost * lost - bend * turn;

    // The contributions of c and d to the integral, beside N0 m0 + N0' m1.
    let [of_c, of_d] = [1.0 - 2.0 * m0 + kept, 0.5 * kept - m1];
    let of_change = -(turn * of_c + z * lost * of_d) / determinant;
    let of_slopes = (lost * of_c + bend * of_d) / determinant;
    [[m0 - of_change, of_change], [m1 - of_change - of_slopes, of_slopes]]
}

/// The weights of N0, N0' and N1 for a parabola, the limit of [`of_fading`] for slow decay.
fn of_parabola([m0, m1, m2, _]: [f64; 4]) -> [f64; 3] {
    [m0 - m2, m1 - m2, m2]
}

/// The weights of N0, N0' and N1 for a + e^(-z s) (c + d s).
fn of_fading(z: f64, [m0, ..]: [f64; 4]) -> [f64; 3] {
    let kept = (-z).exp();
    let last = (m0 - kept - 0.5 * z * kept) / (-(-z).exp_m1() - z * kept);
    [m0 - last, kept * (0.5 - last), last]
}

/// The nonlinear term of an evolution, in the modes of real fields.
pub(crate) trait Nonlinear {
    /// Writes N(v). Modes that are always zero need not be written.
    fn rate(&mut self, state: &[Complex<f64>], rate: &mut [Complex<f64>]);

    /// Writes N'(v) w for the change w, at the v of the last call of [`Nonlinear::rate`].
    fn slope(&mut self, change: &[Complex<f64>], slope: &mut [Complex<f64>]);

    /// Writes N'(v)^T y, the adjoint in the product Re sum conj(a) b, at the v of the last call of
    /// [`Nonlinear::rate`].
    fn pull_back(&mut self, y: &[Complex<f64>], pulled: &mut [Complex<f64>]);
}

/// A correction that [`Hermite::solve`] calls once. It receives the state before the first sweep
/// and the one after it, and overwrites the latter by one nearer to the solution.
pub(crate) type Nearer<'a> = &'a mut dyn FnMut(&[Complex<f64>], &mut [Complex<f64>]);

/// The collocation equation of one step, with its workspace.
#[derive(Debug, Clone)]
pub(crate) struct Hermite {
    step: f64,
    decay: Vec<f64>,
    weights: Vec<Weights>,
    /// The modes that N changes, each paired with its complex conjugate in a real field.
    moved: Vec<[usize; 2]>,
    /// The part of v1 that v0 alone determines: `kept v0 + h rate[0] N0 + h slope[0] N0'`.
    start: Vec<Complex<f64>>,
    /// The part of dv/dt at the end that v0 alone determines.
    arriving: Vec<Complex<f64>>,
    /// N at the state that was evaluated last.
    rate: Vec<Complex<f64>>,
    /// dv/dt there.
    change: Vec<Complex<f64>>,
    /// dN/dt there.
    slope: Vec<Complex<f64>>,
}

impl Hermite {
    /// Returns the equation for modes that decay at the rates `decay` >= 0, over a time `step` > 0.
    ///
    /// `moved` lists the modes that N changes, as pairs of a mode and its complex conjugate.
    pub fn new(decay: &[f64], step: f64, moved: Vec<[usize; 2]>) -> Self {
        let zeros = vec![Complex::default(); decay.len()];
        Self {
            step,
            decay: decay.to_vec(),
            weights: decay.iter().map(|&d| Weights::new(d, step)).collect(),
            moved,
            start: zeros.clone(),
            arriving: zeros.clone(),
            rate: zeros.clone(),
            change: zeros.clone(),
            slope: zeros,
        }
    }

    /// Solves for `end`, given `start`, by at most `sweeps` sweeps. The correction `nearer` is
    /// called after the first sweep.
    pub fn solve(
        &mut self,
        law: &mut impl Nonlinear,
        start: &[Complex<f64>],
        end: &mut [Complex<f64>],
        sweeps: usize,
        nearer: Option<Nearer>,
    ) {
        self.leave(law, start);
        self.sweep(law, end, sweeps, nearer);
    }

    /// Improves `end` towards the solution of a finer equation, whose plain sweep leads from `end`
    /// to `wanted`.
    ///
    /// An extra term is added to this equation's right-hand side: the difference of the two plain
    /// sweeps at `end`. It is the full approximation scheme of Brandt (Math. Comput. 31, 1977). An
    /// `end` that already solves the finer equation is left unchanged.
    pub fn correct(
        &mut self,
        law: &mut impl Nonlinear,
        start: &[Complex<f64>],
        end: &mut [Complex<f64>],
        wanted: &[Complex<f64>],
        sweeps: usize,
    ) {
        self.leave(law, start);
        let own = self.plain_step(law, end);

        for (&[k, other], &[re, im]) in self.moved.iter().zip(own.as_chunks::<2>().0) {
            let moved = self.start[k] + wanted[k] - end[k] - Complex::new(re, im);
            self.start[other] = moved.conj();
            self.start[k] = moved;
        }

        self.sweep(law, end, sweeps, None);
    }

    /// Iterates `end` towards the fixed point, from the start that [`Hermite::leave`] has set.
    fn sweep(
        &mut self,
        law: &mut impl Nonlinear,
        end: &mut [Complex<f64>],
        sweeps: usize,
        mut nearer: Option<Nearer>,
    ) {
        let mut x = self.values_of(end);
        // Modes that N does not change have no equation: they follow from the decay alone.
        end.copy_from_slice(&self.start);
        self.put(&x, end);

        let mut method = Anderson::new(INDEPENDENT);
        for _ in 0..sweeps {
            let step = self.plain_step(law, end);
            if norm(&step) <= SETTLED * norm(&x) {
                break;
            }

            let first = nearer.take().map(|nearer| (nearer, end.to_vec()));
            method.advance(&mut x, &step);
            self.put(&x, end);
            if let Some((nearer, before)) = first {
                nearer(&before, end);
                x = self.values_of(end);
            }
        }
    }

    /// Computes everything that depends on `start` alone.
    fn leave(&mut self, law: &mut impl Nonlinear, start: &[Complex<f64>]) {
        law.rate(start, &mut self.rate);

        let Self { moved, decay, rate, change, .. } = self;
        write(moved, change, |k| rate[k] - start[k] * decay[k]);
        law.slope(&self.change, &mut self.slope);

        for (k, Weights { kept, rate, slope, arrival, .. }) in self.weights.iter().enumerate() {
            let added = self.rate[k] * rate[0] + self.slope[k] * slope[0];
            self.start[k] = start[k] * *kept + added * self.step;
            let driven = self.rate[k] * arrival.rate[0] + self.slope[k] * arrival.slope;
            self.arriving[k] = start[k] * arrival.state + driven;
        }
    }

    /// Returns the change of the moved modes by one plain sweep from `end`, in the layout of
    /// [`Hermite::values_of`].
    fn plain_step(&mut self, law: &mut impl Nonlinear, end: &[Complex<f64>]) -> Vec<f64> {
        law.rate(end, &mut self.rate);
        let Self { moved, weights, arriving, rate, change, .. } = self;
        write(moved, change, |k| arriving[k] + rate[k] * weights[k].arrival.rate[1]);
        law.slope(&self.change, &mut self.slope);

        let step = |&[k, _]: &[usize; 2]| {
            let w = &self.weights[k];
            let added = self.rate[k] * w.rate[1] + self.slope[k] * w.slope[1];
            let step = self.start[k] + added * self.step - end[k];
            [step.re, step.im]
        };

        self.moved.iter().flat_map(step).collect()
    }

    /// The moved modes as real and imaginary parts, one of each pair of conjugates.
    fn values_of(&self, state: &[Complex<f64>]) -> Vec<f64> {
        self.moved.iter().flat_map(|&[k, _]| [state[k].re, state[k].im]).collect()
    }

    /// Writes `values`, in the layout of [`Hermite::values_of`], to the modes of `state`.
    fn put(&self, values: &[f64], state: &mut [Complex<f64>]) {
        let (values, _) = values.as_chunks::<2>();
        for (&[k, mirror], &[re, im]) in self.moved.iter().zip(values) {
            state[mirror] = Complex::new(re, -im);
            state[k] = Complex::new(re, im);
        }
    }
}

/// Writes `mode(k)` to the `moved` modes of a real field, and its conjugate to their partners.
fn write(moved: &[[usize; 2]], modes: &mut [Complex<f64>], mode: impl Fn(usize) -> Complex<f64>) {
    for &[k, other] in moved {
        let mode = mode(k);
        modes[other] = mode.conj();
        modes[k] = mode;
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Asserts that the slope is the change of the rate as `state` moves along `change`, and that
    /// the adjoint agrees with it.
    pub(crate) fn assert_slope(
        law: &mut impl Nonlinear,
        state: &[Complex<f64>],
        change: &[Complex<f64>],
    ) {
        let mut rate = |by: f64| {
            let moved: Vec<_> = state.iter().zip(change).map(|(v, w)| v + w * by).collect();
            let mut rate = vec![Complex::default(); state.len()];
            law.rate(&moved, &mut rate);
            rate
        };

        let [below, above] = [rate(-1e-4), rate(1e-4)];
        let mut slope = vec![Complex::default(); state.len()];
        rate(0.0);
        law.slope(change, &mut slope);
        for ((a, b), s) in above.iter().zip(&below).zip(&slope) {
            assert!(((a - b) / 2e-4 - s).norm() < 1e-6, "{a} {b} {s}");
        }

        let mut pulled = vec![Complex::default(); state.len()];
        law.pull_back(&slope, &mut pulled);

        let product = |a: &[Complex<f64>], b: &[Complex<f64>]| -> f64 {
            a.iter().zip(b).map(|(a, b)| (a.conj() * b).re).sum()
        };
        let [forward, back] = [product(&slope, &slope), product(&pulled, change)];
        assert!((forward / back - 1.0).abs() < 1e-9, "{forward} {back}");
    }

    /// The integral int_0^h e^(-decay (h - t)) n(t) dt by Simpson's rule.
    fn seen(decay: f64, h: f64, n: impl Fn(f64) -> f64) -> f64 {
        let parts = 20_000;
        let term = |i: i32| {
            let t = h * f64::from(i) / f64::from(parts);
            let weight = if i == 0 || i == parts { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
            weight * (-decay * (h - t)).exp() * n(t)
        };
        (0..=parts).map(term).sum::<f64>() * h / f64::from(3 * parts)
    }

    fn assert_integrated(decay: f64, n: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64) {
        let h = 0.7;
        let weights = Weights::new(decay, h);
        let got = weights.rate[0] * n(0.0)
            + weights.rate[1] * n(h)
            + weights.slope[0] * slope(0.0)
            + weights.slope[1] * slope(h);
        let expected = seen(decay, h, n) / h;
        assert!((got - expected).abs() < 1e-11, "{decay}: {got} {expected}");
    }

    #[test]
    fn steady_and_transient_rates_are_integrated_exactly() {
        for decay in [2e-3, 0.4, 3.0, 60.0] {
            let transient = |t: f64| (-decay * t).exp();
            assert_integrated(decay, |_| 1.0, |_| 0.0);
            assert_integrated(decay, |t| t, |_| 1.0);
            assert_integrated(decay, transient, |t| -decay * transient(t));
            assert_integrated(decay, |t| t * transient(t), |t| (1.0 - decay * t) * transient(t));
        }
    }

    #[test]
    fn cubic_rates_of_slow_modes_are_integrated_exactly() {
        for decay in [0.0, 1e-3] {
            let n = |t: f64| 1.0 + 2.0 * t - t * t + 0.5 * t * t * t;
            assert_integrated(decay, n, |t| 2.0 - 2.0 * t + 1.5 * t * t);
        }
    }

    /// Asserts dv/dt at the end of the path that the rates `n` make, against its integral.
    fn assert_arrival(decay: f64, n: impl Fn(f64) -> f64, slope: f64) {
        let (h, v0) = (0.7, 0.3);
        let end = (-decay * h).exp() * v0 + seen(decay, h, &n);
        let Arrival { state, rate, slope: turn } = Weights::new(decay, h).arrival;
        let got = state * v0 + rate[0] * n(0.0) + turn * slope + rate[1] * n(h);
        let expected = n(h) - decay * end;
        assert!((got - expected).abs() < 1e-9, "{decay}: {got} {expected}");
    }

    #[test]
    fn the_change_at_the_end_is_that_of_the_path() {
        for decay in [2e-3, 0.4, 3.0, 60.0] {
            let fading = |t: f64| 0.8 + (-decay * t).exp() * (1.1 - 0.5 * t);
            assert_arrival(decay, fading, -0.5 - 1.1 * decay);
        }
        assert_arrival(1e-3, |t| 0.8 - 0.5 * t + 1.3 * t * t, -0.5);
    }

    /// The law v' = -v + v^2 of one mode; the field is the v of the last rate.
    struct Logistic(f64);

    impl Nonlinear for Logistic {
        fn rate(&mut self, state: &[Complex<f64>], rate: &mut [Complex<f64>]) {
            self.0 = state[0].re;
            rate[0] = (self.0 * self.0).into();
        }

        fn slope(&mut self, change: &[Complex<f64>], slope: &mut [Complex<f64>]) {
            slope[0] = change[0] * (2.0 * self.0);
        }

        fn pull_back(&mut self, y: &[Complex<f64>], pulled: &mut [Complex<f64>]) {
            pulled[0] = y[0] * (2.0 * self.0);
        }
    }

    #[test]
    fn the_slope_of_the_logistic_law_and_its_adjoint_agree() {
        let [state, change] = [0.6, -0.3].map(|v| [Complex::new(v, 0.0)]);
        assert_slope(&mut Logistic(0.0), &state, &change);
    }

    #[test]
    fn the_method_has_order_four() {
        let error = |steps: usize| {
            let mut method = Hermite::new(&[1.0], 2.0 / steps as f64, vec![[0, 0]]);
            let mut v = [Complex::new(1.1, 0.0)];
            for _ in 0..steps {
                let start = v;
                method.solve(&mut Logistic(0.0), &start, &mut v, 50, None);
            }
            (v[0].re - 1.1 / (1.1 - 0.1 * 2f64.exp())).abs()
        };
        let [coarse, fine] = [12, 24].map(error);
        let order = (coarse / fine).log2();
        assert!((3.7..4.4).contains(&order), "order {order}: {coarse} {fine}");
    }
}
