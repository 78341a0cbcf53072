//! The matching phase. In turn, an auxiliary model learns the student's present distribution, and
//! the student follows the matching gradient plus the guidance's.
//!
//! Each number of network calls has an auxiliary model of its own. A single one would learn the
//! mixture over all numbers, and matching the mixture does not match its parts: samples of one call
//! keep too little variance, and those of two calls too much.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde_json::{Map, Value, json};

use super::phase::Phase;
use crate::Result;
use crate::config::MatchingConfig;
use crate::diffusion::Network;
use crate::distill::guidance::{self, At, Pull, norm};
use crate::distill::matching;
use crate::distill::student::Student;
use crate::distill::{Auxiliary, auxiliary};
use crate::net::optimizer::StepReport;
use crate::store::weights::Array;

/// The phase and its auxiliary models.
pub struct Matching {
    config: MatchingConfig,
    /// The auxiliary model of each number of network calls, 1..=K.
    auxiliaries: Vec<Auxiliary>,
}

impl Matching {
    /// The phase before its first step. Every auxiliary model begins as a copy of the teacher. The
    /// student keeps its weights and the moments of its optimizer from a warm start.
    pub fn begin(config: &MatchingConfig, student: &mut Student) -> Self {
        student.optimizer.configure(&config.optimizer);
        let (teacher, optimizer) = (&student.teacher.network, &config.auxiliary.optimizer);
        let auxiliary = |_: &f64| Auxiliary::new(teacher, optimizer);
        let auxiliaries = student.card.levels.iter().map(auxiliary).collect();
        Self { config: config.clone(), auxiliaries }
    }

    /// One step of the auxiliary model of `calls` calls on fresh student samples; returns its EDM
    /// loss.
    fn auxiliary_step(
        &mut self,
        student: &Student,
        calls: usize,
        part: usize,
        rate: f64,
    ) -> Result<f64> {
        let auxiliary = &self.config.auxiliary;
        let plain = student.network.valid();
        let (shape, device) = (student.shape(), &student.device);
        let draw = student.draw("auxiliary", part);
        let clean = student.generator(&plain).sample(draw, calls, shape, device);

        let noise = student.draw("auxiliary-noise", part).normal(shape, device);
        let (mean, std) = (auxiliary.ln_sigma_mean, auxiliary.ln_sigma_std);
        let sigma = student.draw("auxiliary-sigma", part).sigma(shape[0], mean, std, device);
        let batch = auxiliary::Batch { clean, noise, sigma };
        self.auxiliaries[calls - 1].step(batch, rate, &student.team)
    }

    /// The matching gradient at the samples `clean` of `calls` calls; `plain` is the student's
    /// network.
    fn matched(
        &self,
        student: &Student,
        plain: &Network,
        calls: usize,
        clean: Tensor<4>,
    ) -> Result<Tensor<4>> {
        let c = &self.config;
        let (shape, device) = (student.shape(), &student.device);
        let noise = student.draw("matching-noise", 0).normal(shape, device);
        let sigma = student.draw("matching-sigma", 0);
        let sigma = sigma.sigma(shape[0], c.ln_sigma_mean, c.ln_sigma_std, device);

        let auxiliary = self.auxiliaries[calls - 1].network.valid();
        let teacher = &student.teacher.network;
        let gradient = matching::gradient(&c.ablation, teacher, &auxiliary, clean, noise, sigma)?;
        Ok(gradient * plain.coordinates.present())
    }

    /// One step of the student along matching plus guidance, on one batch of fresh samples.
    fn generator_step(
        &mut self,
        student: &mut Student,
        calls: usize,
        step: u64,
    ) -> Result<(StepReport, Map<String, Value>)> {
        let plain = student.network.valid();
        let draw = student.draw("generator", 0);
        let input = student.generator(&plain).input(draw, calls, student.shape(), &student.device);
        let output = student.generator(&student.network).call(input.autodiff(), calls);
        let clean = output.clone().detach().inner();

        let matched = self.matched(student, &plain, calls, clean.clone())?;
        let team = &student.team;
        let match_norm = norm(&matched, team)?;
        let (parts, coordinates) = (&student.parts, &plain.coordinates);
        let pull = match &self.config.guidance {
            Some(guidance) => {
                let residual = student.equation()?;
                let at = At { step, match_norm, team };
                guidance::pull(guidance, residual, parts, coordinates, &clean, at)?
            }
            None => Pull::none(student.residual.as_deref(), parts, coordinates, clean),
        };

        let figures = json!({
            "calls": calls,
            "matching_norm": match_norm,
            "guidance_norm": norm(&pull.gradient, team)?,
            "residual": pull.residual,
        });
        // Both are gradients on the output, carried through the student in one backward pass.
        let gradient = (matched + pull.gradient).autodiff();
        let rate = self.config.schedule().share(step);
        let report = student.update(&(output * gradient).mean(), rate)?;
        Ok((report, figures.as_object().cloned().unwrap_or_default()))
    }
}

impl Phase for Matching {
    fn step(
        &mut self,
        student: &mut Student,
        step: u64,
    ) -> Result<(StepReport, Map<String, Value>)> {
        let calls = student.calls();
        // The auxiliary model's learning rate rises and falls with the generator's.
        let rate = self.config.schedule().share(step);
        let mut loss = None;
        for part in 0..self.config.auxiliary.steps {
            loss = Some(self.auxiliary_step(student, calls, part, rate)?);
        }

        let (report, mut figures) = self.generator_step(student, calls, step)?;
        figures.extend(loss.map(|loss| ("auxiliary_loss".to_owned(), json!(loss))));
        Ok((report, figures))
    }

    fn to_arrays(&self) -> Result<BTreeMap<String, Array>> {
        let mut arrays = BTreeMap::new();
        for (k, auxiliary) in self.auxiliaries.iter().enumerate() {
            arrays.extend(auxiliary.to_arrays(k)?);
        }
        Ok(arrays)
    }

    fn restore(&mut self, _: &mut Student, arrays: &BTreeMap<String, Array>) -> Result<()> {
        let mut all = self.auxiliaries.iter_mut().enumerate();
        all.try_for_each(|(k, auxiliary)| auxiliary.restore(arrays, k))
    }
}
