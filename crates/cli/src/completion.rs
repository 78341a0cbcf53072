//! Completions: what a shell may offer at a place of the command line. The shell asks the program
//! itself, so that PDEs of one's own and the models that are there are among them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use phys_instruct::condition::Task;
use phys_instruct::config::load;
use phys_instruct::problem;

use crate::models;

/// The environment variable by which a shell asks for completions.
pub const VARIABLE: &str = "PHYS_INSTRUCT_COMPLETE";

/// The `names` that go on from what is typed.
fn going_on(current: &OsStr, names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let fitting = names.into_iter().filter(|name| name.starts_with(&*typed));
    fitting.map(CompletionCandidate::new).collect()
}

/// The names of PDEs.
pub fn pdes() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| going_on(current, problem::names()))
}

/// The names of PDEs, and TOML files, which may describe one.
pub fn pdes_and_descriptions() -> ArgValueCompleter {
    let is_toml = |path: &Path| path.extension().is_some_and(|extension| extension == "toml");
    ArgValueCompleter::new(move |current: &OsStr| {
        let mut all = going_on(current, problem::names());
        all.extend(PathCompleter::any().filter(is_toml).complete(current));
        all
    })
}

/// The names of PDEs and of bundled models, and files.
pub fn models() -> ArgValueCompleter {
    let stem = |path: PathBuf| {
        let stem = path.file_stem()?.to_string_lossy().into_owned();
        Some(stem.strip_suffix("-student").map(str::to_owned).unwrap_or(stem))
    };
    ArgValueCompleter::new(move |current: &OsStr| {
        let bundled = models::bundled().into_iter().filter_map(stem);
        let mut all = going_on(current, problem::names().into_iter().chain(bundled));
        all.extend(PathCompleter::any().complete(current));
        all
    })
}

/// The tasks of `solve`.
pub fn tasks() -> ArgValueCompleter {
    let names = || Task::ALL.map(|task| task.name().to_owned());
    ArgValueCompleter::new(move |current: &OsStr| going_on(current, names()))
}

/// The keys of a config, each with the sign behind which its value stands.
pub fn settings() -> ArgValueCompleter {
    let names = || load::keys().into_iter().map(|key| format!("{key}="));
    ArgValueCompleter::new(move |current: &OsStr| going_on(current, names()))
}

/// The keys of a config.
pub fn keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| going_on(current, load::keys()))
}
