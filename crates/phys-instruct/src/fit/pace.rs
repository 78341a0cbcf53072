//! Seconds a step, measured, and the steps that there is time for.

use std::time::Instant;

use burn::tensor::Device;
use phys_instruct_kernels::pool::in_pool;
use serde_json::Map;

use crate::config::{Config, PhaseConfig};
use crate::distill::monitor::Monitor;
use crate::distill::train::StudentTraining;
use crate::sampling::student_samples;
use crate::teacher::TeacherTraining;
use crate::training::Training;
use crate::{Error, Result, Samples, problem};

/// The steps of a phase: the first prepares, the others are timed. The last of all is not taken,
/// since a training's last step does more.
const MEASURED: usize = 6;
/// The samples of which the seconds for one network call are measured.
const DRAWN: usize = 64;
/// Samples behind the calibration of one network call.
const CALIBRATED: usize = 2048;
/// Samples at each number of calls by which a finished student is looked at.
const LOOKED_AT: usize = 256;
/// Network calls behind a prepared solver. Its covariance takes as long as they do.
const PREPARED: usize = 4096;
/// Network calls behind an answer to a test problem: those of 16 members, 40 each, a backward pass
/// counted as a call.
const ANSWER: usize = 16 * 40;
/// The fewest steps of a phase.
const FEWEST_STEPS: usize = 10;
/// The least share of the time that must be left for steps.
const LEAST_SHARE: f64 = 0.2;
/// The most passes of a teacher over its training data; more would learn the pairs by heart.
const MOST_PASSES: usize = 300;

/// The time that the parts of a fit take on this machine, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// One step of the teacher.
    pub teacher: f64,
    /// One step of each phase; none for a phase that takes no steps.
    pub phases: Vec<Option<f64>>,
    /// One network call for one sample.
    pub call: f64,
}

/// The time for a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Seconds for both trainings and the evaluation.
    pub seconds: f64,
    /// Test problems of the evaluation.
    pub problems: usize,
}

impl Pace {
    /// Takes a few steps of both trainings of `config`. Nothing of them is kept.
    ///
    /// # Errors
    /// Fails for a config without a student, for data that do not fit it, and as the trainings do.
    pub fn measure(
        config: &Config,
        data: &Samples,
        held_out: &Samples,
        device: &Device,
    ) -> Result<Self> {
        let pde = config.pde()?;
        let mut teacher = TeacherTraining::new(config, pde.as_ref(), data.clone(), None, device)?;
        let timed = |training: &mut dyn Training| -> Result<f64> {
            let start = Instant::now();
            in_pool(|| training.step())?;
            Ok(start.elapsed().as_secs_f64())
        };
        let times = (0..MEASURED).map(|_| timed(&mut teacher)).collect::<Result<Vec<f64>>>()?;
        let of_teacher = mean(&times[1..]);

        // Calibrations take no steps, and the pairs of a warm start are counted in calls.
        let mut short = config.clone();
        let distill = short.distill.as_mut().ok_or_else(|| Error::Config("no student".into()))?;
        distill.phases.retain(|phase| phase.steps().is_some());
        for phase in &mut distill.phases {
            phase.steps_mut().into_iter().for_each(|steps| *steps = MEASURED);
            if let PhaseConfig::WarmStart(warm) = phase {
                warm.batches = 1;
            }
        }
        distill.evaluate_every = 0;
        let count = distill.phases.len();

        let residual = problem::equation(pde.as_ref(), config.grid, device)?;
        let silent: Monitor = Box::new(|_| Ok(Map::new()));
        let model = teacher.model();
        let mut student = StudentTraining::new(&short, model, residual, silent, held_out, device)?
            .with_pairs(data.clone())?;
        let steps = (MEASURED * count).saturating_sub(1);
        let times = (0..steps).map(|_| timed(&mut student)).collect::<Result<Vec<f64>>>()?;
        let mut of_phases = times.chunks(MEASURED).map(|times| mean(&times[1..]));

        let model = student.model();
        student_samples(&model, DRAWN, 1, 0, &mut |_| ())?;
        let start = Instant::now();
        student_samples(&model, DRAWN, 1, 0, &mut |_| ())?;
        let call = start.elapsed().as_secs_f64() / DRAWN as f64;

        let phases = config.student()?.phases.iter();
        let phases = phases.map(|phase| phase.steps().and_then(|_| of_phases.next())).collect();
        Ok(Self { teacher: of_teacher, phases, call })
    }

    /// The seconds of what does not depend on the number of steps.
    fn fixed(&self, config: &Config, problems: usize) -> Result<f64> {
        let distill = config.student()?;
        let levels = distill.levels.len();
        let once = |phase: &PhaseConfig| match phase {
            PhaseConfig::Calibrate(_) => CALIBRATED * levels,
            PhaseConfig::WarmStart(warm) => warm.calls * warm.batches * distill.batch,
            _ => 0,
        };
        let phases: usize = distill.phases.iter().map(once).sum();
        let looked_at = LOOKED_AT * levels * (levels + 1) / 2;
        let answers = if problems > 0 { PREPARED + problems * ANSWER } else { 0 };
        Ok((phases + looked_at + answers) as f64 * self.call)
    }

    /// Changes the steps of both trainings by one factor so that the work takes its time. `pairs`
    /// is the number of training samples. Returns the numbers of steps in words.
    ///
    /// # Errors
    /// [`Error::Config`] if the time is too short for the work without any step.
    pub fn fill(&self, config: &mut Config, work: Work, pairs: usize) -> Result<Vec<String>> {
        let fixed = self.fixed(config, work.problems)?;
        let left = left_for_steps(work.seconds, fixed, "calibration and evaluation alone take")?;

        let asked = config.train.steps as f64 * self.teacher + self.of_phases(config)?;
        let factor = left / asked;
        let mut said = vec![self.scale_teacher(config, factor, pairs)];
        said.extend(self.scale_phases(config, factor));
        said.push(format!("calibration and evaluation: about {fixed:.0} s"));
        Ok(said)
    }

    /// Changes the steps of the teacher so that they take so many seconds. `pairs` is the number of
    /// training samples. Returns what was done, in words.
    pub fn fill_teacher(&self, config: &mut Config, seconds: f64, pairs: usize) -> String {
        let factor = seconds / (config.train.steps as f64 * self.teacher);
        self.scale_teacher(config, factor, pairs)
    }

    /// Changes the steps of the student's phases so that distillation takes so many seconds, its
    /// calibration among them. Returns what was done, in words.
    ///
    /// # Errors
    /// [`Error::Config`] if the time is too short for the work without any step.
    pub fn fill_student(&self, config: &mut Config, seconds: f64) -> Result<Vec<String>> {
        let fixed = self.fixed(config, 0)?;
        let left = left_for_steps(seconds, fixed, "calibration alone takes")?;
        let factor = left / self.of_phases(config)?;
        let mut said = self.scale_phases(config, factor);
        said.push(format!("calibration: about {fixed:.0} s"));
        Ok(said)
    }

    /// The seconds of the student's phases with their present steps.
    fn of_phases(&self, config: &Config) -> Result<f64> {
        let each = config.student()?.phases.iter().zip(&self.phases);
        Ok(each.filter_map(|(phase, pace)| Some(phase.steps()? as f64 * (*pace)?)).sum())
    }

    fn scale_teacher(&self, config: &mut Config, factor: f64, pairs: usize) -> String {
        let most = (MOST_PASSES * pairs).div_ceil(config.train.batch).max(FEWEST_STEPS);
        config.train.steps = scaled(config.train.steps, factor).min(most);
        config.train.warmup = config.train.warmup.min(config.train.steps / 4);
        format!(
            "teacher: {} steps at {:.3} s each{}",
            config.train.steps,
            self.teacher,
            if config.train.steps == most { ", which is the most for so few pairs" } else { "" }
        )
    }

    fn scale_phases(&self, config: &mut Config, factor: f64) -> Vec<String> {
        let mut said = Vec::new();
        let phases = config.distill.iter_mut().flat_map(|distill| &mut distill.phases);
        for (phase, pace) in phases.zip(&self.phases) {
            let kind = phase.kind();
            let (Some(steps), Some(pace)) = (phase.steps_mut(), pace) else { continue };
            *steps = scaled(*steps, factor);
            said.push(format!("{kind}: {steps} steps at {pace:.3} s each"));
        }
        said
    }
}

/// The seconds that are left for steps beside the `fixed` ones, whose work `takes` names.
fn left_for_steps(seconds: f64, fixed: f64, takes: &str) -> Result<f64> {
    let left = seconds - fixed;
    if left >= LEAST_SHARE * seconds {
        return Ok(left);
    }
    let least = fixed / (1.0 - LEAST_SHARE) / 60.0;
    Err(Error::Config(format!(
        "{takes} about {fixed:.0} s on this machine, so that at least {least:.1} minutes are needed \
         from here, where {:.1} are left",
        seconds.max(0.0) / 60.0
    )))
}

/// So many steps times a factor, and no fewer than there have to be.
fn scaled(steps: usize, factor: f64) -> usize {
    ((steps as f64 * factor).round() as usize).max(FEWEST_STEPS)
}

fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn config() -> Config {
        let text = "pde = 'poisson'\ngrid = 16\n[train]\nsteps = 1000\n\
            [[distill.phase]]\nkind = 'matching'\nsteps = 100\n[[distill.phase]]\nkind = 'calibrate'";
        Config::from_toml(text).unwrap()
    }

    const PACE: Pace = Pace { teacher: 0.1, phases: Vec::new(), call: 1e-3 };

    fn steps(seconds: f64, pairs: usize) -> Result<[usize; 2]> {
        let pace = Pace { phases: vec![Some(1.0), None], ..PACE };
        let mut config = config();
        pace.fill(&mut config, Work { seconds, problems: 50 }, pairs)?;
        Ok([config.train.steps, config.student()?.phases[0].steps().unwrap()])
    }

    #[test]
    fn both_trainings_fill_the_time_that_is_left() {
        let pace = Pace { phases: vec![Some(1.0), None], ..PACE };
        let fixed = pace.fixed(&config(), 50).unwrap();
        assert!((10.0..100.0).contains(&fixed), "{fixed}");
        assert_eq!(steps(fixed + 100.0, 10_000).unwrap(), [500, 50]);
        assert_eq!(steps(fixed + 200.0, 10_000).unwrap(), [1000, 100]);
    }

    #[test]
    fn few_pairs_bound_the_teacher_and_no_time_is_refused() {
        assert_eq!(steps(1e6, 32).unwrap()[0], 300);
        let message = steps(10.0, 10_000).unwrap_err().to_string();
        assert!(message.contains("minutes"), "{message}");
    }
}
