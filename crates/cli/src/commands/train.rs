//! `train`: the EDM teacher.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use phys_instruct::Config;
use phys_instruct::data;
use phys_instruct::device::Device;
use phys_instruct::model::{Kind, Model};
use phys_instruct::store::interrupt;
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::team::Team;
use phys_instruct::training::Pace;

use crate::args::{Global, Overrides};
use crate::checked::checked_data;
use crate::failure::{Failure, Outcome};
use crate::runs::{Done, Place};
use crate::{models, runs, team};

/// Train a teacher: a diffusion model of solved samples
///
/// Checkpoints are written by time and at Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP. The same command goes
/// on from the last one, on the CPU bit for bit as if it had never stopped. RUN holds config.toml
/// (every default written out), metrics.jsonl, checkpoint.safetensors and, at the end,
/// model.safetensors. A run that has ended goes on where it is given more --steps.
///
/// A program built with the feature `mpi` shares every batch out among the processes that `mpirun`
/// starts.
///
/// Example: phys-instruct train configs/poisson-32.toml --set train.steps=8000
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Train {
    /// The config file
    config: PathBuf,
    /// The run folder [default: runs/<config>-teacher]
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Pause after this step; without this flag the same command goes on
    #[arg(long, value_name = "STEP")]
    until: Option<u64>,
    /// Take data that are no solutions of the equation
    #[arg(long)]
    unchecked: bool,
    #[command(flatten)]
    overrides: Overrides,
}

impl Train {
    pub fn run(&self, global: &Global) -> Outcome {
        let team = team::of_process()?;
        let config = runs::load(&self.config, &self.overrides.changes("train")?)?;
        config.ask_for_teacher()?;
        config.pde()?;
        let device = global.open_device()?;
        let stop = interrupt::stop_flag()?;
        let folder = runs::folder(self.out.as_deref(), &self.config, "teacher");
        let asked = Asked { until: self.until, unchecked: self.unchecked, team };
        let outcome = teacher(&config, &folder, &asked, &device, &stop);
        team::leave(&asked.team, outcome.and_then(|done| done.print(global.json)))
    }
}

/// The options that `train` and `distill` share.
pub struct Asked {
    /// The step after which to pause.
    pub until: Option<u64>,
    /// Take data that are no solutions.
    pub unchecked: bool,
    /// The processes that train together.
    pub team: Team,
}

/// Trains the teacher of a config in a run folder.
pub fn teacher(
    config: &Config,
    folder: &Path,
    asked: &Asked,
    device: &Device,
    stop: &AtomicBool,
) -> Result<Done, Failure> {
    let pde = config.pde()?;
    let start = start(config, device)?;
    let place = Place::claim(folder, config, Kind::Teacher, &asked.team)?;
    let drawn = (config.data.count, "data");
    let samples = checked_data(config, drawn, asked.unchecked, stop, data::training)?;

    let training = TeacherTraining::new(config, pde.as_ref(), samples, start, device)?;
    let mut training = training.with_team(asked.team.clone())?;
    let place = place.open(config, Kind::Teacher)?;
    let checkpoint_minutes = config.train.checkpoint_minutes;
    let pace = Pace { checkpoint_minutes, until: asked.until };
    let trained = place.train(&mut training, config, pace, stop)?;

    let model = trained.ended.then(|| {
        let mut model: Model = training.model();
        model.card.data = config.data.path.clone().unwrap_or_default();
        model
    });
    Done::new(place, trained, &training, model)
}

/// The teacher to start from, if there is one.
fn start(config: &Config, device: &Device) -> Result<Option<Model>, Failure> {
    let Some(named) = &config.train.start else { return Ok(None) };

    let start = Model::load(&models::find(Path::new(named))?, device)?;
    TeacherTraining::check_start(config, &start)?;
    Ok(Some(start))
}
