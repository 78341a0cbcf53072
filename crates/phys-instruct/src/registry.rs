//! The PDEs by name: the five of [`phys_instruct_physics::registry`], and those that a program
//! adds of its own.
//!
//! Configs and model files hold a PDE's name, and the library comes here to find its equation and
//! its residual. A program with an own PDE calls [`register`] first thing in `main`; nothing else
//! of the library has to know.

use std::sync::{PoisonError, RwLock};

use burn::tensor::Device;
use phys_instruct_physics::{Error as PhysicsError, Pde, registry};

use crate::residual::Residual;
use crate::{Error, Result};

/// A PDE of the program's own. Plain functions, so that every reader of a config or a model file
/// gets one with fresh parameters.
#[derive(Clone, Copy)]
pub struct Registration {
    /// Makes the PDE with its default parameters; its name is [`Pde::name`].
    pub pde: fn() -> Box<dyn Pde>,
    /// Builds the residual of that PDE.
    pub residual: BuildResidual,
}

/// Builds the residual of a PDE, with its present parameters, on grids of so many points a side;
/// [`crate::residual::build`] for one PDE.
pub type BuildResidual = fn(&dyn Pde, usize, &Device) -> Result<Box<dyn Residual>>;

static ADDED: RwLock<Vec<Registration>> = RwLock::new(Vec::new());

/// Makes a PDE known to configs, model files and everything built on them, for the whole process.
///
/// # Errors
/// [`Error::Config`] for a name that is taken.
pub fn register(own: Registration) -> Result<()> {
    let name = (own.pde)().name();
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    if registry::NAMES.contains(&name) || added.iter().any(|r| (r.pde)().name() == name) {
        return Err(Error::Config(format!("a PDE named `{name}` is registered already")));
    }
    added.push(own);
    Ok(())
}

/// The PDE of that name, with its default parameters.
///
/// # Errors
/// No PDE of that name; the message lists those there are.
pub fn by_name(name: &str) -> Result<Box<dyn Pde>> {
    match added(name) {
        Some(own) => Ok((own.pde)()),
        None => registry::by_name(name).map_err(|_| unknown(name)),
    }
}

/// The registration of that name, if a program made one.
pub(crate) fn added(name: &str) -> Option<Registration> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    added.iter().copied().find(|r| (r.pde)().name() == name)
}

/// The refusal of a name that nobody registered.
pub(crate) fn unknown(name: &str) -> Error {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    let names: Vec<&str> =
        registry::NAMES.into_iter().chain(added.iter().map(|r| (r.pde)().name())).collect();
    Error::Physics(PhysicsError::UnknownPde { name: name.into(), known: names.join(", ") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::poisson::Poisson;

    use super::*;
    use crate::residual::poisson::PoissonResidual;

    // What `register` makes possible is tested in `examples/reaction-diffusion`, in a process of
    // its own.

    #[test]
    fn a_name_of_the_library_is_refused() {
        let refused = register(Registration {
            pde: || Box::new(Poisson::default()),
            residual: |_, size, device| Ok(Box::new(PoissonResidual::new(size, device)?)),
        });
        assert!(refused.unwrap_err().to_string().contains("`poisson` is registered already"));
        assert!(added("poisson").is_none());
    }

    #[test]
    fn names_lead_where_those_of_the_physics_do() {
        for name in registry::NAMES {
            assert_eq!(by_name(name).unwrap().name(), name);
        }
        let ours = by_name("posson").err().unwrap().to_string();
        assert_eq!(ours, registry::by_name("posson").err().unwrap().to_string());
    }
}
