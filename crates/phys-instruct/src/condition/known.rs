//! An input that is observed everywhere is known: its solution is the reference solver's, and no
//! law of inputs is needed.

use phys_instruct_physics::{Fields, Pde, rng};
use rayon::prelude::*;

use super::{Observations, Posterior, Task};
use crate::{Result, Samples};

/// The observed input of a joint sample.
pub(super) struct KnownInput {
    /// Values in the order of the input's entries, and the deviations of their errors.
    values: Vec<f64>,
    sd: Vec<f64>,
    /// The entries of the input in a flat joint sample.
    entries: Vec<usize>,
}

impl KnownInput {
    /// The input of `pde` if the observations name its value at every grid point.
    pub fn of(observations: &Observations, pde: &dyn Pde) -> Option<Self> {
        let entries = Task::Forward.observed(pde, observations.size());
        let all = observations.channels().len() * observations.size().pow(2);
        let mut at: Vec<Option<[f64; 2]>> = vec![None; all];
        for (point, stencil) in observations.points().iter().zip(observations.stencils()) {
            if let [(entry, weight)] = stencil.terms()
                && *weight == 1.0
            {
                at[*entry] = Some([point.value, point.deviation()]);
            }
        }
        let seen: Vec<[f64; 2]> = entries.iter().map(|&e| at[e]).collect::<Option<_>>()?;
        let [values, sd] = [0, 1].map(|k| seen.iter().map(|v| v[k]).collect());
        Some(Self { values, sd, entries })
    }

    /// Whether no value has an error.
    pub fn is_exact(&self) -> bool {
        self.sd.iter().all(|&sd| sd == 0.0)
    }

    /// `members` pairs of the equation: the input as observed, in mirrored pairs with errors of the
    /// size stated, and its solution.
    ///
    /// # Errors
    /// An input that the solver refuses.
    pub fn posterior(
        &self,
        observations: &Observations,
        pde: &dyn Pde,
        members: usize,
        seed: u64,
    ) -> Result<Posterior> {
        let size = observations.size();
        let draw = |member: usize| -> Result<Fields> {
            let mut rng = rng::stream(seed, "known input", 0, member as u64 / 2);
            let sign = if member.is_multiple_of(2) { 1.0 } else { -1.0 };
            let channels = observations.channels().len();
            let mut data = vec![0.0; channels * size * size];
            for ((&entry, value), sd) in self.entries.iter().zip(&self.values).zip(&self.sd) {
                data[entry] = value + sign * sd * rng::normal(&mut rng);
            }
            let sample = Fields { channels, height: size, width: size, data };
            Ok(pde.solve(&pde.input_of(&sample))?.fields)
        };

        // Without errors all members are one.
        let count = if self.is_exact() { 1 } else { members };
        let drawn = (0..count).into_par_iter().map(draw).collect::<Result<Vec<_>>>()?;
        let all: Vec<Fields> = (0..members).map(|m| drawn[m % count].clone()).collect();
        let samples = Samples::from_fields(pde.name(), observations.channels(), &all)?;
        Ok(Posterior::of(samples, members.is_multiple_of(2), 0))
    }
}
