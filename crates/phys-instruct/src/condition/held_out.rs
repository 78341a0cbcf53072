//! Test problems from held-out samples: the score of a solver where the truth is known.
//!
//! Each problem hides one sample and shows some of its values, with errors. A PDE that is known by
//! data alone has no other test of its answers.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::posterior::TwoValuedEntries;
use super::{Observations, Options, Posterior, Question, Solver, Task};
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
    /// The standard deviation of their errors, in standard deviations of the field; none where
    /// every value has its own.
    pub noise: Option<f64>,
    /// The relative error of the posterior's mean ([`Score::error`]).
    ///
    /// [`Score::error`]: super::posterior::Score::error
    pub error: f64,
    /// The standard deviation of that error over the problems.
    pub error_sd: f64,
    /// The error without any observation: that of the mean of the model's data. Answers that are no
    /// better have learnt nothing from the observations.
    pub unobserved_error: f64,
    /// The share of the entries asked for within the 90 % interval; none for a single member.
    pub coverage90: Option<f64>,
    /// The continuous ranked probability score.
    pub crps: f64,
    /// The chi of the posterior's mean at the observations.
    pub chi: f64,
    /// The number of problems with a warning.
    pub warned: usize,
    /// The number of truths that are among the training pairs that the model keeps. It keeps some,
    /// so that one tells that others may be too.
    pub trained_on: usize,
    /// Seconds for one answer.
    pub seconds: f64,
}

/// The score of one problem.
struct Trial {
    error: f64,
    unobserved_error: f64,
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
    /// another grid than the model's, or of values that are not finite. Fails as
    /// [`Solver::answer`] does, and with [`Error::Interrupted`].
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
        let allowed = trials.task.observed(pde.as_ref(), self.model().card.grid);
        let Trials { task, points, noise, options, .. } = *trials;
        let question = |i| {
            let seen = Observations::draw(held_out, i, &allowed, points, noise, options.seed)?;
            Ok(Question { options, ..Question::new(task, seen) })
        };
        let scores = self.score_each(&held_out.slice(0..asked), &question, progress, stop)?;
        Ok(TrialScores { noise: Some(noise), ..scores })
    }

    /// Asks a `question` anew for each of the `truths`, and scores the answers. The observations
    /// are at the places of the question's, with errors of the sizes stated there.
    ///
    /// # Errors
    /// Fails as [`Solver::score_on`] does.
    pub fn check(
        &self,
        question: &Question,
        truths: &Samples,
        progress: &mut dyn FnMut(usize),
        stop: &AtomicBool,
    ) -> Result<TrialScores> {
        let seed = question.options.seed;
        let asked = |i| {
            let observations = question.observations.seen_in(truths, i, seed);
            Ok(Question { observations, noise: None, ..question.clone() })
        };
        self.score_each(truths, &asked, progress, stop)
    }

    /// Answers and scores a question for each of the `truths`.
    fn score_each(
        &self,
        truths: &Samples,
        question: &dyn Fn(usize) -> Result<Question>,
        progress: &mut dyn FnMut(usize),
        stop: &AtomicBool,
    ) -> Result<TrialScores> {
        if let Some(words) = self.another(&truths.channels, truths.grid()) {
            return Err(Error::Request(format!("the test problems' samples are {words}")));
        }
        if let Some(i) = truths.first_not_finite() {
            return Err(Error::NonFinite(format!("sample {i} of the test problems")));
        }
        self.team.agree("number of test problems", &truths.count.to_string())?;

        let pde = self.model().card.pde()?;
        let two_valued = TwoValuedEntries::of(truths, pde.as_ref());

        let mean = Posterior::unobserved(self.model())?;
        let start = std::time::Instant::now();
        let mut points = 0;
        let mut all = Vec::with_capacity(truths.count);
        for i in 0..truths.count {
            // One process that is stopped stops all.
            if self.team.any(stop.load(Ordering::Relaxed))? {
                return Err(Error::Interrupted);
            }

            let question = question(i)?;
            points = question.observations.points().len();
            let target = question.task.target(pde.as_ref(), self.model().card.grid);
            let answer = self.answer(question)?;
            let score = answer.posterior.score(truths.sample(i), &target, two_valued.as_ref());
            let unobserved = mean.score(truths.sample(i), &target, two_valued.as_ref());
            all.push(Trial {
                error: score.error,
                unobserved_error: unobserved.error,
                coverage90: score.coverage90,
                crps: score.crps,
                chi: answer.explained.chi,
                warned: !answer.warnings.is_empty(),
            });
            progress(i + 1);
        }
        let scores = means(points, &all, start.elapsed().as_secs_f64());
        Ok(TrialScores { trained_on: self.trained_on(truths), ..scores })
    }
}

impl TrialScores {
    /// The fault of test problems that the model was trained on; none if it keeps none of them.
    pub fn fault(&self) -> Option<String> {
        let Self { trained_on, problems, .. } = self;
        (*trained_on > 0).then(|| {
            format!(
                "at least {trained_on} of {problems} test problems are pairs that the model was \
                 trained on, so that the scores flatter it: choose others (`fit` holds out the last \
                 of its pairs)"
            )
        })
    }
}

impl Solver {
    /// The number of `samples` that are among the training pairs that the model keeps.
    fn trained_on(&self, samples: &Samples) -> usize {
        let examples = &self.model().statistics.examples;
        let is_kept = |i: &usize| {
            examples.chunks_exact(samples.sample_len()).any(|own| own == samples.sample(*i))
        };
        (0..samples.count).filter(is_kept).count()
    }
}

fn means(points: usize, all: &[Trial], seconds: f64) -> TrialScores {
    let n = all.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Trial) -> f64| all.iter().map(of).sum::<f64>() / n;
    let error = mean(&|t| t.error);
    let covered: Option<Vec<f64>> = all.iter().map(|t| t.coverage90).collect();

    TrialScores {
        problems: all.len(),
        points,
        noise: None,
        error,
        error_sd: mean(&|t| (t.error - error).powi(2)).sqrt(),
        unobserved_error: mean(&|t| t.unobserved_error),
        coverage90: covered.map(|covered| covered.iter().sum::<f64>() / n),
        crps: mean(&|t| t.crps),
        chi: mean(&|t| t.chi),
        warned: all.iter().filter(|t| t.warned).count(),
        trained_on: 0,
        seconds: seconds / n,
    }
}
