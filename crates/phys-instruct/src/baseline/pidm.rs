//! PIDM (arXiv 2403.14404, eq. 13): a teacher trained with the residual in its loss.
//!
//! The loss is the denoiser's own plus the likelihood of a vanishing residual at its clean
//! estimate, c |R(D(x_t))|^2 / (2 Sigma_t). A trained teacher is tuned with it (`train.start`,
//! `train.residual_weight`) and then sampled as any other.
//!
//! Sigma_t is the variance of the estimate. Here it is that of EDM's preconditioning, c_out^2 =
//! sigma^2 sigma_data^2 / (sigma^2 + sigma_data^2), by which EDM's loss is divided too. The
//! residual is relative to its source term.

use burn::tensor::Tensor;

use super::relative_residual;
use crate::diffusion::{Denoiser, Network};
use crate::residual::Residual;

/// EDM's loss plus `residual_weight` times the residual's part. `y0` is clean, `noise` is standard
/// normal of the same shape, and `sigma` is `[batch]`.
pub fn loss(
    network: &Network,
    residual: &dyn Residual,
    [y0, noise]: [Tensor<4>; 2],
    sigma: Tensor<1>,
    residual_weight: f64,
) -> Tensor<1> {
    let level = sigma.clone().reshape([-1, 1, 1, 1]) * network.profile();
    let y = y0.clone() + noise * level.clone();
    let denoised = network.denoise(y, sigma.clone());
    let error = (denoised.clone() - y0) / network.c_out(level) * network.coordinates.present();
    let relative = relative_residual(residual, &network.coordinates, denoised);
    let physics = relative.square() / (network.c_out(sigma).square() * 2.0);
    error.square().mean() / network.coordinates.present().mean().into_scalar::<f32>()
        + physics.mean() * residual_weight
}
