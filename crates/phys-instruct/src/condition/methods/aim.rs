//! The values at which each member of an ensemble aims.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::condition::observations::observed::row;
use crate::condition::prior::Prior;
use crate::condition::{Observation, Observations};
use crate::diffusion::noise::Draw;

/// The random draws of some members. Those of every second member have the opposite sign of the one
/// before, so that the ensemble's mean equals the posterior's to first order for any number of
/// pairs.
pub struct Aim {
    /// Standard normal noise, `[member, channel, y, x]`.
    pub noise: Tensor<4>,
    /// The observed values with the member's own errors added, `[member, point]`.
    pub values: Tensor<2>,
    /// The number of the first pair of members.
    first: u64,
    seed: u64,
}

impl Aim {
    /// Draws noise and errors for the members, whose first has an even number.
    pub fn draw(
        prior: &dyn Prior,
        observations: &Observations,
        members: Range<usize>,
        seed: u64,
    ) -> Self {
        let [channels, height, width] = prior.shape();
        let device = prior.device();
        let (count, points) = (members.len(), observations.points().len());

        let first = (members.start / 2) as u64;
        let normal = |stream, shape| Draw { seed, stream, step: 0, first }.mirrored(shape, &device);
        let errors = normal("errors", [count, 1, 1, points]).reshape([count, points]);
        let value = row(observations, |p| p.value, &device);
        Self {
            noise: normal("posterior", [count, channels, height, width]),
            values: errors * row(observations, Observation::deviation, &device) + value,
            first,
            seed,
        }
    }

    /// The standard normal noise that is added before the members' call number `calls` + 1.
    pub fn renoising(&self, calls: usize) -> Tensor<4> {
        let Self { seed, first, .. } = *self;
        let draw = Draw { seed, stream: "refinement", step: calls as u64, first };
        draw.mirrored(self.noise.dims(), &self.noise.device())
    }
}
