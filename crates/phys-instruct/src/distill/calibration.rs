//! Calibration of the anchor: in coordinates mode by mode the data has mean 0 and one standard
//! deviation everywhere, and matching comes near to that but for some percent, more of them with every
//! call. What the anchor makes is shifted and scaled, mode by mode and for each network call, so
//! that it is met. (Principal components across channels would not do: those of the student's
//! samples are correlated, so that modes can be off whose components are not.)

use burn::tensor::Tensor;

use super::Generator;
use crate::diffusion::noise::Draw;
use crate::diffusion::{Coordinates, Denoiser, Network};

/// Samples on which the modes are measured.
const SAMPLES: usize = 2048;
/// Samples drawn at a time.
const BATCH: usize = 64;
/// The largest factor; a mode that needs more has not been matched at all.
const LARGEST: f64 = 1.5;

/// An affine map of each mode.
#[derive(Debug, Clone)]
pub struct Calibration {
    modes: Coordinates,
    /// `[1, channel, y, x]`.
    shift: Tensor<4>,
    gain: Tensor<4>,
}

impl Calibration {
    /// Of each network call of the generator `anchor` with `levels`, the calls before it
    /// calibrated; `shape` `[channel, y, x]`, `modes` coordinates mode by mode.
    pub fn measure(
        anchor: &Network,
        modes: &Coordinates,
        levels: &[f64],
        [channels, height, width]: [usize; 3],
        seed: u64,
    ) -> Vec<Self> {
        let generator = Generator { denoiser: anchor, levels };
        let coordinates = &anchor.coordinates;
        let noise = |call: usize, batch: usize| {
            let first = ((call as u64) << 32) + (batch * BATCH) as u64;
            let draw = Draw { seed, stream: "calibration", step: 0, first };
            let noise = draw.normal([BATCH, channels, height, width], &coordinates.device());
            noise * anchor.profile() * levels[call]
        };
        let mut clean: Vec<Tensor<4>> = Vec::new();
        let mut all = Vec::with_capacity(levels.len());
        for call in 0..levels.len() {
            let noisy = |batch: usize| match clean.get(batch) {
                None => noise(call, batch),
                Some(x) => coordinates.encode(x.clone()) + noise(call, batch),
            };
            let made = |batch| coordinates.decode(generator.call(noisy(batch), call + 1));
            let made: Vec<_> = (0..SAMPLES / BATCH).map(made).collect();
            let own = Self::of(&made, modes);
            clean = made.into_iter().map(|x| own.apply(x)).collect();
            all.push(own);
        }
        all
    }

    /// What brings samples, in physical units, to the data's mean and deviation in every mode.
    fn of(batches: &[Tensor<4>], modes: &Coordinates) -> Self {
        let mean_of = |f: &dyn Fn(Tensor<4>) -> Tensor<4>| {
            let part = |x: &Tensor<4>| f(modes.encode(x.clone())).mean_dim(0);
            Tensor::cat(batches.iter().map(part).collect(), 0).mean_dim(0)
        };
        let mean = mean_of(&|y| y);
        let deviation = mean_of(&|y| (y - mean.clone()).square()).sqrt();
        let gain = deviation.clamp_min(1e-6).recip() * modes.sigma_data;
        let gain = gain.clamp(1.0 / LARGEST, LARGEST);
        Self { modes: modes.clone(), shift: -mean * gain.clone(), gain }
    }

    /// Calibrated samples, in physical units.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        self.modes.decode(self.modes.encode(x) * self.gain.clone() + self.shift.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::{Device, TensorData};
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::config::{DiffusionConfig, Preconditioning};
    use crate::eval::testing::samples_from;
    use crate::net::params::values;

    /// Coordinates mode by mode, and the samples they were fitted to.
    fn modes_of(name: &str, count: usize) -> (Coordinates, Tensor<4>) {
        let pde = by_name(name).unwrap();
        let samples = samples_from(pde.as_ref(), count as u64, 8, 1);
        let preconditioning = Preconditioning::Modes;
        let config = DiffusionConfig { preconditioning, ..DiffusionConfig::default() };
        let device = Device::flex();
        let modes = Coordinates::fit(&samples, &pde.channels(), &config, &device).unwrap().0;
        (modes, Tensor::from_data(TensorData::new(samples.data, [count, 2, 8, 8]), &device))
    }

    #[test]
    fn calibrated_samples_have_the_data_s_mean_and_deviation_in_every_mode() {
        let (modes, x) = modes_of("darcy", 256);
        let off = modes.decode(modes.encode(x) * 0.8 + 0.3);
        let calibration = Calibration::of(&off.clone().chunk(4, 0), &modes);
        let y = modes.encode(calibration.apply(off));
        let mean = y.clone().mean_dim(0);
        let deviation = (y - mean.clone()).square().mean_dim(0).sqrt();
        assert!(values(mean).iter().all(|m| m.abs() < 1e-3));
        assert!(values(deviation).iter().all(|d| (d - 1.0).abs() < 1e-2 || *d == 0.0));
    }

    #[test]
    fn modes_that_are_not_there_are_not_blown_up() {
        let (modes, _) = modes_of("poisson", 16);
        let nothing = Tensor::zeros([4, 2, 8, 8], &Device::flex());
        let gain = values(Calibration::of(&[nothing], &modes).gain);
        assert!(gain.iter().all(|g| *g == LARGEST as f32));
    }
}
