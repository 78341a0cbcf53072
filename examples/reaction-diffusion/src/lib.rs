//! The PDE of this example and its residual, which both programs register.

use phys_instruct::Result;
use phys_instruct::problem::{self, Problem};

pub mod pde;
pub mod residual;

use pde::ReactionDiffusion;
use residual::ReactionDiffusionResidual;

/// Registers the PDE. Its name then works in every config and model file.
///
/// # Errors
/// Fails where the name is taken, by a second call for example.
pub fn register() -> Result<()> {
    problem::register(Problem::of(|pde: &ReactionDiffusion, grid, device| {
        Ok(Box::new(ReactionDiffusionResidual::new(pde, grid, device)))
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use phys_instruct::{Config, device};
    use phys_instruct_physics::Grid;

    #[test]
    fn a_registered_pde_works_in_configs_and_is_registered_once() {
        let config = "pde = 'reaction-diffusion'\ngrid = 16\nparams = { diffusion = 0.02 }";
        let config = Config::from_toml(config).unwrap();
        assert!(config.pde().err().unwrap().to_string().contains("darcy, poisson"));
        register().unwrap();
        let pde = config.pde().unwrap();
        assert_eq!((pde.name(), pde.params()[0].value), (pde::NAME, 0.02));
        assert!(
            phys_instruct::problem::residual(pde.as_ref(), Grid::square(16), &device::cpu())
                .is_ok()
        );
        assert!(register().unwrap_err().to_string().contains("registered already"));
        let unknown = problem::by_name("reaction").err().unwrap().to_string();
        assert!(unknown.contains("burgers, reaction-diffusion"), "{unknown}");
    }
}
