//! The command line of Phys-Instruct with one PDE more: `generate`, `train`, `solve` and every
//! other verb.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(error) = reaction_diffusion::register() {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    phys_instruct_cli::run_from_args()
}
