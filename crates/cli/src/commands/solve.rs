//! `solve`: fields from observations.

mod many;
mod report;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use phys_instruct::condition::export::{self, Format, Level};
use phys_instruct::condition::{
    Method, Observations, Options, Question, Solver, Task, TrialScores, Trials, ask_for_members,
    files,
};
use phys_instruct::data::{self, Watch};
use phys_instruct::model::Card;
use phys_instruct::store::{dataset, interrupt};
use phys_instruct::team::Team;
use phys_instruct::{Error, Model, Samples, seeds};
use phys_instruct_physics::{Grid, Pde};
use phys_instruct_pictures::words::NO_EQUATION;
use phys_instruct_report::number::plain;
use serde_json::json;

use crate::args::{
    Global, MOST_CALLS, ModelName, PartArgs, at_least, at_least_zero, between, extension,
};
use crate::failure::{Failure, Outcome};
use crate::output::{keep_apart, line, make_room, say, seconds, show, tell};
use crate::progress::{bar, wait};
use crate::warnings::warn;
use crate::{cache, completion, models, team};

use self::many::{Job, Log, Many, is_many};
use self::report::Report;

/// Fields, with their uncertainty, from sparse and noisy observations
///
/// Forward: the input is observed, the solution asked for. Inverse: the other way round.
/// Reconstruct: anything is observed, everything asked for. The model is a student; it serves as
/// the prior, and an ensemble of its samples that agree with the observations is the answer. An
/// operator that the student may have is not used: the ways to the solution are those of `solve`
/// itself.
///
/// The file of observations is .csv, with a head `field,row,column,value` (grid points from 0) or
/// `field,y,x,value` (anywhere in the domain), and a column `sd` where errors are known; or .npz,
/// for a field u: `u` [y, x] (NaN where nothing was observed), or `u_values` [n] with `u_index` or
/// `u_points` [n, 2], and `u_sd`.
///
/// A table that names points by row and column is of one grid: that of the model `darcy-64` or, for
/// a bare PDE, 32 x 32 points. A bare PDE follows the grid of a whole field and of --truth, too.
///
/// --obs may also be a folder of such files, or a .txt list of their names, one a line, relative
/// to the list's folder. Each is then answered by itself. In --out, --table and --truth `{}` stands
/// for its name without extension.
///
/// The observations are held against what the model knows, and the answer against the observations
/// and the equation. What does not fit is a warning on stderr; --strict makes it exit code 1.
///
/// A program built with the feature `mpi` shares the members of a single file's answer, and of
/// --problems, out among the processes that `mpirun` starts. Many files have --part.
///
/// What depends on the model alone is drawn once and kept in the user's cache folder, which
/// `doctor` names. PHYS_INSTRUCT_CACHE names another folder, or none if it is empty.
///
/// Example: phys-instruct solve darcy --task inverse --make-obs obs.csv --points 60
/// Example: phys-instruct solve darcy --task inverse --obs obs.csv --truth obs.truth.npz
/// Example: phys-instruct solve RUN --task inverse --held-out test.npz --problems 100 --points 50
/// Example: phys-instruct solve darcy --task inverse --obs wells/ --out answers/{}.npz --part 3/8
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Solve {
    #[command(flatten)]
    name: ModelName,
    /// forward, inverse or reconstruct
    #[arg(long, value_name = "TASK", add = completion::tasks())]
    task: Task,
    /// The observations, .csv or .npz; or many such files, a folder or a .txt list
    #[arg(long, value_name = "F", required_unless_present_any = ["make_obs", "problems"])]
    obs: Option<PathBuf>,
    /// Draw a test problem instead: its observations go into F.csv, its fields into F.truth.npz
    #[arg(long, value_name = "F.csv", conflicts_with_all = ["obs", "truth", "out"])]
    make_obs: Option<PathBuf>,
    /// Answer N test problems instead, one for each of the first samples of --held-out, and print
    /// the mean of their scores
    #[arg(long, value_name = "N", requires = "held_out", conflicts_with_all = ["obs", "make_obs", "truth", "out", "sensors", "robust", "resolve"], value_parser = at_least::<1>())]
    problems: Option<usize>,
    /// Samples for test problems, a data set folder or a file [default: made by the reference
    /// solver]; --make-obs takes the one that --seed numbers
    #[arg(long, value_name = "F")]
    held_out: Option<PathBuf>,
    /// Answer N test problems too, with values at the places and of the errors of these
    /// observations, and print how often their truth lies within the 90 % interval
    #[arg(long, value_name = "N", requires = "obs", value_parser = at_least::<1>())]
    check: Option<usize>,
    /// Points of a test problem, at random places
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "obs", value_parser = at_least::<1>())]
    points: usize,
    /// Sensors of a test problem instead, at random x: each sees every row of its column, which for
    /// Burgers is every time
    #[arg(long, value_name = "N", requires = "make_obs", conflicts_with = "points", value_parser = at_least::<1>())]
    sensors: Option<usize>,
    /// Errors of observations without an sd, in parts of the field's deviation, which `model info`
    /// prints; 0 for exact values. A test problem takes the deviation of its own field, over the
    /// points [default: estimated from the observations, near 0.01 where they say little]
    #[arg(long, value_name = "S", value_parser = at_least_zero)]
    noise: Option<f64>,
    /// Let some errors be far larger than stated (Student's t, 4 degrees of freedom), so that a
    /// wrong value does not spoil the answer
    #[arg(long)]
    robust: bool,
    /// Exit code 1 where there is a warning
    #[arg(long)]
    strict: bool,
    /// Members of the ensemble
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least::<2>())]
    ensemble: usize,
    /// The way to the answer [default: what fits the PDE and the observations]
    ///
    /// refinement: the student's own calls, observations put in between;
    /// linearised: the equation linearised near the answer, solved for every member;
    /// input-space: Gauss-Newton in an input of few values, the equation solved between;
    /// noise-space: Gauss-Newton in the student's noise, the way without an equation.
    #[arg(long, value_enum, value_name = "NAME", hide_possible_values = true)]
    method: Option<Way>,
    /// Network calls at each of the student's levels but the first; more of them follow the
    /// observations more closely [default: 2, linearised 1]
    #[arg(long, value_name = "N", value_parser = between::<1, MOST_CALLS>())]
    rounds: Option<usize>,
    /// Replace every member's solution by the reference solver's for its input; `--resolve=false`
    /// keeps the student's own [default: true for --task forward]
    #[arg(long, alias = "physics", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    resolve: Option<bool>,
    /// The seed of the ensemble, or of the test problem
    #[arg(long, value_name = "K", default_value_t = 0)]
    seed: u64,
    /// The true fields, .npz as of `generate` with one sample, to measure the answer against
    #[arg(long, value_name = "F")]
    truth: Option<PathBuf>,
    /// A file for the answer, repeatable: .npz or .nc (members, mean, sd, quantiles), .csv and .asc
    /// (all but the members), .html (a page with fields, figures and observations), .png or .svg
    #[arg(long, value_name = "F")]
    out: Vec<PathBuf>,
    /// Write the probability that FIELD lies above LEVEL, too; repeatable
    #[arg(long, value_name = "FIELD=LEVEL", requires = "out", value_parser = level)]
    above: Vec<Level>,
    /// A .csv file for the observations, each with the answer at its place and with what is
    /// expected of it from all others
    #[arg(long, value_name = "F.csv", requires = "obs")]
    table: Option<PathBuf>,
    /// A file for the figures of many answers, one JSON object a line; files answered in it before
    /// are passed over
    #[arg(long, value_name = "F.jsonl", requires = "obs")]
    log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) job: PartArgs,
}

/// The method of inference.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// Observations between the student's own steps
    Refinement,
    /// Refinement with the equation linearised near the answer
    Linearised,
    /// Gauss-Newton in the input, the equation solved between
    InputSpace,
    /// Gauss-Newton in the student's noise
    NoiseSpace,
}

impl Solve {
    pub fn run(&self, global: &Global) -> Outcome {
        self.out.iter().try_for_each(|path| check_out(path))?;
        self.table.iter().chain(&self.log).try_for_each(|path| make_room(path))?;
        if self.held_out.is_some() && self.obs.is_some() && self.check.is_none() {
            let reason = "with --obs it is used by --check N alone; leave it out, or add that";
            return Err(Failure::Usage(format!("--held-out: {reason}")));
        }
        match &self.obs {
            Some(source) if is_many(source) => return self.answer_each(source, global),
            _ if self.job.part.is_some() || self.log.is_some() => {
                let absent = self.obs.as_ref().filter(|source| !source.exists());
                let reason = absent.map_or_else(
                    || "--part and --log are for many files: --obs with a folder or a list".into(),
                    |source| format!("--obs {}: no such file or folder", source.display()),
                );
                return Err(Failure::Usage(reason));
            }
            _ => {}
        }

        let team = if self.is_shared() { team::of_process()? } else { Team::ALONE };
        team::leave(&team, self.answer_one(&team, global))
    }

    /// Tells whether several processes of MPI draw the members together.
    pub(crate) fn is_shared(&self) -> bool {
        let is_one = self.obs.as_ref().is_some_and(|source| !is_many(source));
        is_one || self.problems.is_some()
    }

    /// Answers one file, or draws or answers test problems.
    fn answer_one(&self, team: &Team, global: &Global) -> Outcome {
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        team.agree("list of arguments", &format!("{arguments:?}"))?;

        let name = &self.name.model;
        let path = match &self.obs {
            Some(file) => {
                let (path, note) = models::for_observations(name, file, self.truth.as_deref())?;
                note.iter().for_each(|note| tell!("note: {note}"));
                path
            }
            None => models::find(name)?,
        };
        let job = self.obs.as_ref().map(|observations| Job {
            observations: observations.clone(),
            truth: self.truth.clone(),
            out: self.out.clone(),
            table: self.table.clone(),
        });
        self.keep_apart(job.as_slice(), &path)?;
        let model = Model::load(&path, &global.open_device()?)?;

        match (&self.make_obs, &job, &self.held_out) {
            (Some(file), ..) => self.draw_problem(&model, file),
            (None, Some(job), _) => self.answer(&model, &file_name(&path), job, team, global),
            (None, None, Some(held_out)) => self.try_problems(&model, held_out, team, global),
            (None, None, None) => {
                Err(Failure::Usage("--obs, --make-obs or --problems is needed".into()))
            }
        }
    }

    /// Refuses outputs of `jobs` that would replace what the command reads.
    fn keep_apart(&self, jobs: &[Job], model: &Path) -> Outcome {
        let read = |job: &'_ Job| [Some(job.observations.clone()), job.truth.clone()];
        let read: Vec<PathBuf> = jobs.iter().flat_map(read).flatten().collect();
        let read = read.iter().chain(&self.obs).chain(&self.held_out).map(PathBuf::as_path);
        let written = jobs.iter().flat_map(|job| job.out.iter().chain(&job.table));
        let written = written.chain(&self.log).map(PathBuf::as_path);
        keep_apart(read.chain([model]), written)
    }

    /// Scores answers to test problems.
    fn try_problems(
        &self,
        model: &Model,
        held_out: &Path,
        team: &Team,
        global: &Global,
    ) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let held_out = dataset::load_any(held_out, model.card.pde()?.as_ref())?;
        let trials = Trials {
            task: self.task,
            problems: self.problems.unwrap_or(1),
            points: self.points,
            noise: self.noise.unwrap_or(0.0),
            options: self.options(),
        };

        let solver = cache::solver(model)?.with_team(team.clone())?;
        let bar = bar(trials.problems, "test problems");
        let mut progress = |done| bar.set_position(done as u64);
        let scores = solver.score_on(&held_out, &trials, &mut progress, &stop)?;
        bar.finish_and_clear();
        if !team.leads() {
            return Ok(());
        }

        let mut value = serde_json::to_value(&scores).map_err(|e| Failure::Usage(e.to_string()))?;
        value["pde"] = json!(model.card.pde);
        value["task"] = json!(self.task);
        value["equation_used"] = json!(model.card.description.is_none());
        warn(&Vec::from_iter(scores.fault()));
        show(global.json, value, &lines_of(&scores, self.task, &model.card))
    }

    /// The scores of test problems at the places of a question, if they are asked for.
    fn check_at(
        &self,
        solver: &Solver,
        pde: &dyn Pde,
        question: Question,
    ) -> Result<Option<TrialScores>, Failure> {
        let Some(count) = self.check else { return Ok(None) };
        let stop = interrupt::stop_flag()?;
        let truths = match &self.held_out {
            Some(path) => dataset::load_any(path, pde)?,
            None => {
                let mut watch = Watch { progress: &mut |_| (), stop: &stop };
                let seed = seeds::CHECK + self.seed;
                let grid = question.observations.grid();
                let truths = data::generate(pde, grid, seed, count, &mut watch);
                // One process that is stopped stops all.
                if solver.team().any(stop.load(Ordering::Relaxed))? {
                    return Err(Error::Interrupted.into());
                }
                truths.map_err(|error| no_truth(pde, error))?
            }
        };
        if truths.count < count {
            let reason = format!("--check {count}: --held-out has {} samples", truths.count);
            return Err(Failure::Usage(reason));
        }

        let bar = bar(count, "test problems");
        let mut progress = |done| bar.set_position(done as u64);
        let scores = solver.check(&question, &truths.slice(0..count), &mut progress, &stop)?;
        bar.finish_and_clear();
        warn(&Vec::from_iter(scores.fault()));
        Ok(Some(scores))
    }

    fn options(&self) -> Options {
        let Self { ensemble, rounds, seed, .. } = *self;
        Options { method: self.method.map(Way::method), ensemble, rounds, seed }
    }

    fn draw_problem(&self, model: &Model, file: &Path) -> Outcome {
        let card = &model.card;
        let pde = card.pde()?;
        if extension(file) != "csv" {
            let name = file.display();
            return Err(Failure::Usage(format!(
                "--make-obs {name}: a name ending in .csv expected"
            )));
        }

        let mut allowed = self.task.observed(pde.as_ref(), card.grid);
        let (option, asked, most) = match self.sensors {
            Some(count) => ("--sensors", count, card.grid.nx),
            None => ("--points", self.points, allowed.len()),
        };
        if asked > most {
            let reason = format!("{option} {asked}: there are {most} to observe on this grid");
            return Err(Failure::Usage(reason));
        }
        let fields = file.with_extension("truth.npz");
        keep_apart(self.held_out.as_deref(), [file, &fields])?;
        make_room(file)?;

        let truth = self.truth_of_problem(pde.as_ref(), card.grid)?;
        let mut points = self.points;
        if let Some(count) = self.sensors {
            allowed = Observations::columns(&allowed, card.grid, count, self.seed);
            points = allowed.len();
        }

        let drawn =
            Observations::draw(&truth, 0, &allowed, points, self.noise.unwrap_or(0.0), self.seed)?;
        files::write(file, &drawn, pde.as_ref())?;
        dataset::write_npz(&truth, &fields)?;
        let count = drawn.points().len();
        tell!("wrote {} ({count} observations), {}", file.display(), fields.display());
        Ok(())
    }

    /// The fields of a test problem: a held-out sample, or the reference solver's.
    fn truth_of_problem(&self, pde: &dyn Pde, grid: Grid) -> Result<Samples, Failure> {
        let Some(path) = &self.held_out else {
            let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
            let seed = seeds::PROBLEM + self.seed;
            return data::generate(pde, grid, seed, 1, &mut watch)
                .map_err(|error| no_truth(pde, error));
        };

        let all = dataset::load_any(path, pde)?;
        let i = usize::try_from(self.seed).unwrap_or(usize::MAX);
        if i >= all.count {
            let reason = format!("--seed {i}: --held-out has samples 0 to {}", all.count - 1);
            return Err(Failure::Usage(reason));
        }
        Ok(all.slice(i..i + 1))
    }

    /// Answers the observations of one file. The leading process alone writes and tells.
    fn answer(
        &self,
        model: &Model,
        name: &str,
        job: &Job,
        team: &Team,
        global: &Global,
    ) -> Outcome {
        let asked = self.ask(model, job)?;
        let prepared = Prepared::of(model, team)?;
        let report = self.report(model, name, &prepared, asked)?;
        if !team.leads() {
            return Ok(());
        }
        report.say("");
        report.write_all(job)?;
        report.print(global.json)?;
        self.check_strict(report.answer.warnings.len())
    }

    /// Answers every file by itself. A file without an answer is named, and the others go on.
    fn answer_each(&self, source: &Path, global: &Global) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let many = Many::of(self, source)?;
        let path = many.model(self)?;
        self.keep_apart(&many.jobs, &path)?;
        let model = Model::load(&path, &global.open_device()?)?;
        let every = Every {
            hash: dataset::file_hash(&path)?,
            log: Log::open(self.log.as_deref())?,
            prepared: Prepared::of(&model, &Team::ALONE)?,
            model,
            path,
            json: global.json,
        };

        let (mut failed, mut warnings) = (0, 0);
        let count = many.jobs.len();
        let bar = bar(count, "files");
        for (done, job) in many.jobs.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                let text = format!("interrupted after {done} of {count} files");
                return Err(Failure::Interrupted(text));
            }
            match self.answer_in_turn(&every, job) {
                Ok(own) => warnings += own,
                Err(failure) => {
                    failed += 1;
                    say!(Warnings, "{}: no answer: {failure}", job.observations.display());
                }
            }
            bar.inc();
        }
        bar.finish_and_clear();

        match failed {
            0 => self.check_strict(warnings),
            _ => Err(Failure::Check(format!("{failed} of {count} files without an answer"))),
        }
    }

    /// Answers one of many files unless the log has its answer; returns the number of warnings.
    fn answer_in_turn(&self, every: &Every, job: &Job) -> Result<usize, Failure> {
        let file = job.observations.display();
        let question = many::question(self, &every.hash, job)?;
        if let Some(warnings) = every.log.answer(&question, job) {
            return Ok(warnings);
        }

        let truth = job.truth.as_deref();
        let (own, note) = models::for_observations(&self.name.model, &job.observations, truth)?;
        if own != every.path {
            let reason = note.unwrap_or_else(|| "of another grid than the first file".into());
            return Err(Failure::Usage(reason));
        }

        let asked = self.ask(&every.model, job)?;
        let report = self.report(&every.model, &file_name(&every.path), &every.prepared, asked)?;
        report.say(&format!("{file}: "));
        let written = report.write_all(job)?;
        every.log.put(question, report.value()?, job, &written, every.json)?;
        Ok(report.answer.warnings.len())
    }

    /// Reads the observations of a file and its truth.
    fn ask(&self, model: &Model, job: &Job) -> Result<Asked, Failure> {
        let (card, file) = (&model.card, &job.observations);
        let pde = card.pde()?;
        job.out.iter().try_for_each(|path| export::check(path, pde.as_ref(), card.grid))?;
        let read = files::read(file, pde.as_ref(), card.grid)?;

        if read.unobserved > 0 {
            let file = file.display();
            tell!("note: {file}: {} places without a value, not observed", read.unobserved);
        }
        if !read.ignored.is_empty() {
            tell!("note: passed over in {}: {}", file.display(), read.ignored.join(", "));
        }

        let truth = job.truth.as_deref().map(|f| dataset::load_any(f, pde.as_ref())).transpose()?;
        if let Some(truth) = truth.as_ref().filter(|truth| truth.count != 1) {
            let count = truth.count;
            return Err(Failure::Usage(format!("--truth: {count} samples found, one expected")));
        }

        let question = Question {
            task: self.task,
            observations: read.observations,
            noise: self.noise,
            robust: self.robust,
            resolve: self.resolve,
            options: self.options(),
        };
        ask_for_members(model, &question)?;
        Ok(Asked { pde, question, truth, unobserved: read.unobserved })
    }

    /// Answers a question and measures the answer.
    fn report(
        &self,
        model: &Model,
        name: &str,
        prepared: &Prepared,
        asked: Asked,
    ) -> Result<Report, Failure> {
        let Asked { pde, question, truth, unobserved } = asked;
        let start = Instant::now();
        let answer = wait("answering", || prepared.solver.answer(question.clone()))?;
        let spent = start.elapsed().as_secs_f64();

        let observations = answer.observations.clone();
        let same = Question { observations, ..question };
        let check = self.check_at(&prepared.solver, pde.as_ref(), same)?;

        Ok(Report {
            name: name.into(),
            seed: self.seed,
            pde,
            figures: answer.figures(model, self.task, truth.as_ref())?,
            answer,
            truth,
            unobserved,
            times: [prepared.seconds, spent],
            levels: self.above.clone(),
            check,
        })
    }

    fn check_strict(&self, warnings: usize) -> Outcome {
        match warnings {
            n if self.strict && n > 0 => {
                Err(Failure::Check(format!("{n} warnings, and --strict was asked for")))
            }
            _ => Ok(()),
        }
    }
}

/// The student, and the place of the answers, for every one of many files.
struct Every {
    model: Model,
    path: PathBuf,
    /// The SHA-256 of the model's file.
    hash: String,
    prepared: Prepared,
    log: Log,
    json: bool,
}

/// A student made ready for questions, and the seconds it took.
struct Prepared {
    solver: Solver,
    seconds: f64,
}

impl Prepared {
    fn of(model: &Model, team: &Team) -> Result<Self, Failure> {
        let start = Instant::now();
        let solver = cache::solver(model)?.with_team(team.clone())?;
        Ok(Self { solver, seconds: start.elapsed().as_secs_f64() })
    }
}

/// A question as read from its file, with the true fields, one sample, where they are known.
struct Asked {
    pde: Box<dyn Pde>,
    question: Question,
    truth: Option<Samples>,
    /// The number of places without a value.
    unobserved: usize,
}

/// Names the option that helps where there is no solver to draw truths.
fn no_truth(pde: &dyn Pde, error: Error) -> Failure {
    match error {
        Error::Physics(error) if !pde.has_solver() => {
            Failure::Usage(format!("{error}; --held-out F names samples to draw from"))
        }
        other => other.into(),
    }
}

/// The lines of the scores of test problems.
pub fn lines_of(scores: &TrialScores, task: Task, card: &Card) -> Vec<(String, String)> {
    let noise = 100.0 * scores.noise.unwrap_or_default();
    let seen = format!("{} values each, errors of {} %", scores.points, plain(noise));
    let error = format!("{}, standard deviation {}", plain(scores.error), plain(scores.error_sd));

    let mut lines = vec![
        line("PDE", &card.pde),
        line("task", task),
        line("test problems", format!("{}, {seen}", scores.problems)),
    ];
    if card.description.is_some() {
        lines.push(line("PDE error", NO_EQUATION));
    }

    lines.push(line("error", error));
    lines.push(line("error of the mean alone", plain(scores.unobserved_error)));
    lines.extend(scores.coverage90.map(|c| line("within the 90 % interval", plain(c))));
    lines.push(line("ranked score (CRPS)", plain(scores.crps)));
    lines.push(line("chi", format!("{} of the mean; 1 is expected", plain(scores.chi))));
    lines.push(line("with a warning", format!("{} of {}", scores.warned, scores.problems)));
    lines.push(line("time an answer", seconds(scores.seconds)));
    lines
}

/// Reads `FIELD=LEVEL`.
fn level(text: &str) -> Result<Level, String> {
    let found = text.split_once('=').and_then(|(field, value)| {
        let value = value.trim().parse().ok().filter(|value: &f64| value.is_finite())?;
        Some(Level { field: field.trim().into(), value })
    });
    found.ok_or_else(|| "FIELD=LEVEL expected, such as a=7.5".into())
}

/// Refuses a name whose format is unknown, and a place that cannot be written.
fn check_out(path: &Path) -> Outcome {
    if Format::of(path).is_some() || ["html", "png", "svg"].contains(&extension(path).as_str()) {
        return make_room(path);
    }
    Err(Failure::Usage(format!(
        "--out {}: a name ending in .npz, .nc, .csv, .asc, .html, .png or .svg expected",
        path.display()
    )))
}

/// The name of a file without its folder.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Way {
    fn method(self) -> Method {
        match self {
            Self::Refinement => Method::Refinement,
            Self::Linearised => Method::Linearised,
            Self::InputSpace => Method::InputSpace,
            Self::NoiseSpace => Method::NoiseSpace,
        }
    }
}
