//! The command `phys-instruct`: arguments, plan, library call, output. No mathematics.

// A closed stderr makes `eprintln` panic: `output::tell` is for that.
#![warn(clippy::print_stderr)]

mod args;
mod cache;
mod checked;
mod cli;
mod commands;
mod failure;
mod figures;
mod models;
mod output;
mod picture;
mod progress;
mod runs;
mod warnings;

use std::process::ExitCode;

use output::tell;

fn main() -> ExitCode {
    let json = args::asks_for_json(std::env::args_os().skip(1));
    let outcome = args::check_global_once(std::env::args_os().skip(1));
    match outcome.and_then(|()| cli::run(cli::parse(json)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if json {
                tell!("{}", failure.to_json());
            } else {
                tell!("error: {failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}
