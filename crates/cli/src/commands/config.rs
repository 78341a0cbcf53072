//! `config`: whether a config is sound, and what it may hold.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use phys_instruct::Error;
use phys_instruct::config::load;
use phys_instruct::problem;
use serde_json::json;

use crate::args::{Global, Overrides};
use crate::failure::{Failure, Outcome};
use crate::output::{print, print_json};
use crate::runs;

/// Check configs, print their schema
#[derive(Subcommand)]
pub enum ConfigVerb {
    Check(Check),
    /// Print the JSON schema of configs
    ///
    /// Example: phys-instruct config schema > schema.json
    #[command(verbatim_doc_comment)]
    Schema,
}

/// Check a config and print it with every default written out; exit code 1 if it is not sound
///
/// Example: phys-instruct config check configs/poisson-32.toml --set train.steps=8000
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Check {
    /// The config file
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

impl ConfigVerb {
    pub fn run(&self, global: &Global) -> Outcome {
        match self {
            Self::Check(check) => check.run(global),
            Self::Schema => print(&format!("{:#}", load::schema())),
        }
    }
}

impl Check {
    fn run(&self, global: &Global) -> Outcome {
        let config =
            runs::load(&self.config, &self.overrides.changes("train")?).map_err(unsound)?;
        let pde = config.pde().map_err(unsound)?;
        problem::equation(pde.as_ref(), config.grid, &phys_instruct::device::cpu())
            .map_err(unsound)?;
        if global.json {
            return print_json(json!({ "config": config, "warnings": config.warnings() }));
        }
        print(load::to_toml(&config)?.trim_end())
    }
}

/// A file that cannot be read is the environment's fault, all else the config's.
fn unsound(error: Error) -> Failure {
    match error {
        Error::Io { .. } => Failure::Library(error),
        other => Failure::Check(other.to_string()),
    }
}
