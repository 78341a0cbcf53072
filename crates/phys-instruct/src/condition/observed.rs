//! The observation operator on tensors, and what each member of an ensemble aims at.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Observations;
use super::observations::Observation;
use super::prior::Prior;
use crate::diffusion::noise::Draw;

/// The observed places.
pub struct Observed {
    places: Tensor<1, Int>,
}

/// What each member draws for itself, every second one the mirror image of the one before it: to first
/// order the ensemble's mean is the posterior's, for any number of pairs.
pub struct Aim {
    /// Standard normal, `[member, channel, y, x]`.
    pub noise: Tensor<4>,
    /// The observed values with errors of observation, `[member, point]`.
    pub values: Tensor<2>,
}

impl Observed {
    /// The operator of `observations`.
    pub fn new(observations: &Observations, device: &Device) -> Self {
        Self::at(&observations.entries(), device)
    }

    /// The operator that takes the values at `entries` of a flat joint sample.
    pub fn at(entries: &[usize], device: &Device) -> Self {
        let places: Vec<i32> = entries.iter().map(|&e| e as i32).collect();
        Self { places: Tensor::from_data(TensorData::new(places, [entries.len()]), device) }
    }

    /// The observed values of fields `[member, channel, y, x]`, `[member, point]`; differentiable.
    pub fn of(&self, x: Tensor<4>) -> Tensor<2> {
        self.of_flat(x.flatten::<2>(1, 3))
    }

    /// The same of flat fields, `[member, entry]`.
    pub fn of_flat(&self, x: Tensor<2>) -> Tensor<2> {
        x.select(1, self.places.clone())
    }
}

impl Aim {
    /// Of `members` members.
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
            values: errors * row(observations, |p| p.sd, &device) + value,
        }
    }
}

/// One number of each observation, `[1, point]`.
pub fn row(
    observations: &Observations,
    of: impl Fn(&Observation) -> f64,
    device: &Device,
) -> Tensor<2> {
    let data: Vec<f32> = observations.points().iter().map(|p| of(p) as f32).collect();
    let count = data.len();
    Tensor::from_data(TensorData::new(data, [1, count]), device)
}
