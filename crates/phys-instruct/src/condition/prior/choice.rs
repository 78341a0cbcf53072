//! The draw of the prior's covariance, and the choice of its linear estimate.
//!
//! The kind of linear estimate and its share in the blend are chosen by cross-validation. Some
//! samples are left out of the bank and predicted from values of one of their channels, and the
//! choice with the smallest error is taken. The linear estimate alone is preferred where it does
//! nearly as well, since it is exact for Gaussian fields of a linear equation.

use burn::tensor::{Tensor, TensorData};

use crate::condition::observations::observed::Observed;
use crate::condition::observations::place::Stencil;
use crate::condition::prior::Prior;
use crate::condition::prior::covariance::{BANK, Covariance, FRESH, SHARES, moves, unit};
use crate::condition::prior::linear::{Cosines, Linear};
use crate::condition::prior::rows::linear_rows;
use crate::diffusion::noise::Draw;
use crate::net::params::values;
use crate::{Error, Result};

/// The number of bank samples drawn at a time.
const BATCH: usize = 64;
/// The linear estimate alone is taken if its error is at most this factor times the best blend's.
/// Cross-validation favours the bank: the samples left out share the systematic errors of the
/// prior's samples with it.
const ALONE: f32 = 1.05;
/// The number of samples left out of the bank for cross-validation.
const LEFT_OUT: usize = 64;
/// The most values of a channel that a left-out sample is predicted from. At most an eighth of the
/// channel's values are used.
const POINTS: usize = 200;
/// The standard deviation of the errors of these values, in units of each value's deviation.
const NOISE: f64 = 1e-2;

impl Covariance {
    /// Draws the bank from `prior` and chooses the linear estimate and its share.
    ///
    /// # Errors
    /// Fails if the samples or their covariance are not finite.
    pub fn new(prior: &dyn Prior, seed: u64) -> Result<Self> {
        let [channels, height, width] = prior.shape();
        let batch = |start: usize| {
            let draw = Draw { seed, stream: "covariance", step: 0, first: start as u64 };
            let z = draw.normal([BATCH, channels, height, width], &prior.device());
            prior.solved(prior.fields(z)).flatten::<2>(1, 3)
        };

        let symmetries = prior.symmetries();
        let bank = BANK[usize::from(!symmetries.is_empty())];
        let all = Tensor::cat((0..bank).step_by(BATCH).map(batch).collect(), 0);
        if !values(all.clone().sum())[0].is_finite() {
            return Err(Error::NonFinite("samples of the student".into()));
        }

        // Each linear estimate is measured with each share on the samples that were left out.
        let used = all.clone().narrow(0, 0, bank - LEFT_OUT);
        let left_out = all.clone().narrow(0, bank - LEFT_OUT, LEFT_OUT);
        let of = |samples| Self::of(samples, moves(channels, height * width, symmetries));
        let (mut used, mut tried) = (of(used), Vec::new());
        for (i, linear) in used.linear_estimates(prior).into_iter().enumerate() {
            used.linear = linear;
            let errors = used.errors(prior, left_out.clone())?;
            tried.extend(errors.into_iter().zip(SHARES).map(|(error, share)| (error, i, share)));
        }

        tried.sort_by(|a, b| a.0.total_cmp(&b.0));
        let alone = tried.iter().find(|t| t.2 == 1.0 && t.0 < ALONE * tried[0].0);
        let &(_, i, share) = alone.unwrap_or(&tried[0]);
        // The bank of the result holds all samples, those left out for the choice too.
        let all = of(all);
        let linear = all.linear_estimates(prior).into_iter().nth(i).unwrap_or(Linear::Own);

        let fresh = (bank..bank + FRESH).step_by(BATCH).map(batch).collect();
        let fresh = values(Tensor::cat(fresh, 0));
        Ok(Self { linear, share, fresh, ..all })
    }

    /// The linear estimates that are possible for this prior.
    fn linear_estimates(&self, prior: &dyn Prior) -> Vec<Linear> {
        let Some(inputs) = prior.solved_inputs() else { return vec![Linear::Own] };
        let [channels, height, width] = prior.shape();
        let count = self.bank.len() / (channels * height * width);
        let bank = TensorData::new(self.bank.clone(), [count, channels, height, width]);
        let bank = Tensor::<4>::from_data(bank, &prior.device());
        let cosines =
            Cosines::measured(inputs, bank, &self.variances(), unit(count, self.moves.len()));
        [Linear::Own].into_iter().chain(cosines.map(|c| Linear::Cosines(Box::new(c)))).collect()
    }

    /// Cross-validation errors, one for each of [`SHARES`]. The `samples`, which are not in the
    /// bank, are predicted from some values of one channel, spread over it. The squared errors are
    /// in units of each entry's variance, averaged over samples and entries, and summed over the
    /// observed channels.
    fn errors(&mut self, prior: &dyn Prior, samples: Tensor<2>) -> Result<[f32; SHARES.len()]> {
        let away = samples - self.mean.clone();
        let variances = self.variances();
        let one = TensorData::new(variances.clone(), [1, variances.len()]);
        let variance = Tensor::<2>::from_data(one, &prior.device());
        let [channels, height, width] = prior.shape();

        let size = height * width;
        let mut sums = [0.0; SHARES.len()];
        for channel in 0..channels {
            let own = channel * size..(channel + 1) * size;
            let varied: Vec<usize> = own.filter(|&entry| variances[entry] > 0.0).collect();
            let points = POINTS.min(varied.len().div_ceil(8));
            if points == 0 {
                continue;
            }

            let entries: Vec<_> = (0..points).map(|p| varied[p * varied.len() / points]).collect();
            let errors: Vec<_> =
                entries.iter().map(|&e| NOISE * NOISE * f64::from(variances[e])).collect();
            let stencils = Stencil::points(&entries);
            let seen = Observed::at(&stencils, &prior.device()).of_flat(away.clone());
            let linear = linear_rows(self, prior, &stencils)?;

            // Every share predicts the same samples from the same values.
            for (sum, share) in sums.iter_mut().zip(SHARES) {
                self.share = share;
                let gain = self.gain_of_rows(prior, &stencils, &linear, &errors)?;
                let wrong = away.clone() - gain.apply(seen.clone())?.flatten::<2>(1, 3);
                let wrong = wrong.square().mean_dim(0);
                *sum += values((wrong / variance.clone().clamp_min(f32::MIN_POSITIVE)).mean())[0];
            }
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::prior::{Bordered, Independent, Smooth};

    #[test]
    fn a_linear_estimate_has_the_share_that_it_deserves() {
        assert_eq!(Covariance::new(&Smooth::new(), 1).unwrap().share, 1.0);
        assert!(Covariance::new(&Independent::new(), 1).unwrap().share < 1.0);
    }

    #[test]
    fn measured_cosines_are_taken_where_they_say_more() {
        let covariance = Covariance::new(&Bordered::new(), 1).unwrap();
        assert!(matches!(covariance.linear, Linear::Cosines(_)));
    }
}
