//! The denoiser D(y; sigma), in EDM's preconditioning entry by entry (Karras et al. 2022, eq. 7).
//! There sigma_data is the standard deviation of every entry of the clean y, and sigma eta_j that
//! of the noise in entry j. The profile eta is the coordinates' ([`super::coordinates`]).

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::Coordinates;
use crate::config::Skip;
use crate::net::UNet;
use crate::net::packed::PackedUNet;

/// An estimate of the clean state from a noisy one.
pub trait Denoiser {
    /// Returns the estimate E[y_0 | y] of the clean state y_0, of the shape of `y`.
    ///
    /// `y` `[batch, channel, y, x]` carries noise of the standard deviation `sigma * profile`,
    /// `sigma` `[batch]`.
    fn denoise(&self, y: Tensor<4>, sigma: Tensor<1>) -> Tensor<4>;

    /// Standard deviation of the noise at sigma = 1, `[1, channel, y, x]`.
    fn profile(&self) -> Tensor<4>;
}

/// A network in EDM's preconditioning.
#[derive(Debug, Clone)]
pub struct Network {
    /// The raw network.
    pub net: UNet,
    /// The coordinates of its input and output.
    pub coordinates: Coordinates,
    /// The factor c_skip of the noisy state, to which the network's output is added.
    skip: Skip,
    /// The weights of `net` in the kernels' order, for inference on the processor; set by
    /// [`Network::freeze`].
    packed: Option<Arc<PackedUNet>>,
}

/// EDM's preconditioning entry by entry, each factor `[batch, channel, y, x]`.
struct Preconditioner {
    /// The factor c_skip of the noisy state.
    skip: Tensor<4>,
    /// The factor c_out of the raw network's output.
    out: Tensor<4>,
    /// The factor c_in of the raw network's input.
    input: Tensor<4>,
}

impl Network {
    /// A denoiser that is not packed, with [`Skip::Mean`].
    pub fn new(net: UNet, coordinates: Coordinates) -> Self {
        Self { net, coordinates, skip: Skip::Mean, packed: None }
    }

    /// This network with another c_skip.
    pub fn with_skip(self, skip: Skip) -> Self {
        Self { skip, ..self }
    }

    /// A network with the weights of `net` and this one's coordinates and c_skip; not packed.
    pub fn with_net(&self, net: UNet) -> Self {
        Self::new(net, self.coordinates.clone()).with_skip(self.skip)
    }

    /// This network for inference with fixed weights: on the processor they are brought into the
    /// kernels' order once. `net` must not be changed afterwards.
    pub fn freeze(self) -> Self {
        let on_processor = self.coordinates.device() == Device::flex();
        let packed = on_processor.then(|| Arc::new(PackedUNet::new(&self.net)));
        Self { packed, ..self }
    }

    /// This network with plain tensors, for inference: no gradients are recorded.
    pub fn valid(&self) -> Self {
        self.with_net(self.net.valid())
    }

    /// This network with parameters that record gradients.
    pub fn train(&self) -> Self {
        self.with_net(self.net.clone().train())
    }

    /// The EDM loss (eq. 8 with the weight 1 / c_out^2).
    ///
    /// The mean square error of the raw network's output against (y_0 - c_skip y) / c_out, over the
    /// entries that carry data. Here y_0 is the clean state `y0` `[batch, channel, y, x]`, and y
    /// that state with `noise` (standard normal, same shape) at the levels `sigma` `[batch]`.
    pub fn loss(&self, y0: Tensor<4>, noise: Tensor<4>, sigma: Tensor<1>) -> Tensor<1> {
        let level = self.level(sigma.clone());
        let y = y0.clone() + noise * level.clone();
        let p = self.preconditioner(level);
        let target = (y0 - y.clone() * p.skip) / p.out;
        let error = (self.scaled(y * p.input, sigma) - target) * self.coordinates.present();
        error.square().mean() / self.coordinates.present().mean().into_scalar::<f32>()
    }

    /// The raw network's output for `x` `[batch, input, y, x]`, both in pixels. `c_noise` `[batch]`
    /// is a quarter of ln sigma.
    pub fn raw(&self, x: Tensor<4>, c_noise: Tensor<1>) -> Tensor<4> {
        match &self.packed {
            Some(packed) if !x.device().is_autodiff() => packed.forward(x, c_noise),
            _ => self.net.forward(x, c_noise),
        }
    }

    /// The raw network's output in coordinates, for a scaled state `input` in coordinates.
    fn scaled(&self, input: Tensor<4>, sigma: Tensor<1>) -> Tensor<4> {
        let c_noise = sigma.log() * 0.25;
        self.coordinates.from_pixels(self.raw(self.coordinates.to_pixels(input), c_noise))
    }

    /// Standard deviation of the noise in each entry, `[batch, channel, y, x]`.
    fn level(&self, sigma: Tensor<1>) -> Tensor<4> {
        sigma.reshape([-1, 1, 1, 1]) * self.coordinates.profile()
    }

    /// EDM's c_out for noise of the standard deviation `level`, which may have any shape.
    pub fn c_out<const D: usize>(&self, level: Tensor<D>) -> Tensor<D> {
        let total = self.total(level.clone());
        level * self.coordinates.sigma_data / total
    }

    /// The standard deviation of the noisy state, that is of the data and of noise of `level`
    /// together.
    fn total<const D: usize>(&self, level: Tensor<D>) -> Tensor<D> {
        (level.square() + self.coordinates.sigma_data.powi(2)).sqrt()
    }

    /// The preconditioning for noise of the standard deviation `level` `[batch, channel, y, x]`.
    fn preconditioner(&self, level: Tensor<4>) -> Preconditioner {
        let data = self.coordinates.sigma_data;
        let total = self.total(level.clone());
        Preconditioner {
            skip: match self.skip {
                Skip::Mean => total.clone().square().recip() * (data * data),
                Skip::Flow => total.clone().recip() * data,
            },
            out: level * data / total.clone(),
            input: total.recip(),
        }
    }
}

impl Denoiser for Network {
    fn denoise(&self, y: Tensor<4>, sigma: Tensor<1>) -> Tensor<4> {
        let p = self.preconditioner(self.level(sigma.clone()));
        let raw = self.scaled(y.clone() * p.input, sigma);
        (y * p.skip + raw * p.out) * self.coordinates.present()
    }

    fn profile(&self) -> Tensor<4> {
        self.coordinates.profile()
    }
}

/// The exact denoiser of a Gaussian with independent entries, against which samplers and
/// distillation are tested.
#[derive(Debug, Clone)]
pub struct ExactGaussian {
    /// Mean of each entry, `[1, channel, y, x]`.
    pub mean: Tensor<4>,
    /// Standard deviation of each entry, `[1, channel, y, x]`.
    pub std: Tensor<4>,
    /// Standard deviation of the noise at sigma = 1, `[1, channel, y, x]`.
    pub profile: Tensor<4>,
}

impl ExactGaussian {
    /// The denoiser for white noise: the profile is 1 everywhere.
    pub fn white(mean: Tensor<4>, std: Tensor<4>) -> Self {
        let profile = std.ones_like();
        Self { mean, std, profile }
    }

    /// The device that holds the moments.
    pub fn device(&self) -> Device {
        self.mean.device()
    }
}

impl Denoiser for ExactGaussian {
    fn denoise(&self, y: Tensor<4>, sigma: Tensor<1>) -> Tensor<4> {
        let noise = (sigma.reshape([-1, 1, 1, 1]) * self.profile.clone()).square();
        let variance = self.std.clone().square();
        let share = variance.clone() / (variance + noise);
        self.mean.clone() + (y - self.mean.clone()) * share
    }

    fn profile(&self) -> Tensor<4> {
        self.profile.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::tensor::{Device, TensorData};
    use phys_instruct_physics::{Basis, Channel};

    use super::*;
    use crate::Samples;
    use crate::config::{CoordinatesConfig, NamedNoise, Noise};
    use crate::diffusion::noise::Draw;
    use crate::net::params::values;
    use crate::parts::Parts;
    use crate::testing::tiny;

    const SIDE: usize = 8;
    const COUNT: usize = 400;

    fn channels() -> Vec<Channel> {
        let channel = |name, basis| Channel::new(name, "test", [basis; 2]);
        vec![channel("a", Basis::Cosine), channel("u", Basis::Fourier)]
    }

    /// Fields whose second half of rows is a hundred times smaller than the first.
    fn samples() -> Samples {
        let draw = Draw { seed: 5, stream: "test", step: 0, first: 0 };
        let noise = values(draw.normal([COUNT, 2, SIDE, SIDE], &Device::flex()));
        let size = |i: usize| if i % (SIDE * SIDE) < SIDE * SIDE / 2 { 1.0 } else { 0.01 };
        Samples {
            pde: "test".into(),
            channels: vec!["a".into(), "u".into()],
            count: COUNT,
            height: SIDE,
            width: SIDE,
            sides: [1.0; 2],
            data: noise.iter().enumerate().map(|(i, v)| 3.0 + v * size(i)).collect(),
        }
    }

    fn modes(noise: NamedNoise) -> CoordinatesConfig {
        CoordinatesConfig::Modes { noise: Noise::Named(noise), linear_predictor: false }
    }

    fn network(config: CoordinatesConfig) -> (Network, Tensor<4>) {
        let device = Device::flex();
        let data = samples();
        let (coordinates, _) =
            Coordinates::fit(&data, &Parts::first_channel(&channels()), &config, &device).unwrap();
        let net = tiny(&[1]);
        let net = UNet::new(&net, coordinates.inputs(), 2, 0, &device);
        let x = Tensor::<4>::from_data(TensorData::new(data.data, [COUNT, 2, SIDE, SIDE]), &device);
        (Network::new(net, coordinates).valid(), x)
    }

    fn all() -> Vec<(Network, Tensor<4>)> {
        vec![
            network(CoordinatesConfig::Pixel {}),
            network(modes(NamedNoise::White)),
            network(modes(NamedNoise::Data)),
            network(CoordinatesConfig::Joint { modes: 5, linear_predictor: false }),
        ]
    }

    fn rms(t: &Tensor<4>) -> f64 {
        f64::from(t.clone().square().mean().into_scalar::<f32>()).sqrt()
    }

    #[test]
    fn coordinates_invert_and_have_the_standard_deviation_they_state() {
        for (network, x) in all() {
            let c = &network.coordinates;
            let y = c.encode(x.clone());
            assert!((rms(&y) / c.sigma_data - 1.0).abs() < 0.01, "{}", rms(&y));
            assert!(rms(&(c.decode(y) - x)) < 1e-5);
        }
    }

    #[test]
    fn whitened_modes_have_unit_variance_one_by_one() {
        let (network, x) = network(modes(NamedNoise::Data));
        let variance = network.coordinates.encode(x).square().mean_dim(0);
        assert!(values(variance).iter().all(|v| (v - 1.0).abs() < 0.01));
    }

    #[test]
    fn white_noise_in_modes_is_white_in_pixels() {
        let (network, _) = network(modes(NamedNoise::White));
        let draw = Draw { seed: 5, stream: "white", step: 0, first: 0 };
        let noise = draw.normal([COUNT, 2, SIDE, SIDE], &Device::flex()) * network.profile();
        let c = &network.coordinates;
        let pixels =
            c.decode(noise) - c.decode(Tensor::zeros([COUNT, 2, SIDE, SIDE], &Device::flex()));
        let by_row = values(pixels.square().mean_dims(&[0, 1, 3]));
        let mean = by_row.iter().sum::<f32>() / by_row.len() as f32;
        assert!(by_row.iter().all(|v| (v / mean - 1.0).abs() < 0.1), "{by_row:?}");
    }

    #[test]
    fn the_loss_of_a_network_that_outputs_zero_is_one() {
        for (network, x) in all() {
            let y0 = network.coordinates.encode(x);
            for level in [0.05, 1.0, 20.0] {
                let draw = Draw { seed: 6, stream: "loss", step: 0, first: 0 };
                let noise = draw.normal(y0.dims(), &Device::flex());
                let sigma = crate::diffusion::sampler::constant(level, &y0);
                let loss = network.loss(y0.clone(), noise, sigma).into_scalar::<f32>();
                assert!((loss - 1.0).abs() < 0.05, "sigma {level}: {loss}");
            }
        }
    }

    #[test]
    fn an_untrained_network_denoises_like_the_exact_gaussian_of_its_statistics() {
        for (network, x) in all() {
            let y = network.coordinates.encode(x) * 1.7;
            let data = network.coordinates.sigma_data;
            let exact = ExactGaussian {
                mean: network.profile() * 0.0,
                std: network.profile() * 0.0 + data,
                profile: network.profile(),
            };
            let sigma = crate::diffusion::sampler::constant(0.8, &y);
            let difference = network.denoise(y.clone(), sigma.clone()) - exact.denoise(y, sigma);
            assert!(rms(&difference) < 1e-5);
        }
    }

    #[test]
    fn with_the_flow_s_skip_an_untrained_network_keeps_every_deviation() {
        for (network, x) in all() {
            let network = network.with_skip(Skip::Flow);
            let clean = network.coordinates.encode(x);
            for level in [0.3, 3.0, 80.0] {
                let draw = Draw { seed: 7, stream: "flow", step: 0, first: 0 };
                let noise = draw.normal(clean.dims(), &Device::flex()) * network.profile() * level;
                let sigma = crate::diffusion::sampler::constant(level, &clean);
                let y = network.denoise(clean.clone() + noise, sigma);
                let ratio = rms(&y) / network.coordinates.sigma_data;
                assert!((ratio - 1.0).abs() < 0.02, "sigma {level}: {ratio}");
            }
        }
    }

    #[test]
    fn absent_modes_stay_zero() {
        let device = Device::flex();
        let mut data = samples();
        for sample in data.data.chunks_mut(SIDE * SIDE) {
            let mean = sample.iter().map(|&v| f64::from(v)).sum::<f64>() / sample.len() as f64;
            sample.iter_mut().for_each(|v| *v = (f64::from(*v) - mean) as f32);
        }
        let config = CoordinatesConfig::default();
        let (c, statistics) =
            Coordinates::fit(&data, &Parts::first_channel(&channels()), &config, &device).unwrap();
        let absent = values(c.present()).iter().filter(|&&p| p == 0.0).count();
        assert_eq!(absent, 2, "{:?}", &statistics.spectrum[..4]);
        let y = Tensor::ones([1, 2, SIDE, SIDE], &device);
        let mean = values(c.decode(y)).iter().take(SIDE * SIDE).sum::<f32>();
        assert!(mean.abs() < 1e-3, "{mean}");
    }
}
