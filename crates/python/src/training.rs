//! Trainings in run folders, from arrays in so many minutes or from a config file.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use numpy::PyReadonlyArray4;
use phys_instruct::condition::Trials;
use phys_instruct::config::load::{self, Changes};
use phys_instruct::data::{self, Watch};
use phys_instruct::diffusion::sampler::Method as Order;
use phys_instruct::distill::train::StudentTraining;
use phys_instruct::figures::{Drawing, Subject, ask_for_figures};
use phys_instruct::fit::{FEWEST_DRAWN, Judged, PROBLEMS, Pace, Work, judge, prepared, trials};
use phys_instruct::model::Kind;
use phys_instruct::net::ops::keep_freed_memory;
use phys_instruct::store::{Check, atomic, dataset};
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::training::{self, Training};
use phys_instruct::{Config, Error, Model as Any, Result, Samples, device, runs};
use pyo3::prelude::*;

use crate::failure::{json, or_raise};
use crate::model::Model;
use crate::pde::{Pde, samples_of};
use crate::work::{Watcher, watched};

/// Pairs of a PDE, the last of them held out, and the run folder they are for.
struct Pairs {
    named: String,
    pde: Box<dyn phys_instruct_physics::Pde>,
    all: Samples,
    validation: usize,
    out: PathBuf,
    seed: u64,
    unchecked: bool,
}

impl Pairs {
    fn of(pde: &Pde, pairs: &PyReadonlyArray4<'_, f32>, way: &Run, out: PathBuf) -> Result<Self> {
        let own = pde.build()?;
        let all = samples_of(own.as_ref(), pairs, way.sides)?;
        let &Run { validation, seed, unchecked, .. } = way;
        Ok(Self { named: pde.named().to_owned(), pde: own, all, validation, out, seed, unchecked })
    }

    /// The pairs to train with, and those held out.
    fn parts(&self) -> [Samples; 2] {
        let count = self.all.count;
        let train = count.saturating_sub(self.validation);
        [0..train, train..count].map(|range| self.all.slice(range))
    }

    /// The config of the run in the folder, or a new one that suits the pairs, whose steps `fill`
    /// settles by their pace. `fill` also receives the numbers of pairs to train with and held out.
    fn config(
        self,
        watcher: &mut Watcher,
        fill: impl FnOnce(&Pace, &mut Config, [usize; 2]) -> Result<Vec<String>>,
    ) -> Result<Config> {
        atomic::create_folder(&self.out)?;
        let written = self.out.join("config.toml");
        if written.is_file() {
            let config = load::load(&written, &Changes::default())?;
            self.check_same(&config)?;
            let words = "whatever minutes says; another out begins anew";
            watcher.tell(0, 0, &format!("goes on with {}, {words}", written.display()));
            return Ok(config);
        }

        if !self.unchecked {
            check(&self.all, self.pde.as_ref())?;
        }
        let [train, held_out] = self.parts();
        let device = device::cpu();
        let (_, chosen) =
            prepared(&self.out, &self.named, self.pde, &self.all, self.seed, &device)?;
        let mut config = chosen.config;
        config.data.validation = self.validation;
        config.check()?;
        // The first reason counts the held-out pairs that it would have taken itself.
        chosen.reasons.iter().skip(1).for_each(|reason| watcher.tell(0, 0, reason));

        let pace = Pace::measure(&config, &train, &held_out, &device)?;
        let said = fill(&pace, &mut config, [train.count, held_out.count])?;
        said.iter().for_each(|text| watcher.tell(0, 0, text));
        config.check()?;
        atomic::write(&written, load::to_toml(&config)?.as_bytes())?;
        Ok(config)
    }

    /// Refuses to go on with other pairs than those of a run, or with another PDE, seed or number
    /// of held-out pairs.
    fn check_same(&self, theirs: &Config) -> Result<()> {
        let pde = theirs.pde()?;
        let path = theirs.data.path.as_deref().unwrap_or_default();
        let known = dataset::load_any(path.as_ref(), pde.as_ref())?;
        let ours = &self.all;
        let same_data = known.channels == ours.channels
            && known.grid() == ours.grid()
            && known.data == ours.data;

        let other = [
            (pde.name() != self.pde.name() || pde.params() != self.pde.params(), "of another PDE"),
            (!same_data, "of other data"),
            (theirs.data.validation != self.validation, "with another validation"),
            (theirs.seed != self.seed, "with another seed"),
        ];
        let Some((_, what)) = other.into_iter().find(|(is_other, _)| *is_other) else {
            return Ok(());
        };
        let out = self.out.display();
        Err(Error::Request(format!("{out} holds a run {what}; choose another out")))
    }
}

/// The way in which pairs are trained with.
#[derive(FromPyObject)]
pub struct Run {
    #[pyo3(item)]
    sides: [f64; 2],
    #[pyo3(item)]
    validation: usize,
    #[pyo3(item)]
    seconds: f64,
    #[pyo3(item)]
    seed: u64,
    #[pyo3(item)]
    unchecked: bool,
}

/// The test problems of a judgement.
#[derive(FromPyObject)]
pub struct Problems {
    #[pyo3(item)]
    task: String,
    #[pyo3(item)]
    points: usize,
    #[pyo3(item)]
    noise: f64,
}

/// Trains a teacher of pairs in so many seconds. The folder `out` holds the pairs, the config and
/// the run; where it holds a config of the same pairs already, that one goes on.
#[pyfunction]
pub fn fit_teacher(
    py: Python<'_>,
    pde: &Pde,
    pairs: PyReadonlyArray4<'_, f32>,
    way: Run,
    out: PathBuf,
    progress: Option<Py<PyAny>>,
) -> PyResult<Model> {
    let start = Instant::now();
    let given = or_raise(py, Pairs::of(pde, &pairs, &way, out.clone()))?;
    let (model, path) = watched(py, progress, |watcher, stop| {
        let config = given.config(watcher, |pace, config, [train, _]| {
            let left = way.seconds - start.elapsed().as_secs_f64();
            Ok(vec![pace.fill_teacher(config, left, train)])
        })?;
        teacher(&config, &out.join("teacher"), watcher, stop)
    })?;
    Ok(Model::of(model, Some(path)))
}

/// Makes a student of pairs in so many seconds and judges it. Returns it and the judgement as JSON.
/// The folder `out` holds the pairs, the config and both runs.
#[pyfunction]
pub fn fit(
    py: Python<'_>,
    pde: &Pde,
    pairs: PyReadonlyArray4<'_, f32>,
    way: Run,
    problems: Problems,
    out: PathBuf,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Model, String)> {
    let start = Instant::now();
    let task = or_raise(py, problems.task.parse())?;
    let given = or_raise(py, Pairs::of(pde, &pairs, &way, out.clone()))?;
    let [teachers, students] = ["teacher", "student"].map(|name| out.join(name));

    let (model, judged) = watched(py, progress, |watcher, stop| {
        let config = given.config(watcher, |pace, config, [train, held_out]| {
            let seconds = way.seconds - start.elapsed().as_secs_f64();
            let work = Work { seconds, problems: PROBLEMS.min(held_out) };
            let said = pace.fill(config, work, train)?;
            if let Some(distill) = &mut config.distill {
                distill.teacher = Some(load::utf8(&teachers.join("model.safetensors"))?);
            }
            Ok(said)
        })?;

        // The steps of a student are settled where its teacher is named.
        if config.student()?.teacher.is_none() {
            let words = "holds the run of a teacher alone, with which distill goes on";
            let reason = format!("{} {words}; choose another out", out.display());
            return Err(Error::Request(reason));
        }

        let held_out = watched_data(&config, watcher, stop, data::validation)?;
        // More points than there are is refused before the trainings.
        let Problems { points, noise, .. } = problems;
        let trials = trials(&config, held_out.count, task, points, noise)?;
        let (taught, _) = teacher(&config, &teachers, watcher, stop)?;
        let (own, path) = student(&config, taught, &students, watcher, stop)?;
        let model = Model::of(own, Some(path.clone()));
        let judged = judged(&model, &held_out, &trials, watcher, stop)?;

        let told = judged.figures.told_by(&model.model)?;
        told.save(&path)?;
        Ok((Model::of(told, Some(path)), judged))
    })?;
    Ok((model, json(py, serde_json::to_string(&judged))?))
}

/// Measures a student by as many samples as there are held-out pairs, and judges it.
fn judged(
    student: &Model,
    held_out: &Samples,
    trials: &Trials,
    watcher: &mut Watcher,
    stop: &AtomicBool,
) -> Result<Judged> {
    let model = &student.model;
    let count = held_out.count.max(FEWEST_DRAWN);
    let drawing =
        Drawing { count, calls: None, method: Order::Heun, seed: 0, polish: 0, joint: false };
    ask_for_figures(count, model.card.channels.len(), model.card.grid)?;

    let mut told = |done| watcher.report(done as u64, count as u64, "sampling");
    let subject =
        Subject::draw(model, student.name(), &drawing, &mut Watch { progress: &mut told, stop })?;
    let residual = subject.equation()?;
    let figures = subject.measure(Some(held_out), residual.as_deref())?;
    let total = trials.problems as u64;
    let mut told = |done| watcher.report(done as u64, total, "test problems");
    judge(model, figures, held_out, trials, &mut told, stop)
}

/// Distills a teacher into a student in so many seconds, with the config of the teacher's run. A
/// run in `out` goes on with its own.
#[pyfunction]
pub fn fit_student(
    py: Python<'_>,
    teacher: &Model,
    seconds: f64,
    out: PathBuf,
    progress: Option<Py<PyAny>>,
) -> PyResult<Model> {
    let start = Instant::now();
    let path = or_raise(py, file_of(teacher))?;
    let taught = Any::clone(&teacher.model);

    let (model, path) = watched(py, progress, |watcher, stop| {
        let written = out.join("config.toml");
        let goes_on = written.is_file();
        let of_teacher = path.with_file_name("config.toml");
        let read = if goes_on { &written } else { &of_teacher };
        let mut config = load::load(read, &Changes::default())?;
        if !goes_on {
            let [pairs, held_out] = [data::training, data::validation]
                .map(|samples| watched_data(&config, watcher, stop, samples));
            let pace = Pace::measure(&config, &pairs?, &held_out?, &device::cpu())?;
            let left = seconds - start.elapsed().as_secs_f64();
            let said = pace.fill_student(&mut config, left)?;
            said.iter().for_each(|text| watcher.tell(0, 0, text));
            if let Some(distill) = &mut config.distill {
                distill.teacher = path.to_str().map(str::to_owned);
            }
            config.check()?;
        }
        student(&config, taught, &out, watcher, stop)
    })?;
    Ok(Model::of(model, Some(path)))
}

/// Trains the teacher of a config file in a run folder.
#[pyfunction]
pub fn train(
    py: Python<'_>,
    config: PathBuf,
    out: PathBuf,
    unchecked: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<Model> {
    let (model, path) = watched(py, progress, |watcher, stop| {
        let config = load::load(&config, &Changes::default())?;
        check_data(&config, unchecked, watcher, stop)?;
        teacher(&config, &out, watcher, stop)
    })?;
    Ok(Model::of(model, Some(path)))
}

/// Distills a teacher into the student of a config file, in a run folder.
#[pyfunction]
pub fn distill(
    py: Python<'_>,
    config: PathBuf,
    teacher: &Model,
    out: PathBuf,
    unchecked: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<Model> {
    let path = or_raise(py, file_of(teacher))?;
    let taught = Any::clone(&teacher.model);
    let (model, path) = watched(py, progress, |watcher, stop| {
        let mut config = load::load(&config, &Changes::default())?;
        if let Some(distill) = &mut config.distill {
            distill.teacher = path.to_str().map(str::to_owned);
        }
        check_data(&config, unchecked, watcher, stop)?;
        student(&config, taught, &out, watcher, stop)
    })?;
    Ok(Model::of(model, Some(path)))
}

/// The file of a teacher, which a config names.
fn file_of(teacher: &Model) -> Result<PathBuf> {
    let missing =
        || Error::Request("the teacher has no file: train it, or load it from one".into());
    teacher.path.clone().ok_or_else(missing)
}

/// Refuses pairs that are no solutions of their equation.
fn check(pairs: &Samples, pde: &dyn phys_instruct_physics::Pde) -> Result<()> {
    let check = Check::of(pairs, pde);
    if check.passed() {
        return Ok(());
    }
    let reasons = check.complaints.join("; ");
    Err(Error::Request(format!("the data: {reasons}; unchecked=True takes them all the same")))
}

/// [`check`] of the data that a config takes from a file.
fn check_data(
    config: &Config,
    unchecked: bool,
    watcher: &mut Watcher,
    stop: &AtomicBool,
) -> Result<()> {
    if unchecked || config.data.path.is_none() {
        return Ok(());
    }
    let pairs = watched_data(config, watcher, stop, data::training)?;
    check(&pairs, config.pde()?.as_ref())
}

/// The training or the held-out data of a config.
fn watched_data(
    config: &Config,
    watcher: &mut Watcher,
    stop: &AtomicBool,
    samples: fn(&Config, &mut Watch) -> Result<Samples>,
) -> Result<Samples> {
    let total = config.data.count as u64;
    let mut told = |done| watcher.report(done as u64, total, "data");
    samples(config, &mut Watch { progress: &mut told, stop })
}

/// Trains a teacher in a run folder.
fn teacher(
    config: &Config,
    folder: &Path,
    watcher: &mut Watcher,
    stop: &AtomicBool,
) -> Result<(Any, PathBuf)> {
    keep_freed_memory();
    config.ask_for_teacher()?;
    let (pde, device) = (config.pde()?, device::cpu());
    let start = config.train.start.as_deref();
    let start = start.map(|file| Any::load(file.as_ref(), &device)).transpose()?;
    start.iter().try_for_each(|start| TeacherTraining::check_start(config, start))?;

    let _lock = runs::claim(folder, config, Kind::Teacher)?;
    let pairs = watched_data(config, watcher, stop, data::training)?;
    let mut training = TeacherTraining::new(config, pde.as_ref(), pairs, start, &device)?;
    let minutes = config.train.checkpoint_minutes;
    let path = go(&mut training, config, folder, (Kind::Teacher, minutes), watcher, stop)?;

    let mut model = training.model();
    model.card.data = config.data.path.clone().unwrap_or_default();
    model.save(&path)?;
    Ok((model, path))
}

/// Distills a student in a run folder.
fn student(
    config: &Config,
    teacher: Any,
    folder: &Path,
    watcher: &mut Watcher,
    stop: &AtomicBool,
) -> Result<(Any, PathBuf)> {
    keep_freed_memory();
    config.ask_for_student()?;
    StudentTraining::check_teacher(config, &teacher)?;
    let needs_pairs = StudentTraining::needs_pairs(config, &teacher)?;
    let _lock = runs::claim(folder, config, Kind::Student)?;
    let held_out = watched_data(config, watcher, stop, data::validation)?;

    let mut drawn = || watched_data(config, watcher, stop, data::training);
    let pairs = needs_pairs.then(&mut drawn).transpose()?;
    let device = device::cpu();
    let mut training = StudentTraining::of_config(config, teacher, &held_out, pairs, &device)?;
    let minutes = config.student()?.checkpoint_minutes;
    let path = go(&mut training, config, folder, (Kind::Student, minutes), watcher, stop)?;

    let model = training.model();
    model.save(&path)?;
    Ok((model, path))
}

/// Takes the steps of a training, and returns the place of its model.
fn go(
    training: &mut dyn Training,
    config: &Config,
    folder: &Path,
    (kind, checkpoint_minutes): (Kind, f64),
    watcher: &mut Watcher,
    stop: &AtomicBool,
) -> Result<PathBuf> {
    let (run, note) = runs::open(folder, config, kind)?;
    note.iter().for_each(|text| watcher.tell(0, 0, text));
    let (total, what) = (training.total(), if kind == Kind::Teacher { "train" } else { "distill" });

    watcher.resumes = true;
    let pace = training::Pace { checkpoint_minutes, until: None };
    training::run(training, Some(&run), pace, stop, &mut |step, figures| {
        if let Some(warning) = figures.get("warning").and_then(|text| text.as_str()) {
            watcher.tell(0, 0, &format!("warning: {warning}"));
        }
        watcher.report(step, total, what);
    })?;
    Ok(run.folder().join("model.safetensors"))
}
