//! Quantiles of a posterior, entry by entry, and the probability that a value lies above a level.
//!
//! The members are few, so that their order alone says little of the tails. An entry's law is taken
//! to be that of a further draw from a normal law of which the members are draws: Student's t about
//! their mean. It is the law by which [`Posterior::score`] counts its 90 % interval. Where members
//! coincide, as in an input of two values, the law is that of the members themselves.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::condition::Posterior;
use crate::condition::posterior::{coincide, further_draw, mean};
use crate::{Error, Result};

/// Members that differ by less than this share of their largest magnitude count as equal.
const ALIKE: f64 = 1e-7;

/// The law of one entry.
enum Law {
    /// The members, ascending.
    Members(Vec<f64>),
    /// Student's t about a mean, with a scale.
    Student(StudentsT, f64, f64),
}

impl Law {
    /// The quantile of `share`; `standard` is that of Student's t itself.
    fn quantile(&self, share: f64, standard: f64) -> f64 {
        match self {
            Self::Members(sorted) => {
                let rank = (share * sorted.len() as f64).ceil() as usize;
                sorted[rank.clamp(1, sorted.len()) - 1]
            }
            Self::Student(_, mean, scale) => mean + scale * standard,
        }
    }

    fn share_above(&self, level: f64) -> f64 {
        match self {
            Self::Members(sorted) => {
                let above = sorted.iter().filter(|&&member| member > level).count();
                above as f64 / sorted.len() as f64
            }
            Self::Student(law, mean, scale) => law.sf((level - mean) / scale),
        }
    }
}

impl Posterior {
    /// The law of the flat entry `entry`.
    fn law(&self, entry: usize) -> Law {
        let mut members = self.at(entry);
        let largest = members.iter().fold(0.0f64, |most, member| most.max(member.abs()));
        let known = further_draw(members.len(), self.mirrored);

        match known.filter(|_| !coincide(&members, ALIKE * largest)) {
            Some((law, scale)) => {
                Law::Student(law, mean(&members), scale * self.deviation_of(&members))
            }
            None => {
                members.sort_by(f64::total_cmp);
                Law::Members(members)
            }
        }
    }

    /// The value below which each entry lies with the probability `share`, `[channel, y, x]`.
    ///
    /// # Errors
    /// Fails for a share that is not between 0 and 1.
    pub fn quantile(&self, share: f64) -> Result<Vec<f32>> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::Config(format!("the quantile {share}: between 0 and 1 expected")));
        }

        // One number for all entries, and dearer than all else at an entry.
        let known = further_draw(self.samples.count, self.mirrored);
        let standard = known.map_or(0.0, |(law, _)| law.inverse_cdf(share));
        let quantile = |entry| self.law(entry).quantile(share, standard) as f32;
        Ok((0..self.samples.sample_len()).map(quantile).collect())
    }

    /// The probability that each entry of one channel lies above `level`, `[y, x]`.
    ///
    /// # Errors
    /// [`Error::Request`] for a level that is not finite.
    pub fn share_above(&self, channel: usize, level: f64) -> Result<Vec<f32>> {
        if !level.is_finite() {
            return Err(Error::Request(format!("level {level} found, a finite number expected")));
        }
        let points = self.samples.height * self.samples.width;
        let entries = channel * points..(channel + 1) * points;
        Ok(entries.map(|entry| self.law(entry).share_above(level) as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::rng;

    use super::*;
    use crate::testing::samples_of;

    /// Members `values` of a single entry.
    fn posterior(values: &[f32], mirrored: bool) -> Posterior {
        Posterior::of(samples_of(values.len(), 1, 1, 1, values.to_vec()), mirrored, 1)
    }

    #[test]
    fn a_further_draw_lies_below_a_quantile_as_often_as_it_says() {
        const TRIALS: u64 = 20_000;
        for (members, mirrored) in [(5, false), (16, true)] {
            let mut below = [0; 3];
            for trial in 0..TRIALS {
                let mut rng = rng::stream(7, "quantiles", 0, trial);
                let mut draws = rng::normals(&mut rng, members + 1);
                let next = draws.pop().unwrap();
                if mirrored {
                    draws.chunks_exact_mut(2).for_each(|pair| pair[1] = -pair[0]);
                }
                let draws: Vec<f32> = draws.iter().map(|&draw| draw as f32).collect();
                let own = posterior(&draws, mirrored);
                for (count, share) in below.iter_mut().zip([0.05, 0.5, 0.9]) {
                    *count += usize::from(next < own.quantile(share).unwrap()[0].into());
                }
            }
            for (count, share) in below.into_iter().zip([0.05, 0.5, 0.9]) {
                let found = f64::from(count as u32) / TRIALS as f64;
                assert!((found - share).abs() < 0.01, "{members}: {found} for {share}");
            }
        }
    }

    #[test]
    fn the_probability_above_a_quantile_is_what_the_quantile_leaves() {
        let own = posterior(&[1.0, 2.5, 4.0, 3.0, -1.0], false);
        for share in [0.01, 0.3, 0.5, 0.95] {
            let level = f64::from(own.quantile(share).unwrap()[0]);
            let above = f64::from(own.share_above(0, level).unwrap()[0]);
            assert!((above - (1.0 - share)).abs() < 1e-5, "{share}: {above}");
        }
        for share in [0.0, 1.0, f64::NAN] {
            assert!(own.quantile(share).is_err(), "{share}");
        }
    }

    #[test]
    fn an_entry_of_two_values_has_quantiles_among_them() {
        let own = posterior(&[3.0, 12.0, 12.0, 12.0], false);
        let quantiles = [0.1, 0.25, 0.3, 0.9].map(|share| own.quantile(share).unwrap()[0]);
        assert_eq!(quantiles, [3.0, 3.0, 12.0, 12.0]);
        assert_eq!(
            [2.0, 7.0, 12.0].map(|level| own.share_above(0, level).unwrap()[0]),
            [1.0, 0.75, 0.0]
        );
    }
}
