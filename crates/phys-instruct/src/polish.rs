//! Polish: a few sweeps of a classical correction of the solution for the generated input,
//! u <- u - w P^-1 R with P the constant-coefficient operator of the residual and w its damping. Never part of
//! sampling unless asked for.

use burn::tensor::{Device, Tensor, TensorData};

use crate::net::params::values;
use crate::residual::{Residual, ResidualOptions};
use crate::{Error, Result, Samples};

/// Samples corrected at a time.
const BATCH: usize = 64;

/// `samples` after `sweeps` corrections; the input stays as it is. `residual` lives on the CPU.
///
/// # Errors
/// A PDE whose sweeps do not converge (Burgers), or corrections that are not finite.
pub fn polish(samples: &Samples, residual: &dyn Residual, sweeps: usize) -> Result<Samples> {
    let damping = residual.damping().ok_or_else(|| {
        Error::Config(format!("sweeps of correction do not converge for {}", samples.pde))
    })?;
    let mut polished = samples.clone();
    polished.data.clear();
    for start in (0..samples.count).step_by(BATCH) {
        let part = samples.slice(start..(start + BATCH).min(samples.count));
        let shape = [part.count, part.channels.len(), part.height, part.width];
        let mut x = Tensor::<4>::from_data(TensorData::new(part.data, shape), &Device::flex());
        for _ in 0..sweeps {
            x = x.clone() - correction(residual, x) * damping;
        }
        polished.data.extend(values(x));
    }
    match polished.first_not_finite() {
        Some(i) => Err(Error::NonFinite(format!("polished sample {i}"))),
        None => Ok(polished),
    }
}

/// P^-1 R in the place of the solution, 0 in that of the input.
fn correction(residual: &dyn Residual, x: Tensor<4>) -> Tensor<4> {
    let channels = x.dims()[1];
    let options = ResidualOptions { preconditioned: true, ..ResidualOptions::default() };
    let error = residual.terms(x, options).residual;
    match channels - error.dims()[1] {
        0 => error,
        inputs => {
            let [batch, _, height, width] = error.dims();
            let none = Tensor::zeros([batch, inputs, height, width], &error.device());
            Tensor::cat(vec![none, error], 1)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::eval::physics::{pde_error, solution_error};
    use crate::eval::testing::samples_from;

    #[test]
    fn a_pde_without_convergent_sweeps_is_refused() {
        let pde = by_name("burgers").unwrap();
        let samples = samples_from(pde.as_ref(), 1, 16, 1);
        let residual = crate::residual::build(pde.as_ref(), 16, &Device::flex()).unwrap();
        assert!(polish(&samples, residual.as_ref(), 1).is_err());
    }

    /// Samples whose solution is off by a tenth, and how far they are after some sweeps.
    fn errors(name: &str, sweeps: usize) -> [f64; 2] {
        let pde = by_name(name).unwrap();
        let mut samples = samples_from(pde.as_ref(), 4, 32, 1);
        let input = 32 * 32;
        let len = samples.sample_len();
        for (i, v) in samples.data.iter_mut().enumerate() {
            *v *= if i % len < input { 1.0 } else { 1.1 };
        }
        let residual = crate::residual::build(pde.as_ref(), 32, &Device::flex()).unwrap();
        let polished = polish(&samples, residual.as_ref(), sweeps).unwrap();
        for (before, after) in samples.data.chunks(len).zip(polished.data.chunks(len)) {
            assert_eq!(before[..input], after[..input], "{name}: the input moved");
        }
        let solution = solution_error(&polished, pde.as_ref()).mean().unwrap();
        [solution, pde_error(&polished, residual.as_ref()).unwrap()]
    }

    #[test]
    fn one_sweep_solves_where_the_preconditioner_is_the_operator() {
        let [solution, residual] = errors("poisson", 1);
        assert!(solution < 1e-5 && residual < 1e-4, "{solution} {residual}");
    }

    #[test]
    fn sweeps_converge_where_one_is_not_enough() {
        for (name, sweeps) in [("helmholtz", 2), ("darcy", 20), ("navier-stokes", 3)] {
            let [before, after] = [errors(name, 0)[0], errors(name, sweeps)[0]];
            assert!(after < 0.25 * before, "{name}: {before} to {after}");
        }
    }
}
