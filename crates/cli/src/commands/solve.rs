//! `solve`: fields from observations.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::{Args, ValueEnum};
use phys_instruct::condition::{
    Answer, Method, Observations, Options, Question, Task, TrialScores, Trials, ask_for_members,
    files,
};
use phys_instruct::data::{self, Watch};
use phys_instruct::model::Card;
use phys_instruct::store::{dataset, interrupt};
use phys_instruct::{Error, Model, Samples, seeds};
use phys_instruct_physics::{Grid, Pde};
use phys_instruct_report::number::{plain, significant};
use serde_json::json;

use crate::args::{Global, MOST_CALLS, ModelName, at_least, at_least_zero, between, extension};
use crate::failure::{Failure, Outcome};
use crate::output::{NO_EQUATION, line, make_room, seconds, show, tell};
use crate::picture::answer::{self, Answered};
use crate::progress::bar;
use crate::warnings::warn;
use crate::{cache, models, picture};

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
/// A table that names points by row and column, or a whole field, is of one grid: that of the model
/// `darcy-64` or, for a bare PDE, 32 x 32 points.
///
/// The observations are held against what the model knows, and the answer against the observations
/// and the equation. What does not fit is a warning on stderr; --strict makes it exit code 1.
///
/// What depends on the model alone is drawn once and kept in the user's cache folder, which
/// `doctor` names. PHYS_INSTRUCT_CACHE names another folder, or none if it is empty.
///
/// Example: phys-instruct solve darcy --task inverse --make-obs obs.csv --points 60
/// Example: phys-instruct solve darcy --task inverse --obs obs.csv --truth obs.truth.npz
/// Example: phys-instruct solve RUN --task inverse --held-out test.npz --problems 100 --points 50
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Solve {
    #[command(flatten)]
    name: ModelName,
    /// forward, inverse or reconstruct
    #[arg(long, value_name = "TASK")]
    task: Task,
    /// The observations, .csv or .npz
    #[arg(long, value_name = "F", required_unless_present_any = ["make_obs", "problems"])]
    obs: Option<PathBuf>,
    /// Draw a test problem instead: its observations go into F.csv, its fields into F.truth.npz
    #[arg(long, value_name = "F.csv", conflicts_with_all = ["obs", "truth", "out"])]
    make_obs: Option<PathBuf>,
    /// Answer N test problems instead, one for each of the first samples of --held-out, and print the
    /// mean of their scores
    #[arg(long, value_name = "N", requires = "held_out", conflicts_with_all = ["obs", "make_obs", "truth", "out", "sensors", "robust", "resolve"], value_parser = at_least::<1>())]
    problems: Option<usize>,
    /// Samples for test problems, a data set folder or a file [default: made by the reference
    /// solver]; --make-obs takes the one that --seed numbers
    #[arg(long, value_name = "F", conflicts_with = "obs")]
    held_out: Option<PathBuf>,
    /// Points of a test problem, at random places
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "obs", value_parser = at_least::<1>())]
    points: usize,
    /// Sensors of a test problem instead, at random x: each sees every row of its column, which for
    /// Burgers is every time
    #[arg(long, value_name = "N", requires = "make_obs", conflicts_with = "points", value_parser = at_least::<1>())]
    sensors: Option<usize>,
    /// Errors of observations without an sd, in standard deviations of their field; 0 for exact
    /// values [default: estimated from the observations, near 0.01 where they say little]
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
    /// noise-space: Gauss-Newton in the student's noise, for comparison.
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
    /// A file for the answer: .npz (members, mean, sd), .png or .svg; repeatable
    #[arg(long, value_name = "F")]
    out: Vec<PathBuf>,
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
        self.out.iter().try_for_each(|path| picture::check(path))?;
        let name = &self.name.model;
        let path = match &self.obs {
            Some(file) if self.make_obs.is_none() => models::find_for_observations(name, file)?,
            _ => models::find(name)?,
        };
        let model = Model::load(&path, &global.open_device()?)?;
        match (&self.make_obs, &self.obs, &self.held_out) {
            (Some(file), ..) => self.draw_problem(&model, file),
            (None, Some(file), _) => self.answer(&model, file_name(&path), file, global),
            (None, None, Some(held_out)) => self.try_problems(&model, held_out, global),
            (None, None, None) => {
                Err(Failure::Usage("--obs, --make-obs or --problems is needed".into()))
            }
        }
    }

    /// Scores answers to test problems.
    fn try_problems(&self, model: &Model, held_out: &Path, global: &Global) -> Outcome {
        let stop = interrupt::stop_flag()?;
        let held_out = dataset::load_any(held_out, model.card.pde()?.as_ref())?;
        let trials = Trials {
            task: self.task,
            problems: self.problems.unwrap_or(1),
            points: self.points,
            noise: self.noise.unwrap_or(0.0),
            options: self.options(),
        };

        let solver = cache::solver(model)?;
        let bar = bar(trials.problems, "test problems");
        let mut progress = |done| bar.set_position(done as u64);
        let scores = solver.score_on(&held_out, &trials, &mut progress, &stop)?;
        bar.finish_and_clear();

        let mut value = serde_json::to_value(&scores).map_err(|e| Failure::Usage(e.to_string()))?;
        value["pde"] = json!(model.card.pde);
        value["task"] = json!(self.task);
        value["equation_used"] = json!(model.card.description.is_none());
        show(global.json, value, &lines_of(&scores, self.task, &model.card))
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
        let fields = file.with_extension("truth.npz");
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
            return data::generate(pde, grid, seed, 1, &mut watch).map_err(|error| match error {
                Error::Physics(error) if !pde.has_solver() => {
                    Failure::Usage(format!("{error}; --held-out F names samples to draw from"))
                }
                other => other.into(),
            });
        };

        let all = dataset::load_any(path, pde)?;
        let i = usize::try_from(self.seed).unwrap_or(usize::MAX);
        if i >= all.count {
            let reason = format!("--seed {i}: --held-out has samples 0 to {}", all.count - 1);
            return Err(Failure::Usage(reason));
        }
        Ok(all.slice(i..i + 1))
    }

    fn answer(&self, model: &Model, name: String, file: &Path, global: &Global) -> Outcome {
        let card = &model.card;
        let pde = card.pde()?;
        let read = files::read(file, pde.as_ref(), card.grid)?;

        if read.unobserved > 0 {
            tell!("note: {} places without a value, not observed", read.unobserved);
        }
        if !read.ignored.is_empty() {
            tell!("note: passed over in {}: {}", file.display(), read.ignored.join(", "));
        }

        let truth =
            self.truth.as_deref().map(|f| dataset::load_any(f, pde.as_ref())).transpose()?;
        if let Some(truth) = truth.as_ref().filter(|truth| truth.count != 1) {
            let count = truth.count;
            return Err(Failure::Usage(format!("--truth: {count} samples found, one expected")));
        }

        let seed = self.seed;
        let question = Question {
            task: self.task,
            observations: read.observations,
            noise: self.noise,
            robust: self.robust,
            resolve: self.resolve,
            options: self.options(),
        };
        ask_for_members(model, &question)?;

        let start = Instant::now();
        let solver = cache::solver(model)?;
        let prepared = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let answer = solver.answer(question)?;
        let spent = start.elapsed().as_secs_f64();

        let (task, times) = (self.task, [prepared, spent]);
        let unobserved = read.unobserved;
        let report = Report { model, name, seed, pde, task, answer, truth, unobserved, times };
        report.say();

        for path in &self.out {
            report.write(path)?;
            tell!("wrote {}", path.display());
        }
        report.print(global.json)?;

        match report.answer.warnings.len() {
            n if self.strict && n > 0 => {
                Err(Failure::Check(format!("{n} warnings, and --strict was asked for")))
            }
            _ => Ok(()),
        }
    }
}

/// The lines of the scores of test problems.
pub fn lines_of(scores: &TrialScores, task: Task, card: &Card) -> Vec<(String, String)> {
    let noise = 100.0 * scores.noise;
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
    lines.extend(scores.coverage90.map(|c| line("within the 90 % interval", plain(c))));
    lines.push(line("ranked score (CRPS)", plain(scores.crps)));
    lines.push(line("chi", format!("{} of the mean; 1 is expected", plain(scores.chi))));
    lines.push(line("with a warning", format!("{} of {}", scores.warned, scores.problems)));
    lines.push(line("time an answer", seconds(scores.seconds)));
    lines
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

/// An answer, with the fields by which it is measured.
struct Report<'a> {
    model: &'a Model,
    /// The name of the model's file.
    name: String,
    /// The seed of the ensemble.
    seed: u64,
    pde: Box<dyn Pde>,
    task: Task,
    answer: Answer,
    truth: Option<Samples>,
    unobserved: usize,
    /// The seconds for the prior's covariance, and for the answer.
    times: [f64; 2],
}

impl Report<'_> {
    /// Prints to stderr what was assumed and what does not fit.
    fn say(&self) {
        self.answer.notes.iter().for_each(|note| tell!("note: {note}"));
        let warnings: Vec<String> =
            self.answer.warnings.iter().map(|w| w.message.clone()).collect();
        warn(&warnings);
    }

    fn write(&self, path: &Path) -> Outcome {
        let Answer { posterior, observations, warnings, pde_errors, .. } = &self.answer;
        if extension(path) == "npz" {
            return Ok(files::write_posterior(path, posterior)?);
        }

        let count = observations.points().len();
        let title = format!("{}, {}: {count} observations", self.model.card.pde, self.task);
        let errors = match pde_errors {
            Some(errors) => {
                let [members, mean] = [errors.members, errors.mean].map(|v| significant(v, 3));
                format!("PDE error of the members {members}, of their mean {mean}.")
            }
            None => "No equation was used: none is known.".into(),
        };
        let caption = format!(
            "Made by model {}, {} members of {}, seed {}. {errors}",
            self.name,
            posterior.samples.count,
            picture::in_words(posterior.calls),
            self.seed,
        );

        let answered = Answered {
            posterior,
            observations,
            truth: self.truth.as_ref().map(|truth| truth.sample(0)),
            title: &title,
            caption: &caption,
            notes: warnings.iter().map(|w| format!("Warning: {}", w.message)).collect(),
        };
        picture::write(path, &answer::draw(self.pde.as_ref(), &answered)?)
    }

    fn print(&self, json: bool) -> Outcome {
        let figures = self.answer.figures(self.model, self.task, self.truth.as_ref())?;
        let [prepared, spent] = self.times;
        let mut value =
            serde_json::to_value(&figures).map_err(|e| Failure::Usage(e.to_string()))?;
        value["unobserved"] = self.unobserved.into();
        value["prepare_seconds"] = prepared.into();
        value["seconds"] = spent.into();

        let Answer { posterior, observations, explained, pde_errors, .. } = &self.answer;
        let (samples, misfit, score) = (&posterior.samples, figures.misfit, figures.score);
        let [chi, of_members] = [explained.chi, explained.chi_of_members].map(plain);
        let errors = pde_errors.map(|e| {
            let [members, mean, model] = [e.members, e.mean, e.model].map(plain);
            format!("{members}, of the mean {mean}; the model's own {model}")
        });

        let mut lines = vec![
            line("PDE", self.pde.equation()),
            line("task", self.task),
            line("observations", observations.points().len()),
            line("ensemble", samples.count),
            line("misfit of the mean", format!("{} of the fields' deviation", plain(misfit))),
            line("chi", format!("{chi} of the mean, {of_members} of the members; 1 is expected")),
            line("PDE error", errors.unwrap_or_else(|| NO_EQUATION.into())),
        ];
        if let Some(score) = score {
            lines.push(line("error", plain(score.error)));
            lines.extend(score.coverage90.map(|c| line("within the 90 % interval", plain(c))));
            lines.push(line("ranked score (CRPS)", plain(score.crps)));
        }

        lines.push(line("network calls", posterior.calls));
        lines.push(line(
            "time",
            format!("{} (and {} to prepare)", seconds(spent), seconds(prepared)),
        ));
        show(json, value, &lines)
    }
}
