//! The answer for an input that is observed everywhere: its solution is the reference solver's, and
//! no law of inputs is needed.

use phys_instruct_physics::{Fields, Pde, rng};
use rayon::prelude::*;

use crate::condition::{Observations, Options, Posterior, Task};
use crate::team::Team;
use crate::{Result, Samples};

/// The factors of its drawn errors with which a member is tried in turn.
const ERRORS: [f64; 3] = [1.0, 0.5, 0.25];

/// The observed input of a joint sample.
pub(crate) struct KnownInput {
    /// The values in the order of the input's entries.
    values: Vec<f64>,
    /// The standard deviations of the values' errors.
    sd: Vec<f64>,
    /// The entries of the input in a flat joint sample.
    entries: Vec<usize>,
}

impl KnownInput {
    /// Returns the input of `pde` if the observations give its value at every grid point exactly
    /// once.
    pub fn of(observations: &Observations, pde: &dyn Pde) -> Option<Self> {
        let entries = Task::Forward.observed(pde, observations.grid());
        let all = observations.channels().len() * observations.grid().points();
        let mut at: Vec<Option<[f64; 2]>> = vec![None; all];

        for (point, stencil) in observations.points().iter().zip(observations.stencils()) {
            if let [(entry, weight)] = stencil.terms()
                && *weight == 1.0
            {
                if at[*entry].is_some() {
                    return None;
                }
                at[*entry] = Some([point.value, point.deviation()]);
            }
        }

        let seen: Vec<[f64; 2]> = entries.iter().map(|&e| at[e]).collect::<Option<_>>()?;
        let [values, sd] = [0, 1].map(|k| seen.iter().map(|v| v[k]).collect());
        Some(Self { values, sd, entries })
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Tells whether no value has an error.
    pub fn is_exact(&self) -> bool {
        self.sd.iter().all(|&sd| sd == 0.0)
    }

    /// Returns an ensemble of pairs of the equation. Each has the input as observed, with errors of
    /// the stated size, and the solver's solution. The errors come in mirrored pairs.
    ///
    /// # Errors
    /// Fails if the solver refuses an input.
    pub fn posterior(
        &self,
        observations: &Observations,
        pde: &dyn Pde,
        &Options { ensemble, seed, .. }: &Options,
        team: &Team,
    ) -> Result<Posterior> {
        let grid = observations.grid();
        let draw = |member: usize| -> Result<Fields> {
            let mut rng = rng::stream(seed, "known input", 0, member as u64 / 2);
            let sign = if member.is_multiple_of(2) { 1.0 } else { -1.0 };
            let channels = observations.channels().len();
            let errors: Vec<f64> =
                self.sd.iter().map(|sd| sign * sd * rng::normal(&mut rng)).collect();
            let pair = |share: f64| -> Result<Fields> {
                let mut data = vec![0.0; channels * grid.points()];
                for ((&entry, value), error) in self.entries.iter().zip(&self.values).zip(&errors) {
                    data[entry] = value + share * error;
                }
                let sample = Fields { channels, height: grid.ny, width: grid.nx, data };
                Ok(pde.solve(grid, &pde.input_of(&sample))?.fields)
            };
            // Errors may lead to an input that the equation does not admit, such as a negative
            // permeability. Smaller errors are then tried.
            ERRORS.iter().find_map(|&share| pair(share).ok()).map_or_else(|| pair(0.0), Ok)
        };

        // Without errors all members are equal.
        let count = if self.is_exact() { 1 } else { ensemble };
        let channels = observations.channels();
        let length = channels.len() * grid.points();
        let own = team.members(count).into_par_iter().map(draw).collect::<Result<Vec<_>>>()?;
        let own = own.iter().flat_map(|pair| pair.data.iter().map(|&v| v as f32)).collect();
        let drawn = team.gathered(count, length, own)?;
        let all = drawn.iter().cycle().take(ensemble * length).copied().collect();
        let samples = Samples::on_grid(pde.name(), channels, grid, all)?;
        Ok(Posterior::of(samples, ensemble.is_multiple_of(2), 0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::condition::Observation;

    fn everywhere(value: impl Fn(usize) -> f64, sd: Option<f64>) -> Observations {
        let at = |i: usize| Observation::at_point(0, i / 16, i % 16, value(i), sd);
        let names = ["a".to_owned(), "u".to_owned()];
        Observations::new(&names, Grid::square(16), (0..256).map(at).collect()).unwrap()
    }

    fn members(ensemble: usize) -> Options {
        Options { ensemble, ..Options::default() }
    }

    #[test]
    fn any_input_is_solved_for_as_it_was_given() {
        for (name, value) in
            [("darcy", 24.0), ("darcy", 5.5), ("poisson", 1.0), ("helmholtz", -3.0)]
        {
            let pde = by_name(name).unwrap();
            let observations = everywhere(|_| value, None);
            let known = KnownInput::of(&observations, pde.as_ref()).unwrap();
            let answer =
                known.posterior(&observations, pde.as_ref(), &members(3), &Team::ALONE).unwrap();
            let solved = pde
                .solve(Grid::square(16), &Fields::stack(16, 16, &[&[value; 256]]))
                .unwrap()
                .fields;
            for member in 0..3 {
                let pairs = answer.samples.sample(member).iter().zip(&solved.data);
                assert!(pairs.into_iter().all(|(x, s)| *x == *s as f32), "{name} of {value}");
            }
        }
    }

    #[test]
    fn errors_come_in_mirrored_pairs_and_a_hole_is_no_known_input() {
        let pde = by_name("poisson").unwrap();
        let observations = everywhere(|i| (i % 7) as f64, Some(0.1));
        let known = KnownInput::of(&observations, pde.as_ref()).unwrap();
        assert!(!known.is_exact());
        let answer =
            known.posterior(&observations, pde.as_ref(), &members(2), &Team::ALONE).unwrap();
        let [one, other] = [0, 1].map(|m| answer.samples.sample(m));
        let mut spread = 0.0f32;
        for i in 0..256 {
            assert!((one[i] + other[i] - 2.0 * (i % 7) as f32).abs() < 1e-5);
            spread += (one[i] - other[i]).powi(2) / 4.0 / 256.0;
        }
        assert!((spread.sqrt() - 0.1).abs() < 0.02, "{spread}");

        let some: Vec<Observation> = observations.points()[1..].to_vec();
        let some = Observations::new(observations.channels(), Grid::square(16), some).unwrap();
        assert!(KnownInput::of(&some, pde.as_ref()).is_none());
    }

    #[test]
    fn a_value_that_the_equation_does_not_admit_is_refused() {
        let pde = by_name("darcy").unwrap();
        let observations = everywhere(|i| if i == 40 { -1.0 } else { 3.0 }, None);
        let known = KnownInput::of(&observations, pde.as_ref()).unwrap();
        let refused = known.posterior(&observations, pde.as_ref(), &members(2), &Team::ALONE);
        assert!(refused.is_err());
    }
}
