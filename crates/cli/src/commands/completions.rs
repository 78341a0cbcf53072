//! `completions`: for the shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Outcome;
use crate::output::print;

/// Print completions for a shell
///
/// Example: phys-instruct completions bash > ~/.local/share/bash-completion/completions/phys-instruct
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "phys-instruct", &mut script);
        print(String::from_utf8_lossy(&script).trim_end())
    }
}
