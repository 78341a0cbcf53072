//! Random tensors from the counter-based generator.
//!
//! A value depends on (seed, stream, step, index of the sample) alone and is the same on every
//! device.

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::rng;
use rayon::prelude::*;

/// The place of a draw in the run, which determines its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw<'a> {
    /// The run's seed.
    pub seed: u64,
    /// The name of the purpose; draws of different purposes are independent.
    pub stream: &'a str,
    /// The training step, or 0.
    pub step: u64,
    /// Index of the batch's first sample.
    pub first: u64,
}

impl Draw<'_> {
    /// Standard normal values of `shape` `[batch, channel, y, x]`.
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

    /// Standard normal values in antithetic pairs: those of sample 2 i + 1 are the negatives of
    /// those of sample 2 i. The mean of an odd function over a pair vanishes. The draw's `first`
    /// is the number of the first pair.
    pub fn mirrored(&self, shape: [usize; 4], device: &Device) -> Tensor<4> {
        let [count, channels, height, width] = shape;
        let half = self.normal([count.div_ceil(2), channels, height, width], device);
        let pairs = Tensor::stack::<5>(vec![half.clone(), -half], 1);
        pairs.reshape([-1, channels as i64, height as i64, width as i64]).narrow(0, 0, count)
    }

    /// Noise levels sigma, `[batch]`: ln sigma is normal with the given mean and deviation.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::params::values;

    #[test]
    fn every_second_sample_mirrors_the_one_before_however_many_there_are() {
        let draw = Draw { seed: 1, stream: "x", step: 2, first: 0 };
        let five = values(draw.mirrored([5, 1, 2, 3], &Device::flex()));
        let own = values(draw.normal([3, 1, 2, 3], &Device::flex()));
        for (i, sample) in five.chunks_exact(6).enumerate() {
            let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
            let expected: Vec<f32> = own[i / 2 * 6..][..6].iter().map(|v| sign * v).collect();
            assert_eq!(sample, expected);
        }
        assert_eq!(five.len(), 30);
    }
}
