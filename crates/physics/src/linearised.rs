//! How a solution changes with its input, to first order: what conditional solving asks of an equation
//! that is not linear.

use crate::{Fields, Result};

/// A PDE whose solution's derivative in the input is known.
pub trait Linearisable: Send + Sync {
    /// The equation near `input`.
    ///
    /// # Errors
    /// As [`Pde::solve`](crate::Pde::solve).
    fn linearised(&self, input: &Fields) -> Result<Box<dyn Linearised>>;
}

/// The derivative of the solution at one input.
pub trait Linearised: Send + Sync {
    /// That of the solution's values at `points`, its flat places, in every value of the input,
    /// `[point, value]`.
    ///
    /// # Errors
    /// What the solver answers.
    fn slopes(&self, points: &[usize]) -> Result<Vec<f64>>;

    /// By what the solution changes if the input does by `change`.
    ///
    /// # Errors
    /// What the solver answers.
    fn solution(&self, change: &[f64]) -> Result<Vec<f64>>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::registry::{NAMES, by_name};
    use crate::{Fields, rng};

    const SIZE: usize = 7;

    #[test]
    fn slopes_and_changes_are_those_of_the_solver() {
        let mut known = 0;
        let nodes = [("darcy", "boundary", 1.0)];
        let settings = NAMES.map(|name| (name, "", 0.0)).into_iter().chain(nodes);
        for (name, param, value) in settings {
            let mut pde = by_name(name).unwrap();
            if !param.is_empty() {
                pde.set_param(param, value).unwrap();
            }
            let Some(equation) = pde.linearisable() else { continue };
            known += 1;
            let draw = |stream| rng::normals(&mut rng::stream(5, stream, 0, 0), SIZE * SIZE);
            let a: Vec<f64> = draw("a").iter().map(|v| 5.0 + v).collect();
            let change = draw("change");
            let solution = |by: f64| {
                let a: Vec<f64> = a.iter().zip(&change).map(|(a, c)| a + by * c).collect();
                let solved = pde.solve(&Fields::stack(SIZE, SIZE, &[&a])).unwrap().fields;
                pde.solution_of(&solved).data
            };
            let [below, above] = [solution(-1e-4), solution(1e-4)];
            let near = equation.linearised(&Fields::stack(SIZE, SIZE, &[&a])).unwrap();
            let own = near.solution(&change).unwrap();
            // More points than one block of right-hand sides, none twice in order.
            let points: Vec<usize> = (0..SIZE * SIZE).rev().collect();
            let slopes = near.slopes(&points).unwrap();
            let largest = own.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for (row, &p) in slopes.chunks_exact(SIZE * SIZE).zip(&points) {
                let expected = (above[p] - below[p]) / 2e-4;
                let by_slopes: f64 = row.iter().zip(&change).map(|(s, c)| s * c).sum();
                assert!((own[p] - expected).abs() < 1e-6 * largest, "{name}: {p}");
                assert!((by_slopes - own[p]).abs() < 1e-10 * largest, "{name}: {p}");
            }
        }
        assert_eq!(known, 2);
    }
}
