//! The table of unconditional sampling: the student, the diffusion baselines and the reference
//! solver, for each PDE.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use burn::tensor::Device;
use phys_instruct_physics::{Grid, Pde};

use super::method::{SamplingMethod, Strength};
use super::row::{EDITION, Key, Measured, Row};
use super::tuning::Tuning;
use crate::baseline::{self, Lot};
use crate::data::{self, Watch};
use crate::device;
use crate::diffusion::sampler;
use crate::eval::{EvalOptions, evaluate};
use crate::model::{Kind, Model};
use crate::polish;
use crate::problem;
use crate::residual::Residual;
use crate::sampling::{self, Drawn, SampleOptions};
use crate::store::dataset::file_hash;
use crate::{Error, Result, Samples, seeds};

/// The numbers of samples drawn one by one for the latency: at least, and at most.
const LATENCY_RUNS: [usize; 2] = [3, 51];
/// The seconds after which no more than the least number are drawn.
const LATENCY_SECONDS: f64 = 1.0;
/// The points a side for which bundled models are searched; the finest found is used.
const GRIDS: [usize; 3] = [128, 64, 32];

/// The extent of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The numbers of points along y and x; none for the finest grid with a student.
    pub points: Option<[usize; 2]>,
    /// The number of samples per seed.
    pub count: usize,
    /// The number of samples per seed for rows of more than [`Options::slow_steps`] steps.
    pub slow_count: usize,
    /// The number of steps above which a row counts as slow.
    pub slow_steps: usize,
    /// The number of samples solved for the solution error.
    pub solved: usize,
    /// The sampling seeds.
    pub seeds: Vec<u64>,
    /// The numbers of sampler steps of the baselines.
    pub steps: Vec<usize>,
    /// The number of sweeps of polish in a second row of every method; 0 for no such rows.
    pub polish: usize,
    /// The methods to measure.
    pub methods: Vec<SamplingMethod>,
    /// The device of the networks and their guidance. All else is the processor's.
    pub device: Device,
}

impl Default for Options {
    /// The full table.
    fn default() -> Self {
        Self {
            points: None,
            count: 1_000,
            slow_count: 64,
            slow_steps: 10,
            solved: 200,
            seeds: vec![0, 1, 2],
            steps: vec![4, 10, 100, 200],
            polish: 0,
            methods: SamplingMethod::ALL.into(),
            device: device::cpu(),
        }
    }
}

impl Options {
    /// A table that takes minutes: fewer samples, one seed, no baseline above 100 steps.
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
    /// The key of the row.
    pub key: Key,
    /// The name of the model's file; none for the solver.
    pub file: Option<String>,
    /// The model; none for the solver.
    model: Option<Arc<Model>>,
}

impl Item {
    /// The row of the same samples, polished.
    fn polished(&self, sweeps: usize) -> Self {
        let key = Key { sweeps: Some(sweeps), ..self.key.clone() };
        Self { key, file: self.file.clone(), model: self.model.clone() }
    }
}

/// A model and the hash of its file.
pub(super) struct Loaded {
    file: PathBuf,
    pub hash: String,
    pub model: Arc<Model>,
}

/// Plans the rows of one PDE with the models that `find` maps from a name without extension to a
/// file. The names are `<pde>-<grid>-` ([`model_name`]) with `student`, `diff-instruct` (a student
/// without guidance), `edm`, `teacher` and `pidm`. The student's own teacher has guided rows only
/// if its weights were searched.
///
/// # Errors
/// Fails if there is no student of the PDE, if a file cannot be read, or if models differ in PDE,
/// parameters or grid. Fails for a plain EDM teacher without searched weights, and for a device
/// that has no name.
pub fn plan(
    pde: &str,
    options: &Options,
    tuning: &Tuning,
    find: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<Vec<Item>> {
    let none =
        || Error::Config(format!("no student of {pde} among the models: {pde}-<grid>-student"));
    let points = points(pde, options, find).ok_or_else(none)?;
    let load = |file| load(file, &options.device);
    let loaded = |kind: &str| find(&model_name(pde, points, kind)).map(load).transpose();
    let [student, edm, teacher, pidm] = ["student", "edm", "teacher", "pidm"].map(loaded);
    let mut items = Vec::new();

    let student = &student?.ok_or_else(none)?;
    items.extend(student_rows(SamplingMethod::PhysInstruct, options, student));
    if let Some(joint) = &student.joint() {
        items.extend(student_rows(SamplingMethod::Joint, options, joint));
    }

    let same = |other: &Loaded| same_problem(student, other);
    if let Some(unguided) = &loaded("diff-instruct")? {
        same(unguided)?;
        items.extend(student_rows(SamplingMethod::DiffInstruct, options, unguided));
    }

    for (teacher, is_plain) in [(edm?, true), (teacher?, false)] {
        let Some(teacher) = &teacher else { continue };
        same(teacher)?;
        let guided = is_plain || tuning.knows(&teacher.hash);
        let all = [SamplingMethod::Edm, SamplingMethod::DiffusionPde, SamplingMethod::CoCoGen];
        for method in all.into_iter().filter(|method| guided || !method.is_guided()) {
            items.extend(teacher_rows(method, options, tuning, teacher)?);
        }
    }

    if let Some(pidm) = &pidm? {
        same(pidm)?;
        items.extend(teacher_rows(SamplingMethod::Pidm, options, tuning, pidm)?);
    }

    if options.polish > 0 && converges(&student.model)? {
        // The row of the samples as drawn stands before that of the same samples polished.
        let both = |item: Item| [item.polished(options.polish), item].into_iter().rev();
        items = items.into_iter().flat_map(both).collect();
    }

    let solver = key(pde, SamplingMethod::Solver, student.model.card.grid, options, 0);
    items.push(Item { key: solver, file: None, model: None });
    items.retain(|item| options.methods.contains(&item.key.method));

    let adapter = device::adapter_of(&options.device)?;
    let networks = items.iter_mut().filter(|item| item.model.is_some());
    networks.for_each(|item| item.key.adapter = adapter.map(Into::into));
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

/// The name of a model's file without extension: `<pde>-<points>-<kind>`, with one number of points
/// if there are as many along y as along x, and else both, as in `darcy-48x80-student`.
pub fn model_name(pde: &str, [ny, nx]: [usize; 2], kind: &str) -> String {
    match ny == nx {
        true => format!("{pde}-{nx}-{kind}"),
        false => format!("{pde}-{ny}x{nx}-{kind}"),
    }
}

/// The points asked for, or those of the finest square grid on which `find` knows a student of
/// `pde`. Grids with a plain EDM teacher, on which the baselines depend, are preferred.
pub fn points(
    pde: &str,
    options: &Options,
    find: &dyn Fn(&str) -> Option<PathBuf>,
) -> Option<[usize; 2]> {
    let all = options.points.map_or(GRIDS.map(|n| [n, n]).to_vec(), |points| vec![points]);
    let has = |points: [usize; 2], kind: &str| find(&model_name(pde, points, kind)).is_some();
    let students: Vec<_> = all.into_iter().filter(|&points| has(points, "student")).collect();
    students.iter().find(|&&points| has(points, "edm")).or(students.first()).copied()
}

fn key(pde: &str, method: SamplingMethod, grid: Grid, options: &Options, steps: usize) -> Key {
    let slow = steps > options.slow_steps;
    Key {
        pde: pde.into(),
        method,
        coordinates: None,
        linear_predictor: false,
        steps,
        grid,
        count: if slow { options.slow_count.min(options.count) } else { options.count },
        seeds: options.seeds.clone(),
        weight: None,
        share: None,
        sweeps: None,
        solved: options.solved.min(options.count),
        threads: rayon::current_num_threads(),
        adapter: None,
        model: None,
        edition: EDITION,
    }
}

impl Loaded {
    fn item(&self, method: SamplingMethod, options: &Options, steps: usize) -> Item {
        let card = &self.model.card;
        let key = Key {
            coordinates: Some(card.coordinates.kind()),
            linear_predictor: card.coordinates.linear_predictor(),
            model: Some(self.hash.clone()),
            ..key(&card.pde, method, card.grid, options, steps)
        };
        Item { key, file: Some(self.name()), model: Some(self.model.clone()) }
    }

    /// The student without its operator, if it has one.
    fn joint(&self) -> Option<Self> {
        let model = Arc::new(self.model.joint()?);
        Some(Self { file: self.file.clone(), hash: self.hash.clone(), model })
    }

    /// The name of the file.
    pub fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn student_rows(method: SamplingMethod, options: &Options, student: &Loaded) -> Vec<Item> {
    let calls = 1..=student.model.card.levels.len();
    calls.map(|calls| student.item(method, options, calls)).collect()
}

/// Tells whether sweeps of correction converge for the model's PDE.
fn converges(model: &Model) -> Result<bool> {
    let pde = model.card.pde()?;
    let residual = problem::residual(pde.as_ref(), model.card.grid, &device::cpu())?;
    Ok(polish::is_known(residual.as_ref()))
}

fn teacher_rows(
    method: SamplingMethod,
    options: &Options,
    tuning: &Tuning,
    teacher: &Loaded,
) -> Result<Vec<Item>> {
    let row = |&steps: &usize| {
        let strength = tuning.strength(&teacher.hash, method, steps);
        if method.is_guided() && strength.is_none() {
            return Err(Error::Config(format!(
                "no weight of {method} for {}: `bench tune` searches it",
                teacher.file.display()
            )));
        }
        let mut item = teacher.item(method, options, steps);
        item.key.weight = strength.map(|own| own.weight);
        item.key.share = strength.and_then(|own| own.share);
        Ok(item)
    };
    options.steps.iter().map(row).collect()
}

pub(super) fn load(file: PathBuf, device: &Device) -> Result<Loaded> {
    let hash = file_hash(&file)?;
    let model = Arc::new(Model::load(&file, device)?);
    Ok(Loaded { file, hash, model })
}

/// The PDE, its residual and the held-out data by which the rows of one PDE on one grid are
/// measured.
pub struct Setting {
    pde: Box<dyn Pde>,
    residual: Box<dyn Residual>,
    /// The residual on the device of the models.
    guiding: Box<dyn Residual>,
    reference: Samples,
    /// The samples of the row measured last, one entry a seed.
    last: Mutex<Vec<Last>>,
}

/// The samples of a row that is not polished, at one seed.
struct Last {
    key: Key,
    seed: u64,
    drawn: Drawn,
    seconds: f64,
}

impl Setting {
    /// Makes the setting with the parameters of the items' models. There is twice as much held-out
    /// data as samples.
    ///
    /// # Errors
    /// Fails if no item has a model, if the solver refuses an input, and with
    /// [`Error::Interrupted`].
    pub fn of(items: &[Item], count: usize, stop: &AtomicBool) -> Result<Self> {
        let model = items.iter().find_map(|item| item.model.as_ref());
        let model = model
            .ok_or_else(|| Error::Config("none of these methods has a model to measure".into()))?;
        let card = &model.card;
        let pde = card.pde()?;
        let mut watch = Watch { progress: &mut |_| (), stop };
        let reference =
            data::generate(pde.as_ref(), card.grid, seeds::REFERENCE, 2 * count, &mut watch)?;
        let residual = |device: &Device| problem::residual(pde.as_ref(), card.grid, device);
        let [residual, guiding] = [residual(&device::cpu())?, residual(&model.device())?];
        Ok(Self { pde, residual, guiding, reference, last: Mutex::default() })
    }

    /// Draws the first samples of a row for a picture.
    ///
    /// # Errors
    /// Fails as [`measure`] does.
    pub fn draw(&self, item: &Item, count: usize, seed: u64) -> Result<Drawn> {
        self.samples(item, count, seed)
    }

    /// The held-out data.
    pub fn reference(&self) -> &Samples {
        &self.reference
    }

    /// The PDE.
    pub fn pde(&self) -> &dyn Pde {
        self.pde.as_ref()
    }

    /// The residual, on the processor.
    pub fn residual(&self) -> &dyn Residual {
        self.residual.as_ref()
    }

    /// The samples of a row before they are polished.
    fn unpolished(&self, item: &Item, count: usize, seed: u64) -> Result<Drawn> {
        let key = &item.key;
        let Some(model) = item.model.as_deref() else {
            let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
            let seed = seeds::SOLVER + seed;
            let samples =
                data::generate(self.pde(), self.reference.grid(), seed, count, &mut watch)?;
            return Ok(Drawn { samples, calls: 0 });
        };

        let strength = key.weight.map(|weight| Strength { weight, share: key.share });
        let mut drawn = match strength.and_then(|strength| key.method.guided(strength)) {
            Some(guided) => {
                let (residual, lot) = (self.guiding.as_ref(), Lot { count, seed });
                baseline::sample(model, residual, guided, key.steps, lot, &mut |_| ())?
            }
            None => {
                let calls = match model.card.kind {
                    Kind::Teacher => sampler::calls(key.steps, sampler::Method::Heun),
                    Kind::Student => key.steps,
                };
                let options = SampleOptions { count, calls, seed, ..SampleOptions::default() };
                sampling::sample(model, options, &mut |_| ())?
            }
        };

        // An input of two values has no others, whichever method drew it.
        drawn.samples = drawn.samples.with_input_rounded(self.pde());
        Ok(drawn)
    }

    /// The samples of a row as they are drawn, polished where the row is.
    fn samples(&self, item: &Item, count: usize, seed: u64) -> Result<Drawn> {
        self.polished(item, self.unpolished(item, count, seed)?)
    }

    fn polished(&self, item: &Item, drawn: Drawn) -> Result<Drawn> {
        let Some(sweeps) = item.key.sweeps else { return Ok(drawn) };
        let samples = polish::polish(&drawn.samples, self.pde(), self.residual(), sweeps)?;
        Ok(Drawn { samples, ..drawn })
    }

    /// The samples of a row at one seed, with the seconds that they took. The row of the same
    /// samples polished, which is measured next, takes those that were drawn.
    fn timed(&self, item: &Item, seed: u64, is_kept: bool) -> Result<(Drawn, f64)> {
        let key = Key { sweeps: None, ..item.key.clone() };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.iter().position(|own| own.seed == seed && own.key == key);
        let (drawn, seconds) = match known.map(|i| last.swap_remove(i)) {
            Some(own) => (own.drawn, own.seconds),
            None => {
                let start = Instant::now();
                let drawn = self.unpolished(item, item.key.count, seed)?;
                (drawn, start.elapsed().as_secs_f64())
            }
        };

        last.retain(|own| own.key == key);
        if is_kept && item.key.sweeps.is_none() {
            last.push(Last { key, seed, drawn: drawn.clone(), seconds });
        }
        drop(last);

        let start = Instant::now();
        let drawn = self.polished(item, drawn)?;
        Ok((drawn, seconds + start.elapsed().as_secs_f64()))
    }
}

/// Measures one row; `stop` is tested between seeds.
///
/// # Errors
/// Fails for samples that are not finite, with [`Error::Interrupted`], and if sampling fails.
pub fn measure(
    item: &Item,
    setting: &Setting,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Row> {
    let key = &item.key;
    let spend = EvalOptions { solve_at_most: Some(options.solved), ..EvalOptions::default() };

    // A graphics processor compiles its programs at their first use.
    if let (Some(_), Some(&seed)) = (&key.adapter, key.seeds.first()) {
        setting.samples(item, key.count.min(sampling::BATCH), seed)?;
    }

    let mut measured = Vec::new();
    for &seed in &key.seeds {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let (drawn, seconds) = setting.timed(item, seed, options.polish > 0)?;
        let (samples, reference) = (&drawn.samples, setting.reference());
        let report = evaluate(samples, reference, setting.pde(), setting.residual(), spend)?;
        measured.push(Measured { report, calls: drawn.calls, seconds });
    }
    let latency = latency(item, setting)?;
    Ok(Row::of(key.clone(), &measured, latency))
}

/// The median seconds of one sample drawn by itself. The first draw is not counted.
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
        let found = |names: &[&str], asked: Option<usize>| {
            let find = |name: &str| names.contains(&name).then(|| PathBuf::from(name));
            let asked = asked.map(|n| [n, n]);
            points("poisson", &Options { points: asked, ..Options::default() }, &find)
        };
        let both = ["poisson-64-student", "poisson-32-student", "poisson-32-edm"];
        assert_eq!(found(&both, None), Some([32, 32]));
        assert_eq!(found(&both, Some(64)), Some([64, 64]));
        assert_eq!(found(&both[..2], None), Some([64, 64]));
        assert_eq!(found(&both[2..], None), None);
    }
}
