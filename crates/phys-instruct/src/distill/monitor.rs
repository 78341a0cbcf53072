//! Figures of student samples during training, so that a collapse is seen at once.

use serde_json::json;

use super::train::Monitor;
use crate::Samples;
use crate::eval::{SwdOptions, moments, physics, swd};
use crate::residual::Residual;

/// Measures samples against `validation`: PDE error, standard deviation against the data's per
/// channel, sliced Wasserstein distance and its floor at the same sample size. `residual` lives on
/// the processor.
pub fn against(validation: Samples, residual: Box<dyn Residual>) -> Monitor {
    Box::new(move |samples| {
        let distance = swd::against_floor(samples, &validation, SwdOptions::default())?;
        let figures = json!({
            "pde_error": physics::pde_error(samples, residual.as_ref())?,
            "std_ratio": moments::std_ratio(samples, &validation),
            "sliced_wasserstein": distance.distance,
            "sliced_wasserstein_floor": distance.floor,
        });
        Ok(figures.as_object().cloned().unwrap_or_default())
    })
}
