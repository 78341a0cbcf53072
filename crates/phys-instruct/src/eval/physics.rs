//! The distance of samples from the equation, by two independent measures.

use burn::tensor::{Device, TensorReadError};
use phys_instruct_physics::{Error as PhysicsError, Fields, Grid, Pde, TwoValues};
use rayon::prelude::*;

use crate::residual::{Residual, ResidualOptions};
use crate::{Error, Result, Samples};

/// The number of samples whose residual is computed at a time.
const BATCH: usize = 64;

/// The relative RMS residual of each sample: |R| over the source term or the largest term, with the
/// discretisation of the reference solver. The residual must have been built on the CPU
/// (`Device::flex()`), so that figures do not depend on the machine.
///
/// # Errors
/// Fails if a residual is not finite, and names the sample.
pub fn relative_residuals(samples: &Samples, residual: &dyn Residual) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(samples.count);
    for start in (0..samples.count).step_by(BATCH) {
        let part = samples.slice(start..(start + BATCH).min(samples.count));
        let x = part.into_tensor(&Device::flex());
        let relative = residual.terms(x, ResidualOptions::default()).relative();
        let values: Vec<f32> =
            relative.try_into_vec_as().map_err(|e| Error::Backend(e.to_string()))?;
        all.extend(values.into_iter().map(f64::from));
    }
    match all.iter().position(|r| !r.is_finite()) {
        Some(i) => Err(Error::NonFinite(format!("the relative residual of sample {i}"))),
        None => Ok(all),
    }
}

/// The residual of samples as fields.
#[derive(Debug, Clone, PartialEq)]
pub struct ResidualFields {
    /// The relative RMS residual of each sample.
    pub relative: Vec<f64>,
    /// The residual of each equation, sample by sample, `[y, x]` each, in the units of the source
    /// term.
    pub equations: Vec<Vec<Vec<f32>>>,
}

/// The residual of few samples, field by field, for a picture. The residual must have been built on
/// the CPU.
///
/// # Errors
/// Fails where the tensors cannot be read.
pub fn residual_fields(samples: &Samples, residual: &dyn Residual) -> Result<ResidualFields> {
    let x = samples.clone().into_tensor(&Device::flex());
    let terms = residual.terms(x, ResidualOptions::default());
    let failed = |e: TensorReadError| Error::Backend(e.to_string());
    let relative: Vec<f32> = terms.relative().try_into_vec_as().map_err(failed)?;

    let [_, equations, height, width] = terms.residual.dims();
    let values: Vec<f32> = terms.residual.try_into_vec_as().map_err(failed)?;
    let fields: Vec<&[f32]> = values.chunks(height * width).collect();
    let of = |e| fields.iter().skip(e).step_by(equations).map(|field| field.to_vec()).collect();
    Ok(ResidualFields {
        relative: relative.into_iter().map(f64::from).collect(),
        equations: (0..equations).map(of).collect(),
    })
}

/// The mean of [`relative_residuals`].
///
/// # Errors
/// Fails as [`relative_residuals`] does, and if there are no samples.
pub fn pde_error(samples: &Samples, residual: &dyn Residual) -> Result<f64> {
    mean(&relative_residuals(samples, residual)?)
        .ok_or_else(|| Error::Shape("no samples to take a residual of".into()))
}

/// The errors of the samples' solutions, from solving for their own inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct SolutionError {
    /// |u - S(a)| / |S(a)| of each sample that was solved, in order. S is the reference solver.
    pub relative: Vec<f64>,
    /// The number of samples whose input the solver refused or could not solve.
    pub refused: usize,
    /// The reason for the first refusal, or that there is no solver.
    pub refusal: Option<String>,
}

impl SolutionError {
    /// The mean over the samples that were solved; none if all were refused.
    pub fn mean(&self) -> Option<f64> {
        mean(&self.relative)
    }
}

/// Solves for each sample's own input and compares with the sample's solution, in parallel.
pub fn solution_error(samples: &Samples, pde: &dyn Pde) -> SolutionError {
    error_of_inputs(samples, pde, &|input| input)
}

/// The [`solution_error`] after every value of the input was rounded to the nearer of `values`. If
/// the law has two values, a small error of the input may lead to one that the solver refuses, such
/// as a negative coefficient.
pub fn rounded_solution_error(
    samples: &Samples,
    pde: &dyn Pde,
    values: TwoValues,
) -> SolutionError {
    error_of_inputs(samples, pde, &|mut input| {
        input.data.iter_mut().for_each(|v| *v = values.nearest(*v));
        input
    })
}

fn error_of_inputs(
    samples: &Samples,
    pde: &dyn Pde,
    change: &(dyn Fn(Fields) -> Fields + Sync),
) -> SolutionError {
    if !pde.has_solver() {
        let refusal = Some(PhysicsError::NoSolver { pde: pde.name().into() }.to_string());
        return SolutionError { relative: Vec::new(), refused: 0, refusal };
    }

    let outcomes: Vec<std::result::Result<f64, String>> = (0..samples.count)
        .into_par_iter()
        .map(|i| {
            let sample = samples.fields(i);
            one_error(samples.grid(), &sample, &change(pde.input_of(&sample)), pde)
        })
        .collect();
    let refusal = outcomes.iter().find_map(|o| o.as_ref().err().cloned());
    let relative: Vec<f64> = outcomes.into_iter().flatten().collect();
    SolutionError { refused: samples.count - relative.len(), relative, refusal }
}

fn one_error(
    grid: Grid,
    sample: &Fields,
    input: &Fields,
    pde: &dyn Pde,
) -> std::result::Result<f64, String> {
    let solved = pde.solve(grid, input).map_err(|e| e.to_string())?;
    let [u, exact] = [pde.solution_of(sample), pde.solution_of(&solved.fields)];
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let error = norm(&mut u.data.iter().zip(&exact.data).map(|(a, b)| a - b));
    let relative = error / norm(&mut exact.data.iter().copied());
    if relative.is_finite() {
        Ok(relative)
    } else {
        Err("the solution, or the sample, is zero or not finite".into())
    }
}

/// The mean; none for an empty slice.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{DifferenceOfChannels, poisson_samples, samples_of};

    #[test]
    fn exact_data_has_only_the_rounding_of_its_storage() {
        let (pde, samples) = poisson_samples(5, 16, 2);
        let found = solution_error(&samples, &pde);
        assert_eq!((found.relative.len(), found.refused, found.refusal.clone()), (5, 0, None));
        assert!(found.mean().unwrap() < 1e-6);
    }

    #[test]
    fn a_scaled_solution_has_the_scale_s_error() {
        let (pde, mut samples) = poisson_samples(5, 16, 2);
        let points = 256;
        for (i, v) in samples.data.iter_mut().enumerate() {
            *v *= if (i / points) % 2 == 1 { 1.05 } else { 1.0 };
        }
        assert!((solution_error(&samples, &pde).mean().unwrap() - 0.05).abs() < 1e-5);
    }

    #[test]
    fn refused_inputs_are_counted_and_left_out_of_the_mean() {
        let (pde, mut samples) = poisson_samples(4, 16, 2);
        samples.data[20] = f32::NAN;
        let found = solution_error(&samples, &pde);
        assert_eq!((found.relative.len(), found.refused), (3, 1));
        assert!(found.refusal.unwrap().contains("row 1"));
        let all = samples.slice(0..1);
        assert_eq!(solution_error(&all, &pde).mean(), None);
    }

    #[test]
    fn the_residual_is_a_mean_over_samples_across_batches() {
        // 65 samples: a = 2, u = 2 + 2 i, residual (u - a) / rms a = i.
        let data = (0..65).flat_map(|i| [2.0, 2.0 + 2.0 * i as f32]).collect();
        let samples = samples_of(65, 2, 1, 1, data);
        assert!((pde_error(&samples, &DifferenceOfChannels).unwrap() - 32.0).abs() < 1e-4);
    }

    #[test]
    fn residual_fields_are_those_of_their_samples() {
        let samples = samples_of(2, 2, 1, 2, vec![1.0, 1.0, 3.0, 4.0, 2.0, 2.0, 2.0, 2.0]);
        let found = residual_fields(&samples, &DifferenceOfChannels).unwrap();
        assert_eq!(found.equations, [[vec![2.0, 3.0], vec![0.0, 0.0]]]);
        let expected = relative_residuals(&samples, &DifferenceOfChannels).unwrap();
        assert_eq!(found.relative, expected);
    }

    #[test]
    fn a_residual_that_is_not_finite_names_its_sample() {
        let samples = samples_of(2, 2, 1, 1, vec![1.0, 1.0, 0.0, 1.0]);
        let error = pde_error(&samples, &DifferenceOfChannels).unwrap_err().to_string();
        assert!(error.contains("sample 1"), "{error}");
        assert!(pde_error(&samples.slice(0..0), &DifferenceOfChannels).is_err());
    }
}
