//! `distill`: the few-step student.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use phys_instruct::Config;
use phys_instruct::data;
use phys_instruct::device::Device;
use phys_instruct::distill::train::StudentTraining;
use phys_instruct::model::{Kind, Model};
use phys_instruct::store::interrupt;
use phys_instruct::training::Pace;

use crate::args::{Global, Overrides};
use crate::checked::checked_data;
use crate::commands::train::Asked;
use crate::failure::{Failure, Outcome};
use crate::progress::wait;
use crate::runs::{Done, Place};
use crate::{models, runs, team};

/// Distill a teacher into a student of a few steps, guided by the PDE
///
/// The student goes through the phases of the config in their order: a warm start on the teacher's
/// own samples; matching, in which an auxiliary model learns the student's present distribution in
/// turn with the student, which follows the matching gradient and the pull onto the PDE;
/// calibration of every mode; an anchored phase that pulls the solution alone; an operator, which
/// learns the solution from the run's training data. A teacher of a grid half or a quarter as fine
/// is taken to the config's first. Interruption and RUN are as for `train`.
///
/// Example: phys-instruct distill configs/poisson-32.toml --teacher runs/poisson-32-teacher
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Distill {
    /// The config file
    config: PathBuf,
    /// The teacher's model file or run folder [default: distill.teacher of the config]
    #[arg(long, value_name = "F")]
    teacher: Option<PathBuf>,
    /// The run folder [default: runs/<config>-student]
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

impl Distill {
    pub fn run(&self, global: &Global) -> Outcome {
        let team = team::of_process()?;
        let (config, teacher) = self.config()?;
        config.ask_for_student()?;
        let device = global.open_device()?;
        let teacher = Model::load(&teacher, &device)?;
        check_params(&config, &teacher)?;

        let stop = interrupt::stop_flag()?;
        let folder = runs::folder(self.out.as_deref(), &self.config, "student");
        let asked = Asked { until: self.until, unchecked: self.unchecked, team };
        let outcome = student(&config, teacher, &folder, &asked, &device, &stop);
        team::leave(&asked.team, outcome.and_then(|done| done.print(global.json)))
    }

    /// The config, with the teacher's file in its place, and that file.
    fn config(&self) -> Result<(Config, PathBuf), Failure> {
        let changes = self.overrides.changes("distill.matching")?;
        let mut config = runs::load(&self.config, &changes)?;
        let configured = config.student()?.teacher.as_ref().map(PathBuf::from);
        let Some(named) = self.teacher.clone().or(configured) else {
            let reason = "no teacher: give --teacher F, or distill.teacher in the config";
            return Err(Failure::Usage(reason.into()));
        };
        if !named.exists() {
            let name = named.display();
            return Err(Failure::Usage(format!("the teacher {name}: no such file or folder")));
        }

        let file = models::find(&named)?;
        let Some(teacher) = file.to_str() else {
            let reason = "the config holds the teacher's name, which has to be UTF-8";
            return Err(Failure::Usage(format!("the teacher {}: {reason}", file.display())));
        };
        if let Some(distill) = &mut config.distill {
            distill.teacher = Some(teacher.into());
        }
        Ok((config, file))
    }
}

/// Distills a teacher into the student of a config, in a run folder.
pub fn student(
    config: &Config,
    teacher: Model,
    folder: &Path,
    asked: &Asked,
    device: &Device,
    stop: &AtomicBool,
) -> Result<Done, Failure> {
    StudentTraining::check_teacher(config, &teacher)?;
    let needs_pairs = StudentTraining::needs_pairs(config, &teacher)?;
    let place = Place::claim(folder, config, Kind::Student, &asked.team)?;
    let drawn = (config.data.validation, "validation data");
    let validation = checked_data(config, drawn, asked.unchecked, stop, data::validation)?;

    let drawn = (config.data.count, "training data");
    let pairs = needs_pairs
        .then(|| checked_data(config, drawn, asked.unchecked, stop, data::training))
        .transpose()?;
    let begin = || StudentTraining::of_config(config, teacher, &validation, pairs, device);
    let training = wait("preparing the student", begin)?;
    let mut training = training.with_team(asked.team.clone())?;
    let place = place.open(config, Kind::Student)?;
    let checkpoint_minutes = config.student()?.checkpoint_minutes;
    let pace = Pace { checkpoint_minutes, until: asked.until };

    let trained = place.train(&mut training, config, pace, stop)?;
    let model = trained.ended.then(|| training.model());
    Done::new(place, trained, &training, model)
}

/// Refuses a config whose PDE parameters are not the teacher's.
fn check_params(config: &Config, teacher: &Model) -> Outcome {
    let pde = config.pde()?;
    let ours = pde.params();
    let differs = |name: &str, value: f64| teacher.card.params.get(name) != Some(&value);
    match ours.iter().find(|p| pde.name() == teacher.card.pde && differs(&p.name, p.value)) {
        Some(p) => Err(Failure::Usage(format!(
            "params.{} is {} in the config and {:?} in the teacher",
            p.name,
            p.value,
            teacher.card.params.get(&p.name)
        ))),
        None => Ok(()),
    }
}
