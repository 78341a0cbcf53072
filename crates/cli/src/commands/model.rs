//! `model`: the content of a model file, and a smaller copy.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use phys_instruct::config::NetConfig;
use phys_instruct::device;
use phys_instruct::model::Model;
use phys_instruct::student::OperatorCard;
use serde_json::json;

use crate::args::{Global, ModelName};
use crate::commands::pde::of_description;
use crate::failure::{Failure, Outcome};
use crate::models;
use crate::output::{line, make_room, print, seconds, show};

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
    /// Example: phys-instruct model pack runs/poisson-32-student --out poisson-32-student.safetensors
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
}

impl ModelVerb {
    pub fn run(&self, global: &Global) -> Outcome {
        match self {
            Self::Info(name) => info(&models::find(&name.model)?, global.json),
            Self::Pack(verb) => verb.run(),
        }
    }
}

impl Pack {
    fn run(&self) -> Outcome {
        let model = Model::load(&models::find(&self.name.model)?, &device::cpu())?;
        make_room(&self.out)?;
        model.save_packed(&self.out)?;
        print(&self.out.display().to_string())
    }
}

/// The line for a file of the first format, which has no checksum.
const NO_CHECKSUM: &str = "no checksum (`model pack` writes a copy with one)";

fn info(path: &Path, json: bool) -> Outcome {
    let (model, checksum) = Model::load_with_checksum(path, &device::cpu())?;
    let card = &model.card;
    let bundle = model.to_bundle()?;
    let weights = |prefix: &str| -> usize {
        let own = bundle.tensors.iter().filter(|(name, _)| name.starts_with(prefix));
        own.map(|(_, array)| array.data.len()).sum()
    };
    let parameters = weights("net.");
    let mut value = serde_json::to_value(card).map_err(|e| Failure::Usage(e.to_string()))?;
    value["parameters"] = json!(parameters);
    value["sha256"] = json!(checksum);

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
    }
    lines.extend([
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
        let (parameters, OperatorCard { net, sweeps, steps }) =
            (weights("operator.net."), operator);
        value["operator"]["parameters"] = json!(parameters);
        let text = format!("{}, {parameters} weights, {sweeps} sweep(s)", in_words(net));
        lines.push(line("operator", format!("{text}, {steps} steps of training")));
    }

    if !card.data.is_empty() {
        lines.push(line("data", &card.data));
    }

    lines.push(line("trained", format!("{} steps, {} samples", card.steps, card.samples_seen)));
    lines.push(line("time", seconds(card.seconds)));
    lines.push(line("SHA-256", checksum.as_deref().unwrap_or(NO_CHECKSUM)));
    lines.extend(card.collapse().map(|text| line("warning", text)));
    show(json, value, &lines)
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
