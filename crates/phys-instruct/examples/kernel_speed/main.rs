//! This project's side of `experiments/kernel-speed`.
//!
//! Loads a plain EDM model and reads lines `WHAT GRID BATCH REPEATS` from standard input. It does
//! the work of each line for a while to warm up, and then as often as asked. Then it prints a line
//! of JSON with the median time and the result of the first run.
//!
//! The option `--cold` makes it draw one sample and exit. The option `--memory` makes it take
//! training steps and print the most memory it held. The option `--device` makes it hold a graphics
//! processor against the processor, on each grid of a list, for about so many seconds
//! (`scripts/device-check`).

mod against;
mod work;

use std::io::{BufRead, Write};
use std::path::Path;

use phys_instruct::diffusion::Denoiser;
use phys_instruct::diffusion::sampler::constant;
use phys_instruct::net::ops::keep_freed_memory;
use phys_instruct::net::params::values;
use phys_instruct::{Model, device};

use self::work::{SIGMA, Work, field};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    keep_freed_memory();
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, model] if flag == "--cold" => cold(model),
        [flag, model, grid] if flag == "--memory" => memory(model, grid.parse()?),
        [flag, model, grids, seconds] if flag == "--device" => {
            let grids: Result<Vec<usize>, _> = grids.split(',').map(str::parse).collect();
            against::check(Path::new(model), &grids?, seconds.parse()?)
        }
        [model] => serve(model),
        _ => {
            let usage = "[--cold | --memory | --device] MODEL [GRID | GRIDS SECONDS]";
            Err(format!("usage: kernel_speed {usage}").into())
        }
    }
}

/// Loads the weights, draws one sample in one call, prints its mean square.
fn cold(model: &str) -> Result<(), Failure> {
    let model = Model::load(Path::new(model), &device::cpu())?;
    let noisy = field(1, model.card.grid.nx, 0, &model.device()) * SIGMA;
    let y = values(model.network.denoise(noisy.clone(), constant(SIGMA, &noisy)));
    println!("{}", y.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / y.len() as f64);
    Ok(())
}

/// Takes a few training steps, prints the largest resident memory of the process, in MB.
fn memory(model: &str, grid: usize) -> Result<(), Failure> {
    let model = Model::load(Path::new(model), &device::cpu())?;
    let mut work = Work::new(&model, grid, 16)?;
    for _ in 0..3 {
        work.run("train_step")?;
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|words| words.split_whitespace().next()).ok_or("no VmHWM")?;
    println!("{}", peak.parse::<f64>()? / 1024.0);
    Ok(())
}

fn serve(model: &str) -> Result<(), Failure> {
    let model = Model::load(Path::new(model), &device::cpu())?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [what, grid, batch, repeats] = words.as_slice() else { return Err(line.into()) };

        let mut work = Work::new(&model, grid.parse()?, batch.parse()?)?;
        let (seconds, result) = work.measure(what, repeats.parse()?)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{{\"ms\": {}, \"result\": {result:?}}}", 1e3 * seconds)?;
        out.flush()?;
    }
    Ok(())
}
