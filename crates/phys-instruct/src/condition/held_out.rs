//! Test problems from held-out samples: the score of a solver where the truth is known.
//!
//! Each problem hides one sample and shows some of its values, with errors. A PDE that is known by
//! data alone has no other test of its answers.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::posterior::TwoValuedEntries;
use super::{Observations, Options, Question, Solver, Task};
use crate::{Error, Result, Samples};

/// Test problems.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trials {
    /// The task.
    pub task: Task,
    /// The number of problems, one for each of the first held-out samples.
    pub problems: usize,
    /// The number of values that are seen, at random places.
    pub points: usize,
    /// The standard deviation of their errors, in standard deviations of the field.
    pub noise: f64,
    /// The method, the size of the ensemble, the seed and the effort.
    pub options: Options,
}

/// Means over test problems.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialScores {
    /// The number of problems.
    pub problems: usize,
    /// The number of values that were seen.
    pub points: usize,
    /// The standard deviation of their errors, in standard deviations of the field.
    pub noise: f64,
    /// The relative error of the posterior's mean ([`Score::error`]).
    ///
    /// [`Score::error`]: super::posterior::Score::error
    pub error: f64,
    /// The standard deviation of that error over the problems.
    pub error_sd: f64,
    /// The share of the entries asked for within the 90 % interval; none for a single member.
    pub coverage90: Option<f64>,
    /// The continuous ranked probability score.
    pub crps: f64,
    /// The chi of the posterior's mean at the observations.
    pub chi: f64,
    /// The number of problems with a warning.
    pub warned: usize,
    /// Seconds for one answer.
    pub seconds: f64,
}

/// The score of one problem.
struct Trial {
    error: f64,
    coverage90: Option<f64>,
    crps: f64,
    chi: f64,
    warned: bool,
}

impl Solver {
    /// Answers test problems from `held_out` samples and scores the answers. `progress` receives
    /// the number of finished problems, and `stop` is tested between them.
    ///
    /// # Errors
    /// Fails for no problem or more than there are samples, and for samples of other channels or
    /// another grid than the model's. Fails as [`Solver::answer`] does, and with
    /// [`Error::Interrupted`].
    pub fn score_on(
        &self,
        held_out: &Samples,
        trials: &Trials,
        progress: &mut dyn FnMut(usize),
        stop: &AtomicBool,
    ) -> Result<TrialScores> {
        let (found, asked) = (held_out.count, trials.problems);
        if asked == 0 || asked > found {
            let reason = format!("{asked} test problems of {found} held-out samples asked for");
            return Err(Error::Config(reason));
        }

        let pde = self.model().card.pde()?;
        let grid = self.model().card.grid;
        let [allowed, target] =
            [trials.task.observed(pde.as_ref(), grid), trials.task.target(pde.as_ref(), grid)];
        let two_valued = TwoValuedEntries::of(held_out, pde.as_ref());

        let start = std::time::Instant::now();
        let mut all = Vec::with_capacity(asked);
        for i in 0..asked {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let Trials { points, noise, options, .. } = *trials;
            let seen = Observations::draw(held_out, i, &allowed, points, noise, options.seed)?;
            let answer = self.answer(Question { options, ..Question::new(trials.task, seen) })?;
            let score = answer.posterior.score(held_out.sample(i), &target, two_valued.as_ref());
            all.push(Trial {
                error: score.error,
                coverage90: score.coverage90,
                crps: score.crps,
                chi: answer.explained.chi,
                warned: !answer.warnings.is_empty(),
            });
            progress(i + 1);
        }
        Ok(means(trials, &all, start.elapsed().as_secs_f64()))
    }
}

fn means(trials: &Trials, all: &[Trial], seconds: f64) -> TrialScores {
    let n = all.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Trial) -> f64| all.iter().map(of).sum::<f64>() / n;
    let error = mean(&|t| t.error);
    let covered: Option<Vec<f64>> = all.iter().map(|t| t.coverage90).collect();

    TrialScores {
        problems: all.len(),
        points: trials.points,
        noise: trials.noise,
        error,
        error_sd: mean(&|t| (t.error - error).powi(2)).sqrt(),
        coverage90: covered.map(|covered| covered.iter().sum::<f64>() / n),
        crps: mean(&|t| t.crps),
        chi: mean(&|t| t.chi),
        warned: all.iter().filter(|t| t.warned).count(),
        seconds: seconds / n,
    }
}
