//! Figures of student samples during training, so that a collapse is seen at once.

use phys_instruct_physics::Pde;
use serde_json::{Map, Value, json};

use crate::eval::{SwdOptions, moments, physics, swd};
use crate::residual::Residual;
use crate::{Result, Samples};

/// Computes figures of student samples (`[batch, ...]` in physical units) for the metrics file.
pub type Monitor = Box<dyn Fn(&Samples) -> Result<Map<String, Value>> + Send>;

/// Samples that are solved for the solution error.
const SOLVED: usize = 32;

/// Measures samples against `validation`: PDE error, solution error of the first few, standard
/// deviation against the data's per channel, sliced Wasserstein distance and its floor at the same
/// sample size. `residual` lives on the processor.
/// Without a residual the PDE error is null, and so is the solution error without a solver.
pub fn against(
    validation: Samples,
    pde: Box<dyn Pde>,
    residual: impl Into<Option<Box<dyn Residual>>>,
) -> Monitor {
    let residual = residual.into();
    Box::new(move |samples| {
        let solved = samples.slice(0..SOLVED.min(samples.count));
        let distance = swd::against_floor(samples, &validation, SwdOptions::default())?;
        let figures = json!({
            "pde_error": residual.as_deref().map(|r| physics::pde_error(samples, r)).transpose()?,
            "solution_error": physics::solution_error(&solved, pde.as_ref()).mean(),
            "std_ratio": moments::std_ratio(samples, &validation),
            "sliced_wasserstein": distance.distance,
            "sliced_wasserstein_floor": distance.floor,
        });
        Ok(figures.as_object().cloned().unwrap_or_default())
    })
}
