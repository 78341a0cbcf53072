//! The command `phys-instruct` as a function: arguments, library call, output. No mathematics.
//!
//! A program that registers a PDE of its own and calls [`run_from_args`] has every verb for it.

// A closed stderr makes `eprintln` panic: `output::tell` is for that.
#![warn(clippy::print_stderr)]

mod args;
mod cache;
mod checked;
mod cli;
mod commands;
mod completion;
mod failure;
mod figures;
mod models;
mod output;
mod picture;
mod progress;
mod runs;
mod team;
mod warnings;

use std::io::Write;
use std::process::ExitCode;

/// Carries out the command in the arguments of the process, and returns the exit code.
///
/// The verbs know the PDEs that are registered by then:
///
/// ```no_run
/// # use phys_instruct::problem::{self, Problem};
/// # fn mine() -> Problem { unimplemented!() }
/// fn main() -> std::process::ExitCode {
///     problem::register(mine()).expect("the name is free");
///     phys_instruct_cli::run_from_args()
/// }
/// ```
///
/// It is called once, by the main thread and before other work in parallel: it sets up rayon's
/// global pool and the signals. Help, the version and arguments that are no command end the
/// process here.
///
/// Exit codes: 0 done; 1 it ran, but a check failed; 2 usage or environment; 130 interrupted, with
/// the checkpoint written first.
pub fn run_from_args() -> ExitCode {
    // A shell that asks for completions gets them and nothing else.
    cli::answer_the_shell();

    let json = args::asks_for_json(std::env::args_os().skip(1));
    let outcome = args::check_global_once(std::env::args_os().skip(1));
    match outcome.and_then(|()| cli::run(cli::parse(json)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text =
                if json { failure.to_json().to_string() } else { format!("error: {failure}") };
            // A closed stderr is no reason for another error.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(failure.code())
        }
    }
}
