//! Refinement with the equation linearised at the ensemble's mean.
//!
//! [`super::refinement`] knows an equation that is not linear through the covariance of the
//! prior's samples alone, which is an average over all of them. This method linearises the
//! equation instead ([`Linearised`]). Symbols: a is the input and u(a) the solution; x is a pair
//! of both; H takes the observed values of x, v are the values observed, and S holds the variances
//! of their errors. C is the linear estimate of the input's covariance, and J = H dx/da.
//!
//! 1. Draw samples of one call and move them by refinement's step.
//! 2. Linearise the equation at the mean input of the ensemble.
//! 3. Solve for every member's solution, so that x is a pair of the equation.
//! 4. Move the input by d = C J^T (J C J^T + S)^-1 (v - H x), and the solution by du/da d.
//! 5. Add noise of the next level and call the student. Its call returns a sample of the prior
//!    near x + d, with features that a linear step cannot know, such as sharp edges between two
//!    values.
//! 6. Repeat from step 2 to the last level, then take a last step without a call.
//!
//! These are Gauss-Newton steps of an ensemble (as those of Chen and Oliver, Computational
//! Geosciences 17, 2013), with the student in the prior's place. A student of a single call stops
//! after step 1 and the last step.
//!
//! The law of the input decides two details. An input of two values moves far from round to round,
//! so the equation is linearised at every level but the last. Its last step is refinement's: it
//! moves the solution, and the input only where that is observed. Any other input is linearised
//! about once, and its last step is that of point 4, so that the members are nearly pairs.
//!
//! The members are no draws from the posterior even where the fields are Gaussian, unlike
//! refinement's. The part of a step that a call keeps is not taken back, so the observations count
//! again in the next round. Taking it back would also remove what the call restores. The spread is
//! therefore checked by measurement, not derived.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_physics::{Fields, Grid, Linearisable, Linearised, Pde};
use rayon::prelude::*;

use crate::condition::Observations;
use crate::condition::methods::aim::Aim;
use crate::condition::methods::{Drawn, Given, Inference, Options, of_all};
use crate::condition::observations::observed::Observed;
use crate::condition::observations::place::Stencil;
use crate::condition::prior::Prior;
use crate::condition::prior::covariance::Covariance;
use crate::condition::prior::gain::Gain;
use crate::condition::prior::rows::Functionals;
use crate::net::params::values;
use crate::team::Team;
use crate::{Error, Result};

/// The default number of network calls at each level but the first.
const ROUNDS: usize = 1;

/// Refinement by the equation's own derivative.
pub(super) struct LinearisedRefinement;

impl Inference for LinearisedRefinement {
    fn check(&self, pde: &dyn Pde, _: Grid) -> Result<()> {
        equation_of(pde).map(drop)
    }

    /// One for the first estimate, and one near the answer.
    fn gains(&self) -> f64 {
        2.0
    }

    fn suits(&self, pde: &dyn Pde, grid: Grid, observations: &Observations) -> bool {
        let entries = Entries::of(pde, grid);
        let is_solved = |stencil: &Stencil| {
            stencil.terms().iter().any(|&(entry, _)| entries.place(entry).is_some())
        };
        pde.linearisable().is_some() && observations.stencils().iter().any(is_solved)
    }

    fn draw(&self, given: &Given, options: &Options) -> Result<Drawn> {
        let (observed, aim) = (given.observed(), given.aim(options));
        let card = &given.student.model().card;
        let pde = card.pde()?;
        let variances = given.variances(given.exact());

        let inversion = Inversion {
            prior: given.student,
            pde: pde.as_ref(),
            grid: card.grid,
            equation: equation_of(pde.as_ref())?,
            covariance: given.covariance,
            gain: &given.gain(&variances)?,
            observed: &observed,
            stencils: given.observations.stencils(),
            variances: &variances,
            entries: &Entries::of(pde.as_ref(), card.grid),
            team: given.team,
            ensemble: options.ensemble,
        };

        let rounds = options.rounds.unwrap_or(ROUNDS);
        let (x, calls) = in_pool(|| inversion.infer(&aim, rounds))?;
        given.drawn(of_all(given.team, options.ensemble, x)?, calls)
    }
}

/// The equation of `pde`, if its derivative is known.
fn equation_of(pde: &dyn Pde) -> Result<&dyn Linearisable> {
    pde.linearisable().ok_or_else(|| {
        let (pde, method) = (pde.name(), "linearised");
        Error::Config(format!(
            "{method} is for equations that are not linear and whose derivative is known; that of \
             {pde} is none of them"
        ))
    })
}

/// The observations, and the equation behind them.
struct Inversion<'a> {
    pub prior: &'a dyn Prior,
    pub pde: &'a dyn Pde,
    pub grid: Grid,
    pub equation: &'a dyn Linearisable,
    pub covariance: &'a Covariance,
    /// The gain of refinement.
    pub gain: &'a Gain<'a>,
    pub observed: &'a Observed,
    /// The observed functionals.
    pub stencils: &'a [Stencil],
    /// The variances of the errors of the observed values.
    pub variances: &'a [f64],
    pub entries: &'a Entries,
    /// The processes that draw the members, and the number of all members.
    pub team: &'a Team,
    pub ensemble: usize,
}

/// The entries of the input and of the solution in a flat joint sample.
struct Entries {
    pub input: Vec<usize>,
    pub solution: Vec<usize>,
    places: Vec<Option<usize>>,
}

impl Entries {
    /// Returns the entries for samples of `pde` on a grid.
    pub fn of(pde: &dyn Pde, grid: Grid) -> Self {
        let layout = pde.layout();
        let [input, solution] =
            [layout.input, layout.solution].map(|p| p.entries(grid.ny, grid.nx));
        let mut places = vec![None; pde.channels().len() * grid.points()];
        solution.iter().enumerate().for_each(|(place, &entry)| places[entry] = Some(place));
        Self { input, solution, places }
    }

    /// The place of an entry of the sample within the solution; none for an entry of the input.
    pub fn place(&self, entry: usize) -> Option<usize> {
        self.places[entry]
    }
}

/// The equation linearised at one input, and the gain that gives the step d.
struct Near<'a> {
    equation: Arc<dyn Linearised>,
    gain: Gain<'a>,
}

/// The observed values as functionals of the input. A value is a sum over the solution, with slopes
/// from the adjoint, and over the input, on which it depends directly.
struct Slopes<'a> {
    equation: Arc<dyn Linearised>,
    stencils: &'a [Stencil],
    entries: &'a Entries,
}

impl Slopes<'_> {
    /// The part of a functional in the solution, as places and weights.
    fn in_solution(&self, terms: &[(usize, f64)]) -> Vec<(usize, f64)> {
        let term = |&(entry, weight): &(usize, f64)| Some((self.entries.place(entry)?, weight));
        terms.iter().filter_map(term).collect()
    }

    /// Writes the coefficients of a functional with these `slopes` of its part in the solution.
    fn write(&self, terms: &[(usize, f64)], slopes: Option<&[f64]>, row: &mut [f32]) {
        let inputs = self.entries.input.iter().zip(slopes.unwrap_or_default());
        inputs.for_each(|(&entry, slope)| row[entry] = *slope as f32);
        for &(entry, weight) in terms {
            if self.entries.place(entry).is_none() {
                row[entry] += weight as f32;
            }
        }
    }
}

impl Functionals for Slopes<'_> {
    fn coefficients(&self, points: Range<usize>, len: usize) -> Result<Vec<f32>> {
        let stencils = &self.stencils[points];
        let functionals: Vec<_> = stencils.iter().map(|s| self.in_solution(s.terms())).collect();
        let depending: Vec<_> = functionals.iter().filter(|f| !f.is_empty()).cloned().collect();
        let slopes = self.equation.slopes(&depending)?;

        let mut slopes = slopes.chunks_exact(self.entries.input.len());
        let mut rows = vec![0.0; stencils.len() * len];
        let all = rows.chunks_exact_mut(len).zip(stencils.iter().zip(&functionals));
        for (row, (stencil, functional)) in all {
            let slopes = if functional.is_empty() { None } else { slopes.next() };
            self.write(stencil.terms(), slopes, row);
        }
        Ok(rows)
    }

    fn sum(&self, weights: &[f64], len: usize) -> Result<Vec<f32>> {
        let sums = Stencil::weighted_sum(self.stencils, weights, len);
        let terms: Vec<_> = sums.into_iter().enumerate().filter(|(_, sum)| *sum != 0.0).collect();

        let slopes = self.equation.slopes(&[self.in_solution(&terms)])?;
        let mut row = vec![0.0; len];
        self.write(&terms, Some(&slopes), &mut row);
        Ok(row)
    }
}

impl Inversion<'_> {
    /// This process's answers, `[member, channel, y, x]`, and the number of network calls behind
    /// each. The student is called `rounds` times at each level but the first.
    ///
    /// # Errors
    /// Fails if the solver refuses an input, or if the covariance of the values is not finite.
    pub fn infer(&self, aim: &Aim, rounds: usize) -> Result<(Tensor<4>, usize)> {
        let misfit = |x: &Tensor<4>| aim.values.clone() - self.observed.of(x.clone());
        let x = self.prior.fields(aim.noise.clone());
        let mut x = x.clone() + self.gain.apply(misfit(&x))?;

        let (mut calls, levels) = (1, self.prior.calls());
        let mut last = None;

        for number in 2..=levels {
            for _ in 0..rounds {
                let noise = aim.renoising(calls);
                // Inputs of two values are linearised anew at every level but the last, others
                // once.
                let near = match last {
                    Some(near) if number == levels || !self.has_jumps() => near,
                    _ => self.near(&x)?,
                };

                let pairs = self.pairs(&near, &x)?;
                let step = self.step(&near, misfit(&pairs))?;
                x = self.prior.renoise_and_denoise(pairs + step, noise, number);
                calls += 1;
                last = Some(near);
            }
        }

        let x = match last {
            Some(near) if !self.has_jumps() => {
                let pairs = self.pairs(&near, &x)?;
                pairs.clone() + self.step(&near, misfit(&pairs))?
            }
            _ => x.clone() + self.outside_unobserved_input(self.gain.apply(misfit(&x))?)?,
        };
        Ok((x, calls))
    }

    /// Tells whether the input has two values alone. A round then moves it far, and a linear step
    /// leads away from the two values.
    fn has_jumps(&self) -> bool {
        self.pde.input_law().two_values().is_some()
    }

    /// Removes the part of a step that moves the input where it is not observed.
    fn outside_unobserved_input(&self, step: Tensor<4>) -> Result<Tensor<4>> {
        let seen = self.stencils.iter().flat_map(|s| s.terms().iter().map(|term| term.0));
        let seen: HashSet<usize> = seen.collect();
        let mut unobserved = self.entries.input.clone();
        unobserved.retain(|entry| !seen.contains(entry));
        self.each(&step, |step| {
            unobserved.iter().for_each(|&e| step[e] = 0.0);
            Ok(())
        })
    }

    /// The members with their solutions replaced by those of the equation.
    fn pairs(&self, near: &Near, x: &Tensor<4>) -> Result<Tensor<4>> {
        self.each(x, |x| {
            let solution = near.equation.solution(&self.input(x))?;
            self.entries.solution.iter().zip(solution).for_each(|(&e, u)| x[e] = u as f32);
            Ok(())
        })
    }

    /// The equation linearised at the mean input of all members, with its gain. Those of this
    /// process are `x`.
    fn near(&self, x: &Tensor<4>) -> Result<Near<'_>> {
        let all = of_all(self.team, self.ensemble, x.clone())?;
        let mean = self.input(&values(all.mean_dim(0)));
        let equation: Arc<dyn Linearised> = self.equation.linearised(self.grid, &mean)?.into();
        let (stencils, entries) = (self.stencils, self.entries);
        let slopes = Slopes { equation: equation.clone(), stencils, entries };
        let gain = self.covariance.linear_gain(self.prior, slopes, self.variances)?;
        Ok(Near { equation, gain })
    }

    /// The step d of the input, with the change of the solution that follows from it.
    fn step(&self, near: &Near, misfit: Tensor<2>) -> Result<Tensor<4>> {
        self.each(&near.gain.apply(misfit)?, |step| {
            let change: Vec<f64> = self.entries.input.iter().map(|&e| f64::from(step[e])).collect();
            let solution = near.equation.change(&change)?;
            self.entries.solution.iter().zip(solution).for_each(|(&e, u)| step[e] = u as f32);
            Ok(())
        })
    }

    /// The input of a flat joint sample, made admissible.
    fn input(&self, sample: &[f32]) -> Fields {
        let [channels, height, width] = self.prior.shape();
        let data = sample.iter().map(|&v| f64::from(v)).collect();
        let mut input = self.pde.input_of(&Fields { channels, height, width, data });
        self.equation.admit(&mut input);
        input
    }

    /// Changes every member, a flat joint sample, in parallel.
    fn each(
        &self,
        x: &Tensor<4>,
        change: impl Fn(&mut [f32]) -> Result<()> + Send + Sync,
    ) -> Result<Tensor<4>> {
        let mut data = values(x.clone());
        let len = data.len() / x.dims()[0];
        data.par_chunks_exact_mut(len).try_for_each(change)?;
        Ok(Tensor::from_data(TensorData::new(data, x.dims()), &x.device()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;
    use phys_instruct_physics::darcy::Darcy;

    use super::*;
    use crate::condition::Observations;
    use crate::condition::observations::observed::row;
    use crate::diffusion::noise::Draw;
    use crate::testing::prior::{SIZE, Smooth};
    use crate::testing::samples_of;

    const GRID: Grid = Grid::square(SIZE);
    const INPUTS: usize = SIZE * SIZE;
    const MEMBERS: usize = 4;

    /// Pairs of Darcy's equation with a smooth coefficient, which a call leaves as they are.
    struct Pairs(Smooth);

    impl Prior for Pairs {
        fn shape(&self) -> [usize; 3] {
            [2, SIZE, SIZE]
        }

        fn device(&self) -> Device {
            Device::flex()
        }

        fn fields(&self, z: Tensor<4>) -> Tensor<4> {
            let x = self.linear(z);
            let mut data = values(x.clone());
            for pair in data.chunks_exact_mut(2 * INPUTS) {
                let a: Vec<f64> = pair[..INPUTS].iter().map(|&v| 6.0 + f64::from(v)).collect();
                let solved =
                    Darcy::default().solve(GRID, &Fields::stack(SIZE, SIZE, &[&a])).unwrap();
                pair.iter_mut().zip(solved.fields.data).for_each(|(to, v)| *to = v as f32);
            }
            Tensor::from_data(TensorData::new(data, x.dims()), &Device::flex())
        }

        fn calls(&self) -> usize {
            3
        }

        fn renoise_and_denoise(&self, x: Tensor<4>, _: Tensor<4>, _: usize) -> Tensor<4> {
            x
        }

        fn gaussian_response(&self, change: Tensor<4>, _: usize) -> Tensor<4> {
            change
        }

        fn linear(&self, z: Tensor<4>) -> Tensor<4> {
            let [a, u] = [0, 1].map(|c| z.clone().narrow(1, c, 1));
            Tensor::cat(vec![self.0.linear(a), u.zeros_like()], 1)
        }

        fn transposed(&self, x: Tensor<4>) -> Tensor<4> {
            let [a, u] = [0, 1].map(|c| x.clone().narrow(1, c, 1));
            Tensor::cat(vec![self.0.transposed(a), u.zeros_like()], 1)
        }
    }

    /// The answers after some rounds to values of the solution, and of the input too if `mixed`.
    struct Answer {
        x: Vec<f32>,
        truth: Vec<f32>,
        observed: Vec<usize>,
        /// The distance of the solved members from the values that they aim at, in deviations of
        /// these.
        left: f32,
    }

    fn after(rounds: usize, mixed: bool) -> Answer {
        let (prior, pde) = (Pairs(Smooth::new()), Darcy::default());
        let draw = Draw { seed: 3, stream: "truth", step: 0, first: 0 };
        let truth = values(prior.fields(draw.normal([1, 2, SIZE, SIZE], &Device::flex())));
        let samples = samples_of(1, 2, SIZE, SIZE, truth.clone());
        let entries = Entries::of(&pde, Grid::square(SIZE));
        let seen =
            if mixed { (0..2 * INPUTS).step_by(3).collect() } else { entries.solution.clone() };
        let observations = Observations::draw(&samples, 0, &seen, 40, 1e-3, 1).unwrap();
        let seen: Vec<usize> = observations.stencils().iter().map(|s| s.terms()[0].0).collect();
        let variances: Vec<f64> =
            observations.points().iter().map(|p| p.deviation().powi(2)).collect();
        let covariance = Covariance::new(&prior, 0).unwrap();
        let aim = Aim::draw(&prior, &observations, 0..MEMBERS, 1);
        let inversion = Inversion {
            prior: &prior,
            pde: &pde,
            grid: GRID,
            equation: &pde,
            covariance: &covariance,
            gain: &covariance.gain(&prior, observations.stencils(), &variances).unwrap(),
            observed: &Observed::new(&observations, &Device::flex()),
            stencils: observations.stencils(),
            variances: &variances,
            entries: &entries,
            team: &Team::ALONE,
            ensemble: MEMBERS,
        };
        let (x, calls) = inversion.infer(&aim, rounds).unwrap();
        assert_eq!(calls, 1 + 2 * rounds);
        let left = aim.values.clone()
            - inversion.observed.of(inversion.pairs(&inversion.near(&x).unwrap(), &x).unwrap());
        let left = left / row(&observations, |p| p.deviation(), &Device::flex());
        let left = values(left.square().mean().sqrt())[0];
        Answer { x: values(x), truth, observed: seen, left }
    }

    fn distance(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    }

    #[test]
    fn solved_members_come_to_the_observed_values_and_the_input_to_the_truth() {
        let [start, end] = [0, 2].map(|rounds| after(rounds, false));
        let [before, after] = [start.left, end.left];
        assert!(after < 1.5 && after < 0.2 * before, "{before} to {after} deviations");
        let far = |answer: &Answer| {
            let pairs = answer.x.chunks_exact(2 * INPUTS);
            pairs.map(|x| distance(&x[..INPUTS], &answer.truth[..INPUTS])).sum::<f32>()
        };
        let [before, after] = [far(&start), far(&end)];
        assert!(after < 0.8 * before, "the input: {before} to {after}");
    }

    #[test]
    fn the_slopes_of_a_weighted_sum_are_the_sum_of_the_slopes() {
        let (pde, len) = (Darcy::default(), 2 * INPUTS);
        let entries = Entries::of(&pde, GRID);
        let coefficient: Vec<f64> = (0..INPUTS).map(|i| 5.0 + ((i * 7) % 5) as f64).collect();
        let input = Fields::stack(SIZE, SIZE, &[&coefficient]);
        let equation: Arc<dyn Linearised> = pde.linearised(GRID, &input).unwrap().into();

        // Values of the input and of the solution.
        let stencils = Stencil::points(&[3, INPUTS + 9, 11, INPUTS + 40, INPUTS + 63]);
        let slopes = Slopes { equation, stencils: &stencils, entries: &entries };
        let weights = [0.5, -2.0, 1.5, 3.0, 0.1];
        let rows = slopes.coefficients(0..stencils.len(), len).unwrap();
        let sum = slopes.sum(&weights, len).unwrap();

        for entry in 0..len {
            let terms = rows.chunks_exact(len).zip(weights);
            let expected: f64 = terms.map(|(row, by)| f64::from(row[entry]) * by).sum();
            let largest = sum.iter().fold(0.0f32, |most, v| v.abs().max(most));
            let away = (f64::from(sum[entry]) - expected).abs();
            assert!(away < 1e-6 * f64::from(largest), "{entry}: {away}");
        }
    }

    #[test]
    fn observed_inputs_and_solutions_come_out_and_members_differ_elsewhere() {
        let Answer { x, truth, observed, .. } = after(2, true);
        assert!(observed.iter().any(|&e| e < INPUTS) && observed.iter().any(|&e| e >= INPUTS));
        for channel in [0..INPUTS, INPUTS..2 * INPUTS] {
            let [mut seen, mut unseen, mut size] = [0.0f32; 3];
            for e in channel {
                let members: Vec<f32> = x.iter().skip(e).step_by(2 * INPUTS).copied().collect();
                let mean = members.iter().sum::<f32>() / MEMBERS as f32;
                let spread = members.iter().map(|v| (v - mean).powi(2)).sum::<f32>();
                size = size.max((truth[e] - mean).abs());
                match observed.contains(&e) {
                    true => seen = seen.max(spread.sqrt()),
                    false => unseen = unseen.max(spread.sqrt()),
                }
            }
            assert!(unseen > 2.0 * seen, "{seen} where observed, {unseen} elsewhere, off {size}");
        }
        let far = |&e: &usize| {
            let away = x.iter().skip(e).step_by(2 * INPUTS).map(|v| (v - truth[e]).abs());
            away.fold(0.0, f32::max) / truth[e].abs()
        };
        let worst = observed.iter().map(far).fold(0.0, f32::max);
        assert!(worst < 0.02, "{worst}");
    }
}
