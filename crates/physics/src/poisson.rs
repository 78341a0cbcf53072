//! The Poisson problem lap u = a on a rectangle, u = 0 on the boundary.
//!
//! Along a side of length l, n nodes lie at `j l / (n - 1)`, with the five-point Laplacian. The
//! discrete sine transform of the inner nodes diagonalises it: the discrete equations are solved
//! exactly (Buzbee, Golub and Nielson, "On direct methods for solving Poisson's equations", SIAM J.
//! Numer. Anal. 7, 1970).

use std::f64::consts::PI;

use crate::input::{self, nodes};
use crate::laplacian::eigenvalue;
use crate::random_field::FieldLaw;
use crate::symmetry::Symmetry;
use crate::transform::{forward_2d, inverse_2d};
use crate::{
    Basis, Channel, Fields, GaussianField, Grid, InputLaw, Param, Pde, Result, Solution,
    SolveReport, Warning, WarningKind,
};

const NAME: &str = "poisson";
const SMALLEST: usize = 3;

/// The Poisson problem. Its source `a` is a Neumann field of law `input`.
#[derive(Debug, Clone, PartialEq)]
pub struct Poisson {
    /// The law of the random source.
    pub input: FieldLaw,
}

impl Default for Poisson {
    fn default() -> Self {
        Self { input: FieldLaw { alpha: 2.0, tau: 3.0 } }
    }
}

impl Pde for Poisson {
    fn name(&self) -> &str {
        NAME
    }

    fn equation(&self) -> &str {
        "lap u = a on a rectangle, u = 0 on the boundary"
    }

    fn channels(&self) -> Vec<Channel> {
        // Sines would relate a to u mode by mode. But a does not vanish on the boundary: its sine
        // modes are strongly correlated, and whitening them one by one loses the large scales.
        vec![
            Channel::new("a", "source", [Basis::Cosine; 2]).dimensionless(),
            Channel::new("u", "solution", [Basis::SineNodes; 2]).dimensionless(),
        ]
    }

    fn params(&self) -> Vec<Param> {
        self.input.params()
    }

    fn set_param(&mut self, name: &str, value: f64) -> Result<()> {
        self.input.set(NAME, name, value, "")
    }

    fn input_law(&self) -> InputLaw {
        InputLaw::gaussian(GaussianField::Neumann(self.input))
    }

    fn smallest_grid(&self) -> usize {
        SMALLEST
    }

    fn solve_bytes(&self, grid: Grid) -> f64 {
        // Measured: 140 MB at 2048 points a side.
        100.0 * grid.points() as f64
    }

    fn solve(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        input::check(self, grid, input)?;
        let u = solve_nodes(grid, input.channel(0), 0.0);
        let fields = Fields::stack(grid.ny, grid.nx, &[input.channel(0), &u]);
        Ok(Solution { fields, report: SolveReport::default() })
    }

    fn solve_checked(&self, grid: Grid, input: &Fields) -> Result<Solution> {
        let mut solution = self.solve(grid, input)?;
        let change = operator_change(grid, input.channel(0), 0.0);
        solution.report.warnings.extend(coarse_grid(NAME, change));
        Ok(solution)
    }

    fn symbol(&self, grid: Grid) -> Option<Vec<f64>> {
        Some(symbol(grid, 0.0))
    }

    fn symmetries(&self, grid: Grid) -> Vec<Symmetry> {
        Symmetry::of_rectangle(grid)
    }

    fn points(&self, grid: Grid) -> [Vec<f64>; 2] {
        [nodes(grid.ny, grid.ly), nodes(grid.nx, grid.lx)]
    }
}

/// Solves lap u + shift u = source on the nodes, with u = 0 on the boundary, where the source is
/// not used. The caller makes sure that -`shift` is no eigenvalue.
pub(crate) fn solve_nodes(grid: Grid, source: &[f64], shift: f64) -> Vec<f64> {
    let mut modes = source.to_vec();
    forward_2d([Basis::SineNodes; 2], grid.ny, grid.nx, &mut modes);
    for (i, mode) in modes.iter_mut().enumerate() {
        let [ky, kx] = [i / grid.nx, i % grid.nx];
        *mode =
            eigenvalue(Basis::SineNodes, grid, [ky, kx]).map_or(0.0, |own| *mode / (own + shift));
    }
    inverse_2d([Basis::SineNodes; 2], grid.ny, grid.nx, &mut modes);
    modes
}

/// Returns the symbol of lap u + shift u = a on the inner nodes, and 0 for boundary nodes.
pub(crate) fn symbol(grid: Grid, shift: f64) -> Vec<f64> {
    let of_mode = |i: usize| {
        let [ky, kx] = [i / grid.nx, i % grid.nx];
        eigenvalue(Basis::SineNodes, grid, [ky, kx]).map_or(0.0, |own| 1.0 / (own + shift))
    };
    (0..grid.points()).map(of_mode).collect()
}

/// Returns the relative L2 change of the solution of lap u + shift u = a by the grid: from the
/// Laplacian of the source's sine series to the five-point Laplacian. The change is 0 for a source
/// of zeros.
pub(crate) fn operator_change(grid: Grid, source: &[f64], shift: f64) -> f64 {
    let mut modes = source.to_vec();
    forward_2d([Basis::SineNodes; 2], grid.ny, grid.nx, &mut modes);

    // Divided by the largest mode first, whose square may overflow.
    let scale = modes.iter().fold(f64::MIN_POSITIVE, |most, v| most.max(v.abs()));
    let [mut change, mut all] = [0.0, 0.0];
    for (i, mode) in modes.iter().enumerate() {
        let [ky, kx] = [i / grid.nx, i % grid.nx];
        let Some(own) = eigenvalue(Basis::SineNodes, grid, [ky, kx]) else { continue };
        let mode = mode / scale;
        let exact = mode / (shift - PI * PI * square_waves(grid, ky, kx));
        change += (mode / (own + shift) - exact).powi(2);
        all += exact * exact;
    }

    if all > 0.0 { (change / all).sqrt() } else { 0.0 }
}

/// Value of [`operator_change`] from which on there is a warning.
const TOLD: f64 = 0.01;

/// Returns a warning if the grid changes the solution by a share `change` of [`TOLD`] or more.
pub(crate) fn coarse_grid(pde: &str, change: f64) -> Option<Warning> {
    if change < TOLD {
        return None;
    }
    let text = format!(
        "{pde}: the five-point Laplacian of this grid changes the solution by {:.3} % (relative L2); \
         take a finer grid",
        100.0 * change
    );
    Some(Warning { kind: WarningKind::CoarseGrid, severity: change, text })
}

/// Returns |k / l|^2 for sine modes `ky` and `kx`, counted from 0: the squares of the half waves
/// over their sides. Times -pi^2 it is the eigenvalue of the Laplacian itself.
pub(crate) fn square_waves(grid: Grid, ky: usize, kx: usize) -> f64 {
    let along = |k: usize, side: f64| ((k + 1) as f64 / side).powi(2);
    along(ky, grid.ly) + along(kx, grid.lx)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::on_nodes;
    use crate::{generate, rng};

    #[test]
    fn the_five_point_equations_hold_to_round_off() {
        let size = 33;
        let sample = &generate(&Poisson::default(), Grid::square(size), 3, 0..1).unwrap()[0];
        let [a, u] = [sample.channel(0), sample.channel(1)];
        let h2 = 1.0 / ((size - 1) * (size - 1)) as f64;
        for (y, x) in (0..size).flat_map(|y| (0..size).map(move |x| (y, x))) {
            let i = y * size + x;
            if y == 0 || x == 0 || y == size - 1 || x == size - 1 {
                assert_eq!(u[i], 0.0);
            } else {
                let lap = (u[i - 1] + u[i + 1] + u[i - size] + u[i + size] - 4.0 * u[i]) / h2;
                assert!((lap - a[i]).abs() < 1e-11, "{lap} {}", a[i]);
            }
        }
    }

    /// The value at the centre and the mean of the solution for a = -1, by its double sine series.
    ///
    /// The coefficient of modes m, n, both odd, is 16 / (pi^4 m n (m^2 + n^2)). It is multiplied by
    /// the signs of the sines at the centre, and by 4 / (pi^2 m n) for the mean over the square.
    fn torsion() -> [f64; 2] {
        let mut sums = [0.0; 2];
        for (m, n) in (0..600).flat_map(|i| (0..600).map(move |j| (2 * i + 1, 2 * j + 1))) {
            let product = f64::from(m * n);
            let mode = 16.0 / (PI.powi(4) * product * f64::from(m * m + n * n));
            let sign = if (m + n) % 4 == 0 { -1.0 } else { 1.0 };
            sums[0] += sign * mode;
            sums[1] += mode * 4.0 / (PI * PI * product);
        }
        sums
    }

    #[test]
    fn a_constant_source_has_the_centre_and_mean_of_its_series() {
        let [centre, mean] = torsion();
        assert!((centre - 0.0736714).abs() < 1e-7 && (mean - 0.0351443).abs() < 1e-7);

        let errors = [33, 65, 129].map(|size| {
            let source = Fields::stack(size, size, &[&vec![-1.0; size * size]]);
            let solution = Poisson::default().solve_checked(Grid::square(size), &source).unwrap();
            assert_eq!(solution.report.warnings, []);
            let u = solution.fields.channel(1);
            let intervals = (size - 1) as f64;
            let integral = u.iter().sum::<f64>() / (intervals * intervals);
            [centre - u[size * size / 2], mean - integral]
        });

        for pair in errors.windows(2) {
            for (coarse, fine) in pair[0].iter().zip(pair[1]) {
                assert!((coarse / fine - 4.0).abs() < 0.1, "{errors:?}");
            }
        }
    }

    #[test]
    fn a_grid_that_changes_the_solution_is_told() {
        let warnings = |size: usize, waves: f64| {
            let wave = on_nodes(size, |y, x| (waves * PI * x).sin() * (PI * y).sin());
            let source = Fields::stack(size, size, &[&wave]);
            Poisson::default().solve_checked(Grid::square(size), &source).unwrap().report.warnings
        };
        assert_eq!(warnings(33, 1.0), []);
        let told = warnings(17, 8.0).remove(0);
        assert_eq!(told.kind, WarningKind::CoarseGrid);
        let lambda = PI * PI * 65.0;
        let own = eigenvalue(Basis::SineNodes, Grid::square(17), [0, 7]).unwrap();
        let expected = -lambda / own - 1.0;
        assert!((told.severity / expected - 1.0).abs() < 1e-9, "{told:?} {expected}");
    }

    #[test]
    fn a_transposed_source_gives_the_transposed_solution() {
        let size = 12;
        let transpose = |f: &[f64]| -> Vec<f64> {
            (0..size * size).map(|i| f[(i % size) * size + i / size]).collect()
        };
        let a = rng::normals(&mut rng::stream(5, "source", 0, 0), size * size);
        let u = transpose(&solve_nodes(Grid::square(size), &a, 0.0));
        let v = solve_nodes(Grid::square(size), &transpose(&a), 0.0);
        assert!(u.iter().zip(&v).all(|(p, q)| (p - q).abs() < 1e-15));
    }

    #[test]
    fn bad_inputs_are_refused() {
        let pde = Poisson::default();
        let reason = |grid, input: Fields| pde.solve(grid, &input).unwrap_err().to_string();
        assert!(reason(Grid::square(8), Fields::zeros(1, 8, 9)).contains("expected [1, 8, 8]"));
        assert!(reason(Grid::square(2), Fields::zeros(1, 2, 2)).contains("at least 3"));
        let flat = Grid { ly: 0.0, ..Grid::square(8) };
        assert!(reason(flat, Fields::zeros(1, 8, 8)).contains("above 0"));
        let mut holed = Fields::zeros(1, 8, 8);
        holed.data[9] = f64::NAN;
        assert!(reason(Grid::square(8), holed).contains("row 1, column 1"));
        assert!(pde.random_input(Grid::square(2), &mut rng::stream(0, "input", 0, 0)).is_err());
        assert!(Poisson::default().set_param("tau", 0.0).is_err());
        assert!(Poisson::default().set_param("nu", 1.0).is_err());
    }
}
