//! The gradient, on the student's clean output, of the distance between the student's and the
//! teacher's noisy distributions.
//!
//! Let y_0 be the clean output and y = y_0 + sigma n its noisy state, with n standard normal noise.
//! D_T = D_T(y; sigma) is the teacher's denoised state, D_A that of the auxiliary model, and w the
//! weight of the sample.
//!
//! `ikl`, the integral KL divergence (Diff-Instruct, Luo et al. 2023, eq. 3.2): the gradient is the
//! mean of w (D_A - D_T) over sigma, without differentiating a network.
//!
//! `sid`, score identity distillation (Zhou et al. 2024, arXiv 2404.04057, eq. 23): the loss is
//!
//! ```text
//! w ((1 - alpha) |D_T - D_A|^2 + (D_T - D_A) . (D_A - y_0)),
//! ```
//!
//! differentiated through both networks.

use burn::tensor::Tensor;

use crate::Result;
use crate::config::{Divergence, MatchingAblation, MatchingWeight};
use crate::diffusion::Denoiser;
use crate::net::gradient;

/// The gradient of the matching loss at the plain clean states `y0` `[batch, channel, y, x]`, for
/// each sample by itself: there is no mean over the batch. `noise` is standard normal, `sigma`
/// `[batch]`; both denoisers hold plain tensors.
///
/// # Errors
/// Fails for a `sid` loss that does not depend on the sample.
pub fn gradient(
    settings: &MatchingAblation,
    teacher: &dyn Denoiser,
    auxiliary: &dyn Denoiser,
    y0: Tensor<4>,
    noise: Tensor<4>,
    sigma: Tensor<1>,
) -> Result<Tensor<4>> {
    let noise = noise * teacher.profile() * sigma.clone().reshape([-1, 1, 1, 1]);
    match settings.divergence {
        Divergence::Ikl {} => {
            let noisy = y0.clone() + noise;
            let target = teacher.denoise(noisy.clone(), sigma.clone());
            let weight = weight(settings.weight, &y0, &target);
            Ok((auxiliary.denoise(noisy, sigma) - target) * weight)
        }
        Divergence::Sid { alpha } => {
            let leaf = y0.autodiff().require_grad();
            let noisy = leaf.clone() + noise.autodiff();
            let sigma = sigma.autodiff();
            let target = teacher.denoise(noisy.clone(), sigma.clone());
            let tracked = auxiliary.denoise(noisy, sigma);
            let weight = weight(settings.weight, &leaf, &target).detach();

            // Both networks are differentiated here; the weight alone is held constant.
            let error = target - tracked.clone();
            let square = error.clone().square() * (1.0 - alpha);
            let loss = (square + error * (tracked - leaf.clone())) * weight;
            gradient::gradient("the matching loss", &loss.sum(), &leaf)
        }
    }
}

/// The weight w of each sample, `[batch, 1, 1, 1]`. `target` is the teacher's denoised state.
fn weight(kind: MatchingWeight, y0: &Tensor<4>, target: &Tensor<4>) -> Tensor<4> {
    let distance = (y0.clone() - target.clone()).abs().mean_dims(&[1, 2, 3]);
    match kind {
        MatchingWeight::One => distance.ones_like(),
        MatchingWeight::Dmd => (distance + 1e-6).recip(),
    }
}
