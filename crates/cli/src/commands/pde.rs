//! `pde`: the PDEs that the program knows.

use clap::{Args, Subcommand};
use phys_instruct::problem::{self, Points};
use phys_instruct_physics::{Basis, Channel, DIMENSIONLESS, Grid, Part, Pde};
use serde_json::{Value, json};

use crate::args::{Global, PdeArgs};
use crate::failure::Outcome;
use crate::models;
use crate::output::{line, show};

/// Print the PDEs that are known, and what is known of one
#[derive(Subcommand)]
pub enum PdeVerb {
    /// Print the name, the equation, the fields and the bundled models of every PDE
    ///
    /// Example: phys-instruct pde list
    #[command(verbatim_doc_comment)]
    List(List),
    /// Print the equation, fields, parameters and models of a PDE
    ///
    /// A TOML file with a [pde] table stands for the name of a PDE that is known by data alone.
    ///
    /// Example: phys-instruct pde show helmholtz --param k=2
    #[command(verbatim_doc_comment)]
    Show(PdeArgs),
}

/// The arguments of `pde list`.
#[derive(Args)]
pub struct List {}

impl PdeVerb {
    pub fn run(&self, global: &Global) -> Outcome {
        match self {
            Self::List(_) => list(global.json),
            Self::Show(args) => of_one(args.build()?.as_ref(), global.json),
        }
    }
}

fn list(json: bool) -> Outcome {
    let pdes = problem::names()
        .iter()
        .map(|name| problem::by_name(name))
        .collect::<phys_instruct::Result<Vec<_>>>()?;

    let (mut lines, mut entries) = (Vec::new(), Vec::new());
    for pde in &pdes {
        let (name, equation, models) = (pde.name(), pde.equation(), bundled(pde.name()));
        let fields: Vec<String> = pde.channels().into_iter().map(|field| field.name).collect();
        lines.push(line(name, equation));
        lines.push(line("", format!("fields {}", fields.join(", "))));
        lines.push(line("", format!("models {}", in_words(&models))));
        entries.push(
            json!({ "pde": name, "equation": equation, "channels": fields, "models": models }),
        );
    }
    show(json, json!({ "pdes": entries }), &lines)
}

/// The names of models in one line.
fn in_words(models: &[String]) -> String {
    if models.is_empty() { "none found".into() } else { models.join(", ") }
}

fn of_one(pde: &dyn Pde, json: bool) -> Outcome {
    let (channels, layout, law) = (pde.channels(), pde.layout(), pde.input_law());
    let models = bundled(pde.name());
    let arrays = problem::of(pde)?.arrays().to_vec();
    // The number of symmetries does not depend on the grid, if its sides have eighths.
    let grid = Grid::square(pde.smallest_grid().next_multiple_of(8));
    let symmetries = pde.symmetries(grid).len();

    let parts = [("input", &layout.input), ("solution", &layout.solution)];
    let params: Vec<Value> = pde
        .params()
        .iter()
        .map(|p| json!({ "name": p.name, "value": p.value, "meaning": p.meaning }))
        .collect();
    let fields: Vec<Value> = channels
        .iter()
        .map(|c| {
            let boundary = c.basis.map(|basis| basis.boundary());
            let boundary = (!is_open(c, pde)).then_some(boundary);
            json!({
                "name": c.name, "meaning": c.meaning, "unit": c.unit, "boundary": boundary,
            })
        })
        .collect();
    let names = |part: &Part| -> Vec<&str> {
        channels[part.channels.clone()].iter().map(|c| c.name.as_str()).collect()
    };
    let value = json!({
        "pde": pde.name(), "equation": pde.equation(), "fields": fields,
        "input": names(&layout.input), "solution": names(&layout.solution), "input_law": law.to_string(),
        "sides": pde.sides(), "origin": pde.origin(), "params": params, "solver": pde.has_solver(), "symmetries": symmetries, "arrays": arrays, "models": models,
    });

    let mut lines = vec![line("name", pde.name()), line("equation", pde.equation())];
    for (name, part) in parts {
        let first = if part.is_line() { ", its first row" } else { "" };
        for channel in &channels[part.channels.clone()] {
            lines.push(line(name, format!("{}{first}", described(channel, pde))));
        }
    }
    lines.push(line("law of the input", law));
    for p in pde.params() {
        lines.push(line("parameter", format!("{} = {}: {}", p.name, p.value, p.meaning)));
    }
    lines.push(line("symmetries", format!("{symmetries} on a square, beside the identity")));
    lines.extend(places_and_ranges(pde));
    for [input, solution] in arrays.iter().filter(|names| !names[1].is_empty()) {
        lines.push(line("other programs' arrays", format!("{input}, {solution}")));
    }
    lines.push(line("bundled models", in_words(&models)));
    show(json, value, &lines)
}

/// The fields of a PDE that is known by data alone, with the places of the points and the ranges;
/// nothing for any other.
pub fn of_description(pde: &dyn Pde) -> Vec<(String, String)> {
    if problem::description(pde).is_none() {
        return Vec::new();
    }
    let fields = pde.channels();
    let mut lines: Vec<_> = fields.iter().map(|c| line("field", described(c, pde))).collect();
    lines.push(line("law of the input", pde.input_law()));
    lines.extend(places_and_ranges(pde));
    lines
}

/// The places of the points and the ranges of the fields that a description tells.
fn places_and_ranges(pde: &dyn Pde) -> Vec<(String, String)> {
    let Some(own) = problem::as_described(pde) else { return Vec::new() };
    let [along_y, along_x] = own.places().map(Points::in_words);
    let places = match along_y == along_x {
        true => along_y.to_owned(),
        false => format!("along y {along_y}, along x {along_x}"),
    };

    let channels = pde.channels();
    let range = |(c, [low, high]): (usize, [f64; 2])| {
        line("range", format!("{} from {low} to {high}", channels[c].name))
    };
    let mut lines = vec![line("points", places)];
    match (own.sides(), own.origin()) {
        (Some([ly, lx]), [y, x]) => {
            let (north, east) = (y + ly, x + lx);
            lines.push(line("domain", format!("y from {y} to {north}, x from {x} to {east}")));
        }
        (None, [0.0, 0.0]) => {}
        (None, [y, x]) => lines.push(line("domain", format!("y from {y} on, x from {x} on"))),
    }
    lines.extend(own.description().ranges().map(range));
    lines
}

/// The name, meaning, unit and boundary of a field.
fn described(channel: &Channel, pde: &dyn Pde) -> String {
    // Of data alone, cosines are the basis where nothing is known of a boundary, and the points are
    // said by themselves.
    let alone = problem::description(pde).is_some();
    let words = |basis: Basis| match (alone, basis) {
        (true, Basis::Cosine) => "no slope on the boundary, or none known",
        (true, Basis::SineCells) => "its mean half a spacing outside the first and last point",
        (true, Basis::SineInner) => "its mean one spacing outside the first and last point",
        _ => basis.boundary(),
    };

    let [along_y, along_x] = channel.basis.map(words);
    let boundary = match along_y == along_x {
        _ if is_open(channel, pde) => "boundary chosen from the data".into(),
        true => along_y.to_owned(),
        false => format!("along y {along_y}, along x {along_x}"),
    };
    let unit = match channel.unit.as_deref() {
        None => "unit not told",
        Some(DIMENSIONLESS) => "dimensionless",
        Some(unit) => unit,
    };
    format!("{}: {} ({unit}); {boundary}", channel.name, channel.meaning)
}

/// Tells whether a description leaves the boundary of a field to the data.
fn is_open(channel: &Channel, pde: &dyn Pde) -> bool {
    problem::description(pde).is_some_and(|own| {
        own.fields.iter().any(|field| field.name == channel.name && field.basis.is_none())
    })
}

/// The names of the bundled models of a PDE.
fn bundled(pde: &str) -> Vec<String> {
    let names = models::bundled();
    let stems = names.iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy()));
    let own = stems.filter(|stem| stem.strip_prefix(pde).is_some_and(|rest| rest.starts_with('-')));
    own.map(|stem| stem.into_owned()).collect()
}
