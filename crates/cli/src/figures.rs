//! The figures of a set of samples, as `sample` and `eval` print them.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use phys_instruct::data::{self, Watch};
use phys_instruct::eval::{EvalOptions, Report, evaluate};
use phys_instruct::model::{Kind, Model};
use phys_instruct::polish::polish;
use phys_instruct::problem;
use phys_instruct::residual::Residual;
use phys_instruct::sampling::{SampleOptions, sample};
use phys_instruct::store::dataset;
use phys_instruct::{Samples, device, memory, seeds};
use phys_instruct_physics::{Grid, Pde};
use phys_instruct_report::number::{plain, significant};
use serde::Serialize;

use crate::args::SamplingArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{NO_EQUATION, NO_SOLVER, line, seconds, show, tell};
use crate::picture::in_words;
use crate::progress::bar;
use crate::warnings;

/// The line in place of figures without held-out data.
const NOT_MEASURED: &str = "not known: no solver makes held-out data; --reference F names them";

/// The default number of network calls of a teacher.
const TEACHER_CALLS: usize = 35;

/// Samples, with the known facts of their origin.
pub struct Subject {
    pub pde: Box<dyn Pde>,
    pub samples: Samples,
    /// The name of the model's file.
    pub model: Option<String>,
    pub kind: Option<Kind>,
    pub calls: Option<usize>,
    pub seed: Option<u64>,
    /// Tells for a student that has an operator whether it made the solutions.
    pub operator: Option<bool>,
    pub seconds_per_sample: Option<f64>,
    pub polish: Option<Polish>,
    /// True if the model was trained on data that the reference solver did not make.
    pub imported: bool,
    /// The known faults of the model.
    pub warnings: Vec<String>,
}

/// A correction after sampling.
#[derive(Clone, Copy, Serialize)]
pub struct Polish {
    sweeps: usize,
    seconds_per_sample: f64,
}

/// The student without its operator.
fn without_operator(model: &Model) -> Result<Model, Failure> {
    model.joint().ok_or_else(|| {
        let reason = match model.card.kind {
            Kind::Student => "this student has no operator: it is joint already",
            Kind::Teacher => "a teacher has no operator",
        };
        Failure::Usage(format!("--joint: {reason}"))
    })
}

/// The figures that are printed.
#[derive(Serialize)]
pub struct Figures {
    pde: String,
    model: Option<String>,
    kind: Option<Kind>,
    #[serde(with = "phys_instruct::grid")]
    grid: Grid,
    calls: Option<usize>,
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<bool>,
    seconds_per_sample: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    polish: Option<Polish>,
    channels: Vec<String>,
    count: usize,
    warnings: Vec<String>,
    /// The figures against held-out data; none where there are no such data.
    #[serde(flatten)]
    report: Option<Report>,
}

impl Subject {
    /// Draws `count` samples from the model at `path`.
    pub fn draw(
        model: &Model,
        path: &Path,
        sampling: &SamplingArgs,
        count: usize,
    ) -> Result<Self, Failure> {
        let joint = sampling.joint;
        let plain = if joint { Some(without_operator(model)?) } else { None };
        let model = plain.as_ref().unwrap_or(model);
        let calls = if model.card.kind == Kind::Student { 1 } else { TEACHER_CALLS };
        let options = SampleOptions {
            count,
            calls: sampling.calls.unwrap_or(calls),
            method: sampling.sampler.into(),
            seed: sampling.seed,
        };
        ask_for_figures(model, count)?;

        let bar = bar(count, "sampling");
        let start = Instant::now();
        let drawn = sample(model, options, &mut |done| bar.set_position(done as u64))?;
        let spent = start.elapsed().as_secs_f64();
        bar.finish_and_clear();

        let subject = Self {
            pde: model.card.pde()?,
            samples: drawn.samples,
            model: path.file_name().map(|name| name.to_string_lossy().into_owned()),
            kind: Some(model.card.kind),
            calls: Some(drawn.calls),
            seed: Some(sampling.seed),
            operator: (joint || model.operator.is_some()).then_some(!joint),
            seconds_per_sample: Some(spent / count as f64),
            polish: None,
            imported: !model.card.data.is_empty(),
            warnings: warnings::of_model(&model.card),
        };
        subject.polished(sampling.polish)
    }

    /// Returns the samples after so many sweeps of polish.
    pub fn polished(self, sweeps: usize) -> Result<Self, Failure> {
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
    pub fn equation(&self) -> Result<Option<Box<dyn Residual>>, Failure> {
        Ok(problem::equation(self.pde.as_ref(), self.samples.grid(), &device::cpu())?)
    }

    /// The held-out data: those of `path`, or twice as many samples from the reference solver. None
    /// without either.
    pub fn reference(&self, path: Option<&Path>) -> Result<Option<Samples>, Failure> {
        if let Some(path) = path {
            return Ok(Some(dataset::load_any(path, self.pde.as_ref())?));
        }
        if !self.pde.has_solver() {
            return Ok(None);
        }

        if self.imported {
            tell!(
                "note: the model was trained on imported data; --reference F measures against it"
            );
        }

        let count = 2 * self.samples.count.max(2);
        let bar = bar(count, "solving the reference");
        let mut watch = Watch {
            progress: &mut |done| bar.set_position(done as u64),
            stop: &AtomicBool::new(false),
        };

        let grid = self.samples.grid();
        let made = data::generate(self.pde.as_ref(), grid, seeds::REFERENCE, count, &mut watch);
        bar.finish_and_clear();
        Ok(Some(made?))
    }

    /// Measures the samples, if there are held-out data.
    pub fn measure(
        &self,
        reference: Option<&Samples>,
        residual: Option<&dyn Residual>,
    ) -> Result<Figures, Failure> {
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

/// Refuses samples that can be drawn, but not measured beside twice as many of the reference's.
fn ask_for_figures(model: &Model, count: usize) -> Outcome {
    // Measured: 7.5 times the samples themselves.
    const COPIES: f64 = 8.0;
    let card = &model.card;
    let Grid { ny, nx, .. } = card.grid;
    let sample = [card.channels.len(), ny, nx];
    let what = format_args!("{count} samples of {ny} x {nx} and their figures");
    Ok(memory::ask(COPIES * memory::of_samples(count, sample), what)?)
}

impl Figures {
    /// The first line of a picture of the samples.
    pub fn title(&self) -> String {
        format!("{}: samples on {} × {} points", self.pde, self.grid.ny, self.grid.nx)
    }

    /// The caption of that picture: the origin of the samples and their PDE error.
    pub fn caption(&self) -> String {
        let making = [
            self.model.as_ref().map(|name| format!("model {name}")),
            self.calls.map(|calls| format!("{}{}", in_words(calls), self.of_operator())),
            self.polish.map(|p| format!("{} sweeps of polish", p.sweeps)),
            self.seed.map(|seed| format!("seed {seed}")),
        ];
        let making: Vec<String> = making.into_iter().flatten().collect();

        let making = making.join(", ");
        let errors = self.report.as_ref().map(|r| (r.count, r.pde_error, r.data_floor));
        let Some((count, Some(error), Some(floor))) = errors else {
            return format!("Made by {making}. No equation is known, and so no PDE error.");
        };
        let [error, floor] = [error, floor].map(|v| significant(v, 3));
        format!(
            "Made by {making}. PDE error of all {count} samples {error}; of held-out data {floor}."
        )
    }

    /// The part of an operator in the samples, to follow the network calls.
    fn of_operator(&self) -> &'static str {
        match self.operator {
            None => "",
            Some(true) => ", and as many of the operator",
            Some(false) => ", without the operator",
        }
    }

    /// Prints the figures, and the faults of the model to stderr.
    pub fn print(&self, json: bool) -> Outcome {
        warnings::warn(&self.warnings);
        let value = serde_json::to_value(self).map_err(|e| Failure::Usage(e.to_string()))?;
        show(json, value, &self.lines())
    }

    /// The figures against held-out data; none where there are no such data.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// The lines that are printed.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![line("PDE", format!("{}, {}", self.pde, self.grid))];
        if let Some(model) = &self.model {
            lines.push(line("model", model));
        }

        let calls =
            self.calls.map(|calls| format!(", {} each{}", in_words(calls), self.of_operator()));
        let calls = calls.unwrap_or_default();
        lines.push(line("samples", format!("{}{calls}", self.count)));
        match &self.report {
            Some(report) => lines.extend(self.measured(report)),
            None => lines.push(line("figures", NOT_MEASURED)),
        }

        if let Some(spent) = self.seconds_per_sample {
            lines.push(line("time per sample", seconds(spent)));
        }
        if let Some(Polish { sweeps, seconds_per_sample }) = self.polish {
            let spent = seconds(seconds_per_sample);
            lines.push(line("polish", format!("{sweeps} sweeps, {spent} per sample more")));
        }
        lines
    }

    /// The lines of the figures against held-out data.
    fn measured(&self, r: &Report) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let against = |value, floor| format!("{} (data: {})", plain(value), plain(floor));
        let error = r.pde_error.zip(r.data_floor).map(|(error, floor)| against(error, floor));
        lines.push(line("PDE error", error.unwrap_or_else(|| NO_EQUATION.into())));
        lines.push(line("solution error", solution(r)));
        if let Some(error) = r.rounded_solution_error {
            lines.push(line("with input rounded", plain(error)));
        }
        let distance = against(r.sliced_wasserstein, r.sliced_wasserstein_floor);
        lines.push(line("sliced Wasserstein", distance));

        let each = self.channels.iter().zip(&r.std_ratio);
        let ratios: Vec<String> = each.map(|(c, ratio)| format!("{c} {}", plain(*ratio))).collect();
        lines.push(line("deviation / data's", ratios.join(", ")));

        if let Some(list) = &r.frechet {
            let each = self.channels.iter().zip(list);
            let all: Vec<String> =
                each.map(|(c, f)| format!("{c} {}", against(f.distance, f.floor))).collect();
            lines.push(line("Fréchet distance", all.join(", ")));
        }
        lines
    }
}

fn solution(report: &Report) -> String {
    // Without a refused sample there was no solver to refuse one.
    if report.solved + report.refused == 0 {
        return NO_SOLVER.into();
    }
    match (&report.solution_error, &report.refusal) {
        (Some(error), None) => plain(*error),
        (Some(error), Some(_)) => format!("{} ({} refused)", plain(*error), report.refused),
        (None, refusal) => format!("none: {}", refusal.as_deref().unwrap_or("nothing solved")),
    }
}
