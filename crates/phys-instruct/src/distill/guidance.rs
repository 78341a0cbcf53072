//! PDE distillation guidance: the gradient, on the student's clean output, of the PDE residual.
//!
//! The residual is relative to the sample's own source term, so that small fields are not
//! rewarded; the coefficient is detached, so that the solution is pulled to it; and its gradient
//! is held at a fraction of the matching gradient's norm.

use burn::tensor::Tensor;

use crate::config::{Balance, GuidanceConfig};
use crate::diffusion::Coordinates;
use crate::net::params::values;
use crate::residual::{Residual, ResidualOptions};

/// The guidance gradient and its figures.
pub struct Pull {
    /// To be added to the matching gradient, `[batch, channel, y, x]`.
    pub gradient: Tensor<4>,
    /// Mean relative residual of the batch.
    pub residual: f64,
}

/// The pull at clean states `y0` (plain), for a matching gradient of norm `match_norm` (over the
/// whole batch), at training step `step`.
pub fn pull(
    config: &GuidanceConfig,
    residual: &dyn Residual,
    coordinates: &Coordinates,
    y0: &Tensor<4>,
    match_norm: f64,
    step: u64,
) -> Pull {
    let ramp = ramp(config, step);
    let (plain, mean_residual) = gradient(config, residual, coordinates, y0, false);
    let mut total = plain.clone() * (ramp * weight(config, config.ratio, &plain, match_norm));
    if config.preconditioned_ratio > 0.0 {
        let (smooth, _) = gradient(config, residual, coordinates, y0, true);
        let share = weight(config, config.preconditioned_ratio, &smooth, match_norm);
        total = total + smooth * (ramp * share);
    }
    Pull { gradient: total, residual: mean_residual }
}

/// The share of the full guidance at `step`: 0 before `start`, then a linear ramp.
pub fn ramp(config: &GuidanceConfig, step: u64) -> f64 {
    let since = step as f64 + 1.0 - config.start as f64;
    (since / config.ramp.max(1) as f64).clamp(0.0, 1.0)
}

/// Euclidean norm over the whole batch.
pub fn norm(gradient: &Tensor<4>) -> f64 {
    values(gradient.clone()).iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt()
}

fn weight(config: &GuidanceConfig, ratio: f64, gradient: &Tensor<4>, match_norm: f64) -> f64 {
    match config.balance {
        Balance::Fixed => ratio,
        Balance::Held => {
            let own = norm(gradient);
            if own > 0.0 { ratio * match_norm / own } else { 0.0 }
        }
    }
}

/// Gradient of the summed residuals, and the mean relative residual.
fn gradient(
    config: &GuidanceConfig,
    residual: &dyn Residual,
    coordinates: &Coordinates,
    y0: &Tensor<4>,
    preconditioned: bool,
) -> (Tensor<4>, f64) {
    let leaf = y0.clone().autodiff().require_grad();
    let GuidanceConfig { detach_input, round_input, .. } = *config;
    let options = ResidualOptions { detach_input, round_input, preconditioned };
    let x = if detach_input {
        coordinates.decode_held(leaf.clone())
    } else {
        coordinates.decode(leaf.clone())
    };
    let terms = residual.terms(x, options);
    let relative = terms.relative();
    let loss = if config.relative {
        relative.clone().sum()
    } else {
        (relative.clone() * terms.scale.clone()).sum()
    };
    let gradient = leaf.grad(&loss.backward()).unwrap_or_else(|| y0.zeros_like());
    (gradient, f64::from(relative.mean().into_scalar::<f32>()))
}
