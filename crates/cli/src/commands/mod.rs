//! One command, one file.

use clap::Subcommand;
use phys_instruct::device::{self, Device};
use phys_instruct::net::ops::keep_freed_memory;
use phys_instruct::store::{Check, interrupt};
use phys_instruct::{Error, Samples, memory};
use phys_instruct_physics::Pde;
use phys_instruct_report::number::plain;

use crate::args::{Cli, DeviceName, Global};
use crate::failure::{Failure, Outcome};
use crate::output::tell;

pub mod bench;
pub mod cite;
pub mod completions;
pub mod config;
pub mod data;
pub mod distill;
pub mod doctor;
pub mod eval;
pub mod generate;
pub mod model;
pub mod sample;
pub mod simulate;
pub mod solve;
pub mod train;

/// The command to carry out.
#[derive(Subcommand)]
pub enum Verb {
    Generate(generate::Generate),
    Simulate(simulate::Simulate),
    Train(train::Train),
    Distill(distill::Distill),
    Sample(sample::Sample),
    Solve(solve::Solve),
    Eval(eval::Eval),
    #[command(subcommand)]
    Bench(bench::Bench),
    #[command(subcommand)]
    Model(model::ModelVerb),
    #[command(subcommand)]
    Data(data::DataVerb),
    #[command(subcommand)]
    Config(config::ConfigVerb),
    Doctor(doctor::Doctor),
    Cite(cite::Cite),
    Completions(completions::Completions),
}

/// Runs the command.
pub fn run(cli: Cli) -> Outcome {
    let global = &cli.global;
    device::vector_unit()?;
    interrupt::survive_file_size_limit()?;
    keep_freed_memory();
    memory::set_limit(global.memory_limit.unwrap_or_default());
    // The main thread belongs to the pool; another would have to be woken for each piece of work.
    let threads = global.threads.unwrap_or_default();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    pool.build_global().map_err(|e| match global.threads {
        Some(threads) => Failure::Usage(format!("--threads {threads}: {e}")),
        None => Failure::Usage(format!("thread pool: {e}; --threads asks for fewer")),
    })?;

    match &cli.verb {
        Verb::Generate(verb) => verb.run(global),
        Verb::Simulate(verb) => verb.run(global),
        Verb::Train(verb) => verb.run(global),
        Verb::Distill(verb) => verb.run(global),
        Verb::Sample(verb) => verb.run(global),
        Verb::Solve(verb) => verb.run(global),
        Verb::Eval(verb) => verb.run(global),
        Verb::Bench(verb) => verb.run(global),
        Verb::Model(verb) => verb.run(global),
        Verb::Data(verb) => verb.run(global),
        Verb::Config(verb) => verb.run(global),
        Verb::Doctor(verb) => verb.run(global),
        Verb::Cite(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
    }
}

/// The device that is asked for.
pub fn open_device(global: &Global) -> Result<Device, Error> {
    match global.device {
        DeviceName::Cpu => Ok(device::cpu()),
        DeviceName::Gpu => device::gpu(),
    }
}

/// Measures the samples of a file against the equation and the law before training. Samples that
/// fail are refused unless the user allows them. Without a path they were just solved and pass.
pub fn check_data(
    samples: &Samples,
    pde: &dyn Pde,
    path: Option<&str>,
    unchecked: bool,
) -> Outcome {
    let Some(path) = path else { return Ok(()) };
    let check = Check::of(samples, pde);
    tell!("{path}: PDE error {}", described(&check));
    if check.passed() || unchecked {
        return Ok(());
    }
    let reasons = check.complaints.join("; ");
    Err(Failure::Usage(format!("{path}: {reasons}; --unchecked takes them all the same")))
}

/// The figures of a check, in words.
pub fn described(check: &Check) -> String {
    match (check.pde_error, check.misfit, &check.unmeasured) {
        (Some(error), Some(misfit), _) => format!(
            "{}, about {} of the solution ({} samples measured)",
            plain(error),
            plain(misfit),
            check.measured
        ),
        (_, _, Some(reason)) => format!("not measured: {reason}"),
        _ => "not finite".into(),
    }
}
