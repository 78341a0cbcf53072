//! `bench five`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use clap::builder::PossibleValuesParser;
use phys_instruct::Samples;
use phys_instruct::bench::five::{self, Item, Options, Setting};
use phys_instruct::bench::page::Picture;
use phys_instruct::bench::row::{Key, append_row, read_rows};
use phys_instruct::bench::{Row, charts, table};
use phys_instruct::config::CoordinatesKind;
use phys_instruct::plot::{Drawing, Sheet};
use phys_instruct::store::lock::Lock;
use phys_instruct::store::{atomic, interrupt};

use super::{LOG, Table, chosen, given_or, picture, weights};
use crate::args::{Global, MOST_CALLS, at_least, between};
use crate::failure::{Failure, Outcome, interrupted};
use crate::models;
use crate::output::{seconds, tell};
use crate::progress::bar;

/// Where rows, tables and the page go unless told otherwise.
const FOLDER: &str = "runs/bench-five";
/// Samples of a picture.
const PICTURED: usize = 3;
/// Samples of each set whose spectra and histograms the page shows.
const COMPARED: usize = 64;

/// Measure the student against EDM, DiffusionPDE, CoCoGen, PIDM and the reference solver
///
/// For every PDE with a student among the models. The folder --out receives rows.jsonl, with which
/// the same command goes on after an interruption, rows.json, rows.csv, table.md and report.html.
///
/// Example: phys-instruct bench five --quick
/// Example: phys-instruct bench five --pde poisson --pde darcy --json
/// Example: phys-instruct bench five --method phys-instruct --method cocogen --steps 100
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Five {
    /// Fewer samples, one seed, 10 and 100 steps: about ten minutes
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
    #[arg(long, value_name = "N", value_parser = between::<1, MOST_CALLS>())]
    seeds: Option<usize>,
    /// Sampler steps of the baselines; repeatable [default: 4, 10, 100 and 200; quick: 10 and 100]
    #[arg(long, value_name = "N", value_parser = between::<1, MOST_CALLS>())]
    steps: Vec<usize>,
    /// Add the student's rows after N sweeps of classical correction
    #[arg(long, value_name = "N", value_parser = between::<1, MOST_CALLS>())]
    polish: Option<usize>,
    /// A method to measure, as the table names it; repeatable [default: all]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(five::METHODS))]
    method: Vec<String>,
    /// The folder of rows, tables and page
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    out: PathBuf,
}

impl Five {
    pub fn run(&self, global: &Global) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let options = self.options();
        let tuning = weights()?.1;
        let find = |name: &str| models::file(&format!("{name}.safetensors"));
        let plans = chosen(&self.pde, |pde| five::grid(pde, &options, &find).is_some())?
            .into_iter()
            .map(|pde| Ok(five::plan(pde, &options, &tuning, &find)?))
            .collect::<Result<Vec<Vec<Item>>, Failure>>()?;
        let _lock = Lock::take(&self.out)?;
        let log = self.out.join(LOG);
        let mut known = read_rows::<Row>(&log)?;
        let (mut rows, mut pictures) = (Vec::<Row>::new(), Vec::new());
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
            pictures.push(pictures_of(items, &setting)?);
        }
        bar.finish_and_clear();
        let mut sections = table::sections(&rows)?;
        sections.iter_mut().zip(pictures).for_each(|(section, own)| section.pictures = own);
        atomic::write(&self.out.join("rows.csv"), table::csv(&rows).as_bytes())?;
        let note = format!(
            "{} samples per seed, {} for rows of more than {} steps; {} seed(s).{} Latency and \
             throughput are of this machine.",
            options.count,
            options.slow_count.min(options.count),
            options.slow_steps,
            options.seeds.len(),
            if self.quick { " A quick run: small samples." } else { "" }
        );
        let title = "Phys-Instruct: five benchmarks";
        Table { title, note, rows: &rows, sections }.finish(&self.out, global)
    }

    fn options(&self) -> Options {
        let base = if self.quick { Options::quick() } else { Options::default() };
        Options {
            grid: self.grid,
            count: self.count.unwrap_or(base.count),
            slow_count: self.count.unwrap_or(base.slow_count),
            seeds: self.seeds.map_or(base.seeds, |n| (0..n as u64).collect()),
            steps: given_or(&self.steps, base.steps),
            polish: self.polish.unwrap_or(0),
            methods: given_or(&self.method, base.methods),
            ..base
        }
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
    append_row(log, &row)?;
    let Key { pde, method, steps, .. } = &row.key;
    let latency = seconds(row.latency_s);
    tell!("{pde}, {method}, {steps} steps: PDE error {:.3e}, {latency}", row.pde_error);
    Ok(row)
}

/// Samples of held-out data, the student at one step, and the plain teacher at its largest number
/// of steps, alone and guided; spectra and histograms of all but the guided.
fn pictures_of(items: &[Item], setting: &Setting) -> Result<Vec<Picture>, Failure> {
    let most = |item: &&Item| item.key.steps;
    let last = |method: &'static str| {
        let plain = |item: &&Item| {
            item.key.method == method && item.key.preconditioning == Some(CoordinatesKind::Pixel)
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
        picture(title, &sheet.drawing()?)
    };
    let about = format!("{compared} samples each");
    let curves = curves.iter().map(|drawing| picture(&about, drawing));
    sets.iter().map(sheet).chain(curves).collect()
}

fn title_of(item: &Item) -> String {
    let kind = item.key.coordinates().unwrap_or_default();
    format!("{} ({kind}), {} step(s)", item.key.method, item.key.steps)
}
