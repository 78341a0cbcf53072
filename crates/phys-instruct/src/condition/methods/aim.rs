//! The values at which each member of an ensemble aims.

use burn::tensor::Tensor;

use crate::condition::observations::observed::row;
use crate::condition::prior::Prior;
use crate::condition::{Observation, Observations};
use crate::diffusion::noise::Draw;

/// The random draws of each member. Those of every second member have the opposite sign of the one
/// before, so that the ensemble's mean equals the posterior's to first order for any number of
/// pairs.
pub struct Aim {
    /// Standard normal noise, `[member, channel, y, x]`.
    pub noise: Tensor<4>,
    /// The observed values with the member's own errors added, `[member, point]`.
    pub values: Tensor<2>,
}

impl Aim {
    /// Draws noise and errors for `members` members.
    pub fn draw(prior: &dyn Prior, observations: &Observations, members: usize, seed: u64) -> Self {
        let [channels, height, width] = prior.shape();
        let device = prior.device();
        let points = observations.points().len();
        let normal =
            |stream, shape| Draw { seed, stream, step: 0, first: 0 }.mirrored(shape, &device);
        let errors = normal("errors", [members, 1, 1, points]).reshape([members, points]);
        let value = row(observations, |p| p.value, &device);
        Self {
            noise: normal("posterior", [members, channels, height, width]),
            values: errors * row(observations, Observation::deviation, &device) + value,
        }
    }
}
