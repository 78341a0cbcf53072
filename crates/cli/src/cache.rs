//! Prepared solvers between two runs of the program.

use phys_instruct::condition::Solver;
use phys_instruct::model::Model;

pub use phys_instruct::condition::cache_folder as folder;

use crate::failure::Failure;
use crate::output::tell;

/// The solver of a model, prepared anew only where the folder does not hold it.
pub fn solver(model: &Model) -> Result<Solver, Failure> {
    let (solver, unwritten) = Solver::cached(model)?;
    if let Some(error) = unwritten {
        tell!("note: the prepared solver is not kept for the next run: {error}");
    }
    Ok(solver)
}
