//! The few-step generator.
//!
//! Let D_S be the student's denoiser, sigma_1 > ... > sigma_K the noise levels, and z and n
//! standard normal noise. The first call takes y = sigma_1 z. Call i gives the clean state
//! y_0 = D_S(y; sigma_i), and call i + 1 takes y = y_0 + sigma_{i+1} n.

use burn::tensor::{Device, Tensor};

use super::Calibration;
use crate::Result;
use crate::diffusion::noise::Draw;
use crate::diffusion::sampler::constant;
use crate::diffusion::{Denoiser, Network};

/// A generator over the noise levels sigma_1 > ... > sigma_K.
#[derive(Clone, Copy)]
pub struct Generator<'a> {
    /// The student network.
    pub network: &'a Network,
    /// The noise level sigma_k of each network call.
    pub levels: &'a [f64],
    /// The calibration of each network call; empty for an uncalibrated student.
    pub calibrations: &'a [Calibration],
}

impl Generator<'_> {
    /// The clean output after `calls` network calls, `calls` in 1..=K, of the `shape`
    /// `[batch, channel, y, x]`. The noise is drawn at `draw`, at another index for each sample and
    /// call.
    pub fn sample(
        &self,
        draw: Draw,
        calls: usize,
        shape: [usize; 4],
        device: &Device,
    ) -> Tensor<4> {
        let noisy = self.input(draw, calls, shape, device);
        self.call(noisy, calls)
    }

    /// The fields after `calls` network calls, `calls` in 1..=K, in physical units. `finish` takes
    /// the decoded output of each call to the fields that count: the next call renoises those.
    ///
    /// # Errors
    /// Fails as `finish` does.
    pub fn finished(
        &self,
        draw: Draw,
        calls: usize,
        shape: [usize; 4],
        device: &Device,
        finish: impl Fn(Tensor<4>) -> Result<Tensor<4>>,
    ) -> Result<Tensor<4>> {
        let coordinates = &self.network.coordinates;
        let mut noisy = self.noise(draw, 0, shape, device);
        for k in 1..calls {
            let x = finish(coordinates.decode(self.call(noisy, k)))?;
            noisy = coordinates.encode(x) + self.noise(draw, k, shape, device);
        }
        finish(coordinates.decode(self.call(noisy, calls)))
    }

    /// The noise that call `k` + 1 begins with.
    fn noise(&self, draw: Draw, k: usize, shape: [usize; 4], device: &Device) -> Tensor<4> {
        let first = draw.first + ((k as u64) << 32);
        Draw { first, ..draw }.normal(shape, device) * self.network.profile() * self.levels[k]
    }

    /// The noisy state that the last of `calls` network calls takes: pure noise for the first call,
    /// the renoised clean output of the call before for any other.
    pub fn input(&self, draw: Draw, calls: usize, shape: [usize; 4], device: &Device) -> Tensor<4> {
        let noise = |k: usize| self.noise(draw, k, shape, device);
        (1..calls).fold(noise(0), |noisy, k| self.call(noisy, k) + noise(k))
    }

    /// The clean output of network call number `step`, 1..=K.
    pub fn call(&self, noisy: Tensor<4>, step: usize) -> Tensor<4> {
        let sigma = constant(self.levels[step - 1], &noisy);
        let clean = self.network.denoise(noisy, sigma);
        match self.calibrations.get(step - 1) {
            Some(calibration) => calibration.apply(&self.network.coordinates, clean),
            None => clean,
        }
    }
}
