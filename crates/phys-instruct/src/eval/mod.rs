//! The measures of a set of samples, always taken together: the physics, by two independent
//! measures, and the distribution. A low residual with a bad distribution is a failure.

use phys_instruct_physics::{Pde, TwoValues};
use serde::Serialize;

use crate::residual::Residual;
use crate::{Error, Result, Samples};

pub mod frechet;
pub mod histogram;
pub mod marginal;
pub(crate) mod moments;
pub mod physics;
pub mod spectrum;
pub mod swd;
pub(crate) mod wasserstein;

pub use frechet::Frechet;
pub use marginal::Marginal;
pub use spectrum::SpectrumError;
pub use swd::SwdOptions;

/// The effort of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EvalOptions {
    /// The directions of the sliced Wasserstein distance.
    pub swd: SwdOptions,
    /// The largest number of samples for the solution error (the first ones), for slow solvers;
    /// none for all.
    pub solve_at_most: Option<usize>,
}

/// The measures of one set of samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The number of samples.
    pub count: usize,
    /// The number of reference samples.
    pub reference_count: usize,
    /// The relative RMS residual, averaged over samples; none without an equation.
    pub pde_error: Option<f64>,
    /// The relative RMS residual of the reference data; none without an equation.
    pub data_floor: Option<f64>,
    /// |u - S(a)| / |S(a)|, mean over the samples that could be solved; none if none could, or
    /// without a solver S.
    pub solution_error: Option<f64>,
    /// The number of samples solved for the solution error.
    pub solved: usize,
    /// The number of samples whose input the solver refused.
    pub refused: usize,
    /// The reason for the first refusal.
    pub refusal: Option<String>,
    /// The solution error after every value of the input was rounded to the nearer of the
    /// reference's two values. None if the reference takes others, or if no sample could be solved.
    pub rounded_solution_error: Option<f64>,
    /// The distribution of the input's values.
    pub marginal: Marginal,
    /// The distribution of the fields; none for a single sample.
    #[serde(flatten)]
    pub distribution: Option<Distribution>,
}

/// The measures of how samples are distributed, beside the reference's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    /// The sliced Wasserstein-2 distance, in standard deviations of the data.
    pub sliced_wasserstein: f64,
    /// The sliced Wasserstein-2 distance of two disjoint parts of the reference, at the same sample
    /// size.
    pub sliced_wasserstein_floor: f64,
    /// The sample size of both distances: the smaller of `count` and half of `reference_count`.
    pub sliced_wasserstein_count: usize,
    /// The standard deviation over samples, relative to the reference's, per channel.
    pub std_ratio: Vec<f64>,
    /// The radial power spectra compared with the reference's, per channel.
    pub spectrum_error: Vec<SpectrumError>,
    /// The Fréchet distance to the exact law, per channel; none if the law is not Gaussian or not
    /// known.
    pub frechet: Option<Vec<Frechet>>,
}

/// Measures `samples` against held-out `reference` data of the same PDE on the same grid.
///
/// Without a residual, for a PDE that is known by data alone, the PDE errors are none.
///
/// The distance and its floor are taken at one sample size; see [`swd::against_floor`]. A single
/// sample has no distribution.
///
/// # Errors
/// Fails for sets that do not fit each other or the PDE, for no sample or fewer than four reference
/// samples, and for values that are not finite.
pub fn evaluate<'a>(
    samples: &Samples,
    reference: &Samples,
    pde: &dyn Pde,
    residual: impl Into<Option<&'a dyn Residual>>,
    options: EvalOptions,
) -> Result<Report> {
    check(samples, reference, pde)?;
    let residual = residual.into();
    let error_of = |set| residual.map(|r| physics::pde_error(set, r)).transpose();
    let limit = options.solve_at_most.unwrap_or(samples.count).min(samples.count);
    let to_solve = samples.slice(0..limit);
    let solution = physics::solution_error(&to_solve, pde);

    let marginal = marginal::marginal(samples, reference, pde)?;
    let rounded = marginal.two_valued.as_ref().and_then(|two| {
        // What is rounded already needs no second solution.
        if to_solve.clone().with_input_rounded(pde) == to_solve {
            return solution.mean();
        }
        let two = TwoValues::new(two.values[0], two.values[1]);
        physics::rounded_solution_error(&to_solve, pde, two).mean()
    });

    Ok(Report {
        count: samples.count,
        reference_count: reference.count,
        pde_error: error_of(samples)?,
        data_floor: error_of(reference)?,
        solution_error: solution.mean(),
        solved: solution.relative.len(),
        refused: solution.refused,
        refusal: solution.refusal,
        rounded_solution_error: rounded,
        marginal,
        distribution: distribution(samples, reference, pde, options.swd)?,
    })
}

/// Compares the distributions; none for a single sample.
fn distribution(
    samples: &Samples,
    reference: &Samples,
    pde: &dyn Pde,
    options: SwdOptions,
) -> Result<Option<Distribution>> {
    if samples.count < 2 {
        return Ok(None);
    }

    let swd = swd::against_floor(samples, reference, options)?;
    Ok(Some(Distribution {
        sliced_wasserstein: swd.distance,
        sliced_wasserstein_floor: swd.floor,
        sliced_wasserstein_count: swd.count,
        std_ratio: moments::std_ratio(samples, reference),
        spectrum_error: spectrum::spectrum_error(samples, reference, pde)?,
        frechet: frechet_of(samples, reference, pde)?,
    }))
}

fn frechet_of(
    samples: &Samples,
    reference: &Samples,
    pde: &dyn Pde,
) -> Result<Option<Vec<Frechet>>> {
    frechet::known_laws(pde, samples.grid())
        .map(|laws| frechet::frechet(samples, reference, &laws))
        .transpose()
}

fn check(samples: &Samples, reference: &Samples, pde: &dyn Pde) -> Result<()> {
    check_set("samples", samples, 1)?;
    check_set("reference", reference, 4)?;

    let shape = |s: &Samples| [s.channels.len(), s.height, s.width];
    if shape(samples) != shape(reference) {
        let [got, want] = [shape(samples), shape(reference)];
        return Err(Error::Shape(format!("samples {got:?} against a reference of {want:?}")));
    }

    let [own, other] = [samples.grid(), reference.grid()];
    if own != other {
        let reason = format!("samples on a grid of {own} against a reference on {other}");
        return Err(Error::Shape(reason));
    }

    let channels = pde.channels().len();
    if samples.channels.len() != channels {
        let got = samples.channels.len();
        return Err(Error::Shape(format!("{got} channels; {} has {channels}", pde.name())));
    }
    Ok(())
}

fn check_set(what: &str, set: &Samples, least: usize) -> Result<()> {
    if set.data.len() != set.count * set.sample_len() {
        let [count, values] = [set.count, set.data.len()];
        return Err(Error::Shape(format!("{what}: {count} samples in {values} values")));
    }

    if set.count < least {
        return Err(Error::Request(format!(
            "{what}: there are {}, and at least {least} expected",
            set.count
        )));
    }
    match set.first_not_finite() {
        Some(i) => Err(Error::NonFinite(format!("{what}: sample {i}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::testing::{gaussian_samples, poisson_samples, samples_from};

    fn report(samples: &Samples, reference: &Samples, pde: &dyn Pde) -> Result<Report> {
        let residual = crate::problem::residual(pde, reference.grid(), &Device::flex())?;
        evaluate(samples, reference, pde, &*residual, EvalOptions::default())
    }

    #[test]
    fn fresh_exact_samples_pass_every_measure() {
        let (pde, reference) = poisson_samples(200, 12, 1);
        let (_, samples) = poisson_samples(100, 12, 2);
        let found = report(&samples, &reference, &pde).unwrap();
        assert_eq!((found.solved, found.refused), (100, 0));
        assert!(found.solution_error.unwrap() < 1e-6);
        assert!(found.marginal.wasserstein < 0.1, "{found:?}");
        let law = found.distribution.as_ref().unwrap();
        assert_eq!(law.sliced_wasserstein_count, 100);
        assert!(law.sliced_wasserstein < 1.5 * law.sliced_wasserstein_floor, "{law:?}");
        assert!(law.std_ratio.iter().all(|r| (r - 1.0).abs() < 0.2), "{law:?}");
        assert!(law.spectrum_error.iter().all(|s| s.mean < 0.3), "{law:?}");
        assert!(law.frechet.iter().flatten().all(|f| f.distance < 0.05));
        assert!(found.pde_error.unwrap() < 1e-4 && found.data_floor.unwrap() < 1e-4, "{found:?}");
    }

    #[test]
    fn a_coefficient_that_darcy_s_solver_refuses_is_counted_apart() {
        let pde = by_name("darcy").unwrap();
        let reference = samples_from(&*pde, 8, 12, 1);
        let mut samples = samples_from(&*pde, 4, 12, 2);
        let low = samples.data.iter().position(|&v| v == 3.0).unwrap();
        assert!(low < 144);
        samples.data[low] = -3.0;
        let found = report(&samples, &reference, &*pde).unwrap();
        assert_eq!((found.solved, found.refused), (3, 1));
        assert!(found.refusal.is_some() && found.solution_error.unwrap() < 1e-5, "{found:?}");
        let rounded = found.rounded_solution_error.unwrap();
        assert!(rounded < 1e-5, "{rounded}");
        assert_eq!(found.marginal.two_valued.unwrap().values, [3.0, 12.0]);
        assert_eq!(found.distribution.unwrap().frechet, None);
    }

    #[test]
    fn a_single_pair_has_the_errors_of_its_equation_and_no_distribution() {
        let (pde, reference) = poisson_samples(8, 12, 1);
        let mut pair = poisson_samples(1, 12, 2).1;
        let exact = report(&pair, &reference, &pde).unwrap();
        assert!(exact.pde_error.unwrap() < 1e-4 && exact.solution_error.unwrap() < 1e-6);
        assert_eq!(exact.distribution, None);

        // Twice the solution of an equation without a source of its own.
        pair.data[144..].iter_mut().for_each(|u| *u *= 2.0);
        let doubled = report(&pair, &reference, &pde).unwrap();
        assert!((doubled.pde_error.unwrap() - 1.0).abs() < 1e-4, "{doubled:?}");
        assert!((doubled.solution_error.unwrap() - 1.0).abs() < 1e-6, "{doubled:?}");
        let json = serde_json::to_value(&doubled).unwrap();
        assert!(json["solution_error"].is_f64() && json.get("sliced_wasserstein").is_none());
    }

    #[test]
    fn a_report_serialises_under_the_names_the_tables_use() {
        let (pde, samples) = poisson_samples(8, 8, 1);
        let json = serde_json::to_value(report(&samples, &samples, &pde).unwrap()).unwrap();
        for name in [
            "pde_error",
            "data_floor",
            "solution_error",
            "sliced_wasserstein",
            "sliced_wasserstein_floor",
            "std_ratio",
        ] {
            assert!(!json[name].is_null(), "{name}");
        }
    }

    #[test]
    fn unfit_sets_are_refused_with_a_reason() {
        let (pde, good) = poisson_samples(8, 8, 1);
        let reason = |s: &Samples, r: &Samples| report(s, r, &pde).unwrap_err().to_string();
        assert!(reason(&good.slice(0..0), &good).contains("at least 1"));
        assert!(reason(&good, &good.slice(0..3)).contains("at least 4"));
        assert!(reason(&poisson_samples(8, 9, 1).1, &good).contains("[2, 9, 9]"));
        let three = gaussian_samples(8, 3, 8, 1);
        assert!(reason(&three, &three).contains("poisson has 2"));
        let mut holed = good.clone();
        holed.data[130] = f32::INFINITY;
        assert!(reason(&holed, &good).contains("sample 1"));
    }
}
