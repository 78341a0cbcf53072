//! `bench unconditional`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use phys_instruct::bench::row::{Key, append_row};
use phys_instruct::bench::unconditional::{self, Item, Options, Setting};
use phys_instruct::bench::{Row, SamplingMethod, table};
use phys_instruct::config::CoordinatesKind;
use phys_instruct::job::Part;
use phys_instruct::store::lock::Lock;
use phys_instruct::store::{atomic, interrupt};
use phys_instruct_pictures::samples::{self, Shown};
use phys_instruct_pictures::words;
use phys_instruct_report::Canvas;
use phys_instruct_report::page::Picture;

use super::choice::{RowsArgs, chosen, given_or, method, weights};
use super::table::{LOG, Table, picture};
use super::{charts, unconditional_table};
use crate::args::{Global, MOST_CALLS, at_least, between, points};
use crate::completion;
use crate::failure::{Failure, Outcome, interrupted};
use crate::models;
use crate::output::{seconds, tell};
use crate::progress::bar;

/// The default folder of rows, tables and the page.
const FOLDER: &str = "runs/bench-unconditional";
/// The number of samples in a picture.
const PICTURED: usize = 3;
/// The number of samples of each set whose spectra and histograms the page shows.
const COMPARED: usize = 64;
/// The seed of all samples that are shown.
const SEED: u64 = 0;

/// Measure the student against EDM, DiffusionPDE, CoCoGen, PIDM and the reference solver
///
/// For every PDE with a student among the models. The folder --out receives rows.jsonl, with which
/// the same command goes on after an interruption, rows.json, rows.csv, table.md and report.html.
///
/// Example: phys-instruct bench unconditional --quick
/// Example: phys-instruct bench unconditional --pde poisson --pde darcy --json
/// Example: phys-instruct bench unconditional --method phys-instruct --method cocogen --steps 100
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Unconditional {
    /// Fewer samples, one seed, 10 and 100 steps: about ten minutes
    #[arg(long)]
    quick: bool,
    /// A PDE to measure; repeatable [default: all with a student]
    #[arg(long, value_name = "PDE", add = completion::pdes())]
    pde: Vec<String>,
    /// Points a side, or along y and x: `64`, `48x80` [default: the finest square with a student]
    #[arg(long, value_name = "S", value_parser = points)]
    grid: Option<[usize; 2]>,
    /// Samples per seed [default: 1000, and 64 for more than 10 steps]
    #[arg(long, value_name = "N", value_parser = at_least::<2>())]
    count: Option<usize>,
    /// Sampling seeds, 0 to N - 1 [default: 3]
    #[arg(long, value_name = "N", value_parser = between::<1, MOST_CALLS>())]
    seeds: Option<usize>,
    /// Sampler steps of the baselines; repeatable [default: 4, 10, 100 and 200; quick: 10 and 100]
    #[arg(long, value_name = "N", value_parser = between::<1, MOST_CALLS>())]
    steps: Vec<usize>,
    /// Add a row of every method's samples after N sweeps of polish, a classical correction of u
    #[arg(long, value_name = "N", value_parser = between::<1, MOST_CALLS>())]
    polish: Option<usize>,
    /// A method to measure, as the table names it; repeatable [default: all]
    #[arg(long, value_name = "NAME", value_parser = method::<SamplingMethod>(SamplingMethod::ALL.iter().map(|m| m.name())))]
    method: Vec<SamplingMethod>,
    /// The folder of rows, tables and page
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    out: PathBuf,
    #[command(flatten)]
    pub(super) rows: RowsArgs,
}

impl Unconditional {
    pub fn run(&self, global: &Global) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let options = self.options(global)?;
        let tuning = weights()?.1;
        let find = |name: &str| models::file(&format!("{name}.safetensors"));
        let plans = chosen(&self.pde, |pde| unconditional::points(pde, &options, &find).is_some())?
            .into_iter()
            .map(|pde| Ok(unconditional::plan(&pde, &options, &tuning, &find)?))
            .collect::<Result<Vec<Vec<Item>>, Failure>>()?;

        let _lock = Lock::take(&self.out)?;
        let log = self.out.join(LOG);
        let mut known = self.rows.known(&self.out, |a: &Row, b| a.key == b.key)?;
        let (mut rows, mut pictures) = (Vec::<Row>::new(), Vec::new());

        let part = self.rows.job.part;
        let mine = |i: &usize| Part::is_taken(part, *i);
        let count = plans.iter().map(Vec::len).sum();
        let bar = bar((0..count).filter(mine).count(), "rows");
        let mut numbers = 0..;
        for items in &plans {
            let numbered = items.iter().zip(numbers.by_ref());
            let own = numbered.filter(|(_, i)| mine(i));
            let own: Vec<&Item> = own.map(|(item, _)| item).collect();
            if own.is_empty() {
                continue;
            }
            let setting = Setting::of(items, options.count, &stop)
                .map_err(|e| interrupted(e, "finished rows are kept"))?;
            for item in own {
                let row = match known.iter().find(|row| row.key == item.key) {
                    Some(row) => row.clone(),
                    None => measured(item, &setting, &options, &stop, &log)?,
                };
                bar.inc();
                known.push(row.clone());
                rows.push(row);
            }
            if part.is_none() {
                pictures.push(pictures_of(items, &setting)?);
            }
        }
        bar.finish_and_clear();
        if part.is_some() {
            self.rows.tell_part(rows.len(), &self.out);
            return Ok(());
        }

        let mut sections = unconditional_table::sections(&rows)?;
        sections.iter_mut().zip(pictures).for_each(|(section, own)| section.pictures = own);
        atomic::write(&self.out.join("rows.csv"), table::csv(&rows).as_bytes())?;

        let note = format!(
            "{} samples per seed, {} for rows of more than {} steps; {} seed(s).{} Latency and \
             throughput are of {}.",
            options.count,
            options.slow_count.min(options.count),
            options.slow_steps,
            options.seeds.len(),
            if self.quick { " A quick run: small samples." } else { "" },
            self.rows.machines(rows.iter().map(|row| row.key.adapter.as_deref()))
        );
        let title = "Phys-Instruct: five benchmarks";
        Table { title, note, rows: &rows, sections }.finish(&self.out, global)
    }

    fn options(&self, global: &Global) -> Result<Options, Failure> {
        let base = if self.quick { Options::quick() } else { Options::default() };
        Ok(Options {
            points: self.grid,
            count: self.count.unwrap_or(base.count),
            slow_count: self.count.unwrap_or(base.slow_count),
            seeds: self.seeds.map_or(base.seeds, |n| (0..n as u64).collect()),
            steps: given_or(&self.steps, base.steps),
            polish: self.polish.unwrap_or(0),
            methods: given_or(&self.method, base.methods),
            device: global.open_device()?,
            ..base
        })
    }
}

fn measured(
    item: &Item,
    setting: &Setting,
    options: &Options,
    stop: &AtomicBool,
    log: &Path,
) -> Result<Row, Failure> {
    let row = unconditional::measure(item, setting, options, stop)
        .map_err(|e| interrupted(e, "finished rows are kept"))?;
    append_row(log, &row)?;
    let Key { pde, method, steps, .. } = &row.key;
    let latency = seconds(row.latency_seconds);
    tell!("{pde}, {method}, {steps} steps: PDE error {:.3e}, {latency}", row.pde_error);
    Ok(row)
}

/// The pictures of held-out data, of the student at one step, and of the plain teacher at its
/// largest number of steps, alone and guided. Spectra and histograms are of all but the guided.
fn pictures_of(items: &[Item], setting: &Setting) -> Result<Vec<Picture>, Failure> {
    let most = |item: &&Item| item.key.steps;
    let last = |method: SamplingMethod| {
        let plain = |item: &&Item| {
            item.key.method == method && item.key.coordinates == Some(CoordinatesKind::Pixel)
        };
        items.iter().filter(plain).max_by_key(most)
    };
    let first = items.iter().find(|item| item.key.method == SamplingMethod::PhysInstruct);
    let reference = setting.reference();
    let compared = COMPARED.min(reference.count);

    let held_out = reference.slice(0..compared);
    let mut sets = vec![("held-out data".to_owned(), held_out)];
    let mut captions = vec!["Made by the reference solver.".to_owned()];
    for item in [first, last(SamplingMethod::Edm)].into_iter().flatten() {
        let drawn = setting.draw(item, compared, SEED)?;
        captions.push(caption_of(item, drawn.calls));
        sets.push((title_of(item), drawn.samples));
    }

    let (pde, about) = (setting.pde(), format!("{compared} samples each, seed {SEED}."));
    let curves = charts::spectra(pde, &sets, &about).into_iter();
    let curves = curves.chain(charts::histograms(pde, &sets, &about));
    let curves: Vec<Canvas> = curves.map(|c| c.canvas()).collect::<Result<_, _>>()?;

    if let Some(item) = last(SamplingMethod::DiffusionPde) {
        let drawn = setting.draw(item, PICTURED.min(compared), SEED)?;
        captions.push(caption_of(item, drawn.calls));
        sets.push((title_of(item), drawn.samples));
    }

    let shown = sets.iter().zip(&captions).map(|((title, samples), caption)| {
        let title = format!("{}: {title}", pde.name());
        Shown::of(samples, setting.residual(), PICTURED, &title, caption)
    });
    let sheets = samples::draw(pde, &shown.collect::<Result<Vec<_>, _>>()?)?;
    let sheets = sets.iter().zip(&sheets).map(|((title, _), canvas)| picture(title, canvas));
    Ok(sheets.chain(curves.iter().map(|canvas| picture(&about, canvas))).collect())
}

fn title_of(item: &Item) -> String {
    let kind = item.key.coordinates_in_words().unwrap_or_default();
    let steps = if item.key.steps == 1 { "step" } else { "steps" };
    format!("{} ({kind}), {} {steps}", item.key.method, item.key.steps)
}

fn caption_of(item: &Item, calls: usize) -> String {
    let (file, calls) = (item.file.as_deref().unwrap_or("none"), words::calls(calls));
    format!("Made by model {file}, {calls}, seed {SEED}. Colours span the held-out data's range.")
}
