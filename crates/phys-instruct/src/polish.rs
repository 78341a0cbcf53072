//! Polish: a few sweeps of a classical correction of the solution for the generated input. Samples
//! are never corrected unless asked for. A student's operator starts from such sweeps of its own,
//! from a trivial start ([`crate::student::operator`]).
//!
//! Each snapshot of an evolution is brought to the equation with the one before it
//! ([`phys_instruct_physics::hermite`]). A sweep is then one evaluation of the right-hand side.
//!
//! If the equation is no evolution, let P be the constant-coefficient operator, R the residual of
//! the solution u, and omega the residual's damping. A sweep evaluates the preconditioned residual
//! P^-1 R once. It takes an accelerated step of u <- u - omega P^-1 R
//! ([`phys_instruct_physics::anderson`]).

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::anderson::Anderson;
use phys_instruct_physics::hermite::Collocation;
use phys_instruct_physics::{Fields, Layout, Pde};
use rayon::prelude::*;

use crate::net::params::read;
use crate::residual::{Residual, ResidualOptions};
use crate::{Error, Result, Samples};

/// The number of samples corrected at a time.
const BATCH: usize = 64;

/// A sample is left unchanged if |P^-1 R| is below this share of |P^-1| of the source. It is a few
/// times what rounding leaves of a solved sample.
const SETTLED: f32 = 1e-7;

/// The threshold of [`Anderson::new`] for residuals in `f32`.
const INDEPENDENT: f64 = 1e-4;

/// Tells whether a correction is known for samples of `residual`.
pub fn is_known(residual: &dyn Residual) -> bool {
    residual.collocation().is_some() || residual.damping().is_some()
}

/// Returns `samples` of `pde` after at most `sweeps` corrections, fewer if the equation holds to
/// rounding before that. The input is unchanged. `residual` must be built on the CPU.
///
/// # Errors
/// Fails for a PDE whose residual has no correction, and for corrections that are not finite.
///
/// ```
/// use phys_instruct::polish::polish;
/// use phys_instruct::prelude::*;
///
/// # fn main() -> phys_instruct::Result<()> {
/// let file = "../../models/darcy-32-student.safetensors";
/// let model = Model::load(file.as_ref(), &device::cpu())?;
/// let drawn = sample(&model, SampleOptions::default(), &mut |_| ())?.samples;
/// let pde = model.card.pde()?;
/// let residual = problem::residual(pde.as_ref(), model.card.grid, &device::cpu())?;
/// let polished = polish(&drawn, pde.as_ref(), residual.as_ref(), 8)?;
/// let [before, after] = [&drawn, &polished].map(|s| pde_error(s, residual.as_ref()));
/// assert!(after? < 0.1 * before?);
/// # Ok(())
/// # }
/// ```
pub fn polish(
    samples: &Samples,
    pde: &dyn Pde,
    residual: &dyn Residual,
    sweeps: usize,
) -> Result<Samples> {
    let shape = [samples.count, samples.channels.len(), samples.height, samples.width];
    if !is_known(residual) {
        let pde = &samples.pde;
        return Err(Error::Config(format!("no correction of the solution is known for {pde}")));
    }
    let data = corrected(samples.data.clone(), shape, &pde.layout(), residual, sweeps)?;
    Ok(Samples { data, ..samples.clone() })
}

/// The samples `data` of the `shape` `[sample, channel, y, x]` after at most `sweeps` corrections,
/// as [`polish`] makes them. They are unchanged if no correction is known.
///
/// # Errors
/// Fails for corrections that are not finite.
pub(crate) fn corrected(
    mut data: Vec<f32>,
    shape: [usize; 4],
    layout: &Layout,
    residual: &dyn Residual,
    sweeps: usize,
) -> Result<Vec<f32>> {
    let [_, channels, height, width] = shape;
    match (residual.collocation(), residual.damping()) {
        (Some(method), _) => march(&mut data, shape, method, sweeps),
        (None, Some(damping)) => {
            let solution = layout.solution.channels.clone();
            sweep(&mut data, shape, solution, (residual, damping), sweeps)?;
        }
        (None, None) => (),
    }

    match data.iter().position(|v| !v.is_finite()) {
        None => Ok(data),
        Some(i) => {
            let sample = i / (channels * height * width).max(1);
            Err(Error::NonFinite(format!("polished sample {sample}")))
        }
    }
}

fn march(
    data: &mut [f32],
    [count, channels, height, width]: [usize; 4],
    method: &dyn Collocation,
    sweeps: usize,
) {
    let one = |sample: &mut [f32]| {
        let wide = sample.iter().map(|&v| f64::from(v)).collect();
        let mut fields = Fields { channels, height, width, data: wide };
        method.march(&mut fields, sweeps);
        sample.iter_mut().zip(fields.data).for_each(|(s, v)| *s = v as f32);
    };
    let len = (channels * height * width).max(1);
    match count {
        // Waking a thread takes as long as a sweep.
        0 | 1 => data.chunks_exact_mut(len).for_each(one),
        _ => data.par_chunks_exact_mut(len).for_each(one),
    }
}

fn sweep(
    data: &mut [f32],
    [_, channels, height, width]: [usize; 4],
    solution: Range<usize>,
    (residual, damping): (&dyn Residual, f64),
    sweeps: usize,
) -> Result<()> {
    let (len, area) = (channels * height * width, height * width);
    let solution = solution.start * area..solution.end * area;
    for data in data.chunks_mut(BATCH * len.max(1)) {
        let count = data.len() / len;
        let shape = [count, channels, height, width];
        let mut methods = vec![Anderson::new(INDEPENDENT); count];

        for _ in 0..sweeps {
            let x = Tensor::<4>::from_data(TensorData::new(data.to_vec(), shape), &Device::flex());
            let options = ResidualOptions { preconditioned: true, ..ResidualOptions::default() };
            let terms = residual.terms(x, options);
            let errors = read(terms.relative())?;
            let settled = |error: &f32| *error < SETTLED;
            if errors.iter().all(settled) {
                break;
            }

            let steps = read(terms.residual * -damping)?;
            if steps.len() != count * solution.len() {
                let [found, wanted] = [steps.len() / count, solution.len()];
                return Err(Error::Shape(format!(
                    "a residual of {found} values for a solution of {wanted}"
                )));
            }
            let steps = steps.par_chunks_exact(solution.len());
            let samples = data.par_chunks_exact_mut(len).zip(steps);
            let samples = samples.zip(&mut methods).zip(&errors);
            samples.filter(|(_, error)| !settled(error)).for_each(|(((x, step), method), _)| {
                advance(method, &mut x[solution.clone()], step);
            });
        }
    }
    Ok(())
}

fn advance(method: &mut Anderson, x: &mut [f32], step: &[f32]) {
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let mut moved = wide(x);
    method.advance(&mut moved, &wide(step));
    x.iter_mut().zip(moved).for_each(|(x, m)| *x = m as f32);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::eval::physics::{pde_error, solution_error};
    use crate::residual::ResidualTerms;
    use crate::testing::samples_from;

    /// A residual without a damping.
    struct Undamped(Box<dyn Residual>);

    impl Residual for Undamped {
        fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms {
            self.0.terms(x, options)
        }
    }

    #[test]
    fn a_residual_without_damping_is_refused() {
        let pde = by_name("poisson").unwrap();
        let samples = samples_from(pde.as_ref(), 1, 16, 1);
        let residual =
            crate::problem::residual(pde.as_ref(), Grid::square(16), &Device::flex()).unwrap();
        assert!(polish(&samples, pde.as_ref(), &Undamped(residual), 1).is_err());
    }

    /// The errors of samples before and after some sweeps, if their solution is off by a tenth.
    fn errors(name: &str, sweeps: usize) -> [f64; 2] {
        let pde = by_name(name).unwrap();
        let mut samples = samples_from(pde.as_ref(), 4, 32, 1);
        let input = if name == "burgers" { 32 } else { 32 * 32 };
        let len = samples.sample_len();
        for (i, v) in samples.data.iter_mut().enumerate() {
            *v *= if i % len < input { 1.0 } else { 1.1 };
        }
        let residual =
            crate::problem::residual(pde.as_ref(), Grid::square(32), &Device::flex()).unwrap();
        let polished = polish(&samples, pde.as_ref(), residual.as_ref(), sweeps).unwrap();
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
        for (name, sweeps, left) in [
            ("helmholtz", 3, 1e-4),
            ("darcy", 8, 0.01),
            ("navier-stokes", 6, 0.05),
            ("burgers", 8, 0.03),
        ] {
            let [before, after] = [errors(name, 0), errors(name, sweeps)];
            for (before, after) in before.iter().zip(after) {
                assert!(after < left * before, "{name}: {before} to {after}");
            }
        }
    }

    /// The result depends neither on further sweeps that are allowed nor on the rest of the batch.
    #[test]
    fn a_sample_that_holds_the_equation_is_left_alone() {
        let pde = by_name("poisson").unwrap();
        let residual =
            crate::problem::residual(pde.as_ref(), Grid::square(32), &Device::flex()).unwrap();
        let solved = samples_from(pde.as_ref(), 2, 32, 1);
        let mut samples = solved.clone();
        let len = samples.sample_len();
        samples.data[len + len / 2..].iter_mut().for_each(|v| *v *= 1.1);
        let [few, many] =
            [2, 12].map(|n| polish(&samples, pde.as_ref(), residual.as_ref(), n).unwrap().data);
        assert_eq!(few[..len], solved.data[..len]);
        assert_ne!(few[len..], samples.data[len..]);
        assert_eq!(few, many);
    }
}
