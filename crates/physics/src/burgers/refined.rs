//! The solution on a grid fine enough for its fronts, sampled at the points of the input.

use rustfft::num_complex::Complex;

use super::{Burgers, Line, NAME, interval, solution, steps_of};
use crate::etdrk4::{Etdrk4, MOST_STEPS};
use crate::spectral::wave_number;
use crate::{Grid, Result, Solution, Warning, WarningKind};

/// The largest [`tail`] of a row's spectrum without a finer grid. The field then has an error of
/// some 1e-5 of its range, as a test against the Cole-Hopf solution shows.
const LARGEST_TAIL: f64 = 1e-3;

/// Points of the finest inner grid, which takes a minute for a line of speed 1.
pub(super) const FINEST: usize = 8192;

/// The solution on one inner grid.
struct Attempt {
    solution: Solution,
    /// The largest [`tail`] of all rows.
    tail: f64,
}

impl Burgers {
    /// Returns the solution for a line that was checked, on the first of the grids of n, 2 n, 4 n,
    /// ... points that resolves it. No grid of more than `finest` points is tried.
    pub(super) fn solve_refined(
        &self,
        grid: Grid,
        input: &[f64],
        finest: usize,
    ) -> Result<Solution> {
        let mut points = input.len();
        loop {
            let Attempt { mut solution, tail } = self.attempt(grid, input, points)?;
            if points > input.len() {
                solution.report.inner_points = Some(points);
            }

            if tail <= LARGEST_TAIL {
                return Ok(solution);
            }

            if 2 * points > finest || 2 * solution.report.steps > MOST_STEPS {
                solution.report.warnings.push(self.unresolved(points, tail));
                return Ok(solution);
            }
            points *= 2;
        }
    }

    /// Marches the trigonometric interpolant of the input on `points` points, a multiple of the
    /// input's.
    fn attempt(&self, grid: Grid, input: &[f64], points: usize) -> Result<Attempt> {
        let stride = points / input.len();
        let mut line = Line::new(points, grid.lx, self.nu);
        let mut modes = interpolated(&line_modes(input, self.nu), points);
        let steps = steps_of(&line.values_of(&modes), grid.lx, interval(grid));
        let mut method = Etdrk4::new(&line.decay, interval(grid) / steps as f64);

        let mut data = input.to_vec();
        let mut largest_tail = 0.0_f64;
        for _ in 1..grid.ny {
            line.advance(&mut method, &mut modes, steps);
            largest_tail = largest_tail.max(tail(&modes));
            data.extend(line.values_of(&modes).iter().step_by(stride));
        }
        Ok(Attempt { solution: solution(grid, data, steps)?, tail: largest_tail })
    }

    fn unresolved(&self, points: usize, tail: f64) -> Warning {
        let text = format!(
            "{NAME}: fronts are not resolved on the finest inner grid of {points} points: {:.2} % of \
             the slope lies at its largest wave numbers, and steep slopes may be wrong by as much; \
             take a larger nu than {}",
            100.0 * tail,
            self.nu
        );
        Warning { kind: WarningKind::UnresolvedSpectrum, severity: tail, text }
    }
}

fn line_modes(input: &[f64], nu: f64) -> Vec<Complex<f64>> {
    Line::new(input.len(), 1.0, nu).modes_of(input)
}

/// Returns the modes on `points` points of the line whose modes on fewer points are `coarse`.
fn interpolated(coarse: &[Complex<f64>], points: usize) -> Vec<Complex<f64>> {
    let size = coarse.len();
    if points == size {
        return coarse.to_vec();
    }

    let scale = points as f64 / size as f64;
    let mut fine = vec![Complex::default(); points];
    for (i, mode) in coarse.iter().enumerate() {
        let mode = mode * scale;
        match (2 * i).cmp(&size) {
            std::cmp::Ordering::Less => fine[i] = mode,
            std::cmp::Ordering::Greater => fine[points - (size - i)] = mode,
            // The mode of half the points is a cosine, which has one half at either sign.
            std::cmp::Ordering::Equal => {
                fine[i] = mode * 0.5;
                fine[points - i] = mode * 0.5;
            }
        }
    }
    fine
}

/// Returns the share of a line's root mean square slope at large wave numbers: those in the last
/// sixth that the 2/3 rule keeps, and beyond.
///
/// The modes of a front fall geometrically with the wave number. The modes that a grid leaves out
/// therefore hold less than those of its last sixth.
fn tail(modes: &[Complex<f64>]) -> f64 {
    let points = modes.len();
    let [mut all, mut last] = [0.0, 0.0];
    for (i, mode) in modes.iter().enumerate() {
        let square = mode.norm_sqr() * wave_number(i, points, 1.0).powi(2);
        all += square;
        // The 2/3 rule cuts at a third of the points; this is 5/6 of that.
        if 18 * i.min(points - i) >= 5 * points {
            last += square;
        }
    }
    if all > 0.0 { (last / all).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{Fields, Pde};
    use std::f64::consts::PI;

    /// Value and slope at (x, t) of the Cole-Hopf solution.
    ///
    /// The value is the mean of (x - y) / t over all y under the weight
    /// exp(-F(y) / 2 nu - (x - y)^2 / 4 nu t). Here F is a primitive of the first line. All weights
    /// are positive, so that no digits cancel.
    fn cole_hopf(nu: f64, primitive: impl Fn(f64) -> f64, x: f64, t: f64) -> [f64; 2] {
        let count = 8000;
        let point = |j: i32| x + 4.0 * f64::from(j) / f64::from(count) - 2.0;
        let exponent = |y: f64| -primitive(y) / (2.0 * nu) - (x - y).powi(2) / (4.0 * nu * t);
        let highest = (0..=count).map(|j| exponent(point(j))).fold(f64::NEG_INFINITY, f64::max);

        let [mut weight, mut mean, mut square] = [0.0; 3];
        for y in (0..=count).map(point) {
            let (w, speed) = ((exponent(y) - highest).exp(), (x - y) / t);
            weight += w;
            mean += w * speed;
            square += w * speed * speed;
        }
        mean /= weight;
        [mean, 1.0 / t - (square / weight - mean * mean) / (2.0 * nu)]
    }

    const AMPLITUDE: f64 = 0.5;

    fn sine(size: usize) -> Vec<f64> {
        (0..size).map(|j| AMPLITUDE * (2.0 * PI * j as f64 / size as f64).sin()).collect()
    }

    fn sine_primitive(y: f64) -> f64 {
        -AMPLITUDE / (2.0 * PI) * (2.0 * PI * y).cos()
    }

    fn line(values: &[f64]) -> Fields {
        Fields::stack(1, values.len(), &[values])
    }

    fn with_viscosity(nu: f64) -> Burgers {
        Burgers { nu, ..Burgers::default() }
    }

    /// The largest error in row `i` of a sample.
    fn row_error(sample: &Fields, i: usize, exact: impl Fn(f64, f64) -> f64) -> f64 {
        let size = sample.width;
        let t = i as f64 / (size - 1) as f64;
        let row = sample.data[i * size..][..size].iter().enumerate();
        row.map(|(j, u)| (u - exact(j as f64 / size as f64, t)).abs()).fold(0.0, f64::max)
    }

    /// The front of the literature's benchmark (nu = 0.01 / pi on an interval of length 2),
    /// steepest at t = 0.51, with a slope of -152.
    #[test]
    fn a_front_too_steep_for_the_grid_is_cole_hopf_s() {
        let nu = 0.01 / (4.0 * PI);
        let [_, steepest] = cole_hopf(nu, sine_primitive, 0.5, 0.5105);
        assert!((steepest + 152.0).abs() < 0.1, "{steepest}");
        for size in [128, 256] {
            let solution =
                with_viscosity(nu).solve_checked(Grid::square(size), &line(&sine(size))).unwrap();
            assert!(
                solution.report.warnings.is_empty() && solution.report.inner_points > Some(size)
            );
            for i in [size / 4, size / 2 + 1, size - 1] {
                let exact = |x, t| cole_hopf(nu, sine_primitive, x, t)[0];
                let error = row_error(&solution.fields, i, exact);
                assert!(error < 2e-5, "{size} points, row {i}: {error:.1e}");
            }
        }
    }

    #[test]
    fn the_tail_bounds_the_error_and_falls_with_it() {
        let nu = 0.01 / (4.0 * PI);
        let exact = |x, t| cole_hopf(nu, sine_primitive, x, t)[0];
        let mut last = f64::INFINITY;
        for points in [64, 128, 256, 512, 1024] {
            let Attempt { solution, tail } =
                with_viscosity(nu).attempt(Grid::square(64), &sine(64), points).unwrap();
            let error = row_error(&solution.fields, 33, exact);
            eprintln!("{points} points: tail {tail:.1e}, error {error:.1e}");
            assert!(error < tail && tail < last);
            last = tail;
        }
    }

    #[test]
    fn a_closed_form_is_met_without_refinement() {
        let nu = 0.05;
        let exact = |x: f64, t: f64| {
            let e = (-4.0 * PI * PI * nu * t).exp();
            4.0 * PI * nu * e * (2.0 * PI * x).sin() / (1.2 + e * (2.0 * PI * x).cos())
        };
        let first: Vec<f64> = (0..64).map(|j| exact(f64::from(j) / 64.0, 0.0)).collect();
        let solution = with_viscosity(nu).solve_checked(Grid::square(64), &line(&first)).unwrap();
        assert_eq!(solution.report.inner_points, None);
        assert_eq!(solution, with_viscosity(nu).solve(Grid::square(64), &line(&first)).unwrap());
        for i in [1, 32, 63] {
            assert!(row_error(&solution.fields, i, exact) < 1e-6);
        }
    }

    /// A step from 1 down to 0 at x = 1/2 and up again at x = 0.
    #[test]
    fn a_step_becomes_the_front_and_the_fan_of_cole_and_hopf() {
        let size = 128;
        let step: Vec<f64> = (0..size).map(|j| if j < size / 2 { 1.0 } else { 0.0 }).collect();

        // Each node's value stands for the half spacings around it.
        let edge = 0.5 / size as f64;
        let primitive = |y: f64| {
            let y = y + edge;
            0.5 * y.floor() + (y - y.floor()).min(0.5)
        };

        let solution =
            with_viscosity(0.01).solve_checked(Grid::square(size), &line(&step)).unwrap();
        for i in [16, 64, 127] {
            let error = row_error(&solution.fields, i, |x, t| cole_hopf(0.01, primitive, x, t)[0]);
            assert!(error < 5e-4, "row {i}: {error:.1e}");
        }

        let range = -1e-5..=1.00001;
        assert!(solution.fields.data[size..].iter().all(|u| range.contains(u)));
    }

    #[test]
    fn a_viscosity_too_small_for_the_input_s_grid_is_still_refused() {
        let message = with_viscosity(1e-4)
            .solve_checked(Grid::square(64), &line(&sine(64)))
            .unwrap_err()
            .to_string();
        assert!(message.contains("finer grid"), "{message}");
    }

    #[test]
    fn a_line_that_would_take_forever_is_refused_with_the_bound() {
        for values in [vec![1e30; 64], vec![-1e9; 64], vec![f64::MAX; 64]] {
            for outcome in [
                with_viscosity(0.01).solve(Grid::square(64), &line(&values)),
                with_viscosity(0.01).solve_checked(Grid::square(64), &line(&values)),
            ] {
                let message = outcome.unwrap_err().to_string();
                assert!(message.contains("may be at most 3.1"), "{message}");
            }
        }
    }

    #[test]
    fn a_cap_that_is_met_warns() {
        let solution = with_viscosity(1e-3).solve_refined(Grid::square(48), &sine(48), 96).unwrap();
        let [warning] = &solution.report.warnings[..] else { panic!("{:?}", solution.report) };
        assert_eq!(warning.kind, WarningKind::UnresolvedSpectrum);
        assert!(warning.text.contains("96 points"), "{}", warning.text);
        assert_eq!(solution.report.inner_points, Some(96));
    }

    #[test]
    fn an_interpolant_goes_through_the_points() {
        for size in [8, 9] {
            let values: Vec<f64> = (0..size).map(|j| (j * j % 7) as f64).collect();
            let fine = interpolated(&line_modes(&values, 0.01), 4 * size);
            let found = Line::new(4 * size, 1.0, 0.01).values_of(&fine);
            for (j, value) in values.iter().enumerate() {
                assert!((found[4 * j] - value).abs() < 1e-13);
            }
        }
    }
}
