//! One line of the table of conditional solving.

use serde::{Deserialize, Serialize};

use crate::baseline::Guidance;
use crate::bench::method::SolvingMethod;
use crate::bench::row::mean_and_sd;
use crate::condition::Task;
use crate::condition::posterior::Score;
use crate::eval::physics::mean;
use crate::{Error, Result};

/// What a row is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The PDE.
    pub pde: String,
    /// The task.
    pub task: Task,
    /// The method; `+solve` with the reference solver's solution for every member's input.
    pub method: SolvingMethod,
    /// Sampler steps of DiffusionPDE; 0 for the others.
    pub steps: usize,
    /// Points a side.
    pub grid: usize,
    /// Points observed (all there are, if there are fewer).
    pub points: usize,
    /// Columns observed in every row instead of points at random.
    pub sensors: Option<usize>,
    /// Errors of the observations, in standard deviations of their field.
    pub noise: f64,
    /// Problems.
    pub count: usize,
    /// Members of the ensemble; 1 for DiffusionPDE, whose answer is a sample.
    pub ensemble: usize,
    /// SHA-256 of the model file; none for methods without one.
    pub model: Option<String>,
}

/// The figures of one row: means over problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What is measured.
    #[serde(flatten)]
    pub key: Key,
    /// Relative L2 error of the mean in the entries asked for; for Darcy's inverse task the share
    /// of wrong cells.
    pub error: f64,
    /// Its standard deviation over problems.
    pub error_sd: f64,
    /// The error of the exact posterior mean on the same problems, where it is known.
    pub bayes_limit: Option<f64>,
    /// Network passes of each member, forward and backward.
    pub nfe: usize,
    /// Seconds of one answer, the whole ensemble; the median over problems.
    pub seconds: f64,
    /// Seconds once for all problems.
    pub prepare_seconds: f64,
    /// Share of the truth within the 90 % interval, as [`Score::coverage90`](crate::condition::posterior::Score).
    pub coverage90: Option<f64>,
    /// Continuous ranked probability score over the truth's root mean square.
    pub crps: f64,
    /// RMS misfit of the mean, in standard deviations of the observed field.
    pub misfit: f64,
    /// Relative RMS residual of the members, and of their mean; none where not finite.
    pub pde_error: Option<f64>,
    /// That of the mean.
    pub pde_error_of_mean: Option<f64>,
    /// That of the true fields.
    pub data_floor: f64,
    /// The searched guidance of DiffusionPDE.
    pub guidance: Option<Guidance>,
    /// Problems without an answer (an input that the solver refuses); they are in no figure.
    pub failed: usize,
}

/// What one problem gave.
pub(super) struct Answer {
    pub score: Score,
    pub misfit: f64,
    pub pde_error: Option<f64>,
    pub pde_error_of_mean: Option<f64>,
    pub nfe: usize,
    pub seconds: f64,
}

impl Row {
    /// The row of the problems that were answered.
    ///
    /// # Errors
    /// None of them.
    pub(super) fn of(key: Key, answers: &[Answer], data_floor: f64) -> Result<Self> {
        let none = || Error::NonFinite(format!("{}: no problem was answered", key.method));
        let nfe = answers.last().ok_or_else(none)?.nfe;
        let all = |of: &dyn Fn(&Answer) -> Option<f64>| -> Vec<f64> {
            answers.iter().filter_map(of).collect()
        };
        let mean_of = |of: &dyn Fn(&Answer) -> f64| mean_and_sd(&all(&|a| Some(of(a)))).0;
        let (error, error_sd) = mean_and_sd(&all(&|a| Some(a.score.error)));
        let mut seconds = all(&|a| Some(a.seconds));
        seconds.sort_by(f64::total_cmp);
        Ok(Self {
            error,
            error_sd,
            bayes_limit: None,
            nfe,
            seconds: seconds[seconds.len() / 2],
            prepare_seconds: 0.0,
            coverage90: mean(&all(&|a| a.score.coverage90)),
            crps: mean_of(&|a| a.score.crps),
            misfit: mean_of(&|a| a.misfit),
            pde_error: mean(&all(&|a| a.pde_error)),
            pde_error_of_mean: mean(&all(&|a| a.pde_error_of_mean)),
            data_floor,
            guidance: None,
            failed: key.count - answers.len(),
            key,
        })
    }
}
