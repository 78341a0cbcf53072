//! Shared parts of `train` and `distill`: the run folder, interruption, and the model at the end.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use phys_instruct::config::load::{self, Changes};
use phys_instruct::grid::json as grid_json;
use phys_instruct::model::{Kind, Model};
pub use phys_instruct::runs::claim;
use phys_instruct::store::lock::Lock;
use phys_instruct::store::run::Run;
use phys_instruct::training::{self, Pace, Training};
use phys_instruct::{Config, runs};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::output::{line, seconds, show, tell};
use crate::progress::Talk;
use crate::warnings;

/// Returns `out`, or a folder under `runs` named after the config file.
pub fn folder(out: Option<&Path>, config: &Path, role: &str) -> PathBuf {
    let stem = config.file_stem().unwrap_or_default().to_string_lossy();
    out.map_or_else(|| Path::new("runs").join(format!("{stem}-{role}")), Path::to_path_buf)
}

/// Reads a config, and tells of keys that an older version had.
pub fn load(path: &Path, changes: &Changes) -> phys_instruct::Result<Config> {
    let (config, old) = load::load_noting(path, changes)?;
    if !old.is_empty() {
        tell!(
            "note: {}: keys of an older version, read in today's form (`config check` writes it): {}",
            path.display(),
            old.join(", ")
        );
    }
    warnings::warn(&config.warnings());
    Ok(config)
}

/// Begins the run, or resumes one of the same configuration. It says so if it was given more steps.
pub fn open(folder: &Path, config: &Config, kind: Kind) -> Result<Run, Failure> {
    let (run, note) = runs::open(folder, config, kind)?;
    note.iter().for_each(|note| tell!("note: {note}"));
    Ok(run)
}

/// The outcome of a training.
pub struct Trained {
    /// Whether it came to its end, and not to a pause.
    pub ended: bool,
    /// The warnings on the way.
    pub warnings: Vec<String>,
}

/// Trains to the end or to the pause.
pub fn train(
    training: &mut dyn Training,
    run: &Run,
    config: &Config,
    pace: Pace,
    stop: &AtomicBool,
) -> Result<Trained, Failure> {
    let mut talk = Talk::new(training.total());
    let outcome = training::run(training, run, pace, stop, &mut |step, figures| {
        talk.step(step, figures);
    });
    talk.finish();
    outcome?;
    let ended = training.step_count() >= training.total();
    Ok(Trained { ended, warnings: [config.warnings(), talk.warnings].concat() })
}

/// A training that came to its end or to a pause. Its folder stays locked.
pub struct Done {
    run: Run,
    trained: Trained,
    /// The steps done and the steps to do.
    steps: [u64; 2],
    /// The model, which is written; none at a pause.
    model: Option<Model>,
    _lock: Lock,
}

impl Done {
    /// Writes the `model` of a training that has ended; there is none at a pause.
    pub fn new(
        run: Run,
        trained: Trained,
        training: &dyn Training,
        model: Option<Model>,
        lock: Lock,
    ) -> Result<Self, Failure> {
        let steps = [training.step_count(), training.total()];
        let done = Self { run, trained, steps, model, _lock: lock };
        if let Some(model) = &done.model {
            model.save(&done.path())?;
        }
        Ok(done)
    }

    /// The model's file.
    pub fn path(&self) -> PathBuf {
        self.run.folder().join("model.safetensors")
    }

    /// The model; none at a pause.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// Prints the description of the model, or the number of steps at a pause.
    pub fn print(&self, json: bool) -> Outcome {
        match &self.model {
            Some(model) => self.ended(model, json),
            None => self.paused(json),
        }
    }

    fn ended(&self, model: &Model, json: bool) -> Outcome {
        let (path, card) = (self.path(), &model.card);
        let faults = warnings::of_model(card);
        warnings::warn(&faults);
        let warnings = [self.trained.warnings.clone(), faults].concat();

        let value = json!({
            "warnings": warnings, "model": path.to_string_lossy(), "pde": card.pde, "grid": grid_json(card.grid), "kind": card.kind,
            "steps": card.steps, "samples_seen": card.samples_seen, "seconds": card.seconds,
        });
        let lines = [
            line("model", path.display()),
            line("steps", card.steps),
            line("samples seen", card.samples_seen),
            line("time", seconds(card.seconds)),
        ];
        show(json, value, &lines)
    }

    fn paused(&self, json: bool) -> Outcome {
        let [step, total] = self.steps;
        let value = json!({
            "run": self.run.folder().to_string_lossy(), "step": step, "steps": total,
            "warnings": self.trained.warnings,
        });
        let lines =
            [line("run", self.run.folder().display()), line("step", format!("{step} of {total}"))];
        show(json, value, &lines)
    }
}
