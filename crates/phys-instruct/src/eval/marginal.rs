//! The distribution of the input's values, pooled over points and samples.

use phys_instruct_physics::{Pde, TwoValues};
use rayon::prelude::*;
use serde::Serialize;

use super::wasserstein::transport_cost;
use crate::{Error, Result, Samples};

/// The distribution of the input's values, compared with the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Marginal {
    /// The Wasserstein-1 distance of the two distributions, over the reference's standard
    /// deviation.
    pub wasserstein: f64,
    /// The statistics of a two-valued input; none if the reference takes more than two values.
    pub two_valued: Option<TwoValued>,
}

/// The agreement of a two-valued input with the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TwoValued {
    /// The reference's two values, in the channel's unit.
    pub values: [f64; 2],
    /// The share of the samples' cells that are nearer to the higher value.
    pub high_share: f64,
    /// The share of the reference's cells that are nearer to the higher value.
    pub high_share_reference: f64,
    /// The mean distance of a cell from the nearer of the two values, in the channel's unit.
    pub distance: f64,
}

/// Compares the values of the inputs, which [`Pde::input_of`] takes from the joint samples.
///
/// # Errors
/// Fails for an empty set, and for a reference input that does not vary.
pub fn marginal(samples: &Samples, reference: &Samples, pde: &dyn Pde) -> Result<Marginal> {
    let [x, y] = [samples, reference].map(|s| sorted_inputs(s, pde));
    let sd = standard_deviation(&y);
    if x.is_empty() || sd.is_nan() || sd == 0.0 {
        return Err(Error::Shape("no samples, or a reference input that does not vary".into()));
    }
    let wasserstein = transport_cost(&x, &y, f64::abs) / sd;
    Ok(Marginal {
        wasserstein,
        two_valued: TwoValues::of(y.iter().copied()).map(|v| two_valued(&x, &y, v)),
    })
}

/// The two values that the inputs of `samples` take, if they take two only.
pub fn values_of_input(samples: &Samples, pde: &dyn Pde) -> Option<TwoValues> {
    TwoValues::of(sorted_inputs(samples, pde).into_iter())
}

fn sorted_inputs(samples: &Samples, pde: &dyn Pde) -> Vec<f32> {
    let inputs: Vec<Vec<f64>> =
        (0..samples.count).into_par_iter().map(|i| pde.input_of(&samples.fields(i)).data).collect();
    let mut values: Vec<f32> = inputs.iter().flatten().map(|&v| v as f32).collect();
    values.par_sort_unstable_by(f32::total_cmp);
    values
}

fn standard_deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

fn two_valued(x: &[f32], y: &[f32], two: TwoValues) -> TwoValued {
    let share = |list: &[f32]| {
        list.iter().filter(|&&v| two.is_high(v.into())).count() as f64 / list.len() as f64
    };
    let distance = x.iter().map(|&v| two.distance(v.into())).sum::<f64>() / x.len() as f64;
    let values = [two.low, two.high];
    TwoValued { values, high_share: share(x), high_share_reference: share(y), distance }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{poisson_samples, samples_of};

    #[test]
    fn a_shift_of_the_input_is_the_shift_over_the_standard_deviation() {
        let (pde, reference) = poisson_samples(6, 16, 1);
        let sd = standard_deviation(&sorted_inputs(&reference, &pde));
        let mut shifted = reference.clone();
        shifted.data.iter_mut().for_each(|v| *v += 0.5 * sd as f32);
        let found = marginal(&shifted, &reference, &pde).unwrap();
        assert!((found.wasserstein - 0.5).abs() < 1e-5);
        assert!(found.two_valued.is_none());
        assert_eq!(marginal(&reference, &reference, &pde).unwrap().wasserstein, 0.0);
    }

    #[test]
    fn a_two_valued_input_is_recognised_and_counted() {
        let (pde, _) = poisson_samples(1, 4, 1);
        let set = |a: [f32; 4]| samples_of(1, 2, 2, 2, [a, [0.0; 4]].concat());
        let reference = set([3.0, 12.0, 12.0, 3.0]);
        let found = marginal(&set([4.0, 12.5, 11.0, 10.0]), &reference, &pde).unwrap();
        let two = found.two_valued.unwrap();
        assert_eq!(
            (two.values, two.high_share, two.high_share_reference),
            ([3.0, 12.0], 0.75, 0.5)
        );
        assert!((two.distance - (1.0 + 0.5 + 1.0 + 2.0) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_constant_reference_is_refused() {
        let (pde, samples) = poisson_samples(2, 4, 1);
        let mut flat = samples.clone();
        flat.data.fill(0.0);
        assert!(marginal(&samples, &flat, &pde).is_err());
    }
}
