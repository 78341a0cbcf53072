//! Random tensors from the counter-based generator: the same on every device, a function of
//! (seed, stream, step, index of the sample) alone.

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::rng;
use rayon::prelude::*;

/// Where a draw sits in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw<'a> {
    /// The run's seed.
    pub seed: u64,
    /// The purpose.
    pub stream: &'a str,
    /// The training step, or 0.
    pub step: u64,
    /// Index of the batch's first sample.
    pub first: u64,
}

impl Draw<'_> {
    /// Standard normal values.
    pub fn normal(&self, shape: [usize; 4], device: &Device) -> Tensor<4> {
        let length = shape[1] * shape[2] * shape[3];
        let mut values = vec![0f32; shape[0] * length];
        values.par_chunks_mut(length.max(1)).enumerate().for_each(|(i, chunk)| {
            let mut rng = rng::stream(self.seed, self.stream, self.step, self.first + i as u64);
            for pair in chunk.chunks_mut(2) {
                let (a, b) = normal_pair(&mut rng);
                pair[0] = a as f32;
                if let Some(second) = pair.get_mut(1) {
                    *second = b as f32;
                }
            }
        });
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Noise levels with ln sigma ~ N(mean, std^2), `[batch]`.
    pub fn sigma(&self, batch: usize, mean: f64, std: f64, device: &Device) -> Tensor<1> {
        let values: Vec<f32> = (0..batch as u64)
            .map(|i| {
                let mut rng = rng::stream(self.seed, self.stream, self.step, self.first + i);
                (mean + std * rng::normal(&mut rng)).exp() as f32
            })
            .collect();
        Tensor::from_data(TensorData::new(values, [batch]), device)
    }

    /// `batch` indices below `count`.
    pub fn indices(&self, batch: usize, count: usize) -> Vec<usize> {
        (0..batch as u64)
            .map(|i| {
                let mut rng = rng::stream(self.seed, self.stream, self.step, self.first + i);
                ((rng::uniform(&mut rng) * count as f64) as usize).min(count - 1)
            })
            .collect()
    }
}

/// Both values of one Box-Muller transform.
fn normal_pair(rng: &mut rand_chacha::ChaCha8Rng) -> (f64, f64) {
    let radius = (-2.0 * rng::uniform(rng).ln()).sqrt();
    let angle = std::f64::consts::TAU * rng::uniform(rng);
    (radius * angle.cos(), radius * angle.sin())
}
