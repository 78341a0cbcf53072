//! The agreement of an answer with the observations.
//!
//! Let sd be the standard deviation of a value's error. An answer misses the value by (answer -
//! value) / sd, and chi is the root mean square of these misses over the observations. With normal
//! errors chi is near 1 at the truth. It is below 1 at a posterior's mean, which follows the errors
//! in part.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::condition::observations::place::Lattice;
use crate::condition::{Observations, Posterior};

/// The most observations that are listed as the worst.
const LISTED: usize = 3;

/// The agreement of a posterior with the observations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The chi of the mean over members.
    pub chi: f64,
    /// The root mean square of the members' chi.
    pub chi_of_members: f64,
    /// The observations that the mean misses by most, the worst first.
    pub worst: Vec<Fit>,
    /// All observations, in the order of [`Observations::points`].
    #[serde(skip)]
    pub fits: Vec<Fit>,
}

/// One observation and the answer at its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// The number of the observation in its file, from 1.
    pub number: usize,
    /// The name of its place; none where nothing tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The field.
    pub field: String,
    /// The coordinate y, from 0 to the side of the domain.
    pub y: f64,
    /// The coordinate x, likewise.
    pub x: f64,
    /// The observed value.
    pub value: f64,
    /// The standard deviation of its error that was used.
    pub sd: f64,
    /// The value of the posterior's mean there.
    pub answer: f64,
    /// The standard deviation of the members' values there.
    pub answer_sd: f64,
    /// |answer - value| over the standard deviation of the value's error.
    pub chi: f64,
    /// The law of the value given all other observations; none where it was not asked for.
    pub left_out: Option<LeftOut>,
}

/// The law of an observed value given all others, under the prior.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LeftOut {
    /// The expected value.
    pub value: f64,
    /// The standard deviation of the observed value about it, its error included.
    pub sd: f64,
    /// (observed - expected) / sd.
    pub distance: f64,
    /// The probability of a smaller value; evenly spread over many values if the errors and the
    /// prior are right.
    pub rank: f64,
}

impl LeftOut {
    /// The law of an observed value whose expected value, deviation and distance are given.
    pub fn new(value: f64, sd: f64, distance: f64) -> Self {
        Self { value, sd, distance, rank: Normal::standard().cdf(distance) }
    }
}

impl Explained {
    /// Compares `posterior` with `observations` on a `lattice`. `sd` holds the standard deviation
    /// of each observation's error, above 0, and `left_out` what the others say of it.
    pub fn new(
        posterior: &Posterior,
        observations: &Observations,
        lattice: &Lattice,
        sd: &[f64],
        left_out: &[Option<LeftOut>],
    ) -> Self {
        let n = observations.points().len();
        let value = |i: usize| observations.points()[i].value;
        let off = |x: &[f32], i: usize| (observations.stencils()[i].of(x) - value(i)) / sd[i];
        let square = |x: &[f32]| (0..n).map(|i| off(x, i).powi(2)).sum::<f64>() / n as f64;

        let mean = posterior.mean();
        let members = &posterior.samples;
        let squares = (0..members.count).map(|m| square(members.sample(m)));
        let chi_of_members = (squares.sum::<f64>() / members.count as f64).sqrt();

        let fit = |i: usize| {
            let (point, stencil) = (&observations.points()[i], &observations.stencils()[i]);
            let [y, x] = lattice.coordinates(point.channel, [point.row, point.column]);
            let at_members: Vec<f64> =
                (0..members.count).map(|m| stencil.of(members.sample(m))).collect();
            Fit {
                number: observations.numbers()[i],
                name: observations.names()[i].clone(),
                field: observations.channels()[point.channel].clone(),
                y,
                x,
                value: point.value,
                sd: sd[i],
                answer: stencil.of(&mean),
                answer_sd: posterior.deviation_of(&at_members),
                chi: off(&mean, i).abs(),
                left_out: left_out[i],
            }
        };

        let fits: Vec<Fit> = (0..n).map(fit).collect();
        let mut worst = fits.clone();
        worst.sort_by(|a, b| b.chi.total_cmp(&a.chi));
        worst.truncate(LISTED);
        Self { chi: square(&mean).sqrt(), chi_of_members, worst, fits }
    }

    /// All observations, by their numbers.
    pub fn by_number(&self) -> impl Iterator<Item = &Fit> {
        let mut fits: Vec<&Fit> = self.fits.iter().collect();
        fits.sort_by_key(|fit| fit.number);
        fits.into_iter()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::Grid;
    use phys_instruct_physics::poisson::Poisson;

    use super::*;
    use crate::condition::Observation;
    use crate::testing::samples_of;

    #[test]
    fn chi_counts_in_errors_and_the_worst_come_first() {
        // Members 1 and 3 everywhere: the mean is 2.
        let data = [vec![1.0; 32], vec![3.0; 32]].concat();
        let mut samples = samples_of(2, 2, 4, 4, data);
        samples.channels = vec!["a".into(), "u".into()];
        let posterior = Posterior::of(samples, false, 0);
        let at = |row, value, sd| Observation::at_point(1, row, 1, value, Some(sd));
        let points = vec![at(3, 2.5, 0.5), at(0, 8.0, 2.0), at(1, 2.0, 0.1)];
        let channels = ["a".to_owned(), "u".to_owned()];
        let observations = Observations::new(&channels, Grid::square(4), points).unwrap();
        let sd: Vec<f64> = observations.points().iter().map(|p| p.deviation()).collect();
        let lattice = Lattice::new(&Poisson::default(), Grid::square(4));
        let own = Explained::new(&posterior, &observations, &lattice, &sd, &[None; 3]);

        assert!((own.chi - (10.0f64 / 3.0).sqrt()).abs() < 1e-12);
        let numbers: Vec<usize> = own.worst.iter().map(|w| w.number).collect();
        assert_eq!(numbers, [2, 1, 3]);
        assert_eq!((own.worst[0].answer, own.worst[0].chi), (2.0, 3.0));
        assert_eq!(own.fits[1].answer_sd, f64::sqrt(2.0));
        assert!((own.worst[1].y - 1.0).abs() < 1e-12 && (own.worst[1].x - 1.0 / 3.0).abs() < 1e-12);
        let one = [(9.0 + 12.25 + 100.0) / 3.0, (1.0 + 6.25 + 100.0) / 3.0];
        assert!((own.chi_of_members - ((one[0] + one[1]) / 2.0f64).sqrt()).abs() < 1e-9);
    }
}
