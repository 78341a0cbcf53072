//! Burgers' equation u_t + u u_x = nu u_xx for x periodic in [0, lx) and t in [0, 1].
//!
//! The solver is Fourier pseudo-spectral in x and ETDRK4 in time. The flux `u^2 / 2` is formed from
//! and projected on the modes `|k| < n / 3` (Orszag's 2/3 rule). Modes above keep the input's
//! values and decay by viscosity alone.
//!
//! The nx points lie at `j lx / nx`. A sample has ny rows at the times `i / (ny - 1)`, the first of
//! them the initial line. A line that this grid does not resolve is solved on a finer one by
//! `solve_checked`.

use std::f64::consts::PI;

use rustfft::num_complex::Complex;

use crate::etdrk4::{Etdrk4, MOST_STEPS};
use crate::hermite::{Collocation, Hermite, Nonlinear};
use crate::input::{self, nodes, periodic};
use crate::random_field::LineLaw;
use crate::spectral::{Fft1, complex, largest_wave_number, mirrored, real, resolved, wave_number};
use crate::symmetry::Symmetry;
use crate::{
    Basis, Channel, Differentiable, Error, Fields, GaussianField, Grid, InputLaw, Layout, Param,
    Pde, Result, Solution, SolveReport,
};

mod refined;

const NAME: &str = "burgers";
const SMALLEST: usize = 8;

/// Courant number of a time step. It is small for accuracy, not for stability: the benchmark's time
/// error is then below 1e-6 of the field.
const COURANT: f64 = 0.2;

/// Burgers' equation. Its initial line is a periodic one of law `input`.
#[derive(Debug, Clone, PartialEq)]
pub struct Burgers {
    /// Viscosity, in (0, 1].
    pub nu: f64,
    /// The law of the random initial line.
    pub input: LineLaw,
}

impl Default for Burgers {
    fn default() -> Self {
        Self { nu: 0.01, input: LineLaw { gamma: 2.5, tau: 7.0, sigma: 49.0 } }
    }
}

impl Pde for Burgers {
    fn name(&self) -> &str {
        NAME
    }

    fn equation(&self) -> &str {
        "u_t + u u_x = nu u_xx, x periodic in [0, lx), t in [0, 1]"
    }

    fn channels(&self) -> Vec<Channel> {
        let basis = [Basis::Cosine, Basis::Fourier];
        vec![Channel::new("u", "velocity, time along y", basis).dimensionless()]
    }

    fn params(&self) -> Vec<Param> {
        let meaning = "viscosity, above 0, at most 1; bounded below by the grid";
        vec![Param::new("nu", self.nu, meaning)]
    }

    fn set_param(&mut self, name: &str, value: f64) -> Result<()> {
        if name != "nu" {
            let (pde, known) = (NAME.into(), "nu".into());
            return Err(Error::UnknownParam { pde, name: name.into(), known });
        }
        if !(value > 0.0 && value <= 1.0) {
            let [pde, name, expected] = [NAME, "nu", "above 0, at most 1"].map(String::from);
            return Err(Error::OutOfRange { pde, name, value, expected });
        }
        self.nu = value;
        Ok(())
    }

    fn input_law(&self) -> InputLaw {
        InputLaw::gaussian(GaussianField::Line(self.input))
    }

    fn layout(&self) -> Layout {
        Layout::first_row()
    }

    fn smallest_grid(&self) -> usize {
        SMALLEST
    }

    fn solve_bytes(&self, grid: Grid) -> f64 {
        // Measured: 20 a point at 1024 points, and a finer grid where one is needed.
        100.0 * grid.points() as f64
    }

    fn solve(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        let steps = self.checked_steps(grid, input)?;
        let mut line = Line::new(grid.nx, grid.lx, self.nu);
        let data = line.march(&input.data, grid.ny, interval(grid), steps);
        solution(grid, data, steps)
    }

    fn solve_checked(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        self.checked_steps(grid, input)?;
        self.solve_refined(grid, &input.data, refined::FINEST)
    }

    fn symmetries(&self, grid: Grid) -> Vec<Symmetry> {
        Symmetry::shifts_along_x(grid)
    }

    fn differentiable(&self) -> Option<&dyn Differentiable> {
        Some(self)
    }

    fn points(&self, grid: Grid) -> [Vec<f64>; 2] {
        [nodes(grid.ny, grid.ly), periodic(grid.nx, grid.lx)]
    }
}

impl Burgers {
    /// Checks grid and input and returns the number of time steps between rows.
    fn checked_steps(&self, grid: Grid, input: &Fields) -> Result<usize> {
        input::check(self, grid, input)?;
        self.check_viscosity(grid, &input.data)?;
        let steps = steps_of(&input.data, grid.lx, interval(grid));
        check_steps(grid, &input.data, steps)?;
        Ok(steps)
    }

    /// Refuses a viscosity too small for the grid.
    ///
    /// A front of jump d is d / 2 tanh(d x / 4 nu). Its poles lie 2 pi nu / d off the real line, so
    /// that its modes fall like exp(-2 pi nu k / d). This must be at most 1 / e at the largest wave
    /// number kept. The condition is `nu >= d / (2 pi k)`, with d the range of the input, which
    /// never grows. (Four digits take ten times that.)
    fn check_viscosity(&self, grid: Grid, input: &[f64]) -> Result<()> {
        let largest = input.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let jump = largest - input.iter().copied().fold(f64::INFINITY, f64::min);
        let smallest = jump / (2.0 * PI * largest_wave_number(grid.nx, grid.lx));

        if self.nu >= smallest {
            return Ok(());
        }
        let expected = format!(
            "at least {smallest:.2e} on {} points for a line of range {jump:.3}, so that fronts \
             are resolved; take a finer grid or a larger nu",
            input.len()
        );
        let (pde, name) = (NAME.into(), "nu".into());
        Err(Error::OutOfRange { pde, name, value: self.nu, expected })
    }
}

/// The time between two rows.
fn interval(grid: Grid) -> f64 {
    1.0 / (grid.ny - 1) as f64
}

/// Returns the sample on a grid, with `steps` time steps between two rows.
fn solution(grid: Grid, data: Vec<f64>, steps: usize) -> Result<Solution> {
    let fields = Fields { channels: 1, height: grid.ny, width: grid.nx, data };
    if !fields.is_finite() {
        let (pde, reason) = (NAME.into(), "the velocity overflowed".into());
        return Err(Error::NotConverged { pde, reason });
    }

    let intervals = grid.ny - 1;
    let time_step = Some(1.0 / (steps as f64 * intervals as f64));
    let report = SolveReport { steps: steps * intervals, time_step, ..SolveReport::default() };
    Ok(Solution { fields, report })
}

/// Refuses a line so fast that `steps` time steps between rows exceed [`MOST_STEPS`] in all.
fn check_steps(grid: Grid, input: &[f64], steps: usize) -> Result<()> {
    let intervals = grid.ny - 1;
    if steps <= MOST_STEPS / intervals {
        return Ok(());
    }
    // The largest allowed number of whole steps between rows, each at the Courant number.
    let most = (MOST_STEPS / intervals) as f64 * intervals as f64 * COURANT;
    let most = most / grid.nx as f64 * grid.lx;
    let reason = format!(
        "|u| reaches {:.3e}; on {} points it may be at most {most:.3e}, so that {MOST_STEPS} time \
         steps suffice; check the units, or take away the mean, which only carries the line along",
        largest_speed(input),
        input.len(),
    );
    Err(Error::BadInput { pde: NAME.into(), reason })
}

/// Returns the number of time steps between rows, for a line of length `length`.
fn steps_of(input: &[f64], length: f64, interval: f64) -> usize {
    (interval / largest_step(input, length)).ceil().max(1.0) as usize
}

/// Returns the largest time step. The speed never grows, so that the first line's holds for all
/// times.
fn largest_step(input: &[f64], length: f64) -> f64 {
    COURANT / (input.len() as f64 / length * largest_speed(input))
}

/// Returns the largest |u| of a line.
fn largest_speed(line: &[f64]) -> f64 {
    line.iter().map(|u| u.abs()).fold(0.0, f64::max)
}

/// The equation on one grid: everything that depends on the wave numbers, and a workspace.
#[derive(Clone)]
struct Line {
    fft: Fft1,
    /// Decay rates nu k^2 of all modes.
    decay: Vec<f64>,
    /// 1 for modes that the 2/3 rule keeps, 0 for the others.
    kept: Vec<f64>,
    /// Multipliers -i k / 2 of the modes of u^2; 0 where the 2/3 rule drops the mode.
    to_rate: Vec<Complex<f64>>,
    /// The velocity at the grid points, kept modes alone, of the last line whose rate was asked
    /// for.
    velocity: Vec<Complex<f64>>,
}

impl Line {
    fn new(size: usize, length: f64, nu: f64) -> Self {
        let wave = |i| wave_number(i, size, length);
        let kept: Vec<_> = (0..size).map(|i| if resolved(i, size) { 1.0 } else { 0.0 }).collect();
        Self {
            fft: Fft1::new(size),
            decay: (0..size).map(|i| nu * wave(i) * wave(i)).collect(),
            to_rate: (0..size).map(|i| Complex::new(0.0, -0.5 * wave(i) * kept[i])).collect(),
            kept,
            velocity: vec![Complex::default(); size],
        }
    }

    /// Returns `rows` rows `interval` apart, the first of them `initial`, with `steps` time steps
    /// between.
    fn march(&mut self, initial: &[f64], rows: usize, interval: f64, steps: usize) -> Vec<f64> {
        let mut method = Etdrk4::new(&self.decay, interval / steps as f64);
        let mut modes = self.modes_of(initial);
        let mut data = initial.to_vec();
        for _ in 1..rows {
            self.advance(&mut method, &mut modes, steps);
            data.extend(self.values_of(&modes));
        }
        data
    }

    /// Advances the modes by `steps` steps of `method`.
    fn advance(&mut self, method: &mut Etdrk4, modes: &mut [Complex<f64>], steps: usize) {
        for _ in 0..steps {
            method.step(modes, |u, rate| self.rate(u, rate));
        }
    }

    /// Returns the line with these modes.
    fn values_of(&self, modes: &[Complex<f64>]) -> Vec<f64> {
        let mut values = modes.to_vec();
        self.fft.inverse(&mut values);
        real(&values)
    }

    /// Returns the modes of a line.
    fn modes_of(&self, values: &[f64]) -> Vec<Complex<f64>> {
        let mut modes = complex(values);
        self.fft.forward(&mut modes);
        modes
    }

    /// Writes the line of the kept modes to `values`.
    fn kept_values(&self, modes: &[Complex<f64>], values: &mut [Complex<f64>]) {
        for ((v, u), keep) in values.iter_mut().zip(modes).zip(&self.kept) {
            *v = u * keep;
        }
        self.fft.inverse(values);
    }

    /// Replaces a product at the grid points by the modes of -(product / 2)_x.
    fn minus_half_derivative(&self, product: &mut [Complex<f64>]) {
        self.fft.forward(product);
        product.iter_mut().zip(&self.to_rate).for_each(|(p, factor)| *p *= factor);
    }
}

impl Nonlinear for Line {
    /// Writes -(u^2 / 2)_x.
    fn rate(&mut self, modes: &[Complex<f64>], rate: &mut [Complex<f64>]) {
        let mut velocity = std::mem::take(&mut self.velocity);
        self.kept_values(modes, &mut velocity);
        rate.iter_mut().zip(&velocity).for_each(|(r, u)| *r = (u.re * u.re).into());
        self.minus_half_derivative(rate);
        self.velocity = velocity;
    }

    fn slope(&mut self, change: &[Complex<f64>], slope: &mut [Complex<f64>]) {
        self.kept_values(change, slope);
        slope.iter_mut().zip(&self.velocity).for_each(|(s, u)| *s = (2.0 * u.re * s.re).into());
        self.minus_half_derivative(slope);
    }

    fn pull_back(&mut self, y: &[Complex<f64>], pulled: &mut [Complex<f64>]) {
        for ((p, y), factor) in pulled.iter_mut().zip(y).zip(&self.to_rate) {
            *p = y * factor.conj();
        }
        self.fft.inverse(pulled);
        pulled.iter_mut().zip(&self.velocity).for_each(|(p, u)| *p = (2.0 * u.re * p.re).into());
        self.fft.forward(pulled);
        pulled.iter_mut().zip(&self.kept).for_each(|(p, keep)| *p *= keep);
    }
}

impl Differentiable for Burgers {
    fn unknowns(&self, grid: Grid) -> usize {
        grid.nx
    }

    fn sample(&self, grid: Grid, white: &[f64]) -> Result<Fields> {
        let line = self.input.periodic_modes(grid.nx, grid.lx).field(white);
        Ok(self.solve(grid, &Fields::stack(1, grid.nx, &[&line]))?.fields)
    }

    fn gradient(
        &self,
        grid: Grid,
        _white: &[f64],
        sample: &Fields,
        pull: &[f64],
    ) -> Result<Vec<f64>> {
        let Grid { nx, lx, .. } = grid;
        let rows = sample.data.chunks_exact(nx).zip(pull.chunks_exact(nx)).rev();
        let steps = steps_of(&sample.data[..nx], lx, interval(grid));
        let mut line = Line::new(nx, lx, self.nu);
        let mut method = Etdrk4::new(&line.decay, interval(grid) / steps as f64);
        let mut gradient = vec![Complex::default(); nx];

        for (i, (row, pull)) in rows.enumerate() {
            if i > 0 {
                let start = line.modes_of(row);
                method.pull_back(&mut line, start, steps, std::slice::from_mut(&mut gradient));
            }
            // The row's own pull enters by the adjoint of the inverse transform. That of the
            // forward transform is applied once, after the loop.
            let own = line.modes_of(pull);
            gradient.iter_mut().zip(own).for_each(|(g, o)| *g += o);
        }

        line.fft.inverse(&mut gradient);
        Ok(self.input.periodic_modes(nx, lx).pull_back(&real(&gradient)))
    }
}

/// [`Collocation`] of the rows of samples on one grid.
pub struct Rows {
    line: Line,
    step: Hermite,
}

impl Rows {
    /// Returns the chain for viscosity `nu` > 0 on a grid of at least 2 x 2 points.
    pub fn new(nu: f64, grid: Grid) -> Self {
        let line = Line::new(grid.nx, grid.lx, nu);
        let kept = (0..grid.nx).filter(|&k| line.kept[k] > 0.0).map(|k| [k, mirrored(k, grid.nx)]);
        let moved = kept.filter(|[k, other]| k <= other).collect();
        let step = Hermite::new(&line.decay, interval(grid), moved);
        Self { line, step }
    }
}

impl Collocation for Rows {
    fn march(&self, sample: &mut Fields, sweeps: usize) {
        let mut rows = sample.data.chunks_exact_mut(sample.width);
        let Some(first) = rows.next().filter(|_| sweeps > 0) else { return };
        let (mut line, mut step) = (self.line.clone(), self.step.clone());

        let mut last = line.modes_of(first);
        for row in rows {
            let mut next = line.modes_of(row);
            step.solve(&mut line, &last, &mut next, sweeps, None);
            last.clone_from(&next);
            line.fft.inverse(&mut next);
            row.iter_mut().zip(&next).for_each(|(u, v)| *u = v.re);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::hermite::tests::assert_slope;
    use crate::testing::distance;
    use crate::{generate, rng};

    const AMPLITUDE: f64 = 0.5;

    fn sine(size: usize) -> Vec<f64> {
        (0..size).map(|j| AMPLITUDE * (2.0 * PI * j as f64 / size as f64).sin()).collect()
    }

    fn line(values: &[f64]) -> Fields {
        Fields::stack(1, values.len(), &[values])
    }

    /// The Cole-Hopf solution u = -2 nu phi_x / phi, with phi the heat flow of
    /// exp(A cos(2 pi x) / (4 pi nu)). Its cosine coefficients come from the trapezoidal rule,
    /// exact here to rounding.
    fn exact(nu: f64, x: f64, t: f64) -> f64 {
        let a = AMPLITUDE / (4.0 * PI * nu);
        let coefficient = |k: i32| {
            let angle = |j: i32| 2.0 * PI * f64::from(j) / 128.0;
            let value = |j| (a * (angle(j).cos() - 1.0)).exp() * (f64::from(k) * angle(j)).cos();
            (0..128).map(value).sum::<f64>() / if k == 0 { 128.0 } else { 64.0 }
        };
        let (mut phi, mut slope) = (0.0, 0.0);
        for k in 0..40 {
            let wave = 2.0 * PI * f64::from(k);
            let mode = coefficient(k) * (-nu * wave * wave * t).exp();
            phi += mode * (wave * x).cos();
            slope -= mode * wave * (wave * x).sin();
        }
        -2.0 * nu * slope / phi
    }

    #[test]
    fn space_converges_spectrally_to_cole_hopf() {
        let error = |size: usize| {
            let got = Line::new(size, 1.0, 0.01).march(&sine(size), 2, 1.0, 1000);
            let exact: Vec<_> =
                (0..size).map(|j| exact(0.01, j as f64 / size as f64, 1.0)).collect();
            distance(&got[size..], &exact)
        };
        let errors = [16, 32, 64, 96].map(error);
        eprintln!("errors at 16, 32, 64, 96 points: {errors:?}");
        for pair in errors.windows(2).take(2) {
            assert!(pair[1] < 0.1 * pair[0], "{errors:?}");
        }
        assert!(errors[2] < 1e-5 && errors[3] < 1e-8, "{errors:?}");
    }

    #[test]
    fn time_converges_to_cole_hopf_with_order_four() {
        let exact: Vec<_> = (0..96).map(|j| exact(0.02, j as f64 / 96.0, 1.0)).collect();
        let error = |steps| {
            distance(&Line::new(96, 1.0, 0.02).march(&sine(96), 2, 1.0, steps)[96..], &exact)
        };
        let errors = [20, 40, 80].map(error);
        for pair in errors.windows(2) {
            let order = (pair[0] / pair[1]).log2();
            assert!((3.7..4.6).contains(&order), "order {order}, errors {errors:?}");
        }
    }

    #[test]
    fn every_row_of_a_solution_is_cole_hopfs() {
        let solution = Burgers::default().solve(Grid::square(96), &line(&sine(96))).unwrap();
        let exact: Vec<_> = (0..96 * 96)
            .map(|i| exact(0.01, (i % 96) as f64 / 96.0, (i / 96) as f64 / 95.0))
            .collect();
        let error = distance(&solution.fields.data, &exact);
        eprintln!("{} steps, error {error:.1e}", solution.report.steps);
        assert!(error < 1e-6, "{error}");
    }

    #[test]
    fn the_mean_is_conserved_and_carries_the_line_along() {
        // Galilean invariance: the solution for u + c is that for u, moved by c t.
        let plain = Burgers::default().solve(Grid::square(64), &line(&sine(64))).unwrap().fields;
        let shifted: Vec<_> = sine(64).iter().map(|u| u + 0.5).collect();
        let moved = Burgers::default().solve(Grid::square(64), &line(&shifted)).unwrap().fields;
        let last = &moved.data[63 * 64..];
        assert!((last.iter().sum::<f64>() / 64.0 - 0.5).abs() < 1e-13);
        let back: Vec<_> = (0..64).map(|j| last[(j + 32) % 64] - 0.5).collect();
        assert!(distance(&back, &plain.data[63 * 64..]) < 1e-6);
    }

    #[test]
    fn the_chosen_time_step_is_accurate() {
        for size in [64, 128] {
            let pde = Burgers::default();
            for index in 0..8 {
                let input = pde
                    .random_input(Grid::square(size), &mut rng::stream(2, "input", 0, index))
                    .unwrap();
                let solution = pde.solve(Grid::square(size), &input).unwrap();
                let interval = 1.0 / (size - 1) as f64;
                let steps = 4 * solution.report.steps / (size - 1);
                let fine = Line::new(size, 1.0, pde.nu).march(&input.data, size, interval, steps);
                let error = distance(&solution.fields.data, &fine);
                eprintln!("{size}: {} steps, time error {error:.1e}", solution.report.steps);
                assert!(error < 1e-6, "{error}");
            }
        }
    }

    #[test]
    fn samples_have_the_published_deviations() {
        let samples = generate(&Burgers::default(), Grid::square(128), 17, 0..300).unwrap();
        let check = |values: fn(&Fields) -> &[f64], published: f64| {
            let square =
                |f: &Fields| values(f).iter().map(|u| u * u).sum::<f64>() / values(f).len() as f64;
            let squares: Vec<f64> = samples.iter().map(square).collect();
            let mean = squares.iter().sum::<f64>() / 300.0;
            let spread = squares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 300.0;
            let (rms, error) = (mean.sqrt(), (spread / 300.0).sqrt() / (2.0 * mean.sqrt()));
            eprintln!("{rms:.4} +- {error:.4}, published {published}");
            assert!((rms - published).abs() < 3.5 * error + 0.01 * published, "{rms} +- {error}");
        };
        check(|f| &f.data[..128], 0.274);
        check(|f| &f.data, 0.201);
    }

    #[test]
    fn input_and_solution_are_the_rows_of_a_sample() {
        let sample = Burgers::default().solve(Grid::square(16), &line(&sine(16))).unwrap().fields;
        assert_eq!(Burgers::default().input_of(&sample), line(&sine(16)));
        let solution = Burgers::default().solution_of(&sample);
        assert_eq!((solution.height, solution.width), (15, 16));
        assert_eq!(solution.data, sample.data[16..]);
    }

    #[test]
    fn what_the_grid_cannot_carry_is_refused() {
        let solve = |nu, size| {
            let mut pde = Burgers::default();
            pde.set_param("nu", nu)?;
            pde.solve(Grid::square(size), &line(&sine(size)))
        };
        assert!(solve(0.01, 64).is_ok());
        let message = solve(1e-4, 64).err().unwrap().to_string();
        assert!(message.contains("nu = 0.0001") && message.contains("finer grid"), "{message}");
        assert!(solve(0.0, 64).is_err() && solve(f64::NAN, 64).is_err());
        assert!(solve(0.01, 4).is_err());
    }

    #[test]
    fn the_slope_is_the_change_of_the_rate() {
        let mut law = Line::new(24, 1.0, 0.01);
        let [u, w] = [1, 2].map(|seed| {
            let values = rng::normals(&mut rng::stream(seed, "line", 0, 0), 24);
            law.modes_of(&values)
        });
        assert_slope(&mut law, &u, &w);
    }

    #[test]
    fn marching_leads_from_a_wrong_solution_to_the_solver_s() {
        let pde = Burgers::default();
        let exact = generate(&pde, Grid::square(64), 3, 0..1).unwrap().remove(0);
        let mut sample = exact.clone();
        sample.data[64..].iter_mut().for_each(|u| *u *= 1.1);
        let rows = Rows::new(pde.nu, Grid::square(64));
        let far = |sample: &Fields| distance(&sample.data, &exact.data);
        let before = far(&sample);
        rows.march(&mut sample, 0);
        assert_eq!(far(&sample), before);
        rows.march(&mut sample, 20);
        assert!(far(&sample) < 3e-4 * before, "{} of {before}", far(&sample));
        assert_eq!(sample.data[..64], exact.data[..64]);
    }
}
