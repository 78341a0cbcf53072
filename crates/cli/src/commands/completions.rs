//! `completions`: for the shell.

use clap::{Args, Command};
use clap_complete::Shell;

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
    /// Prints the completions of `command`, the whole program.
    pub fn run(&self, mut command: Command) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "phys-instruct", &mut script);
        print(String::from_utf8_lossy(&script).trim_end())
    }
}
