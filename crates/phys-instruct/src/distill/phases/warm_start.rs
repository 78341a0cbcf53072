//! The warm start: regression of the student on the teacher's samples from the same noisy states.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde_json::{Map, Value, json};

use super::phase::Phase;
use crate::Result;
use crate::config::{DiffusionConfig, WarmStartConfig};
use crate::diffusion::Denoiser;
use crate::diffusion::noise::Draw;
use crate::diffusion::sampler::{self, Method};
use crate::distill::student::Student;
use crate::net::optimizer::StepReport;

/// The power of the data's standard deviation in a mode that weights the mode's error. With 0 all
/// modes count alike, and the many high ones dominate the few that carry the fields.
const MODE_WEIGHT: f64 = 0.5;

/// The phase and the pairs drawn so far.
pub struct WarmStart {
    config: WarmStartConfig,
    /// Pairs of a noisy state and the end of the teacher's flow from it, by the number of the batch
    /// and of the network call.
    pairs: BTreeMap<(u64, usize), (Tensor<4>, Tensor<4>)>,
}

impl WarmStart {
    /// The phase before its first step.
    pub fn begin(config: &WarmStartConfig, student: &mut Student) -> Self {
        student.optimizer.configure(&config.optimizer);
        Self { config: config.clone(), pairs: BTreeMap::new() }
    }

    /// The batch `number` of pairs for the network call `call`, a function of the two alone. A
    /// pair is a state at that call's noise level and the end of the teacher's flow from it.
    fn pair(&mut self, student: &Student, number: u64, call: usize) -> (Tensor<4>, Tensor<4>) {
        if let Some(pair) = self.pairs.get(&(number, call)) {
            return pair.clone();
        }

        let level = student.card.levels[call - 1];
        let draw = Draw { step: number, ..student.draw("warm-start", call - 1) };
        let noise = draw.normal(student.shape(), &student.device);
        let noise = noise * student.network.profile() * level;
        // Calls after the first take the end of the flow from pure noise, with noise added again.
        let noisy = if call == 1 { noise } else { self.pair(student, number, 1).1 + noise };

        let process = DiffusionConfig { sigma_max: level, ..student.card.diffusion.clone() };
        let levels = sampler::schedule(self.config.calls.div_ceil(2), &process);
        let teacher = &student.teacher.network;
        let target = sampler::flow(teacher, noisy.clone(), &levels, Method::Heun, |_| ());
        self.pairs.insert((number, call), (noisy.clone(), target.clone()));
        (noisy, target)
    }
}

impl Phase for WarmStart {
    fn step(
        &mut self,
        student: &mut Student,
        step: u64,
    ) -> Result<(StepReport, Map<String, Value>)> {
        let call = student.calls();
        let (noisy, target) = self.pair(student, step % self.config.batches as u64, call);
        let noisy = noisy.autodiff();
        let sigma = sampler::constant(student.card.levels[call - 1], &noisy);

        let weights = student.network.coordinates.mode_weights(MODE_WEIGHT);
        let error = student.network.denoise(noisy, sigma) - target.autodiff();
        let loss = (error * weights.autodiff()).square().mean();
        let report = student.update(&loss, self.config.schedule().share(step))?;
        let loss = f64::from(loss.into_scalar::<f32>());
        Ok((report, Map::from_iter([("warm_start_loss".to_owned(), json!(loss))])))
    }
}
