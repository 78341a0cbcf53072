//! Residual of Burgers' equation between neighbouring rows.
//!
//! Space is discretised in Fourier modes with the reference solver's projection. Time is collocated
//! by exponential Hermite polynomials ([`phys_instruct_physics::hermite`]). Let h be the interval
//! between rows, one over their number less 1; E the heat flow over h; and N = -(u^2 / 2)_x. For
//! neighbouring rows u0 and u1 the residual, in the row of u1, is
//!
//! ```text
//! R = (u1 - E u0) / h - (the average over the interval of what N adds to u1).
//! ```
//!
//! Row 0 is zero. The largest term is the second, so that a sample that is mere heat flow has the
//! relative residual 1. The preconditioner is (P v)(t1) = (v(t1) - E v(t0)) / h, with v = 0 at t =
//! 0. P^-1 R is the error of u itself, up to the advection of errors. P^-1 of the second term is
//! the effect of advection on u up to that time.
//!
//! Reference data of the benchmark has a relative residual of 0.00004 to 0.00001 on 32 to 128
//! points a side. Hermite-Simpson on the whole right-hand side has 0.002 to 0.02, and grows with
//! the grid. The change log lists other collocations.

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::burgers::{Burgers, Rows};
use phys_instruct_physics::hermite::{Collocation, Weights};
use phys_instruct_physics::{Basis, Grid, transform::basis_matrix};
use std::f64::consts::PI;

use super::operator::{SMALLEST_SCALE, constant_of};
use super::{Residual, ResidualOptions, ResidualTerms, mean_square};
use crate::Result;

/// The names of input and solution in the files of DiffusionPDE and PDEBench, where one array holds
/// all times.
pub(crate) const ARRAYS: [[&str; 2]; 2] = [["output", ""], ["tensor", ""]];

/// The residual of `pde` on a grid.
///
/// # Errors
/// Fails as [`BurgersResidual::new`] does.
pub(crate) fn residual(pde: &Burgers, grid: Grid, device: &Device) -> Result<Box<dyn Residual>> {
    Ok(Box::new(BurgersResidual::new(pde.nu, grid, device)?))
}

/// The residual of u, `[batch, 1, y, x]`.
pub struct BurgersResidual {
    rows: Rows,
    interval: f64,
    /// Matrices that act on rows from the right. The first is the projection.
    project: Tensor<4>,
    /// The projected heat operator.
    heat: Tensor<4>,
    /// Minus the projected derivative.
    rate: Tensor<4>,
    /// The identity less the heat flow over an interval, divided by its length.
    lost: Tensor<4>,
    /// Minus the derivative, times the collocation weights of N at both ends.
    rates: [Tensor<4>; 2],
    /// Minus the derivative, times the collocation weights of the slopes of N at both ends.
    slopes: [Tensor<4>; 2],
    arrival: Arrival,
    heat_flow: HeatFlow,
}

/// The [`phys_instruct_physics::hermite::Arrival`] of a row: the projection or minus the
/// derivative, times its weights.
struct Arrival {
    state: Tensor<4>,
    rates: [Tensor<4>; 2],
    slope: Tensor<4>,
}

impl BurgersResidual {
    /// The residual for viscosity `nu` > 0 on a grid of at least 8 x 8 points.
    ///
    /// # Errors
    /// Fails for a smaller grid.
    pub fn new(nu: f64, grid: Grid, device: &Device) -> Result<Self> {
        grid.check(8)?;
        let size = grid.nx;
        let interval = 1.0 / (grid.ny - 1) as f64;

        let wave = |k: usize| 2.0 * PI * k as f64 / grid.lx;
        let weights = |k: usize| Weights::new(nu * wave(k) * wave(k), interval);
        // The 2/3 rule.
        let kept = |k: usize| if 3 * k < size { 1.0 } else { 0.0 };
        let minus_derivative = |k: usize| -wave(k) * kept(k);
        let matrix = |symbol: &dyn Fn(usize) -> f64, odd: bool| {
            constant_of(filter(size, symbol, odd), [size, size], device)
        };
        let even = |symbol: &dyn Fn(usize) -> f64| matrix(symbol, false);
        let odd = |symbol: &dyn Fn(usize) -> f64| matrix(symbol, true);

        Ok(Self {
            rows: Rows::new(nu, grid),
            interval,
            project: even(&kept),
            heat: even(&|k| -nu * wave(k) * wave(k) * kept(k)),
            rate: odd(&minus_derivative),
            lost: even(&|k| weights(k).lost),
            rates: [0, 1].map(|end| odd(&|k| minus_derivative(k) * weights(k).rate[end])),
            slopes: [0, 1].map(|end| odd(&|k| minus_derivative(k) * weights(k).slope[end])),
            arrival: Arrival {
                state: even(&|k| kept(k) * weights(k).arrival.state),
                rates: [0, 1]
                    .map(|end| odd(&|k| minus_derivative(k) * weights(k).arrival.rate[end])),
                slope: odd(&|k| minus_derivative(k) * weights(k).arrival.slope),
            },
            heat_flow: HeatFlow::new(nu, grid, device),
        })
    }

    /// The average contribution of -(u^2 / 2)_x over each interval, for rows 1 and on.
    fn advection(&self, u: &Tensor<4>) -> Tensor<4> {
        let projected = u.clone().matmul(self.project.clone());
        let half_square = projected.clone() * projected.clone() * 0.5;

        let [[u0, _], [p0, p1]] = [neighbours(u), neighbours(&projected)];
        let [n0, n1] = neighbours(&half_square);
        // The slope of N at the start, along the equation itself.
        let s0 = p0 * (n0.clone().matmul(self.rate.clone()) + u0.clone().matmul(self.heat.clone()));

        // The slope at the end, along the arrival, since the equation is stiff there.
        let Arrival { state, rates: [first, last], slope } = &self.arrival;
        let u_t = u0.matmul(state.clone())
            + n0.clone().matmul(first.clone())
            + s0.clone().matmul(slope.clone())
            + n1.clone().matmul(last.clone());
        let s1 = p1 * u_t;

        n0.matmul(self.rates[0].clone())
            + n1.matmul(self.rates[1].clone())
            + s0.matmul(self.slopes[0].clone())
            + s1.matmul(self.slopes[1].clone())
    }
}

impl Residual for BurgersResidual {
    fn collocation(&self) -> Option<&dyn Collocation> {
        Some(&self.rows)
    }

    fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms {
        let u = if options.detach_input { with_first_row_detached(x) } else { x };
        let [u0, u1] = neighbours(&u);
        let advection = self.advection(&u);
        // The difference of neighbours is nearly exact; e^(-decay h) u0 would not be.
        let change = (u1 - u0.clone()) / self.interval + u0.matmul(self.lost.clone());
        let residual = change - advection.clone();

        let [batch, _, intervals, size] = residual.dims();
        let mut pair = [residual, advection];
        if options.preconditioned {
            let sums = self.heat_flow.sum(Tensor::cat(pair.into(), 0));
            pair = [0, batch].map(|start| sums.clone().narrow(0, start, batch));
        }

        let [residual, advection] = pair;
        let points = intervals * size;
        let scale = mean_square(&advection.detach(), points).sqrt();
        let residual = with_zero_row(residual);
        ResidualTerms { residual, scale: scale.clamp_min(SMALLEST_SCALE), points }
    }
}

/// The rows at the start and at the end of each interval.
fn neighbours(u: &Tensor<4>) -> [Tensor<4>; 2] {
    let intervals = u.dims()[2] - 1;
    [0, 1].map(|start| u.clone().narrow(2, start, intervals))
}

fn with_first_row_detached(u: Tensor<4>) -> Tensor<4> {
    let [initial, later] = [u.clone().narrow(2, 0, 1), u.clone().narrow(2, 1, u.dims()[2] - 1)];
    Tensor::cat(vec![initial.detach(), later], 2)
}

fn with_zero_row(rows: Tensor<4>) -> Tensor<4> {
    rows.pad([(1, 0), (0, 0)], burn::tensor::ops::PadMode::Constant(0.0))
}

/// The matrix that multiplies mode k of a row by `symbol(|k|)`, or by i sign(k) times that if
/// `odd`: `matrix[i][j] = 1/n sum_k symbol cos(2 pi k (j - i) / n)`, or minus the sine.
fn filter(n: usize, symbol: &dyn Fn(usize) -> f64, odd: bool) -> Vec<f64> {
    let kernel = |d: usize| {
        let term = |k: usize| {
            let sign = if 2 * k > n { -1.0 } else { 1.0 };
            let phase = 2.0 * PI * ((k * d) % n) as f64 / n as f64;
            let wave = if odd { -sign * phase.sin() } else { phase.cos() };
            symbol(k.min(n - k)) * wave / n as f64
        };
        (0..n).map(term).sum::<f64>()
    };
    let kernel: Vec<f64> = (0..n).map(kernel).collect();
    (0..n * n).map(|i| kernel[(n + i % n - i / n) % n]).collect()
}

/// The map P^-1 of rates R to v, where v(t1) = E v(t0) + h R and v = 0 at t = 0. It is a lower
/// triangular matrix in t for each Fourier mode.
#[derive(Debug, Clone)]
struct HeatFlow {
    basis: Tensor<4>,
    /// The triangular matrices, `[1, mode, interval, interval]`.
    sums: Tensor<4>,
}

impl HeatFlow {
    fn new(nu: f64, grid: Grid, device: &Device) -> Self {
        let (rows, size) = (grid.ny - 1, grid.nx);
        let interval = 1.0 / rows as f64;
        let sum = |mode: usize, to: usize, from: usize| {
            let wave = 2.0 * PI * mode.div_ceil(2) as f64 / grid.lx;
            let age = to as f64 - from as f64;
            if age < 0.0 { 0.0 } else { interval * (-nu * wave * wave * interval * age).exp() }
        };
        let values: Vec<f32> = (0..size * rows * rows)
            .map(|i| sum(i / (rows * rows), i / rows % rows, i % rows) as f32)
            .collect();
        let data = TensorData::new(values, [1, size, rows, rows]);
        let sums = Tensor::from_data(data, &device.clone().without_autodiff());
        Self { basis: constant_of(basis_matrix(Basis::Fourier, size), [size, size], device), sums }
    }

    /// Applies the map to rates `[batch, 1, interval, x]`.
    fn sum(&self, rates: Tensor<4>) -> Tensor<4> {
        let modes = rates.matmul(self.basis.clone().swap_dims(2, 3)).permute([1, 3, 2, 0]);
        self.sums.clone().matmul(modes).permute([3, 0, 2, 1]).matmul(self.basis.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::residual::{
        self as testing, assert_close, difference, gradient, options, rms, values,
    };
    use phys_instruct_physics::{Fields, Pde, burgers::Burgers, generate, rng};

    const NU: f64 = 0.02;

    fn build(size: usize) -> BurgersResidual {
        BurgersResidual::new(NU, Grid::square(size), &Device::flex()).unwrap()
    }

    /// The cosine and sine coefficients of a line, by sums.
    fn coefficients(line: &[f64], k: usize) -> [f64; 2] {
        let n = line.len();
        let norm = if k == 0 || 2 * k == n { 1.0 } else { 2.0 } / n as f64;
        let angle = |j: usize| 2.0 * PI * (k * j) as f64 / n as f64;
        let sum = |wave: fn(f64) -> f64| {
            line.iter().enumerate().map(|(j, v)| v * wave(angle(j))).sum::<f64>() * norm
        };
        [sum(f64::cos), sum(f64::sin)]
    }

    /// The line with these coefficients on `m` points.
    fn evaluate(modes: &[[f64; 2]], m: usize) -> Vec<f64> {
        let at = |j: usize| {
            let angle = |k: usize| 2.0 * PI * (k * j) as f64 / m as f64;
            let term = |(k, [a, b]): (usize, &[f64; 2])| a * angle(k).cos() + b * angle(k).sin();
            modes.iter().enumerate().map(term).sum()
        };
        (0..m).map(at).collect()
    }

    /// -(product)_x of two lines of kept modes, computed on three times the points to avoid
    /// aliasing.
    fn advect(left: &[[f64; 2]], right: &[[f64; 2]], n: usize) -> Vec<[f64; 2]> {
        let kept = n.div_ceil(3);
        let [l, r] = [left, right].map(|modes| evaluate(&modes[..kept], 3 * n));
        let product: Vec<f64> = l.iter().zip(&r).map(|(l, r)| l * r).collect();
        let minus_derivative = |k: usize| {
            let [a, b] = coefficients(&product, k);
            let wave = if k < kept { 2.0 * PI * k as f64 } else { 0.0 };
            [-wave * b, wave * a]
        };
        (0..left.len()).map(minus_derivative).collect()
    }

    /// R and its second term in plain loops, for rows 1 and on.
    fn oracle(x: &Fields) -> [Vec<f64>; 2] {
        let n = x.width;
        let h = 1.0 / (x.height - 1) as f64;
        let modes = 0..n / 2 + 1;
        let decay = |k: usize| NU * (2.0 * PI * k as f64).powi(2);
        let combine = |of: &dyn Fn(usize, usize) -> f64| -> Vec<[f64; 2]> {
            modes.clone().map(|k| [0, 1].map(|part| of(k, part))).collect()
        };
        let state = |row: &[f64]| {
            let u = combine(&|k, part| coefficients(row, k)[part]);
            let rate = advect(&u, &u, n).iter().map(|[a, b]| [0.5 * a, 0.5 * b]).collect();
            [u, rate]
        };
        let weights: Vec<_> = modes.clone().map(|k| Weights::new(decay(k), h)).collect();
        let states: Vec<[Vec<_>; 2]> = x.data.chunks_exact(n).map(state).collect();
        let [mut residual, mut source] = [vec![], vec![]];
        for pair in states.windows(2) {
            let [[u0, n0], [u1, n1]] = [&pair[0], &pair[1]];
            let s0 = advect(u0, &combine(&|k, i| n0[k][i] - decay(k) * u0[k][i]), n);
            let arriving = combine(&|k, i| {
                let w = weights[k].arrival;
                let driven = w.rate[0] * n0[k][i] + w.rate[1] * n1[k][i];
                w.state * u0[k][i] + w.slope * s0[k][i] + driven
            });
            let s1 = advect(u1, &arriving, n);
            let [mut r, mut s] = [vec![], vec![]];
            for k in modes.clone() {
                let decay = decay(k);
                let w = weights[k];
                let added = [0, 1].map(|part| {
                    w.rate[0] * n0[k][part]
                        + w.rate[1] * n1[k][part]
                        + w.slope[0] * s0[k][part]
                        + w.slope[1] * s1[k][part]
                });
                let change = [0, 1].map(|part| {
                    (pair[1][0][k][part] - (-decay * h).exp() * pair[0][0][k][part]) / h
                });
                r.push([change[0] - added[0], change[1] - added[1]]);
                s.push(added);
            }
            residual.extend(evaluate(&r, n));
            source.extend(evaluate(&s, n));
        }
        [residual, source]
    }

    fn rough(size: usize) -> Fields {
        let noise = rng::normals(&mut rng::stream(6, "rough", 0, size as u64), size * size);
        let mut x = Fields::stack(size, size, &[&noise]);
        x.data.iter_mut().for_each(|v| *v = f64::from(*v as f32));
        x
    }

    #[test]
    fn agrees_with_plain_loops() {
        for size in [8, 9, 12] {
            let x = rough(size);
            let [expected, source] = oracle(&x);
            let terms = build(size).terms(testing::batch(&[x.clone(), x]), options(false, false));
            assert_eq!(terms.residual.dims(), [2, 1, size, size]);
            assert_eq!(terms.points, (size - 1) * size);
            let got = values(terms.residual.clone());
            assert!(got[..size].iter().all(|v| *v == 0.0));
            assert_close(&got[size..size * size], &expected, 1e-5);
            let scale = rms(&source, source.len());
            let relative = rms(&expected, expected.len()) / scale;
            assert!((values(terms.scale.clone())[1] / scale - 1.0).abs() < 1e-5);
            assert!((values(terms.relative())[1] / relative - 1.0).abs() < 1e-5);
        }
    }

    /// Applying P to P^-1 R returns R.
    #[test]
    fn preconditioning_inverts_the_heat_flow() {
        let (size, x) = (9, rough(9));
        let terms = |preconditioned| {
            build(size)
                .terms(testing::batch(std::slice::from_ref(&x)), options(false, preconditioned))
        };
        let solved = values(terms(true).residual);
        let h = 1.0 / 8.0;
        let back: Vec<f64> = (size..size * size)
            .step_by(size)
            .flat_map(|start| {
                let decayed = |k: usize| {
                    let decay = (-NU * (2.0 * PI * k as f64).powi(2) * h).exp();
                    coefficients(&solved[start - size..start], k).map(|c| c * decay)
                };
                let older = evaluate(&(0..=size / 2).map(decayed).collect::<Vec<_>>(), size);
                solved[start..start + size]
                    .iter()
                    .zip(older)
                    .map(|(v, o)| (v - o) / h)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_close(&back, &values(terms(false).residual)[size..], 1e-4);
    }

    #[test]
    fn gradient_agrees_with_differences() {
        let (size, x) = (8, rough(8));
        let [_, source] = oracle(&x);
        let loss = |x: &Fields| {
            let [residual, _] = oracle(x);
            (rms(&residual, residual.len()) / rms(&source, source.len())).powi(2)
        };
        let expected: Vec<f64> = (0..x.data.len()).map(|i| difference(&x, i, loss)).collect();
        let free = gradient(&build(size), &x, options(false, false));
        assert_close(&free, &expected, 1e-3);
        let detached = gradient(&build(size), &x, options(true, false));
        assert!(detached[..size].iter().all(|g| *g == 0.0));
        assert_close(&detached[size..], &expected[size..], 1e-3);
        let smooth = gradient(&build(size), &x, options(true, true));
        assert!(smooth[..size].iter().all(|g| *g == 0.0) && smooth.iter().any(|g| *g != 0.0));
    }

    /// The oracle in `f64`, which the residual agrees with, is not limited by rounding.
    #[test]
    fn the_collocation_has_order_four_in_time() {
        let residual = |size: usize| {
            let line: Vec<f64> =
                (0..size).map(|j| 0.6 * (2.0 * PI * j as f64 / size as f64).sin()).collect();
            let pde = Burgers { nu: NU, ..Default::default() };
            let x =
                pde.solve(Grid::square(size), &Fields::stack(1, size, &[&line])).unwrap().fields;
            let [residual, source] = oracle(&x);
            rms(&residual, residual.len()) / rms(&source, source.len())
        };
        let [coarse, fine] = [81, 161].map(residual);
        let order = (coarse / fine).log2();
        assert!((3.7..4.4).contains(&order), "order {order}: {coarse} {fine}");
    }

    #[test]
    fn reference_data_has_almost_no_residual() {
        let floors = [64, 128].map(|size| {
            let own = BurgersResidual::new(0.01, Grid::square(size), &Device::flex()).unwrap();
            let samples = generate(&Burgers::default(), Grid::square(size), 5, 0..4).unwrap();
            [false, true].map(|preconditioned| testing::relative(&own, &samples, preconditioned))
        });
        eprintln!("floors at 64 and 128, plain and preconditioned: {floors:?}");
        assert!(floors[0][0] < 1e-3 && floors[1][0] < floors[0][0], "{floors:?}");
        assert!(floors.iter().all(|f| f[1] < 1e-3), "{floors:?}");
    }

    /// Heat flow alone lacks the whole second term.
    #[test]
    fn heat_flow_has_the_relative_residual_one() {
        let (size, nu) = (32, 0.01);
        let row = |t: usize| {
            let decay = f64::exp(-nu * 4.0 * PI * PI * t as f64 / (size - 1) as f64);
            (0..size).map(move |j| decay * (2.0 * PI * j as f64 / size as f64).cos())
        };
        let x = Fields::stack(size, size, &[&(0..size).flat_map(row).collect::<Vec<_>>()]);
        let own = BurgersResidual::new(nu, Grid::square(size), &Device::flex()).unwrap();
        for preconditioned in [false, true] {
            let relative = testing::relative(&own, std::slice::from_ref(&x), preconditioned);
            assert!((relative - 1.0).abs() < 1e-3, "{relative}");
        }
    }
}
