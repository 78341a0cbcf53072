//! Calibration of the anchor: in its coordinates every mode of the data has mean 0 and one standard
//! deviation, and matching comes near to that but for some percent, more of them with every call.
//! What the anchor makes is shifted and scaled, mode by mode and for each number of calls, so that
//! it is met.

use burn::tensor::{Device, Tensor};

use super::Generator;
use crate::diffusion::noise::Draw;
use crate::diffusion::{Denoiser, Network};

/// Samples on which the modes are measured.
const SAMPLES: usize = 2048;
/// Samples drawn at a time.
const BATCH: usize = 64;
/// The largest factor; a mode that needs more has not been matched at all.
const LARGEST: f64 = 1.5;

/// An affine map of each mode, `[1, channel, y, x]`.
#[derive(Debug, Clone)]
pub struct Calibration {
    shift: Tensor<4>,
    gain: Tensor<4>,
}

impl Calibration {
    /// Of each network call of the generator `anchor` with `levels`, the calls before it
    /// calibrated; `shape` `[channel, y, x]`.
    pub fn measure(
        anchor: &Network,
        levels: &[f64],
        shape: [usize; 3],
        seed: u64,
        device: &Device,
    ) -> Vec<Self> {
        let generator = Generator { denoiser: anchor, levels };
        let [channels, height, width] = shape;
        let noise = |call: usize, batch: usize| {
            let first = ((call as u64) << 32) + (batch * BATCH) as u64;
            let draw = Draw { seed, stream: "calibration", step: 0, first };
            let noise = draw.normal([BATCH, channels, height, width], device);
            noise * anchor.profile() * levels[call]
        };
        let batches = SAMPLES / BATCH;
        let mut clean: Vec<Tensor<4>> = Vec::new();
        let mut all = Vec::with_capacity(levels.len());
        for call in 0..levels.len() {
            let noisy = |batch: usize| match clean.get(batch) {
                None => noise(call, batch),
                Some(x0) => x0.clone() + noise(call, batch),
            };
            let made: Vec<_> =
                (0..batches).map(|batch| generator.call(noisy(batch), call + 1)).collect();
            let own = Self::of(&made, anchor.coordinates.sigma_data);
            clean = made.into_iter().map(|y| own.apply(y)).collect();
            all.push(own);
        }
        all
    }

    /// What brings samples to mean 0 and standard deviation `deviation` in every entry.
    fn of(batches: &[Tensor<4>], deviation: f64) -> Self {
        let mean_of = |f: &dyn Fn(&Tensor<4>) -> Tensor<4>| {
            let parts: Vec<_> = batches.iter().map(|y| f(y).mean_dim(0)).collect();
            Tensor::cat(parts, 0).mean_dim(0)
        };
        let mean = mean_of(&|y| y.clone());
        let variance = mean_of(&|y| (y.clone() - mean.clone()).square());
        let gain =
            (variance.sqrt().clamp_min(1e-6).recip() * deviation).clamp(1.0 / LARGEST, LARGEST);
        Self { shift: -mean * gain.clone(), gain }
    }

    /// Calibrated samples.
    pub fn apply(&self, y: Tensor<4>) -> Tensor<4> {
        y * self.gain.clone() + self.shift.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::params::values;

    #[test]
    fn calibrated_samples_have_the_mean_and_deviation_asked_for() {
        let draw = |first| Draw { seed: 3, stream: "test", step: 0, first };
        let device = Device::flex();
        let off = |i: u64| draw(64 * i).normal([64, 2, 4, 4], &device) * 0.8 + 0.3;
        let batches: Vec<_> = (0..8).map(off).collect();
        let calibration = Calibration::of(&batches, 0.9);
        let all = Tensor::cat(batches, 0);
        let y = calibration.apply(all);
        let mean = y.clone().mean_dim(0);
        let deviation = (y - mean.clone()).square().mean_dim(0).sqrt();
        assert!(values(mean).iter().all(|m| m.abs() < 1e-5));
        assert!(values(deviation).iter().all(|d| (d - 0.9).abs() < 1e-4));
    }

    #[test]
    fn a_mode_that_is_not_there_is_not_blown_up() {
        let calibration = Calibration::of(&[Tensor::zeros([4, 1, 2, 2], &Device::flex())], 1.0);
        assert!(values(calibration.gain).iter().all(|g| *g == LARGEST as f32));
    }
}
