//! The loop that every training shares: steps, metrics, checkpoints by time, interruption and
//! resumption.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use phys_instruct_kernels::pool::in_pool;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::config::load::{of_any_version, to_toml};
use crate::config::{Config, PhaseConfig};
use crate::model::Kind;
use crate::store::dataset::sha256;
use crate::store::run::Run;
use crate::store::weights::{self, Array, Bundle};
use crate::team::Team;
use crate::{Error, Result, Samples, device};

/// The number of consecutive non-finite steps after which a training is given up.
const PATIENCE: usize = 50;

/// The number of steps after which a training is given up if more than half of them were not
/// finite.
const ENOUGH: u64 = 100;

/// Something that is trained step by step; step n depends on the state and on n alone.
pub trait Training: Send {
    /// The processes that train together.
    fn team(&self) -> &Team;

    /// The sums of what is trained, and on what.
    fn origin(&self) -> &Origin;

    /// The number of steps done.
    fn step_count(&self) -> u64;
    /// The number of steps to do.
    fn total(&self) -> u64;
    /// The number of steps that were skipped because they were not finite.
    fn skipped(&self) -> u64;
    /// Takes one step. Returns its figures if they are due, and whether it was skipped as
    /// non-finite.
    ///
    /// # Errors
    /// Fails if the step's own work does.
    fn step(&mut self) -> Result<StepRecord>;
    /// Returns the state that is needed to resume.
    ///
    /// # Errors
    /// Fails for a state that cannot be described.
    fn checkpoint(&self) -> Result<Bundle>;
    /// Restores a checkpoint. After an error another one can be tried.
    ///
    /// # Errors
    /// Fails for a checkpoint that does not fit this training.
    fn restore(&mut self, checkpoint: &Bundle) -> Result<()>;
    /// Adds wall-clock time to that spent, for the model's description.
    fn add_seconds(&mut self, seconds: f64);
}

/// The figures that a step leaves, and whether it counts.
#[derive(Debug, Default)]
pub struct StepRecord {
    /// The figures for the metrics file; empty if none are due.
    pub metrics: Map<String, Value>,
    /// Tells whether the step was not finite and changed nothing.
    pub skipped: bool,
}

/// The time between checkpoints, and the step at which to pause.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The number of minutes between two checkpoints.
    pub checkpoint_minutes: f64,
    /// The number of steps at which to pause; None trains to the end.
    pub until: Option<u64>,
}

/// Trains to the end, to the pause, or until `stop` is set. Resumes from the run's checkpoint if
/// there is one. `progress` receives every step with its figures, and a `warning` if the newest
/// checkpoint could not be restored.
///
/// Among several processes that train together, the leading one has the run's folder and the
/// others none; they take the state of the leading one.
///
/// # Errors
/// Fails with [`Error::Interrupted`] after the checkpoint was written, with [`Error::Diverged`] if
/// too many steps were not finite, and if reading or writing fails. Fails with [`Error::Config`]
/// in all processes where one trains something else.
pub fn run(
    training: &mut dyn Training,
    run: Option<&Run>,
    pace: Pace,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64, &Map<String, Value>),
) -> Result<()> {
    let team = training.team().clone();
    let end = pace.until.map_or(training.total(), |until| until.min(training.total()));
    let what = (training.origin(), [end, training.total()], device::vector_unit()?);
    team.agree("config, data or processor", &serde_json::to_string(&what).unwrap_or_default())?;

    let resumed = run.map(|run| resume(training, run, progress)).transpose()?.unwrap_or(false);
    share_state(training, &team, resumed)?;

    let every = Duration::from_secs_f64(60.0 * pace.checkpoint_minutes.max(0.01));
    let saved_step = resumed.then(|| training.step_count());
    let outcome = take_steps(training, run, (every, end), saved_step, stop, progress);
    // Nobody leaves while the leading process still writes: an engine ends all with the first.
    if matches!(outcome, Ok(()) | Err(Error::Interrupted | Error::Diverged(_))) {
        team.meet()?;
    }
    outcome
}

/// Takes all steps before `end`, with a checkpoint after each time `every`. The run's checkpoint is
/// of step `saved_step` if it has one.
fn take_steps(
    training: &mut dyn Training,
    run: Option<&Run>,
    (every, end): (Duration, u64),
    mut saved_step: Option<u64>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64, &Map<String, Value>),
) -> Result<()> {
    let team = training.team().clone();
    let (mut saved, mut lap) = (Instant::now(), Instant::now());
    let mut skipped_in_a_row = 0;
    while training.step_count() < end {
        let mut record = in_pool(|| training.step())?;
        // A figure that does not exist or is no number is left out.
        record.metrics.retain(|_, figure| !figure.is_null());
        training.add_seconds(lap.elapsed().as_secs_f64());
        lap = Instant::now();

        skipped_in_a_row = if record.skipped { skipped_in_a_row + 1 } else { 0 };
        if skipped_in_a_row >= PATIENCE {
            return Err(given_up(training, run, &format!("{PATIENCE} steps in a row")));
        }

        progress(training.step_count(), &record.metrics);
        if let Some(run) = run.filter(|_| !record.metrics.is_empty()) {
            run.append_metrics(&Value::Object(record.metrics))?;
        }

        let stopping = team.any(stop.load(Ordering::Relaxed))?;
        if let Some(run) = run.filter(|_| stopping || saved.elapsed() >= every) {
            run.write_checkpoint(&training.checkpoint()?)?;
            (saved, saved_step) = (Instant::now(), Some(training.step_count()));
        }
        if stopping {
            return Err(Error::Interrupted);
        }
        if training.step_count() >= ENOUGH {
            check_skipped(training, run)?;
        }
    }

    // The first steps of a run that only pauses say nothing yet.
    if training.step_count() >= training.total() {
        check_skipped(training, run)?;
    }
    match run {
        // A run that took no step has its checkpoint; writing it again would lose the one before.
        Some(run) if saved_step != Some(training.step_count()) => {
            run.write_checkpoint(&training.checkpoint()?)
        }
        _ => Ok(()),
    }
}

/// Restores the run's checkpoint if there is one, and tells whether there was.
fn resume(
    training: &mut dyn Training,
    run: &Run,
    progress: &mut dyn FnMut(u64, &Map<String, Value>),
) -> Result<bool> {
    let restored = run.restore(&mut |checkpoint| {
        training.restore(checkpoint)?;
        let (step, total) = (training.step_count(), training.total());
        if step <= total {
            return Ok(());
        }
        Err(Error::Shape(format!("checkpoint: step {step} of a training of {total}")))
    })?;

    let (resumed, damaged) = (restored.is_some(), run.cut_metrics(training.step_count())?);
    for warning in restored.and_then(|restored| restored.warning).into_iter().chain(damaged) {
        let note = Map::from_iter([("warning".to_owned(), Value::String(warning))]);
        progress(training.step_count(), &note);
    }
    Ok(resumed)
}

/// Gives the state of the leading process to all others, if it has `resumed` one.
fn share_state(training: &mut dyn Training, team: &Team, resumed: bool) -> Result<()> {
    if team.count() == 1 || !team.any(resumed)? {
        return Ok(());
    }
    let own = match team.leads() {
        true => weights::to_vec(&training.checkpoint()?)?,
        false => Vec::new(),
    };
    let bytes = team.from_leader(own)?;
    if team.leads() {
        return Ok(());
    }
    training.restore(&weights::from_slice(Path::new("the checkpoint of process 0"), &bytes)?)
}

/// Gives up a training if most of its steps were skipped.
fn check_skipped(training: &dyn Training, run: Option<&Run>) -> Result<()> {
    let (skipped, steps) = (training.skipped(), training.step_count());
    if 2 * skipped <= steps {
        return Ok(());
    }
    Err(given_up(training, run, &format!("{skipped} of {steps} steps")))
}

/// The error of a training in which `what` was not finite. A skipped step changes no weight, so
/// that the state after the last good step is saved as a checkpoint if there was such a step.
fn given_up(training: &dyn Training, run: Option<&Run>, what: &str) -> Error {
    let Some(run) = run else {
        return Error::Diverged(format!("{what} were not finite: process 0 says more"));
    };

    let any_good = training.skipped() < training.step_count();
    let written = any_good
        && training.checkpoint().is_ok_and(|checkpoint| run.write_checkpoint(&checkpoint).is_ok());
    let kept = match (written, run.has_checkpoint()) {
        (true, _) => "the weights of the last good step are in its checkpoint",
        (false, true) => "its last checkpoint is kept",
        (false, false) => "it has no checkpoint, and its folder can be used again",
    };
    Error::Diverged(format!(
        "{what} were not finite; try a lower optimizer.learning_rate, a longer warmup, or noise \
         levels of a smaller spread (diffusion.ln_sigma_std), in another --out; {kept}: {}",
        run.folder().display()
    ))
}

/// The number of steps of the last phase of a training that takes any, which can be raised for a
/// finished run; none for a student without phases.
pub fn last_steps(config: &mut Config, kind: Kind) -> Option<&mut usize> {
    match kind {
        Kind::Teacher => Some(&mut config.train.steps),
        Kind::Student => {
            let phases = &mut config.distill.as_mut()?.phases;
            phases.iter_mut().rev().find_map(PhaseConfig::steps_mut)
        }
    }
}

/// Tells whether `ours` is `theirs` with more steps of the last phase.
pub fn has_more_steps(ours: &Config, theirs: &Config, kind: Kind) -> bool {
    let mut grown = theirs.clone();
    let more = last_steps(&mut ours.clone(), kind).map(|steps| *steps);
    match (last_steps(&mut grown, kind), more) {
        (Some(steps), Some(more)) if more > *steps => {
            *steps = more;
            grown == *ours
        }
        _ => false,
    }
}

/// The SHA-256 sums of a training's origin, by name: of its config, its data and the models it
/// uses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Origin(BTreeMap<String, String>);

impl Origin {
    /// Computes the origin of a training of a `kind` of model by `config` on `data`. PDE and seed
    /// are part of the config. The steps of the last phase do not count, so that a run can be given
    /// more.
    ///
    /// # Errors
    /// Fails for a config that cannot be written out.
    pub fn new(config: &Config, kind: Kind, data: &Samples) -> Result<Self> {
        let mut origin = Self(BTreeMap::from([("config".to_owned(), config_sum(config, kind)?)]));
        origin.add_data("data", data);
        Ok(origin)
    }

    /// Adds data that training uses, under `name`.
    pub fn add_data(&mut self, name: &str, data: &Samples) {
        let head = (&data.pde, &data.channels, [data.count, data.height, data.width]);
        let mut hasher = Sha256::new_with_prefix(format!("{head:?}"));
        add_values(&mut hasher, &data.data);
        self.0.insert(name.into(), digits(hasher));
    }

    /// Adds the weights of a model that training uses, under `name`.
    pub fn add_weights(&mut self, name: &str, weights: &BTreeMap<String, Array>) {
        let mut hasher = Sha256::new();
        for (tensor, array) in weights {
            hasher.update(format!("{tensor} {:?}", array.shape));
            add_values(&mut hasher, &array.data);
        }
        self.0.insert(name.into(), digits(hasher));
    }

    /// Compares this origin with the one in the metadata of a checkpoint. An older checkpoint
    /// without an origin is accepted, and a config whose keys were of an older version is compared
    /// in today's form.
    ///
    /// # Errors
    /// Fails with [`Error::Config`] that names the first part that differs.
    pub fn check(&self, metadata: &Value) -> Result<()> {
        let Some(found) = metadata.get("origin") else { return Ok(()) };
        let ours = |name: &str| self.0.get(name).map(String::as_str);
        let differs = |name: &&String| {
            let theirs = found.get(name).and_then(Value::as_str);
            let older = || stored_config_sum(metadata).as_deref() == ours("config");
            theirs != ours(name) && !(*name == "config" && older())
        };
        match self.0.keys().find(differs) {
            None => Ok(()),
            Some(name) => Err(Error::Config(format!(
                "the checkpoint was made from another {name} (its SHA-256 differs); choose \
                 another --out, or bring back what it was made from"
            ))),
        }
    }
}

/// The sum of a config, in which the steps of the last phase do not count.
fn config_sum(config: &Config, kind: Kind) -> Result<String> {
    let mut config = config.clone();
    if let Some(steps) = last_steps(&mut config, kind) {
        *steps = 0;
    }
    Ok(sha256(to_toml(&config)?.as_bytes()))
}

/// The sum of the config in a checkpoint's metadata, whatever version wrote it; none where it
/// cannot be read.
fn stored_config_sum(metadata: &Value) -> Option<String> {
    let kind = match metadata.get("checkpoint")?.as_str()? {
        "teacher" => Kind::Teacher,
        _ => Kind::Student,
    };
    let text = toml::to_string(&without_nulls(metadata.get("config")?)).ok()?;
    config_sum(&of_any_version(&text).ok()?, kind).ok()
}

/// A value without what is null in it, which TOML has no word for.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(all) => {
            let kept = all.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Array(all) => all.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

fn add_values(hasher: &mut Sha256, values: &[f32]) {
    // The values are hashed some thousand at a time, which costs little memory.
    for part in values.chunks(4096) {
        let bytes: Vec<u8> = part.iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
}

fn digits(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The weight of the old average at `step` for a half-life in steps. Young averages forget faster,
/// so that the initial weights are soon forgotten (Karras et al. 2022, appendix F).
pub fn ema_decay(step: u64, half_life: f64) -> f64 {
    let half_life = half_life.min(0.1 * (step + 1) as f64);
    0.5f64.powf(1.0 / half_life.max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_forgets_half_after_its_half_life() {
        assert!((ema_decay(100_000, 300.0).powi(300) - 0.5).abs() < 1e-9);
        assert!(ema_decay(0, 300.0) < 1e-2);
    }
}
