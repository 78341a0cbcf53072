//! Few-step refinement: linear corrections towards the observations between the student's calls.
//!
//! Let x be a sample, v the observed values, H x the values of x at their places, and L the gain
//! of the best linear estimate ([`Gain`]).
//!
//! 1. Draw a sample x of one call.
//! 2. Compute the linear step d = L (v - H x), after which x + d agrees with v.
//! 3. Add noise of the next level to x + d and call the student, which returns a sample of the
//!    prior near x + d.
//! 4. Subtract M d, the part of d that the call would retain if the fields were Gaussian.
//! 5. Repeat from step 2 to the last level, and end with step 2.
//!
//! Large structures follow the observations at high noise, small ones at low noise.
//!
//! Step 4 prevents the observations from counting twice, since the call has seen d already. For
//! Gaussian fields with covariance C a call is x <- M x + noise of the covariance C - M C M^T,
//! which leaves C as it is. Every round then ends at (1 - L H) x + L v with the x of the call, a
//! draw from the posterior (Matheron's rule).
//!
//! If the equation is linear, L comes from the covariance of pairs of the equation. A call's
//! solution is computed from its input before each step, and the step stays among such pairs.
//!
//! Nothing is differentiated. Each member costs one forward call at the first level and some rounds
//! of one at each other level. Each member aims at observations with errors of its own (randomised
//! maximum likelihood). The members come in pairs of opposite noise and errors ([`Aim`]).

use burn::tensor::Tensor;
use phys_instruct_kernels::pool::in_pool;
use phys_instruct_physics::{Grid, Pde};

use crate::Result;
use crate::condition::Observations;
use crate::condition::methods::aim::Aim;
use crate::condition::methods::{Drawn, Given, Inference, Options, of_all};
use crate::condition::observations::observed::Observed;
use crate::condition::prior::Prior;
use crate::condition::prior::gain::Gain;

/// The default number of network calls at each level but the first.
const ROUNDS: usize = 2;

/// Refinement by the covariance of the student's samples.
pub(super) struct Refinement;

impl Inference for Refinement {
    fn suits(&self, _: &dyn Pde, _: Grid, _: &Observations) -> bool {
        true
    }

    fn draw(&self, given: &Given, options: &Options) -> Result<Drawn> {
        let (x, calls) = refined(given, options)?;
        given.drawn(x, calls)
    }
}

/// Members of the posterior, `[member, channel, y, x]`, and the number of network calls behind
/// each.
///
/// # Errors
/// Fails if the covariance of the observed values is not finite.
pub(super) fn refined(given: &Given, options: &Options) -> Result<(Tensor<4>, usize)> {
    let (observed, aim) = (given.observed(), given.aim(options));
    let gain = given.gain(&given.variances(given.exact()))?;
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let (own, calls) = in_pool(|| infer(given.student, &gain, &observed, &aim, rounds))?;
    Ok((of_all(given.team, options.ensemble, own)?, calls))
}

/// This process's members, `[member, channel, y, x]`, and the number of network calls behind
/// each. The student is called `rounds` times at each level but the first.
///
/// # Errors
/// Fails as [`Gain::apply`] does.
fn infer(
    prior: &dyn Prior,
    gain: &Gain,
    observed: &Observed,
    aim: &Aim,
    rounds: usize,
) -> Result<(Tensor<4>, usize)> {
    let step = |x: &Tensor<4>| gain.apply(aim.values.clone() - observed.of(x.clone()));
    let mut x = prior.solved(prior.fields(aim.noise.clone()));

    let mut calls = 1;
    for number in 2..=prior.calls() {
        for _ in 0..rounds {
            let noise = aim.renoising(calls);
            let d = step(&x)?;
            x = prior.solved(
                prior.renoise_and_denoise(x + d.clone(), noise, number)
                    - prior.gaussian_response(d, number),
            );
            calls += 1;
        }
    }

    let d = step(&x)?;
    Ok((x + d, calls))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::condition::prior::covariance::Covariance;
    use crate::net::params::values;
    use crate::testing::prior::{SIZE, Smooth, observations};

    const MEMBERS: usize = 600;
    const NOISE: f64 = 0.05;

    /// The mean and the deviation of each entry over the members.
    fn moments(x: Tensor<4>) -> [Vec<f32>; 2] {
        let mean = x.clone().mean_dim(0);
        let deviation = (x - mean.clone()).square().mean_dim(0).sqrt();
        [values(mean), values(deviation)]
    }

    #[test]
    fn on_a_gaussian_prior_the_members_are_those_of_the_posterior() {
        let prior = Smooth::new();
        let observations = observations(4, 12, NOISE);
        let observed = Observed::new(&observations, &prior.device());
        let covariance = Covariance::new(&prior, 0).unwrap();
        let variances = vec![NOISE * NOISE; 12];
        let gain = covariance.gain(&prior, observations.stencils(), &variances).unwrap();
        let aim = Aim::draw(&prior, &observations, 0..MEMBERS, 1);
        let (own, calls) = infer(&prior, &gain, &observed, &aim, ROUNDS).unwrap();
        assert_eq!(calls, 5);
        // Matheron's rule is exact where prior and observations are linear.
        let drawn = prior.fields(aim.noise.clone());
        let exact = drawn.clone() + gain.apply(aim.values.clone() - observed.of(drawn)).unwrap();
        let [[mean, deviation], [exact, exact_deviation]] = [own, exact].map(moments);
        for entry in 0..SIZE * SIZE {
            let away = (mean[entry] - exact[entry]) / exact_deviation[entry];
            assert!(away.abs() < 0.3, "entry {entry}: the mean is {away} deviations off");
            let ratio = deviation[entry] / exact_deviation[entry];
            assert!((0.8..1.2).contains(&ratio), "entry {entry}: deviations' ratio {ratio}");
        }
        let pair = Aim::draw(&prior, &observations, 0..2, 1);
        let [pair, _] = moments(infer(&prior, &gain, &observed, &pair, ROUNDS).unwrap().0);
        for (entry, (pair, mean)) in pair.iter().zip(&mean).enumerate() {
            let away = (pair - mean) / exact_deviation[entry];
            assert!(away.abs() < 0.01, "entry {entry}: a pair's mean is {away} deviations off");
        }
        let prior_deviation = moments(prior.fields(aim.noise.clone()))[1].clone();
        let share: f32 = deviation.iter().zip(&prior_deviation).map(|(d, p)| d / p).sum();
        assert!(share < 0.5 * (SIZE * SIZE) as f32, "the observations say nothing");
    }
}
