//! Observations compared with the prior, before any answer.
//!
//! Let v be the observed values, m their mean under the prior, C the prior's covariance, and H the
//! map from a sample to its values at the places. Let S hold the variances of the errors, so that V
//! = H C H^T + S is the covariance of v. With b = V^-1 (v - m), five distances say how unusual v
//! is:
//!
//! - each value alone: (v_i - m_i) / sqrt(V_ii);
//! - each value given all others: b_i / sqrt((V^-1)_ii), the standardised error of predicting it
//!   (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equation 5.12);
//! - all together: the square root of (v - m)^T b over the number of values, the Mahalanobis
//!   distance for each value;
//! - the field that they show: the square root of b^T (V - S) b over tr(V^-1 (V - S)). In units of
//!   V's eigenvectors it is the same distance, with every direction weighed by the share of its
//!   variance that is not error. Hundreds of values hide a rougher field behind their errors from
//!   the distance above, and not from this one;
//! - a common offset of a field: 1^T b / sqrt(1^T V^-1 1), where the vector 1 is 1 at the values
//!   of that field and 0 elsewhere.
//!
//! Each distance is near 1 for a Gaussian prior. The student's prior is not Gaussian. Its own
//! samples, seen at the same places with errors of the same size, therefore give the usual range.

use faer::Mat;
use faer::linalg::solvers::DenseSolveCore;
use phys_instruct_physics::rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::Result;
use crate::condition::explained::LeftOut;
use crate::condition::observations::place::Stencil;
use crate::condition::prior::Prior;
use crate::condition::prior::covariance::Covariance;
use crate::condition::prior::gain::covariance_of;
use crate::linalg::cholesky;
use crate::net::params::values;

/// The share of the reference's samples that exceeds the usual range. The reference is the prior's
/// own samples, or examples of the data.
const RARE: f64 = 0.01;

/// The largest of the five distances over the observed values, or over those of one sample of the
/// prior.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Distances {
    /// The largest of the values alone.
    pub alone: f64,
    /// The largest of the values given all others.
    pub given_rest: f64,
    /// The distance of all values together.
    pub together: f64,
    /// The distance of the field that the values show, their errors left out.
    pub shown: f64,
    /// The largest of the fields' common offsets.
    pub offset: f64,
}

/// Observed values, and their law under the prior, approximated as Gaussian.
pub(crate) struct Seen {
    /// The indices of these values among all observations.
    pub chosen: Vec<usize>,
    /// The channel of each value.
    pub channels: Vec<usize>,
    /// The values.
    pub values: Vec<f64>,
    /// The stated standard deviations of the errors; none where they are not stated.
    pub sd: Vec<Option<f64>>,
    /// The standard deviation of each value's field.
    pub unit: Vec<f64>,
    /// The least deviation of each error, whatever is stated.
    pub least: Vec<f64>,
    /// The law of the values under the prior.
    pub expectation: Expectation,
}

/// The mean and covariance of some functionals under the prior.
pub(crate) struct Expectation {
    /// The mean of each value.
    pub mean: Vec<f64>,
    /// The covariance without observation errors, `[point, point]`.
    pub covariance: Mat<f64>,
    /// The deviations from the mean of samples that are not in the covariance, `[point, sample]`.
    pub samples: Mat<f64>,
}

impl Expectation {
    /// The law of the values of `stencils` under the prior with this `covariance`, without
    /// observation errors. The flat joint samples `fresh` serve as its reference.
    ///
    /// # Errors
    /// Fails as [`Covariance::gain`] does.
    pub fn new(
        covariance: &Covariance,
        prior: &dyn Prior,
        stencils: &[Stencil],
        fresh: &[f32],
    ) -> Result<Self> {
        let own = values(covariance.mean.clone());
        let mean: Vec<f64> = stencils.iter().map(|stencil| stencil.of(&own)).collect();

        let (n, samples) = (stencils.len(), covariance.seen(fresh, stencils));
        let samples = Mat::from_fn(n, samples.nrows(), |i, s| f64::from(samples[(s, i)]) - mean[i]);
        let covariance = covariance_of(covariance, prior, covariance.scales(), stencils)?;
        Ok(Self { mean, covariance, samples })
    }
}

/// The degree to which observed values are unusual under the prior.
#[derive(Debug, Clone, PartialEq)]
pub struct Surprise {
    /// The indices of the observations that were examined, in
    /// [`Observations::points`](crate::condition::Observations::points).
    pub chosen: Vec<usize>,
    /// The mean of each value under the prior.
    pub mean: Vec<f64>,
    /// The deviation of each value under the prior, errors included.
    pub deviation: Vec<f64>,
    /// The distance of each value from its mean, in deviations.
    pub alone: Vec<f64>,
    /// The value expected from all others, and its deviation, for each value.
    pub expected: Vec<[f64; 2]>,
    /// The distance of each value from the value expected, in deviations.
    pub given_rest: Vec<f64>,
    /// The five distances of the observations.
    pub distances: Distances,
    /// The five distances that one in a hundred of the reference's samples exceeds.
    pub usual: Distances,
    /// The distance of all values together below which one in a hundred of the reference's samples
    /// lies.
    pub least_together: f64,
    /// The distance of the field that the values show, likewise.
    pub least_shown: f64,
    /// The size of each channel's values; none for a channel without observations.
    pub sizes: Vec<Option<Size>>,
}

/// The root mean square of a channel's observed values, divided by that expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// The size of the observed values.
    pub found: f64,
    /// The size below which one in a hundred of the reference's samples lies, and the size that
    /// one in a hundred exceeds.
    pub usual: [f64; 2],
    /// The number of values.
    pub count: usize,
}

impl Surprise {
    /// The law of each of `count` observations given all others; none for those not examined.
    pub fn left_out(&self, count: usize) -> Vec<Option<LeftOut>> {
        let mut all = vec![None; count];
        for (k, &i) in self.chosen.iter().enumerate() {
            let [value, sd] = self.expected[k];
            all[i] = Some(LeftOut::new(value, sd, self.given_rest[k]));
        }
        all
    }
}

/// The inverse of V in units of the values' own deviations.
struct Inverse {
    deviation: Vec<f64>,
    inverse: Mat<f64>,
    /// The share of each value's variance that is error.
    error: Vec<f64>,
    /// The channel of each value.
    channels: Vec<usize>,
}

impl Seen {
    /// The deviations of all errors. Those not stated are a `share` of their field's deviation.
    pub fn errors(&self, share: f64) -> Vec<f64> {
        let one = |i: usize| self.sd[i].unwrap_or(share * self.unit[i]).hypot(self.least[i]);
        (0..self.values.len()).map(one).collect()
    }

    /// Measures how unusual the values are. The errors of the reference samples are drawn from
    /// `seed`.
    ///
    /// # Errors
    /// Fails if the covariance is not finite.
    pub fn surprise(&self, seed: u64) -> Result<Surprise> {
        let n = self.values.len();
        let sd = self.errors(0.0);
        let Expectation { mean, covariance, samples } = &self.expectation;
        let inverse = Inverse::new(covariance, &sd, &self.channels)?;
        let away = Mat::from_fn(n, 1, |i, _| (self.values[i] - mean[i]) / inverse.deviation[i]);
        let pulls = &inverse.inverse * &away;
        let given_rest = (0..n).map(|i| pulls[(i, 0)] / inverse.inverse[(i, i)].sqrt()).collect();

        // The prediction error of one value is its entry of a over the diagonal of the inverse.
        let expected = (0..n).map(|i| {
            let (unit, diagonal) = (inverse.deviation[i], inverse.inverse[(i, i)]);
            [self.values[i] - unit * pulls[(i, 0)] / diagonal, unit / diagonal.sqrt()]
        });
        let expected = expected.collect();

        // The reference's samples at the same places, with errors of the sizes stated. Exact
        // values have none, whatever the covariance allows for.
        let stated = |i: usize| self.sd[i].unwrap_or(0.0);
        let count = samples.ncols();
        let mut errors = vec![0.0; n * count];
        errors.par_chunks_mut(n.max(1)).enumerate().for_each(|(sample, errors)| {
            let mut rng = rng::stream(seed, "expected errors", 0, sample as u64);
            errors.iter_mut().for_each(|e| *e = rng::normal(&mut rng));
        });
        let drawn = Mat::from_fn(n, count, |i, s| {
            (samples[(i, s)] + stated(i) * errors[s * n + i]) / inverse.deviation[i]
        });

        let own = inverse.distances(&drawn);
        let at = |i: usize, s: usize| mean[i] + samples[(i, s)] + stated(i) * errors[s * n + i];
        let sizes = self.sizes(&inverse.deviation, count, at);

        Ok(Surprise {
            sizes,
            chosen: self.chosen.clone(),
            mean: mean.clone(),
            alone: (0..n).map(|i| away[(i, 0)]).collect(),
            expected,
            given_rest,
            distances: inverse.distances(&away)[0],
            usual: exceeded_by(&own, RARE),
            least_together: quantile(&own, RARE, |d| d.together),
            least_shown: quantile(&own, RARE, |d| d.shown),
            deviation: inverse.deviation,
        })
    }

    /// The size of each channel's values, compared with `count` samples whose values are `drawn`.
    fn sizes(
        &self,
        deviation: &[f64],
        count: usize,
        drawn: impl Fn(usize, usize) -> f64,
    ) -> Vec<Option<Size>> {
        let channels = self.channels.iter().max().map_or(0, |last| last + 1);
        let of_channel = |c: usize| {
            let own: Vec<usize> =
                (0..self.values.len()).filter(|&i| self.channels[i] == c).collect();
            let square =
                |of: &dyn Fn(usize) -> f64| own.iter().map(|&i| of(i).powi(2)).sum::<f64>();

            let expected = square(&|i| self.expectation.mean[i].hypot(deviation[i]));
            if own.is_empty() || expected == 0.0 {
                return None;
            }

            let size = |of: &dyn Fn(usize) -> f64| (square(of) / expected).sqrt();
            let mut all: Vec<f64> = (0..count).map(|s| size(&|i| drawn(i, s))).collect();
            all.sort_by(f64::total_cmp);
            let usual = [RARE, 1.0 - RARE].map(|share| sorted_quantile(&all, share));
            Some(Size { found: size(&|i| self.values[i]), usual, count: own.len() })
        };
        (0..channels).map(of_channel).collect()
    }
}

/// The five distances that a `share` of all samples exceeds.
fn exceeded_by(all: &[Distances], share: f64) -> Distances {
    let high = |of: fn(&Distances) -> f64| quantile(all, 1.0 - share, of);
    Distances {
        alone: high(|d| d.alone),
        given_rest: high(|d| d.given_rest),
        together: high(|d| d.together),
        shown: high(|d| d.shown),
        offset: high(|d| d.offset),
    }
}

/// The number below which a `share` of all samples lies; 0 if there are no samples.
fn quantile(all: &[Distances], share: f64, of: fn(&Distances) -> f64) -> f64 {
    let mut sorted: Vec<f64> = all.iter().map(of).collect();
    sorted.sort_by(f64::total_cmp);
    sorted_quantile(&sorted, share)
}

fn sorted_quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (share * sorted.len() as f64) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

impl Inverse {
    fn new(covariance: &Mat<f64>, sd: &[f64], channels: &[usize]) -> Result<Self> {
        let n = sd.len();
        let variance = |i: usize| covariance[(i, i)] + sd[i] * sd[i];
        // A value that is fixed and exact still has a distance, in units of the smallest number.
        let deviation: Vec<f64> =
            (0..n).map(|i| variance(i).sqrt().max(f64::MIN_POSITIVE.sqrt())).collect();
        let scaled = Mat::from_fn(n, n, |i, j| match i == j {
            true => 1.0,
            false => covariance[(i, j)] / deviation[i] / deviation[j],
        });
        let factor = cholesky(&scaled)?;
        let error = (0..n).map(|i| (sd[i] / deviation[i]).powi(2)).collect();
        Ok(Self { deviation, inverse: factor.inverse(), error, channels: channels.to_vec() })
    }

    /// The five distances of each column of `away`, which holds values less their means in units of
    /// their deviations.
    fn distances(&self, away: &Mat<f64>) -> Vec<Distances> {
        let n = away.nrows();
        let pulls = &self.inverse * away;
        let channels = self.channels.iter().max().map_or(0, |last| last + 1);
        let offsets: Vec<Vec<f64>> = (0..channels).map(|c| self.offset_of(c)).collect();

        // The number of directions in which the values say more than their errors hide.
        let hidden: f64 = (0..n).map(|i| self.error[i] * self.inverse[(i, i)]).sum();
        let told = (n as f64 - hidden).max(f64::MIN_POSITIVE);

        let one = |s: usize| {
            let most = |of: &dyn Fn(usize) -> f64| (0..n).map(|i| of(i).abs()).fold(0.0, f64::max);
            let product: f64 = (0..n).map(|i| away[(i, s)] * pulls[(i, s)]).sum();
            let of_errors: f64 = (0..n).map(|i| self.error[i] * pulls[(i, s)].powi(2)).sum();
            let along = |offset: &Vec<f64>| (0..n).map(|i| offset[i] * away[(i, s)]).sum::<f64>();
            Distances {
                alone: most(&|i| away[(i, s)]),
                given_rest: most(&|i| pulls[(i, s)] / self.inverse[(i, i)].sqrt()),
                together: (product.max(0.0) / n as f64).sqrt(),
                shown: ((product - of_errors).max(0.0) / told).sqrt(),
                offset: offsets.iter().map(|offset| along(offset).abs()).fold(0.0, f64::max),
            }
        };

        (0..away.ncols()).map(one).collect()
    }

    /// The functional of the scaled values that gives the standardised estimate of a channel's
    /// offset.
    fn offset_of(&self, channel: usize) -> Vec<f64> {
        let n = self.deviation.len();
        let is_own = |i: usize| self.channels[i] == channel;
        // An offset of 1 in the channel's unit, in units of each value's deviation.
        let offset =
            Mat::from_fn(n, 1, |i, _| if is_own(i) { self.deviation[i].recip() } else { 0.0 });
        let pull = &self.inverse * &offset;
        let precision: f64 = (0..n).map(|i| offset[(i, 0)] * pull[(i, 0)]).sum();
        let unit = precision.max(f64::MIN_POSITIVE).sqrt().recip();
        (0..n).map(|i| pull[(i, 0)] * unit).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const POINTS: usize = 12;

    /// The values of a random walk with unit steps, and 200 samples of it.
    fn walk(values: Vec<f64>, sd: f64) -> Seen {
        let covariance = Mat::from_fn(POINTS, POINTS, |i, j| (i.min(j) + 1) as f64);
        let mut rng = rng::stream(1, "walk", 0, 0);
        let mut samples = Mat::zeros(POINTS, 200);
        for s in 0..200 {
            let mut at = 0.0;
            for i in 0..POINTS {
                at += rng::normal(&mut rng);
                samples[(i, s)] = at;
            }
        }
        Seen {
            chosen: (0..POINTS).collect(),
            channels: (0..POINTS).map(|i| i / 8).collect(),
            values,
            sd: vec![Some(sd); POINTS],
            unit: vec![2.5; POINTS],
            least: vec![1e-6; POINTS],
            expectation: Expectation { mean: vec![0.0; POINTS], covariance, samples },
        }
    }

    fn drawn(seed: u64) -> Vec<f64> {
        let mut rng = rng::stream(seed, "drawn walk", 0, 0);
        let mut at = 0.0;
        let mut step = || {
            at += rng::normal(&mut rng);
            at + 0.1 * rng::normal(&mut rng)
        };
        (0..POINTS).map(|_| step()).collect()
    }

    /// The share of walks that `above` finds unusual after a `change`.
    fn share(change: impl Fn(&mut [f64]), above: impl Fn(&Surprise) -> bool) -> f64 {
        let hit = |seed: &u64| {
            let mut values = drawn(*seed);
            change(&mut values);
            above(&walk(values, 0.1).surprise(*seed).unwrap())
        };
        (0..300).filter(hit).count() as f64 / 300.0
    }

    #[test]
    fn values_of_the_law_are_seldom_unusual_and_wrong_ones_mostly_are() {
        let alone = |s: &Surprise| s.distances.alone > s.usual.alone;
        let rest = |s: &Surprise| s.distances.given_rest > s.usual.given_rest;
        let together = |s: &Surprise| s.distances.together > s.usual.together;
        let offset = |s: &Surprise| s.distances.offset > s.usual.offset;
        let small = |s: &Surprise| s.sizes[0].unwrap().found < s.sizes[0].unwrap().usual[0];
        for unusual in [alone, rest, together, offset, small] as [fn(&Surprise) -> bool; 5] {
            let share = share(|_| (), unusual);
            assert!(share < 0.04, "{share} of the law's values");
        }
        assert!(share(|v| v.iter_mut().for_each(|v| *v *= 1000.0), alone) > 0.9);
        assert!(share(|v| v.iter_mut().for_each(|v| *v *= 1000.0), together) > 0.99);
        assert!(share(|v| v.iter_mut().for_each(|v| *v *= 1e-3), small) > 0.99);
        // One value is known from its neighbours to about 0.7.
        assert!(share(|v| v[5] += 6.0, rest) > 0.95);
        assert!(share(|v| v.iter_mut().for_each(|v| *v += 8.0), offset) > 0.95);
    }

    /// Values at 120 places of a sum of six waves with random amplitudes of size `scale`, with
    /// errors of 0.5, and 200 samples of that sum with size 1.
    fn waves(scale: f64, seed: u64) -> Seen {
        let (points, waves) = (120, 6);
        let place = |i: usize| std::f64::consts::TAU * i as f64 / points as f64;
        let law = |i, j| {
            let of_wave = |k| (k as f64 * (place(i) - place(j))).cos() / waves as f64;
            (1..=waves).map(of_wave).sum()
        };
        let draw = |rng: &mut _| {
            let mut values = vec![0.0; points];
            for k in 1..=waves {
                let [even, odd] = [rng::normal(rng), rng::normal(rng)];
                for (i, value) in values.iter_mut().enumerate() {
                    let (sin, cos) = (k as f64 * place(i)).sin_cos();
                    *value += (even * cos + odd * sin) / (waves as f64).sqrt();
                }
            }
            values
        };

        let mut rng = rng::stream(seed, "waves", 0, 0);
        let mut samples = Mat::zeros(points, 200);
        for s in 0..200 {
            draw(&mut rng).into_iter().enumerate().for_each(|(i, v)| samples[(i, s)] = v);
        }
        let field = draw(&mut rng);
        let values = field.iter().map(|v| scale * v + 0.5 * rng::normal(&mut rng)).collect();

        let covariance = Mat::from_fn(points, points, law);
        Seen {
            chosen: (0..points).collect(),
            channels: vec![0; points],
            values,
            sd: vec![Some(0.5); points],
            unit: vec![1.0; points],
            least: vec![1e-6; points],
            expectation: Expectation { mean: vec![0.0; points], covariance, samples },
        }
    }

    #[test]
    fn a_field_of_another_size_is_not_hidden_by_the_errors_of_many_values() {
        let share = |scale: f64, above: &dyn Fn(&Surprise) -> bool| {
            let hit = |&seed: &u64| above(&waves(scale, seed).surprise(seed).unwrap());
            (0..100).filter(hit).count() as f64 / 100.0
        };
        let together = |s: &Surprise| s.distances.together > 1.2 * s.usual.together;
        let shown = |s: &Surprise| s.distances.shown > 1.2 * s.usual.shown;
        let near = |s: &Surprise| 1.2 * s.distances.shown < s.least_shown;

        assert!(share(1.0, &shown) < 0.04 && share(1.0, &near) < 0.04);
        let (seen, hidden) = (share(3.0, &shown), share(3.0, &together));
        assert!(seen > 0.95 && hidden < seen - 0.2, "{seen} against {hidden}");
        assert!(share(0.3, &near) > 0.9);
    }

    #[test]
    fn a_value_is_expected_where_its_neighbours_lead() {
        let mut values: Vec<f64> = (1..=POINTS).map(|i| i as f64).collect();
        values[5] = 60.0;
        let surprise = walk(values, 0.0).surprise(0).unwrap();
        let [expected, sd] = surprise.expected[5];
        // The value lies between 5 and 7, one step from each.
        assert!((expected - 6.0).abs() < 1e-3 && (sd - 0.5f64.sqrt()).abs() < 1e-3);
        assert!((surprise.given_rest[5] - 54.0 / sd).abs() < 0.1);
        assert!((surprise.alone[5] - 60.0 / 6f64.sqrt()).abs() < 1e-3);
    }

    #[test]
    fn unstated_errors_are_estimated_and_few_values_say_little() {
        let mut estimated = Vec::new();
        for sd in [0.01, 1.0] {
            let mut sum = 0.0;
            for seed in 0..20 {
                let mut rng = rng::stream(seed, "errors", 0, 0);
                let mut seen = walk(drawn(seed), 0.0);
                seen.values.iter_mut().for_each(|v| *v += sd * rng::normal(&mut rng));
                seen.sd = vec![None; POINTS];
                sum += seen.likely_share().unwrap() * 2.5 / 20.0;
            }
            estimated.push(sum);
        }
        assert!(estimated[0] < 0.4 && estimated[1] > 0.6, "{estimated:?}");
        let mut one = walk(drawn(1), 0.0);
        one.sd = (0..POINTS).map(|i| if i == 3 { None } else { Some(5.0) }).collect();
        let share = one.likely_share().unwrap();
        assert!((0.005..0.05).contains(&share), "{share}");
    }

    #[test]
    fn a_robust_error_is_large_where_a_value_is_wrong() {
        let mut values: Vec<f64> = (1..=POINTS).map(|i| i as f64).collect();
        let honest = walk(values.clone(), 0.1).robust().unwrap();
        assert!(honest.iter().all(|sd| *sd < 0.2), "{honest:?}");
        values[5] += 20.0;
        let weighed = walk(values, 0.1).robust().unwrap();
        assert!(weighed[5] > 5.0, "{weighed:?}");
        let others = weighed.iter().enumerate().filter(|(i, _)| *i != 5);
        assert!(others.map(|(_, sd)| *sd).fold(0.0, f64::max) < 0.3, "{weighed:?}");
    }
}
