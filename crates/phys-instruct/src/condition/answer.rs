//! A question answered, and the answer held against what was asked to explain.
//!
//! Errors that nobody stated are given a size ([`super::errors`]). The observations are held against
//! the prior ([`super::expectation`]). An input that is observed everywhere is solved for, any other
//! is inferred. The answer is held against the observations ([`super::explained`]) and the equation.

use burn::tensor::Device;
use phys_instruct_physics::Pde;
use serde::Serialize;

use super::expectation::{Distances, Surprise};
use super::explained::Explained;
use super::known::KnownInput;
use super::place::Lattice;
use super::warnings::{self, Warning};
use super::{Observation, Observations, Options, Posterior, Solver, Task};
use crate::eval::physics::pde_error;
use crate::{Error, Result, residual};

/// Deviations of a value's error within which it may lie from the values that an input can take.
const ADMISSIBLE: f64 = 5.0;
/// The share of the gap between an input's two values within which it may lie, whatever its error.
const NEAR_A_VALUE: f64 = 0.1;

/// A question to a student.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is asked for.
    pub task: Task,
    /// The observations.
    pub observations: Observations,
    /// Errors of observations without one, in deviations of their field; 0 for exact values.
    /// None lets them be estimated.
    pub noise: Option<f64>,
    /// Whether errors may be far larger than stated here and there (Student's t).
    pub robust: bool,
    /// Whether every member's solution is the reference solver's; what suits the task unless given.
    pub resolve: Option<bool>,
    /// How to find the answer; the method that suits unless `method` is given.
    pub method: Option<super::Method>,
    /// How hard to try.
    pub options: Options,
}

/// An answer and how it stands to the question.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The members.
    pub posterior: Posterior,
    /// The observations with the errors that were used.
    pub observations: Observations,
    /// What was assumed, in sentences.
    pub notes: Vec<String>,
    /// What does not fit.
    pub warnings: Vec<Warning>,
    /// How unusual the observations are.
    pub surprise: Surprise,
    /// How well the answer explains them.
    pub explained: Explained,
    /// PDE errors.
    pub pde_errors: PdeErrors,
}

/// Mean relative residuals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PdeErrors {
    /// The members'.
    pub members: f64,
    /// The mean's.
    pub mean: f64,
    /// That of samples that the model draws without observations.
    pub model: f64,
}

/// How far observations lie from the prior, and how far its own samples lie at most.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PriorDistance {
    /// The observations' distances.
    #[serde(flatten)]
    pub found: Distances,
    /// The largest of the prior's samples.
    pub usual: Distances,
}

impl Answer {
    /// The distances of the observations from the prior.
    pub fn prior_distance(&self) -> PriorDistance {
        PriorDistance { found: self.surprise.distances, usual: self.surprise.usual }
    }
}

impl Solver<'_> {
    /// Answers a question and says what does not fit.
    ///
    /// # Errors
    /// Observations that the task does not take, values that the input cannot have, and failures of
    /// the model or the reference solver.
    pub fn answer(&self, question: Question) -> Result<Answer> {
        let (pde, grid) = (self.model().card.pde()?, self.model().card.grid);
        let pde = pde.as_ref();
        let lattice = Lattice::new(pde, grid);
        let Question { task, observations, options, .. } = &question;
        self.check_grid(observations)?;
        observations.check_task(*task, &task.observed(pde, grid))?;

        let mut notes = Vec::new();
        let (observations, known) = self.with_errors(&question, pde, &mut notes)?;
        let surprise = self.surprise(&observations)?;
        let unusual = warnings::of_surprise(&surprise, &observations, &lattice, &self.laws());

        let solved_for = known.filter(|input| input.is_exact() || !unusual.is_empty());
        let (posterior, mut warnings) = match solved_for {
            Some(input) => {
                notes.push(known_note(&unusual, pde));
                let (members, seed) = (options.ensemble, options.seed);
                (input.posterior(&observations, pde, members, seed)?, Vec::new())
            }
            None => {
                self.check_values(&observations, pde, &lattice)?;
                let method = question.method.map_or_else(|| self.suggested(&observations), Ok)?;
                let drawn = self.posterior(&observations, &Options { method, ..*options })?;
                let resolve = question.resolve.unwrap_or(task.wants_solver());
                (if resolve { drawn.solved(pde)? } else { drawn }, unusual)
            }
        };

        let sd = self.errors(&observations);
        let explained = Explained::new(&posterior, &observations, &lattice, &sd);
        let residual = residual::build(pde, grid, &Device::flex())?;
        let pde_errors = PdeErrors {
            members: pde_error(&posterior.samples, residual.as_ref())?,
            mean: pde_error(&posterior.mean_sample(), residual.as_ref())?,
            model: pde_error(&self.own_samples()?, residual.as_ref())?,
        };

        warnings.extend(warnings::of_explained(&explained));
        warnings.extend(warnings::of_pde_error(pde_errors.members, pde_errors.model));
        warnings.extend(warnings::of_left_out(posterior.left_out, options.ensemble));
        Ok(Answer { posterior, observations, notes, warnings, surprise, explained, pde_errors })
    }

    /// The observations with an error each, and the input if they tell it everywhere.
    fn with_errors(
        &self,
        question: &Question,
        pde: &dyn Pde,
        notes: &mut Vec<String>,
    ) -> Result<(Observations, Option<KnownInput>)> {
        let mut observations = question.observations.clone();
        let known = match question.noise.filter(|&noise| noise > 0.0) {
            // Nobody says that a field given everywhere has errors.
            None => KnownInput::of(&observations, pde),
            Some(noise) => {
                observations = observations.with_noise(noise, self.deviations());
                KnownInput::of(&observations, pde)
            }
        };

        let unstated = observations.points().iter().filter(|p| p.sd.is_none()).count();
        let is_given = known.as_ref().is_some_and(KnownInput::is_exact);
        if question.noise == Some(0.0) {
            observations = observations.with_noise(0.0, self.deviations());
        } else if unstated > 0 && !is_given {
            let shares = self.likely_shares(&observations, pde)?;
            let said = shares
                .iter()
                .zip(observations.channels())
                .filter_map(|(share, name)| Some(format!("{name} {:.2} %", 100.0 * (*share)?)));
            let said: Vec<String> = said.collect();
            notes.push(format!(
                "{unstated} values have no error stated; taken, as most likely, in parts of the \
                 field's deviation: {} (--noise S states it, --noise 0 is exact)",
                said.join(", ")
            ));
            let deviations = self.deviations().to_vec();
            let own = |p: &Observation| shares[p.channel].unwrap_or(0.0) * deviations[p.channel];
            observations = observations.with_errors(|_, p| p.sd.unwrap_or_else(|| own(p)));
        } else {
            observations = observations.with_noise(0.0, self.deviations());
        }

        if question.robust {
            observations = self.robust(observations)?;
        }
        Ok((observations, known))
    }

    /// The most likely size of the unstated errors of each channel, in its deviations; none for a
    /// channel without such errors.
    fn likely_shares(
        &self,
        observations: &Observations,
        pde: &dyn Pde,
    ) -> Result<Vec<Option<f64>>> {
        let unstated = |c: usize| {
            observations.points().iter().filter(move |p| p.channel == c && p.sd.is_none())
        };
        let mut shares = vec![None; observations.channels().len()];
        let two_values = pde.input_values();
        let estimated = (0..shares.len()).filter(|&c| c > 0 || two_values.is_none());
        if estimated.clone().any(|c| unstated(c).count() > 0) {
            let share = self.likely_share(observations)?;
            estimated.filter(|&c| unstated(c).count() > 0).for_each(|c| shares[c] = Some(share));
        }

        // An input of two values shows its errors by itself.
        if let Some(values) = two_values
            && unstated(0).count() > 0
        {
            let off = |p: &Observation| {
                values.map(|v| (p.value - v).abs()).into_iter().fold(f64::INFINITY, f64::min)
            };
            let square: f64 = unstated(0).map(|p| off(p).powi(2)).sum();
            let rms = (square / unstated(0).count() as f64).sqrt();
            shares[0] = Some(rms / self.deviations()[0]);
        }
        Ok(shares)
    }

    /// Refuses values that an input of two values cannot have.
    fn check_values(
        &self,
        observations: &Observations,
        pde: &dyn Pde,
        lattice: &Lattice,
    ) -> Result<()> {
        let Some([low, high]) = pde.input_values() else { return Ok(()) };
        let off = |p: &Observation| (p.value - low).abs().min((p.value - high).abs());
        let most = |p: &Observation| (ADMISSIBLE * p.deviation()).max(NEAR_A_VALUE * (high - low));
        let points = observations.points().iter().filter(|p| p.channel == 0);
        let Some(odd) = points.clone().find(|p| off(p) > most(p)) else { return Ok(()) };
        let count = points.filter(|p| off(p) > most(p)).count();
        let [y, x] = lattice.coordinates(0, [odd.row, odd.column]);
        let name = &observations.channels()[0];
        Err(Error::Observation(format!(
            "{name} = {} at y {y:.4}, x {x:.4} ({count} such): this model knows {name} = {low} and \
             {high} alone. Where {name} is observed everywhere the solution is found for any value; \
             else state the errors (sd), or train on data of your own law",
            odd.value
        )))
    }
}

/// What is said of an input that is known.
fn known_note(unusual: &[Warning], pde: &dyn Pde) -> String {
    let solver = "the solution is the reference solver's for the values as given";
    match unusual.first() {
        None => format!("the input of {} is observed everywhere: {solver}", pde.name()),
        Some(warning) => format!(
            "the input of {} is observed everywhere: {solver}, which rests on no law. It is not of the \
             law that this model knows: {}",
            pde.name(),
            warning.message
        ),
    }
}
