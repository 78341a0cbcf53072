//! The command `phys-instruct`: arguments, plan, library call, output. No mathematics.

mod args;
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

use clap::Parser;

use args::Cli;

fn main() -> ExitCode {
    match commands::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
