//! `bench`: the comparison tables.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use phys_instruct::bench::tuning::Tuning;
use phys_instruct::store::atomic;
use phys_instruct_report::Canvas;
use phys_instruct_report::page::{self, Picture, Section};
use serde::Serialize;

use self::conditional::Conditional;
use self::five::Five;
use self::tune::Tune;
use phys_instruct::problem;

use crate::args::Global;
use crate::failure::{Failure, Outcome};
use crate::models;
use crate::output::{print, print_json, tell};

mod charts;
mod conditional;
mod conditional_table;
mod five;
mod five_table;
mod tune;

/// The file of searched weights, beside the models.
const WEIGHTS: &str = "baselines.toml";
/// The file of finished rows, from which a table is resumed.
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

/// The PDEs asked for, or those for which `has` is true.
fn chosen(asked: &[String], has: impl Fn(&str) -> bool) -> Result<Vec<String>, Failure> {
    for name in asked {
        problem::find(name)?;
    }
    let wanted =
        |name: &str| if asked.is_empty() { has(name) } else { asked.iter().any(|a| a == name) };
    let all: Vec<String> = problem::names().into_iter().filter(|name| wanted(name)).collect();
    if all.is_empty() {
        return Err(Failure::Usage("no models of any PDE found".into()));
    }
    Ok(all)
}

/// The values asked for, or else `base`.
fn given_or<T: Clone>(asked: &[T], base: Vec<T>) -> Vec<T> {
    if asked.is_empty() { base } else { asked.to_vec() }
}

/// The path and the content of the file of searched weights.
fn weights() -> Result<(PathBuf, Tuning), Failure> {
    let path = models::file(WEIGHTS).unwrap_or_else(|| models::folder().join(WEIGHTS));
    let tuning = Tuning::read(&path)?.unwrap_or_default();
    Ok((path, tuning))
}

/// A measured table: its rows, and the sections of the page by PDE.
struct Table<'a, R> {
    title: &'a str,
    note: String,
    rows: &'a [R],
    sections: Vec<Section>,
}

impl<R: Serialize> Table<'_, R> {
    /// Writes rows, table and page into the folder `out`, and prints the rows as JSON or the table.
    fn finish(&self, out: &Path, global: &Global) -> Outcome {
        let rows = serde_json::to_string_pretty(self.rows);
        let rows = rows.map_err(|e| Failure::Usage(e.to_string()))?;
        let table = page::markdown(&self.sections);
        let page = page::html(self.title, &self.note, &self.sections);
        for (name, text) in [("rows.json", &rows), ("table.md", &table), ("report.html", &page)] {
            atomic::write(&out.join(name), text.as_bytes())?;
        }
        if global.json {
            return print_json(serde_json::json!({ "rows": self.rows }));
        }
        tell!("tables and page: {}", out.display());
        print(table.trim_end())
    }
}

fn picture(caption: &str, canvas: &Canvas) -> Picture {
    Picture { caption: caption.into(), svg: canvas.to_svg() }
}
