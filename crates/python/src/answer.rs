//! Observations of a question, and its answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use numpy::{
    IntoPyArray, PyArray2, PyArray3, PyArray4, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray3,
};
use phys_instruct::condition::explained::Fit;
use phys_instruct::condition::export::{Format, Layers, Level};
use phys_instruct::condition::{
    Answer as Found, AnswerFigures, Lattice, Observation, Observations, Task, TrialScores, files,
};
use phys_instruct::store::atomic;
use phys_instruct::{Error, Model, Samples};
use phys_instruct_physics::{Grid, Pde};
use phys_instruct_pictures::answer::{Answered, draw};
use phys_instruct_pictures::encoded;
use phys_instruct_pictures::page::{self, Texts};
use phys_instruct_pictures::words;
use pyo3::prelude::*;

use crate::failure::{json, or_raise, raise};

/// The name of a table in messages.
const TABLE: &str = "the table, whose line 1 names its columns";

/// The extensions of pictures and pages.
const DRAWN: [&str; 3] = ["html", "png", "svg"];

/// Observations as they are given.
#[derive(FromPyObject)]
pub enum Given<'py> {
    /// The text of a table.
    Table(String),
    /// Values of one field.
    Values(Seen<'py>),
}

/// Values of one field, with their places.
#[derive(FromPyObject)]
pub struct Seen<'py> {
    #[pyo3(item)]
    field: String,
    #[pyo3(item)]
    value: PyReadonlyArray1<'py, f64>,
    /// Coordinates in the domain, or rows.
    #[pyo3(item)]
    y: PyReadonlyArray1<'py, f64>,
    /// Coordinates in the domain, or columns.
    #[pyo3(item)]
    x: PyReadonlyArray1<'py, f64>,
    /// NaN where the error is not known.
    #[pyo3(item)]
    sd: PyReadonlyArray1<'py, f64>,
    /// True if the places are rows and columns of the grid.
    #[pyo3(item)]
    on_grid: bool,
}

/// An observation beside the answer, with the columns of the command line's `--table`: number,
/// field, y, x, value, sd, answer, answer_sd, chi, left_out, left_out_sd and left_out_distance. The
/// last three are NaN where they are not known. The names stand in [`Answer::names`].
type Used = (usize, String, f64, f64, f64, f64, f64, f64, f64, f64, f64, f64);

/// Observations on a grid, numbered from 1 in the order in which they are given, and the names of
/// the tables' columns that were passed over.
pub fn observations(
    pde: &dyn Pde,
    grid: Grid,
    given: &[Given<'_>],
) -> phys_instruct::Result<(Observations, Vec<String>)> {
    let lattice = Lattice::new(pde, grid);
    let (mut points, mut names, mut ignored) = (Vec::new(), Vec::new(), Vec::new());

    for part in given {
        match part {
            Given::Table(text) => {
                let table = files::read_table(TABLE, text, &lattice)?;
                points.extend(table.points);
                names.extend(table.names);
                ignored.extend(table.ignored);
            }
            Given::Values(seen) => seen.add_to(&mut points, pde, &lattice)?,
        }
        names.resize(points.len(), None);
    }
    Ok((Observations::on(&lattice, points)?.with_names(&names), ignored))
}

impl Seen<'_> {
    /// Adds the values to `points`, which are numbered from 1.
    fn add_to(
        &self,
        points: &mut Vec<Observation>,
        pde: &dyn Pde,
        lattice: &Lattice,
    ) -> phys_instruct::Result<()> {
        let Self { field, value, y, x, sd, on_grid } = self;
        let channel = lattice.names().iter().position(|name| name == field).ok_or_else(|| {
            let known = lattice.names().join(", ");
            Error::Observation(format!("no field `{field}`; {} has {known}", pde.name()))
        })?;

        let places = y.as_array().into_iter().zip(x.as_array());
        let values = value.as_array().into_iter().zip(sd.as_array());
        for ((&y, &x), (&value, &sd)) in places.zip(values) {
            let place = if *on_grid { Ok([y, x]) } else { lattice.locate(channel, [y, x]) };
            let number = points.len() + 1;
            let [row, column] =
                place.map_err(|reason| Error::Observation(format!("number {number}: {reason}")))?;
            let sd = (!sd.is_nan()).then_some(sd);
            points.push(Observation { channel, row, column, value, sd });
        }
        Ok(())
    }
}

/// An answer.
#[pyclass(frozen)]
pub struct Answer {
    found: Arc<Found>,
    /// The scores of test problems at the same places, if they were asked for.
    checked: Option<TrialScores>,
    origin: Origin,
}

/// The question behind an answer, and who answered.
pub struct Origin {
    pub model: Arc<Model>,
    /// The name of the model's file.
    pub name: String,
    pub task: Task,
    pub seed: u64,
    /// The call of Python that answers again.
    pub call: String,
}

impl Answer {
    /// Wraps an answer.
    pub fn new(found: Found, checked: Option<TrialScores>, origin: Origin) -> Self {
        Self { found: Arc::new(found), checked, origin }
    }

    fn title(&self) -> String {
        words::title(&self.found, &self.origin.model.card.pde, self.origin.task)
    }

    /// The figures, with a score against a truth.
    fn measured(&self, truth: Option<&Samples>) -> phys_instruct::Result<AnswerFigures> {
        self.found.figures(&self.origin.model, self.origin.task, truth)
    }

    /// A truth `[channel, y, x]` as samples.
    fn truth(&self, array: &PyReadonlyArray3<'_, f32>) -> Samples {
        let values = array.as_array();
        let (_, height, width) = values.dim();
        let data = values.iter().copied().collect();
        Samples { count: 1, height, width, data, ..self.found.posterior.samples.slice(0..0) }
    }

    /// The bytes of a picture or a page, by the extension of the path.
    fn drawn(&self, path: &Path, truth: Option<&Samples>) -> phys_instruct::Result<Vec<u8>> {
        let (found, Origin { model, name, seed, call, .. }) = (&self.found, &self.origin);
        let (pde, figures) = (model.card.pde()?, self.measured(truth)?);
        let [title, caption] = [self.title(), words::caption(found, name, *seed)];
        let answered = Answered {
            posterior: &found.posterior,
            observations: &found.observations,
            truth: truth.map(|truth| truth.sample(0)),
            title: &title,
            caption: &caption,
            notes: found.warnings.iter().map(|w| format!("Warning: {}", w.message)).collect(),
        };

        let bytes = if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("html")) {
            let texts = Texts {
                figures: words::figures(found, &figures, pde.as_ref(), self.checked.as_ref()),
                command: call.clone(),
                advice: words::advice(&figures),
                all: "Posterior.observations holds all",
            };
            page::html(pde.as_ref(), &answered, found, &texts).map(String::into_bytes)
        } else {
            draw(pde.as_ref(), &answered).and_then(|canvas| encoded(path, &canvas))
        };
        bytes.map_err(|error| Error::Request(error.to_string()))
    }

    fn shape(&self) -> [usize; 3] {
        let Samples { channels, height, width, .. } = &self.found.posterior.samples;
        [channels.len(), *height, *width]
    }
}

#[pymethods]
impl Answer {
    /// The members, `[member, channel, y, x]`.
    fn members<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray4<f32>>> {
        let samples = &self.found.posterior.samples;
        let [channels, height, width] = self.shape();
        let values = samples.data.clone().into_pyarray(py);
        values.reshape([samples.count, channels, height, width])
    }

    /// The mean over members, `[channel, y, x]`.
    fn mean<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let values = py.detach(|| self.found.posterior.mean());
        values.into_pyarray(py).reshape(self.shape())
    }

    /// The standard deviation over members, `[channel, y, x]`.
    fn sd<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let values = py.detach(|| self.found.posterior.deviation());
        values.into_pyarray(py).reshape(self.shape())
    }

    /// A quantile of every field over the members, `[channel, y, x]`.
    fn quantile<'py>(&self, py: Python<'py>, share: f64) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let values = py.detach(|| self.found.posterior.quantile(share));
        or_raise(py, values)?.into_pyarray(py).reshape(self.shape())
    }

    /// The probability that a channel lies above a level, `[y, x]`.
    fn probability_above<'py>(
        &self,
        py: Python<'py>,
        channel: usize,
        level: f64,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let [_, height, width] = self.shape();
        let values = py.detach(|| self.found.posterior.share_above(channel, level));
        or_raise(py, values)?.into_pyarray(py).reshape([height, width])
    }

    /// Writes the answer in the format of the path's extension, and returns the files. Pictures and
    /// pages show the truth `[channel, y, x]`, too.
    fn save(
        &self,
        py: Python<'_>,
        path: PathBuf,
        levels: Vec<(String, f64)>,
        truth: Option<PyReadonlyArray3<'_, f32>>,
    ) -> PyResult<Vec<PathBuf>> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_array = Format::of(&path).is_some();
        if !is_array && !DRAWN.contains(&extension.as_str()) {
            let known: Vec<&str> = Format::ALL.iter().map(|(_, name)| *name).chain(DRAWN).collect();
            let reason = format!("{}: .{} expected", path.display(), known.join(", ."));
            return Err(raise(py, "RequestError", &reason));
        }

        if is_array && truth.is_some() || !is_array && !levels.is_empty() {
            let [given, shown] = if is_array {
                ["truth", "pictures and pages"]
            } else {
                ["above", "files of fields"]
            };
            let reason = format!("{}: {given} is shown by {shown} alone", path.display());
            return Err(raise(py, "RequestError", &reason));
        }

        let truth = truth.map(|array| self.truth(&array));
        let levels: Vec<Level> =
            levels.into_iter().map(|(field, value)| Level { field, value }).collect();
        let written = py.detach(|| {
            if !is_array {
                atomic::write(&path, &self.drawn(&path, truth.as_ref())?)?;
                return Ok(vec![path]);
            }
            let Origin { model, name, seed, .. } = &self.origin;
            let caption = words::caption(&self.found, name, *seed);
            let (pde, title) = (model.card.pde()?, format!("{}. {caption}", self.title()));
            Layers::of(&self.found.posterior, pde.as_ref(), &levels, &title)?.write(&path)
        });
        or_raise(py, written)
    }

    #[getter]
    fn channels(&self) -> Vec<String> {
        self.found.posterior.samples.channels.clone()
    }

    #[getter]
    fn task(&self) -> &'static str {
        self.origin.task.name()
    }

    #[getter]
    fn notes(&self) -> Vec<String> {
        self.found.notes.clone()
    }

    /// The subjects of the warnings, and the warnings.
    #[getter]
    fn warnings(&self, py: Python<'_>) -> PyResult<String> {
        json(py, serde_json::to_string(&self.found.warnings))
    }

    /// The observations beside the answer, by their numbers, each with the error that was taken.
    fn observations(&self) -> Vec<Used> {
        let seen = &self.found.observations;
        let errors = seen.points().iter().map(Observation::deviation);
        let taken: BTreeMap<usize, f64> = seen.numbers().iter().copied().zip(errors).collect();

        let one = |fit: &Fit| {
            let Fit { number, name: _, field, y, x, value, sd, answer, answer_sd, chi, left_out } =
                fit;
            let [left, left_sd, distance] =
                left_out.map_or([f64::NAN; 3], |left| [left.value, left.sd, left.distance]);
            let (field, sd) = (field.clone(), *taken.get(number).unwrap_or(sd));
            (*number, field, *y, *x, *value, sd, *answer, *answer_sd, *chi, left, left_sd, distance)
        };
        self.found.explained.by_number().map(one).collect()
    }

    /// The names of the observations' places, by their numbers; empty where nothing tells them.
    fn names(&self) -> Vec<String> {
        let name = |fit: &Fit| fit.name.clone().unwrap_or_default();
        self.found.explained.by_number().map(name).collect()
    }

    /// The scores of test problems as JSON: `null` where none were asked for.
    fn checked(&self, py: Python<'_>) -> PyResult<String> {
        json(py, serde_json::to_string(&self.checked))
    }

    /// The figures as JSON, with a score against a truth `[channel, y, x]`.
    fn figures(
        &self,
        py: Python<'_>,
        truth: Option<PyReadonlyArray3<'_, f32>>,
    ) -> PyResult<String> {
        let truth = truth.map(|array| self.truth(&array));
        let figures = py.detach(|| self.measured(truth.as_ref()));
        json(py, serde_json::to_string(&or_raise(py, figures)?))
    }
}
