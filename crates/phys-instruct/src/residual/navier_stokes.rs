//! Residual of the Navier-Stokes equations between neighbouring snapshots w0, ..., wT.
//!
//! Space is discretised in Fourier modes with the reference solver's projection. Let h be the
//! interval between snapshots, E the heat flow over h, and N = f - v . grad w the remaining
//! rate. For neighbouring snapshots w0 and w1 there is one equation per interval:
//!
//! ```text
//! R = (w1 - E w0) / h - (the average over the interval of what N adds to w1)
//! ```
//!
//! The first part of the interval is marched from w0 ([`LEAD`]). The rest is collocated between the
//! state there and w1 (exponential Hermite collocation, see [`phys_instruct_physics::hermite`]).
//! The contribution of the march follows from w0 alone.
//!
//! The residual is measured relative to that average. The flow hardly moves, so that w itself would
//! be a flattering measure. Relative to the average, a sample that is mere heat flow has the
//! residual 1.
//!
//! The preconditioner is (P v)(t1) = (v(t1) - E v(t0)) / h, with v = 0 at t = 0. P^-1 R is the
//! error of w itself, up to the advection of errors. With one interval it is h R, because the heat
//! flow is already solved exactly.
//!
//! Reference data of the benchmark has a relative residual of 0.00007 on 64 points a side with one
//! interval; Hermite-Simpson on the whole right-hand side has 2.6. Hermite-Simpson on e^(decay t) w
//! has 0.0015, but it runs the heat equation backwards from wT to the midpoint and so magnifies its
//! high modes. The form used here does not, so that the pair (w0, wT) defines a residual. On the
//! same measure a sample without advection (heat flow and forcing) has 0.32, and one that stays at
//! w0 has 1.1. The change log lists other collocations.

use burn::tensor::{Device, Tensor};
use phys_instruct_physics::hermite::{Collocation, Weights};
use phys_instruct_physics::navier_stokes::{LEAD, NavierStokes, Snapshots, force};
use phys_instruct_physics::{Basis, Grid, etdrk4, transform::basis_matrix};
use std::f64::consts::PI;

use super::operator::{SMALLEST_SCALE, constant_of, modes_of, values_of};
use super::{Residual, ResidualOptions, ResidualTerms, mean_square};
use crate::{Error, Result};

/// The names of input and solution in the files of DiffusionPDE, the Fourier neural operator, and
/// copies of its data.
pub(crate) const ARRAYS: [[&str; 2]; 3] = [["w0", "w"], ["a", "u"], ["input", "output"]];

/// The residual of `pde` on a grid.
///
/// # Errors
/// Fails as [`NavierStokesResidual::new`] does.
pub(crate) fn residual(
    pde: &NavierStokes,
    grid: Grid,
    device: &Device,
) -> Result<Box<dyn Residual>> {
    Ok(Box::new(NavierStokesResidual::new(pde, grid, device)?))
}

/// The residual of the snapshots (w0, ..., wT), `[batch, intervals + 1, y, x]`.
pub struct NavierStokesResidual {
    snapshots: Snapshots,
    interval: f64,
    intervals: usize,
    /// The Fourier bases along y and along x, `[1, 1, mode, point]`.
    bases: [Tensor<4>; 2],
    /// The bases with zero rows for the modes that the 2/3 rule drops.
    kept: [Tensor<4>; 2],
    /// The derivatives of the rows of `kept`.
    derivative: [Tensor<4>; 2],
    /// Factors and fields in mode space, `[1, 1, ky, kx]`.
    stream: Tensor<4>,
    decay: Tensor<4>,
    force: Tensor<4>,
    lost: Tensor<4>,
    survives: Tensor<4>,
    step: Step,
    rest: Rest,
}

/// The [`etdrk4::Weights`] of every mode, for a step of [`LEAD`].
struct Step {
    full: Tensor<4>,
    half: Tensor<4>,
    stage: Tensor<4>,
    outer: [Tensor<4>; 3],
}

/// The [`Weights`] of every mode, for the part of an interval that follows [`LEAD`].
struct Rest {
    time: f64,
    survives: Tensor<4>,
    rates: [Tensor<4>; 2],
    slopes: [Tensor<4>; 2],
    arrival: Arrival,
}

/// The [`phys_instruct_physics::hermite::Arrival`] of every mode.
struct Arrival {
    state: Tensor<4>,
    rates: [Tensor<4>; 2],
    slope: Tensor<4>,
}

impl NavierStokesResidual {
    /// The residual of `pde` on a grid of at least 8 x 8 points.
    ///
    /// # Errors
    /// Fails for a smaller grid, and for a PDE without an interval.
    pub fn new(pde: &NavierStokes, grid: Grid, device: &Device) -> Result<Self> {
        let &NavierStokes { nu, forcing, time, intervals, .. } = pde;
        grid.check(8)?;
        if intervals == 0 {
            return Err(Error::Shape("0 intervals between snapshots, expected at least 1".into()));
        }
        let interval = time / intervals as f64;
        let whole = |square: f64| Weights::new(nu * square, interval);
        let constant = |values| constant_of(values, grid.shape(), device);
        let factor = |symbol: &dyn Fn(f64) -> f64| constant(factors(grid, symbol));

        let axes = [(grid.ny, grid.ly), (grid.nx, grid.lx)];
        let matrices = |of: &dyn Fn(Vec<f64>, usize, f64) -> Vec<f64>| {
            axes.map(|(n, side)| {
                constant_of(of(basis_matrix(Basis::Fourier, n), n, side), [n, n], device)
            })
        };
        let bases = matrices(&|basis, _, _| basis);
        let force = modes_of(constant(force(grid, forcing)), &bases);

        Ok(Self {
            snapshots: Snapshots::new(pde, grid),
            interval,
            intervals,
            bases,
            kept: matrices(&|basis, n, _| kept_modes(&basis, n)),
            derivative: matrices(&|basis, n, side| derivatives(&kept_modes(&basis, n), n, side)),
            stream: factor(&|k2| if k2 > 0.0 { 1.0 / k2 } else { 0.0 }),
            decay: factor(&|k2| nu * k2),
            force,
            lost: factor(&|k2| whole(k2).lost),
            survives: factor(&|k2| whole(k2).kept),
            step: Step::new(nu, LEAD.step(interval), &factor),
            rest: Rest::new(nu, LEAD.rest(interval), &factor),
        })
    }

    fn flow(&self, modes: &Tensor<4>) -> Flow {
        let stream = modes.clone() * self.stream.clone();
        let ([kept_y, kept_x], [slope_y, slope_x]) = (&self.kept, &self.derivative);
        let [in_x, in_y] = [[kept_y, slope_x], [slope_y, kept_x]].map(|m| m.map(Tensor::clone));
        let d_dx = |m: &Tensor<4>| values_of(m.clone(), &in_x);
        let d_dy = |m: &Tensor<4>| values_of(m.clone(), &in_y);
        Flow { u: d_dy(&stream), v: -d_dx(&stream), w_x: d_dx(modes), w_y: d_dy(modes) }
    }

    /// The average contribution of f - v . grad w over each interval, in mode space.
    fn advection(&self, starts: Tensor<4>, ends: Tensor<4>) -> Tensor<4> {
        let [led, middles] = self.lead(starts);
        let collocated = self.collocate(middles, ends) * self.rest.time;
        (led * self.rest.survives.clone() + collocated) / self.interval
    }

    /// The contribution of f - v . grad w in the part of an interval that is marched from its
    /// start, and the state at its end.
    ///
    /// The sum is carried beside the state, since the difference of the state and of the heat flow
    /// would lose digits in `f32`.
    fn lead(&self, start: Tensor<4>) -> [Tensor<4>; 2] {
        let Step { full, half, stage, outer: [first, middle, last] } = &self.step;
        let rate = |modes: &Tensor<4>| self.rate(&self.flow(modes));
        let (mut led, mut state) = (start.zeros_like(), start);
        for _ in 0..LEAD.steps {
            // The stages of ETDRK4.
            let faded = state.clone() * half.clone();
            let n0 = rate(&state);
            let a = faded.clone() + n0.clone() * stage.clone();
            let na = rate(&a);
            let nb = rate(&(faded + na.clone() * stage.clone()));
            let nc = rate(&(a * half.clone() + (nb.clone() * 2.0 - n0.clone()) * stage.clone()));

            let added = n0 * first.clone() + (na + nb) * middle.clone() + nc * last.clone();
            led = led * full.clone() + added.clone();
            state = state * full.clone() + added;
        }
        [led, state]
    }

    /// The average contribution of f - v . grad w between two states the rest of an interval apart.
    fn collocate(&self, w0: Tensor<4>, w1: Tensor<4>) -> Tensor<4> {
        let Rest { rates, slopes, arrival, .. } = &self.rest;
        let [from, to] = [&w0, &w1].map(|w| self.flow(w));
        let [n0, n1] = [&from, &to].map(|flow| self.rate(flow));
        // The slopes of N: at the start along the equation itself, at the end along the arrival.
        let s0 = self.slope(&from, n0.clone() - w0.clone() * self.decay.clone());
        let change = w0 * arrival.state.clone()
            + n0.clone() * arrival.rates[0].clone()
            + s0.clone() * arrival.slope.clone()
            + n1.clone() * arrival.rates[1].clone();
        let s1 = self.slope(&to, change);

        n0 * rates[0].clone()
            + n1 * rates[1].clone()
            + s0 * slopes[0].clone()
            + s1 * slopes[1].clone()
    }

    /// The rate N = f - v . grad w of a flow, in mode space.
    fn rate(&self, flow: &Flow) -> Tensor<4> {
        self.force.clone() - self.masked_modes_of(flow.carries(flow))
    }

    /// The derivative of f - v . grad w along a change of the flow, in mode space.
    fn slope(&self, flow: &Flow, change: Tensor<4>) -> Tensor<4> {
        let change = self.flow(&change);
        -self.masked_modes_of(change.carries(flow) + flow.carries(&change))
    }

    /// The modes of a field that the 2/3 rule keeps; the others are zero.
    fn masked_modes_of(&self, field: Tensor<4>) -> Tensor<4> {
        modes_of(field, &self.kept)
    }

    /// P^-1 of one value per interval, in mode space.
    fn heat_flow(&self, rates: Tensor<4>) -> Tensor<4> {
        let mut sums = vec![rates.clone().narrow(1, 0, 1)];
        for k in 1..self.intervals {
            let older = sums[k - 1].clone() * self.survives.clone();
            sums.push(older + rates.clone().narrow(1, k, 1));
        }
        Tensor::cat(sums, 1) * self.interval
    }
}

impl Step {
    fn new(nu: f64, time: f64, factor: &Factor) -> Self {
        let weights = |k2: f64| etdrk4::Weights::new(nu * k2, time);
        Self {
            full: factor(&|k2| weights(k2).full),
            half: factor(&|k2| weights(k2).half),
            stage: factor(&|k2| weights(k2).stage),
            outer: [0, 1, 2].map(|of| factor(&|k2| weights(k2).outer[of])),
        }
    }
}

impl Rest {
    fn new(nu: f64, time: f64, factor: &Factor) -> Self {
        let weights = |k2: f64| Weights::new(nu * k2, time);
        let arrival = |k2: f64| weights(k2).arrival;
        Self {
            time,
            survives: factor(&|k2| weights(k2).kept),
            rates: [0, 1].map(|end| factor(&|k2| weights(k2).rate[end])),
            slopes: [0, 1].map(|end| factor(&|k2| weights(k2).slope[end])),
            arrival: Arrival {
                state: factor(&|k2| arrival(k2).state),
                rates: [0, 1].map(|end| factor(&|k2| arrival(k2).rate[end])),
                slope: factor(&|k2| arrival(k2).slope),
            },
        }
    }
}

impl Residual for NavierStokesResidual {
    fn collocation(&self) -> Option<&dyn Collocation> {
        Some(&self.snapshots)
    }

    fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms {
        let [_, _, height, width] = x.dims();
        let [w0, w1] = neighbours(x, options.detach_input);
        let [starts, ends] = [&w0, &w1].map(|w| modes_of(w.clone(), &self.bases));
        let advection = self.advection(starts.clone(), ends);
        // The difference of snapshots is nearly exact; e^(-decay h) w0 would not be.
        let change = modes_of(w1 - w0, &self.bases) / self.interval + starts * self.lost.clone();
        let residual = change - advection.clone();
        let seen = |v: Tensor<4>| if options.preconditioned { self.heat_flow(v) } else { v };
        let points = self.intervals * height * width;
        // The basis is orthonormal, so that mean squares are the same in mode space.
        let scale = mean_square(&seen(advection.detach()), points).sqrt();
        let residual = values_of(seen(residual), &self.bases);
        ResidualTerms { residual, scale: scale.clamp_min(SMALLEST_SCALE), points }
    }
}

/// The velocity and vorticity gradient of a flow, without the modes that the 2/3 rule drops.
struct Flow {
    u: Tensor<4>,
    v: Tensor<4>,
    w_x: Tensor<4>,
    w_y: Tensor<4>,
}

impl Flow {
    /// The product of this flow's velocity and the other's vorticity gradient.
    fn carries(&self, other: &Self) -> Tensor<4> {
        self.u.clone() * other.w_x.clone() + self.v.clone() * other.w_y.clone()
    }
}

/// Makes a tensor of factors, one for each mode, from a function of |k|^2.
type Factor<'a> = dyn Fn(&dyn Fn(f64) -> f64) -> Tensor<4> + 'a;

/// The snapshots at the start and at the end of each interval. If the input is held, the march of a
/// single interval is not recorded for the gradient.
fn neighbours(w: Tensor<4>, hold_input: bool) -> [Tensor<4>; 2] {
    let intervals = w.dims()[1] - 1;
    let ends = w.clone().narrow(1, 1, intervals);
    let input = w.narrow(1, 0, 1);
    let input = if hold_input { input.detach() } else { input };
    if intervals == 1 {
        return [input, ends];
    }
    [Tensor::cat(vec![input, ends.clone().narrow(1, 0, intervals - 1)], 1), ends]
}

/// The wave number of row `k` of the Fourier basis on a period of length `side`, times 2 pi.
fn wave_number(k: usize, side: f64) -> f64 {
    2.0 * PI * k.div_ceil(2) as f64 / side
}

/// The function `symbol` of each mode's squared wave number.
fn factors(grid: Grid, symbol: &dyn Fn(f64) -> f64) -> Vec<f64> {
    let square = |i: usize| {
        let [ky, kx] = [wave_number(i / grid.nx, grid.ly), wave_number(i % grid.nx, grid.lx)];
        ky.powi(2) + kx.powi(2)
    };
    (0..grid.points()).map(|i| symbol(square(i))).collect()
}

/// The basis with zero rows for the modes that the 2/3 rule drops.
fn kept_modes(basis: &[f64], size: usize) -> Vec<f64> {
    let kept = |i: usize| 3 * (i / size).div_ceil(2) < size;
    basis.iter().enumerate().map(|(i, b)| if kept(i) { *b } else { 0.0 }).collect()
}

/// The derivative of each basis function: that of cos is -k sin, that of sin is k cos.
fn derivatives(kept: &[f64], size: usize, side: f64) -> Vec<f64> {
    let derivative = |i: usize| {
        let (row, point) = (i / size, i % size);
        let cosine = row % 2 == 1;
        let partner = if cosine { row + 1 } else { row.saturating_sub(1) };
        let value = kept.get(partner * size + point).copied().unwrap_or(0.0);
        wave_number(row, side) * if cosine { -value } else { value }
    };
    (0..size * size).map(derivative).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::residual::{
        self as testing, assert_close, difference, gradient, options, rms, values,
    };
    use phys_instruct_physics::{Fields, Pde, generate, navier_stokes::NavierStokes, rng};

    const NU: f64 = 0.01;
    const FORCING: f64 = 0.7;
    const TIME: f64 = 0.8;

    fn build(intervals: usize, size: usize) -> NavierStokesResidual {
        let pde =
            NavierStokes { nu: NU, forcing: FORCING, time: TIME, intervals, ..Default::default() };
        NavierStokesResidual::new(&pde, Grid::square(size), &Device::flex()).unwrap()
    }

    /// A complex number.
    type Mode = [f64; 2];

    /// The modes -n/2 < k <= n/2 (row ky, column kx) of a field, by sums over x and then over y.
    fn modes_of(field: &[f64], n: usize) -> Vec<Mode> {
        let m = field.len().isqrt();
        let along = |lines: &[Mode], stride: [usize; 2], count: usize| {
            let mut out = vec![];
            for (line, k) in (0..count).flat_map(|line| wave_numbers(n).map(move |k| (line, k))) {
                let mut sum = [0.0; 2];
                for j in 0..m {
                    let phase = -2.0 * PI * k * j as f64 / m as f64;
                    let [re, im] = lines[line * stride[0] + j * stride[1]];
                    sum[0] += (re * phase.cos() - im * phase.sin()) / m as f64;
                    sum[1] += (re * phase.sin() + im * phase.cos()) / m as f64;
                }
                out.push(sum);
            }
            out
        };
        let field: Vec<Mode> = field.iter().map(|v| [*v, 0.0]).collect();
        let along_x = along(&field, [m, 1], m);
        let by_column = along(&along_x, [1, n], n);
        (0..n * n).map(|i| by_column[i % n * n + i / n]).collect()
    }

    fn wave_numbers(n: usize) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| i as f64 - ((n - 1) / 2) as f64)
    }

    fn waves(n: usize) -> impl Iterator<Item = [f64; 2]> {
        wave_numbers(n).flat_map(move |ky| wave_numbers(n).map(move |kx| [kx, ky]))
    }

    /// The real field of these modes on `m` points a side; `symbol` multiplies each mode.
    fn values_at(
        modes: &[Mode],
        n: usize,
        m: usize,
        symbol: impl Fn([f64; 2]) -> Mode,
    ) -> Vec<f64> {
        let mut out = vec![0.0; m * m];
        for ([re, im], k) in modes.iter().zip(waves(n)) {
            let [s, t] = symbol(k);
            let [re, im] = [re * s - im * t, re * t + im * s];
            for (i, value) in out.iter_mut().enumerate() {
                let phase = 2.0 * PI * (k[0] * (i % m) as f64 + k[1] * (i / m) as f64) / m as f64;
                *value += re * phase.cos() - im * phase.sin();
            }
        }
        out
    }

    fn kept(k: [f64; 2], n: usize) -> f64 {
        if k.iter().all(|k| 3.0 * k.abs() < n as f64 - 0.5) { 1.0 } else { 0.0 }
    }

    /// The kept modes of v(p) . grad q, computed on three times the points to avoid aliasing.
    fn advect(p: &[Mode], q: &[Mode], n: usize) -> Vec<Mode> {
        let two_pi = 2.0 * PI;
        let field = |modes: &[Mode], symbol: &dyn Fn([f64; 2]) -> f64| {
            values_at(modes, n, 2 * n, |k| [0.0, kept(k, n) * symbol(k)])
        };
        let square = |k: [f64; 2]| two_pi * (k[0] * k[0] + k[1] * k[1]).max(1.0);
        let u = field(p, &|k| k[1] / square(k));
        let v = field(p, &|k| -k[0] / square(k));
        let q_x = field(q, &|k| two_pi * k[0]);
        let q_y = field(q, &|k| two_pi * k[1]);
        let product: Vec<f64> = (0..u.len()).map(|i| u[i] * q_x[i] + v[i] * q_y[i]).collect();
        let modes = modes_of(&product, n);
        modes.iter().zip(waves(n)).map(|(m, k)| m.map(|v| v * kept(k, n))).collect()
    }

    fn combine(a: &[Mode], b: &[Mode], of: impl Fn(usize, f64, f64) -> f64) -> Vec<Mode> {
        a.iter().zip(b).enumerate().map(|(i, (a, b))| [0, 1].map(|p| of(i, a[p], b[p]))).collect()
    }

    fn decays(n: usize) -> Vec<f64> {
        waves(n).map(|k| NU * 4.0 * PI * PI * (k[0] * k[0] + k[1] * k[1])).collect()
    }

    /// f - v . grad w.
    fn rate_of(w: &[Mode], n: usize) -> Vec<Mode> {
        let force = |i: usize| {
            let phase = 2.0 * PI * (i % n + i / n) as f64 / n as f64;
            FORCING * (phase.sin() + phase.cos())
        };
        let force = modes_of(&(0..n * n).map(force).collect::<Vec<_>>(), n);
        combine(&force, &advect(w, w, n), |_, f, a| f - a)
    }

    /// A step of ETDRK4 in plain loops.
    fn marched(w: &[Mode], n: usize, step: f64) -> Vec<Mode> {
        let weights: Vec<_> =
            decays(n).into_iter().map(|d| etdrk4::Weights::new(d, step)).collect();
        let half = |w: &[Mode], rate: &[Mode]| {
            combine(w, rate, |i, w, r| weights[i].half * w + weights[i].stage * r)
        };
        let n0 = rate_of(w, n);
        let a = half(w, &n0);
        let na = rate_of(&a, n);
        let nb = rate_of(&half(w, &na), n);
        let nc = rate_of(&half(&a, &combine(&nb, &n0, |_, b, o| 2.0 * b - o)), n);
        let outer = |i: usize| weights[i].outer;
        let ends = combine(&n0, &nc, |i, o, c| outer(i)[0] * o + outer(i)[2] * c);
        let middles = combine(&na, &nb, |i, a, b| outer(i)[1] * (a + b));
        let added = combine(&ends, &middles, |_, e, m| e + m);
        combine(w, &added, |i, w, a| weights[i].full * w + a)
    }

    /// The average contribution of f - v . grad w between two states a time h apart, in plain
    /// loops.
    fn collocated(w0: &[Mode], w1: &[Mode], n: usize, h: f64) -> Vec<Mode> {
        let slope = |w: &[Mode], change: &[Mode]| {
            combine(&advect(change, w, n), &advect(w, change, n), |_, a, b| -a - b)
        };
        let decay = decays(n);
        let weights: Vec<_> = decay.iter().map(|&d| Weights::new(d, h)).collect();
        let [n0, n1] = [w0, w1].map(|w| rate_of(w, n));
        let s0 = slope(w0, &combine(&n0, w0, |i, n, w| n - decay[i] * w));
        let arrival = |i: usize| weights[i].arrival;
        let kept = combine(w0, &s0, |i, w, s| arrival(i).state * w + arrival(i).slope * s);
        let driven = combine(&n0, &n1, |i, a, b| arrival(i).rate[0] * a + arrival(i).rate[1] * b);
        let s1 = slope(w1, &combine(&kept, &driven, |_, a, b| a + b));
        let sum = |[first, last]: [f64; 2], a: f64, b: f64| first * a + last * b;
        let rates = combine(&n0, &n1, |i, a, b| sum(weights[i].rate, a, b));
        let slopes = combine(&s0, &s1, |i, a, b| sum(weights[i].slope, a, b));
        combine(&rates, &slopes, |_, a, b| a + b)
    }

    /// R and its second term in plain loops, interval by interval.
    fn oracle(x: &Fields) -> [Vec<f64>; 2] {
        let n = x.width;
        let h = TIME / (x.channels - 1) as f64;
        let rest = (1.0 - LEAD.share) * h;
        let decay = decays(n);
        let heat = |w: &[Mode], time: f64| combine(w, w, |i, w, _| (-decay[i] * time).exp() * w);
        let [mut residual, mut source] = [vec![], vec![]];
        for c in 1..x.channels {
            let [w0, w1] = [c - 1, c].map(|c| modes_of(x.channel(c), n));
            let middle = (0..LEAD.steps)
                .fold(w0.clone(), |w, _| marched(&w, n, LEAD.share * h / LEAD.steps as f64));
            let added = collocated(&middle, &w1, n, rest);
            let end = combine(&heat(&middle, rest), &added, |_, m, a| m + rest * a);
            let r = combine(&w1, &end, |_, w, e| (w - e) / h);
            let second = combine(&end, &heat(&w0, h), |_, e, w| (e - w) / h);
            residual.extend(values_at(&r, n, n, |_| [1.0, 0.0]));
            source.extend(values_at(&second, n, n, |_| [1.0, 0.0]));
        }
        [residual, source]
    }

    fn rough(intervals: usize, size: usize) -> Fields {
        let count = (intervals + 1) * size * size;
        let noise = rng::normals(&mut rng::stream(7, "rough", 0, size as u64), count);
        let data = noise.iter().map(|v| f64::from(*v as f32)).collect();
        Fields { channels: intervals + 1, height: size, width: size, data }
    }

    #[test]
    fn agrees_with_plain_loops() {
        for (intervals, size) in [(1, 8), (2, 9), (3, 12)] {
            let x = rough(intervals, size);
            let [expected, source] = oracle(&x);
            let terms = build(intervals, size)
                .terms(testing::batch(&[x.clone(), x]), options(false, false));
            assert_eq!(terms.residual.dims(), [2, intervals, size, size]);
            assert_eq!(terms.points, expected.len());
            assert_close(&values(terms.residual.clone())[expected.len()..], &expected, 1e-5);
            let scale = rms(&source, source.len());
            let relative = rms(&expected, expected.len()) / scale;
            assert!((values(terms.scale.clone())[1] / scale - 1.0).abs() < 1e-5);
            assert!((values(terms.relative())[1] / relative - 1.0).abs() < 1e-5);
        }
    }

    /// Applying P to P^-1 R returns R.
    #[test]
    fn preconditioning_inverts_the_heat_flow() {
        let (intervals, n) = (3, 9);
        let x = testing::batch(&[rough(intervals, n)]);
        let terms = |p| build(intervals, n).terms(x.clone(), options(false, p));
        let solved = values(terms(true).residual);
        let h = TIME / 3.0;
        let decayed =
            |k: [f64; 2]| [(-NU * 4.0 * PI * PI * (k[0] * k[0] + k[1] * k[1]) * h).exp(), 0.0];
        let mut older = vec![0.0; n * n];
        let mut back = vec![];
        for field in solved.chunks_exact(n * n) {
            back.extend(field.iter().zip(&older).map(|(v, o)| (v - o) / h));
            older = values_at(&modes_of(field, n), n, n, decayed);
        }
        assert_close(&back, &values(terms(false).residual), 1e-4);
    }

    #[test]
    fn gradient_agrees_with_differences() {
        let (intervals, size) = (2, 8);
        let x = rough(intervals, size);
        let [_, source] = oracle(&x);
        let loss = |x: &Fields| {
            let [residual, _] = oracle(x);
            (rms(&residual, residual.len()) / rms(&source, source.len())).powi(2)
        };

        // One entry in 23 is tested, so that rows, columns and channels all differ.
        let entries: Vec<usize> = (0..x.data.len()).step_by(23).collect();
        let expected: Vec<f64> = entries.iter().map(|&i| difference(&x, i, loss)).collect();
        let picked = |gradient: Vec<f64>| entries.iter().map(|&i| gradient[i]).collect::<Vec<_>>();
        let own = build(intervals, size);
        assert_close(&picked(gradient(&own, &x, options(false, false))), &expected, 1e-3);
        let inputs = entries.iter().filter(|i| **i < size * size).count();
        let detached = gradient(&own, &x, options(true, false));
        assert!(detached[..size * size].iter().all(|g| *g == 0.0));
        assert_close(&picked(detached)[inputs..], &expected[inputs..], 1e-3);
        let smooth = gradient(&own, &x, options(true, true));
        assert!(smooth[..size * size].iter().all(|g| *g == 0.0));
        assert!(smooth.iter().any(|g| *g != 0.0));
    }

    fn floor(pde: &NavierStokes, samples: &[Fields], preconditioned: bool) -> f64 {
        let size = samples[0].width;
        let own = crate::problem::residual(pde, Grid::square(size), &Device::flex()).unwrap();
        testing::relative(own.as_ref(), samples, preconditioned)
    }

    /// The order at these long intervals is still below its limit of four. Shorter ones leave a
    /// residual that `f32` does not resolve; the march in `f64` has a test of its own.
    #[test]
    fn the_residual_of_solved_data_nears_order_four_in_time() {
        let eddies = |i: usize| {
            let [x, y] = [i % 32, i / 32].map(|j| 2.0 * PI * j as f64 / 32.0);
            2.0 * ((x + 0.3).sin() * (2.0 * y).cos() + (x - y).cos() + (2.0 * x + y).sin())
        };
        let input = Fields::stack(32, 32, &[&(0..32 * 32).map(eddies).collect::<Vec<_>>()]);
        let floor = |intervals| {
            let pde = NavierStokes { intervals, ..Default::default() };
            floor(&pde, &[pde.solve(Grid::square(32), &input).unwrap().fields], false)
        };
        let [coarse, fine] = [2, 4].map(floor);
        let order = (coarse / fine).log2();
        assert!((3.2..4.4).contains(&order), "order {order}: {coarse} {fine}");
    }

    #[test]
    fn reference_data_has_almost_no_residual() {
        let floors = [(64, 1), (64, 2), (128, 1)].map(|(size, intervals)| {
            let pde = NavierStokes { intervals, ..Default::default() };
            let samples = generate(&pde, Grid::square(size), 5, 0..4).unwrap();
            [false, true].map(|preconditioned| floor(&pde, &samples, preconditioned))
        });
        eprintln!("floors at 64 (1 and 2 intervals) and 128: {floors:?}");
        assert!(floors.iter().flatten().all(|f| *f < 1.5e-4), "{floors:?}");
        assert!(floors[1][0] < 0.5 * floors[0][0], "{floors:?}");
    }

    /// Heat flow alone lacks the whole second term.
    #[test]
    fn heat_flow_has_the_relative_residual_one() {
        let pde = NavierStokes { forcing: 0.0, ..Default::default() };
        let mut x = generate(&pde, Grid::square(32), 5, 0..1).unwrap().remove(0);
        let initial = modes_of(x.channel(0), 32);
        let flow = |k: [f64; 2]| [(-1e-3 * 4.0 * PI * PI * (k[0] * k[0] + k[1] * k[1])).exp(), 0.0];
        let heat = values_at(&initial, 32, 32, flow);
        x.channel_mut(1).copy_from_slice(&heat);
        let relative = floor(&pde, &[x], false);
        // The second term sees the end state, so that 1 is reached only up to the size of
        // advection.
        assert!((relative - 1.0).abs() < 1e-4, "{relative}");
    }
}
