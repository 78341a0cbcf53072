//! `simulate`: the reference solver on the user's own input.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use phys_instruct::Error;
use phys_instruct::data;
use phys_instruct::doubts::Gathered;
use phys_instruct::problem;
use phys_instruct::store::import::{SIDES, stored_sides};
use phys_instruct::store::{NdArray, arrays, npz};
use phys_instruct_physics::{Error as Fault, Fields, Grid, Pde, Solution};
use phys_instruct_report::number::plain;
use serde_json::{Value, json};

use crate::args::{Global, PdeArgs, extension, sides};
use crate::failure::{Failure, Outcome};
use crate::output::{keep_apart, line, make_room, seconds, show};
use crate::progress::wait;
use crate::warnings::warn;

/// Solve for your own coefficient, source or initial condition
///
/// The input is one field [y, x] (a line [x] for burgers), or several [sample, y, x], on a grid of
/// any size. It may lie in an .npy, .npz, .mat or HDF5 file, or in a data set folder. It is the
/// only array there, the one named as the PDE's first channel, or that of --map. A line is solved
/// for as many times as it has points.
///
/// The output holds every channel by its name, f64 [sample, y, x]. A line that its grid does not
/// carry is solved on a finer one; other doubts about a solution are warnings on stderr.
///
/// Example: phys-instruct simulate helmholtz --input a.npy --param k=2 --out u.npz
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Simulate {
    #[command(flatten)]
    equation: PdeArgs,
    /// The input
    #[arg(long, value_name = "F")]
    input: PathBuf,
    /// Which array of the file holds the input, `group/a` in a group or structure
    #[arg(long, value_name = "[CHANNEL=]ARRAY")]
    map: Option<String>,
    /// Lengths of the domain's sides along y and x, for example `0.6x1` [default: those that the
    /// file states, else 1x1]
    #[arg(long, value_name = "LYxLX", value_parser = sides)]
    sides: Option<[f64; 2]>,
    /// The solution, .npz
    #[arg(long, value_name = "F")]
    out: PathBuf,
}

impl Simulate {
    pub fn run(&self, global: &Global) -> Outcome {
        if extension(&self.out) != "npz" {
            let name = self.out.display();
            return Err(Failure::Usage(format!("--out {name}: a name ending in .npz expected")));
        }
        keep_apart([&*self.input], [&*self.out])?;
        let pde = self.equation.build()?;
        let inputs = inputs(&self.input, pde.as_ref(), self.map.as_deref())?;
        let sides = self.sides.map_or_else(|| stored_sides(&self.input), Ok)?;
        let grid = data::grid_of(pde.as_ref(), &inputs, sides)?;
        make_room(&self.out)?;

        let start = Instant::now();
        let solutions = wait("solving", || data::solve_checked(pde.as_ref(), grid, &inputs))
            .map_err(|error| match error {
                Error::Physics(error @ Fault::BadInput { .. }) => {
                    bad(&self.input, error.to_string())
                }
                other => other.into(),
            })?;
        let spent = start.elapsed().as_secs_f64() / inputs.len() as f64;
        write(&self.out, pde.as_ref(), grid, &solutions)?;
        report(pde.as_ref(), &solutions, spent, global.json)
    }
}

/// The fields of the file, each in the shape of the PDE's input.
fn inputs(path: &Path, pde: &dyn Pde, map: Option<&str>) -> Result<Vec<Fields>, Failure> {
    let array = read(path, pde, map)?;
    let line = pde.layout().input.is_line();
    let (one, many) = if line { ("[x]", "[sample, x]") } else { ("[y, x]", "[sample, y, x]") };
    let shape = array.shape.clone();

    let (count, height, width) = match (shape.as_slice(), line) {
        // Columns hold lines in MATLAB and in meshgrids.
        (&[x], true) | (&[x, 1], true) => (1, 1, x),
        (&[n, x], true) | (&[n, 1, x], true) => (n, 1, x),
        (&[y, x], false) => (1, y, x),
        (&[n, y, x], false) | (&[n, 1, y, x], false) => (n, y, x),
        _ => return Err(bad(path, format!("shape {shape:?} found, {one} or {many} expected"))),
    };

    if count * height * width == 0 {
        return Err(bad(path, format!("shape {shape:?} holds no values")));
    }

    let data = array.into_f64();
    let field = |values: &[f64]| Fields { channels: 1, height, width, data: values.to_vec() };
    Ok(data.chunks(height * width).map(field).collect())
}

/// The array of the file that holds the input.
fn read(path: &Path, pde: &dyn Pde, map: Option<&str>) -> Result<NdArray, Failure> {
    let names = arrays::read(path, &|_| false)?;
    let own = pde.channels().first().map_or_else(String::new, |c| c.name.clone());
    let own = own.as_str();

    // The argument is `array` or `channel=array`.
    let mapped = map.map(|text| text.split_once('=').map_or(text, |(_, array)| array.trim()));
    let problem = problem::of(pde)?;
    let known = problem.arrays().iter().map(|[input, _]| input.as_str());
    let named = [own].into_iter().chain(known).find(|name| names.names.iter().any(|n| n == name));

    let solved = &pde.channels()[pde.layout().solution.channels.clone()];
    let is_solution = |name: &str| {
        let known = problem.arrays().iter().any(|[_, solution]| solution == name);
        name != own && (known || solved.iter().any(|channel| channel.name == name))
    };
    let name = match (mapped, named, &names.names[..]) {
        (Some(array), _, _) => array.trim_start_matches('/'),
        (None, Some(name), _) => name,
        (None, None, [only]) if is_solution(only) => {
            let reason =
                format!("`{only}` is a solution of {}, and its input was asked for", pde.name());
            return Err(bad(path, format!("{reason}; --map {own}={only} takes it for the input")));
        }
        (None, None, [only]) => only,
        (None, None, _) => {
            let reason = names.why_missing(own);
            let todo = format!("name the input of {} with --map {own}=ARRAY", pde.name());
            return Err(bad(path, format!("{reason}; {todo}")));
        }
    };

    let mut contents = arrays::read(path, &|n| n == name)?;
    contents.take(name).map_err(|reason| bad(path, reason))
}

fn write(path: &Path, pde: &dyn Pde, grid: Grid, solutions: &[Solution]) -> Outcome {
    let Some(first) = solutions.first() else { return Ok(()) };
    let shape = vec![solutions.len(), first.fields.height, first.fields.width];
    let mut arrays = Vec::new();
    for (c, channel) in pde.channels().iter().enumerate() {
        let data = solutions.iter().flat_map(|s| s.fields.channel(c)).copied().collect();
        let array = NdArray::from_f64(shape.clone(), data)
            .ok_or_else(|| bad(path, "solutions of different shapes".into()))?;
        arrays.push((channel.name.clone(), array));
    }
    let sides = NdArray::from_f64(vec![2], grid.sides().to_vec()).filter(|_| !grid.is_unit());
    arrays.extend(sides.map(|sides| (SIDES.into(), sides)));
    let named: Vec<(&str, &NdArray)> =
        arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
    Ok(npz::write(path, &named)?)
}

fn report(pde: &dyn Pde, solutions: &[Solution], spent: f64, json: bool) -> Outcome {
    let reports = || solutions.iter().map(|s| &s.report);
    let steps = reports().map(|r| r.steps).max();
    let time_step = reports().filter_map(|r| r.time_step).reduce(f64::min);
    let residual = reports().filter_map(|r| r.residual).reduce(f64::max);
    let inner_points = reports().filter_map(|r| r.inner_points).max();
    let warnings = Gathered::of(solutions);
    warn(&warnings.lines().collect::<Vec<_>>());

    let value = json!({
        "pde": pde.name(), "count": solutions.len(), "params": params(pde), "steps": steps,
        "time_step": time_step, "solver_residual": residual, "inner_points": inner_points,
        "seconds_per_sample": spent, "warnings": warnings.to_json(),
    });

    let mut lines = vec![line("PDE", pde.equation()), line("solved", solutions.len())];
    lines.extend(pde.params().iter().map(|p| line(&p.name, p.value)));
    lines.extend(steps.filter(|&n| n > 0).map(|n| line("solver steps", n)));
    lines.extend(time_step.map(|t| line("smallest time step", plain(t))));
    lines.extend(residual.map(|r| line("solver's residual", plain(r))));
    lines.extend(inner_points.map(|n| line("resolved on points", n)));
    lines.push(line("time per sample", seconds(spent)));
    show(json, value, &lines)
}

fn params(pde: &dyn Pde) -> Value {
    pde.params().iter().map(|p| (p.name.clone(), json!(p.value))).collect()
}

fn bad(path: &Path, reason: String) -> Failure {
    Error::BadFile { path: path.into(), reason }.into()
}
