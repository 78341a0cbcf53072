//! Inference in the input, with the reference solver between input and solution.
//!
//! The student's samples give the law of the inputs: mean + Q^T c, where c is standard normal and
//! the rows of Q are the principal components of the samples' inputs. The reference solver gives
//! the solution of each input, and x(c) is the pair of both. The observations are v = H x(c) + e,
//! where H takes the observed values and the errors e have the covariance S. Let
//!
//! ```text
//! r = S^-1/2 (v - H x(c)),    J = H dx/dc,    W = S^-1/2 J.
//! ```
//!
//! The columns of J are differences of solved pairs. The search has two parts.
//!
//! 1. Gauss-Newton steps (W^T W + I) c <- W^T (r + W c) lead to the most probable c. They start at
//!    refinement's mean. The errors S are large at first and then smaller and smaller (tempering),
//!    because the cost of nearly exact values has many minima.
//! 2. Each member draws its own c' from the law of c and e' from that of the errors. Its cost is
//!    |c - c'|^2 / 2 + |r + S^-1/2 e'|^2 / 2
//!    (randomised maximum likelihood, Oliver, He and Reynolds 1996). It starts at the most probable
//!    c and uses the slopes there. If it does not reach v, it starts again with slopes of its own.
//!    Every second member has the draws of the one before it with opposite sign.
//!
//! The network is called for the refinement alone. All else is in `f64`, so that exact values are
//! followed to their rounding.
//!
//! The method is for inputs of few values, such as a line of initial values, since every component
//! costs a solve. The inputs should be near Gaussian, so inputs of two values are excluded.

use std::ops::Range;

use faer::linalg::solvers::Qr;
use faer::prelude::SolveLstsq;
use faer::{Mat, MatRef};
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_physics::Error::NoSolver;
use phys_instruct_physics::{Fields, Grid, Pde, rng};
use rayon::prelude::*;

use super::refinement::refined;
use super::{Drawn, EXACT, Given, Inference, Options};
use crate::condition::observations::place::Stencil;
use crate::condition::{Observations, Task};
use crate::linalg::eigen;
use crate::net::params::values;
use crate::{Error, Result, Samples};

/// The most values of an input.
const MAX_INPUT_VALUES: usize = 128;
/// Components with less than this share of the largest deviation are left out.
const LEAST_SHARE: f64 = 1e-4;
/// The length of the finite difference for a derivative, in standard deviations. The solver's
/// number of time steps may change within it, which moves the solution by about 1e-7.
const DIFFERENCE: f64 = 0.01;
/// The most Gauss-Newton steps for one size of the errors.
const STEPS: usize = 12;
/// The steps end when one of them lowers the cost by less than this share.
const SETTLED: f64 = 1e-2;
/// The mean square misfit, in units of the errors, below which the search goes on to smaller
/// errors.
const CONVERGED_MISFIT: f64 = 1.0;
/// The mean square misfit, in units of the errors, above which a pair does not follow the values.
const DIVERGED_MISFIT: f64 = 4.0;
/// The most steps of a member with the slopes at the most probable c. A member that does not
/// follow the values then goes on with slopes of its own.
const MEMBER_STEPS: usize = 4;
/// Levenberg-Marquardt weights of the step's squared length, tried in turn until the cost falls.
/// The slopes hold only near the pair where they were taken (Levenberg 1944, Marquardt 1963).
const DAMPING: [f64; 5] = [0.0, 1.0, 10.0, 100.0, 1000.0];

/// The error of an exact observation in input space, where pairs are the solver's. It covers the
/// rounding of values in `f32` and the solver's choice of time steps.
const EXACT_PAIR: f64 = 3.5e-8;
/// Tempering: the larger errors, in standard deviations of the field, with which the search in
/// input space begins, one after the other.
const TEMPERING: [f64; 8] = [0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// An error of [`TEMPERING`] is used only if it makes some observation's error larger than its own
/// by more than this factor.
const TEMPER_MIN_GAIN: f64 = 1.1;
/// The number of members of the refined ensemble from which the search in input space starts, if
/// the start at their mean fails.
const STARTS: usize = 4;

/// Gauss-Newton steps in the input, which start at the mean of a refined ensemble.
pub(super) struct InputSpace;

impl Inference for InputSpace {
    fn check(&self, pde: &dyn Pde, grid: Grid) -> Result<()> {
        if !pde.has_solver() {
            return Err(NoSolver { pde: pde.name().into() }.into());
        }
        if Inputs::suits(pde, grid) {
            return Ok(());
        }
        let (pde, method) = (pde.name(), "input-space");
        Err(Error::Config(format!(
            "{method} is for inputs of few values, none of them fixed by law; {pde} has others"
        )))
    }

    fn suits(&self, pde: &dyn Pde, grid: Grid, _: &Observations) -> bool {
        pde.has_solver() && Inputs::suits(pde, grid)
    }

    fn draw(&self, given: &Given, options: &Options) -> Result<Drawn> {
        let (x, calls) = refined(given, options)?;
        let mean = given.samples(values(x.clone().mean_dim(0)))?.fields(0);
        let drawn = given.samples(values(x))?;
        let members = (0..drawn.count.min(STARTS)).map(|i| drawn.fields(i));
        let starts: Vec<Fields> = std::iter::once(mean).chain(members).collect();

        // If no input's solution follows the values, the student's own fields are the answer.
        let (found, left_out) = searched(given, &starts, options)?;
        Ok(Drawn { samples: found.unwrap_or(drawn), calls, left_out })
    }
}

/// The members whose search succeeded, if there are any, and the number of the others.
fn searched(
    given: &Given,
    starts: &[Fields],
    options: &Options,
) -> Result<(Option<Samples>, usize)> {
    let card = &given.student.model().card;
    let pde = card.pde()?;
    let entries = Task::Forward.observed(pde.as_ref(), card.grid);

    let mean = values(given.covariance.mean.clone());
    let deviations = given.covariance.deviations(&Stencil::points(&entries));
    let inputs = Inputs::new(&mean, deviations.as_ref(), entries)?;

    let points = given.observations.points();
    let at_least =
        |error: &f64| -> Vec<f64> { given.variances(*error).into_iter().map(f64::sqrt).collect() };
    let deviations = at_least(&EXACT_PAIR);
    // Tempering errors that would change nothing are skipped.
    let softer =
        |soft: &Vec<f64>| soft.iter().zip(&deviations).any(|(s, d)| *s > TEMPER_MIN_GAIN * d);
    let used: Vec<f64> = TEMPERING.iter().copied().filter(|soft| softer(&at_least(soft))).collect();
    let softened: Vec<Vec<f64>> = used.iter().map(&at_least).collect();
    let tolerated = used.iter().position(|&soft| soft <= EXACT).unwrap_or(used.len());

    let search = Search {
        inputs: &inputs,
        pde: pde.as_ref(),
        grid: card.grid,
        starts,
        stencils: given.observations.stencils(),
        values: points.iter().map(|p| p.value).collect(),
        softened,
        tolerated,
        deviations,
    };

    let (team, ensemble) = (given.team, options.ensemble);
    let own = in_pool(|| search.infer(team.members(ensemble), options.seed))?;

    // The fields of all processes' members, and which of them were found.
    let length = card.channels.len() * card.grid.points();
    let of_member = |member: &Option<Fields>| match member {
        Some(fields) => fields.data.iter().map(|&v| v as f32).collect(),
        None => vec![0.0; length],
    };
    let fields = team.gathered(ensemble, length, own.iter().flat_map(of_member).collect())?;
    let is_found = own.iter().map(|member| if member.is_some() { 1.0 } else { 0.0 });
    let is_found = team.gathered(ensemble, 1, is_found.collect())?;

    let all = fields.chunks_exact(length).zip(&is_found).filter(|(_, found)| **found > 0.0);
    let found = given.samples(all.flat_map(|(fields, _)| fields).copied().collect())?;
    let left_out = ensemble - found.count;
    Ok(((found.count > 0).then_some(found), left_out))
}

/// The law of the inputs, estimated from a prior's samples: mean + Q^T c, with c standard normal
/// and the components in the rows of Q.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// The entries of the input in a flat joint sample.
    entries: Vec<usize>,
    mean: Vec<f64>,
    /// The principal components, scaled by their deviations: `[component, entry]`.
    components: Mat<f64>,
}

impl Inputs {
    /// Tells whether the method suits the input of `pde` on a grid.
    pub fn suits(pde: &dyn Pde, grid: Grid) -> bool {
        let entries = pde.layout().input.entries(grid.ny, grid.nx);
        pde.input_law().two_values().is_none() && entries.len() <= MAX_INPUT_VALUES
    }

    /// Computes the principal components. `mean` is that of the samples, `[entry of the sample]`.
    /// `deviations` are the differences of their inputs' `entries` from it, over the square root
    /// of the number of samples: `[sample, entry]`.
    ///
    /// # Errors
    /// Fails if the deviations are not finite.
    pub fn new(mean: &[f32], deviations: MatRef<f32>, entries: Vec<usize>) -> Result<Self> {
        let n = entries.len();
        let inputs = Mat::from_fn(deviations.nrows(), n, |i, e| f64::from(deviations[(i, e)]));
        let eigen = eigen(&(inputs.transpose() * &inputs), "covariance of the inputs")?;
        let (vectors, variances) = (eigen.U(), eigen.S().column_vector());
        let least = variances[n - 1] * LEAST_SHARE * LEAST_SHARE;
        let kept: Vec<usize> = (0..n).rev().filter(|&k| variances[k] > least).collect();
        let components =
            Mat::from_fn(kept.len(), n, |k, e| vectors[(e, kept[k])] * variances[kept[k]].sqrt());
        let mean = entries.iter().map(|&e| f64::from(mean[e])).collect();
        Ok(Self { entries, mean, components })
    }

    /// The c whose input is nearest to that of a joint sample.
    fn coordinates(&self, sample: &[f64]) -> Mat<f64> {
        let away =
            Mat::from_fn(self.entries.len(), 1, |e, _| sample[self.entries[e]] - self.mean[e]);
        let norms = |k: usize| self.components.row(k).squared_norm_l2();
        let products = &self.components * away;
        Mat::from_fn(products.nrows(), 1, |k, _| products[(k, 0)] / norms(k))
    }

    /// The input of `c`.
    fn at(&self, c: &Mat<f64>) -> Vec<f64> {
        let away = self.components.transpose() * c;
        self.mean.iter().enumerate().map(|(e, mean)| mean + away[(e, 0)]).collect()
    }
}

/// The observations, the law of inputs and the equation between them.
pub(crate) struct Search<'a> {
    pub inputs: &'a Inputs,
    pub pde: &'a dyn Pde,
    pub grid: Grid,
    /// Joint samples from which the search starts, the nearest to the answer first; at least one.
    /// Each further one serves only if the search from those before it failed.
    pub starts: &'a [Fields],
    /// The observed functionals.
    pub stencils: &'a [Stencil],
    /// The observed values.
    pub values: Vec<f64>,
    /// The standard deviations of the values' errors.
    pub deviations: Vec<f64>,
    /// Larger deviations, in descending order, with which the search begins (tempering).
    pub softened: Vec<Vec<f64>>,
    /// The index in `softened` of the first errors that are small enough. A draw that follows the
    /// values within these is an answer.
    pub tolerated: usize,
}

/// A pair of input and solution, with the c of its input.
#[derive(Clone)]
struct Pair {
    c: Mat<f64>,
    x: Fields,
}

/// The slopes J, and the pair at which they were taken.
type At = (Mat<f64>, Pair);

impl Search<'_> {
    /// The draws of the `members` from the posterior, in pairs of opposite noise.
    ///
    /// If the search does not reach the values within their errors, the draws are for the smallest
    /// softened errors that it reaches. A draw that does not follow the values is none, and so is
    /// its mirror image.
    ///
    /// # Errors
    /// Fails if the solver refuses an input that the search cannot do without.
    pub fn infer(&self, members: Range<usize>, seed: u64) -> Result<Vec<Option<Fields>>> {
        let stages = self.stages();

        // The start from which the search reaches the smallest errors.
        let (mut reached, mut at) = (0, None);
        for start in self.starts {
            let pair = self.start(start)?;
            let none = Member::none(self.stencils.len(), pair.c.nrows());
            let (stage, found) = self.descended(&pair, &none, &stages)?;
            if at.is_none() || stage > reached {
                (reached, at) = (stage, Some(found));
            }
            if reached + 1 == stages.len() {
                break;
            }
        }
        let at = at.ok_or_else(|| Error::NonFinite("a search without a start".into()))?;

        let stages = &stages[..=reached];
        let mut drawn: Vec<Option<Fields>> = members
            .into_par_iter()
            .map(|member| self.member(&at, member, stages, seed))
            .collect::<Result<_>>()?;
        // A draw without its mirror image would shift the mean, so that both go.
        let torn = |pair: &&mut [Option<Fields>]| pair.iter().any(Option::is_none);
        drawn.chunks_mut(2).filter(torn).for_each(|pair| pair.fill(None));
        Ok(drawn)
    }

    /// The sizes of the errors in turn, those stated last.
    fn stages(&self) -> Vec<Stage<'_>> {
        let all = self.softened.iter().chain([&self.deviations]);
        all.map(|deviations| Stage { search: self, deviations }).collect()
    }

    /// The pair of a start's input, or of the mean input if the solver refuses the first.
    fn start(&self, near: &Fields) -> Result<Pair> {
        let c = self.inputs.coordinates(&near.data);
        let mean = c.clone() * faer::Scale(0.0);
        self.pair(c).or_else(|_| self.pair(mean))
    }

    /// Descends from a pair through the `stages`. Returns the last stage whose values are followed
    /// (or the first), and the pair that is reached there.
    fn descended(&self, from: &Pair, draw: &Member, stages: &[Stage]) -> Result<(usize, At)> {
        let mut at = stages[0].approached(&(self.slopes(from)?, from.clone()), draw, false)?;
        let mut reached = 0;
        for (k, stage) in stages.iter().enumerate().skip(1) {
            let nearer = stage.approached(&at, draw, false)?;
            if stage.mean_misfit(&nearer.1, draw) > DIVERGED_MISFIT {
                break;
            }
            (reached, at) = (k, nearer);
        }
        Ok((reached, stages[reached].approached(&at, draw, true)?))
    }

    /// A draw that starts at the most probable pair; none if it does not follow the values.
    fn member(
        &self,
        most_probable: &At,
        member: usize,
        stages: &[Stage],
        seed: u64,
    ) -> Result<Option<Fields>> {
        let (slopes, pair) = most_probable;
        let stage = &stages[stages.len() - 1];
        let linear = stage.linearised(slopes);
        let draw = Member::drawn(slopes, member, seed);

        // The cost need not fall at once: several steps are needed to correct the errors of the
        // slopes.
        let mut at = pair.clone();
        for _ in 0..MEMBER_STEPS {
            let change = stage.change(&at, &linear, &draw, 0.0);
            let Ok(next) = self.pair(&at.c + change) else { break };
            at = next;
        }
        if stage.mean_misfit(&at, &draw) <= DIVERGED_MISFIT {
            return Ok(Some(at.x));
        }

        // Damped steps with slopes of its own follow, from the most probable pair, large errors
        // first.
        let (reached, (_, at)) = self.descended(pair, &draw, stages)?;
        let enough = reached >= self.tolerated.min(stages.len() - 1);
        let follows = stages[reached].mean_misfit(&at, &draw) <= DIVERGED_MISFIT;
        Ok((enough && follows).then_some(at.x))
    }

    /// Solves for the pair of `c`.
    fn pair(&self, c: Mat<f64>) -> Result<Pair> {
        let input = Fields { data: self.inputs.at(&c), ..self.pde.input_of(&self.starts[0]) };
        Ok(Pair { c, x: self.pde.solve(self.grid, &input)?.fields })
    }

    /// The slopes J = H dx/dc at a pair by finite differences, `[point, component]`.
    fn slopes(&self, pair: &Pair) -> Result<Mat<f64>> {
        let moved = |k: usize| {
            let mut c = pair.c.clone();
            c[(k, 0)] += DIFFERENCE;
            Ok(self.pair(c)?.x)
        };
        let moved = (0..pair.c.nrows()).into_par_iter().map(moved).collect::<Result<Vec<_>>>()?;
        let slope = |stencil: &Stencil, k: usize| {
            (stencil.of_f64(&moved[k].data) - stencil.of_f64(&pair.x.data)) / DIFFERENCE
        };
        Ok(Mat::from_fn(self.stencils.len(), moved.len(), |p, k| slope(&self.stencils[p], k)))
    }
}

/// The observations with errors of one size.
struct Stage<'a> {
    search: &'a Search<'a>,
    deviations: &'a [f64],
}

/// The random draws of one member: `own` is c', and `errors` is S^-1/2 e'. Both are 0 for the most
/// probable pair.
struct Member {
    own: Mat<f64>,
    errors: Mat<f64>,
}

impl Member {
    /// The draws of the most probable pair.
    fn none(points: usize, components: usize) -> Self {
        Self { own: Mat::zeros(components, 1), errors: Mat::zeros(points, 1) }
    }

    /// The draws of number `member`. Those of every second member have the opposite sign of the
    /// one before.
    fn drawn(slopes: &Mat<f64>, member: usize, seed: u64) -> Self {
        let mut rng = rng::stream(seed, "input space", 0, member as u64 / 2);
        let sign = if member.is_multiple_of(2) { 1.0 } else { -1.0 };
        let own = Mat::from_fn(slopes.ncols(), 1, |_, _| sign * rng::normal(&mut rng));
        let errors = Mat::from_fn(slopes.nrows(), 1, |_, _| sign * rng::normal(&mut rng));
        Self { own, errors }
    }
}

impl Stage<'_> {
    /// Takes Gauss-Newton steps from a pair and its slopes. They end when they settle, or already
    /// when the values are followed, unless `end` is true.
    fn approached(&self, from: &At, draw: &Member, end: bool) -> Result<At> {
        let (mut slopes, mut pair) = from.clone();
        for _ in 0..STEPS {
            if !end && self.mean_misfit(&pair, draw) < CONVERGED_MISFIT {
                break;
            }

            let Some((better, damped)) = self.step(&pair, &slopes, draw) else { break };
            let settled = self.cost(&better, draw) > (1.0 - SETTLED) * self.cost(&pair, draw);
            pair = better;
            slopes = self.search.slopes(&pair)?;

            // A damped step is short by itself, so that its small gain does not mean convergence.
            if settled && !damped {
                break;
            }
        }
        Ok((slopes, pair))
    }

    /// A pair of lower cost, if one of the steps tried leads to it, and whether the step was
    /// damped.
    fn step(&self, at: &Pair, slopes: &Mat<f64>, draw: &Member) -> Option<(Pair, bool)> {
        let linear = self.linearised(slopes);
        let before = self.cost(at, draw);
        // A step that is too long may lead to an input that the solver refuses.
        let trial = |damping| {
            let change = self.change(at, &linear, draw, damping);
            Some((self.search.pair(&at.c + change).ok()?, damping > 0.0))
        };
        DAMPING.into_iter().filter_map(trial).find(|(pair, _)| self.cost(pair, draw) < before)
    }

    /// The change of c to the minimum of the cost, if the slopes held everywhere. `damping` is the
    /// weight of the change's squared length.
    fn change(&self, at: &Pair, linear: &Linearised, draw: &Member, damping: f64) -> Mat<f64> {
        let misfit = self.misfit(at, draw);
        if damping > 0.0 {
            return linear.damped(misfit, &draw.own - &at.c, damping);
        }
        let wrong = misfit - &linear.seen * (&draw.own - &at.c);
        &draw.own + linear.least_squares(wrong) - &at.c
    }

    /// Twice the function that a draw minimises.
    fn cost(&self, pair: &Pair, draw: &Member) -> f64 {
        (&pair.c - &draw.own).squared_norm_l2() + self.misfit(pair, draw).squared_norm_l2()
    }

    fn mean_misfit(&self, pair: &Pair, draw: &Member) -> f64 {
        self.misfit(pair, draw).squared_norm_l2() / self.deviations.len() as f64
    }

    /// The misfit r + S^-1/2 e', in units of the errors with the member's own errors added.
    fn misfit(&self, pair: &Pair, draw: &Member) -> Mat<f64> {
        let Search { stencils, values, .. } = self.search;
        let at = |p: usize| (values[p] - stencils[p].of_f64(&pair.x.data)) / self.deviations[p];
        Mat::from_fn(stencils.len(), 1, |p, _| at(p) + draw.errors[(p, 0)])
    }

    fn linearised(&self, slopes: &Mat<f64>) -> Linearised {
        let in_units = |p: usize, k: usize| slopes[(p, k)] / self.deviations[p];
        Linearised::new(Mat::from_fn(slopes.nrows(), slopes.ncols(), in_units))
    }
}

/// The slopes W in units of the errors, and the QR factors of [W; I]. W^T W + I is not formed,
/// since its condition is beyond `f64` where values are exact.
struct Linearised {
    seen: Mat<f64>,
    with_prior: Qr<f64>,
}

impl Linearised {
    fn new(seen: Mat<f64>) -> Self {
        let (points, components) = (seen.nrows(), seen.ncols());
        let entry = |i: usize, k: usize| match i.checked_sub(points) {
            None => seen[(i, k)],
            Some(row) => f64::from(u8::from(row == k)),
        };
        let with_prior = Mat::from_fn(points + components, components, entry).qr();
        Self { seen, with_prior }
    }

    /// The step d that minimises |W d - r|^2 + |d - own|^2 + damping |d|^2, where `own` is the
    /// difference between the draw's c' and c.
    fn damped(&self, r: Mat<f64>, own: Mat<f64>, damping: f64) -> Mat<f64> {
        let (points, components) = (self.seen.nrows(), self.seen.ncols());
        let unit = damping.sqrt();
        // The rows of W, then those of the prior, then those of the damping.
        let entry = |i: usize, k: usize| match i.checked_sub(points) {
            None => self.seen[(i, k)],
            Some(row) if row < components => f64::from(u8::from(row == k)),
            Some(row) => {
                if row - components == k {
                    unit
                } else {
                    0.0
                }
            }
        };

        let mut right = Mat::zeros(points + 2 * components, 1);
        right.subrows_mut(0, points).copy_from(&r);
        right.subrows_mut(points, components).copy_from(&own);
        Mat::from_fn(points + 2 * components, components, entry).qr().solve_lstsq(right)
    }

    /// The least-squares solution c of [W; I] c = [r; 0], which is (W^T W + I)^-1 W^T r.
    fn least_squares(&self, r: Mat<f64>) -> Mat<f64> {
        let mut right = Mat::zeros(self.seen.nrows() + self.seen.ncols(), 1);
        right.subrows_mut(0, r.nrows()).copy_from(&r);
        self.with_prior.solve_lstsq(right)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! The law of inputs, as tests need it.
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The law of the inputs of `samples` of `pde`.
    pub fn inputs_of(pde: &dyn Pde, samples: &Samples) -> Inputs {
        let (len, count) = (samples.sample_len(), samples.count as f32);
        let all = MatRef::from_column_major_slice(&samples.data, len, samples.count);
        let mean: Vec<f32> = (0..len).map(|e| all.row(e).sum() / count).collect();
        let entries = Task::Forward.observed(pde, Grid::square(samples.width));
        let deviation = |i: usize, e: usize| (all[(e, i)] - mean[e]) / count.sqrt();
        let deviations =
            Mat::from_fn(samples.count, entries.len(), |i, e| deviation(i, entries[e]));
        Inputs::new(&mean, deviations.as_ref(), entries).unwrap()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::burgers::Burgers;
    use phys_instruct_physics::registry::by_name;

    use super::testing::inputs_of;
    use super::*;
    use crate::testing::samples_from;

    const SAMPLES: u64 = 4000;

    /// The answers to values of Burgers' equation on 16 points, whose errors are `sizes` times 0.2
    /// in turn, and the truth.
    fn burgers(points: usize, noise: f64, sizes: &[f64]) -> (Vec<Fields>, Samples, Observations) {
        let pde: &dyn Pde = &Burgers { nu: 0.03, ..Burgers::default() };
        let samples = samples_from(pde, SAMPLES, 16, 5);
        let truth = samples.slice(0..1);
        let all = Task::Reconstruct.observed(pde, Grid::square(16));
        let observations = Observations::draw(&truth, 0, &all, points, noise, 1).unwrap();
        let errors = |size: &f64| observations.points().iter().map(|_| 0.2 * size).collect();
        let (last, soft) = sizes.split_last().unwrap();
        let search = Search {
            inputs: &inputs_of(pde, &samples),
            pde,
            grid: Grid::square(16),
            starts: &[samples.fields(1)],
            stencils: observations.stencils(),
            values: observations.points().iter().map(|p| p.value).collect(),
            deviations: errors(last),
            softened: soft.iter().map(errors).collect(),
            tolerated: soft.len(),
        };
        let members = search.infer(0..4, 0).unwrap().into_iter().flatten().collect();
        (members, truth, observations)
    }

    #[test]
    fn every_member_follows_exact_values() {
        for points in [12, 60] {
            let (members, _, observations) =
                burgers(points, 0.0, &[1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 5e-8]);
            for (x, p) in
                members.iter().flat_map(|x| observations.points().iter().map(move |p| (x, p)))
            {
                let away = x.data[p.row as usize * 16 + p.column as usize] - p.value;
                // On so few points the solver's time error exceeds rounding.
                assert!(away.abs() < 1e-6, "{points} points: {away}");
            }
        }
    }

    /// All values of a sample are given, with errors of a hundredth of the deviation, as if they
    /// were exact. No initial line reproduces them.
    #[test]
    fn values_less_exact_than_they_are_said_to_be_are_followed_as_far_as_they_can_be() {
        let (honest, truth, _) = burgers(256, 0.01, &[0.1, 0.01]);
        assert_eq!(honest, burgers(256, 0.01, &[0.1, 0.01, 1e-5, 1e-8]).0);
        let far = |x: &Fields| {
            let away = x.data.iter().zip(truth.sample(0)).map(|(x, t)| (x - f64::from(*t)).powi(2));
            (away.sum::<f64>() / x.data.iter().map(|x| x * x).sum::<f64>()).sqrt()
        };
        assert!(honest.iter().all(|x| far(x) < 0.02));
    }

    #[test]
    fn it_suits_lines_of_many_values() {
        let suits = |name: &str, size| Inputs::suits(by_name(name).unwrap().as_ref(), size);
        assert!(suits("burgers", Grid::square(128)) && !suits("burgers", Grid::square(256)));
        assert!(!suits("navier-stokes", Grid::square(16)) && !suits("darcy", Grid::square(8)));
    }
}
