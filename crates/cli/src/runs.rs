//! What `train` and `distill` share: the run folder, interruption, the model at the end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use phys_instruct::config::load;
use phys_instruct::model::Model;
use phys_instruct::store::run::Run;
use phys_instruct::training::{self, Training};
use phys_instruct::{Config, Error};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::output::{line, seconds, show};
use crate::progress::Talk;
use crate::warnings;

/// `out`, or a folder under `runs` named after the config file.
pub fn folder(out: Option<&Path>, config: &Path, role: &str) -> PathBuf {
    let stem = config.file_stem().unwrap_or_default().to_string_lossy();
    out.map_or_else(|| Path::new("runs").join(format!("{stem}-{role}")), Path::to_path_buf)
}

/// Refuses a folder that holds a run of another configuration.
pub fn check(folder: &Path, config: &Config) -> Outcome {
    if !exists(folder) {
        return Ok(());
    }
    let (_, text) = Run::open(folder)?;
    let differences = load::differences(config, &Config::from_toml(&text)?);
    if differences.is_empty() {
        return Ok(());
    }
    let list = differences.join("; ");
    Err(Failure::Usage(format!(
        "{} holds a run of another config: {list} there; choose another --out",
        folder.display()
    )))
}

/// Begins the run, or goes on with one of the same configuration.
pub fn open(folder: &Path, config: &Config) -> Result<Run, Failure> {
    check(folder, config)?;
    Ok(if exists(folder) {
        Run::open(folder)?.0
    } else {
        Run::create(folder, &load::to_toml(config)?)?
    })
}

fn exists(folder: &Path) -> bool {
    folder.join("config.toml").exists()
}

/// Trains to the end and true, or to step `until` and false.
pub fn train(
    training: &mut dyn Training,
    run: &Run,
    minutes: f64,
    until: Option<u64>,
    stop: &AtomicBool,
) -> Result<bool, Failure> {
    let mut talk = Talk::new(training.total());
    let pause = AtomicBool::new(false);
    let outcome = training::run(training, run, minutes, stop, &mut |step, figures| {
        talk.step(step, figures);
        if until.is_some_and(|until| step >= until) && !stop.swap(true, Ordering::Relaxed) {
            pause.store(true, Ordering::Relaxed);
        }
    });
    talk.finish();
    match outcome {
        Err(Error::Interrupted) if pause.load(Ordering::Relaxed) => {
            Ok(training.step_count() >= training.total())
        }
        other => other.map(|()| true).map_err(Failure::from),
    }
}

/// Writes the model of a finished run and says so.
pub fn finish(run: &Run, model: &Model, json: bool) -> Outcome {
    let path = run.folder().join("model.safetensors");
    model.save(&path)?;
    let card = &model.card;
    let warnings = warnings::of_model(card);
    warnings.iter().for_each(|text| eprintln!("warning: {text}"));
    let value = json!({
        "warnings": warnings, "model": path, "pde": card.pde, "grid": card.grid, "kind": card.kind,
        "steps": card.steps, "samples_seen": card.samples_seen, "seconds": card.seconds,
    });
    let lines = [
        line("model", path.display()),
        line("steps", card.steps),
        line("samples seen", card.samples_seen),
        line("time", seconds(card.seconds)),
    ];
    show(json, &value, &lines)
}

/// Says where a paused run stands.
pub fn paused(run: &Run, training: &dyn Training, json: bool) -> Outcome {
    let (step, total) = (training.step_count(), training.total());
    let value = json!({ "run": run.folder(), "step": step, "steps": total });
    let lines = [line("run", run.folder().display()), line("step", format!("{step} of {total}"))];
    show(json, &value, &lines)
}
