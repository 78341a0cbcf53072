//! The figures of a set of samples, as `sample` and `eval` print them.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use phys_instruct::data::Watch;
use phys_instruct::eval::Report;
use phys_instruct::figures::{Drawing, ask_for_figures};
pub use phys_instruct::figures::{Figures, Subject};
use phys_instruct::model::Model;
use phys_instruct::residual::Residual;
use phys_instruct::{Samples, figures::Polish};
use phys_instruct_pictures::words::{self, NO_EQUATION};
use phys_instruct_report::number::plain;

use crate::args::SamplingArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{NO_SOLVER, line, seconds, show, tell};
use crate::progress::{bar, wait};
use crate::warnings;

/// The line in place of figures without held-out data.
const NOT_MEASURED: &str = "not known: no solver makes held-out data; --reference F names them";

/// Draws `count` samples from the model at `path`, which are to be measured.
pub fn draw(
    model: &Model,
    path: &Path,
    sampling: &SamplingArgs,
    count: usize,
) -> Result<Subject, Failure> {
    let &SamplingArgs { calls, seed, sampler, polish, joint } = sampling;
    let drawing = Drawing { count, calls, method: sampler.into(), seed, polish, joint };
    ask_for_figures(count, model.card.channels.len(), model.card.grid)?;

    let bar = bar(count, "sampling");
    let mut watch = Watch {
        progress: &mut |done| bar.set_position(done as u64),
        stop: &AtomicBool::new(false),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let subject = Subject::draw(model, name, &drawing, &mut watch)?;
    bar.finish_and_clear();
    Ok(subject)
}

/// The held-out data of [`Subject::reference`], with a bar.
pub fn reference(subject: &Subject, path: Option<&Path>) -> Result<Option<Samples>, Failure> {
    if path.is_none() && subject.imported && subject.pde.has_solver() {
        tell!("note: the model was trained on imported data; --reference F measures against it");
    }

    let bar = bar(subject.reference_count(), "solving the reference");
    let mut watch = Watch {
        progress: &mut |done| bar.set_position(done as u64),
        stop: &AtomicBool::new(false),
    };
    let made = subject.reference(path, &mut watch);
    bar.finish_and_clear();
    Ok(made?)
}

/// The failure where nothing makes held-out data of a PDE.
pub fn no_reference(pde: &str) -> Failure {
    Failure::Usage(format!(
        "{pde} is known by data alone, so that no solver makes held-out data: name them with \
         --reference F"
    ))
}

/// The figures of samples against held-out data, beside a spinner.
pub fn measured_on(
    subject: &Subject,
    reference: Option<&Samples>,
    residual: Option<&dyn Residual>,
) -> Result<Figures, Failure> {
    Ok(wait("measuring", || subject.measure(reference, residual))?)
}

/// What is printed of figures.
pub trait Printed {
    /// The lines that are printed.
    fn lines(&self) -> Vec<(String, String)>;
    /// Prints the figures, and the faults of the model to stderr.
    fn print(&self, json: bool) -> Outcome;
}

impl Printed for Figures {
    fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![line("PDE", format!("{}, {}", self.pde, self.grid))];
        if let Some(model) = &self.model {
            lines.push(line("model", model));
        }

        let calls = self
            .calls
            .map(|calls| format!(", {} each{}", words::calls(calls), words::of_operator(self)));
        let calls = calls.unwrap_or_default();
        lines.push(line("samples", format!("{}{calls}", self.count)));
        match &self.report {
            Some(report) => lines.extend(measured(self, report)),
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

    fn print(&self, json: bool) -> Outcome {
        warnings::warn(&self.warnings);
        let value = serde_json::to_value(self).map_err(|e| Failure::Usage(e.to_string()))?;
        show(json, value, &self.lines())
    }
}

/// The lines of the figures against held-out data.
fn measured(figures: &Figures, r: &Report) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let against = |value, floor| format!("{} (data: {})", plain(value), plain(floor));
    let error = r.pde_error.zip(r.data_floor).map(|(error, floor)| against(error, floor));
    lines.push(line("PDE error", error.unwrap_or_else(|| NO_EQUATION.into())));
    lines.push(line("solution error", solution(r)));
    if let Some(error) = r.rounded_solution_error {
        lines.push(line("with input rounded", plain(error)));
    }

    let Some(law) = &r.distribution else { return lines };
    let distance = against(law.sliced_wasserstein, law.sliced_wasserstein_floor);
    lines.push(line("sliced Wasserstein", distance));

    let each = figures.channels.iter().zip(&law.std_ratio);
    let ratios: Vec<String> = each.map(|(c, ratio)| format!("{c} {}", plain(*ratio))).collect();
    lines.push(line("deviation / data's", ratios.join(", ")));

    if let Some(list) = &law.frechet {
        let each = figures.channels.iter().zip(list);
        let all: Vec<String> =
            each.map(|(c, f)| format!("{c} {}", against(f.distance, f.floor))).collect();
        lines.push(line("Fréchet distance", all.join(", ")));
    }
    lines
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
