//! The program's command line as a whole: its verbs, how the words become a call, and the call.

use std::time::Instant;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::CompleteEnv;
use phys_instruct::net::ops::keep_freed_memory;
use phys_instruct::store::interrupt;
use phys_instruct::{device, memory, problem};

use crate::args::{DeviceName, Global};
use crate::commands::{self, model::ModelVerb};
use crate::completion;
use crate::failure::{Failure, Outcome};
use crate::output::{say, seconds, tell_at_most};
use crate::team;

/// Few-step PDE solving by physics-guided distillation of diffusion models.
#[derive(Parser)]
#[command(name = "phys-instruct", version, max_term_width = 100, long_about = long_about())]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// The command to carry out.
#[derive(Subcommand)]
pub enum Verb {
    Generate(commands::generate::Generate),
    Simulate(commands::simulate::Simulate),
    Train(commands::train::Train),
    Distill(commands::distill::Distill),
    Fit(commands::fit::Fit),
    Sample(commands::sample::Sample),
    Solve(commands::solve::Solve),
    Eval(commands::eval::Eval),
    #[command(subcommand)]
    Bench(commands::bench::Bench),
    #[command(subcommand)]
    Model(commands::model::ModelVerb),
    #[command(subcommand)]
    Pde(commands::pde::PdeVerb),
    #[command(subcommand)]
    Data(commands::data::DataVerb),
    #[command(subcommand)]
    Config(commands::config::ConfigVerb),
    Doctor(commands::doctor::Doctor),
    Cite(commands::cite::Cite),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
}

/// The first page of help.
fn long_about() -> String {
    format!(
        "Few-step PDE solving by physics-guided distillation of diffusion models.\n\n\
         PDEs: {}.\n\
         Data goes to stdout, talk to stderr.\n\
         Exit codes: 0 done; 1 it ran, but a check failed; 2 usage or environment; 130 \
         interrupted, with the checkpoint written first.\n\n\
         Example: phys-instruct sample poisson",
        problem::names().join(", ")
    )
}

/// Answers a shell that asks for completions, and ends the process then.
pub fn answer_the_shell() {
    CompleteEnv::with_factory(Cli::command).var(completion::VARIABLE).complete();
}

/// Returns the words of the command line as a call. Help, the version, and what is no call end the
/// program here, unless `json` asks for errors as JSON.
pub fn parse(json: bool) -> std::result::Result<Cli, Failure> {
    Cli::try_parse().map_err(|error| {
        if !json || !error.use_stderr() {
            error.exit();
        }
        let text = error.render().to_string();
        Failure::Usage(text.trim_end().trim_start_matches("error: ").into())
    })
}

/// Runs the command.
pub fn run(cli: Cli) -> Outcome {
    let global = &cli.global;
    tell_at_most(global.told()?);
    let simd = device::vector_unit()?;
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

    let (threads, free) = (rayon::current_num_threads(), memory::sized(memory::available() as f64));
    say!(Details, "{threads} threads, vector instructions {simd}, {free} of memory may be taken");
    let start = Instant::now();
    let outcome = carry_out(&cli.verb, global);
    say!(Details, "took {}", seconds(start.elapsed().as_secs_f64()));
    outcome
}

/// Tells whether the verb runs a network where `--device` asks for.
fn takes_device(verb: &Verb) -> bool {
    match verb {
        Verb::Train(_) | Verb::Distill(_) | Verb::Fit(_) => true,
        Verb::Sample(_) | Verb::Solve(_) | Verb::Eval(_) | Verb::Bench(_) => true,
        Verb::Model(verb) => matches!(verb, ModelVerb::Pack(_)),
        // It names the card.
        Verb::Doctor(_) => true,
        _ => false,
    }
}

/// Tells whether each of several processes of MPI would do the whole work of the verb, and replace
/// the others' result. Training and a single answer are shared, and a part is one process's own.
fn is_alone(verb: &Verb) -> bool {
    match verb {
        Verb::Generate(verb) => verb.job.part.is_none(),
        Verb::Solve(verb) => verb.job.part.is_none() && !verb.is_shared(),
        Verb::Bench(verb) => verb.part().is_none(),
        Verb::Simulate(_) | Verb::Fit(_) | Verb::Sample(_) | Verb::Eval(_) => true,
        _ => false,
    }
}

/// Runs the verb.
fn carry_out(verb: &Verb, global: &Global) -> Outcome {
    if is_alone(verb) {
        team::refuse_many()?;
    }
    if global.device == DeviceName::Gpu && !takes_device(verb) {
        let reason = "this command runs on the processor alone; leave it out";
        return Err(Failure::Usage(format!("--device gpu: {reason}")));
    }

    match verb {
        Verb::Generate(verb) => verb.run(global),
        Verb::Simulate(verb) => verb.run(global),
        Verb::Train(verb) => verb.run(global),
        Verb::Distill(verb) => verb.run(global),
        Verb::Fit(verb) => verb.run(global),
        Verb::Sample(verb) => verb.run(global),
        Verb::Solve(verb) => verb.run(global),
        Verb::Eval(verb) => verb.run(global),
        Verb::Bench(verb) => verb.run(global),
        Verb::Model(verb) => verb.run(global),
        Verb::Pde(verb) => verb.run(global),
        Verb::Data(verb) => verb.run(global),
        Verb::Config(verb) => verb.run(global),
        Verb::Doctor(verb) => verb.run(global),
        Verb::Cite(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
        Verb::Man(verb) => verb.run(Cli::command()),
    }
}
