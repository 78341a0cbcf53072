//! The strengths of the guided baselines, searched per teacher, method and number of steps.
//!
//! All candidates of a list are tried on the same validation samples and seed, with the input of
//! samples rounded where the law has two values. The candidate of lowest PDE error is chosen among
//! those that preserve the distribution, that is, whose sliced Wasserstein distance is within a
//! fifth of the unguided sampler's. If there is none, the candidate of the smallest distance is
//! chosen.

use std::path::Path;

use burn::tensor::Device;
use phys_instruct_physics::Pde;
use serde::{Deserialize, Serialize};

use super::method::{SamplingMethod, Strength};
use crate::baseline::{self, Lot};
use crate::diffusion::sampler::{self, Method};
use crate::eval::{SwdOptions, physics, swd};
use crate::model::Model;
use crate::sampling::{self, SampleOptions};
use crate::store::atomic;
use crate::store::file::{bad, read_text};
use crate::{Error, Result, Samples, device, problem, seeds};

/// The weights that are tried for DiffusionPDE where it guides all steps, in its units.
const GUIDANCE: [f64; 6] = [0.001, 0.01, 0.03, 0.1, 0.3, 1.0];
/// The share of the steps that the authors' own runs guide by the residual.
const LATE: f64 = 0.2;
/// The weights that are tried where DiffusionPDE guides that share, over which sigma falls by a
/// thousandth of its path.
const LATE_GUIDANCE: [f64; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// The sizes that are tried for CoCoGen.
const CORRECTIONS: [f64; 6] = [3e-5, 3e-4, 1e-3, 3e-3, 0.01, 0.1];
/// The numbers of steps at which a weight is searched. A run takes the weight of the nearest number
/// below or equal.
pub const STEPS: [usize; 2] = [10, 100];
/// The factor by which guidance may increase the sliced Wasserstein distance.
const KEPT: f64 = 1.2;
/// The largest plausible size of a file of searches, in bytes.
const MOST_BYTES: u64 = 1 << 24;

/// One candidate and its measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The strength.
    #[serde(flatten)]
    pub strength: Strength,
    /// The relative RMS residual.
    pub pde_error: f64,
    /// The sliced Wasserstein distance to the validation data.
    pub sliced_wasserstein: f64,
}

/// A search and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The teacher's file name without extension.
    pub teacher: String,
    /// The SHA-256 of the teacher's file.
    pub sha256: String,
    /// The guided method.
    pub method: SamplingMethod,
    /// The number of sampler steps.
    pub steps: usize,
    /// The chosen strength.
    #[serde(flatten)]
    pub strength: Strength,
    /// The number of samples of each trial.
    pub count: usize,
    /// The distance of the unguided sampler at the same steps, seed and number of samples.
    pub unguided_sliced_wasserstein: f64,
    /// All candidates that were tried.
    pub trials: Vec<Trial>,
}

/// All searches, as stored in `baselines.toml` beside the models.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// The searches, one per teacher, method and number of steps.
    #[serde(default)]
    pub tuned: Vec<Tuned>,
}

impl Tuning {
    /// Reads a file; none if there is no such file.
    ///
    /// # Errors
    /// Fails for a file that cannot be read or holds no such list.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let text = read_text(path, MOST_BYTES)?;
        toml::from_str(&text).map(Some).map_err(|e| bad(path, e.to_string()))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|e| Error::Config(e.to_string()))?;
        atomic::write(path, text.as_bytes())
    }

    /// Tells whether the teacher whose file has this hash was searched.
    pub fn knows(&self, sha256: &str) -> bool {
        self.tuned.iter().any(|t| t.sha256 == sha256)
    }

    /// The strength for `steps` steps: that of the largest searched number not above it, or else of
    /// the smallest. None if the teacher, identified by its file's hash, was not searched.
    pub fn strength(&self, sha256: &str, method: SamplingMethod, steps: usize) -> Option<Strength> {
        let own = self.tuned.iter().filter(|t| t.sha256 == sha256 && t.method == method);
        let below = own.clone().filter(|t| t.steps <= steps).max_by_key(|t| t.steps);
        below.or_else(|| own.min_by_key(|t| t.steps)).map(|t| t.strength)
    }
}

/// A teacher whose guidance is searched.
pub struct Teacher<'a> {
    /// The name of its file without extension.
    pub name: &'a str,
    /// The SHA-256 of its file.
    pub sha256: &'a str,
    /// The model.
    pub model: &'a Model,
}

/// The strengths that are tried for a guided method.
fn candidates(method: SamplingMethod) -> Vec<Strength> {
    let each = |weights: &[f64], share| -> Vec<Strength> {
        weights.iter().map(|&weight| Strength { weight, share }).collect()
    };
    match method {
        SamplingMethod::CoCoGen => each(&CORRECTIONS, None),
        _ => [each(&GUIDANCE, None), each(&LATE_GUIDANCE, Some(LATE))].concat(),
    }
}

/// Searches the strength of `method` at `steps` steps with `count` samples a trial, against
/// `validation`.
///
/// # Errors
/// Fails for a model that is no teacher, and for sets that do not fit each other.
pub fn search(
    teacher: &Teacher,
    pde: &dyn Pde,
    validation: &Samples,
    method: SamplingMethod,
    steps: usize,
    count: usize,
) -> Result<Tuned> {
    let model = teacher.model;
    let residual = |device: &Device| problem::residual(pde, model.card.grid, device);
    let [residual, guiding] = [residual(&device::cpu())?, residual(&model.device())?];
    let distance = |samples: &Samples| -> Result<f64> {
        Ok(swd::against_floor(samples, validation, SwdOptions::default())?.distance)
    };

    let heun = SampleOptions {
        count,
        calls: sampler::calls(steps, Method::Heun),
        seed: seeds::TUNING_NOISE,
        ..SampleOptions::default()
    };
    let unguided = sampling::sample(model, heun, &mut |_| ())?.samples;
    let unguided = distance(&unguided.with_input_rounded(pde))?;

    let trials = candidates(method)
        .into_iter()
        .map(|strength| {
            let guided = method
                .guided(strength)
                .ok_or_else(|| Error::Config(format!("{method} has no weight to be searched")))?;
            let lot = Lot { count, seed: seeds::TUNING_NOISE };
            let drawn = baseline::sample(model, guiding.as_ref(), guided, steps, lot, &mut |_| ())?;
            // Samples that are not finite are worse than any others.
            let samples = Some(drawn.samples).filter(|s| s.first_not_finite().is_none());
            let Some(samples) = samples else {
                let [pde_error, sliced_wasserstein] = [f64::MAX; 2];
                return Ok(Trial { strength, pde_error, sliced_wasserstein });
            };
            let samples = samples.with_input_rounded(pde);
            Ok(Trial {
                strength,
                pde_error: physics::pde_error(&samples, residual.as_ref())?,
                sliced_wasserstein: distance(&samples)?,
            })
        })
        .collect::<Result<Vec<_>>>()?;

    Ok(Tuned {
        teacher: teacher.name.into(),
        sha256: teacher.sha256.into(),
        method,
        steps,
        strength: chosen(&trials, KEPT * unguided)
            .ok_or_else(|| Error::Config(format!("{method} has nothing to be searched")))?,
        count,
        unguided_sliced_wasserstein: unguided,
        trials,
    })
}

fn chosen(trials: &[Trial], largest_distance: f64) -> Option<Strength> {
    trials
        .iter()
        .filter(|t| t.sliced_wasserstein <= largest_distance)
        .min_by(|a, b| a.pde_error.total_cmp(&b.pde_error))
        .or_else(|| {
            trials.iter().min_by(|a, b| a.sliced_wasserstein.total_cmp(&b.sliced_wasserstein))
        })
        .map(|t| t.strength)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strength(weight: f64) -> Strength {
        Strength { weight, share: None }
    }

    fn trial(weight: f64, pde_error: f64, sliced_wasserstein: f64) -> Trial {
        Trial { strength: strength(weight), pde_error, sliced_wasserstein }
    }

    #[test]
    fn the_lowest_error_that_keeps_the_distribution_wins() {
        let trials = [trial(0.003, 0.9, 0.10), trial(0.1, 0.5, 0.11), trial(1.0, 0.1, 0.5)];
        assert_eq!(chosen(&trials, 0.12), Some(strength(0.1)));
        assert_eq!(chosen(&trials, 0.01), Some(strength(0.003)));
    }

    #[test]
    fn a_number_of_steps_takes_the_weight_of_the_nearest_searched_below() {
        let tuned = |steps, weight| Tuned {
            teacher: "t".into(),
            sha256: "t".into(),
            method: SamplingMethod::CoCoGen,
            steps,
            strength: strength(weight),
            count: 1,
            unguided_sliced_wasserstein: 0.1,
            trials: vec![],
        };
        let tuning = Tuning { tuned: vec![tuned(10, 0.1), tuned(100, 0.3)] };
        let found = |steps| tuning.strength("t", SamplingMethod::CoCoGen, steps);
        assert_eq!([4, 10, 200].map(found), [0.1, 0.1, 0.3].map(|weight| Some(strength(weight))));
        assert_eq!(tuning.strength("t", SamplingMethod::DiffusionPde, 10), None);
    }
}
