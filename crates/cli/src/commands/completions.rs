//! `completions`: for the shell.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsStr;
use std::path::PathBuf;

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
        clap_complete::generate(self.shell, &mut command, called_by(), &mut script);
        print(String::from_utf8_lossy(&script).trim_end())
    }
}

/// The name that the program was called by, which is another one where a program of one's own
/// brings these verbs.
fn called_by() -> String {
    let path = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let name = path.file_name().unwrap_or(OsStr::new("phys-instruct")).to_string_lossy();
    name.trim_end_matches(EXE_SUFFIX).into()
}
