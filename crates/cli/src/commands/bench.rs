//! `bench`: the comparison tables.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use phys_instruct::Samples;
use phys_instruct::bench::five::{self, Item, Options, Setting};
use phys_instruct::bench::page::{self, Picture};
use phys_instruct::bench::row::Key;
use phys_instruct::bench::tuning::{self, Tuned, Tuning};
use phys_instruct::bench::{Row, charts, conditional, table};
use phys_instruct::config::Preconditioning;
use phys_instruct::data::{self, Watch};
use phys_instruct::device;
use phys_instruct::model::{Kind, Model};
use phys_instruct::plot::{Drawing, Sheet};
use phys_instruct::store::{atomic, interrupt};
use phys_instruct_physics::{Pde, registry};

use crate::args::{Global, at_least, at_least_zero};
use crate::failure::{Failure, Outcome, interrupted};
use crate::models;
use crate::output::{print, seconds};
use crate::progress::bar;

/// Where rows, tables and the page go unless told otherwise.
const FOLDER: &str = "runs/bench-five";
/// The file of searched weights, beside the models.
const WEIGHTS: &str = "baselines.toml";
/// The seed of validation data in a search; no table's held-out data comes from it.
const VALIDATION_SEED: u64 = 4_000_000;
/// Samples of a picture.
const PICTURED: usize = 3;
/// Samples of each set whose spectra and histograms the page shows.
const COMPARED: usize = 64;

/// The comparison tables, and the search for the baselines' weights
#[derive(Subcommand)]
pub enum Bench {
    Five(Five),
    Conditional(Conditional),
    Tune(Tune),
}

/// Measure the student against EDM, DiffusionPDE, CoCoGen, PIDM and the reference solver
///
/// For every PDE with a student among the models. The folder --out receives rows.jsonl, with which
/// the same command goes on after an interruption, rows.json, rows.csv, table.md and report.html.
///
/// Example: phys-instruct bench five --quick
/// Example: phys-instruct bench five --pde poisson --pde darcy --json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Five {
    /// Fewer samples, one seed and at most 100 steps: about ten minutes
    #[arg(long)]
    quick: bool,
    /// A PDE to measure; repeatable [default: all with a student]
    #[arg(long, value_name = "PDE")]
    pde: Vec<String>,
    /// Points a side [default: the finest grid with a student]
    #[arg(long, value_name = "S")]
    grid: Option<usize>,
    /// Samples per seed [default: 1000, and 64 for more than 10 steps]
    #[arg(long, value_name = "N", value_parser = at_least::<2>())]
    count: Option<usize>,
    /// Sampling seeds, 0 to N - 1 [default: 3]
    #[arg(long, value_name = "N", value_parser = at_least::<1>())]
    seeds: Option<usize>,
    /// Add the student's rows after N sweeps of classical correction
    #[arg(long, value_name = "N", value_parser = at_least::<1>())]
    polish: Option<usize>,
    /// The folder of rows, tables and page
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    out: PathBuf,
}

/// Measure conditional solving against DiffusionPDE, the exact posterior and interpolation
///
/// For every PDE with a student among the models: forward, inverse and reconstruct from random
/// points. The folder --out receives rows.json and table.md.
///
/// Example: phys-instruct bench conditional --quick
/// Example: phys-instruct bench conditional --pde darcy --points 60 --noise 0.05 --json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Conditional {
    /// Fewer problems, one number of points, one noise, 100 steps of DiffusionPDE: some ten minutes
    #[arg(long)]
    quick: bool,
    /// A PDE to measure; repeatable [default: all with a student]
    #[arg(long, value_name = "PDE")]
    pde: Vec<String>,
    /// Points a side of the models
    #[arg(long, value_name = "S", default_value_t = 32)]
    grid: usize,
    /// Problems of each row [default: 100, and 20 for DiffusionPDE]
    #[arg(long, value_name = "N", value_parser = at_least::<1>())]
    count: Option<usize>,
    /// Points observed; repeatable [default: 500 and 125]
    #[arg(long, value_name = "N", value_parser = at_least::<1>())]
    points: Vec<usize>,
    /// Errors of the observations, in standard deviations of their field; repeatable [default: 0 and
    /// 0.01]
    #[arg(long, value_name = "S", value_parser = at_least_zero)]
    noise: Vec<f64>,
    /// A method to measure, as the table names it; repeatable [default: all]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(conditional::METHODS), hide_possible_values = true)]
    method: Vec<String>,
    /// The folder of rows and table
    #[arg(long, value_name = "DIR", default_value = "runs/bench-conditional")]
    out: PathBuf,
}

/// Search the weights of DiffusionPDE's guidance and CoCoGen's corrections on validation data
///
/// Each teacher, method and number of steps gets the same candidates and samples. The answer, with
/// everything tried, goes into baselines.toml beside the models, where `bench five` finds it.
///
/// Example: phys-instruct bench tune --pde poisson
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Tune {
    /// A PDE; repeatable [default: all]
    #[arg(long, value_name = "PDE")]
    pde: Vec<String>,
    /// Points a side of the teachers
    #[arg(long, value_name = "S", default_value_t = 32)]
    grid: usize,
    /// Samples of each trial
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least::<4>())]
    count: usize,
    /// The file to write [default: baselines.toml beside the models]
    #[arg(long, value_name = "F")]
    out: Option<PathBuf>,
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

impl Conditional {
    fn run(&self, global: &Global) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let options = self.options();
        let find = |name: &str| models::file(&format!("{name}.safetensors"));
        let student = |pde: &str| find(&format!("{pde}-{}-student", self.grid));
        atomic::create_folder(&self.out)?;
        let mut rows = Vec::new();
        for pde in chosen(&self.pde, |pde| student(pde).is_some())? {
            let setting = conditional::Setting::of(pde, self.grid, &options, &find, &stop)?;
            let mut done = |row: &conditional::Row| {
                let conditional::Key { task, method, points, .. } = &row.key;
                let (error, time) = (row.error, seconds(row.seconds));
                eprintln!("{pde}, {task}, {points} points, {method}: error {error:.3}, {time}");
            };
            rows.extend(setting.rows(&options, &stop, &mut done)?);
            // After every PDE: an interruption costs the one it meets.
            self.write(&rows)?;
        }
        eprintln!("rows and table: {}", self.out.display());
        if global.json {
            return print(&json(&rows)?);
        }
        print(conditional::markdown(&rows).trim_end())
    }

    fn write(&self, rows: &[conditional::Row]) -> Outcome {
        atomic::write(&self.out.join("rows.json"), json(rows)?.as_bytes())?;
        Ok(atomic::write(&self.out.join("table.md"), conditional::markdown(rows).as_bytes())?)
    }

    fn options(&self) -> conditional::Options {
        let base = match self.quick {
            true => conditional::Options::quick(),
            false => conditional::Options::default(),
        };
        let or = |given: &[usize], base: Vec<usize>| {
            if given.is_empty() { base } else { given.to_vec() }
        };
        conditional::Options {
            count: self.count.unwrap_or(base.count),
            slow_count: self.count.map_or(base.slow_count, |n| n.min(base.slow_count)),
            points: or(&self.points, base.points),
            noise: if self.noise.is_empty() { base.noise } else { self.noise.clone() },
            methods: if self.method.is_empty() { base.methods } else { self.method.clone() },
            ..base
        }
    }
}

fn json(rows: &[conditional::Row]) -> Result<String, Failure> {
    serde_json::to_string_pretty(rows).map_err(|e| Failure::Usage(e.to_string()))
}

impl Five {
    fn run(&self, global: &Global) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let options = self.options();
        let tuning = weights()?.1;
        let find = |name: &str| models::file(&format!("{name}.safetensors"));
        let plans = chosen(&self.pde, |pde| five::grid(pde, &options, &find).is_some())?
            .into_iter()
            .map(|pde| Ok(five::plan(pde, &options, &tuning, &find)?))
            .collect::<Result<Vec<Vec<Item>>, Failure>>()?;
        atomic::create_folder(&self.out)?;
        let log = self.out.join("rows.jsonl");
        let mut known = Row::read(&log)?;
        let (mut rows, mut pictures) = (Vec::new(), Vec::new());
        let bar = bar(plans.iter().map(Vec::len).sum(), "rows");
        for items in &plans {
            let setting = Setting::of(items, options.count, &stop)
                .map_err(|e| interrupted(e, "finished rows are kept"))?;
            for item in items {
                let row = match known.iter().find(|row| row.key == item.key) {
                    Some(row) => row.clone(),
                    None => measured(item, &setting, &options, &stop, &log)?,
                };
                bar.inc(1);
                known.push(row.clone());
                rows.push(row);
            }
            pictures.extend(pictures_of(items, &setting)?);
        }
        bar.finish_and_clear();
        self.write(&rows, &pictures, &options)?;
        if global.json {
            let value = serde_json::to_value(&rows).map_err(|e| Failure::Usage(e.to_string()))?;
            return print(&format!("{value:#}"));
        }
        eprintln!("tables and page: {}", self.out.display());
        print(table::markdown(&rows).trim_end())
    }

    fn options(&self) -> Options {
        let base = if self.quick { Options::quick() } else { Options::default() };
        Options {
            grid: self.grid,
            count: self.count.unwrap_or(base.count),
            slow_count: self.count.unwrap_or(base.slow_count),
            seeds: self.seeds.map_or(base.seeds.clone(), |n| (0..n as u64).collect()),
            polish: self.polish.unwrap_or(0),
            ..base
        }
    }

    fn write(&self, rows: &[Row], pictures: &[Picture], options: &Options) -> Outcome {
        let note = format!(
            "{} samples per seed, {} for rows of more than {} steps; {} seed(s). {} Latency and \
             throughput are of this machine.",
            options.count,
            options.slow_count.min(options.count),
            options.slow_steps,
            options.seeds.len(),
            if self.quick { "A quick run: small samples, no more than 100 steps." } else { "" }
        );
        let page = page::html("Phys-Instruct: five benchmarks", &note, rows, pictures)?;
        let json = serde_json::to_vec_pretty(rows).map_err(|e| Failure::Usage(e.to_string()))?;
        for (name, bytes) in [
            ("rows.json", json.as_slice()),
            ("rows.csv", table::csv(rows).as_bytes()),
            ("table.md", table::markdown(rows).as_bytes()),
            ("report.html", page.as_bytes()),
        ] {
            atomic::write(&self.out.join(name), bytes)?;
        }
        Ok(())
    }
}

fn measured(
    item: &Item,
    setting: &Setting,
    options: &Options,
    stop: &AtomicBool,
    log: &Path,
) -> Result<Row, Failure> {
    let row = five::measure(item, setting, options, stop)
        .map_err(|e| interrupted(e, "finished rows are kept"))?;
    let line = serde_json::to_string(&row).map_err(|e| Failure::Usage(e.to_string()))?;
    atomic::append_line(log, &line)?;
    let Key { pde, method, steps, .. } = &row.key;
    let latency = seconds(row.latency_s);
    eprintln!("{pde}, {method}, {steps} steps: PDE error {:.3e}, {latency}", row.pde_error);
    Ok(row)
}

/// Samples of held-out data, the student at one step, and the plain teacher at its largest number
/// of steps, alone and guided; spectra and histograms of all but the guided.
fn pictures_of(items: &[Item], setting: &Setting) -> Result<Vec<Picture>, Failure> {
    let most = |item: &&Item| item.key.steps;
    let last = |method: &'static str| {
        let plain = |item: &&Item| {
            item.key.method == method && item.key.preconditioning == Some(Preconditioning::Pixel)
        };
        items.iter().filter(plain).max_by_key(most)
    };
    let first = items.iter().find(|item| item.key.method == "phys-instruct");
    let reference = setting.reference();
    let compared = COMPARED.min(reference.count);
    let mut sets = vec![("held-out data".to_owned(), reference.slice(0..compared))];
    for item in [first, last("edm")].into_iter().flatten() {
        sets.push((title_of(item), setting.draw(item, compared, 0)?));
    }
    let pde = setting.pde();
    let curves = charts::spectra(pde, &sets).into_iter().chain(charts::histograms(&sets));
    let curves: Vec<Drawing> = curves.map(|c| c.drawing()).collect::<Result<_, _>>()?;
    if let Some(item) = last("diffusionpde") {
        sets.push((title_of(item), setting.draw(item, PICTURED.min(compared), 0)?));
    }
    let sheet = |(title, samples): &(String, Samples)| {
        let residual = Some(setting.residual());
        let sheet = Sheet::of_samples(samples, pde, residual, PICTURED, title)?;
        picture(pde, title, &sheet.drawing()?)
    };
    let about = format!("{compared} samples each");
    let curves = curves.iter().map(|drawing| picture(pde, &about, drawing));
    sets.iter().map(sheet).chain(curves).collect()
}

fn picture(pde: &dyn Pde, title: &str, drawing: &Drawing) -> Result<Picture, Failure> {
    Ok(Picture { pde: pde.name().into(), title: title.into(), svg: drawing.to_svg()? })
}

fn title_of(item: &Item) -> String {
    let kind = item.key.preconditioning.map_or("", Preconditioning::name);
    format!("{} ({kind}), {} step(s)", item.key.method, item.key.steps)
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

impl Tune {
    fn run(&self) -> Outcome {
        let (path, mut tuning) = match &self.out {
            Some(path) => (path.clone(), Tuning::read(path)?.unwrap_or_default()),
            None => weights()?,
        };
        let find = |pde: &str, kind: &str| {
            models::file(&format!("{pde}-{}-{kind}.safetensors", self.grid))
        };
        for pde in chosen(&self.pde, |pde| find(pde, "edm").is_some())? {
            let files: Vec<_> =
                ["edm", "teacher"].iter().filter_map(|kind| find(pde, kind)).collect();
            if files.is_empty() {
                let grid = self.grid;
                return Err(Failure::Usage(format!("no teacher of {pde} on grid {grid}")));
            }
            for file in files {
                for tuned in self.search(&file)? {
                    let same = |t: &Tuned| {
                        (&t.teacher, &t.method, t.steps)
                            == (&tuned.teacher, &tuned.method, tuned.steps)
                    };
                    tuning.tuned.retain(|t| !same(t));
                    tuning.tuned.push(tuned);
                }
                tuning.write(&path)?;
            }
        }
        print(&path.display().to_string())
    }

    /// Every method and number of steps of one teacher.
    fn search(&self, file: &Path) -> Result<Vec<Tuned>, Failure> {
        let model = Model::load(file, &device::cpu())?;
        if model.card.kind != Kind::Teacher {
            return Err(Failure::Usage(format!("{}: not a teacher", file.display())));
        }
        let pde = model.card.pde()?;
        let stop = AtomicBool::new(false);
        let mut watch = Watch { progress: &mut |_| (), stop: &stop };
        let grid = model.card.grid;
        let validation =
            data::generate(pde.as_ref(), grid, VALIDATION_SEED, 2 * self.count, &mut watch)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let hash = five::file_hash(file)?;
        let mut all = Vec::new();
        for method in ["diffusionpde", "cocogen"] {
            for steps in tuning::STEPS {
                let numbers = [steps, self.count];
                let tuned = tuning::search(
                    [&stem, &hash, method],
                    &model,
                    pde.as_ref(),
                    &validation,
                    numbers,
                )?;
                eprintln!("{stem}, {method}, {steps} steps: {}", tuned.weight);
                all.push(tuned);
            }
        }
        Ok(all)
    }
}
