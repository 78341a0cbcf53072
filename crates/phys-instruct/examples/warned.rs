//! Measures how often `solve` warns, and which size it takes unstated errors to have. The command
//! is `experiments/warnings/run`.
//!
//! - `warned GRID faults LAW MADE`: the share of problems that `solve` warns of, among LAW problems
//!   of each PDE from its own law and MADE problems with each of four faults.
//! - `warned GRID laws COUNT`: the share among problems of other laws, beside the number of
//!   sensors.
//! - `warned GRID errors COUNT`: error and coverage where errors of unknown size are estimated, and
//!   where they are taken to be 1 %.
//! - `warned GRID sensors COUNT`: the misfit of Burgers' answers to sensors that see every time.

use std::path::Path;

use phys_instruct::condition::Lattice;
use phys_instruct::condition::TwoValuedEntries;
use phys_instruct::condition::{Answer, Observations, Options, Question, Solver, Task};
use phys_instruct::{Error, Model, Result, Samples, device, seeds};
use phys_instruct_physics::{Grid, Pde, generate, registry, rng};

/// Sizes of errors, in deviations of the field.
const NOISE: [f64; 4] = [0.0, 0.003, 0.01, 0.05];
/// Numbers of sensors.
const SENSORS: [usize; 4] = [5, 20, 60, 200];
/// Numbers of sensors of problems of other laws.
const SENSORS_OF_LAWS: [usize; 5] = [5, 20, 60, 200, 500];
/// Sensors from which on a problem counts in the table's last line.
const MANY: usize = 20;
/// The least error of a wrong value that counts in that line, in standard deviations of what the
/// other values leave open.
const CLEAR: f64 = 5.0;
/// Errors by which one value in sixty is off.
const OFF: f64 = 10.0;
/// Laws that the models do not know: PDE, parameter, value.
const LAWS: [(&str, &str, f64); 13] = [
    ("poisson", "alpha", 1.3),
    ("poisson", "alpha", 1.7),
    ("poisson", "alpha", 3.0),
    ("poisson", "tau", 12.0),
    ("helmholtz", "alpha", 1.3),
    ("helmholtz", "alpha", 1.7),
    ("helmholtz", "alpha", 3.0),
    ("helmholtz", "tau", 12.0),
    ("navier-stokes", "alpha", 1.7),
    ("darcy", "alpha", 1.7),
    ("darcy", "high", 24.0),
    ("darcy", "low", 1.0),
    ("darcy", "tau", 12.0),
];

/// One way to make a problem wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// The problem is of the law.
    None,
    /// All values are 10 to 1e6 times as large, or as small.
    Units,
    /// One field's values are off by one to three deviations.
    Offset,
    /// One value in sixty is off by ten of its errors.
    Outlier,
    /// The two fields are taken for each other.
    Exchanged,
}

/// Numbers of problems, warned of and all; and of those with [`MANY`] sensors, or of wrong values
/// that are [`CLEAR`].
#[derive(Clone, Copy, Default)]
struct Tally {
    all: [usize; 2],
    many: [usize; 2],
}

impl Tally {
    fn add(&mut self, warned: bool, many: bool) {
        let one = [usize::from(warned), 1];
        self.all = sum(self.all, one);
        if many {
            self.many = sum(self.many, one);
        }
    }
}

fn sum(a: [usize; 2], b: [usize; 2]) -> [usize; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

/// A student and problems of its PDE.
struct Bench<'a> {
    solver: &'a Solver,
    pde: &'a dyn Pde,
    samples: Samples,
}

/// A problem's observations, and what is asked for.
struct Case {
    task: Task,
    observations: Observations,
    /// The observation that is off.
    wrong: Option<usize>,
}

impl Bench<'_> {
    /// Problem `i` with a fault; none where it does not apply.
    fn case(&self, i: usize, fault: Fault) -> Result<Option<Case>> {
        let mut rng = rng::stream(seeds::WARNED, "problems", fault as u64, i as u64);
        let mut below = |n: usize| ((rng::uniform(&mut rng) * n as f64) as usize).min(n - 1);
        let task = Task::ALL[below(3)];
        let count = if fault == Fault::Outlier { 60 } else { SENSORS[below(4)] };
        let noise = if fault == Fault::Outlier { [0.01, 0.05][below(2)] } else { NOISE[below(4)] };
        // A third of the problems does not state its errors.
        let stated = fault == Fault::Outlier || below(3) > 0;
        let exponent = below(6) as i32 + 1;
        let exponent = if below(2) == 0 { exponent } else { -exponent };
        let size = 1.0 + 2.0 * below(100) as f64 / 100.0;

        let allowed = task.observed(self.pde, self.samples.grid());
        let count = count.min(allowed.len());
        let drawn = Observations::draw(&self.samples, i, &allowed, count, noise, seeds::WARNED)?;
        let mut points = drawn.points().to_vec();
        let chosen = below(points.len());

        match fault {
            Fault::None => {}
            Fault::Units => points.iter_mut().for_each(|p| p.value *= 10f64.powi(exponent)),
            Fault::Offset => {
                let channel = points[chosen].channel;
                let by = size * self.solver.deviations()[channel];
                points.iter_mut().filter(|p| p.channel == channel).for_each(|p| p.value += by);
            }
            Fault::Outlier => points[chosen].value += OFF * points[chosen].deviation(),
            Fault::Exchanged if drawn.channels().len() == 2 && task == Task::Reconstruct => {
                points.iter_mut().for_each(|p| p.channel = 1 - p.channel);
            }
            Fault::Exchanged => return Ok(None),
        }

        if !stated {
            points.iter_mut().for_each(|p| p.sd = None);
        }

        let lattice = Lattice::new(self.pde, Grid::square(self.samples.width));
        let wrong = (fault == Fault::Outlier).then_some(chosen);
        Ok(Some(Case { task, observations: Observations::on(&lattice, points)?, wrong }))
    }

    /// The answer to a problem, unstated errors of `noise` or estimated.
    fn answer(&self, case: Case, noise: Option<f64>, seed: u64) -> Result<Answer> {
        let Case { task, observations, .. } = case;
        let options = Options { seed, ..Options::default() };
        let (robust, resolve) = (false, None);
        self.solver.answer(Question { task, observations, noise, robust, resolve, options })
    }

    /// Counts the problems with a fault, `count` at most, that are warned of or refused.
    fn warned(&self, count: usize, fault: Fault) -> Result<Tally> {
        let mut tally = Tally::default();
        for i in 0..self.samples.count {
            if tally.all[1] == count {
                break;
            }
            let Some(case) = self.case(i, fault)? else { continue };

            let many = case.observations.points().len() >= MANY;
            let wrong = case.wrong;
            let answer = self.answer(case, None, i as u64);

            let is_clear = |answer: &Answer, i: usize| {
                let error = answer.observations.points()[i].deviation();
                OFF * error > CLEAR * answer.surprise.expected[i][1]
            };
            let counts = match (wrong, &answer) {
                (Some(i), Ok(answer)) => is_clear(answer, i),
                _ => many,
            };

            let told = answer.map(|answer| !answer.warnings.is_empty());
            tally.add(told.unwrap_or(true), counts);
        }
        Ok(tally)
    }

    /// Counts the problems with so many sensors of the solution that are warned of, of `count`.
    fn noticed(&self, count: usize, sensors: usize) -> Result<usize> {
        let allowed = Task::Inverse.observed(self.pde, Grid::square(self.samples.width));
        let mut warned = 0;
        for i in 0..count {
            let observations =
                Observations::draw(&self.samples, i, &allowed, sensors, 0.01, seeds::WARNED)?;
            let case = Case { task: Task::Inverse, observations, wrong: None };
            let told = self.answer(case, None, i as u64).map(|a| !a.warnings.is_empty());
            warned += usize::from(told.unwrap_or(true));
        }
        Ok(warned)
    }

    /// Mean error and coverage over `count` inverse problems with errors of 0.1 to 10 % that nobody
    /// states, taken to be `noise` or estimated.
    fn scored(&self, count: usize, sensors: usize, noise: Option<f64>) -> Result<[f64; 2]> {
        let task = Task::Inverse;
        let allowed = task.observed(self.pde, Grid::square(self.samples.width));
        let asked = task.target(self.pde, Grid::square(self.samples.width));
        let two_valued = TwoValuedEntries::of(&self.samples, self.pde);

        let mut sums = [0.0; 2];
        for i in 0..count {
            let uniform = rng::uniform(&mut rng::stream(seeds::WARNED, "errors", 0, i as u64));
            let size = 1e-3 * 100f64.powf(uniform);
            let drawn =
                Observations::draw(&self.samples, i, &allowed, sensors, size, seeds::WARNED)?;
            let observations = drawn.with_optional_errors(|_, _| None);

            let answer = self.answer(Case { task, observations, wrong: None }, noise, i as u64)?;
            let truth = self.samples.sample(i);
            let score = answer.posterior.score(truth, &asked, two_valued.as_ref());
            sums[0] += score.error / count as f64;
            sums[1] += score.coverage90.unwrap_or(0.0) / count as f64;
        }
        Ok(sums)
    }
}

/// The bundled student of a PDE.
fn student(pde: &str, grid: usize) -> Result<Model> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    let file = format!("{folder}/{pde}-{grid}-student.safetensors");
    Model::load(Path::new(&file), &device::cpu())
}

fn problems(pde: &dyn Pde, grid: usize, count: usize) -> Result<Samples> {
    let names: Vec<String> = pde.channels().into_iter().map(|c| c.name).collect();
    let grid = Grid::square(grid);
    Samples::from_fields(
        pde.name(),
        &names,
        grid,
        &generate(pde, grid, seeds::WARNED, 0..count as u64)?,
    )
}

fn faults(grid: usize, law: usize, made: usize) -> Result<()> {
    println!(
        "| PDE | of the law | units | offset | one of sixty | exchanged |\n|---|---|---|---|---|---|"
    );

    let all = [Fault::None, Fault::Units, Fault::Offset, Fault::Outlier, Fault::Exchanged];
    let mut sums = [Tally::default(); 5];
    for name in registry::names() {
        let (pde, model) = (registry::by_name(&name)?, student(&name, grid)?);
        let solver = Solver::new(&model)?;
        // Exchanged fields need the reconstruct task, a third of the problems.
        let samples = problems(pde.as_ref(), grid, law.max(5 * made))?;
        let bench = Bench { solver: &solver, pde: pde.as_ref(), samples };

        let mut line = format!("| {name} |");
        for (fault, total) in all.into_iter().zip(&mut sums) {
            let tally = bench.warned(if fault == Fault::None { law } else { made }, fault)?;
            line += &cell(tally.all);
            *total = Tally { all: sum(total.all, tally.all), many: sum(total.many, tally.many) };
        }
        println!("{line}");
    }
    println!("| all |{}", sums.map(|tally| cell(tally.all)).concat());
    println!(
        "| {MANY} sensors and more, the wrong value clearly off |{}",
        sums.map(|tally| cell(tally.many)).concat()
    );
    Ok(())
}

fn cell([warned, all]: [usize; 2]) -> String {
    format!(" {warned} of {all} |")
}

fn laws(grid: usize, count: usize) -> Result<()> {
    println!(
        "| law | {} sensors |\n|---|---|---|---|---|---|",
        SENSORS_OF_LAWS.map(|n| n.to_string()).join(" | ")
    );

    for (name, parameter, value) in LAWS {
        let (own, model) = (registry::by_name(name)?, student(name, grid)?);
        let solver = Solver::new(&model)?;
        let mut other = registry::by_name(name)?;
        other.set_param(parameter, value)?;
        let samples = problems(other.as_ref(), grid, count)?;
        let bench = Bench { solver: &solver, pde: own.as_ref(), samples };
        let mut line = format!("| {name}, {parameter} = {value} |");
        for sensors in SENSORS_OF_LAWS {
            line += &format!(" {} of {count} |", bench.noticed(count, sensors)?);
        }
        println!("{line}");
    }
    Ok(())
}

fn errors(grid: usize, count: usize) -> Result<()> {
    println!(
        "| PDE | sensors | estimated: error, coverage | 1 %: error, coverage |\n|---|---|---|---|"
    );

    for name in registry::names() {
        let (pde, model) = (registry::by_name(&name)?, student(&name, grid)?);
        let solver = Solver::new(&model)?;
        let samples = problems(pde.as_ref(), grid, count)?;
        let bench = Bench { solver: &solver, pde: pde.as_ref(), samples };
        for sensors in [20, 60, 200] {
            let both = [None, Some(0.01)].map(|noise| bench.scored(count, sensors, noise));
            let [[e, c], [e1, c1]] =
                [both[0].as_ref(), both[1].as_ref()].map(|s| s.copied().unwrap_or([f64::NAN; 2]));
            println!("| {name} | {sensors} | {e:.3}, {c:.3} | {e1:.3}, {c1:.3} |");
        }
    }
    Ok(())
}

fn sensors(grid: usize, count: usize) -> Result<()> {
    println!(
        "| sensors | noise | chi: median, largest | of members | left out | coverage | error |\n|---|---|---|---|---|---|---|"
    );

    let (pde, model) = (registry::by_name("burgers")?, student("burgers", grid)?);
    let solver = Solver::new(&model)?;
    let samples = problems(pde.as_ref(), grid, count)?;
    let bench = Bench { solver: &solver, pde: pde.as_ref(), samples };

    for sensors in [1, 2, 3, 5, 8] {
        for noise in [0.0, 0.003, 0.01] {
            let (mut chi, mut of_members) = (Vec::new(), Vec::new());
            let (mut left_out, mut coverage, mut error) = (0, 0.0, 0.0);
            for i in 0..count {
                let task = if i.is_multiple_of(2) { Task::Inverse } else { Task::Reconstruct };
                let allowed = task.observed(bench.pde, Grid::square(grid));
                let seen = Observations::columns(&allowed, Grid::square(grid), sensors, i as u64);
                let observations =
                    Observations::draw(&bench.samples, i, &seen, seen.len(), noise, seeds::WARNED)?;
                let answer =
                    bench.answer(Case { task, observations, wrong: None }, None, i as u64)?;

                chi.push(answer.explained.chi);
                of_members.push(answer.explained.chi_of_members);
                left_out += answer.posterior.left_out;

                let asked = task.target(bench.pde, Grid::square(grid));
                let score = answer.posterior.score(bench.samples.sample(i), &asked, None);
                coverage += score.coverage90.unwrap_or(0.0) / count as f64;
                error += score.error / count as f64;
            }

            let [chi, of_members] = [chi, of_members].map(|mut all| {
                all.sort_by(f64::total_cmp);
                format!("{:.2}, {:.2}", all[count / 2], all[count - 1])
            });
            let members = 16 * count;
            println!(
                "| {sensors} | {noise} | {chi} | {of_members} | {left_out} of {members} | {coverage:.3} | {error:.3} |"
            );
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args.get(i).and_then(|text| text.parse::<usize>().ok());
    match (number(0), args.get(1).map(String::as_str), number(2), number(3)) {
        (Some(grid), Some("faults"), Some(law), Some(made)) => faults(grid, law, made),
        (Some(grid), Some("laws"), Some(count), _) => laws(grid, count),
        (Some(grid), Some("errors"), Some(count), _) => errors(grid, count),
        (Some(grid), Some("sensors"), Some(count), _) => sensors(grid, count),
        _ => Err(Error::Config(
            "GRID faults LAW MADE, GRID laws COUNT, GRID errors COUNT or GRID sensors COUNT".into(),
        )),
    }
}
