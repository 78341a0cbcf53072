//! The loop that every training shares: steps, metrics, checkpoints by time, interruption,
//! resumption.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use phys_instruct_kernels::pool::in_pool;
use serde_json::{Map, Value};

use crate::store::run::Run;
use crate::store::weights::Bundle;
use crate::{Error, Result};

/// Consecutive non-finite steps after which a training is given up.
const PATIENCE: usize = 50;

/// Something that is trained step by step; step n depends on the state and on n alone.
pub trait Training: Send {
    /// Steps done.
    fn step_count(&self) -> u64;
    /// Steps to do.
    fn total(&self) -> u64;
    /// One step; its figures where they are due, and whether it was skipped as non-finite.
    ///
    /// # Errors
    /// What the step's own work answers.
    fn step(&mut self) -> Result<Outcome>;
    /// Everything needed to go on.
    ///
    /// # Errors
    /// State that cannot be described.
    fn checkpoint(&self) -> Result<Bundle>;
    /// Goes back to a checkpoint.
    ///
    /// # Errors
    /// A checkpoint that does not fit this training.
    fn restore(&mut self, checkpoint: &Bundle) -> Result<()>;
    /// Notes wall-clock time spent, for the model's description.
    fn add_seconds(&mut self, seconds: f64);
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Figures for the metrics file; empty where none are due.
    pub metrics: Map<String, Value>,
    /// The step was not finite and changed nothing.
    pub skipped: bool,
}

/// Trains to the end, or until `stop` is set; resumes from the run's checkpoint if there is one.
/// `progress` hears of every step with its figures, and of a `warning` where the newest checkpoint
/// could not be read.
///
/// # Errors
/// [`Error::Interrupted`] after the checkpoint was written, [`Error::Diverged`] when too many
/// steps in a row were not finite, and whatever reading and writing answer.
pub fn run(
    training: &mut dyn Training,
    run: &Run,
    checkpoint_minutes: f64,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64, &Map<String, Value>),
) -> Result<()> {
    if let Some(restored) = run.restore()? {
        training.restore(&restored.bundle)?;
        if let Some(warning) = restored.warning {
            let note = Map::from_iter([("warning".to_owned(), Value::String(warning))]);
            progress(training.step_count(), &note);
        }
    }
    run.cut_metrics(training.step_count())?;
    let every = Duration::from_secs_f64(60.0 * checkpoint_minutes.max(0.01));
    let (mut saved, mut lap) = (Instant::now(), Instant::now());
    let mut skipped_in_a_row = 0;
    while training.step_count() < training.total() {
        let mut outcome = in_pool(|| training.step())?;
        // A figure that there is not, or that is no number, is left out.
        outcome.metrics.retain(|_, figure| !figure.is_null());
        training.add_seconds(lap.elapsed().as_secs_f64());
        lap = Instant::now();
        skipped_in_a_row = if outcome.skipped { skipped_in_a_row + 1 } else { 0 };
        if skipped_in_a_row >= PATIENCE {
            return Err(Error::Diverged(format!("{PATIENCE} steps in a row were not finite")));
        }
        progress(training.step_count(), &outcome.metrics);
        if !outcome.metrics.is_empty() {
            run.append_metrics(&Value::Object(outcome.metrics))?;
        }
        let stopping = stop.load(Ordering::Relaxed);
        if stopping || saved.elapsed() >= every {
            run.write_checkpoint(&training.checkpoint()?)?;
            saved = Instant::now();
        }
        if stopping {
            return Err(Error::Interrupted);
        }
    }
    run.write_checkpoint(&training.checkpoint()?)
}

/// The share of the peak learning rate at `step`: linear warm-up, then cosine decay over the last
/// `decay` of `total` steps.
pub fn learning_rate(step: u64, total: u64, warmup: usize, decay: f64) -> f64 {
    let rise = ((step + 1) as f64 / warmup.max(1) as f64).min(1.0);
    let progress = step as f64 / total.max(1) as f64;
    let into_decay = ((progress - (1.0 - decay)) / decay.max(1e-9)).clamp(0.0, 1.0);
    rise * 0.5 * (1.0 + (std::f64::consts::PI * into_decay).cos())
}

/// Weight of the old average at `step` for a half-life in steps; young averages forget faster, so
/// that the initial weights are soon forgotten (Karras et al. 2022, appendix F).
pub fn ema_decay(step: u64, half_life: f64) -> f64 {
    let half_life = half_life.min(0.1 * (step + 1) as f64);
    0.5f64.powf(1.0 / half_life.max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_holds_and_falls_to_zero() {
        let rate = |step| learning_rate(step, 1000, 100, 0.5);
        assert!(rate(0) < 0.011 && rate(49) < 0.51);
        assert_eq!(rate(300), 1.0);
        assert!((rate(750) - 0.5).abs() < 1e-9);
        assert!(rate(999) < 1e-4);
    }

    #[test]
    fn the_average_forgets_half_after_its_half_life() {
        assert!((ema_decay(100_000, 300.0).powi(300) - 0.5).abs() < 1e-9);
        assert!(ema_decay(0, 300.0) < 1e-2);
    }
}
