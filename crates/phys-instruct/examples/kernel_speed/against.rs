//! A graphics processor against the processor: the same work on both, its results and its times.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use phys_instruct::{Model, device};

use crate::Failure;
use crate::work::Work;

/// Name, work and batch of each row.
const ROWS: [(&str, &str, usize); 4] = [
    ("forward_b1", "forward", 1),
    ("forward_b64", "forward", 64),
    ("train_step_b16", "train_step", 16),
    ("distill_step_b16", "distill_step", 16),
];
/// The most by which results may differ, as a share of the largest value.
const AGREEMENT: f64 = 1e-4;
/// The most runs of a figure.
const MOST_RUNS: f64 = 20.0;
/// Seconds of the counted runs of a figure, where one of them takes less.
const MEASURED: f64 = 2.0;
/// The most by which a row takes longer than the same on the last grid, of half as many points a
/// side: four times the work, and some for new shapes.
const GROWTH: f64 = 5.0;

/// Prints rows of a table: both devices' times and the results' difference. What falls short stands
/// on stderr. A row that would end after `seconds` is left out.
///
/// # Errors
/// Fails where results differ by more than [`AGREEMENT`], and without a graphics processor.
pub fn check(model: &Path, grids: &[usize], seconds: f64) -> Result<(), Failure> {
    let start = Instant::now();
    let devices = [device::gpu()?, device::cpu()];
    let models = [Model::load(model, &devices[0])?, Model::load(model, &devices[1])?];

    let mut took: HashMap<&str, f64> = HashMap::new();
    let (mut short, mut wrong) = (Vec::new(), 0);
    for &grid in grids {
        for (name, what, batch) in ROWS {
            let began = start.elapsed().as_secs_f64();
            let expected = took.get(name).map_or(0.0, |last| GROWTH * last);
            if began + expected > seconds {
                short.push(format!("{name} on {grid}: left out for the time"));
                took.insert(name, expected);
                continue;
            }

            let [ours, reference] =
                [measure(&models[0], grid, what, batch)?, measure(&models[1], grid, what, batch)?];
            let difference = difference(what, &ours.1, &reference.1);
            let [own, other] = [ours.0, reference.0].map(|seconds| 1e3 * seconds);
            println!("| `{name}` | {grid} | {own:.2} | {other:.2} | {difference:.0e} |");
            took.insert(name, start.elapsed().as_secs_f64() - began);

            // A result that is not a number agrees with nothing.
            if difference.is_nan() || difference > AGREEMENT {
                short.push(format!("{name} on {grid}: differs by {difference:.1e}"));
                wrong += 1;
            }
            if own > other {
                short.push(format!("{name} on {grid}: {:.1} times the processor's", own / other));
            }
        }
    }

    short.iter().for_each(|line| eprintln!("short: {line}"));
    match wrong {
        0 => Ok(()),
        _ => Err(format!("{wrong} rows differ by more than {AGREEMENT:.0e}").into()),
    }
}

/// The median of the seconds of one run, and the result of the first.
fn measure(
    model: &Model,
    grid: usize,
    what: &str,
    batch: usize,
) -> Result<(f64, Vec<f64>), Failure> {
    let mut work = Work::new(model, grid, batch)?;
    // The first run makes the programs of a graphics processor.
    work.run(what)?;
    let (once, _) = work.run(what)?;
    work.measure(what, (MEASURED / once).clamp(1.0, MOST_RUNS) as usize)
}

/// The largest difference. Fields are compared with their largest value, the numbers that a step
/// returns each with itself.
fn difference(what: &str, ours: &[f64], reference: &[f64]) -> f64 {
    let pairs = || ours.iter().zip(reference);
    let largest = |values: &mut dyn Iterator<Item = f64>| {
        values
            .fold(0.0, |most: f64, value| if value > most || value.is_nan() { value } else { most })
    };
    match what {
        "forward" => {
            largest(&mut pairs().map(|(a, b)| (a - b).abs()))
                / largest(&mut reference.iter().map(|b| b.abs()))
        }
        _ => largest(&mut pairs().map(|(a, b)| (a - b).abs() / b.abs())),
    }
}
