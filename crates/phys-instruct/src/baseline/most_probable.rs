//! The classical answer by the adjoint: the most probable input under the random field of the data,
//! given the observations, with the reference solver's solution.
//!
//! The input is a smooth map of standard normal w ([`Differentiable`]), and x(w) is the pair of
//! both. With the observed values v = H x(w) + e and the covariance S of their errors e, the most
//! probable w minimises
//!
//! ```text
//! |w|^2 / 2 + |S^-1/2 (v - H x(w))|^2 / 2
//! ```
//!
//! by L-BFGS (Nocedal, Math. Comp. 35, 1980) from w = 0. Every evaluation is one solve, every
//! gradient one adjoint solve. The method knows the law that a student has to learn. Its result is
//! one pair without a spread, and one of many minima where the cost has several.

use std::cell::RefCell;

use argmin::core::{CostFunction, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use phys_instruct_physics::{Differentiable, Fields, Grid, Pde};

use crate::condition::observations::place::Stencil;
use crate::condition::{Observations, Posterior};
use crate::{Error, Result, Samples};

/// The number of past steps that L-BFGS uses.
const MEMORY: usize = 10;
/// The most iterations.
const ITERATIONS: u64 = 400;
/// The search ends when an iteration changes the cost, a negative log density, by less than this.
const SETTLED: f64 = 1e-2;
/// The error of an exact observation, in units of the root mean square of its channel's
/// observations. Gradient descent fails on the cost of exact values.
const EXACT: f64 = 1e-2;

/// The least such error, for channels observed as zero.
const SMALLEST: f64 = 1e-9;

/// Tells whether the adjoint of `pde` is known.
pub fn is_known(pde: &dyn Pde) -> bool {
    pde.differentiable().is_some()
}

/// The most probable pair, as a posterior of one member.
///
/// # Errors
/// Fails for a PDE without an adjoint, and for inputs that its solver refuses.
pub fn posterior(pde: &dyn Pde, observations: &Observations) -> Result<Posterior> {
    let map = pde.differentiable().ok_or_else(|| {
        Error::Config(format!("no adjoint of the solver of {} is known", pde.name()))
    })?;

    let mut search = Search::new(map, observations);
    let start = vec![0.0; map.unknowns(search.grid)];
    // The first step is a plain one down the gradient, of length 1 in units of the prior's
    // deviation.
    let steepness = search.gradient_at(&start)?.iter().map(|g| g * g).sum::<f64>().sqrt();
    search.unit = steepness.max(f64::MIN_POSITIVE);

    let settled = SETTLED / search.unit;
    let settings = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY).with_tolerance_cost(settled);
    let method = settings.map_err(|e| Error::Config(format!("L-BFGS: {e}")))?;
    let run = Executor::new(&search, method)
        .configure(|state| state.param(start).max_iters(ITERATIONS))
        .run();
    run.map_err(|e| Error::NonFinite(format!("the most probable input: {e}")))?;

    // A search that fails, at rounding or at an input that the solver refuses, leaves the best of
    // the points it tried.
    let best = search.best.into_inner();
    let best = best.ok_or_else(|| Error::NonFinite("the most probable input".into()))?;
    let samples = Samples::from_fields(
        pde.name(),
        observations.channels(),
        observations.grid(),
        &[best.sample],
    )?;
    let pair = Posterior::of(samples, false, 0);
    if pde.input_law().two_values().is_some() { pair.solved(pde) } else { Ok(pair) }
}

/// A point of the search.
#[derive(Clone)]
struct Point {
    white: Vec<f64>,
    sample: Fields,
    cost: f64,
}

struct Search<'a> {
    map: &'a dyn Differentiable,
    grid: Grid,
    /// The functional, value and deviation of each observation.
    observed: Vec<(Stencil, f64, f64)>,
    /// The unit in which the cost is measured.
    unit: f64,
    /// The last point evaluated, whose gradient is usually needed next.
    last: RefCell<Option<Point>>,
    best: RefCell<Option<Point>>,
}

impl<'a> Search<'a> {
    fn new(map: &'a dyn Differentiable, observations: &Observations) -> Self {
        let grid = observations.grid();
        let points = observations.points();

        let exact = |of: usize| {
            let own = points.iter().filter(|p| p.channel == of);
            let squares: Vec<f64> = own.map(|p| p.value * p.value).collect();
            EXACT * (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
        };
        let exacts: Vec<f64> = (0..observations.channels().len()).map(exact).collect();

        let observed = observations.stencils().iter().zip(points).map(|(stencil, point)| {
            let (sd, exact) = (point.deviation(), exacts[point.channel].max(SMALLEST));
            (stencil.clone(), point.value, if sd > 0.0 { sd } else { exact })
        });
        let observed = observed.collect();

        let (last, best) = Default::default();
        Self { map, grid, observed, unit: 1.0, last, best }
    }

    fn at(&self, white: &[f64]) -> Result<Point> {
        if let Some(last) = self.last.borrow().as_ref().filter(|last| last.white == white) {
            return Ok(last.clone());
        }

        let sample = self.map.sample(self.grid, white)?;
        let wrong = |(stencil, value, sd): &(Stencil, f64, f64)| {
            ((value - stencil.of_f64(&sample.data)) / sd).powi(2)
        };
        let away: f64 = white.iter().map(|w| w * w).sum();
        let cost = 0.5 * (away + self.observed.iter().map(wrong).sum::<f64>());

        let point = Point { white: white.to_vec(), sample, cost };
        *self.last.borrow_mut() = Some(point.clone());
        let mut best = self.best.borrow_mut();
        if best.as_ref().is_none_or(|best| point.cost < best.cost) {
            *best = Some(point.clone());
        }
        Ok(point)
    }

    fn gradient_at(&self, white: &[f64]) -> Result<Vec<f64>> {
        let Point { sample, .. } = self.at(white)?;
        let mut pull = vec![0.0; sample.data.len()];
        for (stencil, value, sd) in &self.observed {
            let by = (stencil.of_f64(&sample.data) - value) / (sd * sd);
            stencil.terms().iter().for_each(|&(entry, weight)| pull[entry] += weight * by);
        }
        let mut gradient = self.map.gradient(self.grid, white, &sample, &pull)?;
        gradient.iter_mut().zip(white).for_each(|(g, w)| *g += w);
        Ok(gradient)
    }
}

impl CostFunction for &Search<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, white: &Vec<f64>) -> std::result::Result<f64, argmin::core::Error> {
        Ok(self.at(white)?.cost / self.unit)
    }
}

impl Gradient for &Search<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, white: &Vec<f64>) -> std::result::Result<Vec<f64>, argmin::core::Error> {
        Ok(self.gradient_at(white)?.iter().map(|g| g / self.unit).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::condition::{Task, TwoValuedEntries};
    use crate::testing::samples_from;

    const SIZE: usize = 16;

    fn error(pde: &dyn Pde, task: Task, count: usize) -> f64 {
        let truth = samples_from(pde, 1, SIZE, 9);
        let seen = task.observed(pde, Grid::square(SIZE));
        let observations = Observations::draw(&truth, 0, &seen, count, 0.01, 1).unwrap();
        let two_valued = TwoValuedEntries::of(&truth, pde);
        let asked = task.target(pde, Grid::square(SIZE));
        posterior(pde, &observations)
            .unwrap()
            .score(truth.sample(0), &asked, two_valued.as_ref())
            .error
    }

    #[test]
    fn dense_observations_leave_little_to_guess() {
        for (name, task, most) in [
            ("navier-stokes", Task::Inverse, 0.2),
            ("navier-stokes", Task::Forward, 0.02),
            ("burgers", Task::Reconstruct, 0.01),
            ("darcy", Task::Forward, 0.01),
            ("darcy", Task::Inverse, 0.02),
        ] {
            let pde = by_name(name).unwrap();
            let seen = task.observed(pde.as_ref(), Grid::square(SIZE)).len();
            let error = error(pde.as_ref(), task, seen);
            assert!(error < most, "{name} {task:?}: {error}");
        }
    }

    #[test]
    fn a_pde_without_an_adjoint_is_refused() {
        let pde = by_name("poisson").unwrap();
        let truth = samples_from(pde.as_ref(), 1, SIZE, 9);
        let seen = Task::Forward.observed(pde.as_ref(), Grid::square(SIZE));
        let observations = Observations::draw(&truth, 0, &seen, 9, 0.0, 1).unwrap();
        assert!(posterior(pde.as_ref(), &observations).is_err());
    }
}
