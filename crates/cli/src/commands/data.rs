//! `data`: the content of a data set, its integrity, and data from elsewhere.

use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use phys_instruct::grid::json as grid_json;
use phys_instruct::problem;
use phys_instruct::store::manifest::{Manifest, Recipe};
use phys_instruct::store::merge::{merge, verify as verify_parts};
use phys_instruct::store::{
    Affine, Axes, Check, ImportOptions, Imported, NdArray, arrays, atomic, dataset, import_checked,
    interrupt, is_data_set,
};
use phys_instruct_physics::Pde;
use phys_instruct_report::number::plain;
use serde_json::{Value, json};

use crate::args::{Global, Params, check_once, extension, sides};
use crate::checked::described;
use crate::commands::pde::of_description;
use crate::completion;
use crate::failure::{Failure, Outcome, SCHEMA, interrupted};
use crate::output::{keep_apart, line, make_room, print, print_json, show};
use crate::progress::{bar, wait};
use crate::warnings::warn;

/// Look into data, check it, bring in data from elsewhere
#[derive(Subcommand)]
pub enum DataVerb {
    /// Print what a data set folder or an array file holds
    ///
    /// Example: phys-instruct data info data/poisson-64
    #[command(verbatim_doc_comment)]
    Info(DataFile),
    Verify(Verify),
    Merge(Merge),
    Import(Box<Import>),
}

/// Data.
#[derive(Args)]
pub struct DataFile {
    /// A data set folder, or a file: .npy, .npz, MATLAB's .mat or HDF5
    data: PathBuf,
}

/// Check every shard against its checksum; exit code 1 if one is damaged or missing
///
/// Several folders are the parts of one data set: unfinished and missing parts are named.
///
/// Example: phys-instruct data verify data/poisson-64
/// Example: phys-instruct data verify parts/*
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Verify {
    /// A data set folder, or a file: .npy, .npz, MATLAB's .mat or HDF5; or the folders of parts
    #[arg(required = true)]
    data: Vec<PathBuf>,
}

/// Merge the parts of a data set that several jobs made
///
/// Parts are folders of `generate --part K/N`. Together they must hold every sample once, with one
/// seed and one recipe; every checksum is verified. The merged set equals the one made in one go,
/// to the byte. The parts are left as they are.
///
/// Example: phys-instruct data merge parts/* --out data/poisson-64
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Merge {
    /// The folders of all parts, in any order
    #[arg(value_name = "PART", required = true)]
    parts: Vec<PathBuf>,
    /// A folder for the whole data set
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Turn data of any known format into one .npz in physical units
///
/// Reads .npy, .npz, MATLAB .mat (v5 to v7.3) and HDF5 in the layouts of DiffusionPDE, PDEBench and
/// the Fourier neural operator, any other with --map; also a data set folder, or a folder of ESRI
/// ASCII grids: k_1.asc, h_1.asc, k_2.asc. Every meaning that the axes can have is tried on the
/// equation. The axes taken, and how well the samples solve the equation, are printed and kept in a
/// file .import.json beside the .npz.
///
/// Example: phys-instruct data import train.npz --pde darcy --scale a=9,3 --out darcy.npz
/// Example: phys-instruct data import ns.h5 --pde navier-stokes --map wT=w[-1] --axes nxyt --out o.npz
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Import {
    /// The file, or a folder of data
    data: PathBuf,
    /// PDE of the data: a name, or for data alone a TOML file with a [pde] table
    #[arg(long, value_name = "PDE", add = completion::pdes_and_descriptions())]
    pde: Option<String>,
    #[command(flatten)]
    params: Params,
    /// The array that holds a channel, `group/w` in a group or structure, `w[3]` for one snapshot
    /// of a time axis; repeatable
    #[arg(long, value_name = "CHANNEL=ARRAY", value_parser = pair)]
    map: Vec<(String, String)>,
    /// Axes of the arrays, in their order: n sample, t time, y and x the grid, a minus before y or
    /// x that is stored in reverse. For one channel's array: u=nxyt. Repeatable [default: tried on
    /// the equation]
    #[arg(long, value_name = "[CHANNEL=]AXES", value_parser = axes, allow_hyphen_values = true)]
    axes: Vec<(Option<String>, Axes)>,
    /// Change a channel's units: value = SCALE * stored + OFFSET; repeatable
    #[arg(long, value_name = "CHANNEL=SCALE,OFFSET", value_parser = affine)]
    scale: Vec<(String, f64, f64)>,
    /// Lengths of the domain's sides along y and x, for example `0.6x1` [default: those that the
    /// file or the cells of its grids state, else 1x1]
    #[arg(long, value_name = "LYxLX", value_parser = sides)]
    sides: Option<[f64; 2]>,
    /// Drop rows and columns of every field, for example those on the boundary
    #[arg(long, value_name = "TOP,BOTTOM,LEFT,RIGHT", value_parser = crop, default_value = "0,0,0,0")]
    crop: Crop,
    /// Only the samples from FIRST on and before END, counted from 0
    #[arg(long, value_name = "FIRST..END", value_parser = range)]
    samples: Option<Range<usize>>,
    /// Do not warn of samples that are no solutions of the equation
    #[arg(long)]
    unchecked: bool,
    /// Where to, .npz
    #[arg(long, value_name = "F")]
    out: PathBuf,
}

/// The rows at the top and the bottom, and the columns at the left and the right.
type Crop = [usize; 4];

impl DataVerb {
    pub fn run(&self, global: &Global) -> Outcome {
        match self {
            Self::Info(file) if is_data_set(&file.data) => folder_info(&file.data, global.json),
            Self::Info(file) => file_info(&file.data, global.json),
            Self::Verify(verb) => verify(&verb.data, global.json),
            Self::Merge(verb) => verb.run(global),
            Self::Import(import) => import.run(global),
        }
    }
}

impl Merge {
    fn run(&self, global: &Global) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let bar = bar(0, "merging");
        let mut progress = |done: usize, all: usize| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        };
        let manifest = merge(&self.parts, &self.out, &mut progress, &stop)
            .map_err(|e| interrupted(e, "the same command goes on from the last whole shard"))?;
        bar.finish_and_clear();

        let recipe = &manifest.recipe;
        let value = json!({
            "pde": recipe.pde, "count": recipe.count, "grid": grid_json(recipe.grid),
            "seed": recipe.seed, "parts": self.parts.len(), "out": self.out.to_string_lossy(),
        });
        let Recipe { count, pde, grid, seed, .. } = recipe;
        let samples = format!("{count} of {pde}, {grid}, seed {seed}");
        let parts = self.parts.len();
        let lines =
            [line("samples", samples), line("parts", parts), line("out", self.out.display())];
        show(global.json, value, &lines)
    }
}

impl Import {
    fn run(&self, global: &Global) -> Outcome {
        if extension(&self.out) != "npz" {
            let name = self.out.display();
            return Err(Failure::Usage(format!("--out {name}: a name ending in .npz expected")));
        }
        check_once("--map", self.map.iter().map(|(channel, _)| channel.as_str()))?;
        check_once("--scale", self.scale.iter().map(|(channel, ..)| channel.as_str()))?;
        let axes = self.axes.iter().map(|(channel, _)| channel.as_deref().unwrap_or("AXES"));
        check_once("--axes", axes)?;
        keep_apart([&*self.data], [&*self.out])?;
        let pde = self.params.pde_of(&self.data, self.pde.as_deref())?;
        make_room(&self.out)?;
        let import = || import_checked(&self.data, pde.as_ref(), &self.options());
        let imported = wait("reading and checking", import)?;
        wait("writing", || dataset::write_npz(&imported.samples, &self.out))?;

        let Check { complaints, misplaced, .. } = &imported.check;
        let complaints = if self.unchecked { &[][..] } else { &complaints[..] };
        let name = self.data.display();
        let warnings: Vec<String> =
            complaints.iter().chain(misplaced).map(|c| format!("{name}: {c}")).collect();
        warn(&warnings);
        let pde = problem::completed(pde, &imported.samples)?;
        self.report(&imported, pde.as_ref(), &warnings, global.json)
    }

    fn options(&self) -> ImportOptions {
        let affine = |(channel, scale, offset): &(String, f64, f64)| Affine {
            channel: channel.clone(),
            scale: *scale,
            offset: *offset,
        };
        ImportOptions {
            map: self.map.clone(),
            affine: self.scale.iter().map(affine).collect(),
            sides: self.sides,
            crop: self.crop,
            axes: self.axes.clone(),
            samples: self.samples.clone(),
        }
    }

    /// Prints how the data were read, and writes that beside the samples.
    fn report(
        &self,
        imported: &Imported,
        pde: &dyn Pde,
        warnings: &[String],
        json: bool,
    ) -> Outcome {
        let Imported { samples, axes, reason, check } = imported;
        let axes = axes.to_string();
        let value = json!({
            "schema": SCHEMA, "pde": samples.pde, "count": samples.count, "channels": samples.channels,
            "height": samples.height, "width": samples.width, "out": self.out.to_string_lossy(),
            "source": self.data.to_string_lossy(), "axes": axes, "axes_reason": reason, "check": check,
            "warnings": warnings, "description": problem::description(pde),
        });
        let kept = self.out.with_extension("import.json");
        atomic::write(&kept, format!("{value:#}\n").as_bytes())?;

        let shape = format!("{} of {}, {}", samples.count, samples.pde, samples.grid());
        let mut lines = vec![
            line("samples", shape),
            line("axes", format!("{axes} ({reason})")),
            line("PDE error", described(check)),
        ];
        // What a description leaves open is chosen from these data, so that it is said here.
        lines.extend(of_description(pde));
        lines.push(line("out", self.out.display()));
        show(json, value, &lines)
    }
}

fn folder_info(folder: &Path, json: bool) -> Outcome {
    let manifest = Manifest::read(folder)?;
    let recipe = &manifest.recipe;
    let samples = recipe.samples();

    let mut lines = vec![
        line("PDE", &recipe.pde),
        line("params", join(recipe.params.iter().map(|(k, v)| format!("{k} = {v}")))),
        line("samples", format!("{} in {} shard(s)", samples.len(), manifest.shards.len())),
        line("grid", recipe.grid),
        line("seed", recipe.seed),
        line("made by", format!("phys-instruct {}", manifest.generator)),
    ];
    if let Some(part) = recipe.part {
        let Recipe { count, .. } = recipe;
        lines.push(line("part", format!("{part} of {count} samples, from {}", samples.start)));
    }
    for c in &manifest.channels {
        lines.push(line(&c.name, format!("mean {}, sd {}", plain(c.mean), plain(c.std))));
    }

    let value = serde_json::to_value(&manifest).map_err(|e| Failure::Usage(e.to_string()))?;
    show(json, value, &lines)
}

fn file_info(path: &Path, json: bool) -> Outcome {
    let mut lines = Vec::new();
    let mut value = serde_json::Map::new();
    let mut look = |name: &str, array: NdArray| {
        let (text, figures) = array_info(&array);
        value.insert(name.into(), figures);
        lines.push((name.into(), text));
    };
    let contents = wait("reading", || arrays::read_each(path, &mut look))?;
    for (name, kind) in contents.others {
        value.insert(name.clone(), json!({ "kind": kind }));
        lines.push((name, kind));
    }
    show(json, json!({ "arrays": value }), &lines)
}

/// The shape and the statistics of the finite values, in words and as JSON.
fn array_info(array: &NdArray) -> (String, Value) {
    let (shape, all) = (&array.shape, array.data.len());
    let finite = array.data.iter().filter(|v| v.is_finite()).count();
    let missing = all - finite;
    if finite == 0 {
        let none = if all == 0 { "no values" } else { "no finite values" };
        let figures = json!({ "shape": shape, "not_finite": missing });
        return (format!("{shape:?}, {none}"), figures);
    }

    let [mean, sd, low, high] = statistics(|| array.data.iter().filter(|v| v.is_finite()));
    let mut text = format!(
        "{shape:?}, mean {}, sd {}, {} to {}",
        plain(mean),
        plain(sd),
        plain(low),
        plain(high)
    );
    if missing > 0 {
        text += &format!(", {missing} of {all} not finite");
    }

    let figures = json!({
        "shape": shape, "mean": mean, "std": sd, "min": low, "max": high, "not_finite": missing,
    });
    (text, figures)
}

/// The mean, standard deviation, least and greatest of some values, which are iterated several
/// times.
fn statistics<I: Iterator<Item = f64>>(values: impl Fn() -> I) -> [f64; 4] {
    let n = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / n;
    let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    [mean, variance.sqrt(), low, high]
}

fn verify(paths: &[PathBuf], json: bool) -> Outcome {
    let mut part = None;
    let check = || match paths {
        [path] if !is_data_set(path) => {
            let mut count = 0;
            arrays::read_each(path, &mut |_, _| count += 1)?;
            Ok((count, Vec::new()))
        }
        [path] => {
            let Manifest { shards, recipe, .. } = Manifest::read(path)?;
            part = recipe.part.filter(|part| part.of() > 1);
            Ok((shards.len(), dataset::verify(path)?))
        }
        parts => verify_parts(parts),
    };
    let (checked, faults) = wait("checking", check)?;

    let texts: Vec<String> =
        faults.iter().map(|p| format!("{}: {}", p.file.display(), p.reason)).collect();
    if json {
        let part = part.map(|part| part.to_string());
        print_json(json!({ "checked": checked, "part": part, "problems": texts }))?;
    } else if texts.is_empty() {
        let alone = part.map(|part| format!("; part {part} alone: name the others' folders too"));
        print(&format!("{checked} checked, all whole{}", alone.unwrap_or_default()))?;
    } else {
        print(&texts.join("\n"))?;
    }

    match texts.len() {
        0 => Ok(()),
        n => {
            let of = if paths.len() == 1 { format!(" of {checked}") } else { String::new() };
            Err(Failure::Check(format!(
                "{n}{of} damaged or missing; the command that generated the set repairs it"
            )))
        }
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (a, b) = text.split_once('=').ok_or("CHANNEL=ARRAY expected")?;
    Ok((a.trim().into(), b.trim().into()))
}

fn axes(text: &str) -> Result<(Option<String>, Axes), String> {
    match text.split_once('=') {
        Some((channel, axes)) => Ok((Some(channel.trim().into()), axes.parse()?)),
        None => Ok((None, text.parse()?)),
    }
}

fn affine(text: &str) -> Result<(String, f64, f64), String> {
    let expected = "CHANNEL=SCALE,OFFSET expected, for example a=9,3";
    let (channel, rest) = text.split_once('=').ok_or(expected)?;
    let (scale, offset) = rest.split_once(',').unwrap_or((rest, "0"));
    let number = |t: &str| t.trim().parse::<f64>().map_err(|_| expected.to_string());
    Ok((channel.trim().into(), number(scale)?, number(offset)?))
}

fn crop(text: &str) -> Result<Crop, String> {
    let counts: Result<Vec<usize>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    let counts = counts.ok().and_then(|counts| counts.try_into().ok());
    counts.ok_or_else(|| "four whole numbers expected, for example 1,0,1,0".into())
}

fn range(text: &str) -> Result<Range<usize>, String> {
    let ends = text.split_once("..").map(|(a, b)| (a.trim().parse(), b.trim().parse()));
    match ends {
        Some((Ok(first), Ok(end))) if first < end => Ok(first..end),
        _ => Err("FIRST..END expected with FIRST below END, for example 900..1000".into()),
    }
}
