//! The exact posterior where the law is Gaussian and the equation linear (Poisson, Helmholtz): the
//! limit that no method can pass.
//!
//! Let w, standard normal, be the cosine modes of the input a, and u = P^-1 a the solution. The
//! observed values are v = F w + e, where the errors e have the covariance S. A draw from the
//! posterior of w is
//!
//! ```text
//! w' + F^T (F F^T + S)^-1 (v + e' - F w')
//! ```
//!
//! for w' and e' drawn from their laws (Matheron's rule), with w' = 0 and e' = 0 for the mean. A
//! row of F is the transpose of the map from w to one value. It costs one solve and one cosine
//! transform, since P is symmetric.

use faer::Mat;
use faer::prelude::Solve;
use phys_instruct_physics::transform::basis_matrix;
use phys_instruct_physics::{Basis, Fields, Grid, Pde, rng};
use rayon::prelude::*;

use crate::condition::observations::place::Stencil;
use crate::condition::{Observations, Posterior};
use crate::eval::frechet::neumann_source;
use crate::linalg::cholesky;
use crate::{Error, Result, Samples};

/// The least standard deviation of an observation, relative to the root mean square of its value
/// under the prior. It keeps the system regular where errors are 0.
const LEAST: f64 = 1e-6;

/// The law of one PDE's fields on one grid.
struct Law<'a> {
    pde: &'a dyn Pde,
    grid: Grid,
    /// The standard deviation of each cosine mode.
    amplitude: Vec<f64>,
    /// The cosine modes along y and along x, one a row.
    cosines: [Vec<f64>; 2],
}

/// Tells whether the law of `pde` is Gaussian and its equation linear.
pub fn is_known(pde: &dyn Pde) -> bool {
    // A grid with one inner node suffices for the test.
    let grid = Grid::square(3);
    pde.symbol(grid).is_some() && neumann_source(pde, grid).is_some()
}

/// Draws `members` from the posterior. A single member is the posterior's mean.
///
/// # Errors
/// Fails for PDEs other than Poisson and Helmholtz, and if the solver refuses an input.
pub fn posterior(
    pde: &dyn Pde,
    observations: &Observations,
    members: usize,
    seed: u64,
) -> Result<Posterior> {
    let law = Law::new(pde, observations.grid())?;
    let points = observations.points();
    let rows = observations
        .stencils()
        .par_iter()
        .map(|stencil| law.row(stencil))
        .collect::<Result<Vec<Vec<f64>>>>()?;

    let (m, n) = (rows.len(), law.amplitude.len());
    let rows = Mat::from_fn(m, n, |i, k| rows[i][k]);
    // F F^T + S.
    let mut covariance = &rows * rows.transpose();
    let sds: Vec<f64> = (0..m)
        .map(|i| {
            points[i]
                .deviation()
                .max(LEAST * covariance[(i, i)].sqrt())
                .max(f64::MIN_POSITIVE.sqrt())
        })
        .collect();
    for i in 0..m {
        covariance[(i, i)] += sds[i] * sds[i];
    }

    let factor = cholesky(&covariance)?;

    // Matheron's rule; a single member is the mean, without noise.
    let member = |i: usize| {
        let mut rng = rng::stream(seed, "exact posterior", 0, i as u64);
        let scale = if members == 1 { 0.0 } else { 1.0 };
        let w = Mat::from_fn(n, 1, |_, _| scale * rng::normal(&mut rng));
        let drawn = Mat::from_fn(m, 1, |i, _| {
            points[i].value + scale * points[i].deviation() * rng::normal(&mut rng)
        });
        let gain = factor.solve(&drawn - &rows * &w);
        let w = w + rows.transpose() * gain;
        law.fields(&(0..n).map(|k| w[(k, 0)]).collect::<Vec<_>>())
    };

    let fields = (0..members).into_par_iter().map(member).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = pde.channels().into_iter().map(|c| c.name).collect();
    let samples = Samples::from_fields(pde.name(), &names, law.grid, &fields)?;
    Ok(Posterior::of(samples, false, 0))
}

impl<'a> Law<'a> {
    fn new(pde: &'a dyn Pde, grid: Grid) -> Result<Self> {
        let source = neumann_source(pde, grid).filter(|_| is_known(pde));
        let (variance, _) = source.ok_or_else(|| {
            Error::Config(format!(
                "the exact posterior of {} is not known; it is of linear equations with a Gaussian \
                 source",
                pde.name()
            ))
        })?;
        Ok(Self {
            pde,
            grid,
            amplitude: variance.iter().map(|v| v.sqrt()).collect(),
            cosines: grid.shape().map(|n| basis_matrix(Basis::Cosine, n)),
        })
    }

    /// The joint fields of the modes w.
    fn fields(&self, w: &[f64]) -> Result<Fields> {
        let modes: Vec<f64> = w.iter().zip(&self.amplitude).map(|(w, a)| w * a).collect();
        let Grid { ny, nx, .. } = self.grid;
        let along_y = |y: usize, kx: usize| {
            (0..ny).map(|ky| self.cosines[0][ky * ny + y] * modes[ky * nx + kx]).sum()
        };
        let half = self.product(along_y);
        let along_x = |y: usize, x: usize| {
            (0..nx).map(|kx| half[y * nx + kx] * self.cosines[1][kx * nx + x]).sum()
        };
        self.solve(&self.product(along_x))
    }

    /// The transpose of the map from w to the value of `stencil`, whose entries are all of one
    /// channel.
    fn row(&self, stencil: &Stencil) -> Result<Vec<f64>> {
        let (Grid { ny, nx, .. }, points) = (self.grid, self.grid.points());
        let channel = stencil.terms().first().map_or(0, |(entry, _)| entry / points);
        let mut pull = vec![0.0; points];
        for &(entry, weight) in stencil.terms() {
            // The solution is zero on the boundary, whatever w is.
            if channel == 0 || !self.on_boundary(entry % points) {
                pull[entry % points] += weight;
            }
        }

        // The solver's input channel is the projection onto admissible sources (Helmholtz has none
        // on the boundary). Projection and solver are symmetric, so each is its own transpose.
        let back = self.solve(&pull)?.channel(channel).to_vec();
        let along_y = |ky: usize, x: usize| {
            (0..ny).map(|y| self.cosines[0][ky * ny + y] * back[y * nx + x]).sum()
        };
        let half = self.product(along_y);
        let along_x = |ky: usize, kx: usize| {
            (0..nx).map(|x| half[ky * nx + x] * self.cosines[1][kx * nx + x]).sum()
        };
        let modes = self.product(along_x);
        Ok(modes.iter().zip(&self.amplitude).map(|(m, a)| m * a).collect())
    }

    fn on_boundary(&self, point: usize) -> bool {
        let Grid { ny, nx, .. } = self.grid;
        let [row, column] = [point / nx, point % nx];
        row == 0 || row == ny - 1 || column == 0 || column == nx - 1
    }

    fn solve(&self, a: &[f64]) -> Result<Fields> {
        Ok(self.pde.solve(self.grid, &Fields::stack(self.grid.ny, self.grid.nx, &[a]))?.fields)
    }

    /// The field of the values `of(row, column)`.
    fn product(&self, of: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        (0..self.grid.points()).map(|i| of(i / self.grid.nx, i % self.grid.nx)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::condition::Task;
    use crate::condition::methods::input_space::Search;
    use crate::condition::methods::input_space::testing::inputs_of;
    use crate::testing::samples_from;

    #[test]
    fn rows_are_the_transpose_of_the_map_to_fields() {
        for name in ["poisson", "helmholtz"] {
            let pde = by_name(name).unwrap();
            let law = Law::new(pde.as_ref(), Grid::square(10)).unwrap();
            let w = rng::normals(&mut rng::stream(1, "w", 0, 0), 100);
            let x = law.fields(&w).unwrap();
            for entry in 0..200 {
                let row = law.row(&Stencil::point(entry)).unwrap();
                let product: f64 = row.iter().zip(&w).map(|(r, w)| r * w).sum();
                assert!((product - x.data[entry]).abs() < 1e-12, "{name} {entry}");
            }
        }
    }

    #[test]
    fn the_law_is_that_of_the_generated_data() {
        for name in ["poisson", "helmholtz"] {
            let pde = by_name(name).unwrap();
            let samples = samples_from(pde.as_ref(), 4000, 8, 1);
            let law = Law::new(pde.as_ref(), Grid::square(8)).unwrap();
            for entry in [27, 64 + 27, 64 + 36] {
                let square = |i| f64::from(samples.sample(i)[entry]).powi(2);
                let measured = (0..4000).map(square).sum::<f64>() / 4000.0;
                let exact: f64 =
                    law.row(&Stencil::point(entry)).unwrap().iter().map(|r| r * r).sum();
                assert!((measured / exact - 1.0).abs() < 0.1, "{name} {entry}");
            }
        }
    }

    /// The error and the coverage over some problems.
    fn score(name: &str, task: Task, noise: f64) -> (f64, f64) {
        const PROBLEMS: usize = 40;
        let pde = by_name(name).unwrap();
        let samples = samples_from(pde.as_ref(), PROBLEMS as u64, 16, 5);
        let [seen, asked] = [
            task.observed(pde.as_ref(), Grid::square(16)),
            task.target(pde.as_ref(), Grid::square(16)),
        ];
        let mut sum = (0.0, 0.0);
        for i in 0..PROBLEMS {
            let observations = Observations::draw(&samples, i, &seen, 60, noise, 3).unwrap();
            let posterior = posterior(pde.as_ref(), &observations, 40, 9).unwrap();
            let score = posterior.score(samples.sample(i), &asked, None);
            sum.0 += score.error / PROBLEMS as f64;
            sum.1 += score.coverage90.unwrap() / PROBLEMS as f64;
        }
        sum
    }

    #[test]
    fn intervals_cover_what_they_say_and_noise_costs() {
        for task in [Task::Forward, Task::Inverse] {
            let [clean, noisy] = [0.0, 0.1].map(|noise| score("poisson", task, noise));
            assert!(clean.0 < noisy.0 && noisy.0 < 0.6, "{task}: {clean:?} {noisy:?}");
            for coverage in [clean.1, noisy.1] {
                assert!((coverage - 0.9).abs() < 0.03, "{task}: {coverage}");
            }
        }
    }

    #[test]
    fn other_equations_are_refused() {
        let pde = by_name("darcy").unwrap();
        let samples = samples_from(pde.as_ref(), 1, 8, 1);
        let observations = Observations::draw(&samples, 0, &[3], 1, 0.0, 1).unwrap();
        let message = posterior(pde.as_ref(), &observations, 1, 0).unwrap_err().to_string();
        assert!(message.contains("darcy"), "{message}");
    }

    #[test]
    fn input_space_draws_from_it() {
        const SIZE: usize = 8;
        let pde = by_name("poisson").unwrap();
        let pde = pde.as_ref();
        let truth = samples_from(pde, 1, SIZE, 9);
        let solution = Task::Inverse.observed(pde, Grid::square(SIZE));
        let observations = Observations::draw(&truth, 0, &solution, 12, 0.05, 1).unwrap();
        let points = observations.points();
        let inputs = inputs_of(pde, &samples_from(pde, 4000, SIZE, 5));
        let search = Search {
            inputs: &inputs,
            pde,
            grid: Grid::square(SIZE),
            starts: &[samples_from(pde, 1, SIZE, 10).fields(0)],
            stencils: observations.stencils(),
            values: points.iter().map(|p| p.value).collect(),
            deviations: points.iter().map(|p| p.deviation()).collect(),
            softened: vec![points.iter().map(|p| 2.0 * p.deviation()).collect()],
            tolerated: 1,
        };
        let moments = |s: &Samples, e: usize| {
            let (n, at) = (s.count as f64, |i: usize| f64::from(s.sample(i)[e]));
            let mean = (0..s.count).map(at).sum::<f64>() / n;
            let square = (0..s.count).map(|i| (at(i) - mean).powi(2)).sum::<f64>();
            [mean, (square / (n - 1.0)).sqrt()]
        };
        let drawn: Vec<_> = search.infer(0..600, 0).unwrap().into_iter().flatten().collect();
        let drawn =
            Samples::from_fields("poisson", &["a", "u"], Grid::square(SIZE), &drawn).unwrap();
        let limit = posterior(pde, &observations, 600, 0).unwrap().samples;
        for entry in [SIZE + 3, 4 * SIZE + 4, 64 + 3 * SIZE + 5] {
            let [[mean, sd], [exact, exact_sd]] = [&drawn, &limit].map(|s| moments(s, entry));
            assert!((mean - exact).abs() < 0.25 * exact_sd, "{entry}: {mean}, exactly {exact}");
            assert!((sd / exact_sd - 1.0).abs() < 0.15, "{entry}: {sd}, exactly {exact_sd}");
        }
    }
}
