//! The figures of an answer: how well it explains the observations and holds the equation, and its
//! score where the truth is known.

use phys_instruct_physics::Grid;
use serde::Serialize;

use super::answer::PriorDistance;
use super::explained::Fit;
use super::next_place::NextPlace;
use super::posterior::Score;
use super::{Answer, Posterior, Task, TwoValuedEntries, Warning};
use crate::{Error, Model, Result, Samples};

/// The figures of an answer.
#[derive(Debug, Clone, Serialize)]
pub struct AnswerFigures {
    /// The PDE's name.
    pub pde: String,
    /// The task.
    pub task: Task,
    /// The grid.
    #[serde(with = "crate::grid")]
    pub grid: Grid,
    /// The number of members.
    pub ensemble: usize,
    /// The number of members that were asked for and left out.
    pub left_out: usize,
    /// The number of observations.
    pub points: usize,
    /// Network passes behind each member.
    pub calls: usize,
    /// The root mean square difference of the mean from the observations, in deviations of their
    /// field.
    pub misfit: f64,
    /// The chi of the mean over members; 1 is expected.
    pub chi: f64,
    /// The root mean square of the members' chi.
    pub chi_of_members: f64,
    /// The observations that the mean misses by most.
    pub worst: Vec<Fit>,
    /// The distances of the observations from the prior.
    pub prior_distance: PriorDistance,
    /// Tells whether an equation was used.
    pub equation_used: bool,
    /// The PDE error of the members; none without an equation.
    pub pde_error: Option<f64>,
    /// The PDE error of their mean.
    pub pde_error_of_mean: Option<f64>,
    /// The PDE error of the model's own samples.
    pub pde_error_of_model: Option<f64>,
    /// The score against the truth, where it is known.
    pub score: Option<Score>,
    /// The error of the mean of the model's data, with which an answer's compares.
    pub unobserved_error: Option<f64>,
    /// The place where one more value would tell most; none if nothing is unknown.
    pub next_place: Option<NextPlace>,
    /// Assumptions, in sentences.
    pub notes: Vec<String>,
    /// Everything that does not fit.
    pub warnings: Vec<Warning>,
}

impl Answer {
    /// The figures of this answer of `model` to a question of `task`, with a score against the one
    /// sample `truth` where it is given.
    ///
    /// # Errors
    /// Fails as [`Answer::score`] does.
    pub fn figures(
        &self,
        model: &Model,
        task: Task,
        truth: Option<&Samples>,
    ) -> Result<AnswerFigures> {
        let Self { posterior, observations, explained, pde_errors, .. } = self;
        let mean = posterior.mean_sample();

        Ok(AnswerFigures {
            pde: model.card.pde.clone(),
            task,
            grid: model.card.grid,
            ensemble: posterior.samples.count,
            left_out: posterior.left_out,
            points: observations.points().len(),
            calls: posterior.calls,
            misfit: observations.misfit(mean.sample(0), &model.deviations()),
            chi: explained.chi,
            chi_of_members: explained.chi_of_members,
            worst: explained.worst.clone(),
            prior_distance: self.prior_distance(),
            equation_used: pde_errors.is_some(),
            pde_error: pde_errors.map(|e| e.members),
            pde_error_of_mean: pde_errors.map(|e| e.mean),
            pde_error_of_model: pde_errors.map(|e| e.model),
            score: truth.map(|truth| self.score(model, task, truth)).transpose()?,
            unobserved_error: truth
                .map(|truth| unobserved_error(model, task, truth))
                .transpose()?,
            next_place: self.next_place(model.card.pde()?.as_ref(), task),
            notes: self.notes.clone(),
            warnings: self.warnings.clone(),
        })
    }

    /// The score of what the task asks for against the one sample `truth`.
    ///
    /// # Errors
    /// [`Error::Request`] for a truth on another grid or of other fields, or of several samples.
    pub fn score(&self, model: &Model, task: Task, truth: &Samples) -> Result<Score> {
        let posterior = &self.posterior;
        if truth.count != 1 {
            let count = truth.count;
            return Err(Error::Request(format!("--truth: {count} samples found, one expected")));
        }
        if truth.channels != posterior.samples.channels || truth.grid() != posterior.samples.grid()
        {
            let answered = &posterior.samples;
            return Err(Error::Request(format!(
                "--truth: {:?} on {} found; the answer is of {:?} on {}",
                truth.channels,
                truth.grid(),
                answered.channels,
                answered.grid()
            )));
        }

        scored(posterior, model, task, truth)
    }
}

/// The error of the mean of `model`'s data for `truth`, with which an answer's error compares.
fn unobserved_error(model: &Model, task: Task, truth: &Samples) -> Result<f64> {
    Ok(scored(&Posterior::unobserved(model)?, model, task, truth)?.error)
}

/// The score of `posterior` in what the task asks for of the one sample `truth`.
fn scored(posterior: &Posterior, model: &Model, task: Task, truth: &Samples) -> Result<Score> {
    let pde = model.card.pde()?;
    let asked = task.target(pde.as_ref(), model.card.grid);
    let two_valued = TwoValuedEntries::of(truth, pde.as_ref());
    Ok(posterior.score(truth.sample(0), &asked, two_valued.as_ref()))
}
