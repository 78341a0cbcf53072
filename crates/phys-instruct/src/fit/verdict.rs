//! The judgement of a student.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::PROBLEMS;
use crate::condition::digits::short;
use crate::condition::{Options, Solver, Task, TrialScores, Trials};
use crate::config::Config;
use crate::eval::Report;
use crate::figures::Figures;
use crate::model::{Card, Model};
use crate::{Error, Result, Samples};

/// The sliced Wasserstein distance over its floor up to which samples count as distributed like the
/// data.
const NEAR_THE_FLOOR: f64 = 1.5;
/// The shares within the 90 % interval that pass.
const COVERED: std::ops::RangeInclusive<f64> = 0.85..=0.95;
/// The largest chi that passes: the answers follow the observations.
const LARGEST_CHI: f64 = 2.0;
/// Answers that err by more than this part of what the mean of the pairs errs by say little.
const LARGEST_ERROR: f64 = 0.9;
/// The fewest test problems that say anything of coverage.
const FEWEST_PROBLEMS: usize = 20;

/// The judgement of a student: whether it may be trusted, and why not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// True if nothing speaks against it.
    pub trusted: bool,
    /// The reasons against it, in sentences.
    pub reasons: Vec<String>,
}

/// The figures of a finished student, and the judgement by them.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// The figures of its samples.
    pub figures: Figures,
    /// The scores of its answers to test problems.
    #[serde(rename = "answers")]
    pub scores: TrialScores,
    /// The judgement.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// The test problems of a judgement: the first of the `held_out` pairs of `config`, at most
/// [`PROBLEMS`]. Each is seen at as many random `points`, with errors of `noise` standard
/// deviations of their field.
///
/// # Errors
/// [`Error::Config`] for more points than the task may observe.
pub fn trials(
    config: &Config,
    held_out: usize,
    task: Task,
    points: usize,
    noise: f64,
) -> Result<Trials> {
    let most = task.observed(config.pde()?.as_ref(), config.grid).len();
    if points > most {
        let reason = format!("{points} points of each test problem asked for: there are {most}");
        return Err(Error::Config(reason));
    }
    let problems = PROBLEMS.min(held_out);
    Ok(Trials { task, problems, points, noise, options: Options::default() })
}

/// Judges a student by the `figures` of its samples against `held_out` data, and by its answers to
/// `trials` of those data. `progress` receives the number of finished problems, and `stop` is
/// tested between them.
///
/// # Errors
/// Fails for figures without a report, and as [`Solver::score_on`] does.
pub fn judge(
    model: &Model,
    figures: Figures,
    held_out: &Samples,
    trials: &Trials,
    progress: &mut dyn FnMut(usize),
    stop: &AtomicBool,
) -> Result<Judged> {
    let unmeasured = || Error::Request("the student has no figures to be judged by".into());
    let report = figures.report.as_ref().ok_or_else(unmeasured)?;
    let scores = Solver::new(model)?.score_on(held_out, trials, progress, stop)?;
    let verdict = verdict(&model.card, report, &scores);
    Ok(Judged { figures, scores, verdict })
}

/// Judges a student by its samples against held-out data and by its answers to test problems.
fn verdict(card: &Card, report: &Report, scores: &TrialScores) -> Verdict {
    let mut reasons: Vec<String> = card.collapse().into_iter().collect();

    let law = report.distribution.as_ref();
    match law.map(|law| [law.sliced_wasserstein, law.sliced_wasserstein_floor]) {
        Some([distance, floor]) if distance > NEAR_THE_FLOOR * floor => reasons.push(format!(
            "its samples are not distributed like the data: their sliced Wasserstein distance is \
             {distance:.3}, that of the data among themselves {floor:.3}"
        )),
        Some(_) => {}
        None => {
            reasons.push("a single sample does not tell how its samples are distributed".into())
        }
    }

    if scores.problems < FEWEST_PROBLEMS {
        reasons.push(format!(
            "{} test problems are too few to tell: {FEWEST_PROBLEMS} or more expected",
            scores.problems
        ));
    }
    if let Some(covered) = scores.coverage90.filter(|covered| !COVERED.contains(covered)) {
        let sure = if covered < *COVERED.start() { "too sure" } else { "too unsure" };
        reasons.push(format!(
            "its answers are {sure}: {:.0} % of the truth lies within the 90 % interval",
            100.0 * covered
        ));
    }
    if scores.chi > LARGEST_CHI {
        reasons.push(format!(
            "its answers do not follow the observations: chi is {:.2}, 1 expected",
            scores.chi
        ));
    }
    let unobserved = scores.unobserved_error;
    if scores.error > LARGEST_ERROR * unobserved {
        reasons.push(format!(
            "so many observations say little: the answers err by {} of the field, and its mean over \
             the pairs, without any observation, by {}",
            short(scores.error),
            short(unobserved)
        ));
    }
    Verdict { trusted: reasons.is_empty(), reasons }
}
