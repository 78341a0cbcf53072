//! Comparison of the pressure with that on a grid three times as fine.
//!
//! Every cell is cut into 3 x 3 cells with its coefficient, so that both grids describe one
//! problem. A third of the finer grid's points along each axis are those of the coarser grid.

use super::{Darcy, NAME, Solved};
use crate::{Fields, Grid, Result, Warning, WarningKind};

/// The largest ratio of two coefficients that needs no comparison: that of the benchmark.
const PLAIN_CONTRAST: f64 = 4.0;

/// Relative difference of the two pressures from which on there is a warning.
const TOLD: f64 = 0.01;

/// Points a side of the largest square grid that is compared; its finer grid needs some 300 MB.
/// Another grid may have as many points.
const LARGEST: usize = 256;

/// Number of finer cells along an axis of a cell.
const CUT: usize = 3;

impl Darcy {
    /// Returns a warning if the pressure `u` for the coefficient `input` differs from that on the
    /// finer grid, or if the grid is too large to compare.
    pub(super) fn second_look(
        &self,
        grid: Grid,
        input: &Fields,
        u: &[f64],
    ) -> Result<Option<Warning>> {
        let contrast = contrast(&input.data);
        if contrast <= PLAIN_CONTRAST {
            return Ok(None);
        }
        if grid.points() > LARGEST * LARGEST {
            let text = format!(
                "{NAME}: at a contrast of {contrast:.1e} the grid's error may be large; on more than \
                 {LARGEST} x {LARGEST} points it is not measured; compare with a grid of your own"
            );
            let kind = WarningKind::Unchecked;
            return Ok(Some(Warning { kind, severity: contrast, text }));
        }

        let difference = relative_difference(u, &self.on_finer_grid(grid, input)?);
        if difference < TOLD {
            return Ok(None);
        }

        let text = format!(
            "{NAME}: the pressure differs by {:.3} % (relative L2) from that on a grid three times as \
             fine, at a contrast of {contrast:.1e}; its error is at least that; take a finer grid",
            100.0 * difference
        );
        Ok(Some(Warning { kind: WarningKind::CoarseGrid, severity: difference, text }))
    }

    /// Returns the finer grid's pressure on the points of `input`.
    fn on_finer_grid(&self, grid: Grid, input: &Fields) -> Result<Vec<f64>> {
        let Grid { ny, nx, ly, lx } = grid;
        let nodes = self.boundary == super::NODES;
        // Between the outermost nodes and the walls there is one more finer node.
        let margin = usize::from(nodes);
        let [fine_y, fine_x] = [ny, nx].map(|points| CUT * points + 2 * margin);
        let fine = Grid::new([fine_y, fine_x], [ly, lx])?;

        let cell = |i: usize, points: usize| (i.saturating_sub(margin) / CUT).min(points - 1);
        let a: Vec<f64> = (0..fine.points())
            .map(|i| input.data[cell(i / fine_x, ny) * nx + cell(i % fine_x, nx)])
            .collect();
        let source = vec![self.source; fine.points()];
        let coefficient = Fields::stack(fine_y, fine_x, &[&a]);
        let solved = Solved::new(fine, &coefficient, &source, self.boundary)?;

        let centre = |i: usize| margin + CUT * i + CUT / 2;
        let at = |i: usize| solved.u[centre(i / nx) * fine_x + centre(i % nx)];
        Ok((0..grid.points()).map(at).collect())
    }
}

fn contrast(a: &[f64]) -> f64 {
    let largest = a.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    largest / a.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Returns | u - exact | / | exact |.
fn relative_difference(u: &[f64], exact: &[f64]) -> f64 {
    // Divided by the largest value first: the square of a pressure of 1e200 overflows.
    let scale = exact.iter().fold(f64::MIN_POSITIVE, |most, v| most.max(v.abs()));
    let norm = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|v| (v / scale).powi(2)).sum::<f64>().sqrt()
    };
    norm(&mut u.iter().zip(exact).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::darcy::spacing;
    use crate::{Pde, generate};

    fn coefficient(size: usize, a: impl Fn(usize, usize) -> f64) -> Fields {
        let values: Vec<f64> = (0..size * size).map(|i| a(i / size, i % size)).collect();
        Fields::stack(size, size, &[&values])
    }

    fn checked(boundary: f64, a: &Fields) -> Vec<Warning> {
        let pde = Darcy { boundary, ..Darcy::default() };
        pde.solve_checked(Grid::square(a.width), a).unwrap().report.warnings
    }

    #[test]
    fn both_grids_have_the_same_points() {
        for boundary in [super::super::CELLS, super::super::NODES] {
            let pde = Darcy { boundary, ..Darcy::default() };
            let difference = |size: usize| {
                let a = coefficient(size, |_, _| 2.0);
                let grid = Grid::square(size);
                let u = pde.solve(grid, &a).unwrap().fields;
                relative_difference(u.channel(1), &pde.on_finer_grid(grid, &a).unwrap())
            };
            let [coarse, fine] = [16, 64].map(|n| spacing(Grid::square(n), boundary)[0]);
            let refinement = coarse / fine;
            let order = (difference(16) / difference(64)).ln() / refinement.ln();
            assert!((order - 2.0).abs() < 0.1, "{boundary}: order {order}");
        }
    }

    #[test]
    fn a_checkerboard_of_high_contrast_is_told_and_layers_are_not() {
        let size = 32;
        let board = coefficient(size, |y, x| if (y / 4 + x / 4) % 2 == 0 { 1e6 } else { 1.0 });
        let layers = coefficient(size, |y, _| if y < size / 2 { 1.0 } else { 1e4 });
        for boundary in [super::super::CELLS, super::super::NODES] {
            let [warning] = &checked(boundary, &board)[..] else { panic!("{boundary}") };
            assert_eq!(warning.kind, WarningKind::CoarseGrid);
            assert!(warning.severity > 0.1, "{warning:?}");
            assert_eq!(checked(boundary, &layers), []);
        }
    }

    #[test]
    fn the_law_s_own_coefficients_get_no_second_solve() {
        let (pde, grid) = (Darcy::default(), Grid::square(16));
        let sample = &generate(&pde, grid, 1, 0..1).unwrap()[0];
        let input = pde.input_of(sample);
        // A pressure of zero differs from every other, so that a comparison would give a warning.
        assert_eq!(pde.second_look(grid, &input, &[0.0; 256]), Ok(None));
        assert_eq!(pde.solve_checked(grid, &input), pde.solve(grid, &input));
    }

    #[test]
    fn a_grid_too_large_for_the_comparison_says_so() {
        let a = coefficient(LARGEST + 1, |y, _| if y == 0 { 100.0 } else { 1.0 });
        let told =
            Darcy::default().second_look(Grid::square(LARGEST + 1), &a, &a.data).unwrap().unwrap();
        assert_eq!(told.kind, WarningKind::Unchecked);
    }
}
