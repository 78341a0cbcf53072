//! The folder of prepared solvers between two runs of the program.

use std::path::PathBuf;

use etcetera::BaseStrategy;
use phys_instruct::condition::Solver;
use phys_instruct::model::Model;

use crate::failure::Failure;
use crate::output::tell;

/// The environment variable that names the folder; empty for none.
const VARIABLE: &str = "PHYS_INSTRUCT_CACHE";

/// The folder, by default that of the user's caches: `$XDG_CACHE_HOME/phys-instruct`, or
/// `~/.cache/phys-instruct`.
pub fn folder() -> Option<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(folder) if folder.is_empty() => None,
        Some(folder) => Some(folder.into()),
        None => Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("phys-instruct")),
    }
}

/// The solver of a model, prepared anew only where the folder does not hold it.
pub fn solver(model: &Model) -> Result<Solver, Failure> {
    let Some(folder) = folder() else { return Ok(Solver::new(model)?) };
    let (solver, unwritten) = Solver::stored(model, &folder)?;
    if let Some(error) = unwritten {
        tell!("note: the prepared solver is not kept for the next run: {error}");
    }
    Ok(solver)
}
