//! Inference in the input, with the equation between input and solution.
//!
//! The student says what inputs there are: mean + B^T c, c ~ N(0, I), B the principal components of
//! its samples' inputs. The solution belongs to the input by the equation, which the reference solver
//! solves. So what is observed is v = H x(c) + e, and Gauss-Newton steps
//!
//! (G^T G + I) c <- G^T (r + G c), G = S^-1/2 H dx/dc, r = S^-1/2 (v - H x(c))
//!
//! lead to the most probable c, the columns of H dx/dc being differences of solved pairs. They
//! start at refinement's mean, first for larger errors S, then for smaller and smaller ones: the cost
//! of nearly exact values has many minima. From there each member of the ensemble minimises
//! |c - c'|^2 / 2 + |S^-1/2 (v + e' - H x(c))|^2 / 2 for its own c' ~ N(0, I) and errors e',
//! of every second member those of the one before it with the sign turned
//! (randomised maximum likelihood, Oliver, He and Reynolds 1996), by some such steps with the slopes
//! that hold there, or, if they do not lead to v + e', with its own. No network is called. All in
//! `f64`: exact values are followed to the rounding that they come with.
//!
//! This is for inputs of few values, such as a line of initial values: every component costs a
//! solve. And for inputs near Gaussian, not those of two values.

use faer::linalg::solvers::Qr;
use faer::prelude::SolveLstsq;
use faer::{Mat, MatRef, Side};
use phys_instruct_physics::{Fields, Pde, rng};
use rayon::prelude::*;

use super::Task;
use super::place::Stencil;
use crate::{Error, Result};

/// Values of an input, at most.
const MOST: usize = 128;
/// Components of less than this share of the largest deviation are left out.
const LEAST_SHARE: f64 = 1e-4;
/// Length, in standard deviations, of the difference that takes a derivative: the solver's number of
/// time steps may change within it, which moves the solution by some 1e-7.
const DIFFERENCE: f64 = 0.01;
/// Gauss-Newton steps for one size of the errors, at most, and the share of the cost that the last of
/// them takes away.
const STEPS: usize = 12;
const SETTLED: f64 = 1e-2;
/// Mean square misfits, in units of the errors: with one below the first the search goes on to smaller
/// errors; with one above the second it does not lead to the values.
const FOLLOWED: f64 = 1.0;
const LOST: f64 = 4.0;
/// Steps of each member from there, at most, with the slopes at the most probable c; one that is lost
/// then goes on with its own.
const MEMBER_STEPS: usize = 4;
/// Shorter and shorter steps tried until the cost falls.
const LENGTHS: [f64; 3] = [1.0, 0.5, 0.25];

/// The law of the inputs as a prior's samples have it: mean + components^T c, c ~ N(0, I).
#[derive(Debug)]
pub(super) struct Inputs {
    /// Where a flat joint sample holds the input.
    entries: Vec<usize>,
    mean: Vec<f64>,
    /// Scaled by their deviations, `[component, entry]`.
    components: Mat<f64>,
}

impl Inputs {
    /// Whether the input of `pde` on a grid of `size` is of the kind this is for.
    pub fn suits(pde: &dyn Pde, size: usize) -> bool {
        pde.input_values().is_none() && Task::Forward.observed(pde, size).len() <= MOST
    }

    /// From the `mean` of samples, `[entry of the sample]`, and the deviations of their input's `entries`
    /// from it over the root of their number, `[sample, entry]`.
    ///
    /// # Errors
    /// Deviations that are not finite.
    pub fn new(mean: &[f32], deviations: MatRef<f32>, entries: Vec<usize>) -> Result<Self> {
        let n = entries.len();
        let inputs = Mat::from_fn(deviations.nrows(), n, |i, e| f64::from(deviations[(i, e)]));
        let eigen = (inputs.transpose() * &inputs)
            .self_adjoint_eigen(Side::Lower)
            .map_err(|e| Error::NonFinite(format!("covariance of the inputs: {e:?}")))?;
        let (vectors, variances) = (eigen.U(), eigen.S().column_vector());
        let least = variances[n - 1] * LEAST_SHARE * LEAST_SHARE;
        let kept: Vec<usize> = (0..n).rev().filter(|&k| variances[k] > least).collect();
        let components =
            Mat::from_fn(kept.len(), n, |k, e| vectors[(e, kept[k])] * variances[kept[k]].sqrt());
        let mean = entries.iter().map(|&e| f64::from(mean[e])).collect();
        Ok(Self { entries, mean, components })
    }

    /// The c of a joint sample's input: the nearest.
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

/// What is to be explained, and by what.
pub(super) struct Problem<'a> {
    pub inputs: &'a Inputs,
    pub pde: &'a dyn Pde,
    /// A joint sample near the answer, where the search begins.
    pub near: &'a Fields,
    /// The observed functionals, and their values.
    pub stencils: &'a [Stencil],
    pub values: Vec<f64>,
    /// The deviations of their errors.
    pub deviations: Vec<f64>,
    /// Larger ones, in turn, with which the search begins.
    pub softened: Vec<Vec<f64>>,
}

/// A pair of the equation.
#[derive(Clone)]
struct Pair {
    c: Mat<f64>,
    x: Fields,
}

impl Problem<'_> {
    /// `members` draws from the posterior. Where the search does not lead to the values within their
    /// errors, from that for the smallest of the softened ones with which it does, if there is one.
    ///
    /// # Errors
    /// An input that the solver refuses.
    pub fn infer(&self, members: usize, seed: u64) -> Result<Vec<Fields>> {
        let start = self.start()?;
        let mut at = (self.slopes(&start)?, start);
        let mut stages = self.softened.iter().chain([&self.deviations]);
        let stage = |deviations| Stage { problem: self, deviations };
        let mut reached = stage(stages.next().unwrap_or(&self.deviations));
        let none = Member::most_probable(&at.0);
        at = reached.approached(&at, &none, false)?;
        for next in stages.map(|deviations| stage(deviations)) {
            let nearer = next.approached(&at, &none, false)?;
            if next.mean_misfit(&nearer.1, &none) > LOST {
                break;
            }
            (reached, at) = (next, nearer);
        }
        at = reached.approached(&at, &none, true)?;
        reached.members(&at, members, seed)
    }

    /// The pair of the input that is near, or of the mean where the solver refuses that.
    fn start(&self) -> Result<Pair> {
        let c = self.inputs.coordinates(&self.near.data);
        let mean = c.clone() * faer::Scale(0.0);
        self.pair(c).or_else(|_| self.pair(mean))
    }

    /// The pair of `c`.
    fn pair(&self, c: Mat<f64>) -> Result<Pair> {
        let input = Fields { data: self.inputs.at(&c), ..self.pde.input_of(self.near) };
        Ok(Pair { c, x: self.pde.solve(&input)?.fields })
    }

    /// H dx/dc at a pair, `[point, component]`.
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

/// The values with errors of one size.
struct Stage<'a> {
    problem: &'a Problem<'a>,
    deviations: &'a [f64],
}

/// What one answer is drawn to: c' and e'; both 0 for the most probable one.
struct Member {
    own: Mat<f64>,
    errors: Mat<f64>,
}

impl Member {
    fn most_probable(slopes: &Mat<f64>) -> Self {
        Self { own: Mat::zeros(slopes.ncols(), 1), errors: Mat::zeros(slopes.nrows(), 1) }
    }
}

impl Stage<'_> {
    /// Where Gauss-Newton steps lead from a pair and the slopes there: until they settle, or, unless to
    /// the `end`, until the values are followed.
    fn approached(
        &self,
        from: &(Mat<f64>, Pair),
        draw: &Member,
        end: bool,
    ) -> Result<(Mat<f64>, Pair)> {
        let (mut slopes, mut pair) = from.clone();
        for _ in 0..STEPS {
            if !end && self.mean_misfit(&pair, draw) < FOLLOWED {
                break;
            }
            let Some(better) = self.step(&pair, &self.linearised(&slopes), draw) else { break };
            let settled = self.cost(&better, draw) > (1.0 - SETTLED) * self.cost(&pair, draw);
            pair = better;
            slopes = self.problem.slopes(&pair)?;
            if settled {
                break;
            }
        }
        Ok((slopes, pair))
    }

    fn members(&self, at: &(Mat<f64>, Pair), count: usize, seed: u64) -> Result<Vec<Fields>> {
        let (slopes, pair) = at;
        let linear = self.linearised(slopes);
        let (points, components) = (slopes.nrows(), slopes.ncols());
        let member = |member: usize| {
            let mut rng = rng::stream(seed, "input space", 0, member as u64 / 2);
            let sign = if member.is_multiple_of(2) { 1.0 } else { -1.0 };
            let own = Mat::from_fn(components, 1, |_, _| sign * rng::normal(&mut rng));
            let errors = Mat::from_fn(points, 1, |_, _| sign * rng::normal(&mut rng));
            let draw = Member { own, errors };
            let mut at = pair.clone();
            for _ in 0..MEMBER_STEPS {
                // Not only downhill: it is after some of them that the errors of the slopes are gone.
                let change = self.change(&at, &linear, &draw);
                let Ok(next) = self.problem.pair(&at.c + change) else { break };
                at = next;
            }
            if self.mean_misfit(&at, &draw) > LOST {
                at = self.approached(&(self.problem.slopes(&at)?, at), &draw, true)?.1;
            }
            Ok(at.x)
        };
        (0..count).into_par_iter().map(member).collect()
    }

    /// A pair of lower cost, if one of the steps tried leads to it.
    fn step(&self, at: &Pair, linear: &Linearised, draw: &Member) -> Option<Pair> {
        let (change, before) = (self.change(at, linear, draw), self.cost(at, draw));
        // A step too long may lead to an input that the solver refuses.
        let trial = |length| self.problem.pair(&at.c + faer::Scale(length) * &change).ok();
        LENGTHS.into_iter().filter_map(trial).find(|trial| self.cost(trial, draw) < before)
    }

    /// From a pair's c to where the cost would be least if the slopes held everywhere.
    fn change(&self, at: &Pair, linear: &Linearised, draw: &Member) -> Mat<f64> {
        let wrong = self.misfit(at, draw) - &linear.seen * (&draw.own - &at.c);
        &draw.own + linear.least_squares(wrong) - &at.c
    }

    /// Twice what a draw minimises.
    fn cost(&self, pair: &Pair, draw: &Member) -> f64 {
        (&pair.c - &draw.own).squared_norm_l2() + self.misfit(pair, draw).squared_norm_l2()
    }

    fn mean_misfit(&self, pair: &Pair, draw: &Member) -> f64 {
        self.misfit(pair, draw).squared_norm_l2() / self.deviations.len() as f64
    }

    /// r + S^-1/2 e'.
    fn misfit(&self, pair: &Pair, draw: &Member) -> Mat<f64> {
        let Problem { stencils, values, .. } = self.problem;
        let at = |p: usize| (values[p] - stencils[p].of_f64(&pair.x.data)) / self.deviations[p];
        Mat::from_fn(stencils.len(), 1, |p, _| at(p) + draw.errors[(p, 0)])
    }

    fn linearised(&self, slopes: &Mat<f64>) -> Linearised {
        let in_units = |p: usize, k: usize| slopes[(p, k)] / self.deviations[p];
        Linearised::new(Mat::from_fn(slopes.nrows(), slopes.ncols(), in_units))
    }
}

/// G, factorised with the prior below it. Not as G^T G + I, whose condition is beyond `f64` where values
/// are exact.
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

    /// Of [G; I] c = [r; 0]: (G^T G + I)^-1 G^T r.
    fn least_squares(&self, r: Mat<f64>) -> Mat<f64> {
        let mut right = Mat::zeros(self.seen.nrows() + self.seen.ncols(), 1);
        right.subrows_mut(0, r.nrows()).copy_from(&r);
        self.with_prior.solve_lstsq(right)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::burgers::Burgers;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::Samples;
    use crate::condition::{Observations, exact};
    use crate::eval::testing::samples_from;

    const SIZE: usize = 8;
    const SAMPLES: u64 = 4000;

    fn inputs_of(pde: &dyn Pde, samples: &Samples) -> Inputs {
        let (len, count) = (samples.sample_len(), samples.count as f32);
        let all = MatRef::from_column_major_slice(&samples.data, len, samples.count);
        let mean: Vec<f32> = (0..len).map(|e| all.row(e).sum() / count).collect();
        let entries = Task::Forward.observed(pde, samples.width);
        let deviation = |i: usize, e: usize| (all[(e, i)] - mean[e]) / count.sqrt();
        let deviations =
            Mat::from_fn(samples.count, entries.len(), |i, e| deviation(i, entries[e]));
        Inputs::new(&mean, deviations.as_ref(), entries).unwrap()
    }

    #[test]
    fn on_a_linear_equation_it_draws_from_the_exact_posterior() {
        let pde = by_name("poisson").unwrap();
        let pde = pde.as_ref();
        let truth = samples_from(pde, 1, SIZE, 9);
        let solution = Task::Inverse.observed(pde, SIZE);
        let observations = Observations::draw(&truth, 0, &solution, 12, 0.05, 1).unwrap();
        let points = observations.points();
        let inputs = inputs_of(pde, &samples_from(pde, SAMPLES, SIZE, 5));
        let problem = Problem {
            inputs: &inputs,
            pde,
            near: &samples_from(pde, 1, SIZE, 10).fields(0),
            stencils: observations.stencils(),
            values: points.iter().map(|p| p.value).collect(),
            deviations: points.iter().map(|p| p.deviation()).collect(),
            softened: vec![points.iter().map(|p| 2.0 * p.deviation()).collect()],
        };
        let moments = |s: &Samples, e: usize| {
            let (n, at) = (s.count as f64, |i: usize| f64::from(s.sample(i)[e]));
            let mean = (0..s.count).map(at).sum::<f64>() / n;
            let square = (0..s.count).map(|i| (at(i) - mean).powi(2)).sum::<f64>();
            [mean, (square / (n - 1.0)).sqrt()]
        };
        let drawn = problem.infer(600, 0).unwrap();
        let drawn = Samples::from_fields("poisson", &["a", "u"], &drawn).unwrap();
        let limit = exact::posterior(pde, &observations, 600, 0).unwrap().samples;
        for entry in [SIZE + 3, 4 * SIZE + 4, 64 + 3 * SIZE + 5] {
            let [[mean, sd], [exact, exact_sd]] = [&drawn, &limit].map(|s| moments(s, entry));
            assert!((mean - exact).abs() < 0.25 * exact_sd, "{entry}: {mean}, exactly {exact}");
            assert!((sd / exact_sd - 1.0).abs() < 0.15, "{entry}: {sd}, exactly {exact_sd}");
        }
    }

    /// Answers to values of Burgers' equation on 16 points at some multiples of their deviations, and the
    /// truth.
    fn burgers(points: usize, noise: f64, sizes: &[f64]) -> (Vec<Fields>, Samples, Observations) {
        let pde: &dyn Pde = &Burgers { nu: 0.03, ..Burgers::default() };
        let samples = samples_from(pde, SAMPLES, 16, 5);
        let truth = samples.slice(0..1);
        let all = Task::Reconstruct.observed(pde, 16);
        let observations = Observations::draw(&truth, 0, &all, points, noise, 1).unwrap();
        let errors = |size: &f64| observations.points().iter().map(|_| 0.2 * size).collect();
        let (last, soft) = sizes.split_last().unwrap();
        let problem = Problem {
            inputs: &inputs_of(pde, &samples),
            pde,
            near: &samples.fields(1),
            stencils: observations.stencils(),
            values: observations.points().iter().map(|p| p.value).collect(),
            deviations: errors(last),
            softened: soft.iter().map(errors).collect(),
        };
        (problem.infer(4, 0).unwrap(), truth, observations)
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
                // On so few points the solver's time error is larger than rounding.
                assert!(away.abs() < 1e-6, "{points} points: {away}");
            }
        }
    }

    /// Every value of a sample, with errors of a hundredth of the deviation, said to be exact: no initial
    /// line leads to them.
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
        assert!(suits("burgers", 128) && !suits("burgers", 256));
        assert!(!suits("navier-stokes", 16) && !suits("darcy", 8));
    }
}
