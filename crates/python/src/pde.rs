//! PDEs: their records, their solver, their residual.

use numpy::{IntoPyArray, PyArray1, PyArray4, PyArrayMethods, PyReadonlyArray3, PyReadonlyArray4};
use phys_instruct::data::{self, Watch};
use phys_instruct::device;
use phys_instruct::doubts::Gathered;
use phys_instruct::eval::physics::residual_fields;
use phys_instruct::problem::{self, Description, Problem};
use phys_instruct::{Error, Samples};
use phys_instruct_physics::{Fields, Grid, Pde as AnyPde, Rows};
use pyo3::prelude::*;

use crate::failure::or_raise;
use crate::work::{aside, waited, watched};

/// The samples whose residual is computed at a time.
const BATCH: usize = 64;

/// The relative residual of each sample, and the residuals as fields.
type Residuals<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray4<f32>>);

/// The names of the PDEs that the library brings.
#[pyfunction]
pub fn names() -> Vec<String> {
    problem::names()
}

/// A PDE, known by its name or by data alone.
#[pyclass(frozen)]
pub struct Pde {
    /// The name, or the description's text.
    source: Source,
    params: Vec<(String, f64)>,
}

/// The text that a PDE is made of.
#[derive(Clone)]
enum Source {
    Name(String),
    Described(Description),
}

impl Pde {
    /// The PDE with its parameters.
    pub fn build(&self) -> phys_instruct::Result<Box<dyn AnyPde>> {
        let mut pde = match &self.source {
            Source::Name(name) => problem::by_name(name)?,
            Source::Described(own) => Problem::described(own.clone())?.pde(),
        };
        for (name, value) in &self.params {
            pde.set_param(name, *value)?;
        }
        Ok(pde)
    }

    /// The text that stands for the PDE in a config; none for a description without a file.
    pub fn named(&self) -> &str {
        match &self.source {
            Source::Name(name) => name,
            Source::Described(own) => &own.name,
        }
    }
}

#[pymethods]
impl Pde {
    #[new]
    fn new(py: Python<'_>, name: String, params: Vec<(String, f64)>) -> PyResult<Self> {
        let own = Self { source: Source::Name(name), params };
        or_raise(py, own.build())?;
        Ok(own)
    }

    #[staticmethod]
    fn described(py: Python<'_>, toml: &str) -> PyResult<Self> {
        let description = or_raise(py, Description::from_toml(toml))?;
        let own = Self { source: Source::Described(description), params: Vec::new() };
        or_raise(py, own.build())?;
        Ok(own)
    }

    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        Ok(or_raise(py, self.build())?.name().to_owned())
    }

    #[getter]
    fn equation(&self, py: Python<'_>) -> PyResult<String> {
        Ok(or_raise(py, self.build())?.equation().to_owned())
    }

    #[getter]
    fn channels(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let pde = or_raise(py, self.build())?;
        Ok(pde.channels().into_iter().map(|channel| channel.name).collect())
    }

    #[getter]
    fn params(&self, py: Python<'_>) -> PyResult<Vec<(String, f64)>> {
        let pde = or_raise(py, self.build())?;
        Ok(pde.params().into_iter().map(|param| (param.name, param.value)).collect())
    }

    /// The lengths of the sides along y and x that a description states.
    #[getter]
    fn sides(&self, py: Python<'_>) -> PyResult<Option<[f64; 2]>> {
        let pde = or_raise(py, self.build())?;
        Ok(problem::description(pde.as_ref()).and_then(|own| own.sides))
    }

    /// Tells whether the input is the first row of a field.
    #[getter]
    fn takes_a_line(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(or_raise(py, self.build())?.layout().input.rows == Rows::First)
    }

    fn points(
        &self,
        py: Python<'_>,
        shape: [usize; 2],
        sides: [f64; 2],
    ) -> PyResult<(Vec<f64>, Vec<f64>)> {
        let pde = or_raise(py, self.build())?;
        let grid = or_raise(py, Grid::new(shape, sides).map_err(Error::from))?;
        let [y, x] = pde.points(grid);
        Ok((y, x))
    }

    /// Solves for inputs `[sample, y, x]`, or `[sample, 1, x]` for lines.
    fn simulate<'py>(
        &self,
        py: Python<'py>,
        inputs: PyReadonlyArray3<'py, f64>,
        sides: [f64; 2],
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray4<f64>>, Vec<String>, String)> {
        let pde = or_raise(py, self.build())?;
        let inputs = inputs.as_array();
        let (count, height, width) = inputs.dim();
        let inputs: Vec<Fields> = inputs
            .outer_iter()
            .map(|field| Fields {
                channels: 1,
                height,
                width,
                data: field.iter().copied().collect(),
            })
            .collect();

        let (solutions, grid) = waited(py, progress.as_ref(), "solving", move || {
            let grid = data::grid_of(pde.as_ref(), &inputs, sides)?;
            Ok((data::solve_checked(pde.as_ref(), grid, &inputs)?, grid))
        })?;
        let doubts = Gathered::of(&solutions);
        let (lines, json) = (doubts.lines().collect(), doubts.to_json().to_string());

        let channels = solutions.first().map_or(1, |solution| solution.fields.channels);
        let values: Vec<f64> = solutions.into_iter().flat_map(|s| s.fields.data).collect();
        let shape = [count, channels, grid.ny, grid.nx];
        Ok((values.into_pyarray(py).reshape(shape)?, lines, json))
    }

    /// The relative residual of each sample, and the residual of each equation as fields.
    fn residual<'py>(
        &self,
        py: Python<'py>,
        samples: PyReadonlyArray4<'py, f32>,
        sides: [f64; 2],
    ) -> PyResult<Residuals<'py>> {
        let pde = or_raise(py, self.build())?;
        let samples = or_raise(py, samples_of(pde.as_ref(), &samples, sides))?;
        let shape = [samples.height, samples.width];

        let (relative, fields, equations) = aside(py, move || {
            let residual = problem::residual(pde.as_ref(), samples.grid(), &device::cpu())?;
            let (mut relative, mut values, mut equations) = (Vec::new(), Vec::new(), 0);

            for start in (0..samples.count).step_by(BATCH) {
                let part = samples.slice(start..(start + BATCH).min(samples.count));
                let of_part = residual_fields(&part, residual.as_ref())?;
                equations = of_part.equations.len();
                for i in 0..part.count {
                    let each = of_part.equations.iter().flat_map(|fields| fields.get(i));
                    each.for_each(|field| values.extend_from_slice(field));
                }
                relative.extend(of_part.relative);
            }
            Ok((relative, values, equations))
        })?;
        let shape = [relative.len(), equations, shape[0], shape[1]];
        Ok((relative.into_pyarray(py), fields.into_pyarray(py).reshape(shape)?))
    }

    /// Draws and solves samples, `[sample, channel, y, x]`.
    fn generate<'py>(
        &self,
        py: Python<'py>,
        count: usize,
        shape: [usize; 2],
        sides: [f64; 2],
        seed: u64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray4<f32>>> {
        let pde = or_raise(py, self.build())?;
        let grid = or_raise(py, Grid::new(shape, sides).map_err(Error::from))?;
        let made = watched(py, progress, |watcher, stop| {
            let mut told = |done| watcher.report(done as u64, count as u64, "solving");
            let mut watch = Watch { progress: &mut told, stop };
            data::generate(pde.as_ref(), grid, seed, count, &mut watch)
        })?;
        array_of(py, made)
    }
}

/// Samples as an array, without a copy.
pub fn array_of(py: Python<'_>, samples: Samples) -> PyResult<Bound<'_, PyArray4<f32>>> {
    let shape = [samples.count, samples.channels.len(), samples.height, samples.width];
    samples.data.into_pyarray(py).reshape(shape)
}

/// An array as samples of a PDE.
pub fn samples_of(
    pde: &dyn AnyPde,
    array: &PyReadonlyArray4<'_, f32>,
    sides: [f64; 2],
) -> phys_instruct::Result<Samples> {
    let values = array.as_array();
    let (count, channels, height, width) = values.dim();
    let names: Vec<String> = pde.channels().into_iter().map(|channel| channel.name).collect();

    if names.len() != channels {
        return Err(Error::Shape(format!(
            "{channels} fields found, {} expected",
            names.join(", ")
        )));
    }
    Ok(Samples {
        pde: pde.name().into(),
        channels: names,
        count,
        height,
        width,
        sides,
        data: values.iter().copied().collect(),
    })
}
