//! `fit`: the whole road from data, or a config, to a judged student in a given time.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use phys_instruct::condition::{Task, Trials};
use phys_instruct::config::load::{self, Changes};
use phys_instruct::device::Device;
use phys_instruct::fit::{
    Chosen, FEWEST_DRAWN, Judged, PROBLEMS, Pace, Work, judge, prepared, trials,
};
use phys_instruct::problem::{self, Description};
use phys_instruct::store::{ImportOptions, atomic, dataset, import_checked, interrupt};
use phys_instruct::team::Team;
use phys_instruct::{Config, Model, Samples, data};

use crate::args::{Global, SamplingArgs, at_least, at_least_zero, extension};
use crate::checked::{checked_data, data_with_bar, described};
use crate::commands::pde::of_description;
use crate::commands::sample::draw;
use crate::commands::train::Asked;
use crate::commands::{distill, solve, train};
use crate::completion;
use crate::failure::{Failure, Outcome};
use crate::figures::{self, Printed};
use crate::output::{line, seconds, show, tell};
use crate::progress::{bar, wait};
use crate::runs;
use crate::warnings::warn;

/// Make a student of data or a config in so many minutes, and judge it
///
/// Imports the data, or makes those of the config; trains, distills and evaluates. From data alone
/// the network, its coordinates, the fields' boundaries and the steps are chosen and said; of a
/// config the steps alone. A PDE that the program does not know is described by a TOML file with a
/// [pde] table (the book's chapter "Your own data").
///
/// The steps follow from seconds a step, measured first, so that they depend on the machine's
/// speed. RUN/config.toml has them written out: `train` and `distill` make the same model of it.
/// RUN also holds data.npz and pde.toml, the runs teacher and student, samples.png and report.json.
/// The same command goes on with RUN/config.toml where it was interrupted.
///
/// Example: phys-instruct fit pairs.npz --pde mine.toml --minutes 5
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Fit {
    /// Pairs in a file of any known format, or a config file, .toml
    #[arg(value_name = "CONFIG|DATA")]
    source: PathBuf,
    /// The PDE of data: a name, or a TOML file with a [pde] table
    #[arg(long, value_name = "PDE", add = completion::pdes_and_descriptions())]
    pde: Option<String>,
    /// Minutes for everything, on this machine as it is
    #[arg(long, value_name = "M", default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,
    /// The run folder [default: runs/<source>-fit]
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// The seed behind every random number of data alone
    #[arg(long, value_name = "K", default_value_t = 0)]
    seed: u64,
    /// Take data that are no solutions of the equation
    #[arg(long)]
    unchecked: bool,
    /// The task of the test problems: forward, inverse or reconstruct
    #[arg(long, value_name = "TASK", default_value = "inverse")]
    task: Task,
    /// Values that are seen in each test problem, at random places
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least::<1>())]
    points: usize,
    /// Errors of these values, in standard deviations of their field
    #[arg(long, value_name = "S", default_value_t = 0.01, value_parser = at_least_zero)]
    noise: f64,
}

/// A config whose steps are settled, and its data.
struct Settled {
    config: Config,
    held_out: Samples,
    /// What was chosen, in sentences.
    said: Vec<String>,
}

impl Fit {
    pub fn run(&self, global: &Global) -> Outcome {
        let start = Instant::now();
        let device = global.open_device()?;
        let stop = interrupt::stop_flag()?;
        let folder = runs::folder(self.out.as_deref(), &self.source, "fit");
        atomic::create_folder(&folder)?;

        let settled = self.settled(&folder, start, &device, &stop)?;
        let Settled { config, held_out, said } = &settled;
        // More points than there are is refused before the trainings.
        let trials = trials(config, held_out.count, self.task, self.points, self.noise)?;
        let [teacher, student] = ["teacher", "student"].map(|name| folder.join(name));
        let asked = Asked { until: None, unchecked: true, team: Team::ALONE };

        let taught = train::teacher(config, &teacher, &asked, &device, &stop)?;
        let whole = "the training ended without its model".to_owned();
        let model = taught.model().cloned().ok_or_else(|| Failure::Usage(whole.clone()))?;
        let distilled = distill::student(config, model, &student, &asked, &device, &stop)?;
        let model = distilled.model().ok_or(Failure::Usage(whole))?;

        let path = distilled.path();
        let judged = judged(model, &path, held_out, &trials, &folder, &stop)?;
        judged.figures.told_by(model)?.save(&path)?;
        let spent = start.elapsed().as_secs_f64();
        report(&folder, &path, said, model, &judged, spent, global.json, self.task)
    }

    /// The config with its steps: that of an interrupted fit, or a new one.
    fn settled(
        &self,
        folder: &Path,
        start: Instant,
        device: &Device,
        stop: &AtomicBool,
    ) -> Result<Settled, Failure> {
        let written = folder.join("config.toml");
        if written.is_file() {
            tell!(
                "note: goes on with {}, whatever --minutes says; another --out begins anew",
                written.display()
            );
            let config = runs::load(&written, &Changes::default())?;
            self.check_same(folder, &config)?;
            let held_out = held_out(&config, stop)?;
            return Ok(Settled { config, held_out, said: Vec::new() });
        }

        let Chosen { mut config, reasons: mut said } = match extension(&self.source).as_str() {
            "toml" => Chosen { config: self.config()?, reasons: Vec::new() },
            _ => self.of_data(folder, device)?,
        };
        config.student()?;
        config.ask_for_teacher()?;
        config.ask_for_student()?;
        let drawn = (config.data.count, "data");
        let pairs = checked_data(&config, drawn, self.unchecked, stop, data::training)?;
        let held_out = held_out(&config, stop)?;

        let measure = || Pace::measure(&config, &pairs, &held_out, device);
        let pace = wait("measuring seconds a step", measure)?;
        let left = 60.0 * self.minutes - start.elapsed().as_secs_f64();
        let work = Work { seconds: left, problems: PROBLEMS.min(held_out.count) };
        said.extend(pace.fill(&mut config, work, pairs.count)?);

        if let Some(distill) = &mut config.distill {
            distill.teacher = Some(load::utf8(&folder.join("teacher").join("model.safetensors"))?);
        }
        config.check()?;
        let text = load::to_toml(&config)?;
        atomic::write(&written, text.as_bytes())?;
        said.iter().for_each(|text| tell!("chosen: {text}"));
        tell!("{}\n{}", written.display(), text.trim_end());
        Ok(Settled { config, held_out, said })
    }

    /// Refuses a folder that holds a fit of other data or of another config.
    fn check_same(&self, folder: &Path, theirs: &Config) -> Outcome {
        let name = folder.display();
        let other = |what: &str| {
            Failure::Usage(format!("{name} holds a fit of {what}; choose another --out"))
        };
        if extension(&self.source) != "toml" {
            let pde = theirs.pde()?;
            let options = ImportOptions::default();
            let ours = import_checked(&self.source, pde.as_ref(), &options)?.samples;
            let stored = dataset::load_any(&folder.join("data.npz"), pde.as_ref())?;
            return if ours == stored { Ok(()) } else { Err(other("other data")) };
        }

        // All but what a fit settles itself.
        let mut ours = self.config()?;
        ours.train.steps = theirs.train.steps;
        ours.train.warmup = theirs.train.warmup;
        if let (Some(ours), Some(theirs)) = (&mut ours.distill, &theirs.distill) {
            ours.teacher.clone_from(&theirs.teacher);
            for (phase, other) in ours.phases.iter_mut().zip(&theirs.phases) {
                if let (Some(steps), Some(other)) = (phase.steps_mut(), other.steps()) {
                    *steps = other;
                }
            }
        }
        match load::differences(&ours, theirs).as_slice() {
            [] => Ok(()),
            all => Err(other(&format!("another config ({})", all.join("; ")))),
        }
    }

    /// The config of a file, which needs a student.
    fn config(&self) -> Result<Config, Failure> {
        if Description::read(&self.source).is_ok() {
            let name = self.source.display();
            return Err(Failure::Usage(format!(
                "{name} describes a PDE: name its data, and the file with --pde {name}"
            )));
        }
        if self.pde.is_some() {
            return Err(Failure::Usage("--pde: the config names its PDE".into()));
        }
        Ok(runs::load(&self.source, &Changes::default())?)
    }

    /// The config that suits data, which are copied into the folder with their description.
    fn of_data(&self, folder: &Path, device: &Device) -> Result<Chosen, Failure> {
        let name = self.source.display();
        let Some(named) = &self.pde else {
            return Err(Failure::Usage(format!("{name}: name its PDE with --pde")));
        };
        let pde = problem::by_name(named)?;
        let import = || import_checked(&self.source, pde.as_ref(), &ImportOptions::default());
        let imported = wait("reading and checking the data", import)?;
        tell!("{name}: axes {} ({})", imported.axes, imported.reason);
        tell!("{name}: PDE error {}", described(&imported.check));
        if !imported.check.passed() && !self.unchecked {
            let reasons = imported.check.complaints.join("; ");
            return Err(Failure::Usage(format!("{name}: {reasons}; --unchecked takes them")));
        }

        let misplaced = imported.check.misplaced.iter().map(|words| format!("{name}: {words}"));
        warn(&Vec::from_iter(misplaced));

        let choose = || prepared(folder, named, pde, &imported.samples, self.seed, device);
        let (pde, chosen) = wait("choosing from the data", choose)?;
        for (name, text) in of_description(pde.as_ref()) {
            tell!("chosen: {name} {text}");
        }
        Ok(chosen)
    }
}

/// Measures the student: its samples, a picture of them, and its answers to test problems.
fn judged(
    model: &Model,
    path: &Path,
    held_out: &Samples,
    trials: &Trials,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Judged, Failure> {
    let count = held_out.count.max(FEWEST_DRAWN);
    let subject = figures::draw(model, path, &SamplingArgs::default(), count)?;
    let residual = subject.equation()?;
    let figures = figures::measured_on(&subject, Some(held_out), residual.as_deref())?;
    draw(&folder.join("samples.png"), &subject, residual.as_deref(), &figures)?;

    let bar = bar(trials.problems, "test problems");
    let mut progress = |done| bar.set_position(done as u64);
    let judged = judge(model, figures, held_out, trials, &mut progress, stop)?;
    bar.finish_and_clear();
    Ok(judged)
}

/// The held-out samples of a config.
fn held_out(config: &Config, stop: &AtomicBool) -> Result<Samples, Failure> {
    data_with_bar(config, (config.data.validation, "held-out data"), stop, data::validation)
}

/// Prints the figures and the verdict, and writes them beside the model.
#[expect(clippy::too_many_arguments, reason = "a report of everything")]
fn report(
    folder: &Path,
    path: &Path,
    said: &[String],
    model: &Model,
    judged: &Judged,
    spent: f64,
    json: bool,
    task: Task,
) -> Outcome {
    let Judged { figures, scores, verdict } = judged;
    let mut value = serde_json::to_value(judged).map_err(|e| Failure::Usage(e.to_string()))?;
    for (key, more) in [
        ("schema", crate::failure::SCHEMA.into()),
        ("pde", model.card.pde.as_str().into()),
        ("config", folder.join("config.toml").to_string_lossy().into()),
        ("model", path.to_string_lossy().into()),
        ("picture", folder.join("samples.png").to_string_lossy().into()),
        ("chosen", said.into()),
        ("seconds", spent.into()),
        ("equation_used", model.card.description.is_none().into()),
        ("task", task.name().into()),
    ] {
        value[key] = more;
    }
    atomic::write(&folder.join("report.json"), format!("{value:#}\n").as_bytes())?;

    let mut lines = figures.lines();
    lines.extend(
        solve::lines_of(scores, task, &model.card)
            .into_iter()
            .filter(|(name, _)| !["PDE", "PDE error"].contains(&name.as_str())),
    );
    lines.push(line("config", folder.join("config.toml").display()));
    lines.push(line("model", path.display()));
    lines.push(line("picture", folder.join("samples.png").display()));
    lines.push(line("whole time", seconds(spent)));
    lines.push(line("may be trusted", if verdict.trusted { YES } else { "no" }));
    lines.extend(verdict.reasons.iter().map(|reason| line("because", reason)));
    show(json, value, &lines)
}

/// The words of a student that may be trusted.
const YES: &str = "yes, for inputs like those of the data";

/// Parses minutes, above 0 and at most a month.
fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 44_640.0 => Ok(value),
        _ => Err(format!("`{text}` is not a number of minutes above 0 and up to a month")),
    }
}
