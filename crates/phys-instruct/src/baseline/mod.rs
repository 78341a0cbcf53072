//! The methods to which few-step students are compared, each on the same teacher, the same residual
//! and the same evaluation.
//!
//! Samplers: EDM's own ([`crate::diffusion::sampler`]), DiffusionPDE's guidance, CoCoGen's
//! correction, and PIDM, a teacher trained with the residual in its loss
//! ([`crate::diffusion::loss`]).
//!
//! Answers from observations without a network: the [`exact`] posterior, [`interpolation`], and the
//! [`most_probable`] input. Nothing of the method leads here; tables and tests alone do.

use phys_instruct_kernels::pool::in_pool;
use serde::{Deserialize, Serialize};

use self::diffusionpde::{Guide, Target};
use crate::condition::observations::observed::{Observed, row};
use crate::condition::{Observations, Posterior};
use crate::diffusion::noise::Draw;
use crate::diffusion::sampler;
use crate::model::{Kind, Model};
use crate::residual::Residual;
use crate::sampling::{Drawn, collect, unstopped};
use crate::{Error, Result};

pub mod cocogen;
pub mod diffusionpde;
pub mod exact;
pub mod interpolation;
pub mod most_probable;

/// A sampler that uses the residual at inference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GuidedSampler {
    /// DiffusionPDE.
    DiffusionPde {
        /// The weight of its guidance.
        weight: f64,
        /// The share of the steps, the last ones, that are guided.
        share: f64,
    },
    /// CoCoGen with the size of its corrections.
    CoCoGen(f64),
}

/// The samples to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot {
    /// The number of samples.
    pub count: usize,
    /// The seed of the samples' noise.
    pub seed: u64,
}

/// Draws a lot of samples in `steps` Heun steps from a teacher. The noise is that of
/// [`crate::sampling::sample`] at the same seed. The result's `calls` counts forward and backward
/// passes. `progress` receives the number of finished samples.
///
/// # Errors
/// Fails for a model that is no teacher, for no step, and for a residual that does not depend on
/// the sample.
pub fn sample(
    model: &Model,
    residual: &dyn Residual,
    method: GuidedSampler,
    steps: usize,
    lot: Lot,
    progress: &mut dyn FnMut(usize),
) -> Result<Drawn> {
    if model.card.kind != Kind::Teacher || steps == 0 {
        return Err(Error::Config("guided sampling needs a teacher and at least one step".into()));
    }

    let levels = sampler::schedule(steps, &model.card.diffusion);
    let samples = collect(model, lot.count, &mut unstopped(progress), |shape, first| {
        let draw = Draw { seed: lot.seed, stream: "sample", step: 0, first };
        let noise = draw.normal(shape, &model.device());
        let y = in_pool(|| match method {
            GuidedSampler::DiffusionPde { weight, share } => {
                let guide = Guide { residual, weight, share, target: None };
                diffusionpde::sample(&model.network, &guide, noise, &levels)
            }
            GuidedSampler::CoCoGen(size) => {
                cocogen::sample(&model.network, residual, noise, &levels, size)
            }
        })?;
        Ok(model.network.coordinates.decode(y))
    })?;

    let calls = match method {
        GuidedSampler::DiffusionPde { share, .. } => diffusionpde::calls(steps, share),
        GuidedSampler::CoCoGen(_) => sampler::calls(steps, sampler::Method::Heun),
    };
    Ok(Drawn { samples, calls })
}

/// The strength of DiffusionPDE's guidance by observations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Guidance {
    /// The size of a step.
    pub weight: f64,
    /// The weight of the relative residual in relation to the misfit.
    pub physics: f64,
    /// The share of the steps, the last ones, that the residual guides. Observations guide all.
    #[serde(default = "all_steps")]
    pub share: f64,
}

/// The share of rows that were measured before shares were tried.
fn all_steps() -> f64 {
    1.0
}

/// DiffusionPDE's answer to `observations` in `steps` Heun steps of a teacher, with one sample a
/// member.
///
/// # Errors
/// Fails for a model that is no teacher or of another grid, for no step, and for samples that are
/// not finite.
pub fn solve(
    model: &Model,
    residual: &dyn Residual,
    observations: &Observations,
    guidance: Guidance,
    steps: usize,
    lot: Lot,
) -> Result<Posterior> {
    if model.card.kind != Kind::Teacher || steps == 0 || observations.grid() != model.card.grid {
        let wanted = "guided sampling needs a teacher of the observations' grid and a step";
        return Err(Error::Config(wanted.into()));
    }

    let levels = sampler::schedule(steps, &model.card.diffusion);
    let device = model.device();
    let observed = Observed::new(observations, &device);
    let deviations = model.deviations();

    let guide = Guide {
        residual,
        weight: guidance.weight,
        share: guidance.share,
        target: Some(Target {
            observed: &observed,
            values: row(observations, |p| p.value, &device),
            scale: row(observations, |p| 1.0 / deviations[p.channel], &device),
            physics: guidance.physics,
        }),
    };

    let samples = collect(model, lot.count, &mut unstopped(&mut |_| ()), |shape, first| {
        let noise =
            Draw { seed: lot.seed, stream: "sample", step: 0, first }.normal(shape, &device);
        let y = in_pool(|| diffusionpde::sample(&model.network, &guide, noise, &levels))?;
        Ok(model.network.coordinates.decode(y))
    })?;
    match samples.first_not_finite() {
        None => Ok(Posterior::of(samples, false, diffusionpde::calls(steps, 1.0))),
        Some(i) => Err(Error::NonFinite(format!("guided sample {i}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;
    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::config::{Config, CoordinatesConfig, DiffusionConfig};
    use crate::diffusion::{Coordinates, Network};
    use crate::eval::physics::pde_error;
    use crate::model::Card;
    use crate::net::UNet;
    use crate::parts::Parts;
    use crate::sampling::SampleOptions;
    use crate::testing::{samples_from, tiny};

    const SIZE: usize = 8;

    /// A teacher that knows the variance of Poisson's fields and nothing else.
    fn teacher() -> (Model, Box<dyn Residual>) {
        let pde = by_name("poisson").unwrap();
        let config = Config {
            net: tiny(&[1]),
            coordinates: CoordinatesConfig::Pixel {},
            diffusion: DiffusionConfig { sigma_max: 20.0, ..DiffusionConfig::default() },
            ..Config::from_toml("pde = \"poisson\"\ngrid = 8").unwrap()
        };
        let data = samples_from(pde.as_ref(), 64, SIZE, 1);
        let device = Device::flex();
        let (coordinates, statistics) =
            Coordinates::fit(&data, &Parts::of(pde.as_ref()), &config.coordinates, &device)
                .unwrap();
        let net = UNet::new(&config.net, coordinates.inputs(), 2, 3, &device);
        let card = Card::new(Kind::Teacher, &config, pde.as_ref());
        let network = Network::new(net, coordinates).valid().freeze();
        let residual = crate::problem::residual(pde.as_ref(), Grid::square(SIZE), &device).unwrap();
        (
            Model {
                card,
                statistics,
                network,
                calibrations: Vec::new(),
                operator: None,
                checksum: None,
            },
            residual,
        )
    }

    fn diffusion_pde(weight: f64) -> GuidedSampler {
        GuidedSampler::DiffusionPde { weight, share: 1.0 }
    }

    fn guided(method: GuidedSampler, steps: usize) -> (crate::Samples, usize, f64) {
        let (model, residual) = teacher();
        let drawn = sample(
            &model,
            residual.as_ref(),
            method,
            steps,
            Lot { count: 6, seed: 4 },
            &mut |_| (),
        )
        .unwrap();
        let error = pde_error(&drawn.samples, residual.as_ref()).unwrap();
        (drawn.samples, drawn.calls, error)
    }

    #[test]
    fn without_weight_both_are_heun_s_sampler() {
        let (model, _) = teacher();
        let options = SampleOptions { count: 6, calls: 19, seed: 4, ..SampleOptions::default() };
        let plain = crate::sampling::sample(&model, options, &mut |_| ()).unwrap().samples;
        let late = GuidedSampler::DiffusionPde { weight: 0.0, share: 0.2 };
        for method in [diffusion_pde(0.0), late, GuidedSampler::CoCoGen(0.0)] {
            let (samples, ..) = guided(method, 10);
            let largest = samples.data.iter().zip(&plain.data).map(|(a, b)| (a - b).abs());
            assert!(largest.fold(0.0, f32::max) < 1e-5, "{method:?}");
        }
    }

    #[test]
    fn both_lower_the_pde_error() {
        for method in [diffusion_pde, GuidedSampler::CoCoGen] {
            let [plain, small] = [0.0, 0.03].map(|weight| guided(method(weight), 20).2);
            assert!(small < 0.9 * plain, "{:?}: {small} of {plain}", method(0.03));
        }
        let late = |weight| GuidedSampler::DiffusionPde { weight, share: 0.2 };
        let [plain, small] = [0.0, 1.0].map(|weight| guided(late(weight), 20).2);
        assert!(small < 0.9 * plain, "{small} of {plain}");
    }

    #[test]
    fn passes_are_counted_forward_and_backward() {
        assert_eq!(guided(diffusion_pde(0.1), 4).1, 11);
        assert_eq!(guided(GuidedSampler::DiffusionPde { weight: 0.1, share: 0.2 }, 10).1, 21);
        assert_eq!(guided(GuidedSampler::CoCoGen(0.1), 4).1, 7);
        let (model, residual) = teacher();
        let none = sample(
            &model,
            residual.as_ref(),
            GuidedSampler::CoCoGen(0.1),
            0,
            Lot { count: 1, seed: 0 },
            &mut |_| (),
        );
        assert!(none.is_err());
    }
}
