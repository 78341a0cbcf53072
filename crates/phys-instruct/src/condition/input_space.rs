//! Inference in the input, with the equation between input and solution.
//!
//! The student says what inputs there are: mean + B^T c, c ~ N(0, I), B the principal components of
//! its samples' inputs. The solution belongs to the input by the equation, which polish solves from
//! a near pair. So what is observed is v = H x(c) + e, and Gauss-Newton steps
//!
//! (G^T G + I) c <- G^T (r + G c), G = S^-1/2 H dx/dc, r = S^-1/2 (v - H x(c))
//!
//! lead to the most probable c, the columns of dx/dc being differences of polished pairs. They
//! start at refinement's mean, first for larger errors S. From there each member of the ensemble minimises
//! |c - c'|^2 / 2 + |S^-1/2 (v + e' - H x(c))|^2 / 2 for its own c' ~ N(0, I) and errors e'
//! (randomised maximum likelihood, Oliver, He and Reynolds 1996) by some such steps with the slopes
//! that hold there, polished after each. No network is called.
//!
//! This is for inputs of few values, such as a line of initial values: every component costs the
//! polish of a sample. And for inputs near Gaussian, not those of two values.

use faer::prelude::Solve;
use faer::{Mat, MatRef, Side};
use phys_instruct_physics::{Pde, rng};

use super::Task;
use crate::polish::polish;
use crate::residual::Residual;
use crate::{Error, Result, Samples};

/// Values of an input, at most.
const MOST: usize = 128;
/// Components of less than this share of the largest deviation are left out.
const LEAST_SHARE: f64 = 1e-4;
/// Length, in standard deviations, of the difference that takes a derivative.
const DIFFERENCE: f64 = 0.1;
/// Gauss-Newton steps, at most, and the share of the cost that the last of them takes away.
const STEPS: usize = 12;
const SETTLED: f64 = 1e-2;
/// Steps of each member from there, with the slopes at the most probable c.
const MEMBER_STEPS: usize = 2;
/// Shorter and shorter steps tried until the cost falls.
const LENGTHS: [f64; 3] = [1.0, 0.5, 0.25];
/// Sweeps of polish that solve from a near pair.
const SWEEPS: usize = 12;

/// The law of the inputs as a prior's samples have it: mean + components^T c, c ~ N(0, I).
#[derive(Debug)]
pub(super) struct Inputs {
    /// Where a flat joint sample holds the input.
    entries: Vec<usize>,
    mean: Vec<f32>,
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
        let mean = entries.iter().map(|&e| mean[e]).collect();
        Ok(Self { entries, mean, components })
    }

    /// The c of a joint sample's input: the nearest.
    fn coordinates(&self, sample: &[f32]) -> Mat<f64> {
        let away = Mat::from_fn(self.entries.len(), 1, |e, _| {
            f64::from(sample[self.entries[e]]) - f64::from(self.mean[e])
        });
        let norms = |k: usize| self.components.row(k).squared_norm_l2();
        let products = &self.components * away;
        Mat::from_fn(products.nrows(), 1, |k, _| products[(k, 0)] / norms(k))
    }

    /// Puts the input of `c` into a joint sample.
    fn put(&self, c: &Mat<f64>, sample: &mut [f32]) {
        let input = self.components.transpose() * c;
        for (e, &entry) in self.entries.iter().enumerate() {
            sample[entry] = self.mean[e] + input[(e, 0)] as f32;
        }
    }
}

/// What is to be explained, and by what.
#[derive(Clone)]
pub(super) struct Problem<'a> {
    pub inputs: &'a Inputs,
    pub residual: &'a dyn Residual,
    /// The observed entries, their values and deviations.
    pub entries: Vec<usize>,
    pub values: Vec<f64>,
    pub deviations: Vec<f64>,
    /// Larger ones, with which the search begins: the cost of nearly exact values has many minima.
    pub soft_deviations: Vec<f64>,
}

/// A pair of the equation.
struct Pair {
    c: Mat<f64>,
    x: Samples,
}

impl Problem<'_> {
    /// `members` draws from the posterior; `near` is one sample near its mean.
    ///
    /// # Errors
    /// A residual that cannot be polished, or fields that are not finite.
    pub fn infer(&self, near: &Samples, members: usize, seed: u64) -> Result<Samples> {
        let start = self.pair(self.inputs.coordinates(near.sample(0)), near)?;
        let slopes = self.slopes(&start)?;
        let soft = Self { deviations: self.soft_deviations.clone(), ..self.clone() };
        let (near, slopes) = soft.most_probable(start, slopes)?;
        let (pair, slopes) = self.most_probable(near, slopes)?;
        self.members(&pair, &slopes, members, seed)
    }

    /// Where Gauss-Newton steps from a pair and its slopes lead, and the slopes there.
    fn most_probable(&self, mut pair: Pair, mut slopes: Mat<f64>) -> Result<(Pair, Mat<f64>)> {
        for _ in 0..STEPS {
            let Some(better) = self.step(&pair, &slopes)? else { break };
            let settled = self.cost(&better) > (1.0 - SETTLED) * self.cost(&pair);
            pair = better;
            slopes = self.slopes(&pair)?;
            if settled {
                break;
            }
        }
        Ok((pair, slopes))
    }

    /// The pair of `c`, from the fields `near` it.
    fn pair(&self, c: Mat<f64>, near: &Samples) -> Result<Pair> {
        let mut x = near.clone();
        self.inputs.put(&c, &mut x.data);
        Ok(Pair { c, x: polish(&x, self.residual, SWEEPS)? })
    }

    /// dx/dc at a pair, `[component, entry]`.
    fn slopes(&self, pair: &Pair) -> Result<Mat<f64>> {
        let (count, len) = (pair.c.nrows(), pair.x.data.len());
        let mut moved = Samples { count, data: pair.x.data.repeat(count), ..pair.x.clone() };
        for (k, sample) in moved.data.chunks_exact_mut(len).enumerate() {
            let mut c = pair.c.clone();
            c[(k, 0)] += DIFFERENCE;
            self.inputs.put(&c, sample);
        }
        let moved = polish(&moved, self.residual, SWEEPS)?;
        let change = |k: usize, e: usize| f64::from(moved.sample(k)[e] - pair.x.data[e]);
        Ok(Mat::from_fn(count, len, |k, e| change(k, e) / DIFFERENCE))
    }

    /// G, `[point, component]`.
    fn seen(&self, slopes: &Mat<f64>) -> Mat<f64> {
        Mat::from_fn(self.entries.len(), slopes.nrows(), |p, k| {
            slopes[(k, self.entries[p])] / self.deviations[p]
        })
    }

    /// r.
    fn misfit(&self, x: &[f32]) -> Mat<f64> {
        let at = |p: usize| self.values[p] - f64::from(x[self.entries[p]]);
        Mat::from_fn(self.entries.len(), 1, |p, _| at(p) / self.deviations[p])
    }

    fn cost(&self, pair: &Pair) -> f64 {
        pair.c.squared_norm_l2() + self.misfit(&pair.x.data).squared_norm_l2()
    }

    /// A pair of lower cost, if one of the steps tried leads to it.
    fn step(&self, pair: &Pair, slopes: &Mat<f64>) -> Result<Option<Pair>> {
        let seen = self.seen(slopes);
        let right = self.misfit(&pair.x.data) + &seen * &pair.c;
        let step = normal(&seen)?.solve(seen.transpose() * right) - &pair.c;
        let before = self.cost(pair);
        for length in LENGTHS {
            let change = faer::Scale(length) * &step;
            let mut near = pair.x.clone();
            shift(&mut near.data, slopes, &change);
            let trial = self.pair(&pair.c + change, &near)?;
            if self.cost(&trial) < before {
                return Ok(Some(trial));
            }
        }
        Ok(None)
    }

    fn members(&self, pair: &Pair, slopes: &Mat<f64>, count: usize, seed: u64) -> Result<Samples> {
        let seen = self.seen(slopes);
        let normal = normal(&seen)?;
        let (points, components) = (self.entries.len(), pair.c.nrows());
        let draw = |member: usize| {
            let mut rng = rng::stream(seed, "input space", 0, member as u64);
            let own = Mat::from_fn(components, 1, |_, _| rng::normal(&mut rng));
            let errors = Mat::from_fn(points, 1, |_, _| rng::normal(&mut rng));
            (own, errors)
        };
        let aims: Vec<_> = (0..count).map(draw).collect();
        let mut all = Samples { count, data: pair.x.data.repeat(count), ..pair.x.clone() };
        let mut at = vec![pair.c.clone(); count];
        for _ in 0..MEMBER_STEPS {
            for (member, sample) in all.data.chunks_exact_mut(pair.x.data.len()).enumerate() {
                let ((own, errors), c) = (&aims[member], &mut at[member]);
                let wrong = self.misfit(sample) + errors - &seen * (own - &*c);
                let next = own + normal.solve(seen.transpose() * wrong);
                shift(sample, slopes, &(&next - &*c));
                self.inputs.put(&next, sample);
                *c = next;
            }
            all = polish(&all, self.residual, SWEEPS)?;
        }
        Ok(all)
    }
}

/// The factor of G^T G + I.
fn normal(seen: &Mat<f64>) -> Result<faer::linalg::solvers::Llt<f64>> {
    let mut normal = seen.transpose() * seen;
    for k in 0..normal.nrows() {
        normal[(k, k)] += 1.0;
    }
    normal
        .llt(Side::Lower)
        .map_err(|e| Error::NonFinite(format!("sensitivity of the observed values: {e:?}")))
}

/// Changes `x` as a change of c does, to first order.
fn shift(x: &mut [f32], slopes: &Mat<f64>, change: &Mat<f64>) {
    let shift = slopes.transpose() * change;
    x.iter_mut().enumerate().for_each(|(e, v)| *v += shift[(e, 0)] as f32);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::condition::{Observations, exact};
    use crate::eval::testing::samples_from;

    const SIZE: usize = 8;
    const SAMPLES: usize = 4000;

    fn inputs(pde: &dyn Pde) -> Inputs {
        let samples = samples_from(pde, SAMPLES as u64, SIZE, 5);
        let (len, count) = (samples.sample_len(), SAMPLES as f32);
        let all = MatRef::from_column_major_slice(&samples.data, len, SAMPLES);
        let mean: Vec<f32> = (0..len).map(|e| all.row(e).sum() / count).collect();
        let entries = Task::Forward.observed(pde, SIZE);
        let deviation = |i: usize, e: usize| (all[(e, i)] - mean[e]) / count.sqrt();
        let deviations = Mat::from_fn(SAMPLES, entries.len(), |i, e| deviation(i, entries[e]));
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
        let residual = crate::residual::build(pde, SIZE, &Device::flex()).unwrap();
        let inputs = inputs(pde);
        let problem = Problem {
            inputs: &inputs,
            residual: residual.as_ref(),
            entries: observations.entries(),
            values: points.iter().map(|p| p.value).collect(),
            deviations: points.iter().map(|p| p.sd).collect(),
            soft_deviations: points.iter().map(|p| 2.0 * p.sd).collect(),
        };
        let near = samples_from(pde, 1, SIZE, 10);
        let moments = |s: &Samples, e: usize| {
            let (n, at) = (s.count as f64, |i: usize| f64::from(s.sample(i)[e]));
            let mean = (0..s.count).map(at).sum::<f64>() / n;
            let square = (0..s.count).map(|i| (at(i) - mean).powi(2)).sum::<f64>();
            [mean, (square / (n - 1.0)).sqrt()]
        };
        let drawn = problem.infer(&near, 600, 0).unwrap();
        let limit = exact::posterior(pde, &observations, 600, 0).unwrap().samples;
        for entry in [SIZE + 3, 4 * SIZE + 4, 64 + 3 * SIZE + 5] {
            let [[mean, sd], [exact, exact_sd]] = [&drawn, &limit].map(|s| moments(s, entry));
            assert!((mean - exact).abs() < 0.25 * exact_sd, "{entry}: {mean}, exactly {exact}");
            assert!((sd / exact_sd - 1.0).abs() < 0.15, "{entry}: {sd}, exactly {exact_sd}");
        }
    }

    #[test]
    fn it_suits_lines_of_many_values() {
        let suits = |name: &str, size| Inputs::suits(by_name(name).unwrap().as_ref(), size);
        assert!(suits("burgers", 128) && !suits("burgers", 256));
        assert!(!suits("navier-stokes", 16) && !suits("darcy", 8));
    }
}
