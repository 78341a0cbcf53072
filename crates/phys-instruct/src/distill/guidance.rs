//! PDE distillation guidance: the gradient, on the student's clean output, of the PDE residual.
//!
//! The residual is relative to the sample's own source term, so that small fields are not
//! rewarded. The coefficient is detached, so that only the solution is pulled. The gradient is
//! scaled to a fraction of the matching gradient's norm.

use burn::tensor::Tensor;

use crate::Result;
use crate::config::{Balance, GuidanceAblation, GuidanceConfig};
use crate::diffusion::Coordinates;
use crate::net::gradient;
use crate::net::params::read;
use crate::parts::Parts;
use crate::residual::{Residual, ResidualOptions, ResidualTerms};
use crate::team::Team;

/// The guidance gradient and its figures.
pub struct Pull {
    /// The gradient to be added to the matching gradient, `[batch, channel, y, x]`.
    pub gradient: Tensor<4>,
    /// Mean relative residual of the batch; none without an equation.
    pub residual: Option<f64>,
}

impl Pull {
    /// The pull without guidance at clean states `y0`: a zero gradient, and their mean residual.
    pub fn none(
        residual: Option<&dyn Residual>,
        parts: &Parts,
        coordinates: &Coordinates,
        y0: Tensor<4>,
    ) -> Self {
        let gradient = y0.zeros_like();
        let config = GuidanceConfig::default();
        let of = |r| mean(terms(&config, r, parts, coordinates, y0, false).relative());
        Self { gradient, residual: residual.map(of) }
    }
}

/// The step at which guidance pulls.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The training step.
    pub step: u64,
    /// The norm of the matching gradient over the whole batch.
    pub match_norm: f64,
    /// The processes that hold slices of the batch.
    pub team: &'a Team,
}

/// The pull at the plain clean states `y0`. A term of share 0 is not differentiated.
///
/// # Errors
/// Fails where the gradient of a residual is needed that does not depend on the sample, and as
/// [`Team::sum`] does.
pub fn pull(
    config: &GuidanceConfig,
    residual: &dyn Residual,
    parts: &Parts,
    coordinates: &Coordinates,
    y0: &Tensor<4>,
    at: At,
) -> Result<Pull> {
    let ramp = ramp(config, at.step);
    let mut pull = Pull { gradient: y0.zeros_like(), residual: None };
    if ramp * config.residual_ratio == 0.0 {
        let terms = terms(config, residual, parts, coordinates, y0.clone(), false);
        pull.residual = Some(mean(terms.relative()));
    } else {
        let (plain, mean_residual) = gradient(config, residual, parts, coordinates, y0, false)?;
        let share = weight(config, config.residual_ratio, &plain, at)?;
        pull = Pull { gradient: plain * (ramp * share), residual: Some(mean_residual) };
    }

    if ramp * config.preconditioned_ratio != 0.0 {
        let (smooth, _) = gradient(config, residual, parts, coordinates, y0, true)?;
        let share = weight(config, config.preconditioned_ratio, &smooth, at)?;
        pull.gradient = pull.gradient + smooth * (ramp * share);
    }
    Ok(pull)
}

/// The share of the full guidance at `step`: 0 before `start`, then a linear ramp.
pub fn ramp(config: &GuidanceConfig, step: u64) -> f64 {
    let since = step as f64 + 1.0 - config.start as f64;
    (since / config.ramp.max(1) as f64).clamp(0.0, 1.0)
}

/// The Euclidean norm of `gradient` over the whole batch, of which each process holds a slice.
///
/// # Errors
/// Fails where the device does not give the gradient back, and as [`Team::sum`] does.
pub fn norm(gradient: &Tensor<4>, team: &Team) -> Result<f64> {
    let square = |&g: &f32| f64::from(g).powi(2);
    let own = read(gradient.clone())?.iter().map(square).sum::<f64>();
    Ok(team.sum(own)?.sqrt())
}

/// The factor of `gradient`: `ratio` itself, or (`held`) the one that makes its norm `ratio` times
/// `match_norm`.
fn weight(config: &GuidanceConfig, ratio: f64, gradient: &Tensor<4>, at: At) -> Result<f64> {
    match config.ablation.balance {
        Balance::Fixed => Ok(ratio),
        Balance::Held => {
            let own = norm(gradient, at.team)?;
            Ok(if own > 0.0 { ratio * at.match_norm / own } else { 0.0 })
        }
    }
}

/// The residual terms of clean states `y0`.
fn terms(
    config: &GuidanceConfig,
    residual: &dyn Residual,
    parts: &Parts,
    coordinates: &Coordinates,
    y0: Tensor<4>,
    preconditioned: bool,
) -> ResidualTerms {
    let GuidanceAblation { detach_input, threshold_input, .. } = config.ablation;
    let options = ResidualOptions { detach_input, preconditioned };
    let x = if detach_input { coordinates.decode_held(y0) } else { coordinates.decode(y0) };
    residual.terms(if threshold_input { parts.rounded(x) } else { x }, options)
}

/// The gradient of the summed residuals at `y0`, and the mean relative residual.
fn gradient(
    config: &GuidanceConfig,
    residual: &dyn Residual,
    parts: &Parts,
    coordinates: &Coordinates,
    y0: &Tensor<4>,
    preconditioned: bool,
) -> Result<(Tensor<4>, f64)> {
    let leaf = y0.clone().autodiff().require_grad();
    let terms = terms(config, residual, parts, coordinates, leaf.clone(), preconditioned);
    let relative = terms.relative();
    let loss = if config.ablation.relative {
        relative.clone().sum()
    } else {
        (relative.clone() * terms.scale.clone()).sum()
    };
    Ok((gradient::gradient("the residual", &loss, &leaf)?, mean(relative)))
}

fn mean(relative: Tensor<1>) -> f64 {
    f64::from(relative.mean().into_scalar::<f32>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::{Device, TensorData};
    use phys_instruct_physics::{Basis, Channel, Grid};

    use super::*;
    use crate::config::CoordinatesConfig;
    use crate::diffusion::statistics::Statistics;

    /// 3 for every sample.
    struct Constant;

    impl Residual for Constant {
        fn terms(&self, x: Tensor<4>, _: ResidualOptions) -> ResidualTerms {
            let [batch, ..] = x.dims();
            let plain = |value, shape: [usize; 4]| {
                let values = vec![value; shape.iter().product()];
                Tensor::<4>::from_data(TensorData::new(values, shape), &Device::flex())
            };
            let scale = plain(1f32, [batch, 1, 1, 1]).flatten::<1>(0, 3);
            ResidualTerms { residual: plain(3f32, [batch, 1, 4, 4]), scale, points: 16 }
        }
    }

    fn pull_of(ratio: f64, step: u64) -> Result<Pull> {
        let statistics = Statistics {
            mean: vec![0.0; 16],
            spectrum: vec![1.0; 16],
            regression: None,
            components: None,
            examples: Vec::new(),
        };
        let parts = Parts::first_channel(&[Channel::new("u", "toy", [Basis::Cosine; 2])]);
        let process = CoordinatesConfig::Pixel {};
        let device = Device::flex();
        let coordinates =
            Coordinates::new(&statistics, &parts, Grid::square(4), &process, &device)?;
        let config = GuidanceConfig {
            residual_ratio: ratio,
            preconditioned_ratio: 0.0,
            start: 10,
            ramp: 1,
            ..GuidanceConfig::default()
        };
        let y0 = Tensor::ones([2, 1, 4, 4], &device);
        let at = At { step, match_norm: 1.0, team: &Team::default() };
        pull(&config, &Constant, &parts, &coordinates, &y0, at)
    }

    #[test]
    fn without_a_share_nothing_is_differentiated() {
        for (ratio, step) in [(0.0, 20), (0.5, 3)] {
            let pull = pull_of(ratio, step).unwrap();
            assert_eq!(norm(&pull.gradient, &Team::default()).unwrap(), 0.0);
            assert!((pull.residual.unwrap() - 3.0).abs() < 1e-6, "{:?}", pull.residual);
        }
    }

    #[test]
    fn a_residual_that_does_not_depend_on_the_sample_is_an_error() {
        let message = pull_of(0.5, 20).err().unwrap().to_string();
        assert!(message.contains("the residual does not depend"), "{message}");
    }
}
