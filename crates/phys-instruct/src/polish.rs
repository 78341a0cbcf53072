//! Polish: a few sweeps of a classical correction of the solution for the generated input. Never
//! part of sampling unless asked for.
//!
//! One sweep evaluates the preconditioned residual g(u) = P^-1 R(u) once, P the constant-coefficient
//! operator, and steps by Anderson's acceleration of u <- u - w g(u), w the residual's damping: over
//! the combinations of all earlier iterates that the linearised g allows, the one where g is least
//! (Walker and Ni, SIAM J. Numer. Anal. 49, 2011). On a linear equation these are the iterates of
//! GMRES; on Burgers' equation plain sweeps diverge and these converge.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::net::params::values;
use crate::residual::{Residual, ResidualOptions};
use crate::{Error, Result, Samples};

/// Samples corrected at a time.
const BATCH: usize = 64;

/// Earlier sweeps that a step looks back on.
const MEMORY: usize = 12;

/// A sample is left as it is where |P^-1 R| is below this share of |P^-1| of the source.
const SETTLED: f32 = 1e-6;

/// A direction is left out where the others already hold all but this share of it: what remains is
/// rounding of `f32`.
const INDEPENDENT: f64 = 1e-4;

/// `samples` after at most `sweeps` corrections, fewer where the equation holds to rounding before
/// that; the input stays as it is. `residual` lives on the CPU.
///
/// # Errors
/// A PDE whose residual names no damping, or corrections that are not finite.
pub fn polish(samples: &Samples, residual: &dyn Residual, sweeps: usize) -> Result<Samples> {
    let damping = residual.damping().ok_or_else(|| {
        Error::Config(format!("no correction of the solution is known for {}", samples.pde))
    })?;
    let mut polished = samples.clone();
    let len = samples.sample_len();
    for data in polished.data.chunks_mut(BATCH * len.max(1)) {
        let count = data.len() / len;
        let shape = [count, samples.channels.len(), samples.height, samples.width];
        let mut histories = vec![History::default(); count];
        for _ in 0..sweeps {
            let x = Tensor::<4>::from_data(TensorData::new(data.to_vec(), shape), &Device::flex());
            let options = ResidualOptions { preconditioned: true, ..ResidualOptions::default() };
            let terms = residual.terms(x, options);
            let errors = values(terms.relative());
            let settled = |error: &f32| *error < SETTLED;
            if errors.iter().all(settled) {
                break;
            }
            let steps = values(terms.residual * -damping);
            let step_len = steps.len() / count;
            let samples = data.par_chunks_exact_mut(len).zip(steps.par_chunks_exact(step_len));
            let samples = samples.zip(&mut histories).zip(&errors);
            samples.filter(|(_, error)| !settled(error)).for_each(|(((x, step), history), _)| {
                // The solution's channels are the last.
                history.advance(&mut x[len - step_len..], step);
            });
        }
    }
    match polished.first_not_finite() {
        Some(i) => Err(Error::NonFinite(format!("polished sample {i}"))),
        None => Ok(polished),
    }
}

/// What the sweeps of one sample have shown: how its plain step changed as the sample moved.
#[derive(Debug, Clone, Default)]
struct History {
    /// The sample and its plain step at the last sweep.
    last: Option<[Vec<f32>; 2]>,
    /// Orthonormal changes of the step, and the moves (sample plus step) that belong to them.
    changes: Vec<Vec<f64>>,
    moves: Vec<Vec<f64>>,
}

impl History {
    /// Moves `x`, whose plain step is `step`: to where the step is least among the known changes,
    /// and from there by that least step.
    fn advance(&mut self, x: &mut [f32], step: &[f32]) {
        let last = self.last.replace([x.to_vec(), step.to_vec()]);
        if let Some([last_x, last_step]) = last {
            self.learn(difference(x, &last_x), difference(step, &last_step));
        }
        let mut target: Vec<f64> =
            x.iter().zip(step).map(|(x, s)| f64::from(*x) + f64::from(*s)).collect();
        let step: Vec<f64> = step.iter().map(|s| f64::from(*s)).collect();
        for (change, moved) in self.changes.iter().zip(&self.moves) {
            subtract(&mut target, dot(&step, change), moved);
        }
        for (x, target) in x.iter_mut().zip(target) {
            *x = target as f32;
        }
    }

    /// Takes in that a move of the sample changed its step, less what was known before.
    fn learn(&mut self, mut moved: Vec<f64>, mut change: Vec<f64>) {
        moved.iter_mut().zip(&change).for_each(|(m, c)| *m += c);
        let whole = dot(&change, &change).sqrt();
        for (known, known_move) in self.changes.iter().zip(&self.moves) {
            let share = dot(&change, known);
            subtract(&mut change, share, known);
            subtract(&mut moved, share, known_move);
        }
        let rest = dot(&change, &change).sqrt();
        if rest <= INDEPENDENT * whole {
            return;
        }
        if self.changes.len() == MEMORY {
            self.changes.remove(0);
            self.moves.remove(0);
        }
        self.changes.push(change.iter().map(|c| c / rest).collect());
        self.moves.push(moved.iter().map(|m| m / rest).collect());
    }
}

fn difference(new: &[f32], old: &[f32]) -> Vec<f64> {
    new.iter().zip(old).map(|(n, o)| f64::from(*n) - f64::from(*o)).collect()
}

/// In eight partial sums, which the compiler keeps in vector registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

fn subtract(from: &mut [f64], share: f64, what: &[f64]) {
    from.iter_mut().zip(what).for_each(|(f, w)| *f -= share * w);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::eval::physics::{pde_error, solution_error};
    use crate::eval::testing::samples_from;
    use crate::residual::ResidualTerms;

    /// A residual whose author names no damping.
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
        let residual = crate::residual::build(pde.as_ref(), 16, &Device::flex()).unwrap();
        assert!(polish(&samples, &Undamped(residual), 1).is_err());
    }

    /// Samples whose solution is off by a tenth, and how far they are after some sweeps.
    fn errors(name: &str, sweeps: usize) -> [f64; 2] {
        let pde = by_name(name).unwrap();
        let mut samples = samples_from(pde.as_ref(), 4, 32, 1);
        let input = if name == "burgers" { 32 } else { 32 * 32 };
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

    /// However many more sweeps were allowed, and whatever else is in the batch.
    #[test]
    fn a_sample_that_holds_the_equation_is_left_alone() {
        let pde = by_name("poisson").unwrap();
        let residual = crate::residual::build(pde.as_ref(), 32, &Device::flex()).unwrap();
        let solved = samples_from(pde.as_ref(), 2, 32, 1);
        let mut samples = solved.clone();
        let len = samples.sample_len();
        samples.data[len + len / 2..].iter_mut().for_each(|v| *v *= 1.1);
        let [few, many] = [2, 12].map(|n| polish(&samples, residual.as_ref(), n).unwrap().data);
        assert_eq!(few[..len], solved.data[..len]);
        assert_ne!(few[len..], samples.data[len..]);
        assert_eq!(few, many);
    }

    /// Plain sweeps of this one diverge: an eigenvalue of I - A is -2.
    #[test]
    fn a_linear_system_is_solved_in_one_sweep_more_than_it_has_unknowns() {
        const A: [[f32; 3]; 3] = [[3.0, 1.0, 0.0], [0.0, 0.5, -1.0], [0.0, 1.0, 2.0]];
        const SOLUTION: [f32; 3] = [1.0, -2.0, 0.5];
        let step = |x: &[f32]| -> Vec<f32> {
            let row = |row: &[f32; 3]| (0..3).map(|j| row[j] * (SOLUTION[j] - x[j])).sum();
            A.iter().map(row).collect()
        };
        let (mut history, mut x) = (History::default(), vec![0.0; 3]);
        for _ in 0..4 {
            let step = step(&x);
            history.advance(&mut x, &step);
        }
        let far = x.iter().zip(SOLUTION).map(|(x, s)| (x - s).abs()).fold(0.0, f32::max);
        assert!(far < 1e-5, "{x:?}");
    }
}
