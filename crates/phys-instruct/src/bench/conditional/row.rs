//! One line of the table of conditional solving.

use std::collections::BTreeMap;

use phys_instruct_physics::Grid;
use serde::{Deserialize, Serialize};

use crate::baseline::Guidance;
use crate::bench::method::SolvingMethod;
use crate::bench::row::mean_and_sd;
use crate::condition::Task;
use crate::condition::posterior::Score;
use crate::eval::physics::mean;
use crate::{Error, Result};

/// The conditions of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The PDE.
    pub pde: String,
    /// The task.
    pub task: Task,
    /// The method. `+solve` takes the reference solver's solution for every member's input.
    pub method: SolvingMethod,
    /// The number of DiffusionPDE's sampler steps; 0 for the others.
    pub steps: usize,
    /// The grid.
    #[serde(with = "crate::grid")]
    pub grid: Grid,
    /// The number of points observed; all if there are fewer.
    pub points: usize,
    /// The number of columns observed in every row, in place of random points.
    pub sensors: Option<usize>,
    /// The errors of the observations, in standard deviations of their field.
    pub noise: f64,
    /// The number of problems.
    pub count: usize,
    /// The number of members of the ensemble.
    pub ensemble: usize,
    /// The graphics processor on which the networks ran; none for the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The SHA-256 of the model file; none for methods without one.
    pub model: Option<String>,
    /// Parameters of the problems' law of inputs in which it differs from the student's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub law: BTreeMap<String, f64>,
}

/// The measures of one row, averaged over problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The conditions of the row.
    #[serde(flatten)]
    pub key: Key,
    /// The relative L2 error of the mean in the entries asked for. For Darcy's inverse task it is
    /// the share of wrong cells.
    pub error: f64,
    /// The standard deviation of the error over problems.
    pub error_sd: f64,
    /// The error of one member by itself, averaged over members; none in rows measured before.
    #[serde(default)]
    pub member_error: Option<f64>,
    /// The error of the exact posterior's mean on the same problems; none if it is not known.
    pub bayes_limit: Option<f64>,
    /// The number of network calls of each member, a backward pass counted as a call.
    #[serde(alias = "nfe")]
    pub calls: usize,
    /// The median seconds of one answer, the whole ensemble, over problems.
    pub seconds: f64,
    /// The seconds of preparation, once for all problems.
    pub prepare_seconds: f64,
    /// The share of the truth within the 90 % interval, as
    /// [`Score::coverage90`](crate::condition::posterior::Score).
    pub coverage90: Option<f64>,
    /// The continuous ranked probability score over the truth's root mean square.
    pub crps: f64,
    /// The RMS misfit of the mean, in standard deviations of the observed field.
    pub misfit: f64,
    /// The relative RMS residual of the members; none if it is not finite.
    pub pde_error: Option<f64>,
    /// The relative RMS residual of the members' mean; none if it is not finite.
    pub pde_error_of_mean: Option<f64>,
    /// The relative RMS residual of the true fields.
    pub data_floor: f64,
    /// The searched guidance of DiffusionPDE.
    pub guidance: Option<Guidance>,
    /// The number of problems without an answer (an input that the solver refuses). No other
    /// measure counts them.
    pub failed: usize,
}

/// The measures of one problem.
pub(super) struct Scored {
    pub score: Score,
    pub member_error: f64,
    pub misfit: f64,
    pub pde_error: Option<f64>,
    pub pde_error_of_mean: Option<f64>,
    pub calls: usize,
    pub seconds: f64,
}

impl Row {
    /// Makes the row from the problems that were answered.
    ///
    /// # Errors
    /// Fails if none was answered.
    pub(super) fn of(key: Key, answers: &[Scored], data_floor: f64) -> Result<Self> {
        let none = || Error::NonFinite(format!("{}: no problem was answered", key.method));
        let calls = answers.last().ok_or_else(none)?.calls;

        let all = |of: &dyn Fn(&Scored) -> Option<f64>| -> Vec<f64> {
            answers.iter().filter_map(of).collect()
        };
        let mean_of = |of: &dyn Fn(&Scored) -> f64| mean_and_sd(&all(&|a| Some(of(a)))).0;
        let (error, error_sd) = mean_and_sd(&all(&|a| Some(a.score.error)));
        let mut seconds = all(&|a| Some(a.seconds));
        seconds.sort_by(f64::total_cmp);

        Ok(Self {
            error,
            error_sd,
            member_error: Some(mean_of(&|a| a.member_error)),
            bayes_limit: None,
            calls,
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
