//! `bench`: the comparison tables.

use std::path::PathBuf;

use clap::Subcommand;
use phys_instruct::bench::page::Picture;
use phys_instruct::bench::tuning::Tuning;
use phys_instruct::plot::Drawing;
use phys_instruct_physics::registry;
use serde::Serialize;

use self::conditional::Conditional;
use self::five::Five;
use self::tune::Tune;
use crate::args::Global;
use crate::failure::{Failure, Outcome};
use crate::models;

mod conditional;
mod five;
mod tune;

/// The file of searched weights, beside the models.
const WEIGHTS: &str = "baselines.toml";
/// The file of finished rows, with which a table goes on.
const LOG: &str = "rows.jsonl";

/// The comparison tables, and the search for the baselines' weights
#[derive(Subcommand)]
pub enum Bench {
    Five(Five),
    Conditional(Conditional),
    Tune(Tune),
}

impl Bench {
    pub fn run(&self, global: &Global) -> Outcome {
        match self {
            Bench::Five(verb) => verb.run(global),
            Bench::Conditional(verb) => verb.run(global),
            Bench::Tune(verb) => verb.run(),
        }
    }
}

/// The PDEs asked for, or those that `has` says yes to.
fn chosen(asked: &[String], has: impl Fn(&str) -> bool) -> Result<Vec<&'static str>, Failure> {
    for name in asked {
        registry::by_name(name)?;
    }
    let wanted =
        |name: &str| if asked.is_empty() { has(name) } else { asked.iter().any(|a| a == name) };
    let all: Vec<&str> = registry::NAMES.iter().copied().filter(|name| wanted(name)).collect();
    if all.is_empty() {
        return Err(Failure::Usage("no models of any PDE found".into()));
    }
    Ok(all)
}

/// The file of searched weights and what it holds.
fn weights() -> Result<(PathBuf, Tuning), Failure> {
    let path = models::file(WEIGHTS).unwrap_or_else(|| models::folder().join(WEIGHTS));
    let tuning = Tuning::read(&path)?.unwrap_or_default();
    Ok((path, tuning))
}

/// Rows as they are printed and written.
fn json(rows: &[impl Serialize]) -> Result<String, Failure> {
    serde_json::to_string_pretty(rows).map_err(|e| Failure::Usage(e.to_string()))
}

fn picture(caption: &str, drawing: &Drawing) -> Result<Picture, Failure> {
    Ok(Picture { caption: caption.into(), svg: drawing.to_svg()? })
}
