//! The arguments that several commands share, and how they are read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use clap::{Args, Command, ValueEnum};
use phys_instruct::config::load::Changes;
use phys_instruct::device::{self, Device};
use phys_instruct::diffusion::sampler::Method;
use phys_instruct::grid::json;
use phys_instruct::job::Part;
use phys_instruct::store::is_data_set;
use phys_instruct::store::manifest::Manifest;
use phys_instruct::{Error, Result, memory, problem};
use phys_instruct_physics::{Grid, Pde};

use crate::completion;
use crate::failure::{Failure, Outcome};
use crate::output::Told;

/// The most threads: more than any one machine has cores, and few enough to start.
const MOST_THREADS: u64 = 1024;
/// The most network calls of a sample, sweeps of polish and the like; each of them takes time
/// alone.
pub const MOST_CALLS: u64 = 10_000;

/// The heading of the options that every command has.
const EVERYWHERE: &str = "Options everywhere";

/// The options that every command has.
#[derive(Args, Clone)]
pub struct Global {
    /// Threads to use [default: all]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "N", value_parser = between::<1, MOST_THREADS>())]
    pub threads: Option<usize>,
    /// Memory that may be taken, for example 8G [default: what the machine has free]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "SIZE", value_parser = memory::parse)]
    pub memory_limit: Option<u64>,
    /// Where the network runs: cpu, or gpu in a build with `--features gpu`
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_enum,
        default_value_t = DeviceName::Cpu,
        value_name = "NAME",
        hide_possible_values = true
    )]
    pub device: DeviceName,
    /// Print figures as JSON, and an error as one JSON line on stderr
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// Leave out notes and bars; warnings and errors are told
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    pub quiet: bool,
    /// Tell the model's file, the cache, threads and memory, too, and how long it took
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    pub verbose: bool,
}

impl Global {
    /// The most that is told on stderr.
    ///
    /// # Errors
    /// Refuses both options together, which the parser misses where a verb stands between.
    pub fn told(&self) -> std::result::Result<Told, Failure> {
        match (self.quiet, self.verbose) {
            (true, true) => Err(Failure::Usage("--quiet and --verbose: give one of them".into())),
            (true, false) => Ok(Told::Warnings),
            (false, true) => Ok(Told::Details),
            (false, false) => Ok(Told::Notes),
        }
    }

    /// Opens the device that is asked for.
    ///
    /// # Errors
    /// Fails for a graphics processor that is not there, or not in this build.
    pub fn open_device(&self) -> Result<Device> {
        match self.device {
            DeviceName::Cpu => Ok(device::cpu()),
            DeviceName::Gpu => device::gpu(),
        }
    }
}

/// A device by name.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// The processor
    Cpu,
    /// The first graphics processor; needs a build with `--features gpu`
    Gpu,
}

/// A PDE and its parameters.
#[derive(Args, Clone)]
pub struct PdeArgs {
    #[arg(help = format!("The PDE: one of {}", problem::names().join(", ")), add = completion::pdes_and_descriptions())]
    pub pde: String,
    #[command(flatten)]
    pub params: Params,
}

/// Physical parameters.
#[derive(Args, Clone, Default)]
pub struct Params {
    /// A physical parameter, for example `k=2`; repeatable
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = assignment)]
    pub list: Vec<(String, f64)>,
}

/// Changes to a config file.
#[derive(Args, Clone, Default)]
pub struct Overrides {
    /// Override a value of the config, for example `train.batch=8`; repeatable. A phase of the
    /// student is named by its kind, `distill.matching.steps=100`, or by its number from 0,
    /// `distill.phase[1].steps=100`; a kind that is not there is added at its place
    #[arg(long, value_name = "KEY=VALUE", add = completion::settings())]
    pub set: Vec<String>,
    /// Take a key, a table or all phases of a kind out of the config before anything is set, for
    /// example `distill.matching.guidance` or `distill.anchored`; repeatable
    #[arg(long, value_name = "KEY", add = completion::keys())]
    pub unset: Vec<String>,
    /// Override the number of training steps, for a student those of its matching phase
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Override data.count, the number of training samples
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Override grid, the points a side, or along y and x: `64`, `48x80`
    #[arg(long, value_name = "S", value_parser = points)]
    pub grid: Option<[usize; 2]>,
    /// Override the lengths of the domain's sides along y and x beside --grid, for example `0.6x1`
    #[arg(long, value_name = "LYxLX", value_parser = sides, requires = "grid")]
    pub sides: Option<[f64; 2]>,
    /// Override seed, behind every random number of the run
    #[arg(long, value_name = "K")]
    pub seed: Option<u64>,
}

/// The options for drawing samples from a model.
#[derive(Args, Clone)]
pub struct SamplingArgs {
    /// Network calls per sample [default: 1 for a student, 35 for a teacher]
    #[arg(long, alias = "steps", value_name = "K", value_parser = between::<1, MOST_CALLS>())]
    pub calls: Option<usize>,
    /// The seed of the samples
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub seed: u64,
    /// The solver of a teacher's sampling: heun, of second order, or euler, of first
    #[arg(
        long,
        value_enum,
        default_value_t = Sampler::Heun,
        value_name = "NAME",
        hide_possible_values = true
    )]
    pub sampler: Sampler,
    /// Sweeps that bring the solution of every sample onto the equation of its input, no network
    /// among them; timed by themselves
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = between::<0, MOST_CALLS>())]
    pub polish: usize,
    /// Take the solution from the generator's own pass, although the student has an operator for it
    #[arg(long)]
    pub joint: bool,
}

/// Sampling without any option.
impl Default for SamplingArgs {
    fn default() -> Self {
        Self { calls: None, seed: 0, sampler: Sampler::Heun, polish: 0, joint: false }
    }
}

/// The solver of a teacher's sampling.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sampler {
    /// Second order, two network calls a step but one in the last
    Heun,
    /// First order, one network call a step
    Euler,
}

impl PdeArgs {
    /// The PDE with its parameters set.
    pub fn build(&self) -> Result<Box<dyn Pde>> {
        self.params.apply(problem::by_name(&self.pde)?)
    }
}

impl Params {
    /// `pde` with these parameters set.
    pub fn apply(&self, mut pde: Box<dyn Pde>) -> Result<Box<dyn Pde>> {
        let names = self.list.iter().map(|(name, _)| name.as_str());
        check_once("--param", names)?;
        for (name, value) in &self.list {
            pde.set_param(name, *value)?;
        }
        Ok(pde)
    }

    /// The PDE that is named, or that the data set's manifest names, with these parameters set.
    ///
    /// # Errors
    /// Fails for an unknown PDE, and for a file without a name beside it.
    pub fn pde_of(
        &self,
        path: &Path,
        named: Option<&str>,
    ) -> std::result::Result<Box<dyn Pde>, Failure> {
        if let Some(name) = named {
            return Ok(self.apply(problem::by_name(name)?)?);
        }
        if !is_data_set(path) {
            let name = path.display();
            return Err(Failure::Usage(format!("{name}: name its PDE with --pde")));
        }

        let recipe = Manifest::read(path)?.recipe;
        let mut pde = problem::by_name(&recipe.pde)?;
        for (name, value) in &recipe.params {
            pde.set_param(name, *value)?;
        }
        Ok(self.apply(pde)?)
    }
}

impl Overrides {
    /// All changes; `section` is the section of the config that holds the steps.
    ///
    /// # Errors
    /// Fails for a key that is given twice.
    pub fn changes(&self, section: &str) -> Result<Changes> {
        let named = [
            (format!("{section}.steps"), self.steps.map(|n| n.to_string())),
            ("data.count".into(), self.count.map(|n| n.to_string())),
            ("grid".into(), self.grid.map(|points| table(points, self.sides))),
            ("seed".into(), self.seed.map(|n| n.to_string())),
        ];
        let given = named.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let set: Vec<String> = self.set.iter().cloned().chain(given).collect();

        let keys: Vec<&str> =
            set.iter().map(|text| text.split('=').next().unwrap_or_default().trim()).collect();
        check_once("--set", keys.iter().copied())?;

        // A table would replace what was set in it, or the other way round.
        let inside = |key: &&str| {
            keys.iter().any(|table| key.strip_prefix(table).is_some_and(|k| k.starts_with('.')))
        };
        if let Some(key) = keys.iter().find(|key| inside(key)) {
            let reason = "given twice, once in its table; give it once";
            return Err(Error::Config(format!("--set {key}: {reason}")));
        }

        check_once("--unset", self.unset.iter().map(String::as_str))?;
        Ok(Changes { set, unset: self.unset.clone() })
    }
}

/// Refuses an option of [`Global`] that is given both before and after the verb, since one of the
/// two would be ignored. The parser itself refuses an option given twice in one place.
pub fn check_global_once(given: impl Iterator<Item = OsString>) -> Outcome {
    let names: Vec<String> = Global::augment_args(Command::new(""))
        .get_arguments()
        .filter_map(|option| Some(format!("--{}", option.get_long()?)))
        .collect();
    // After `--` no word is an option.
    let words: Vec<OsString> = given.take_while(|word| word != "--").collect();
    let is = |word: &OsString, name: &str| {
        let word = word.to_string_lossy();
        word == name || word.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))
    };
    match names.iter().find(|name| words.iter().filter(|word| is(word, name)).count() > 1) {
        None => Ok(()),
        Some(name) => Err(Failure::Usage(format!("{name}: given twice; give it once"))),
    }
}

/// Tells whether `--json` is among the words.
pub fn asks_for_json(given: impl Iterator<Item = OsString>) -> bool {
    // After `--` no word is an option.
    given.take_while(|word| word != "--").any(|word| word == "--json")
}

/// Refuses a name that is given twice for an option.
pub fn check_once<'a>(option: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names.map(str::trim) {
        if !seen.insert(name) {
            return Err(Error::Config(format!("{option} {name}: given twice; give it once")));
        }
    }
    Ok(())
}

impl From<Sampler> for Method {
    fn from(sampler: Sampler) -> Self {
        match sampler {
            Sampler::Heun => Method::Heun,
            Sampler::Euler => Method::Euler,
        }
    }
}

/// A parser of whole numbers from `LEAST` on, for quantities that memory bounds.
pub fn at_least<const LEAST: u64>() -> RangedU64ValueParser<usize> {
    between::<LEAST, 1_000_000_000>()
}

/// A parser of whole numbers from `LEAST` to `MOST`.
pub fn between<const LEAST: u64, const MOST: u64>() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(LEAST..=MOST)
}

/// Parses a finite number of at least 0.
pub fn at_least_zero(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(format!("`{text}` is not a number of at least 0")),
    }
}

/// The part of a job that one of several processes does.
#[derive(Args, Clone)]
pub struct PartArgs {
    /// Do part K of N alone, counted from 1, such as 3/8: one job of many side by side
    #[arg(long, value_name = "K/N")]
    pub part: Option<Part>,
}

/// A grid for the solvers.
#[derive(Args, Clone)]
pub struct GridArgs {
    /// Points a side, or along y and x: `64`, `48x80`
    #[arg(long, value_name = "S", default_value = "64", value_parser = solvable_points)]
    grid: [usize; 2],
    /// Lengths of the domain's sides along y and x, for example `0.6x1` [default: 1x1]
    #[arg(long, value_name = "LYxLX", value_parser = sides)]
    sides: Option<[f64; 2]>,
}

impl GridArgs {
    /// The grid, which may be too small for a PDE.
    pub fn build(&self) -> Result<Grid> {
        Ok(Grid::new(self.grid, self.sides.unwrap_or([1.0; 2]))?)
    }
}

/// The grid of `points` and `sides` as a value in a config: a number where it is a square one on
/// the unit square.
fn table([ny, nx]: [usize; 2], sides: Option<[f64; 2]>) -> String {
    let [ly, lx] = sides.unwrap_or([1.0; 2]);
    json(Grid { ny, nx, ly, lx }).as_u64().map_or_else(
        || format!("{{ points = [{ny}, {nx}], sides = [{ly:?}, {lx:?}] }}"),
        |n| n.to_string(),
    )
}

/// Parses points along y and along x: `64` or `48x80`.
pub fn points(text: &str) -> std::result::Result<[usize; 2], String> {
    let number = |text: &str| {
        text.trim().parse::<usize>().map_err(|_| "points expected, as in 64 or 48x80".to_owned())
    };
    match text.split_once('x') {
        Some((y, x)) => Ok([number(y)?, number(x)?]),
        None => number(text).map(|n| [n, n]),
    }
}

/// Parses points along y and along x that the solvers may take.
fn solvable_points(text: &str) -> std::result::Result<[usize; 2], String> {
    let points = points(text)?;
    match points.iter().find(|n| !(4..=4096).contains(*n)) {
        None => Ok(points),
        Some(n) => Err(format!("{n} is not in 4..=4096")),
    }
}

/// Parses the lengths of the sides along y and along x: `0.6x1`.
pub fn sides(text: &str) -> std::result::Result<[f64; 2], String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0);
    let both = text.split_once('x').and_then(|(y, x)| Some([number(y)?, number(x)?]));
    both.ok_or_else(|| "two lengths above 0 expected, as in 0.6x1".into())
}

/// Parses `name=value`.
pub fn assignment(text: &str) -> std::result::Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE expected")?;
    match value.trim().parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((name.trim().into(), value)),
        _ => Err(format!("`{value}` is not a finite number")),
    }
}

/// The name's extension in lower case, without its dot.
pub fn extension(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase()
}

/// A model, by file or by the name of its PDE.
#[derive(Args, Clone)]
pub struct ModelName {
    /// A model file, a run folder, or a bundled student by its PDE, `darcy`, or by PDE and grid,
    /// `darcy-64`
    #[arg(value_name = "MODEL|PDE", add = completion::models())]
    pub model: PathBuf,
}
