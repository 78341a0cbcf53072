//! The check whether the vorticity's spectrum has decayed at the grid's largest wave numbers.

use rustfft::num_complex::Complex;

use super::{Flow, NAME, NavierStokes};
use crate::{Fields, Grid, Warning, WarningKind};

/// The largest [`tail`] without a warning. The error of the field is then below a percent, as a
/// test against a finer grid shows.
const LARGEST_TAIL: f64 = 0.01;

impl NavierStokes {
    /// Returns a warning if a snapshot of the sample is not resolved. The input, which is given, is
    /// left out.
    pub(super) fn unresolved(&self, grid: Grid, sample: &Fields) -> Option<Warning> {
        let flow = Flow::new(grid, self.nu, self.forcing);
        let of = |c| tail(&flow.modes_of(sample.channel(c)), grid);
        let largest = (1..sample.channels).map(of).fold(0.0, f64::max);
        if largest <= LARGEST_TAIL {
            return None;
        }

        let text = format!(
            "{NAME}: the flow is not resolved on {} x {} points: {:.2} % of the vorticity lies at \
             the largest wave numbers, and the field may be wrong by as much; take a finer grid or a \
             larger nu",
            grid.ny,
            grid.nx,
            100.0 * largest
        );
        Some(Warning { kind: WarningKind::UnresolvedSpectrum, severity: largest, text })
    }
}

/// The share of the root mean square vorticity at large wave numbers, the mean excluded.
///
/// A mode counts if either of its wave numbers is in the last sixth of those that the 2/3 rule
/// keeps, or beyond.
fn tail(modes: &[Complex<f64>], grid: Grid) -> f64 {
    // The 2/3 rule cuts at a third of the points; this is 5/6 of that.
    let is_last = |i: usize, points: usize| 18 * i.min(points - i) >= 5 * points;
    let [mut all, mut last] = [0.0, 0.0];
    for (i, mode) in modes.iter().enumerate().skip(1) {
        let square = mode.norm_sqr();
        all += square;
        if is_last(i / grid.ny, grid.nx) || is_last(i % grid.ny, grid.ny) {
            last += square;
        }
    }
    if all > 0.0 { (last / all).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{eddies, field, on_grid};
    use crate::{Pde, generate};

    /// Severity of the warning, if any, and the relative error against a grid twice as fine.
    fn doubt_and_error(pde: &NavierStokes, size: usize) -> (Option<f64>, f64) {
        let solve = |size| {
            pde.solve_checked(Grid::square(size), &field(size, &on_grid(size, eddies))).unwrap()
        };
        let [coarse, fine] = [size, 2 * size].map(solve);
        let at = |i: usize| fine.fields.channel(1)[2 * (i / size) * 2 * size + 2 * (i % size)];
        let exact: Vec<f64> = (0..size * size).map(at).collect();
        let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
        let error = coarse.fields.channel(1).iter().zip(&exact).map(|(a, b)| a - b);
        let error = norm(&mut error.into_iter()) / norm(&mut exact.iter().copied());
        (coarse.report.warnings.first().map(|w| w.severity), error)
    }

    #[test]
    fn a_flow_finer_than_the_grid_is_told_and_a_resolved_one_is_not() {
        for (nu, time, told) in [(3e-4, 3.0, true), (1e-3, 3.0, false)] {
            let pde = NavierStokes { nu, time, ..NavierStokes::default() };
            let (doubt, error) = doubt_and_error(&pde, 48);
            eprintln!("nu {nu}, time {time}: doubt {doubt:?}, error {error:.1e}");
            assert_eq!(doubt.is_some(), told, "nu {nu}: {doubt:?}");
            assert_eq!(error > 2e-3, told, "nu {nu}: {error}");
        }
    }

    #[test]
    fn the_benchmark_s_own_flows_are_resolved() {
        let pde = NavierStokes::default();
        for sample in generate(&pde, Grid::square(64), 7, 0..4).unwrap() {
            assert_eq!(pde.unresolved(Grid::square(64), &sample), None);
        }
    }
}
