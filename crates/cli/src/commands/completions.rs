//! `completions`: for the shell.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsStr;
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::completion::VARIABLE;
use crate::failure::{Failure, Outcome};
use crate::output::print;

/// Print completions for a shell
///
/// The shell then asks the program for verbs, options, PDEs, models, tasks and the keys of configs,
/// so that it offers what this program knows.
///
/// Example: phys-instruct completions bash > ~/.local/share/bash-completion/completions/phys-instruct
/// Example: echo 'source <(phys-instruct completions zsh)' >> ~/.zshrc
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> Outcome {
        let shells = Shells::builtins();
        let name = self.shell.to_string();
        let shell = shells
            .completer(&name)
            .ok_or_else(|| Failure::Usage(format!("no completions for {name}")))?;

        let called = called_by();
        let mut script = Vec::new();
        shell
            .write_registration(VARIABLE, &called, &called, &called, &mut script)
            .map_err(|e| Failure::Usage(e.to_string()))?;
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
