//! The classical answer without a network: Gaussian-process interpolation with the mean and
//! covariance of solved training samples.
//!
//! Let X hold the centred samples over sqrt(count - 1), `[sample, entry]`, and X_o its columns at
//! the observed entries, so that X^T X is the covariance. Let S hold the variances of the errors.
//! Given values v, the linear posterior mean is
//!
//! ```text
//! mean + X^T X_o^T (X_o X_o^T + S)^-1 (v - mean_o).
//! ```
//!
//! This is the best linear estimate of all channels. For a linear equation and Gaussian fields it
//! is the best of all as the number of samples grows. [`Posterior::solved`] makes it a pair of the
//! equation by solving for the estimated input.

use faer::Mat;
use faer::prelude::Solve;
use phys_instruct_physics::rng;

use crate::condition::{Observations, Posterior};
use crate::linalg::cholesky;
use crate::{Error, Result, Samples};

/// The least standard deviation of an observation, in units of that of its value: the sampling
/// noise of the estimated covariance.
const LEAST: f64 = 1e-2;

/// Draws `members` from the linear posterior with the covariance of `samples`. A single member is
/// the posterior's mean.
///
/// # Errors
/// Fails for observations on another grid than the samples', and for fewer than two samples.
pub fn posterior(
    samples: &Samples,
    observations: &Observations,
    members: usize,
    seed: u64,
) -> Result<Posterior> {
    let (count, len) = (samples.count, samples.sample_len());
    if count < 2
        || samples.channels != observations.channels()
        || samples.grid() != observations.grid()
    {
        return Err(Error::Shape(format!(
            "{count} samples of {:?} do not fit the observations",
            samples.channels
        )));
    }

    let mean: Vec<f64> = (0..len)
        .map(|e| (0..count).map(|i| f64::from(samples.sample(i)[e])).sum::<f64>() / count as f64)
        .collect();
    let scale = (count as f64 - 1.0).sqrt().recip();
    let centred = |i: usize, e: usize| (f64::from(samples.sample(i)[e]) - mean[e]) * scale;

    let stencils = observations.stencils();
    let points = observations.points();
    let m = stencils.len();
    let of = |p: usize, value: &dyn Fn(usize) -> f64| -> f64 {
        stencils[p].terms().iter().map(|&(entry, weight)| weight * value(entry)).sum()
    };

    // X_o X_o^T + S.
    let seen = Mat::from_fn(m, count, |p, i| of(p, &|entry| centred(i, entry)));
    let mut covariance = &seen * seen.transpose();
    for (p, point) in points.iter().enumerate() {
        covariance[(p, p)] *= 1.0 + LEAST * LEAST;
        covariance[(p, p)] += point.deviation().powi(2) + f64::MIN_POSITIVE;
    }
    let factor = cholesky(&covariance)?;

    // Matheron's rule; a single member is the mean, without noise.
    let mut data = Vec::with_capacity(members * len);
    for member in 0..members {
        let mut rng = rng::stream(seed, "interpolation", 0, member as u64);
        let size = if members == 1 { 0.0 } else { 1.0 };
        let mut w = Mat::from_fn(count, 1, |_, _| size * rng::normal(&mut rng));
        let drawn = Mat::from_fn(m, 1, |p, _| {
            points[p].value - of(p, &|entry| mean[entry])
                + size * points[p].deviation() * rng::normal(&mut rng)
        });
        w = &w + seen.transpose() * factor.solve(&drawn - &seen * &w);
        data.extend((0..len).map(|e| {
            let sum: f64 = (0..count).map(|i| centred(i, e) * w[(i, 0)]).sum();
            (mean[e] + sum) as f32
        }));
    }

    let samples = Samples { count: members, data, ..samples.slice(0..0) };
    Ok(Posterior::of(samples, false, 0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::baseline::exact;
    use crate::condition::Task;
    use crate::testing::samples_from;

    #[test]
    fn with_many_samples_it_comes_near_the_exact_posterior() {
        let pde = by_name("poisson").unwrap();
        let training = samples_from(pde.as_ref(), 3000, 10, 5);
        let truths = samples_from(pde.as_ref(), 4, 10, 6);
        let seen = Task::Inverse.observed(pde.as_ref(), Grid::square(10));
        let asked = Task::Reconstruct.target(pde.as_ref(), Grid::square(10));
        let mut errors = [0.0; 2];
        for i in 0..4 {
            let observations = Observations::draw(&truths, i, &seen, 30, 0.02, 1).unwrap();
            let own = posterior(&training, &observations, 1, 0).unwrap();
            let exact = exact::posterior(pde.as_ref(), &observations, 1, 0).unwrap();
            for (error, p) in errors.iter_mut().zip([own, exact]) {
                *error += p.score(truths.sample(i), &asked, None).error;
            }
        }
        assert!(errors[0] < 1.3 * errors[1] && errors[0] > 0.95 * errors[1], "{errors:?}");
    }

    #[test]
    fn observed_values_are_kept() {
        let pde = by_name("navier-stokes").unwrap();
        let training = samples_from(pde.as_ref(), 300, 16, 5);
        let truth = samples_from(pde.as_ref(), 1, 16, 6);
        let seen = Task::Forward.observed(pde.as_ref(), Grid::square(16));
        let observations = Observations::draw(&truth, 0, &seen, 40, 0.0, 1).unwrap();
        let own = posterior(&training, &observations, 1, 0).unwrap();
        let misfit = observations.misfit(own.samples.sample(0), &[0.26; 2]);
        assert!(misfit < 0.02, "{misfit}");
        assert!(posterior(&truth, &observations, 1, 0).is_err());
    }
}
