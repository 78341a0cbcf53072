//! Deterministic samplers of the probability-flow ODE dy/dsigma = (y - D(y; sigma)) / sigma
//! (Karras et al. 2022, algorithm 1): Euler and Heun on EDM's schedule (eq. 5).

use burn::tensor::{Tensor, TensorData};

use super::Denoiser;
use crate::config::DiffusionConfig;
use crate::{Error, Result};

/// The order of the sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// First order, one network call a step.
    Euler,
    /// Second order, two network calls a step but one in the last.
    Heun,
}

/// Curvature of the noise levels, EDM's rho.
const RHO: f64 = 7.0;

/// EDM's noise levels, `steps` of them falling from sigma_max to sigma_min, then 0.
pub fn schedule(steps: usize, config: &DiffusionConfig) -> Vec<f64> {
    let root = |sigma: f64| sigma.powf(1.0 / RHO);
    let (high, low) = (root(config.sigma_max), root(config.sigma_min));
    let mut levels: Vec<f64> = (0..steps)
        .map(|i| (high + i as f64 / (steps.max(2) - 1) as f64 * (low - high)).powf(RHO))
        .collect();
    levels.push(0.0);
    levels
}

/// The largest number of steps whose network calls do not exceed `calls`.
///
/// # Errors
/// Fewer than one call.
pub fn steps_for(calls: usize, method: Method) -> Result<usize> {
    match (calls, method) {
        (0, _) => Err(Error::Config("sampling needs at least one network call".into())),
        (calls, Method::Euler) => Ok(calls),
        (calls, Method::Heun) => Ok(calls.div_ceil(2)),
    }
}

/// Network calls that `steps` steps take.
pub fn calls(steps: usize, method: Method) -> usize {
    match method {
        Method::Euler => steps,
        Method::Heun => 2 * steps - 1,
    }
}

/// Carries `noise` (standard normal, `[batch, channel, y, x]`) to a sample of y along `levels`.
pub fn sample(
    denoiser: &dyn Denoiser,
    noise: Tensor<4>,
    levels: &[f64],
    method: Method,
    progress: impl FnMut(usize),
) -> Tensor<4> {
    flow(denoiser, noise * denoiser.profile() * levels[0], levels, method, progress)
}

/// Carries the state `y` at noise level `levels[0]` along `levels`.
pub fn flow(
    denoiser: &dyn Denoiser,
    mut y: Tensor<4>,
    levels: &[f64],
    method: Method,
    mut progress: impl FnMut(usize),
) -> Tensor<4> {
    for (step, pair) in levels.windows(2).enumerate() {
        let (sigma, next) = (pair[0], pair[1]);
        let slope = slope(denoiser, &y, sigma);
        let mut moved = y.clone() + slope.clone() * (next - sigma);
        if method == Method::Heun && next > 0.0 {
            let corrected = (slope + self::slope(denoiser, &moved, next)) * 0.5;
            moved = y + corrected * (next - sigma);
        }
        y = moved;
        progress(step + 1);
    }
    y
}

/// The ODE's right-hand side at one noise level.
pub fn slope(denoiser: &dyn Denoiser, y: &Tensor<4>, sigma: f64) -> Tensor<4> {
    (y.clone() - denoiser.denoise(y.clone(), constant(sigma, y))) / sigma
}

/// One noise level for the whole batch of `y`.
pub fn constant(sigma: f64, y: &Tensor<4>) -> Tensor<1> {
    let batch = y.dims()[0];
    Tensor::from_data(TensorData::new(vec![sigma as f32; batch], [batch]), &y.device())
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::diffusion::ExactGaussian;
    use crate::net::params::values;

    /// The largest error of the sampler against the exact flow of Gaussian data.
    ///
    /// Let y be normal with mean m and deviation s at sigma = 0. Its flow from y_1 at sigma_1 on is
    /// y(sigma) = m + (y_1 - m) sqrt((s^2 + sigma^2) / (s^2 + sigma_1^2)).
    fn error(steps: usize, method: Method) -> f64 {
        let device = Device::flex();
        let gaussian = ExactGaussian::white(
            Tensor::from_data([[[[0.3f32, -0.2]]]], &device),
            Tensor::from_data([[[[1.0f32, 0.4]]]], &device),
        );
        let config =
            DiffusionConfig { sigma_max: 20.0, sigma_min: 0.02, ..DiffusionConfig::default() };
        let mut levels = schedule(steps, &config);
        levels.pop();
        let noise = Tensor::<4>::from_data([[[[0.7f32, -1.1]]]], &device);
        let got = values(sample(&gaussian, noise, &levels, method, |_| ()));
        let exact = |m: f64, s: f64, z: f64| {
            m + (z * 20.0 - m) * ((s * s + 0.02f64.powi(2)) / (s * s + 400.0)).sqrt()
        };
        let expected = [exact(0.3, 1.0, 0.7), exact(-0.2, 0.4, -1.1)];
        got.iter().zip(expected).map(|(g, e)| (f64::from(*g) - e).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn the_order_on_gaussian_data_is_one_for_euler_and_two_for_heun() {
        for (method, order) in [(Method::Euler, 1.0), (Method::Heun, 2.0)] {
            let measured = (error(40, method) / error(80, method)).log2();
            assert!((measured - order).abs() < 0.25, "{method:?}: order {measured}");
        }
    }

    #[test]
    fn the_schedule_falls_from_sigma_max_to_sigma_min_and_ends_at_zero() {
        let config = DiffusionConfig::default();
        let levels = schedule(18, &config);
        assert_eq!(levels.len(), 19);
        assert!((levels[0] - config.sigma_max).abs() < 1e-9 * config.sigma_max);
        assert!((levels[17] - config.sigma_min).abs() < 1e-9);
        assert!(levels.windows(2).all(|w| w[0] > w[1]) && levels[18] == 0.0);
    }

    #[test]
    fn steps_and_network_calls_agree() {
        assert_eq!(steps_for(35, Method::Heun).ok(), Some(18));
        assert_eq!(calls(18, Method::Heun), 35);
        assert!(steps_for(0, Method::Euler).is_err());
    }
}
