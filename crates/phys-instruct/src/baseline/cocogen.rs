//! CoCoGen (arXiv 2312.10527): the unguided sampler with corrections at its end.
//!
//! Each of the last fifth of the steps is followed by one down the gradient of the residual, taken
//! at the state itself. A few more such corrections of the finished sample follow. No network is
//! differentiated. The gradient is taken in the metric of the noise, as [`super::diffusionpde`]
//! takes it.

use burn::tensor::Tensor;

use super::diffusionpde::pull;
use crate::Result;
use crate::diffusion::loss::relative_residual;
use crate::diffusion::sampler::{self, Method};
use crate::diffusion::{Denoiser, Network};
use crate::net::gradient::gradient;
use crate::residual::Residual;

/// The share of the steps that are corrected.
const CORRECTED: f64 = 0.2;
/// The number of corrections of the finished sample. The first has full size, each next half of the
/// one before.
const FINAL: usize = 5;

/// Carries `noise` (standard normal, `[batch, channel, y, x]`) to a sample of y along `levels`,
/// with corrections of RMS `size` in units of the profile.
///
/// # Errors
/// Fails for a residual that does not depend on the sample.
pub fn sample(
    network: &Network,
    residual: &dyn Residual,
    noise: Tensor<4>,
    levels: &[f64],
    size: f64,
) -> Result<Tensor<4>> {
    let steps = levels.len() - 1;
    let unguided = steps - (CORRECTED * steps as f64).ceil() as usize;
    let heun = |y, levels: &[f64]| sampler::flow(network, y, levels, Method::Heun, |_| ());
    let mut y = sampler::sample(network, noise, &levels[..=unguided], Method::Heun, |_| ());
    for step in unguided..steps {
        y = corrected(network, residual, heun(y, &levels[step..step + 2]), size)?;
    }
    (0..FINAL).try_fold(y, |y, k| corrected(network, residual, y, size * 0.5f64.powi(k as i32)))
}

fn corrected(
    network: &Network,
    residual: &dyn Residual,
    y: Tensor<4>,
    size: f64,
) -> Result<Tensor<4>> {
    let leaf = y.clone().autodiff().require_grad();
    let loss = relative_residual(residual, &network.coordinates, leaf.clone()).sum();
    Ok(y - pull(gradient("the residual", &loss, &leaf)?, network.profile()) * size)
}
