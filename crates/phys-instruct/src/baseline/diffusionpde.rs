//! DiffusionPDE (arXiv 2406.17763, algorithm 1): Heun's sampler with guidance by gradients.
//!
//! Each step is followed by one down the gradient of the PDE loss, and of the misfit of
//! observations if there are any. The loss is taken at the denoised estimate, and its gradient is
//! carried back to the noisy state through the network. The residual may guide a last share of the
//! steps alone, as in the authors' own runs, where it is a fifth.
//!
//! The PDE loss is the sample's relative RMS residual. It is the root, as in DPS, so that the step
//! does not vanish with the residual. The misfit is the RMS difference from the observations in
//! units of their fields' deviations.
//!
//! The gradient is taken in the metric of the noise, whose covariance is sigma^2 profile^2, and
//! scaled to the profile's size. At weight 1 guidance moves the state by as much as noise of the
//! step's change in sigma.

use burn::tensor::Tensor;

use crate::Result;
use crate::condition::observations::observed::Observed;
use crate::diffusion::loss::relative_residual;
use crate::diffusion::sampler::{self, Method, constant, slope};
use crate::diffusion::{Denoiser, Network};
use crate::net::gradient::gradient;
use crate::residual::Residual;

/// The guidance of a sample.
pub struct Guide<'a> {
    /// The residual of the equation.
    pub residual: &'a dyn Residual,
    /// The size of a step.
    pub weight: f64,
    /// The share of the steps, the last ones, that the residual guides. Observations guide all.
    pub share: f64,
    /// The observations, if there are any.
    pub target: Option<Target<'a>>,
}

/// The observations that guide a sample.
pub struct Target<'a> {
    /// The operator that takes the observed values.
    pub observed: &'a Observed,
    /// The values, `[sample or 1, point]`.
    pub values: Tensor<2>,
    /// 1 / standard deviation of each value's field, `[1, point]`.
    pub scale: Tensor<2>,
    /// The weight of the relative residual in relation to the misfit.
    pub physics: f64,
}

/// The number of the first of `steps` steps that is among the last `share`.
fn first_of_last(steps: usize, share: f64) -> usize {
    steps - ((share * steps as f64).ceil() as usize).min(steps)
}

/// The number of network passes, forward and backward, of `steps` steps without observations.
pub fn calls(steps: usize, share: f64) -> usize {
    sampler::calls(steps, Method::Heun) + steps - first_of_last(steps, share)
}

/// Carries `noise` (standard normal, `[batch, channel, y, x]`) to a sample of y along `levels`.
///
/// # Errors
/// Fails for a loss that does not depend on the sample.
pub fn sample(
    network: &Network,
    guide: &Guide,
    noise: Tensor<4>,
    levels: &[f64],
) -> Result<Tensor<4>> {
    let first_late = first_of_last(levels.len() - 1, guide.share);
    let mut y = noise * network.profile() * levels[0];
    for (step, pair) in levels.windows(2).enumerate() {
        let (sigma, next) = (pair[0], pair[1]);
        let is_late = step >= first_late;
        if !is_late && guide.target.is_none() {
            y = sampler::flow(network, y, pair, Method::Heun, |_| ());
            continue;
        }

        let (denoised, pull) = denoised_and_pull(network, guide, is_late, &y, sigma)?;
        let first = (y.clone() - denoised) / sigma;

        let mut moved = y.clone() + first.clone() * (next - sigma);
        if next > 0.0 {
            let mean = (first + slope(network, &moved, next)) * 0.5;
            moved = y + mean * (next - sigma);
        }
        y = moved - pull * (guide.weight * (sigma - next));
    }
    Ok(y)
}

/// Returns D(y; sigma), and the direction in which each sample's loss there rises, at the profile's
/// size. The residual is a part of the loss in late steps.
fn denoised_and_pull(
    network: &Network,
    guide: &Guide,
    is_late: bool,
    y: &Tensor<4>,
    sigma: f64,
) -> Result<(Tensor<4>, Tensor<4>)> {
    let leaf = y.clone().autodiff().require_grad();
    let denoised = network.denoise(leaf.clone(), constant(sigma, y).autodiff());
    let loss = loss(network, guide, is_late, denoised.clone()).sum();
    let gradient = gradient("the guiding loss", &loss, &leaf)?;
    Ok((denoised.inner(), pull(gradient, network.profile())))
}

/// The loss of each sample's clean state, `[batch]`, with the residual in late steps.
fn loss(network: &Network, guide: &Guide, is_late: bool, denoised: Tensor<4>) -> Tensor<1> {
    let physics = |y| relative_residual(guide.residual, &network.coordinates, y);
    let Some(target) = &guide.target else {
        return physics(denoised);
    };
    let seen = target.observed.of(network.coordinates.decode(denoised.clone()));
    let misfit = (target.values.clone() - seen) * target.scale.clone();
    let misfit = misfit.square().mean_dim(1).squeeze_dim::<1>(1).clamp_min(1e-12).sqrt();
    match is_late && target.physics != 0.0 {
        true => misfit + physics(denoised) * target.physics,
        false => misfit,
    }
}

/// The direction of a `gradient` in the metric of the noise, each sample at the profile's size.
pub fn pull(gradient: Tensor<4>, profile: Tensor<4>) -> Tensor<4> {
    normalised(gradient * profile.clone()) * profile
}

/// Scales each sample to RMS 1.
fn normalised(gradient: Tensor<4>) -> Tensor<4> {
    // The values span many orders of magnitude, so that their squares would leave the range of
    // `f32`.
    let largest = gradient.clone().abs().flatten::<2>(1, 3).max_dim(1).reshape([-1, 1, 1, 1]);
    let gradient = gradient / (largest + 1e-30);
    let rms = gradient.clone().square().mean_dims(&[1, 2, 3]).sqrt();
    gradient / (rms + 1e-12)
}
