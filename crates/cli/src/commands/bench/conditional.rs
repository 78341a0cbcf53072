//! `bench conditional`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use phys_instruct::bench::SolvingMethod;
use phys_instruct::bench::conditional::{self, Example, Key, Prepared, Row, Setting};
use phys_instruct::bench::row::append_row;
use phys_instruct::bench::unconditional::model_name;
use phys_instruct::condition::Task;
use phys_instruct::problem;
use phys_instruct::store::interrupt;
use phys_instruct::store::lock::Lock;
use phys_instruct_pictures::answer::{self, Answered};
use phys_instruct_pictures::words;
use phys_instruct_report::number::significant;
use phys_instruct_report::page::Picture;

use super::choice::{RowsArgs, chosen, given_or, method};
use super::conditional_table;
use super::table::{LOG, Table, picture};
use crate::args::{
    Global, MOST_CALLS, assignment, at_least, at_least_zero, between, check_once, points,
};
use crate::completion;
use crate::failure::{Failure, Outcome, interrupted};
use crate::models;
use crate::output::{seconds, tell};
use crate::progress::wait;

/// Measure conditional solving against DiffusionPDE, the exact posterior and interpolation
///
/// For every PDE with a student among the models: forward, inverse and reconstruct from random
/// points; Burgers also from sensors that see every time. The folder --out receives rows.jsonl,
/// with which the same command goes on after an interruption, rows.json, table.md and report.html.
///
/// Example: phys-instruct bench conditional --quick
/// Example: phys-instruct bench conditional --pde darcy --points 60 --noise 0.05 --json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Conditional {
    /// Fewer problems, one number of points, one noise, 100 steps and one sample of DiffusionPDE:
    /// half an hour
    #[arg(long)]
    quick: bool,
    /// A PDE to measure; repeatable [default: all with a student]
    #[arg(long, value_name = "PDE", add = completion::pdes())]
    pde: Vec<String>,
    /// A task to measure: forward, inverse or reconstruct; repeatable [default: all]
    #[arg(long, value_name = "TASK")]
    task: Vec<Task>,
    /// Points a side of the models, or along y and x: `64`, `48x80`
    #[arg(long, value_name = "S", default_value = "64", value_parser = points)]
    grid: [usize; 2],
    /// Problems of each row [default: 100, and 20 for DiffusionPDE]
    #[arg(long, value_name = "N", value_parser = at_least::<1>())]
    count: Option<usize>,
    /// Points observed; repeatable [default: 500 and 125]
    #[arg(long, value_name = "N", value_parser = at_least::<1>())]
    points: Vec<usize>,
    /// Columns observed at every time, for Burgers; repeatable [default: 5]
    #[arg(long, value_name = "N", value_parser = at_least::<1>())]
    sensors: Vec<usize>,
    /// Errors of the observations, in standard deviations of their field; repeatable [default: 0
    /// and 0.01]
    #[arg(long, value_name = "S", value_parser = at_least_zero)]
    noise: Vec<f64>,
    /// Steps of DiffusionPDE; repeatable [default: 100 and 500]
    #[arg(long, value_name = "N", value_parser = between::<2, MOST_CALLS>())]
    steps: Vec<usize>,
    /// Samples of DiffusionPDE's answers, whose mean they give [default: 4, with --quick 1]
    #[arg(long, value_name = "N", value_parser = at_least::<1>())]
    guided_ensemble: Option<usize>,
    /// Search DiffusionPDE's weights on the first row of each task alone and keep them for its
    /// others
    #[arg(long, conflicts_with = "part")]
    search_once: bool,
    /// A method to measure, as the table names it; repeatable [default: all]
    #[arg(long, value_name = "NAME", value_parser = method::<SolvingMethod>(SolvingMethod::ALL.iter().map(|m| m.name())), hide_possible_values = true)]
    method: Vec<SolvingMethod>,
    /// A parameter of the law of the problems' inputs, such as `alpha=3`, for PDEs that have it;
    /// repeatable [default: the student's own law]
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    law: Vec<(String, f64)>,
    /// The folder of rows and table
    #[arg(long, value_name = "DIR", default_value = "runs/bench-conditional")]
    out: PathBuf,
    #[command(flatten)]
    pub(super) rows: RowsArgs,
}

impl Conditional {
    pub fn run(&self, global: &Global) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let options = self.options(global)?;
        let find = |name: &str| models::file(&format!("{name}.safetensors"));
        let pdes = self.pdes(|pde| find(&model_name(pde, self.grid, "student")).is_some())?;

        let _lock = Lock::take(&self.out)?;
        let log = self.out.join(LOG);
        let known = self.rows.known(&self.out, |a: &Row, b| a.key == b.key)?;
        let part = self.rows.job.part;
        let (mut rows, mut pictures) = (Vec::<Row>::new(), Vec::new());

        // Rows are dealt out in turn, and each PDE begins with the next part.
        for (first, pde) in pdes.iter().enumerate() {
            let options =
                conditional::Options { part: part.map(|part| (part, first)), ..options.clone() };
            let make = || Setting::of(pde, self.grid, &options, &find, &stop);
            let setting = wait(&format!("{pde}: solving the problems"), make)?;
            let mut done = |row: &Row| {
                let Key { task, method, points, .. } = &row.key;
                let (error, time) = (row.error, seconds(row.seconds));
                tell!("{pde}, {task}, {points} points, {method}: error {error:.3}, {time}");
                append_row(&log, row)
            };

            let prepared = wait(&format!("{pde}: preparing the student"), || setting.prepare())?;
            let measured = setting
                .rows(&prepared, &options, &known, &stop, &mut done)
                .map_err(|e| interrupted(e, "finished rows are kept"))?;
            if !measured.is_empty() && part.is_none() {
                let draw = || pictures_of(&setting, &prepared, &options);
                pictures.push(wait(&format!("{pde}: drawing"), draw)?);
            }
            rows.extend(measured);
        }

        if part.is_some() {
            self.rows.tell_part(rows.len(), &self.out);
            return Ok(());
        }
        let mut sections = conditional_table::sections(&rows);
        sections.iter_mut().zip(pictures).for_each(|(section, own)| section.pictures = own);

        let note = self.note(&options, &rows);
        let title = "Phys-Instruct: conditional solving";
        Table { title, note, rows: &rows, sections }.finish(&self.out, global)
    }

    /// The PDEs to measure: those asked for, or all with a student and the parameters of --law.
    ///
    /// # Errors
    /// Fails, before hours of the others, for a PDE asked for without a student on the grid. Fails
    /// for a parameter of --law that is given twice, that no PDE has beside the others, or that one
    /// of the PDEs asked for does not have.
    fn pdes(&self, has_student: impl Fn(&str) -> bool) -> Result<Vec<String>, Failure> {
        let law = self.law();
        check_once("--law", self.law.iter().map(|(name, _)| name.as_str()))?;
        let has_law = |pde: &str| {
            let params = problem::by_name(pde).map(|pde| pde.params()).unwrap_or_default();
            law.keys().all(|name| params.iter().any(|param| param.name == *name))
        };
        if !problem::names().iter().any(|pde| has_law(pde)) {
            let names: Vec<&str> = law.keys().map(String::as_str).collect();
            return Err(Failure::Usage(format!("--law {}: no PDE has that", names.join(", "))));
        }

        let [ny, nx] = self.grid;
        let no_student = |whose: &str| {
            let words = format!("no student{whose} on {ny} x {nx} among the models");
            Failure::Usage(format!("{words}; --grid names another"))
        };
        if !problem::names().iter().any(|pde| has_student(pde)) {
            return Err(no_student(""));
        }

        let pdes = chosen(&self.pde, |pde| has_student(pde) && has_law(pde))?;
        for pde in &pdes {
            if !has_student(pde) {
                return Err(no_student(&format!(" of {pde}")));
            }
            conditional::of_law(problem::by_name(pde)?, &law)?;
        }
        Ok(pdes)
    }

    /// The parameters of --law.
    fn law(&self) -> BTreeMap<String, f64> {
        self.law.iter().cloned().collect()
    }

    /// The line under the tables.
    fn note(&self, options: &conditional::Options, rows: &[Row]) -> String {
        let conditional::Options { count, slow_count, ensemble, guided_ensemble, law, .. } =
            options;
        let machines = self.rows.machines(rows.iter().map(|row| row.key.adapter.as_deref()));
        let mut note = format!(
            "{count} problems a row, of {ensemble} members each; {slow_count} of {guided_ensemble} \
             samples for DiffusionPDE. Times are of {machines}, of one answer."
        );
        if !law.is_empty() {
            let law: Vec<String> = law.iter().map(|(name, v)| format!("{name} = {v}")).collect();
            note +=
                &format!(" The problems have another law than the student: {}.", law.join(", "));
        }
        note
    }

    fn options(&self, global: &Global) -> Result<conditional::Options, Failure> {
        let base = match self.quick {
            true => conditional::Options::quick(),
            false => conditional::Options::default(),
        };
        Ok(conditional::Options {
            count: self.count.unwrap_or(base.count),
            slow_count: self.count.unwrap_or(base.slow_count),
            tasks: given_or(&self.task, base.tasks),
            points: given_or(&self.points, base.points),
            sensors: given_or(&self.sensors, base.sensors),
            steps: given_or(&self.steps, base.steps),
            noise: given_or(&self.noise, base.noise),
            methods: given_or(&self.method, base.methods),
            guided_ensemble: self.guided_ensemble.unwrap_or(base.guided_ensemble),
            search_once: self.search_once,
            law: self.law(),
            device: global.open_device()?,
            ..base
        })
    }
}

/// The pictures of the student's answers to the first problem of each task.
fn pictures_of(
    setting: &Setting,
    prepared: &Prepared,
    options: &conditional::Options,
) -> Result<Vec<Picture>, Failure> {
    let student = setting.student();
    let drawn = |example: &Example| {
        let Example { task, observations, posterior, pde_error } = example;
        let count = observations.points().len();
        let caption = format!(
            "Made by model {student}, {} members of {}, seed 0. PDE error of the members {}.",
            posterior.samples.count,
            words::calls(posterior.calls),
            significant(*pde_error, 3),
        );

        let answered = Answered {
            posterior,
            observations,
            truth: Some(setting.first_truth()),
            title: &format!("{}, {task}: {count} observations", setting.pde().name()),
            caption: &caption,
            notes: Vec::new(),
        };
        let canvas = answer::draw(setting.pde(), &answered)?;
        Ok(picture(&format!("{task}: the first problem, as the student answers it"), &canvas))
    };

    setting.examples(prepared, options)?.iter().map(drawn).collect()
}
