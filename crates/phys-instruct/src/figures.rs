//! The figures of a set of samples, with what is known of the samples' origin.

use std::path::Path;
use std::time::Instant;

use phys_instruct_physics::{Grid, Pde};
use serde::Serialize;
use serde_json::Value;

use crate::data::{self, Watch};
use crate::diffusion::sampler::Method;
use crate::eval::{EvalOptions, Report, evaluate};
use crate::model::{Kind, Model};
use crate::polish::polish;
use crate::residual::Residual;
use crate::sampling::{SampleOptions, sample_watched};
use crate::store::dataset;
use crate::{Error, Result, Samples, device, memory, problem, seeds};

/// The default number of network calls of a teacher.
const TEACHER_CALLS: usize = 35;

/// The way in which samples are drawn from a model.
#[derive(Debug, Clone, Copy)]
pub struct Drawing {
    /// The number of samples.
    pub count: usize,
    /// The number of network calls per sample; none for 1 of a student and 35 of a teacher.
    pub calls: Option<usize>,
    /// The solver of a teacher's ODE.
    pub method: Method,
    /// The seed.
    pub seed: u64,
    /// The number of sweeps of polish.
    pub polish: usize,
    /// Takes the solution from the generator's own pass, although the student has an operator.
    pub joint: bool,
}

/// Samples, with the known facts of their origin.
pub struct Subject {
    /// The PDE with its parameters.
    pub pde: Box<dyn Pde>,
    /// The samples.
    pub samples: Samples,
    /// The name of the model's file.
    pub model: Option<String>,
    /// Teacher or student.
    pub kind: Option<Kind>,
    /// The number of network calls per sample.
    pub calls: Option<usize>,
    /// The seed.
    pub seed: Option<u64>,
    /// Tells for a student that has an operator whether it made the solutions.
    pub operator: Option<bool>,
    /// The wall-clock time of sampling, over the number of samples.
    pub seconds_per_sample: Option<f64>,
    /// The correction after sampling.
    pub polish: Option<Polish>,
    /// True if the model was trained on data that the reference solver did not make.
    pub imported: bool,
    /// The known faults of the model.
    pub warnings: Vec<String>,
}

/// A correction after sampling.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Polish {
    /// The number of sweeps.
    pub sweeps: usize,
    /// The wall-clock time, over the number of samples.
    pub seconds_per_sample: f64,
}

/// The figures of samples.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// The PDE's name.
    pub pde: String,
    /// The name of the model's file.
    pub model: Option<String>,
    /// Teacher or student.
    pub kind: Option<Kind>,
    /// The grid.
    #[serde(with = "crate::grid")]
    pub grid: Grid,
    /// The number of network calls per sample.
    pub calls: Option<usize>,
    /// The seed.
    pub seed: Option<u64>,
    /// Tells for a student that has an operator whether it made the solutions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<bool>,
    /// The wall-clock time of sampling, over the number of samples.
    pub seconds_per_sample: Option<f64>,
    /// The correction after sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polish: Option<Polish>,
    /// The channels' names.
    pub channels: Vec<String>,
    /// The number of samples.
    pub count: usize,
    /// The known faults of the model.
    pub warnings: Vec<String>,
    /// The figures against held-out data; none where there are no such data.
    #[serde(flatten)]
    pub report: Option<Report>,
}

/// The figures that a model's file tells, by their names in JSON.
const TOLD: [&str; 10] = [
    "count",
    "calls",
    "seed",
    "reference_count",
    "pde_error",
    "data_floor",
    "solution_error",
    "sliced_wasserstein",
    "sliced_wasserstein_floor",
    "std_ratio",
];

impl Figures {
    /// The part of the figures that a model's file tells ([`crate::model::Record::figures`]).
    ///
    /// # Errors
    /// Fails for figures that JSON cannot hold.
    pub fn told(&self) -> Result<Value> {
        let all = serde_json::to_value(self);
        let all = all.map_err(|e| Error::Request(format!("the figures as JSON: {e}")))?;
        let told = TOLD.iter().map(|name| ((*name).to_owned(), all[name].clone()));
        Ok(Value::Object(told.collect()))
    }

    /// The `model` of the samples, whose file tells these figures.
    ///
    /// # Errors
    /// Fails as [`Figures::told`] does.
    pub fn told_by(&self, model: &Model) -> Result<Model> {
        let mut model = model.clone();
        model.card.record.figures = Some(self.told()?);
        Ok(model)
    }
}

/// The student without its operator.
fn without_operator(model: &Model) -> Result<Model> {
    model.joint().ok_or_else(|| {
        let reason = match model.card.kind {
            Kind::Student => "this student has no operator: it is joint already",
            Kind::Teacher => "a teacher has no operator",
        };
        Error::Request(format!("--joint: {reason}"))
    })
}

/// Refuses so many samples of `channels` fields on a grid that can be drawn, but not measured
/// beside twice as many of the reference's.
///
/// # Errors
/// [`Error::Memory`] with the need.
pub fn ask_for_figures(count: usize, channels: usize, grid: Grid) -> Result<()> {
    // Measured: 7.5 times the samples themselves.
    const COPIES: f64 = 8.0;
    let Grid { ny, nx, .. } = grid;
    let sample = [channels, ny, nx];
    let what = format_args!("{count} samples of {ny} x {nx} and their figures");
    memory::ask(COPIES * memory::of_samples(count, sample), what)
}

impl Subject {
    /// Draws samples from the model of the file `name`, and polishes them.
    ///
    /// # Errors
    /// Fails as [`sample_watched`] and [`polish()`] do, and for a joint student that is to be drawn
    /// from without an operator.
    pub fn draw(
        model: &Model,
        name: Option<String>,
        drawing: &Drawing,
        watch: &mut Watch,
    ) -> Result<Self> {
        let joint = drawing.joint;
        let plain = if joint { Some(without_operator(model)?) } else { None };
        let model = plain.as_ref().unwrap_or(model);
        let calls = if model.card.kind == Kind::Student { 1 } else { TEACHER_CALLS };
        let options = SampleOptions {
            count: drawing.count,
            calls: drawing.calls.unwrap_or(calls),
            method: drawing.method,
            seed: drawing.seed,
        };

        let start = Instant::now();
        let drawn = sample_watched(model, options, watch)?;
        let spent = start.elapsed().as_secs_f64();

        let subject = Self {
            pde: model.card.pde()?,
            samples: drawn.samples,
            model: name,
            kind: Some(model.card.kind),
            calls: Some(drawn.calls),
            seed: Some(drawing.seed),
            operator: (joint || model.operator.is_some()).then_some(!joint),
            seconds_per_sample: Some(spent / drawing.count as f64),
            polish: None,
            imported: !model.card.data.is_empty(),
            warnings: model.card.collapse().into_iter().collect(),
        };
        subject.polished(drawing.polish)
    }

    /// Returns the samples after so many sweeps of polish.
    ///
    /// # Errors
    /// Fails as [`polish()`] does.
    pub fn polished(self, sweeps: usize) -> Result<Self> {
        if sweeps == 0 {
            return Ok(self);
        }
        let residual = problem::residual(self.pde.as_ref(), self.samples.grid(), &device::cpu())?;
        let start = Instant::now();
        let samples = polish(&self.samples, self.pde.as_ref(), residual.as_ref(), sweeps)?;
        let seconds_per_sample = start.elapsed().as_secs_f64() / samples.count as f64;
        Ok(Self { samples, polish: Some(Polish { sweeps, seconds_per_sample }), ..self })
    }

    /// Makes a subject of samples whose origin is unknown.
    pub fn of_file(pde: Box<dyn Pde>, samples: Samples) -> Self {
        Self {
            pde,
            samples,
            model: None,
            kind: None,
            calls: None,
            seed: None,
            operator: None,
            seconds_per_sample: None,
            polish: None,
            imported: false,
            warnings: Vec::new(),
        }
    }

    /// The residual by which the samples are measured; none for a PDE known by data alone.
    ///
    /// # Errors
    /// Fails as [`problem::equation`] does.
    pub fn equation(&self) -> Result<Option<Box<dyn Residual>>> {
        problem::equation(self.pde.as_ref(), self.samples.grid(), &device::cpu())
    }

    /// The number of samples that [`Subject::reference`] draws.
    pub fn reference_count(&self) -> usize {
        2 * self.samples.count.max(2)
    }

    /// The held-out data: those of `path`, or twice as many samples from the reference solver. None
    /// without either.
    ///
    /// # Errors
    /// Fails for a file that cannot be read, and as [`data::generate`] does.
    pub fn reference(&self, path: Option<&Path>, watch: &mut Watch) -> Result<Option<Samples>> {
        if let Some(path) = path {
            return Ok(Some(dataset::load_any(path, self.pde.as_ref())?));
        }
        if !self.pde.has_solver() {
            return Ok(None);
        }
        let (grid, count) = (self.samples.grid(), self.reference_count());
        Ok(Some(data::generate(self.pde.as_ref(), grid, seeds::REFERENCE, count, watch)?))
    }

    /// Measures the samples, if there are held-out data.
    ///
    /// # Errors
    /// Fails as [`evaluate`] does.
    pub fn measure(
        &self,
        reference: Option<&Samples>,
        residual: Option<&dyn Residual>,
    ) -> Result<Figures> {
        let pde = self.pde.as_ref();
        let measured =
            |reference| evaluate(&self.samples, reference, pde, residual, EvalOptions::default());
        let report = reference.map(measured).transpose()?;

        Ok(Figures {
            pde: self.samples.pde.clone(),
            model: self.model.clone(),
            kind: self.kind,
            grid: self.samples.grid(),
            calls: self.calls,
            seed: self.seed,
            operator: self.operator,
            seconds_per_sample: self.seconds_per_sample,
            polish: self.polish,
            channels: self.samples.channels.clone(),
            count: self.samples.count,
            warnings: self.warnings.clone(),
            report,
        })
    }
}
