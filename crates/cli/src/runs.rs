//! Shared parts of `train` and `distill`: the run folder, interruption, and the model at the end.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use phys_instruct::config::load::{self, Changes};
use phys_instruct::grid::json as grid_json;
use phys_instruct::model::{Kind, Model};
use phys_instruct::store::lock::Lock;
use phys_instruct::store::run::Run;
use phys_instruct::team::Team;
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

/// The folder of a run. Among processes that train together, the leading one alone has it, and
/// writes; the others have none.
pub struct Place {
    folder: PathBuf,
    run: Option<Run>,
    /// The lock of the folder, which lasts as long as the place.
    lock: Option<Lock>,
}

impl Place {
    /// Locks the folder against other trainings before any work is done, and tells whether the run
    /// there begins or goes on.
    ///
    /// # Errors
    /// Fails as [`runs::claim`] does.
    pub fn claim(
        folder: &Path,
        config: &Config,
        kind: Kind,
        team: &Team,
    ) -> phys_instruct::Result<Self> {
        let lock = team.leads().then(|| runs::claim(folder, config, kind)).transpose()?;
        if lock.is_some() {
            let how =
                if Run::exists_in(folder) { "goes on with the run there" } else { "a new run" };
            tell!("{}: {how}", folder.display());
        }
        Ok(Self { folder: folder.into(), run: None, lock })
    }

    /// Begins the run, or resumes one of the same configuration. It says so if it was given more
    /// steps.
    ///
    /// # Errors
    /// Fails as [`runs::open`] does.
    pub fn open(self, config: &Config, kind: Kind) -> phys_instruct::Result<Self> {
        if self.lock.is_none() {
            return Ok(self);
        }
        let (run, note) = runs::open(&self.folder, config, kind)?;
        note.iter().for_each(|note| tell!("note: {note}"));
        Ok(Self { run: Some(run), ..self })
    }

    /// Trains to the end or to the pause.
    ///
    /// # Errors
    /// Fails as [`training::run`] does.
    pub fn train(
        &self,
        training: &mut dyn Training,
        config: &Config,
        pace: Pace,
        stop: &AtomicBool,
    ) -> Result<Trained, Failure> {
        let mut talk = Talk::new(training.total());
        let outcome =
            training::run(training, self.run.as_ref(), pace, stop, &mut |step, figures| {
                talk.step(step, figures);
            });
        talk.finish();
        outcome?;
        let ended = training.step_count() >= training.total();
        Ok(Trained { ended, warnings: [config.warnings(), talk.warnings].concat() })
    }
}

/// The outcome of a training.
pub struct Trained {
    /// Whether it came to its end, and not to a pause.
    pub ended: bool,
    /// The warnings on the way.
    pub warnings: Vec<String>,
}

/// A training that came to its end or to a pause. Its folder stays locked.
pub struct Done {
    place: Place,
    trained: Trained,
    /// The steps done and the steps to do.
    steps: [u64; 2],
    /// The model, which is written; none at a pause.
    model: Option<Model>,
}

impl Done {
    /// Writes the `model` of a training that has ended; there is none at a pause.
    pub fn new(
        place: Place,
        trained: Trained,
        training: &dyn Training,
        model: Option<Model>,
    ) -> Result<Self, Failure> {
        let steps = [training.step_count(), training.total()];
        let done = Self { place, trained, steps, model };
        if let Some(model) = done.model.as_ref().filter(|_| done.leads()) {
            model.save(&done.path())?;
        }
        Ok(done)
    }

    /// The model's file.
    pub fn path(&self) -> PathBuf {
        self.place.folder.join("model.safetensors")
    }

    /// The model; none at a pause.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// Prints the description of the model, or the number of steps at a pause.
    pub fn print(&self, json: bool) -> Outcome {
        match &self.model {
            _ if !self.leads() => Ok(()),
            Some(model) => self.ended(model, json),
            None => self.paused(json),
        }
    }

    /// Tells whether this process writes and talks.
    fn leads(&self) -> bool {
        self.place.run.is_some()
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
            "run": self.place.folder.to_string_lossy(), "step": step, "steps": total,
            "warnings": self.trained.warnings,
        });
        let lines =
            [line("run", self.place.folder.display()), line("step", format!("{step} of {total}"))];
        show(json, value, &lines)
    }
}
