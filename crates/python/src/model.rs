//! Models: loading, sampling, figures.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use numpy::{PyArray4, PyReadonlyArray4};
use phys_instruct::bundled::Models;
use phys_instruct::condition::{
    Answer as Found, Method, Options, Question, Solver, TrialScores, files,
};
use phys_instruct::data::{self, Watch};
use phys_instruct::device;
use phys_instruct::diffusion::sampler::Method as Order;
use phys_instruct::figures::{Drawing, Figures, Subject, ask_for_figures};
use phys_instruct::store::atomic;
use phys_instruct::{Error, Model as Any, Samples, seeds};
use phys_instruct_physics::{Grid, Pde};
use phys_instruct_pictures::samples::{PICTURED, Shown, draw};
use phys_instruct_pictures::{encoded, words};
use pyo3::prelude::*;

use crate::answer::{Answer, Given, Origin, observations};
use crate::failure::{json, or_raise};
use crate::pde::{array_of, samples_of};
use crate::work::{Watcher, aside, waited, watched};

/// The name of a model without a file.
const UNSAVED: &str = "not saved";
/// The folders in words.
const IN_WORDS: &str = "not in the package";

/// The files of the models in the package's folder.
#[pyfunction]
pub fn bundled(folder: PathBuf) -> Vec<PathBuf> {
    Models::new(vec![folder], IN_WORDS).bundled()
}

/// A model on the processor.
#[pyclass(frozen)]
pub struct Model {
    pub model: Arc<Any>,
    pub path: Option<PathBuf>,
    /// The prepared solver, made at the first question.
    solver: Mutex<Option<Arc<Solver>>>,
}

impl Model {
    /// Wraps a model that was read or trained.
    pub fn of(model: Any, path: Option<PathBuf>) -> Self {
        Self { model: Arc::new(model), path, solver: Mutex::new(None) }
    }

    /// The name of the model's file.
    pub fn name(&self) -> Option<String> {
        let name = self.path.as_deref()?.file_name()?;
        Some(name.to_string_lossy().into_owned())
    }

    /// The prepared solver and what is to be said of it.
    fn prepared(
        &self,
        py: Python<'_>,
        progress: Option<&Py<PyAny>>,
    ) -> PyResult<(Arc<Solver>, Option<String>)> {
        let known = self.solver.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(solver) = known {
            return Ok((solver, None));
        }

        // Two threads that ask first both prepare it; either result serves.
        let model = Arc::clone(&self.model);
        let (solver, unwritten) =
            waited(py, progress, "preparing the model", move || Solver::cached(&model))?;
        let solver = Arc::new(solver);
        let mut kept = self.solver.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Arc::clone(&solver));
        let note = unwritten
            .map(|error| format!("the prepared solver is not kept for the next run: {error}"));
        Ok((solver, note))
    }
}

/// The way in which a question is answered.
#[derive(FromPyObject)]
pub struct Way {
    #[pyo3(item)]
    task: String,
    #[pyo3(item)]
    ensemble: usize,
    #[pyo3(item)]
    seed: u64,
    #[pyo3(item)]
    method: Option<String>,
    #[pyo3(item)]
    rounds: Option<usize>,
    #[pyo3(item)]
    noise: Option<f64>,
    #[pyo3(item)]
    robust: bool,
    #[pyo3(item)]
    resolve: Option<bool>,
    /// The number of test problems; none for no check.
    #[pyo3(item)]
    check: Option<usize>,
}

impl Way {
    /// The Python call that gives the same answer. `of` stands for the model, and `file` for the
    /// observations where they come from one. Other options stand there where they were given.
    fn call(&self, of: &str, file: Option<&Path>, held_out: bool) -> String {
        let observations =
            file.map_or("observations".into(), |file| quoted(&file.to_string_lossy()));
        let word = |flag: bool| (if flag { "True" } else { "False" }).to_owned();
        let told = [
            ("method", self.method.as_deref().map(quoted)),
            ("rounds", self.rounds.map(|rounds| rounds.to_string())),
            ("noise", self.noise.map(|noise| noise.to_string())),
            ("robust", self.robust.then(|| word(true))),
            ("resolve", self.resolve.map(word)),
            ("check", self.check.map(|count| count.to_string())),
            ("held_out", held_out.then(|| "held_out".into())),
        ];

        let always = format!(
            "{observations}, {}, ensemble={}, seed={}",
            quoted(&self.task),
            self.ensemble,
            self.seed
        );
        let told = told.into_iter().filter_map(|(key, value)| Some(format!(", {key}={}", value?)));
        format!("{of}.solve({always}{})", told.collect::<String>())
    }
}

/// A text as Python reads it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The method of that name on the command line.
fn method_of(name: &str) -> phys_instruct::Result<Method> {
    match name {
        "refinement" => Ok(Method::Refinement),
        "linearised" => Ok(Method::Linearised),
        "input-space" => Ok(Method::InputSpace),
        "noise-space" => Ok(Method::NoiseSpace),
        _ => Err(Error::Config(format!(
            "no method `{name}`: refinement, linearised, input-space or noise-space"
        ))),
    }
}

#[pymethods]
impl Model {
    #[staticmethod]
    fn load(py: Python<'_>, name: PathBuf, folder: PathBuf) -> PyResult<Self> {
        let (model, path) = aside(py, move || {
            device::vector_unit()?;
            let path = Models::new(vec![folder], IN_WORDS).find(&name)?;
            Ok((Any::load(&path, &device::cpu())?, path))
        })?;
        Ok(Self::of(model, Some(path)))
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let model = Arc::clone(&self.model);
        aside(py, move || model.save(&path))
    }

    /// The model's file.
    #[getter]
    fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// The SHA-256 of description, weights and statistics, as the file tells it.
    #[getter]
    fn checksum(&self, py: Python<'_>) -> PyResult<String> {
        match &self.model.checksum {
            Some(checksum) => Ok(checksum.clone()),
            None => or_raise(py, self.model.sha256()),
        }
    }

    /// The description as JSON.
    #[getter]
    fn card(&self, py: Python<'_>) -> PyResult<String> {
        json(py, serde_json::to_string(&self.model.card))
    }

    /// The shape of a field.
    #[getter]
    fn shape(&self) -> [usize; 2] {
        self.model.card.grid.shape()
    }

    /// The lengths of the domain's sides.
    #[getter]
    fn sides(&self) -> [f64; 2] {
        self.model.card.grid.sides()
    }

    /// The coordinates of the grid's points along y and along x.
    fn points(&self, py: Python<'_>) -> PyResult<(Vec<f64>, Vec<f64>)> {
        let [y, x] = or_raise(py, self.model.card.pde())?.points(self.model.card.grid);
        Ok((y, x))
    }

    /// The known faults.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.model.card.collapse().into_iter().collect()
    }

    #[pyo3(signature = (count, calls, sampler, seed, polish, joint, progress))]
    #[expect(clippy::too_many_arguments, reason = "the options of the command line")]
    fn sample<'py>(
        &self,
        py: Python<'py>,
        count: usize,
        calls: Option<usize>,
        sampler: &str,
        seed: u64,
        polish: usize,
        joint: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray4<f32>>, Drawn)> {
        let method = match sampler {
            "heun" => Ok(Order::Heun),
            "euler" => Ok(Order::Euler),
            _ => Err(Error::Config(format!("no sampler `{sampler}`: heun or euler"))),
        };
        let method = or_raise(py, method)?;
        let drawing = Drawing { count, calls, method, seed, polish, joint };

        let mut subject = watched(py, progress, |watcher, stop| {
            let mut told = |done| watcher.report(done as u64, count as u64, "sampling");
            let mut watch = Watch { progress: &mut told, stop };
            Subject::draw(&self.model, self.name(), &drawing, &mut watch)
        })?;
        let empty = subject.samples.slice(0..0);
        let samples = std::mem::replace(&mut subject.samples, empty);
        let array = array_of(py, samples)?;
        let (model, measured) = (Arc::clone(&self.model), Mutex::new(None));
        Ok((array, Drawn { origin: subject, model, measured }))
    }

    /// Prepares the solver, and returns what is to be said of it.
    fn prepare(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Option<String>> {
        Ok(self.prepared(py, progress.as_ref())?.1)
    }

    /// Answers observations: those of a file, or tables and lists of places and values. Test
    /// problems are of the `held_out` samples, or of the reference solver's.
    fn solve(
        &self,
        py: Python<'_>,
        file: Option<PathBuf>,
        seen: Vec<Given<'_>>,
        way: Way,
        held_out: Option<PyReadonlyArray4<'_, f32>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Answer, Vec<String>)> {
        let of = match &self.path {
            Some(path) => format!("phys_instruct.load({})", quoted(&path.to_string_lossy())),
            None => "model".into(),
        };
        let call = way.call(&of, file.as_deref(), held_out.is_some());
        let Way { task, ensemble, seed, method, rounds, noise, robust, resolve, check } = way;
        let task = or_raise(py, task.parse())?;
        let method = or_raise(py, method.as_deref().map(method_of).transpose())?;
        let card = &self.model.card;
        let pde = or_raise(py, card.pde())?;

        let (observations, ignored, source) = match &file {
            None => {
                let (all, ignored) = or_raise(py, observations(pde.as_ref(), card.grid, &seen))?;
                (all, ignored, "the table".to_owned())
            }
            Some(file) => {
                let read = or_raise(py, files::read(file, pde.as_ref(), card.grid))?;
                (read.observations, read.ignored, file.display().to_string())
            }
        };
        let mut notes = Vec::new();
        if !ignored.is_empty() {
            notes.push(format!("passed over in {source}: {}", ignored.join(", ")));
        }

        let options = Options { method, ensemble, rounds, seed };
        let question = Question { task, observations, noise, robust, resolve, options };

        let grid = card.grid;
        let held_out =
            held_out.map(|array| samples_of(pde.as_ref(), &array, grid.sides())).transpose();
        let held_out = or_raise(py, held_out)?;
        let truths = check.map(|count| {
            watched(py, progress.as_ref().map(|f| f.clone_ref(py)), |watcher, stop| {
                truths(held_out, pde.as_ref(), grid, count, seed, watcher, stop)
            })
        });
        let truths = truths.transpose()?;

        let (solver, note) = self.prepared(py, progress.as_ref())?;
        notes.extend(note);
        let (asked, own) = (question.clone(), Arc::clone(&solver));
        let found: Found = waited(py, progress.as_ref(), "answering", move || own.answer(asked))?;

        // The errors are those that were taken, stated or estimated.
        let question = Question { observations: found.observations.clone(), ..question };
        let checked = truths.map(|truths| {
            watched(py, progress, |watcher, stop| {
                let total = truths.count as u64;
                let mut told = |done| watcher.report(done as u64, total, "test problems");
                solver.check(&question, &truths, &mut told, stop)
            })
        });
        let checked = checked.transpose()?;
        notes.extend(checked.as_ref().and_then(TrialScores::fault));
        let (model, name) = (Arc::clone(&self.model), self.name().unwrap_or(UNSAVED.into()));
        let origin = Origin { model, name, task, seed, call };
        Ok((Answer::new(found, checked, origin), notes))
    }
}

/// The true fields of `count` test problems: the first of the `held_out` samples, or those of the
/// reference solver.
fn truths(
    held_out: Option<Samples>,
    pde: &dyn Pde,
    grid: Grid,
    count: usize,
    seed: u64,
    watcher: &mut Watcher,
    stop: &AtomicBool,
) -> phys_instruct::Result<Samples> {
    match held_out {
        Some(samples) if samples.count < count => {
            let reason = format!("check = {count}: held_out has {} samples", samples.count);
            Err(Error::Request(reason))
        }
        Some(samples) => Ok(samples.slice(0..count)),
        None if !pde.has_solver() => Err(Error::Request(format!(
            "check = {count}: no solver makes problems of {}; give them as held_out",
            pde.name()
        ))),
        None => {
            let mut told = |done| watcher.report(done as u64, count as u64, "solving");
            let mut watch = Watch { progress: &mut told, stop };
            data::generate(pde, grid, seeds::CHECK + seed, count, &mut watch)
        }
    }
}

/// Samples without their values, which an array has.
#[pyclass(frozen)]
pub struct Drawn {
    origin: Subject,
    model: Arc<Any>,
    /// The figures against the reference solver's data, once they have been taken.
    measured: Mutex<Option<Figures>>,
}

impl Drawn {
    /// The samples with their values and the known facts of their origin.
    fn subject(&self, values: &PyReadonlyArray4<'_, f32>) -> phys_instruct::Result<Subject> {
        let (pde, origin) = (self.model.card.pde()?, &self.origin);
        let samples = samples_of(pde.as_ref(), values, self.model.card.grid.sides())?;
        let (model, warnings) = (origin.model.clone(), origin.warnings.clone());
        Ok(Subject { pde, samples, model, warnings, ..*origin })
    }
}

#[pymethods]
impl Drawn {
    /// The figures as JSON, against held-out data that the reference solver makes, or those of an
    /// array.
    fn figures(
        &self,
        py: Python<'_>,
        values: PyReadonlyArray4<'_, f32>,
        reference: Option<PyReadonlyArray4<'_, f32>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let subject = or_raise(py, self.subject(&values))?;
        let sides = self.model.card.grid.sides();
        let of_solver = reference.is_none();
        let given = reference.map(|array| samples_of(subject.pde.as_ref(), &array, sides));
        let given: Option<Samples> = or_raise(py, given.transpose())?;

        let figures = watched(py, progress, |watcher, stop| {
            let Samples { count, channels, .. } = &subject.samples;
            ask_for_figures(*count, channels.len(), subject.samples.grid())?;

            let total = subject.reference_count() as u64;
            let mut told = |done| watcher.report(done as u64, total, "solving the reference");
            let mut watch = Watch { progress: &mut told, stop };
            let reference = match given {
                Some(given) => Some(given),
                None => subject.reference(None, &mut watch)?,
            };
            let residual = subject.equation()?;
            subject.measure(reference.as_ref(), residual.as_deref())
        })?;
        let text = json(py, serde_json::to_string(&figures))?;
        if of_solver {
            *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
        }
        Ok(text)
    }

    /// Writes a picture of the first samples, `.png` or `.svg`. It tells the figures against the
    /// reference solver's data, which have been taken before.
    fn draw(
        &self,
        py: Python<'_>,
        values: PyReadonlyArray4<'_, f32>,
        path: PathBuf,
    ) -> PyResult<()> {
        let subject = or_raise(py, self.subject(&values))?;
        let figures = self.measured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let drawn = py.detach(|| {
            let untaken = || Error::Request("the figures have not been taken".into());
            let figures = figures.ok_or_else(untaken)?;
            let residual = subject.equation()?;
            let [title, caption] =
                [words::title_of_samples(&figures), words::caption_of_samples(&figures)];
            let shown =
                Shown::of(&subject.samples, residual.as_deref(), PICTURED, &title, &caption)?;

            let pictures = draw(subject.pde.as_ref(), &[shown]);
            let bytes =
                pictures.and_then(|all| all.iter().map(|one| encoded(&path, one)).collect());
            let bytes: Vec<Vec<u8>> = bytes.map_err(|error| Error::Request(error.to_string()))?;
            atomic::write(&path, &bytes.concat())
        });
        or_raise(py, drawn)
    }

    /// Network calls per sample.
    #[getter]
    fn calls(&self) -> Option<usize> {
        self.origin.calls
    }

    /// The library's own time for a sample, without polish.
    #[getter]
    fn seconds_per_sample(&self) -> Option<f64> {
        self.origin.seconds_per_sample
    }
}
