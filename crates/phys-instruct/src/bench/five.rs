//! The table of unconditional sampling: the student against the diffusion baselines and the
//! reference solver, for each PDE.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use phys_instruct_physics::Pde;

use super::row::{Key, Measured, Row};
use super::tuning::{self, Tuning};
use crate::baseline::{self, Physics};
use crate::data::{self, REFERENCE_SEED, Watch};
use crate::eval::{EvalOptions, evaluate};
use crate::model::{Kind, Model};
use crate::polish;
use crate::residual::{self, Residual};
use crate::sampling::{self, Drawn, SampleOptions};
use crate::store::dataset::sha256;
use crate::store::file::{MAX_BYTES, read};
use crate::{Error, Result, Samples};

/// The student with its samples corrected.
const POLISHED: &str = "phys-instruct+polish";
/// The methods in the order of the table.
pub const METHODS: [&str; 8] = [
    "phys-instruct",
    POLISHED,
    "diff-instruct",
    "edm",
    "diffusionpde",
    "cocogen",
    "pidm",
    "solver",
];
/// Offset of the seeds from which the solver row draws, so that it does not meet the reference.
const SOLVER_SEED: u64 = 3_000_000;
/// Samples drawn one by one for the latency: at least, and at most.
const LATENCY_RUNS: [usize; 2] = [3, 51];
/// Seconds after which no more than the least are drawn.
const LATENCY_SECONDS: f64 = 1.0;
/// Grids that bundled models are looked for, the finest wins.
const GRIDS: [usize; 3] = [128, 64, 32];

/// What to spend.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Points a side; none for the finest grid with a student.
    pub grid: Option<usize>,
    /// Samples per seed.
    pub count: usize,
    /// Samples per seed for rows of more than [`Options::slow_steps`] steps.
    pub slow_count: usize,
    /// See there.
    pub slow_steps: usize,
    /// Samples solved for the solution error.
    pub solved: usize,
    /// Sampling seeds.
    pub seeds: Vec<u64>,
    /// Sampler steps of the baselines.
    pub steps: Vec<usize>,
    /// Sweeps of correction of the student's second set of rows; 0 for none.
    pub polish: usize,
    /// Those of [`METHODS`] to measure.
    pub methods: Vec<String>,
}

impl Default for Options {
    /// The full table.
    fn default() -> Self {
        Self {
            grid: None,
            count: 1_000,
            slow_count: 64,
            slow_steps: 10,
            solved: 200,
            seeds: vec![0, 1, 2],
            steps: vec![4, 10, 100, 200],
            polish: 0,
            methods: METHODS.map(str::to_owned).into(),
        }
    }
}

impl Options {
    /// A table in minutes: fewer samples, one seed, no baseline above 100 steps.
    pub fn quick() -> Self {
        Self {
            count: 200,
            slow_count: 32,
            solved: 32,
            seeds: vec![0],
            steps: vec![10, 100],
            ..Self::default()
        }
    }
}

/// One row to be measured.
pub struct Item {
    /// What it is.
    pub key: Key,
    /// The model; none for the solver.
    model: Option<Arc<Model>>,
}

/// A model and the hash of its file.
pub(super) struct Loaded {
    file: PathBuf,
    pub hash: String,
    pub model: Arc<Model>,
}

/// The rows of one PDE, by the models that `find` finds (name without extension to file):
/// `<pde>-<grid>-` with `student`, `diff-instruct` (a student without guidance), `edm`, `teacher` and
/// `pidm`.
///
/// # Errors
/// No student of the PDE, a file that cannot be read, models that differ in PDE, parameters or
/// grid, or a plain EDM teacher without searched weights; the student's own teacher then has no guided
/// rows.
pub fn plan(
    pde: &str,
    options: &Options,
    tuning: &Tuning,
    find: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<Vec<Item>> {
    let grid = grid(pde, options, find).ok_or_else(|| {
        Error::Config(format!("no student of {pde} among the models: {pde}-<grid>-student"))
    })?;
    let loaded = |kind: &str| find(&format!("{pde}-{grid}-{kind}")).map(load).transpose();
    let [student, edm, teacher, pidm] = ["student", "edm", "teacher", "pidm"].map(loaded);
    let mut items = Vec::new();
    let student = student?;
    if let Some(student) = &student {
        items.extend(student_rows("phys-instruct", options, student));
        if options.polish > 0 && converges(&student.model)? {
            items.extend(student_rows(POLISHED, options, student));
        }
    }
    let same = |other: &Loaded| student.iter().try_for_each(|s| same_problem(s, other));
    if let Some(unguided) = &loaded("diff-instruct")? {
        same(unguided)?;
        items.extend(student_rows("diff-instruct", options, unguided));
    }
    for (teacher, is_plain) in [(edm?, true), (teacher?, false)] {
        let Some(teacher) = &teacher else { continue };
        same(teacher)?;
        let guided = is_plain || tuning.knows(&teacher.hash);
        let methods = if guided { &["edm", "diffusionpde", "cocogen"][..] } else { &["edm"] };
        for method in methods {
            items.extend(teacher_rows(method, options, tuning, teacher)?);
        }
    }
    if let Some(pidm) = &pidm? {
        same(pidm)?;
        items.extend(teacher_rows("pidm", options, tuning, pidm)?);
    }
    items.push(Item { key: key([pde, "solver"], grid, options, 0), model: None });
    items.retain(|item| options.methods.contains(&item.key.method));
    Ok(items)
}

fn same_problem(one: &Loaded, other: &Loaded) -> Result<()> {
    let of =
        |l: &Loaded| (l.model.card.pde.clone(), l.model.card.params.clone(), l.model.card.grid);
    if of(one) == of(other) {
        return Ok(());
    }
    Err(Error::Config(format!(
        "{} and {} differ in PDE, parameters or grid",
        one.file.display(),
        other.file.display()
    )))
}

/// The finest grid (or the one asked for) that `find` knows a student of `pde` on; one with a plain
/// EDM teacher, on which the baselines stand, if there is any.
pub fn grid(pde: &str, options: &Options, find: &dyn Fn(&str) -> Option<PathBuf>) -> Option<usize> {
    let grids = options.grid.map_or(GRIDS.to_vec(), |grid| vec![grid]);
    let has = |grid: usize, kind: &str| find(&format!("{pde}-{grid}-{kind}")).is_some();
    let students: Vec<usize> = grids.into_iter().filter(|&grid| has(grid, "student")).collect();
    students.iter().find(|&&grid| has(grid, "edm")).or(students.first()).copied()
}

fn key([pde, method]: [&str; 2], grid: usize, options: &Options, steps: usize) -> Key {
    let slow = steps > options.slow_steps;
    Key {
        pde: pde.into(),
        method: method.into(),
        preconditioning: None,
        regress: false,
        steps,
        grid,
        count: if slow { options.slow_count.min(options.count) } else { options.count },
        seeds: options.seeds.clone(),
        weight: None,
        solved: options.solved.min(options.count),
        threads: rayon::current_num_threads(),
        model: None,
    }
}

impl Loaded {
    fn item(&self, method: &str, options: &Options, steps: usize, weight: Option<f64>) -> Item {
        let card = &self.model.card;
        let key = Key {
            preconditioning: Some(card.coordinates.kind()),
            regress: card.coordinates.linear_predictor(),
            weight,
            model: Some(self.hash.clone()),
            ..key([&card.pde, method], card.grid, options, steps)
        };
        Item { key, model: Some(self.model.clone()) }
    }
}

fn student_rows(method: &str, options: &Options, student: &Loaded) -> Vec<Item> {
    let weight = (method == POLISHED).then_some(options.polish as f64);
    let depths = 1..=student.model.card.levels.len();
    depths.map(|steps| student.item(method, options, steps, weight)).collect()
}

/// Whether sweeps of correction converge for the model's PDE.
fn converges(model: &Model) -> Result<bool> {
    let pde = model.card.pde()?;
    let residual = residual::build(pde.as_ref(), model.card.grid, &Device::flex())?;
    Ok(polish::is_known(residual.as_ref()))
}

fn teacher_rows(
    method: &str,
    options: &Options,
    tuning: &Tuning,
    teacher: &Loaded,
) -> Result<Vec<Item>> {
    let guided = ["diffusionpde", "cocogen"].contains(&method);
    let row = |&steps: &usize| {
        let weight = tuning.weight(&teacher.hash, method, steps);
        if guided && weight.is_none() {
            return Err(Error::Config(format!(
                "no weight of {method} for {}: `bench tune` searches it",
                teacher.file.display()
            )));
        }
        Ok(teacher.item(method, options, steps, weight))
    };
    options.steps.iter().map(row).collect()
}

/// SHA-256 of a model file.
///
/// # Errors
/// A file that cannot be read.
pub fn file_hash(file: &Path) -> Result<String> {
    Ok(sha256(&read(file, MAX_BYTES)?))
}

pub(super) fn load(file: PathBuf) -> Result<Loaded> {
    let hash = file_hash(&file)?;
    let model = Arc::new(Model::load(&file, &Device::flex())?);
    Ok(Loaded { file, hash, model })
}

/// What the rows of one PDE on one grid are measured against.
pub struct Setting {
    pde: Box<dyn Pde>,
    residual: Box<dyn Residual>,
    reference: Samples,
}

impl Setting {
    /// With the parameters of the items' models; twice as much held-out data as samples.
    ///
    /// # Errors
    /// No model among the items, what the solver answers, or [`Error::Interrupted`].
    pub fn of(items: &[Item], count: usize, stop: &AtomicBool) -> Result<Self> {
        let model = items.iter().find_map(|item| item.model.as_ref());
        let card = &model
            .ok_or_else(|| Error::Config("none of these methods has a model to measure".into()))?
            .card;
        let pde = card.pde()?;
        let mut watch = Watch { progress: &mut |_| (), stop };
        let reference =
            data::generate(pde.as_ref(), card.grid, REFERENCE_SEED, 2 * count, &mut watch)?;
        let residual = residual::build(pde.as_ref(), card.grid, &Device::flex())?;
        Ok(Self { pde, residual, reference })
    }

    /// The first samples of the row's own making, for a picture.
    ///
    /// # Errors
    /// As [`measure`].
    pub fn draw(&self, item: &Item, count: usize, seed: u64) -> Result<Samples> {
        Ok(self.samples(item, count, seed)?.samples)
    }

    /// Held-out data.
    pub fn reference(&self) -> &Samples {
        &self.reference
    }

    /// The PDE.
    pub fn pde(&self) -> &dyn Pde {
        self.pde.as_ref()
    }

    /// The residual.
    pub fn residual(&self) -> &dyn Residual {
        self.residual.as_ref()
    }

    fn samples(&self, item: &Item, count: usize, seed: u64) -> Result<Drawn> {
        let key = &item.key;
        let Some(model) = item.model.as_deref() else {
            let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
            let seed = SOLVER_SEED + seed;
            let samples = data::generate(self.pde(), key.grid, seed, count, &mut watch)?;
            return Ok(Drawn { samples, nfe: 0 });
        };
        if let (Some(weight), "diffusionpde" | "cocogen") = (key.weight, key.method.as_str()) {
            let method: Physics = tuning::physics(&key.method, weight);
            let numbers = [count as u64, seed];
            let residual = self.residual();
            return baseline::sample(model, residual, method, key.steps, numbers, &mut |_| ());
        }
        let teacher = model.card.kind == Kind::Teacher;
        let nfe = if teacher { 2 * key.steps - 1 } else { key.steps };
        let options = SampleOptions { count, nfe, seed, ..SampleOptions::default() };
        let mut drawn = sampling::sample(model, options, &mut |_| ())?;
        if let (Some(sweeps), POLISHED) = (key.weight, key.method.as_str()) {
            drawn.samples = polish::polish(&drawn.samples, self.residual(), sweeps as usize)?;
        }
        Ok(drawn)
    }
}

/// Measures one row; `stop` is looked at between seeds.
///
/// # Errors
/// Samples that are not finite, [`Error::Interrupted`], and what sampling answers.
pub fn measure(
    item: &Item,
    setting: &Setting,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Row> {
    let key = &item.key;
    let reference = setting.reference.slice(0..2 * key.count);
    let spend = EvalOptions { solve_at_most: Some(options.solved), ..EvalOptions::default() };
    let mut measured = Vec::new();
    for &seed in &key.seeds {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let start = Instant::now();
        let drawn = setting.samples(item, key.count, seed)?;
        let seconds = start.elapsed().as_secs_f64();
        let report =
            evaluate(&drawn.samples, &reference, setting.pde(), setting.residual(), spend)?;
        measured.push(Measured { report, nfe: drawn.nfe, seconds });
    }
    let latency = latency(item, setting)?;
    Ok(Row::of(key.clone(), &measured, latency))
}

/// Median seconds of one sample drawn by itself, the first not counted.
fn latency(item: &Item, setting: &Setting) -> Result<f64> {
    setting.samples(item, 1, 0)?;
    let mut times = Vec::new();
    let begin = Instant::now();
    let [least, most] = LATENCY_RUNS;
    while times.len() < least
        || (times.len() < most && begin.elapsed().as_secs_f64() < LATENCY_SECONDS)
    {
        let start = Instant::now();
        setting.samples(item, 1, 0)?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    Ok(0.5 * (times[middle] + times[(times.len() - 1) / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_with_baselines_goes_before_a_finer_one_without() {
        let found = |names: &[&str], asked| {
            let find = |name: &str| names.contains(&name).then(|| PathBuf::from(name));
            grid("poisson", &Options { grid: asked, ..Options::default() }, &find)
        };
        let both = ["poisson-64-student", "poisson-32-student", "poisson-32-edm"];
        assert_eq!(found(&both, None), Some(32));
        assert_eq!(found(&both, Some(64)), Some(64));
        assert_eq!(found(&both[..2], None), Some(64));
        assert_eq!(found(&both[2..], None), None);
    }
}
