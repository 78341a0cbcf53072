//! Derivatives of a solution with respect to its input, which conditional solving of nonlinear
//! equations needs.

use crate::{Fields, Grid, Result};

/// A PDE with a known derivative of the solution with respect to the input.
pub trait Linearisable: Send + Sync {
    /// Returns the equation linearised at `input`, on `grid`.
    ///
    /// # Errors
    /// Fails as [`Pde::solve`](crate::Pde::solve) does.
    fn linearised(&self, grid: Grid, input: &Fields) -> Result<Box<dyn Linearised>>;

    /// Moves an input that a linear step has led to onto the nearest admissible one: the equation
    /// must have a solution there, and the linear step must be meaningful.
    fn admit(&self, input: &mut Fields);
}

/// The derivative of the solution at one input.
pub trait Linearised: Send + Sync {
    /// Returns the derivative of each functional in every value of the input,
    /// `[functional, value]`. A functional is a weighted sum of values of the solution, given as
    /// pairs of flat index and weight.
    ///
    /// # Errors
    /// Fails on an index outside the solution, and on failures of the solver.
    fn slopes(&self, functionals: &[Vec<(usize, f64)>]) -> Result<Vec<f64>>;

    /// Returns the solution for `input`, which is near the one of the linearisation.
    ///
    /// # Errors
    /// Fails as [`Pde::solve`](crate::Pde::solve) does.
    fn solution(&self, input: &Fields) -> Result<Vec<f64>>;

    /// Returns the first-order change of the solution for a change `change` of the input.
    ///
    /// # Errors
    /// Fails on a change of another length than the input, and on failures of the solver.
    fn change(&self, change: &[f64]) -> Result<Vec<f64>>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::registry::by_name;
    use crate::{Fields, Grid, rng};

    const GRIDS: [Grid; 2] = [Grid::square(10), Grid { ny: 9, nx: 12, ly: 0.7, lx: 1.1 }];

    #[test]
    fn slopes_and_changes_are_those_of_the_solver() {
        let cases =
            [("darcy", "boundary", 0.5), ("darcy", "boundary", 1.0), ("navier-stokes", "nu", 0.1)];
        for ((name, param, value), grid) in
            cases.into_iter().flat_map(|case| GRIDS.map(|grid| (case, grid)))
        {
            let field = |values: &[f64]| Fields::stack(grid.ny, grid.nx, &[values]);
            let mut pde = by_name(name).unwrap();
            pde.set_param(param, value).unwrap();
            let equation = pde.linearisable().unwrap();

            let draw = |stream| rng::normals(&mut rng::stream(5, stream, 0, 0), grid.points());
            let a: Vec<f64> = draw("a").iter().map(|v| 5.0 + v).collect();
            let change = draw("change");

            let solution = |by: f64| {
                let a: Vec<f64> = a.iter().zip(&change).map(|(a, c)| a + by * c).collect();
                let solved = pde.solve(grid, &field(&a)).unwrap().fields;
                pde.solution_of(&solved).data
            };

            let [below, above] = [-1e-4, 1e-4].map(&solution);
            let near = equation.linearised(grid, &field(&a)).unwrap();
            let own = near.change(&change).unwrap();

            // Averages of each point and the one before it, except for the first point.
            let points = (0..grid.points()).rev();
            let between =
                |p: usize| if p == 0 { vec![(0, 1.0)] } else { vec![(p, 0.7), (p - 1, 0.3)] };
            let functionals: Vec<_> = points.map(between).collect();

            let slopes = near.slopes(&functionals).unwrap();
            let outside = [vec![(0, 1.0), (grid.points(), 0.5)]];
            assert!(near.slopes(&outside).is_err() && near.change(&[1.0]).is_err());

            let largest = own.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            // An evolution is linearised with longer time steps than the solver's.
            let exact = if name == "darcy" { 1e-6 } else { 1e-2 };
            for p in 0..grid.points() {
                let expected = (above[p] - below[p]) / 2e-4;
                assert!((own[p] - expected).abs() < exact * largest, "{name}: {p}");
            }

            for (row, functional) in slopes.chunks_exact(grid.points()).zip(&functionals) {
                let expected: f64 = functional.iter().map(|&(p, weight)| weight * own[p]).sum();
                let by_slopes: f64 = row.iter().zip(&change).map(|(s, c)| s * c).sum();
                assert!((by_slopes - expected).abs() < 1e-6 * largest, "{name}: {functional:?}");
            }
            let moved: Vec<f64> = a.iter().zip(&change).map(|(a, c)| a + 0.1 * c).collect();
            let moved = near.solution(&field(&moved)).unwrap();
            let expected = solution(0.1);
            for (moved, expected) in moved.iter().zip(&expected) {
                let away = (moved - expected).abs();
                assert!(away < exact * 0.1 * largest, "{name}: {moved} {expected}");
            }
        }
    }

    #[test]
    fn what_is_admitted_can_be_solved() {
        let grid = GRIDS[1];
        let pde = by_name("darcy").unwrap();
        let equation = pde.linearisable().unwrap();
        let draws = rng::normals(&mut rng::stream(6, "a", 0, 0), grid.points());
        let a: Vec<f64> = draws.iter().map(|v| 50.0 * v).collect();
        let mut input = Fields::stack(grid.ny, grid.nx, &[&a]);
        assert!(pde.solve(grid, &input).is_err());
        equation.admit(&mut input);
        let once = input.clone();
        equation.admit(&mut input);
        assert_eq!(input, once);
        assert!(pde.solve(grid, &input).is_ok());
    }
}
