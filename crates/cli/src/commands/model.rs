//! `model`: the content of a model file, and a smaller copy.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use phys_instruct::config::NetConfig;
use phys_instruct::device;
use phys_instruct::model::{Kind, Model, Record};
use phys_instruct::student::OperatorCard;
use phys_instruct_report::number::plain;
use serde_json::{Value, json};

use crate::args::{Global, ModelName, SamplingArgs, at_least};
use crate::commands::pde::of_description;
use crate::failure::{Failure, Outcome};
use crate::output::{keep_apart, line, make_room, print, seconds, show};
use crate::{figures, models};

/// Look into model files
#[derive(Subcommand)]
pub enum ModelVerb {
    /// Print what a model says of itself, after reading it whole
    ///
    /// Example: phys-instruct model info poisson
    #[command(verbatim_doc_comment)]
    Info(ModelName),
    /// Write a model with its weights rounded to 16 bits: half the size, for sharing
    ///
    /// A model's file holds the config and the parent of its last training. Figures, licence and
    /// date are added here.
    ///
    /// Example: phys-instruct model pack runs/poisson-32-student --out poisson-32-student.safetensors
    /// Example: phys-instruct model pack RUN --out F.safetensors --measure 200 --licence CC-BY-4.0
    #[command(verbatim_doc_comment)]
    Pack(Pack),
}

/// The arguments of `model pack`.
#[derive(Args)]
pub struct Pack {
    #[command(flatten)]
    name: ModelName,
    /// The file to write
    #[arg(long, value_name = "F")]
    out: PathBuf,
    /// Measure N samples as `eval` does, and tell the figures in the file
    #[arg(long, value_name = "N", value_parser = at_least::<2>())]
    measure: Option<usize>,
    /// Held-out data to measure against [default: made by the reference solver]
    #[arg(long, value_name = "F", requires = "measure")]
    reference: Option<PathBuf>,
    /// Tell the licence of the weights, such as `MIT OR Apache-2.0`
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Tell the date, such as 2026-01-31
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
}

impl ModelVerb {
    pub fn run(&self, global: &Global) -> Outcome {
        match self {
            Self::Info(name) => info(&models::find(&name.model)?, global.json),
            Self::Pack(verb) => verb.run(global),
        }
    }
}

impl Pack {
    fn run(&self, global: &Global) -> Outcome {
        let path = models::find(&self.name.model)?;
        let inputs = [&path].into_iter().chain(&self.reference);
        keep_apart(inputs.map(PathBuf::as_path), [&*self.out])?;
        make_room(&self.out)?;

        let given = Model::load(&path, &global.open_device()?)?;
        let mut model = given.rounded()?;
        // Rounded weights have figures of their own.
        if model.sha256()? != given.sha256()? {
            model.card.record.figures = None;
        }

        let figures = self.measure.map(|count| self.figures(&model, count)).transpose()?;
        let record = &mut model.card.record;
        record.figures = figures.or(record.figures.take());
        record.licence = self.licence.clone().or(record.licence.take());
        record.date = self.date.clone().or(record.date.take());
        record.check()?;
        model.save_packed(&self.out)?;
        print(&self.out.display().to_string())
    }

    /// The figures of `count` samples, of one call each, or of as many as a teacher takes.
    fn figures(&self, model: &Model, count: usize) -> Result<Value, Failure> {
        let subject = figures::draw(model, &self.out, &SamplingArgs::default(), count)?;
        let Some(reference) = figures::reference(&subject, self.reference.as_deref())? else {
            return Err(figures::no_reference(subject.pde.name()));
        };
        let residual = subject.equation()?;
        let measured = figures::measured_on(&subject, Some(&reference), residual.as_deref())?;
        Ok(measured.told()?)
    }
}

/// The line for a file of the first format, which has no checksum.
const NO_CHECKSUM: &str = "no checksum (`model pack` writes a copy with one)";

fn info(path: &Path, json: bool) -> Outcome {
    let model = Model::load(path, &device::cpu())?;
    let (card, checksum) = (&model.card, &model.checksum);
    let bundle = model.to_bundle()?;
    let weights = |prefix: &str| -> usize {
        let own = bundle.tensors.iter().filter(|(name, _)| name.starts_with(prefix));
        own.map(|(_, array)| array.data.len()).sum()
    };
    let parameters = weights("net.");
    let mut value = serde_json::to_value(card).map_err(|e| Failure::Usage(e.to_string()))?;
    value["parameters"] = json!(parameters);
    value["sha256"] = json!(checksum);
    let deviations = model.deviations();
    value["deviations"] = json!(deviations);

    let coordinates = &card.coordinates;
    let noise = serde_json::to_value(coordinates.noise()).unwrap_or_default();
    let process = format!(
        "{} coordinates, noise {}{}",
        coordinates.kind().name(),
        word(&noise),
        if coordinates.linear_predictor() { ", solution less its linear prediction" } else { "" }
    );

    let mut lines = vec![
        line("kind", word(&value["kind"])),
        line("PDE", format!("{}, {}", card.pde, card.grid)),
        line("parameters of the PDE", word(&value["params"])),
        line("channels", card.channels.join(", ")),
    ];
    if card.description.is_some() {
        let pde = card.pde()?;
        lines.push(line("equation", pde.equation()));
        lines.extend(of_description(pde.as_ref()));
        let examples = model.statistics.examples.len() / (card.channels.len() * card.grid.points());
        lines.push(line("examples", format!("{examples} samples of its data are in the file")));
    }
    let of_channel = |(name, sd): (&String, &f64)| format!("{name} {}", plain(*sd));
    let told: Vec<String> = card.channels.iter().zip(&deviations).map(of_channel).collect();
    let told = format!("{} (at a point, from sample to sample)", told.join(", "));
    lines.extend([
        line("deviations", told),
        line("network", in_words(&card.net)),
        line("weights", parameters),
        line("process", process),
    ]);

    if !card.levels.is_empty() {
        lines.push(line("noise levels", format!("{:?}", card.levels)));
        let calibrated = if model.calibrations.is_empty() { "" } else { ", calibrated" };
        lines.push(line("calls", format!("skip {}{calibrated}", word(&value["skip"]))));
    }

    if let Some(operator) = &card.operator {
        let mut described = &mut value["operator"];
        for (at, operator) in operator.chain() {
            let OperatorCard { net, sweeps, sees_residual, steps, before } = operator;
            let parameters = weights(&format!("{at}net."));
            described["parameters"] = json!(parameters);
            let guess = match before {
                Some(_) => "follows the next".into(),
                None => format!("{sweeps} sweep(s)"),
            };
            let seen = if *sees_residual { ", sees the guess's residual" } else { "" };
            let text = format!("{}, {parameters} weights, {guess}{seen}", in_words(net));
            lines.push(line("operator", format!("{text}, {steps} steps of training")));
            if before.is_some() {
                described = &mut described["before"];
            }
        }
    }

    // A student without an operator saw no pairs but the teacher's.
    let saw_pairs = card.kind == Kind::Teacher || card.operator.is_some();
    let imported = (!card.data.is_empty()).then(|| card.data.clone());
    let recorded = saw_pairs.then(|| card.record.data()).flatten();
    if let Some(text) = imported.or(recorded) {
        value["training_data"] = json!(text);
        lines.push(line("data", text));
    }
    lines.push(line("trained", format!("{} steps, {} samples", card.steps, card.samples_seen)));
    lines.push(line("time", seconds(card.seconds)));
    lines.extend(of_record(&card.record));
    lines.push(line("SHA-256", checksum.as_deref().unwrap_or(NO_CHECKSUM)));
    lines.extend(card.collapse().map(|text| line("warning", text)));
    show(json, value, &lines)
}

/// The lines of a model's making.
fn of_record(record: &Record) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    if let Some(figures) = &record.figures {
        let number = |name: &str| figures[name].as_f64().map_or("not known".into(), plain);
        let beside =
            |name: &str, floor: &str| format!("{} (data: {})", number(name), number(floor));
        let drawn = format!("{} samples, {} call(s)", figures["count"], figures["calls"]);
        let ratios = figures["std_ratio"].as_array().into_iter().flatten();
        let ratios = ratios.map(|v| v.as_f64().map_or("not known".into(), |v| format!("{v:.2}")));
        lines.extend([
            line("figures", drawn),
            line("PDE error", beside("pde_error", "data_floor")),
            line("solution error", number("solution_error")),
            line("sliced Wasserstein", beside("sliced_wasserstein", "sliced_wasserstein_floor")),
            line("deviation / data's", ratios.collect::<Vec<_>>().join(", ")),
        ]);
    }

    let told = [("parent", &record.parent), ("licence", &record.licence), ("date", &record.date)];
    lines.extend(told.iter().filter_map(|(name, text)| Some(line(name, text.as_ref()?))));
    if !record.config.is_empty() {
        let count = record.config.lines().count();
        lines.push(line("config", format!("{count} lines, under record.config of --json")));
    }
    lines
}

/// A network's size in words.
fn in_words(net: &NetConfig) -> String {
    format!(
        "U-Net, width {}, multipliers {:?}, {} block(s) a level, patch {}",
        net.width, net.multipliers, net.blocks, net.patch
    )
}

/// Formats JSON without quotes.
fn word(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
