//! `man`: manual pages.

use std::path::PathBuf;

use clap::{Args, Command};
use phys_instruct::store::atomic;

use crate::failure::{Failure, Outcome};
use crate::output::tell;

/// Write a manual page for every verb
///
/// Example: phys-instruct man ~/.local/share/man/man1
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Man {
    /// The folder for the pages
    folder: PathBuf,
}

impl Man {
    /// Writes the pages of `command`, the whole program.
    pub fn run(&self, command: Command) -> Outcome {
        atomic::create_folder(&self.folder)?;
        clap_mangen::generate_to(command, &self.folder)
            .map_err(|e| Failure::Usage(format!("{}: {e}", self.folder.display())))?;
        tell!("wrote the pages into {}", self.folder.display());
        Ok(())
    }
}
