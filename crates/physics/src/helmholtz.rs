//! The Helmholtz problem lap u + k^2 u = a on a rectangle, u = 0 on the boundary.
//!
//! Along a side of length l, n nodes lie at `j l / (n - 1)`, with the five-point Laplacian. The
//! discrete equations are solved exactly in its sine modes, as in [`crate::poisson`].

use crate::input::{self, nodes};
use crate::law::clear_boundary;
use crate::poisson::{coarse_grid, operator_change, solve_nodes, symbol};
use crate::random_field::FieldLaw;
use crate::symmetry::Symmetry;
use crate::{
    Basis, Channel, Error, Fields, GaussianField, Grid, InputLaw, Param, Pde, Result, Solution,
    SolveReport,
};

mod resonance;

const NAME: &str = "helmholtz";
const SMALLEST: usize = 3;

/// Smallest distance of k^2 from an eigenvalue of the discrete -lap, relative to that eigenvalue.
/// At this distance the resonant mode is amplified a million times and still has ten digits.
const RESONANCE: f64 = 1e-6;

/// Smallest distance of k^2 from an eigenvalue of -lap itself, relative to that eigenvalue. A
/// nearer k is a resonance written with eight digits or more, where the equation has no solution.
const EXACT_RESONANCE: f64 = 1e-8;

/// The Helmholtz problem. Its source `a` is a Neumann field of law `input`, 0 on the boundary.
#[derive(Debug, Clone, PartialEq)]
pub struct Helmholtz {
    /// Wave number, at least 0, and at most 1/h for the largest spacing h of the grid that it is
    /// solved on.
    pub k: f64,
    /// The law of the random source.
    pub input: FieldLaw,
}

impl Default for Helmholtz {
    fn default() -> Self {
        Self { k: 1.0, input: FieldLaw { alpha: 2.0, tau: 3.0 } }
    }
}

impl Pde for Helmholtz {
    fn name(&self) -> &str {
        NAME
    }

    fn equation(&self) -> &str {
        "lap u + k^2 u = a on a rectangle, u = 0 on the boundary"
    }

    fn channels(&self) -> Vec<Channel> {
        vec![
            // The source is cut at the boundary and does not fall to zero there: its sine modes
            // would depend on each other too.
            Channel::new("a", "source, 0 on the boundary", [Basis::CosineNodes; 2]).dimensionless(),
            Channel::new("u", "solution", [Basis::SineNodes; 2]).dimensionless(),
        ]
    }

    fn params(&self) -> Vec<Param> {
        let meaning = "wave number, at least 0; k^2 off the eigenvalues of -lap";
        let mut params = vec![Param::new("k", self.k, meaning)];
        params.extend(self.input.params());
        params
    }

    fn set_param(&mut self, name: &str, value: f64) -> Result<()> {
        if name != "k" {
            return self.input.set(NAME, name, value, "k, ");
        }
        if !(value.is_finite() && value >= 0.0) {
            return Err(out_of_range(value, "finite and at least 0".into()));
        }
        self.k = value;
        Ok(())
    }

    fn input_law(&self) -> InputLaw {
        InputLaw::Gaussian { field: GaussianField::Neumann(self.input), zero_boundary: true }
    }

    fn smallest_grid(&self) -> usize {
        SMALLEST
    }

    fn solve_bytes(&self, grid: Grid) -> f64 {
        // Measured: 174 MB at 2048 points a side.
        100.0 * grid.points() as f64
    }

    /// Solves the equation. The source on boundary nodes plays no part and is returned as 0.
    fn solve(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        input::check(self, grid, input)?;
        self.check_wave_number(grid)?;
        let mut a = input.channel(0).to_vec();
        clear_boundary(grid, &mut a);
        let u = solve_nodes(grid, &a, self.k * self.k);
        Ok(Solution {
            fields: Fields::stack(grid.ny, grid.nx, &[&a, &u]),
            report: SolveReport::default(),
        })
    }

    fn solve_checked(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        let mut solution = self.solve(grid, input)?;
        let change = operator_change(grid, solution.fields.channel(0), self.k * self.k);
        let doubt = self.near_resonance(grid, change);
        solution.report.warnings.extend(doubt.or_else(|| coarse_grid(NAME, change)));
        Ok(solution)
    }

    fn symbol(&self, grid: Grid) -> Option<Vec<f64>> {
        Some(symbol(grid, self.k * self.k))
    }

    fn symmetries(&self, grid: Grid) -> Vec<Symmetry> {
        Symmetry::of_rectangle(grid)
    }

    fn points(&self, grid: Grid) -> [Vec<f64>; 2] {
        [nodes(grid.ny, grid.ly), nodes(grid.nx, grid.lx)]
    }
}

impl Helmholtz {
    /// Refuses wave numbers that the grid does not resolve, and resonances.
    fn check_wave_number(&self, grid: Grid) -> Result<()> {
        // One over the coarser of the two spacings.
        let largest = ((grid.ny - 1) as f64 / grid.ly).min((grid.nx - 1) as f64 / grid.lx);
        if self.k > largest {
            let expected = format!("at most {largest} (six nodes to a wave) on a grid of {grid}");
            return Err(out_of_range(self.k, expected));
        }

        for mode in resonance::modes(grid) {
            let [my, mx] = mode.waves;
            let operators = [
                (mode.discrete, RESONANCE, "the discrete -lap"),
                (mode.continuous, EXACT_RESONANCE, "-lap: a resonance"),
            ];
            for (square, margin, operator) in operators {
                if (self.k * self.k - square).abs() < margin * square {
                    let expected = format!(
                        "k^2 off the eigenvalue {square} of mode ({my}, {mx}) of {operator}, by at \
                         least {margin:e} of it"
                    );
                    return Err(out_of_range(self.k, expected));
                }
            }
        }
        Ok(())
    }
}

fn out_of_range(value: f64, expected: String) -> Error {
    Error::OutOfRange { pde: NAME.into(), name: "k".into(), value, expected }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::generate;
    use crate::laplacian::eigenvalue;
    use crate::testing::on_nodes;
    use std::f64::consts::PI;

    #[test]
    fn the_discrete_equations_hold_to_round_off() {
        let size = 33;
        let pde = Helmholtz { k: 3.0, ..Helmholtz::default() };
        let sample = &generate(&pde, Grid::square(size), 3, 0..1).unwrap()[0];
        let [a, u] = [sample.channel(0), sample.channel(1)];
        let h2 = 1.0 / ((size - 1) * (size - 1)) as f64;
        for (y, x) in (0..size).flat_map(|y| (0..size).map(move |x| (y, x))) {
            let i = y * size + x;
            if y == 0 || x == 0 || y == size - 1 || x == size - 1 {
                assert_eq!([a[i], u[i]], [0.0, 0.0]);
            } else {
                let lap = (u[i - 1] + u[i + 1] + u[i - size] + u[i + size] - 4.0 * u[i]) / h2;
                assert!((lap + 9.0 * u[i] - a[i]).abs() < 1e-11);
            }
        }
    }

    #[test]
    fn wave_number_zero_is_the_poisson_problem() {
        let grid = Grid::square(20);
        let draws = &mut crate::rng::stream(1, "a", 0, 0);
        let a = Helmholtz::default().random_input(grid, draws).unwrap();
        let pde = Helmholtz { k: 0.0, ..Helmholtz::default() };
        let poisson = crate::poisson::Poisson::default();
        assert_eq!(pde.solve(grid, &a).unwrap().fields, poisson.solve(grid, &a).unwrap().fields);
    }

    fn first_mode(size: usize) -> Fields {
        let mode = on_nodes(size, |y, x| (PI * x).sin() * (PI * y).sin());
        Fields::stack(size, size, &[&mode])
    }

    fn checked(k: f64, source: &Fields) -> Result<Solution> {
        Helmholtz { k, ..Helmholtz::default() }.solve_checked(Grid::square(source.width), source)
    }

    #[test]
    fn near_a_resonance_the_change_of_the_amplitude_is_told() {
        let size = 33;
        let source = first_mode(size);
        for (k, exact) in [(4.44, -39.05), (4.438, -23.06)] {
            let solution = checked(k, &source).unwrap();
            let [warning] = &solution.report.warnings[..] else { panic!("{solution:?}") };
            assert_eq!(warning.kind, crate::WarningKind::NearResonance);
            let amplitude = solution.fields.channel(1)[size * size / 2];
            let change = amplitude / exact - 1.0;
            assert!((warning.severity - change).abs() < 1e-3 * change, "{warning:?} {change}");
            let text = &warning.text;
            assert!(text.contains("19.7392088") && text.contains("mode (1, 1)"), "{text}");
        }
    }

    #[test]
    fn a_resonance_of_another_mode_is_told_and_leaves_the_solution() {
        let solution = checked(7.0248, &first_mode(33)).unwrap();
        let warning = &solution.report.warnings[0];
        assert!(warning.text.contains("mode (2, 1)"), "{}", warning.text);
        let amplitude = solution.fields.channel(1)[33 * 33 / 2];
        assert!((amplitude - 0.03377).abs() < 3e-5, "{amplitude}");
    }

    #[test]
    fn away_from_resonance_nothing_is_told() {
        for k in [0.0, 1.0, 3.0, 6.0] {
            assert_eq!(checked(k, &first_mode(33)).unwrap().report.warnings, [], "k = {k}");
        }
    }

    #[test]
    fn resonance_of_the_unit_square_is_refused() {
        for k in [PI * 2f64.sqrt(), PI * 5f64.sqrt(), 4.44288294] {
            let outcome = checked(k, &first_mode(33)).map(|solution| solution.report);
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains("a resonance"), "{message}");
        }
    }

    #[test]
    fn resonance_and_unresolved_waves_are_refused() {
        let mut pde = Helmholtz::default();
        let (grid, source) = (Grid::square(17), Fields::zeros(1, 17, 17));
        let square = -eigenvalue(Basis::SineNodes, grid, [1, 2]).unwrap();
        pde.set_param("k", square.sqrt()).unwrap();
        assert!(pde.solve(grid, &source).unwrap_err().to_string().contains("eigenvalue"));
        pde.set_param("k", (square * (1.0 + 1e-4)).sqrt()).unwrap();
        assert!(pde.solve(grid, &source).is_ok());
        pde.set_param("k", 17.0).unwrap();
        assert!(pde.solve(grid, &source).unwrap_err().to_string().contains("six nodes"));
        assert!(pde.set_param("k", -1.0).is_err());
        assert!(pde.set_param("k", f64::INFINITY).is_err());
        assert!(pde.set_param("nu", 1.0).unwrap_err().to_string().contains("k, alpha, tau"));
    }
}
