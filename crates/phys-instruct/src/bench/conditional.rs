//! The table of conditional solving: the student as prior, compared with other methods on the same
//! observations.
//!
//! The other methods are DiffusionPDE's guidance, the exact posterior if it is known, the most
//! probable input if the solver's adjoint is known, and Gaussian-process interpolation.
//!
//! Every problem is solved by itself, so that its seconds are those of one answer. They exclude
//! what a method prepares once for all problems (the student's covariance, the interpolation's
//! training samples). `prepare_seconds` holds that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use phys_instruct_physics::Pde;

use self::row::Scored;
pub use self::row::{Key, Row};
use super::method::SolvingMethod;
use super::row::mean_and_sd;
use super::unconditional::{Loaded, load, model_name};
use crate::baseline::{self, Guidance, Lot, exact, interpolation, most_probable};
use crate::condition::{
    Method, Observations, Options as SolveOptions, Posterior, Solver, Task, TwoValuedEntries,
};
use crate::data::{self, Watch};
use crate::device;
use crate::eval::physics::pde_error;
use crate::job::Part;
use crate::problem;
use crate::residual::Residual;
use crate::{Error, Result, Samples, seeds};

mod row;

/// The weights of guidance that are tried for DiffusionPDE.
const WEIGHTS: [f64; 4] = [0.1, 0.3, 1.0, 3.0];
/// The weights of the residual in relation to the misfit, and the shares of the steps that it
/// guides, that are tried for DiffusionPDE. Its authors' own runs guide the last fifth.
const PHYSICS: [(f64, f64); 5] = [(0.0, 1.0), (0.3, 1.0), (1.0, 1.0), (0.3, 0.2), (1.0, 0.2)];

/// The extent of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The number of problems of each row.
    pub count: usize,
    /// The number of problems of DiffusionPDE's rows.
    pub slow_count: usize,
    /// The number of problems on which DiffusionPDE's weights are searched.
    pub searched: usize,
    /// Tells whether the weights found for a task's first places and noise serve for its others
    /// too.
    pub search_once: bool,
    /// The part of the rows to measure, those of one place and noise dealt out in turn, and the
    /// number of this PDE's first; none for all of them.
    pub part: Option<(Part, usize)>,
    /// The numbers of DiffusionPDE's steps.
    pub steps: Vec<usize>,
    /// The tasks to measure.
    pub tasks: Vec<Task>,
    /// The numbers of random points observed.
    pub points: Vec<usize>,
    /// The numbers of random columns observed in every row, if the input is a line (Burgers,
    /// reconstruct). Such sensors see every time.
    pub sensors: Vec<usize>,
    /// The errors of the observations, in standard deviations of their field.
    pub noise: Vec<f64>,
    /// The number of members of every ensemble.
    pub ensemble: usize,
    /// The number of samples of DiffusionPDE's answers.
    pub guided_ensemble: usize,
    /// The number of training samples of the interpolation.
    pub training: usize,
    /// The methods to measure.
    pub methods: Vec<SolvingMethod>,
    /// Parameters of the problems' law of inputs in which it differs from the student's.
    pub law: BTreeMap<String, f64>,
    /// The device of the networks and their guidance. All else is the processor's.
    pub device: Device,
}

impl Default for Options {
    /// The full table.
    fn default() -> Self {
        Self {
            count: 100,
            slow_count: 20,
            searched: 4,
            search_once: false,
            part: None,
            steps: vec![100, 500],
            tasks: Task::ALL.into(),
            points: vec![500, 125],
            sensors: vec![5],
            noise: vec![0.0, 0.01],
            ensemble: 16,
            // The mean of 4 has most of what a mean gains over one sample, for a quarter of 16.
            guided_ensemble: 4,
            training: 2_000,
            methods: SolvingMethod::ALL.into(),
            law: BTreeMap::new(),
            device: device::cpu(),
        }
    }
}

impl Options {
    /// A table that takes minutes.
    pub fn quick() -> Self {
        Self {
            count: 24,
            slow_count: 4,
            searched: 2,
            steps: vec![100],
            points: vec![120],
            noise: vec![0.01],
            guided_ensemble: 1,
            ..Self::default()
        }
    }
}

/// A student prepared to answer, and the seconds that its preparation took.
pub struct Prepared {
    solver: Solver,
    seconds: f64,
}

/// One PDE's models and problems.
pub struct Setting {
    student: Loaded,
    teacher: Option<Loaded>,
    /// The graphics processor on which both run; none for the processor.
    adapter: Option<&'static str>,
    /// The student's PDE.
    pde: Box<dyn Pde>,
    /// The student's PDE with the law of the problems' inputs.
    law: Box<dyn Pde>,
    residual: Box<dyn Residual>,
    /// The residual on the device of the models.
    guiding: Box<dyn Residual>,
    truths: Samples,
    validation: Samples,
    training: Samples,
    two_valued: Option<TwoValuedEntries>,
    data_floor: f64,
}

/// The student's answer to one problem.
pub struct Example {
    /// The task.
    pub task: Task,
    /// The observations.
    pub observations: Observations,
    /// The answer.
    pub posterior: Posterior,
    /// The mean PDE error of its members.
    pub pde_error: f64,
}

/// The places at which the fields are observed.
#[derive(Clone, Copy)]
enum Places {
    /// The number of random points observed.
    Points(usize),
    /// The number of random columns observed.
    Sensors(usize),
}

/// One task with its observations.
struct Query<'a> {
    setting: &'a Setting,
    task: Task,
    seen: Vec<usize>,
    asked: Vec<usize>,
    places: Places,
    noise: f64,
}

impl Setting {
    /// Loads the student of `pde` on so many `points` along y and x, and its teacher if there is
    /// one, and makes the problems.
    ///
    /// # Errors
    /// Fails if there is no student, if a file cannot be read, if the solver refuses an input, for
    /// a device that has no name, and with [`Error::Interrupted`].
    pub fn of(
        pde: &str,
        points: [usize; 2],
        options: &Options,
        find: &dyn Fn(&str) -> Option<PathBuf>,
        stop: &AtomicBool,
    ) -> Result<Self> {
        let name = |kind: &str| model_name(pde, points, kind);
        let load = |file| load(file, &options.device);
        let loaded = |kind: &str| find(&name(kind)).map(load).transpose();
        let student = loaded("student")?
            .ok_or_else(|| Error::Config(format!("no student {}", name("student"))))?;
        let grid = student.model.card.grid;
        let pde = student.model.card.pde()?;
        let law = of_law(student.model.card.pde()?, &options.law)?;
        let made = |pde: &dyn Pde, seed, count| {
            let mut watch = Watch { progress: &mut |_| (), stop };
            data::generate(pde, grid, seed, count, &mut watch)
        };

        let count = options.count.max(options.slow_count);
        let truths = made(law.as_ref(), seeds::CONDITIONAL, count)?;
        // No method but the exact posterior knows that the problems have another law.
        let made = |seed, count| made(pde.as_ref(), seed, count);
        let validation = made(seeds::CONDITIONAL_TUNING, options.searched.max(2))?;
        let by_samples = [SolvingMethod::Classical, SolvingMethod::ClassicalSolved];
        let interpolated = options.methods.iter().any(|method| by_samples.contains(method));
        let training = made(seeds::INTERPOLATION, if interpolated { options.training } else { 1 })?;

        let residual = |device: &Device| problem::residual(pde.as_ref(), grid, device);
        let [residual, guiding] = [residual(&device::cpu())?, residual(&options.device)?];
        Ok(Self {
            teacher: loaded("teacher")?,
            adapter: device::adapter_of(&options.device)?,
            two_valued: TwoValuedEntries::of(&truths, law.as_ref()),
            data_floor: pde_error(&truths, residual.as_ref())?,
            student,
            pde,
            law,
            residual,
            guiding,
            truths,
            validation,
            training,
        })
    }

    /// Prepares the student once for rows and pictures.
    ///
    /// # Errors
    /// Fails for a model that is no student.
    pub fn prepare(&self) -> Result<Prepared> {
        let start = Instant::now();
        let solver = Solver::new(&self.student.model)?;
        Ok(Prepared { solver, seconds: start.elapsed().as_secs_f64() })
    }

    /// Measures all rows. Those of `known` with the same key are taken over; `done` receives every
    /// other as it is measured.
    ///
    /// # Errors
    /// Fails if a method does, except for inputs that the solver refuses. Fails with
    /// [`Error::Interrupted`], and if `done` fails.
    pub fn rows(
        &self,
        prepared: &Prepared,
        options: &Options,
        known: &[Row],
        stop: &AtomicBool,
        done: &mut dyn FnMut(&Row) -> Result<()>,
    ) -> Result<Vec<Row>> {
        let mut rows = Vec::<Row>::new();
        let mine = |i: &usize| options.part.is_none_or(|(part, first)| part.takes(first + *i));
        let queries = self.queries(options).into_iter().enumerate();
        for (_, query) in queries.filter(|(i, _)| mine(i)) {
            let mut limit = None;
            for &method in &options.methods {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                if let Some(old) = query.known(method, options, known) {
                    rows.extend(old);
                    continue;
                }

                let mut of_task = rows.iter().filter(|row| row.key.task == query.task);
                let found = of_task.find_map(|row| row.guidance);
                let guidance = found.filter(|_| options.search_once);
                for mut row in query.rows(method, &prepared.solver, guidance, options)? {
                    if limit.is_none() {
                        limit = Some(query.limit(options)?);
                    }
                    row.bayes_limit = limit.flatten();
                    if method.is_student() {
                        row.prepare_seconds = prepared.seconds;
                    }
                    done(&row)?;
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    /// The student's answer to the first problem of each task, at the first of the `options`'
    /// places and noises.
    ///
    /// # Errors
    /// Fails as [`Setting::rows`] does.
    pub fn examples(
        &self,
        Prepared { solver, .. }: &Prepared,
        options: &Options,
    ) -> Result<Vec<Example>> {
        let mut examples = Vec::<Example>::new();
        for query in self.queries(options) {
            let task = query.task;
            if examples.iter().any(|example| example.task == task) {
                continue;
            }
            let observations = query.observations(&self.truths, 0)?;
            let posterior = query.own_answer(solver, &observations, options.ensemble)?;
            let pde_error = pde_error(&posterior.samples, self.residual.as_ref())?;
            examples.push(Example { task, observations, posterior, pde_error });
        }
        Ok(examples)
    }

    /// The fields of the first problem.
    pub fn first_truth(&self) -> &[f32] {
        self.truths.sample(0)
    }

    /// The PDE.
    pub fn pde(&self) -> &dyn Pde {
        self.pde.as_ref()
    }

    /// The name of the student's file.
    pub fn student(&self) -> String {
        self.student.name()
    }

    fn queries(&self, options: &Options) -> Vec<Query<'_>> {
        let mut queries = Vec::new();
        for &task in &options.tasks {
            let points = options.points.iter().map(|&n| Places::Points(n));
            let sensors = options.sensors.iter().map(|&n| Places::Sensors(n));
            let lines = task == Task::Reconstruct && self.pde.layout().input.is_line();

            for places in points.chain(sensors.filter(|_| lines)) {
                for &noise in &options.noise {
                    let query = Query::new(self, task, places, noise);
                    // A number of points beyond all there are means all of them, once.
                    if !queries.iter().any(|other: &Query| other.asks_as(&query)) {
                        queries.push(query);
                    }
                }
            }
        }
        queries
    }
}

/// Returns the PDE with other parameters of the law of its inputs.
///
/// # Errors
/// Fails for an unknown parameter or a value outside its range, and for one of the equation.
pub fn of_law(mut pde: Box<dyn Pde>, law: &BTreeMap<String, f64>) -> Result<Box<dyn Pde>> {
    for (name, &value) in law {
        let before = pde.input_law();
        pde.set_param(name, value)?;
        if pde.input_law() == before {
            return Err(Error::Config(format!(
                "{}: {name} = {value} leaves the law of the inputs as it is; only parameters of that \
                 law may differ from the student's",
                pde.name()
            )));
        }
    }
    Ok(pde)
}

impl<'a> Query<'a> {
    fn new(setting: &'a Setting, task: Task, places: Places, noise: f64) -> Self {
        let grid = setting.student.model.card.grid;
        let pde = setting.pde.as_ref();
        let [seen, asked] = [task.observed(pde, grid), task.target(pde, grid)];
        Self { setting, task, seen, asked, places, noise }
    }

    fn observations(&self, samples: &Samples, i: usize) -> Result<Observations> {
        let draw =
            |seen: &[usize], count| Observations::draw(samples, i, seen, count, self.noise, 0);
        match self.places {
            // A table's largest number of points means all there are.
            Places::Points(count) => draw(&self.seen, count.min(self.seen.len())),
            Places::Sensors(count) => {
                let seen = Observations::columns(&self.seen, samples.grid(), count, i as u64);
                draw(&seen, seen.len())
            }
        }
    }

    /// The answer that `solve` gives by default.
    fn own_answer(&self, solver: &Solver, o: &Observations, ensemble: usize) -> Result<Posterior> {
        let options = SolveOptions { ensemble, ..SolveOptions::default() };
        let posterior = solver.posterior(o, &options)?;
        match self.task.wants_solver() {
            true => posterior.solved(self.setting.pde.as_ref()),
            false => Ok(posterior),
        }
    }

    /// The error of the exact posterior's mean; none if it is not known.
    fn limit(&self, options: &Options) -> Result<Option<f64>> {
        let exact = |o: &Observations| exact::posterior(self.setting.law.as_ref(), o, 1, 0);
        if !exact::is_known(self.setting.law.as_ref()) {
            return Ok(None);
        }
        let key = self.key(SolvingMethod::Exact, 0, options);
        Ok(Some(self.measure(key, &self.setting.truths, &exact)?.error))
    }

    /// All rows of one method, if `known` has them.
    fn known(&self, method: SolvingMethod, options: &Options, known: &[Row]) -> Option<Vec<Row>> {
        let guided = method == SolvingMethod::DiffusionPde;
        let steps = if guided { options.steps.as_slice() } else { &[0] };
        let row = |&steps: &usize| {
            let key = self.key(method, steps, options);
            known.iter().find(|row| row.key == key).cloned()
        };
        steps.iter().map(row).collect()
    }

    /// The rows of one method; none if it does not apply. DiffusionPDE's use `guidance` if it is
    /// given.
    fn rows(
        &self,
        method: SolvingMethod,
        solver: &Solver,
        guidance: Option<Guidance>,
        options: &Options,
    ) -> Result<Vec<Row>> {
        let pde = &self.setting.pde;
        let first = self.observations(&self.setting.truths, 0)?;
        let (members, suggested) = (options.ensemble, solver.suggested(&first)?);

        let solve = |o: &Observations, method| {
            solver.posterior(
                o,
                &SolveOptions {
                    method: Some(method),
                    ensemble: members,
                    ..SolveOptions::default()
                },
            )
        };
        let classical =
            |o: &Observations| interpolation::posterior(&self.setting.training, o, members, 0);
        let solved = |p: Posterior| p.solved(pde.as_ref());

        let answer: &dyn Fn(&Observations) -> Result<Posterior> = match method {
            SolvingMethod::PhysInstruct => &|o| self.own_answer(solver, o, members),
            SolvingMethod::Unsolved if self.task.wants_solver() => &|o| solve(o, suggested),
            SolvingMethod::Solved if !self.task.wants_solver() => &|o| solved(solve(o, suggested)?),
            SolvingMethod::Refinement if suggested != Method::Refinement => {
                &|o| solve(o, Method::Refinement)
            }
            SolvingMethod::NoiseSpace => &|o| solve(o, Method::NoiseSpace),
            SolvingMethod::Classical => &classical,
            SolvingMethod::ClassicalSolved => &|o| solved(classical(o)?),
            SolvingMethod::MostProbable if most_probable::is_known(pde.as_ref()) => {
                &|o| most_probable::posterior(pde.as_ref(), o)
            }
            SolvingMethod::Exact if exact::is_known(pde.as_ref()) => {
                &|o| exact::posterior(self.setting.law.as_ref(), o, members, 0)
            }
            SolvingMethod::DiffusionPde => return self.guided(guidance, options),
            _ => return Ok(Vec::new()),
        };
        let key = self.key(method, 0, options);
        Ok(vec![self.measure(key, &self.setting.truths, answer)?])
    }

    /// DiffusionPDE's rows at every number of steps, with `guidance` or the best on other problems.
    fn guided(&self, guidance: Option<Guidance>, options: &Options) -> Result<Vec<Row>> {
        let Some(teacher) = &self.setting.teacher else { return Ok(Vec::new()) };
        let at = |steps, guidance: Guidance| {
            move |o: &Observations| {
                let residual = self.setting.guiding.as_ref();
                baseline::solve(
                    &teacher.model,
                    residual,
                    o,
                    guidance,
                    steps,
                    Lot { count: options.guided_ensemble, seed: 0 },
                )
            }
        };

        let tried = |guidance| {
            let steps = options.steps.first().copied().unwrap_or(100);
            let key = Key {
                count: options.searched,
                ..self.key(SolvingMethod::DiffusionPde, steps, options)
            };

            // Guidance whose samples overflow is not chosen.
            let row = self.measure(key, &self.setting.validation, &at(steps, guidance)).ok()?;
            Some((row.error, guidance))
        };
        let searched = || {
            let all = WEIGHTS.iter().flat_map(|&weight| {
                PHYSICS.map(|(physics, share)| Guidance { weight, physics, share })
            });
            let all = all.filter_map(tried);
            all.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, guidance)| guidance)
        };

        let Some(guidance) = guidance.or_else(searched) else { return Ok(Vec::new()) };
        let row = |&steps: &usize| {
            let row = self.measure(
                self.key(SolvingMethod::DiffusionPde, steps, options),
                &self.setting.truths,
                &at(steps, guidance),
            )?;
            Ok(Row { guidance: Some(guidance), ..row })
        };
        options.steps.iter().map(row).collect()
    }

    /// The number of points observed, and the number of columns in which they are all points.
    fn extent(&self) -> (usize, Option<usize>) {
        let columns = self.setting.student.model.card.grid.nx;
        match self.places {
            Places::Points(count) => (count.min(self.seen.len()), None),
            Places::Sensors(count) => (count.min(columns) * self.seen.len() / columns, Some(count)),
        }
    }

    fn asks_as(&self, other: &Self) -> bool {
        let of = |q: &Self| (q.task, q.extent(), q.noise.to_bits());
        of(self) == of(other)
    }

    fn key(&self, method: SolvingMethod, steps: usize, options: &Options) -> Key {
        let Setting { student, teacher, pde, .. } = self.setting;
        let grid = student.model.card.grid;
        let guided = method == SolvingMethod::DiffusionPde;

        let model = match method {
            SolvingMethod::DiffusionPde => teacher.as_ref(),
            _ => Some(student).filter(|_| method.is_student()),
        };
        let (points, sensors) = self.extent();

        Key {
            pde: pde.name().into(),
            task: self.task,
            method,
            steps,
            grid,
            points,
            sensors,
            noise: self.noise,
            count: if guided { options.slow_count } else { options.count },
            ensemble: if guided { options.guided_ensemble } else { options.ensemble },
            adapter: self.setting.adapter.filter(|_| model.is_some()).map(Into::into),
            model: model.map(|loaded| loaded.hash.clone()),
            law: options.law.clone(),
        }
    }

    /// Measures the first problems of `truths`, one by one.
    fn measure(
        &self,
        key: Key,
        truths: &Samples,
        answer: &dyn Fn(&Observations) -> Result<Posterior>,
    ) -> Result<Row> {
        let two_valued = self.setting.two_valued.as_ref();
        let deviations = self.setting.student.model.deviations();
        let mut answers = Vec::new();
        for i in 0..key.count {
            let observations = self.observations(truths, i)?;
            let start = Instant::now();
            let posterior = match answer(&observations) {
                Ok(posterior) => posterior,
                // The row counts these as problems without an answer.
                Err(Error::Physics(_) | Error::NonFinite(_)) => continue,
                Err(error) => return Err(error),
            };
            let seconds = start.elapsed().as_secs_f64();

            let score =
                |answer: &Posterior| answer.score(truths.sample(i), &self.asked, two_valued);
            let of_each: Vec<f64> =
                (0..posterior.samples.count).map(|k| score(&posterior.member(k)).error).collect();
            let mean = posterior.mean_sample();
            let residual = self.setting.residual.as_ref();
            answers.push(Scored {
                score: score(&posterior),
                member_error: mean_and_sd(&of_each).0,
                misfit: observations.misfit(mean.sample(0), &deviations),
                pde_error: pde_error(&posterior.samples, residual).ok(),
                pde_error_of_mean: pde_error(&mean, residual).ok(),
                calls: posterior.calls,
                seconds,
            });
        }
        Row::of(key, &answers, self.setting.data_floor)
    }
}
