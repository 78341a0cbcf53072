//! Prepared solvers between two runs of the program.

use phys_instruct::condition::Solver;
use phys_instruct::model::Model;

pub use phys_instruct::condition::cache_folder as folder;

use crate::failure::Failure;
use crate::output::{say, tell};
use crate::progress::wait;

/// The solver of a model, prepared anew only where the folder does not hold it.
pub fn solver(model: &Model) -> Result<Solver, Failure> {
    if let Some(folder) = folder() {
        say!(Details, "prepared solvers in {}", folder.display());
    }
    let (solver, unwritten) = wait("preparing the solver", || Solver::cached(model))?;
    if let Some(error) = unwritten {
        tell!("note: the prepared solver is not kept for the next run: {error}");
    }
    Ok(solver)
}
